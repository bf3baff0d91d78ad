//! How long responses may take.

use std::time::Duration;

use crate::cx::Cx;
use crate::layer::Layer;

/// Sets how long responses may take that come later ([`Cx::offload`], [`Cx::defer`]), which become a 503 over it, and
/// those that are [streams](Cx::stream), which are broken off. Of several such times the shortest counts.
///
/// It does not interrupt a handler: that runs on the reactor's thread, and nothing can until it returns. The engine logs
/// those that take too long as stalls.
#[derive(Clone, Copy, Debug)]
pub struct Timeout(pub Duration);

impl Layer for Timeout {
    #[inline]
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        cx.deadline(self.0);
        next(cx);
    }
}
