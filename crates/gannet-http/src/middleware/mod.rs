//! Layers that are ready: put them around routes with [`Router::layer`](crate::Router::layer), the outermost first.
//!
//! | layer | what it does |
//! |---|---|
//! | [`RequestId`] | gives each request a name, in the response and for the log |
//! | [`AccessLog`] | a line in the log for each request |
//! | [`HandlerTime`] | how long handlers take, of a sample of requests |
//! | [`TraceContext`] | follows traces through servers |
//! | [`Recover`] | a panic of a handler becomes a 500 |
//! | [`Cors`] | lets pages of other origins read answers |
//! | [`RateLimit`] | bounds how many requests a client may make |
//! | [`Bearer`] | asks for a token |
//! | [`Guard`] | asks a function of yours who passes |
//! | `Sessions` | keeps a value for each client, in a signed cookie; with the feature `sessions` |
//! | [`Gzip`] | compresses responses |
//! | [`Timeout`] | sets how long responses may take that come later or piece by piece |
//!
//! In this order they do what one expects: an answer to a panic has its name and its line in the log, and the check of a
//! browser that knows no token yet is answered; who tries tokens is held up.
//!
//! ```
//! use std::time::Duration;
//!
//! use gannet_http::Router;
//! use gannet_http::middleware::{AccessLog, Bearer, Cors, RateLimit, Recover, RequestId, Timeout};
//!
//! let routes = Router::new()
//!     .layer(RequestId::new())
//!     .layer(AccessLog)
//!     .layer(Recover)
//!     .layer(Cors::origins(["https://example.com"]))
//!     .layer(RateLimit::per_second(50))
//!     .layer(Bearer::new("secret"))
//!     .layer(Timeout(Duration::from_secs(5)))
//!     .get("/", |cx| cx.text("it flies\n"))
//!     .build()?;
//! # Ok::<(), gannet_http::RouteError>(())
//! ```

#[cfg(feature = "gzip")]
mod accept_encoding;
mod access_log;
mod bearer;
mod buckets;
mod cors;
mod guard;
#[cfg(feature = "gzip")]
mod gzip;
mod handler_time;
mod rate_limit;
mod recover;
mod request_id;
#[cfg(feature = "sessions")]
mod sessions;
mod timeout;
mod trace_context;

pub use access_log::AccessLog;
pub use bearer::Bearer;
pub use cors::Cors;
pub use guard::Guard;
#[cfg(feature = "gzip")]
pub use gzip::Gzip;
pub use handler_time::{HandlerTime, RouteTimes};
pub use rate_limit::RateLimit;
pub use recover::Recover;
pub use request_id::RequestId;
#[cfg(feature = "sessions")]
pub use sessions::{SessionError, Sessions};
pub use timeout::Timeout;
pub use trace_context::TraceContext;
