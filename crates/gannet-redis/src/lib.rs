//! An in-memory store that speaks the Redis protocol, as a service on the Gannet engine.
//!
//! Strings, hashes, counters, expiry, transactions and publish/subscribe with the semantics, replies and error texts of
//! Redis 7; memory only. [`Redis`] is the service, [`Server`] what all its instances share.

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
pub use crate::service::server::{Bound, Options, Server};
pub use crate::service::{LARGEST_COMMAND_BYTES, Redis, Session};
