//! The channel space: channels with subscribers, history, recovery and presence.
//!
//! No protocol, no I/O and no clock: time and randomness are arguments.
//!
//! # Concepts
//!
//! A [`Space`] has all channels of a process. Any thread publishes to it. Each reactor (a thread with connections) has a
//! [`Roster`]: its clients, and for each channel the list of its subscribers there. An event of a channel gets its number
//! under the channel's lock, and enters the inbox of each reactor with subscribers under the same lock. The roster takes
//! the inbox and pushes each event to a [`Sink`], subscriber by subscriber.
//!
//! A channel exists while it has subscribers or a history. Its name decides on its namespace: [`Options`] has what can be
//! configured there.
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use gannet_channels::*;
//!
//! /// Prints what clients receive.
//! struct Print;
//!
//! impl Sink<&'static str> for Print {
//!     fn push(&mut self, _: ClientKey, name: &mut &'static str, _format: u8, delivery: &Arc<Delivery>) -> Pushed {
//!         if let Event::Publication(publication) = delivery.event() {
//!             println!("{name}: {} {:?}", delivery.channel(), publication.data);
//!         }
//!         Pushed::Taken
//!     }
//!     fn gap(&mut self, _: ClientKey, name: &mut &'static str, channel: &str, _: bool) {
//!         println!("{name}: something of {channel} is missing");
//!     }
//!     fn slow(&mut self, _: ClientKey, name: &mut &'static str) {
//!         println!("{name} is too slow");
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let options = Options { presence: true, ..Options::default() };
//! let settings = Settings { namespaces: vec![Namespace::new("chat", options)], ..Settings::default() };
//! let space = Space::new(settings, 1, 42)?;
//! let now = Time(1_700_000_000_000);
//!
//! let mut roster = Roster::new(&space, 0);
//! let (ada, _) = roster.connect(Connect { user: "ada".into(), conn_info: None, format: 0, value: "Ada" })?;
//! roster.subscribe(ada, "chat:index", &Subscribe::default(), now)?;
//!
//! space.publish("chat:index", Publish::new("hello"), now)?;
//! let delivered = roster.deliver(&mut Print, now, 1000);
//! assert_eq!(delivered.pushed, 1);
//! assert_eq!(space.presence_stats("chat:index")?.users, 1);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod client;
mod current;
mod delivery;
mod error;
mod hash;
mod history;
mod inbox;
mod limits;
mod name;
mod order;
mod position;
mod publication;
mod roster;
mod settings;
mod sink;
mod space;
mod stats;
mod subscribe;
mod tap;
#[cfg(test)]
mod tests;
mod text;
mod time;

pub use client::{ClientId, ClientIdError, ClientInfo, ClientKey};
pub use current::{Current, Seen};
pub use delivery::{Delivery, Event, WIRES};
pub use error::{
    ChannelError, ConnectError, HistoryError, OrderError, PresenceError, PublishError, SettingsError, SubscribeError,
};
pub use history::{History, HistoryRequest};
pub use inbox::Waker;
pub use limits::Limits;
pub use name::split_name;
pub use order::{Order, Ordered, Target};
pub use position::{Epoch, EpochError, Position, Since};
pub use publication::{Publication, Publish};
pub use roster::{Connect, Delivered, Roster};
pub use settings::{ChannelPattern, Namespace, Options, Overrides, RecoveryMode, Settings, SlowPolicy};
pub use sink::{Pushed, Sink};
pub use space::{ChannelOptions, PresenceStats, Space};
pub use stats::{NamespaceStats, SpaceStats};
pub use subscribe::{Subscribe, Subscribed};
pub use tap::Tap;
pub use time::Time;
