//! Connection pools on the Gannet engine: robust calls to other servers, from callbacks and from any thread.
//!
//! ```no_run
//! use gannet_client::{Client, Redis};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let redis = Client::connect(Redis::new(), "tcp://127.0.0.1:6379")?;
//!     redis.call(&[b"SET", b"greeting", b"hello"])?;
//!     let reply = redis.call(&[b"GET", b"greeting"])?;
//!     println!("{}", String::from_utf8_lossy(reply.as_bytes().unwrap_or(b"nothing")));
//!     Ok(())
//! }
//! ```
//!
//! # Concepts
//!
//! A [`Pool`] is attached to an engine, and has a part on each reactor: connections, queue, timers. Parts share nothing.
//! A call goes to the part of its own reactor, so it takes no lock.
//!
//! | caller | calls with | gets the reply |
//! |---|---|---|
//! | a [sequential session](gannet::session) | [`Pool::call`], a future | copied |
//! | a session of a service | [`Pool::call_from`] | as a notice, [`Answered`], copied |
//! | a [`Handler`], for calls that belong to no session | [`PoolContext::call`] | borrowed from the receive buffer |
//! | a thread | [`Client::call`], blocking | copied |
//! | a future, on any executor | [`Client::begin`] | copied |
//!
//! # What a pool does for its callers
//!
//! - **Each caller gets its own reply, or an error.** A request that timed out keeps its place in the pipeline: its late
//!   reply is dropped, and the next caller does not get it. An in-order protocol has to answer each request once; a reply
//!   too many closes the connection.
//! - **Calls wait in order**, at most [`Settings::waiting`], and nobody overtakes. A full queue refuses.
//! - **Connections are checked** after a second without use, replaced after half an hour, closed when nobody needs them.
//! - **Endpoints share the load**: of two by chance, the one with fewer requests in flight. One that fails is left alone, first
//!   for up to 100 ms, then longer each time; after five failures its circuit breaker opens.
//! - **Clients come back evenly** after an outage of any length, as each keeps its own place in the windows of the backoff.
//! - **Leases** are connections alone, for transactions and subscriptions: [`Pool::lease`], [`Client::lease`].
//! - **A lost call is tried again** only if it was not sent, or may be executed twice; at most one in five.
//!
//! [`CallError::was_sent`] says whether the server may have executed a request that failed.
//!
//! # Protocols
//!
//! [`Redis`], [`Http`] and [`Lines`]. [`Protocol`] says how to add one. [`Subscriber`] receives what is published in Redis.
//!
//! # Logs and counters
//!
//! [`Pool::stats`] reads the counters, and [`PoolStats::write_prometheus`] writes them. Handshakes that fail, breakers and
//! leases that are not given back are logged as warnings.
#![forbid(unsafe_code)]

/// The guide's code compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/clients.md")]
struct Guide;

mod answer;
mod backoff;
mod breaker;
mod budget;
mod calling;
mod client;
mod counters;
mod error;
mod http;
mod lease;
mod lines;
mod part;
mod pool;
mod promise;
mod protocol;
mod redis;
mod resolve;
mod seats;
mod service;
mod settings;
mod shared;
#[cfg(test)]
mod simulated;
mod subscriber;

pub use crate::answer::{Answer, Answered};
pub use crate::calling::Calling;
pub use crate::client::{Client, Lease, Pool, PoolBuilder};
pub use crate::counters::PoolStats;
pub use crate::error::{CallError, Error, Loss};
pub use crate::http::{Http, HttpReply};
pub use crate::lease::{Leased, Leasing, PoolLease, Pushed};
pub use crate::lines::Lines;
pub use crate::promise::Pending;
pub use crate::protocol::{Handshake, Incoming, Message, Protocol};
pub use crate::redis::{OwnedValue, Redis, RedisState};
pub use crate::service::{Handler, PoolContext};
pub use crate::settings::Settings;
pub use crate::shared::CallOptions;
pub use crate::subscriber::{Confirmation, Event, Subscriber};
