//! An engine for servers that hold millions of long-lived connections: reactors on io_uring and epoll behind one small
//! API.
//!
//! A server is a [`Service`] on an [`Engine`]. The engine runs reactors, one thread each, that share nothing: every
//! connection lives on one of them, and its service is called there by plain function calls. There is no runtime, no
//! task and no future. What comes from elsewhere (other threads, other reactors) comes as a letter through a reactor's
//! mailbox, by a [`Handle`] that is safe to keep.
//!
//! ```no_run
//! use gannet::{Context, Engine, Service, proto::Lines};
//!
//! struct Echo;
//!
//! impl Service for Echo {
//!     type Codec = Lines;
//!     type Session = ();
//!
//!     fn message(&mut self, _: &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
//!         cx.send([b"echo: ", line]);
//!     }
//! }
//!
//! fn main() -> gannet::Result<()> {
//!     Engine::new().listen("tcp://127.0.0.1:7000", || Echo)?.run()
//! }
//! ```
#![deny(unsafe_code)]

mod acceptor;
mod address;
#[allow(unsafe_code)] // Chunks are the driver's memory.
mod buffer;
mod connection;
mod context;
mod core;
mod counters;
mod datagram;
#[allow(unsafe_code)] // The kernel reads and writes what requests name.
mod driver;
mod engine;
mod error;
mod filter;
mod group;
mod handle;
mod histogram;
mod host;
mod limits;
mod listener;
mod mailbox;
mod offload;
mod outbox;
mod reactor;
mod remote;
mod service;
mod signals;
#[cfg(feature = "sim")]
#[doc(hidden)]
pub mod sim;
mod slab;
mod wheel;

pub use gannet_proto as proto;

pub use crate::acceptor::Balance;
pub use crate::address::{Address, Peer};
pub use crate::connection::CloseReason;
pub use crate::context::{Connect, Context, OffloadFull};
pub use crate::core::SendStatus;
pub use crate::counters::{ListenerStats, ReactorStats, Refusal};
pub use crate::datagram::DatagramContext;
pub use crate::driver::probe::DriverChoice;
pub use crate::engine::{Engine, Running};
pub use crate::error::{Error, Result};
pub use crate::filter::{Filter, FilterError, Filtered, Filters};
pub use crate::group::{Group, JoinError};
pub use crate::handle::{Handle, SendError};
pub use crate::histogram::{Histogram, HistogramCounter};
pub use crate::host::Outbound;
pub use crate::limits::{Limits, Overflow, Timeouts};
pub use crate::remote::{ConnectError, Remote};
pub use crate::service::{DatagramService, Drain, Heartbeat, Idle, Message, Notice, Refused, Service};
