//! An engine for servers with millions of long-lived connections: reactors on io_uring and epoll behind one small API.
//!
//! # Concepts
//!
//! An [`Engine`] runs **reactors**, one thread each, that share nothing. Every connection lives on one reactor. A
//! [`Service`] is your logic for one listener: each reactor makes an instance and calls it by plain function calls. There is
//! no runtime and no task. Where one step follows another, a [sequential session](session) is a future in place of callbacks.
//!
//! A **codec** ([`proto`]) turns received bytes into messages that borrow from the receive buffer. A **session**
//! ([`Service::Session`]) is your state for one connection. A [`Context`] is what a callback can do with its connection.
//!
//! Other threads and reactors reach a connection by its [`Handle`], which is safe to keep. What they send passes through the
//! mailbox of the connection's reactor ([`Remote`]).
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
//!         cx.send(&[b"echo: ", line]);
//!     }
//! }
//!
//! fn main() -> gannet::Result<()> {
//!     Engine::new().listen("tcp://127.0.0.1:7000", || Echo)?.run()
//! }
//! ```
//!
//! # Where to look
//!
//! | type | what it does |
//! |---|---|
//! | [`Service`] | your logic; its methods are all that can happen to a connection |
//! | [`session`] | dialogues as futures, in place of callbacks |
//! | [`Context`] | in a callback: send, close, set timers, join groups, offload work, connect |
//! | [`proto`] | codecs: lines, frames with a length, raw bytes, RESP, HTTP/1.1, WebSocket |
//! | [`Engine`], [`ListenOptions`], [`Running`] | build and start an engine; describe a listener; control a running engine |
//! | [`Plan`], [`Changes`] | change a running engine: listeners, limits, deadlines |
//! | [`Limits`], [`Timeouts`] | bound everything that grows, and everything that waits |
//! | [`Group`] | names connections, on any reactors, that receive the same message |
//! | [`Handle`], [`Remote`] | refer to a connection that may be gone; reach it from any thread |
//! | [`Access`], [`ProxyProtocol`] | say who may connect, and whose word counts for where a client is |
//! | [`Connect`], [`Outbound`] | open connections to other servers |
//! | [`Filter`] | transforms bytes between a connection and its codec: TLS, in the crate `gannet-tls` |
//! | [`DatagramService`] | your logic for a UDP listener |
//!
//! HTTP and WebSocket are a service of the crate `gannet-http`.
//!
//! # Rules for callbacks
//!
//! A callback must not block: its reactor serves nobody else meanwhile. Give long work to [`Context::offload`]. A panic
//! closes the connection that it happened for, and nothing else.
//!
//! # Portability
//!
//! On Linux the engine uses io_uring if the kernel and the process allow it (Linux 6.13 or later), and epoll otherwise. On
//! macOS and the BSDs it uses kqueue; that is compiled, and was never run. [`DriverChoice`] chooses, and
//! [`Running::driver`] says what was chosen and why.
//!
//! # Logs
//!
//! The engine logs through [`tracing`]. A program without a subscriber sees nothing of it.
#![deny(unsafe_code)]
// The models of loom are built without most other tests: what only those use is not unused.
#![cfg_attr(loom, allow(dead_code, unused_imports))]

mod acceptor;
mod access;
mod address;
mod adoption;
mod binding;
mod births;
#[allow(unsafe_code)] // Chunks are the driver's memory.
mod buffer;
mod carry;
mod cause;
mod changes;
mod close_reason;
#[cfg(test)]
#[cfg(not(loom))]
mod conformance;
mod connect;
mod connection;
mod context;
mod core;
mod counters;
mod datagram;
mod description;
#[cfg(target_os = "linux")]
mod descriptors;
mod drain;
#[allow(unsafe_code)] // The kernel reads and writes what requests name.
mod driver;
mod ending;
mod engine;
mod error;
mod exhaustion;
mod filter;
mod group;
mod handle;
mod handover;
mod host;
mod ids;
mod inspect;
mod keepalive;
mod limits;
mod listen_options;
mod listener;
mod mailbox;
mod membership;
mod moments;
mod networks;
mod offload;
mod outbox;
mod own_reason;
mod panics;
mod peers;
mod plan;
mod pools;
mod proxy_protocol;
mod quota;
mod random;
mod rare;
mod reactor;
mod remote;
mod requests;
mod route;
mod service;
mod service_context;
mod service_plan;
pub mod session;
mod share;
mod signals;
#[cfg(feature = "sim")]
#[doc(hidden)]
pub mod sim;
mod slab;
mod spares;
mod steps;
mod table;
mod timers;
mod wheel;

pub use bytes::Bytes;
pub use gannet_proto as proto;
pub use ipnet::IpNet;

pub use crate::acceptor::Balance;
pub use crate::access::{Access, AccessRules, AccessStats};
pub use crate::address::{Address, Peer};
pub use crate::adoption::Inherited;
pub use crate::changes::Changes;
pub use crate::close_reason::CloseReason;
pub use crate::connect::Connect;
pub use crate::connection::CloseMode;
pub use crate::context::Context;
#[doc(hidden)] // For our own crates, which answer sessions of services that they do not know.
pub use crate::context::Notifier;
pub use crate::core::SendStatus;
pub use crate::counters::histogram::Histogram;
#[doc(hidden)] // For our own crates, which count as the engine does.
pub use crate::counters::histogram::HistogramCounter;
pub use crate::counters::{ReactorStats, RefusalReason, ServiceStats};
pub use crate::datagram::DatagramContext;
pub use crate::description::Description;
pub use crate::drain::Drain;
pub use crate::driver::probe::DriverChoice;
pub use crate::engine::{Engine, Running};
pub use crate::error::StartError;
pub use crate::error::{Error, Result};
pub use crate::filter::{Filter, FilterError, FilterFactory, FilterOutput, FilterProgress};
pub use crate::group::{Group, JoinError};
pub use crate::handle::{Handle, SendError};
pub use crate::handover::Handover;
pub use crate::host::Outbound;
pub use crate::inspect::{
    ClosedConnection, ConnectionInfo, ConnectionState, Cursor, Direction, InspectError, Kicked, Network, Page, Query,
    Selection, Sort, Trace, TraceEvent, TraceOptions, TraceRefusal,
};
pub use crate::limits::{Limits, Overflow, Timeouts};
pub use crate::listen_options::ListenOptions;
pub use crate::offload::{OffloadFull, OffloadStats, Pool};
pub use crate::panics::panic_message;
pub use crate::plan::{Applied, Plan};
pub use crate::proxy_protocol::ProxyProtocol;
#[doc(hidden)] // For our own crates, whose simulations are of the same kind.
pub use crate::random::Random;
pub use crate::remote::{ConnectError, Listening, NotifyError, Remote};
pub use crate::service::Starting;
pub use crate::service::{
    CodecError, DatagramService, HalfClose, Heartbeat, Idle, Message, Notice, Outgoing, Prefetch, Refused, Service,
    Session, Shutdown,
};
pub use crate::service_context::ServiceContext;
pub use crate::timers::TimerId;
