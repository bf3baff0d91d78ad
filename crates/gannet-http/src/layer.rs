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
///
/// # Before the body comes
///
/// A request is handled when its body is whole. To answer from its head alone, before the client sends the body, implement
/// [`admit`](Self::admit) too:
///
/// ```
/// use gannet_http::{Cx, Layer};
///
/// #[derive(Clone)]
/// struct OnlyJson;
///
/// impl OnlyJson {
///     fn is_json(cx: &Cx<'_>) -> bool {
///         cx.request_header("content-type") == Some(b"application/json")
///     }
/// }
///
/// impl Layer for OnlyJson {
///     fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
///         if Self::is_json(cx) { next(cx) } else { cx.refuse(415, "send JSON\n") }
///     }
///
///     fn admit(&self, cx: &mut Cx<'_>) -> bool {
///         let admitted = Self::is_json(cx);
///         if !admitted {
///             cx.refuse(415, "send JSON\n");
///         }
///         admitted
///     }
/// }
/// ```
pub trait Layer: Clone + Send + Sync + 'static {
    /// Handles a request, by `next` or in place of it. Called once for each request.
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>));

    /// Decides by the head of a request, before its body is read and before a client with `Expect: 100-continue` is told
    /// to send it. After `false` the response in `cx` is sent, and [`call`](Self::call) is called of the layers outside of
    /// this one, but not of this one. After `true` what was written to `cx` is dropped, and `call` follows when the body
    /// has come.
    ///
    /// Not called for requests that come whole, nor in routes of [`Router::upload`](crate::Router::upload): `call` decides on
    /// those. The body is empty here. Accepts all by default.
    fn admit(&self, cx: &mut Cx<'_>) -> bool {
        let _ = cx;
        true
    }

    /// The layer as it is around one route: called when the routes are built. A clone, unless something is kept for each
    /// route; the answers that no route gives have the layer itself around them.
    #[must_use]
    fn around(&self, method: &str, pattern: &str) -> Self {
        let _ = (method, pattern);
        self.clone()
    }

    /// Calls this layer, or each of those that it consists of, unless the request was refused by its head.
    #[doc(hidden)]
    #[inline]
    fn run(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        if cx.reaches_layer() {
            self.call(cx, next);
        }
    }

    /// Asks this layer, or each of those that it consists of. Counts those that accept the request.
    #[doc(hidden)]
    #[inline]
    fn admit_all(&self, cx: &mut Cx<'_>, accepted: &mut usize) -> bool {
        let admitted = self.admit(cx);
        if admitted {
            *accepted += 1;
            cx.reset();
        }
        admitted
    }
}

/// No layer.
impl Layer for () {
    #[inline]
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        next(cx);
    }

    #[inline]
    fn run(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        next(cx);
    }

    #[inline]
    fn admit_all(&self, _: &mut Cx<'_>, _: &mut usize) -> bool {
        true
    }
}

/// The second layer inside the first.
impl<A: Layer, B: Layer> Layer for (A, B) {
    #[inline]
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        self.0.call(cx, |cx: &mut Cx<'_>| self.1.call(cx, &next));
    }

    fn admit(&self, cx: &mut Cx<'_>) -> bool {
        self.0.admit(cx) && self.1.admit(cx)
    }

    fn around(&self, method: &str, pattern: &str) -> Self {
        (self.0.around(method, pattern), self.1.around(method, pattern))
    }

    #[inline]
    fn run(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        self.0.run(cx, |cx: &mut Cx<'_>| self.1.run(cx, &next));
    }

    fn admit_all(&self, cx: &mut Cx<'_>, accepted: &mut usize) -> bool {
        self.0.admit_all(cx, accepted) && self.1.admit_all(cx, accepted)
    }
}
