//! Methods that add handlers to a router.

use super::{Router, State};
use crate::cx::Cx;
use crate::layer::Layer;
use crate::respond::respond;
use crate::response::Respond;

/// The same methods for routers with a state and without one, which differ in what a handler takes.
macro_rules! handler_methods {
    ($state:ident: ($($argument:ty),*) => $call:expr) => {
        /// Adds a route for `GET`, which also answers `HEAD` unless that has a route of its own.
        pub fn get<F, R: Respond>(self, path: &str, handler: F) -> Self
        where
            F: Fn(&mut Cx<'_>, $($argument),*) -> R + Send + Sync + 'static,
        {
            self.route("GET", path, handler)
        }

        /// Adds a route for `POST`.
        pub fn post<F, R: Respond>(self, path: &str, handler: F) -> Self
        where
            F: Fn(&mut Cx<'_>, $($argument),*) -> R + Send + Sync + 'static,
        {
            self.route("POST", path, handler)
        }

        /// Adds a route for `PUT`.
        pub fn put<F, R: Respond>(self, path: &str, handler: F) -> Self
        where
            F: Fn(&mut Cx<'_>, $($argument),*) -> R + Send + Sync + 'static,
        {
            self.route("PUT", path, handler)
        }

        /// Adds a route for `PATCH`.
        pub fn patch<F, R: Respond>(self, path: &str, handler: F) -> Self
        where
            F: Fn(&mut Cx<'_>, $($argument),*) -> R + Send + Sync + 'static,
        {
            self.route("PATCH", path, handler)
        }

        /// Adds a route for `DELETE`.
        pub fn delete<F, R: Respond>(self, path: &str, handler: F) -> Self
        where
            F: Fn(&mut Cx<'_>, $($argument),*) -> R + Send + Sync + 'static,
        {
            self.route("DELETE", path, handler)
        }

        /// Adds a route for a method of any name; upper and lower case differ. Requests with `CONNECT` reach no route.
        pub fn route<F, R: Respond>(self, method: &str, path: &str, handler: F) -> Self
        where
            F: Fn(&mut Cx<'_>, $($argument),*) -> R + Send + Sync + 'static,
        {
            let $state = self.state.clone();
            self.add(method, path, false, move |cx| respond($call(&handler, cx, &$state), cx))
        }

        /// Adds a route whose handler is called when the head of a request has come, before its body.
        ///
        /// The handler receives the body piece by piece with [`Cx::receive`], or answers without it. Layers also run when the
        /// head has come.
        pub fn upload<F, R: Respond>(self, method: &str, path: &str, handler: F) -> Self
        where
            F: Fn(&mut Cx<'_>, $($argument),*) -> R + Send + Sync + 'static,
        {
            let $state = self.state.clone();
            self.add(method, path, true, move |cx| respond($call(&handler, cx, &$state), cx))
        }

        /// Sets the handler for paths without a route, in place of a 404: a single-page application, or an error in JSON.
        ///
        /// In a group or a nested router it answers for the paths beneath its prefix; of several fallbacks, the one with the
        /// longest prefix answers. The layers that were added before are around it.
        ///
        /// It is called when the head of a request has come, and the body is dropped; see
        /// [`HttpService`](crate::HttpService#bodies). The status is 200 unless the handler sets another one. A path that has
        /// routes for other methods is still answered with 405.
        ///
        /// ```
        /// use gannet_http::{Json, Router};
        ///
        /// let routes = Router::new()
        ///     .group("/api", |api| api.fallback(|_| (404, Json("no such endpoint"))))
        ///     .fallback(|cx| cx.text("the page of the application\n"))
        ///     .build()?;
        /// # Ok::<(), gannet_http::RouteError>(())
        /// ```
        pub fn fallback<F, R: Respond>(self, handler: F) -> Self
        where
            F: Fn(&mut Cx<'_>, $($argument),*) -> R + Send + Sync + 'static,
        {
            let $state = self.state.clone();
            self.add_fallback(move |cx| respond($call(&handler, cx, &$state), cx))
        }
    };
}

/// Handlers without a state.
impl<L: Layer> Router<L> {
    handler_methods!(state: () => |handler: &F, cx: &mut Cx<'_>, (): &()| handler(cx));
}

/// Handlers with a [state](Router::state), which they take as a second argument.
impl<L: Layer, S: Send + Sync + ?Sized + 'static> Router<L, State<S>> {
    handler_methods!(state: (&S) => |handler: &F, cx: &mut Cx<'_>, state: &State<S>| handler(cx, &state.0));
}
