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
//!
//! | type | what it does |
//! |---|---|
//! | [`Service`] | your logic for one listener, an instance on each reactor; its methods are all that can happen to a connection |
//! | [`Context`] | what a service can do in a call: send, close, timers, groups, offloaded work, outbound connections |
//! | [`proto`] | codecs: lines, frames with a length, raw bytes, RESP, HTTP/1.1, WebSocket |
//! | [`Engine`], [`ListenOptions`], [`Running`] | what listens where and how; what runs, and its end |
//! | [`Limits`], [`Timeouts`] | how far anything may grow, and how long anything may take |
//! | [`Group`] | connections on any reactors that one message goes to |
//! | [`Handle`], [`Remote`] | a connection that may be gone; the way to it from any thread |
//! | [`Connect`], [`Outbound`] | connections to others |
//! | [`Filter`] | what stands between a connection and its codec: TLS, in the crate `gannet-tls` |
//! | [`DatagramService`] | the same as a service, for UDP |
//!
//! HTTP and WebSocket are a service of the crate `gannet-http`. What is logged goes through [`tracing`]: a program that
//! sets up no subscriber sees nothing of it.
#![deny(unsafe_code)]

mod acceptor;
mod address;
#[allow(unsafe_code)] // Chunks are the driver's memory.
mod buffer;
mod carry;
mod connection;
mod context;
mod core;
mod counters;
mod datagram;
#[cfg(target_os = "linux")]
mod descriptors;
#[allow(unsafe_code)] // The kernel reads and writes what requests name.
mod driver;
mod engine;
mod error;
mod filter;
mod group;
mod handle;
mod histogram;
mod host;
mod keepalive;
mod limits;
mod listen_options;
mod listener;
mod mailbox;
mod moments;
mod offload;
mod outbox;
mod own_reason;
mod panics;
mod quota;
mod reactor;
mod remote;
mod service;
mod share;
mod signals;
#[cfg(feature = "sim")]
#[doc(hidden)]
pub mod sim;
mod slab;
mod spares;
mod wheel;

pub use gannet_proto as proto;

pub use crate::acceptor::Balance;
pub use crate::address::{Address, Peer};
pub use crate::connection::CloseReason;
pub use crate::context::{Connect, Context};
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
pub use crate::listen_options::ListenOptions;
pub use crate::offload::{OffloadFull, OffloadStats, Pool};
pub use crate::panics::panic_message;
pub use crate::remote::{ConnectError, NotifyError, Remote};
pub use crate::service::{DatagramService, Drain, HalfClose, Heartbeat, Idle, Message, Notice, Refused, Service};
