//! Ready-made layers. Put them around routes with [`Router::layer`](crate::Router::layer), the outermost first.
//!
//! | layer | what it does |
//! |---|---|
//! | [`RequestId`] | gives each request an identifier, for the response and the log |
//! | [`AccessLog`] | logs each request |
//! | [`HandlerTime`] | measures handlers, for a sample of requests |
//! | [`TraceContext`] | continues traces through several servers, and may record them |
//! | [`Recover`] | answers with 500 when a handler panics |
//! | [`Cors`] | lets pages of other origins read responses |
//! | [`RateLimit`] | bounds the request rate of each client |
//! | [`Bearer`] | requires a token |
//! | [`Guard`] | asks a function of yours whether to accept a request |
//! | `Sessions` | keeps a value for each client in a signed cookie; needs the feature `sessions` |
//! | [`Gzip`] | compresses responses |
//! | [`Timeout`] | sets how long deferred and streamed responses may take |
//!
//! Use this order. The response to a panic then has an identifier and a line in the log. A browser's preflight request
//! needs no token. Clients that try tokens meet the rate limit.
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
