//! Sets how long responses may take.

use std::time::Duration;

use crate::cx::Cx;
use crate::layer::Layer;

/// Sets how long deferred and streamed responses may take.
///
/// When the time is over, a deferred response ([`Cx::offload`], [`Cx::defer`]) becomes a 503, and a [stream](Cx::stream) is
/// broken off. Of several such times the shortest one counts.
///
/// It does not interrupt a handler, which runs on the reactor's thread until it returns. The engine logs handlers that take
/// too long as stalls.
#[derive(Clone, Copy, Debug)]
pub struct Timeout(pub Duration);

impl Layer for Timeout {
    #[inline]
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        cx.deadline(self.0);
        next(cx);
    }
}
