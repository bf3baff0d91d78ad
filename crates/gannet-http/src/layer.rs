//! Middleware: what runs around a handler.

use crate::cx::Cx;

/// Middleware. It is given to [`Router::layer`](crate::Router::layer), and becomes one function with each handler that
/// is added after it: there is no chain of boxes to walk for a request. [`middleware`](crate::middleware) has those
/// that are ready.
///
/// One of your own takes five lines. It may look at the request, answer in place of the handler by not calling `next`,
/// and change the response after it:
///
/// ```
/// use gannet_http::{Cx, Layer, Router};
///
/// #[derive(Clone)]
/// struct ServedBy(&'static str);
///
/// impl Layer for ServedBy {
///     fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
///         next(cx);
///         cx.header("Served-By", self.0);
///     }
/// }
///
/// let routes = Router::new().layer(ServedBy("gannet")).get("/", |cx| cx.text("it flies\n")).build()?;
/// # Ok::<(), gannet_http::RouteError>(())
/// ```
///
/// Header fields are best set after `next`: [`Cx::reset`], which [`Recover`](crate::middleware::Recover) calls, takes
/// out those that were set before. A layer is called on every reactor's thread, so what it counts or keeps has to be
/// shared with care.
pub trait Layer: Clone + Send + Sync + 'static {
    /// Handles a request, by `next` or in place of it.
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>));

    /// The layer as it is around one route: called when that is added. A clone, unless something is kept for each
    /// route; the answers that no route gives have the layer itself around them.
    #[must_use]
    fn around(&self, method: &str, pattern: &str) -> Self {
        let _ = (method, pattern);
        self.clone()
    }
}

/// No layer.
impl Layer for () {
    #[inline]
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        next(cx);
    }
}

/// The second layer inside the first.
impl<A: Layer, B: Layer> Layer for (A, B) {
    #[inline]
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        self.0.call(cx, |cx: &mut Cx<'_>| self.1.call(cx, &next));
    }

    fn around(&self, method: &str, pattern: &str) -> Self {
        (self.0.around(method, pattern), self.1.around(method, pattern))
    }
}
