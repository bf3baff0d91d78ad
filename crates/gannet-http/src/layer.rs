//! The trait of middleware.

use crate::cx::Cx;

/// Middleware: runs around handlers. Add it with [`Router::layer`](crate::Router::layer).
///
/// The compiler makes one function of a layer and each handler that is added after it: a request walks no chain of boxes.
/// [`middleware`](crate::middleware) has ready-made layers.
///
/// A layer of your own takes five lines. It may look at the request, answer in place of the handler by not calling `next`,
/// and change the response afterwards:
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
/// Set header fields after `next`: [`Cx::reset`], which [`Recover`](crate::middleware::Recover) calls, removes those that
/// were set before. A layer is called on the threads of all reactors; use atomics for what it counts.
///
/// # Before the body comes
///
/// Layers and handlers are called when the body is whole. To refuse a request by its head, before the client sends the body,
/// implement [`admit`](Self::admit) too:
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
    /// Handles a request: calls `next`, or answers in place of it. It is called once for each request.
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>));

    /// Decides by the head whether to accept a request, before its body is read.
    ///
    /// A client with `Expect: 100-continue` is told to send its body after all layers have accepted. If you return `false`,
    /// the response in `cx` is sent; [`call`](Self::call) is then called only on the layers outside of this one. If you
    /// return `true`, anything that was written to `cx` is dropped, and `call` follows when the body has come.
    ///
    /// This is called only if the body comes after the head, and not for routes of
    /// [`Router::upload`](crate::Router::upload); in all other cases `call` decides. The body in `cx` is empty. By default
    /// all requests are accepted.
    fn admit(&self, cx: &mut Cx<'_>) -> bool {
        let _ = cx;
        true
    }

    /// Returns the layer for one route; it is called when the routes are built.
    ///
    /// By default that is a clone. Implement it to keep something for each route. Responses without a route, such as 404,
    /// have the layer itself around them.
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

/// The layer, or none.
impl<L: Layer> Layer for Option<L> {
    #[inline]
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        match self {
            Some(layer) => layer.call(cx, next),
            None => next(cx),
        }
    }

    fn admit(&self, cx: &mut Cx<'_>) -> bool {
        self.as_ref().is_none_or(|layer| layer.admit(cx))
    }

    fn around(&self, method: &str, pattern: &str) -> Self {
        self.as_ref().map(|layer| layer.around(method, pattern))
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
