//! Logs each request.

use std::fmt;

use gannet::Peer;
use tracing::field;

use crate::cx::Cx;
use crate::draft::Draft;
use crate::layer::Layer;
use crate::trace::Trace;

/// Logs each request when its response is made, at the level `info` with the target `gannet_http::access`.
///
/// A line has the peer, the method, the path, the status and the size of the body. It has the identifier if
/// [`RequestId`](super::RequestId) is outside of this layer, and the trace if [`TraceContext`](super::TraceContext) is. The
/// path is logged as it was sent, without the query, which may contain secrets.
///
/// If no subscriber listens at that level, a request costs one read of an atomic. The line does not say how long a handler
/// took, because no clock is read for each request; [`HandlerTime`](super::HandlerTime) measures a sample. For a deferred
/// response ([`Cx::offload`], [`Cx::defer`]) it has `took_ms`. A [stream](Cx::stream) is logged when it begins, without a
/// size. A request whose client disconnects before the response is not logged.
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessLog;

impl Layer for AccessLog {
    #[inline]
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        next(cx);
        if !tracing::enabled!(target: "gannet_http::access", tracing::Level::INFO) {
            return;
        }
        if cx.is_deferred() {
            return log_later(cx);
        }
        let line = Line { peer: cx.peer(), method: cx.method().as_str(), path: cx.path(), took_ms: None };
        line.log(cx.draft);
    }
}

/// Keeps what is said of the request until there is a response.
#[cold]
fn log_later(cx: &mut Cx<'_>) {
    let (peer, method, path) = (cx.peer(), cx.method().as_str().to_owned(), cx.path().to_owned());
    let began = cx.now();
    cx.finally(move |reply| {
        let took_ms = Some(reply.now().saturating_sub(began).as_millis() as u64);
        let line = Line { peer, method: &method, path: &path, took_ms };
        line.log(reply.draft);
    });
}

/// As `traceparent` has it.
struct TraceId(u128);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

struct Line<'a> {
    peer: Peer,
    method: &'a str,
    path: &'a str,
    took_ms: Option<u64>,
}

impl Line<'_> {
    fn log(&self, draft: &Draft) {
        let Self { peer, method, path, took_ms } = self;
        let (status, bytes) = draft.outcome();
        // Left out where requests have none.
        let request_id = (!draft.request_id.is_empty()).then_some(&*draft.request_id);
        let trace_id = draft.extensions.get::<Trace>().map(|trace| field::display(TraceId(trace.trace_id)));
        tracing::info!(
            target: "gannet_http::access",
            %peer, method, path, status, bytes, request_id, trace_id, took_ms, "request"
        );
    }
}
