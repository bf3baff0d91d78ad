//! A line in the log for each request.

use crate::cx::Cx;
use crate::layer::Layer;

/// Logs each request when it was answered, at the level `info` with the target `gannet_http::access`: who sent it, what
/// it was, the status, the size of the body, and its name where [`RequestId`](super::RequestId) is outside. The path is
/// logged as it was sent, without the query, which may have secrets in it.
///
/// Where nobody listens for that level it costs a look at an atomic. How long a handler took is not said: no clock is
/// read for a request ([`HandlerTime`](super::HandlerTime) measures a sample).
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessLog;

impl Layer for AccessLog {
    #[inline]
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        next(cx);
        tracing::info!(
            target: "gannet_http::access",
            peer = %cx.peer(),
            method = cx.method().as_str(),
            path = cx.path(),
            status = cx.response_status(),
            bytes = cx.response_body().len(),
            request_id = cx.request_id(),
            "request"
        );
    }
}
