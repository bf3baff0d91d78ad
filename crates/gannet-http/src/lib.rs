//! HTTP/1.1 and WebSocket on the Gannet engine: a [`Router`], one context [`Cx`] for request and response, and middleware that
//! the compiler composes with each handler.
//!
//! ```no_run
//! use gannet::Engine;
//! use gannet_http::middleware::Recover;
//! use gannet_http::{HttpService, Router};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let routes = Router::new()
//!     .layer(Recover)
//!     .get("/", |cx| cx.text("it flies\n"))
//!     .get("/hello/{name}", |cx| {
//!         let name = cx.param("name");
//!         writeln!(cx, "hello {name}");
//!     })
//!     .build()?;
//! Engine::new().listen("tcp://127.0.0.1:8080", move || HttpService::new(&routes))?.run()?;
//! # Ok(())
//! # }
//! ```
//!
//! | type | what it does |
//! |---|---|
//! | [`Router`] | takes routes and layers, refuses conflicts, builds [`Routes`] |
//! | [`Routes`] | the built routes: all reactors share them, and they never change |
//! | [`HttpService`] | the service of a listener, with its limits and deadlines |
//! | [`Cx`] | one request, and the response to it |
//! | [`Respond`], [`Json`], [`Rejection`] | responses that handlers return; errors in what they read |
//! | [`Layer`] | middleware; [`middleware`] has ready-made layers |
//! | [`Receive`], [`Receiving`], [`multipart`] | streamed request bodies |
//! | [`Source`], [`Stream`] | streamed response bodies; [`sse`] for events |
//! | [`Later`], [`Reply`] | deferred responses: the right to make one, and the response itself |
//! | [`Files`] | the files of a directory |
//! | [`websocket`] | WebSocket on a route |
//!
//! A handler is a function of a [`Cx`]. It runs on the reactor's thread and must not block, because its reactor serves nobody
//! else meanwhile. [Offload](Cx::offload) long work. A small response allocates nothing.
#![forbid(unsafe_code)]

/// What the README shows compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

/// What the guides show compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/library.md")]
#[doc = include_str!("../../../docs/http.md")]
#[doc = include_str!("../../../docs/http-api.md")]
struct Guides;

mod admission;
mod clock;
#[cfg(feature = "cookies")]
mod cookies;
mod cx;
mod deferred;
mod draft;
mod extensions;
mod extract;
mod fallbacks;
mod files;
mod identifiers;
mod layer;
pub mod middleware;
pub mod multipart;
mod next;
mod pairs;
mod pattern;
mod percent;
mod places;
mod receive;
mod rejection;
mod respond;
mod response;
mod route_error;
mod router;
mod routes;
mod service;
mod shapes;
mod span;
pub mod sse;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;
mod trace;
mod upgrade;
pub mod websocket;
mod wire;

pub use gannet::proto::http::{HeaderError, Method, Request, Requests, Version};

#[cfg(feature = "cookies")]
pub use cookie::{Cookie, SameSite};

pub use crate::cx::Cx;
pub use crate::deferred::Later;
pub use crate::files::Files;
pub use crate::layer::Layer;
pub use crate::percent::decode;
pub use crate::receive::{Receive, Receiving};
pub use crate::rejection::Rejection;
pub use crate::respond::{Html, Json, Redirect};
pub use crate::response::{Reply, Respond};
pub use crate::route_error::RouteError;
pub use crate::router::{Router, State};
pub use crate::routes::Routes;
pub use crate::service::{DEFERRED_TIMEOUT, DRAIN_GRACE, DROPPED_BODY, HttpService, Session};
pub use crate::span::{Recorder, Sampling, Span, SpanKind, SpanValue, Tracer};
pub use crate::stream::{Ended, JoinStreamError, Source, Stream};
pub use crate::trace::Trace;
pub use crate::wire::{Incoming, Outgoing, Protocol, Wire, WireError};
