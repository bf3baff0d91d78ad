//! Settings of a program by one table.
//!
//! A [`Schema`] lists every [`Setting`]: its key, the [`Kind`] of its value, its default, what it does, whether it can change
//! while the program runs, and the flag that sets it. A [`Loader`] reads a file, the environment and the flags by it, in this
//! order; the last one that gives a value counts. Everything that is wrong is collected in [`Problems`], each with its place,
//! the line and the nearest name that exists. The result is [`Values`], in which every value knows its [`Place`].
//!
//! The same table makes the [reference](Schema::reference), the [defaults as a file](Schema::defaults), what is
//! [in effect](Values::to_toml), the [differences](Values::changes) between two configurations, and their
//! [digest](Values::digest).
//!
//! ```
//! use gannet_config::{Class, Kind, Loader, Schema, Section, Setting};
//!
//! static SECTIONS: [Section; 1] = [Section::table("limits", "Limits of the server.")];
//! static SETTINGS: [Setting; 1] = [
//!     Setting::new("limits.frame", Kind::size(1, 1 << 30), "Largest message.").default("1MiB").class(Class::Live),
//! ];
//! static SCHEMA: Schema = Schema::new("GANNET_", &SECTIONS, &SETTINGS);
//!
//! let mut loader = Loader::new(&SCHEMA);
//! loader.file("server.toml", "[limits]\nframe = \"64KiB\"\n");
//! loader.environment([("GANNET_LIMITS_FRAM".to_owned(), "1KiB".to_owned())]);
//! let (values, problems) = loader.finish();
//! assert_eq!(values.root().read::<usize>("limits.frame"), 65_536);
//! assert!(problems.to_string().contains("did you mean GANNET_LIMITS_FRAME?"));
//! ```
//!
//! Secrets come from files or variables of the environment. They are compared, but never shown.

#![forbid(unsafe_code)]

mod change;
mod environment;
mod file;
mod kind;
mod loader;
mod nearest;
mod place;
mod problem;
mod reference;
mod setting;
mod source;
pub mod units;
mod value;
mod values;
mod write;

pub use crate::change::Change;
pub use crate::kind::{Check, Choice, Kind, Split};
pub use crate::loader::Loader;
pub use crate::nearest::nearest;
pub use crate::place::Place;
pub use crate::problem::{Problem, Problems};
pub use crate::setting::{Class, Expand, Flag, Form, Member, Schema, Section, Setting};
pub use crate::source::Source;
pub use crate::value::{FromValue, Secret, SecretSource, Value};
pub use crate::values::{Entry, Key, Scope, Values};
