//! An in-memory store that speaks the Redis protocol, as a service on the Gannet engine.
//!
//! Strings, hashes, counters, expiry, transactions and publish/subscribe with the semantics, replies and error texts of
//! Redis 7; memory only. [`Redis`] is the service, [`Server`] what all its instances share.

#![forbid(unsafe_code)]

pub mod command;
pub mod glob;
mod service;
pub mod store;

pub use crate::service::server::{Options, Server};
pub use crate::service::{Redis, Session};
