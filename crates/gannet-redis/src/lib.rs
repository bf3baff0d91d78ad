//! An in-memory store that speaks the Redis protocol, as a service on the Gannet engine.
//!
//! It has strings, bits, hashes, counters, expiry, transactions and publish/subscribe, with the semantics, replies and error
//! texts of Redis 7. Nothing is written to disk. The page `docs/differences.md` of the crate lists what differs from Redis.
//!
//! | type | what it does |
//! |---|---|
//! | [`Redis`] | the service; each reactor has an instance |
//! | [`Server`] | the store and everything else that all instances share |
//! | [`Options`] | password, limits, eviction |
//! | [`Memory`], [`Policy`] | the memory limit, and the response when it is reached |
//! | [`Channels`] | channels that exist outside the store too, for `PUBLISH` and `SUBSCRIBE` |
//! | [`Expiry`] | keeps a thread running that removes expired keys |
//!
//! ```no_run
//! use gannet::{Engine, Limits};
//! use gannet_redis::{LARGEST_COMMAND_BYTES, Options, Redis, Server};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::new(Options::default());
//! let _expiry = server.start_expiry()?;
//!
//! let mut limits = Limits::default();
//! limits.carry = LARGEST_COMMAND_BYTES;
//! Engine::new().limits(limits).listen("tcp://127.0.0.1:6380", move || Redis::new(server.clone()))?.run()?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

// For our own tests and fuzz targets: nothing of these is stable.
#[doc(hidden)]
pub mod command;
mod counter;
mod decimal;
#[doc(hidden)]
pub mod glob;
mod service;
#[doc(hidden)]
pub mod store;
#[cfg(any(test, feature = "trial"))]
#[doc(hidden)]
pub mod trial;

pub use crate::service::expiry::Expiry;
pub use crate::service::memory::{Memory, Policy};
pub use crate::service::pubsub::channels::Channels;
pub use crate::service::server::{Bound, Options, Server};
pub use crate::service::{LARGEST_COMMAND_BYTES, Redis, Session};
