//! Routes as they were built, and how a request finds its own.

use std::fmt;
use std::mem;
use std::sync::Arc;

use gannet::Context;
use gannet::proto::http::{Method, Request};

use crate::admission::{Endpoint, Route, admit};
use crate::cx::{Cx, Missing};
use crate::draft::Draft;
use crate::fallbacks::Fallbacks;
use crate::places::{Params, Places};
use crate::service::{Dispatch, HttpService};

/// Holds the routes that a [`Router`](crate::Router) built. They never change, and all reactors share them: a clone is cheap.
#[derive(Clone)]
pub struct Routes(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    /// One for each method that has routes; few, so they are searched in order.
    pub(crate) trees: Vec<Tree>,
    /// The routes of all methods.
    pub(crate) routes: Vec<Route>,
    /// What answers where there is no route.
    pub(crate) missing: Box<dyn Endpoint>,
    /// What answers in its place, for paths that begin as these say.
    pub(crate) fallbacks: Fallbacks,
}

/// The routes of a method.
pub(crate) struct Tree {
    pub(crate) method: String,
    pub(crate) places: Places,
}

/// The part of the service that knows routes: it is here because the service is below them.
impl HttpService {
    /// Serves these routes with the default limits and deadlines.
    #[must_use]
    pub fn new(routes: &Routes) -> Self {
        Self::dispatching(routes.0.clone())
    }
}

impl Dispatch for Inner {
    #[inline]
    fn answer<'a>(
        &'a self,
        request: Request<'a>,
        draft: &'a mut Draft,
        engine: &'a Context<'a, HttpService>,
        serial: u64,
    ) {
        let mut cx =
            Cx { request, route: None, params: None, missing: Missing::Path, draft, engine, serial, refusal: None };
        self.find(&mut cx).0.run(&mut cx);
    }

    fn answer_by_head<'a>(
        &'a self,
        request: Request<'a>,
        draft: &'a mut Draft,
        engine: &'a Context<'a, HttpService>,
        serial: u64,
    ) -> bool {
        let mut cx =
            Cx { request, route: None, params: None, missing: Missing::Path, draft, engine, serial, refusal: None };
        let (endpoint, by_head) = self.find(&mut cx);
        if by_head {
            endpoint.run(&mut cx);
            return true;
        }
        !admit(endpoint, &mut cx)
    }
}

impl Inner {
    /// What answers a request, for which `cx` is prepared, and whether that is called when the head has come.
    #[inline]
    fn find<'a>(&'a self, cx: &mut Cx<'a>) -> (&'a dyn Endpoint, bool) {
        let (method, path) = (cx.request.method, cx.request.path());
        let mut found = self.at(method.as_str(), path);
        if found.is_none() && method == Method::Head {
            found = self.at("GET", path);
        }
        match found {
            Some((place, params)) => {
                let route = &self.routes[place as usize];
                cx.route = Some(&route.pattern);
                cx.params = Some(params);
                (&*route.endpoint, route.by_head)
            }
            None => (self.missing(cx), true),
        }
    }

    /// What answers a request that has no route.
    #[cold]
    fn missing<'a>(&'a self, cx: &mut Cx<'a>) -> &'a dyn Endpoint {
        let (method, path) = (cx.request.method, cx.request.path());
        cx.missing = if self.knows(method) { self.allowed(path) } else { Missing::Method };
        match self.fallbacks.at(path).filter(|_| matches!(cx.missing, Missing::Path)) {
            Some((fallback, params)) => {
                cx.params = Some(params);
                fallback
            }
            None => &*self.missing,
        }
    }

    #[inline]
    fn at<'a>(&'a self, method: &str, path: &'a str) -> Option<(u32, Params<'a>)> {
        self.trees.iter().find(|tree| tree.method == method)?.places.at(path)
    }

    /// Whether a method is one of RFC 9110 or RFC 5789, or has a route.
    #[cold]
    fn knows(&self, method: Method<'_>) -> bool {
        !matches!(method, Method::Other(_)) || self.trees.iter().any(|tree| tree.method == method.as_str())
    }

    /// What a path has, where it has no route for the method that was asked for.
    #[cold]
    fn allowed(&self, path: &str) -> Missing {
        let trees = self.trees.iter().filter(|tree| path == "*" || tree.places.at(path).is_some());
        let mut methods: Vec<&str> = trees.map(|tree| tree.method.as_str()).collect();
        if methods.is_empty() && path != "*" {
            return Missing::Path;
        }
        for (implied, by) in [("HEAD", "GET"), ("OPTIONS", "")] {
            if (by.is_empty() || methods.contains(&by)) && !methods.contains(&implied) {
                methods.push(implied);
            }
        }
        Missing::Allowed(methods.join(", "))
    }
}

/// Answers where no route does.
pub(crate) fn not_routed(cx: &mut Cx<'_>) {
    match mem::replace(&mut cx.missing, Missing::Path) {
        Missing::Path => cx.refuse(404, "not found\n"),
        Missing::Method => cx.refuse(501, "method not implemented\n"),
        Missing::Allowed(allow) => {
            if cx.method() == Method::Options {
                cx.status(204);
            } else {
                cx.refuse(405, "method not allowed\n");
            }
            cx.header("Allow", allow);
        }
    }
}

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods = self.trees.iter().map(|tree| &tree.method);
        f.debug_struct("Routes").field("methods", &methods.collect::<Vec<_>>()).finish_non_exhaustive()
    }
}
