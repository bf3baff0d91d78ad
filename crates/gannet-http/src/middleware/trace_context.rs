//! Continues traces through several servers.

use crate::cx::Cx;
use crate::layer::Layer;
use crate::middleware::request_id::{mix, seed};
use crate::trace::Trace;

/// Continues traces through several servers (W3C Trace Context).
///
/// It continues the trace in a request's `traceparent`, or begins one if the field is missing or malformed. Handlers read the
/// [`Trace`] with [`Cx::extension`] and pass it on to other servers. The response carries it in `traceresponse`, and the line
/// of [`AccessLog`](super::AccessLog) in `trace_id`.
///
/// A trace that begins here is not sampled, because nothing here records it. Its identifiers are not secret.
///
/// ```
/// use gannet_http::middleware::{AccessLog, TraceContext};
/// use gannet_http::{Cx, Rejection, Router, Trace};
///
/// fn ask_another(cx: &mut Cx<'_>) -> Result<String, Rejection> {
///     let trace: &Trace = cx.extension()?;
///     Ok(format!("ask with traceparent: {trace}\n"))
/// }
///
/// let routes = Router::new().layer(TraceContext::new()).layer(AccessLog).get("/", ask_another).build()?;
/// # Ok::<(), gannet_http::RouteError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TraceContext {
    seed: u64,
}

impl TraceContext {
    /// Makes the layer. Its identifiers very likely differ from those of other processes.
    #[must_use]
    pub fn new() -> Self {
        Self { seed: seed() }
    }
}

impl Default for TraceContext {
    fn default() -> Self {
        Self::new()
    }
}

impl Layer for TraceContext {
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        let number = self.seed ^ (cx.reactor() as u64) << 48 ^ cx.serial;
        // No number here is 0.
        let (span_id, high, low) = (mix(number) | 1, mix(!number) | 1, mix(number.rotate_left(32)));
        let mut fields = cx.request.header_all("traceparent");
        let traceparent = fields.next().filter(|_| fields.next().is_none());
        let begins = || {
            let trace_id = u128::from(high) << 64 | u128::from(low);
            Trace { trace_id, span_id, parent_id: 0, sampled: false }
        };
        let trace = traceparent.and_then(|value| Trace::of(value, span_id)).unwrap_or_else(begins);
        cx.insert(trace);
        next(cx);
        cx.finally(move |reply| reply.header("traceresponse", trace.to_string()));
    }
}
