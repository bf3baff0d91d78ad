//! Continues traces through several servers, and records requests as spans.

use gannet::proto::http::{Method, Version};

use crate::cx::Cx;
use crate::identifiers::{mix, seed};
use crate::layer::Layer;
use crate::response::Reply;
use crate::span::{Span, SpanKind, Tracer};
use crate::trace::Trace;

/// Continues traces through several servers (W3C Trace Context).
///
/// It continues the trace in a request's `traceparent`, or begins one if the field is missing or malformed. Handlers read the
/// [`Trace`] with [`Cx::extension`] and pass it on to other servers. The response carries it in `traceresponse`, and the line
/// of [`AccessLog`](super::AccessLog) in `trace_id`.
///
/// A trace that begins here is not sampled, because nothing here records it; [`recording`](Self::recording) changes that.
/// Its identifiers are not secret.
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
    tracer: Option<Tracer>,
    scheme: &'static str,
}

impl TraceContext {
    /// Makes the layer. Its identifiers very likely differ from those of other processes.
    #[must_use]
    pub fn new() -> Self {
        Self { seed: seed(), tracer: None, scheme: "http" }
    }

    /// Makes a layer that records each request of a sampled trace as a [`Span`], by OpenTelemetry's conventions for HTTP.
    ///
    /// The span ends when the response is made; of a [stream](Cx::stream), when it begins. If the client disconnects before a
    /// deferred response, the span has the error `disconnected`. Requests that no layer sees, because they are malformed,
    /// have no span. The query is left out, since it may contain secrets.
    ///
    /// While the tracer [is off](Tracer::is_off), requests pass as if the layer were not there: they have no [`Trace`].
    #[must_use]
    pub fn recording(tracer: &Tracer) -> Self {
        Self { tracer: Some(tracer.clone()), ..Self::new() }
    }

    /// Says that clients come over TLS: spans then have `https` as their scheme (default `http`).
    #[must_use]
    pub fn secure(self, secure: bool) -> Self {
        Self { scheme: if secure { "https" } else { "http" }, ..self }
    }

    /// The trace of a request, where nothing is recorded.
    fn unrecorded(&self, cx: &Cx<'_>, traceparent: Option<&[u8]>) -> Trace {
        let number = self.seed ^ (cx.reactor() as u64) << 48 ^ cx.serial;
        // No number here is 0.
        let (span_id, high, low) = (mix(number) | 1, mix(!number) | 1, mix(number.rotate_left(32)));
        let begins = || {
            let trace_id = u128::from(high) << 64 | u128::from(low);
            Trace { trace_id, span_id, parent_id: 0, sampled: false }
        };
        traceparent.and_then(|value| Trace::of(value, span_id)).unwrap_or_else(begins)
    }
}

impl Default for TraceContext {
    fn default() -> Self {
        Self::new()
    }
}

impl Layer for TraceContext {
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        if self.tracer.as_ref().is_some_and(Tracer::is_off) {
            return next(cx);
        }
        let mut fields = cx.request.header_all("traceparent");
        let traceparent = fields.next().filter(|_| fields.next().is_none());
        let trace = match &self.tracer {
            Some(tracer) => traceparent.and_then(|value| tracer.resume(value)).unwrap_or_else(|| tracer.begin()),
            None => self.unrecorded(cx, traceparent),
        };
        let recorded = self.tracer.as_ref().filter(|_| trace.sampled);
        let open = recorded.map(|tracer| Open { tracer: tracer.clone(), span: Some(begin(cx, trace, self.scheme)) });
        cx.insert(trace);
        next(cx);
        cx.finally(move |reply| {
            reply.header("traceresponse", trace.to_string());
            if let Some(open) = open {
                open.end(reply);
            }
        });
    }
}

/// Begins the span of a request.
#[cold]
fn begin(cx: &Cx<'_>, trace: Trace, scheme: &'static str) -> Span {
    // Any token may be a method: the names of spans are few only without those that nobody knows.
    let method = if let Method::Other(_) = cx.method() { None } else { Some(cx.method().as_str().to_owned()) };
    let named = method.as_deref().unwrap_or("HTTP");
    let name = cx.route().map_or_else(|| named.to_owned(), |route| format!("{named} {route}"));
    let mut span = Span::begin(trace, SpanKind::Server, name);
    span.attribute("http.request.method", method.as_deref().unwrap_or("_OTHER"));
    if method.is_none() {
        span.attribute("http.request.method_original", cx.method().as_str());
    }
    span.attribute("url.scheme", scheme);
    span.attribute("url.path", cx.path());
    if let Some(route) = cx.route() {
        span.attribute("http.route", route);
    }
    span.attribute("network.protocol.version", if cx.request().version == Version::Http10 { "1.0" } else { "1.1" });
    if let Some(peer) = cx.peer().ip() {
        span.attribute("client.address", &*peer.to_canonical().to_string());
    }
    let text = |name: &str| cx.request_header(name).and_then(|value| std::str::from_utf8(value).ok());
    if let Some(host) = text("host") {
        let (address, port) = address_of(host);
        span.attribute("server.address", address);
        if let Some(port) = port {
            span.attribute("server.port", port);
        }
    }
    if let Some(agent) = text("user-agent") {
        span.attribute("user_agent.original", agent);
    }
    span
}

/// The host and the port that a `Host` field names.
fn address_of(host: &str) -> (&str, Option<u16>) {
    match host.rsplit_once(':') {
        Some((address, port)) if !address.is_empty() && !address.ends_with(':') => match port.parse() {
            Ok(port) => (address, Some(port)),
            Err(_) => (host, None),
        },
        _ => (host, None),
    }
}

/// A span of a request whose response is not made yet.
struct Open {
    tracer: Tracer,
    span: Option<Span>,
}

impl Open {
    fn end(mut self, reply: &Reply<'_>) {
        let Some(mut span) = self.span.take() else { return };
        let (status, bytes) = reply.draft.outcome();
        span.attribute("http.response.status_code", status);
        span.attribute("http.response.body.size", bytes);
        if status >= 500 {
            span.fail(&status.to_string());
        }
        self.tracer.end(span);
    }
}

/// Nobody waits for the response any more.
impl Drop for Open {
    fn drop(&mut self) {
        if let Some(mut span) = self.span.take() {
            span.fail(if std::thread::panicking() { "panic" } else { "disconnected" });
            self.tracer.end(span);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_read_with_and_without_a_port() {
        for (host, address, port) in [
            ("example.com", "example.com", None),
            ("example.com:8080", "example.com", Some(8_080)),
            ("127.0.0.1:80", "127.0.0.1", Some(80)),
            ("[::1]:80", "[::1]", Some(80)),
            ("[::1]", "[::1]", None),
            ("a:99999", "a:99999", None),
            (":80", ":80", None),
            ("", "", None),
        ] {
            assert_eq!(address_of(host), (address, port), "{host}");
        }
    }
}
