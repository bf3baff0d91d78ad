//! Routes as they are added, and what is wrong with them.

use std::mem;
use std::sync::Arc;

use matchit::InsertError;

use crate::cx::Cx;
use crate::files::{Files, redirect_to_directory};
use crate::layer::Layer;
use crate::places::Places;
use crate::routes::{Inner, Route, Routes, Tree, not_routed};

/// Takes routes and layers, and makes [`Routes`] of them.
///
/// | pattern | matches |
/// |---|---|
/// | `/about` | exactly that: not `/about/` |
/// | `/users/{id}` | one segment, which is not empty: `/users/7`, not `/users/` nor `/users/7/posts` |
/// | `/{name}.txt` | a part of a segment |
/// | `/files/{*path}` | all that is left, which is not empty: `/files/a/b` |
/// | `/{{braces}}` | braces as they are |
///
/// What is fixed goes before `{id}`, and `{id}` before `{*path}`, in whatever order they were added. The path is
/// compared as it was sent, percent-encoding and all.
///
/// `HEAD` is served by the handler of `GET`, whose body is left out, unless it has a route of its own. `OPTIONS` is
/// answered with `Allow` where it has none, `OPTIONS *` with the methods of all routes. A path that has routes for
/// other methods only is answered with 405 and `Allow`, any other with 404.
///
/// ```
/// use gannet_http::Router;
/// use gannet_http::middleware::{Bearer, Recover};
///
/// let routes = Router::new()
///     .layer(Recover)
///     .get("/", |cx| cx.text("it flies\n"))
///     .group("/admin", |admin| {
///         admin.layer(Bearer::new("secret")).post("/users/{id}", |cx| cx.status(204))
///     })
///     .build()?;
/// # Ok::<(), gannet_http::RouteError>(())
/// ```
#[must_use = "a router does nothing until it is built"]
pub struct Router<L = ()> {
    layers: L,
    prefix: String,
    made: Made,
}

/// What was added so far.
#[derive(Default)]
struct Made {
    methods: Vec<Added>,
    routes: Vec<Route>,
    /// The first mistake.
    error: Option<RouteError>,
}

/// The routes of a method.
struct Added {
    method: String,
    /// Refuses what conflicts.
    tree: matchit::Router<u32>,
    /// The same, in the order they were added.
    places: Vec<u32>,
}

impl Added {
    fn build(self, routes: &[Route]) -> Tree {
        let patterns = self.places.iter().map(|&place| (place, &*routes[place as usize].pattern)).collect();
        Tree { method: self.method, places: Places::of(patterns, self.tree) }
    }
}

impl Router {
    /// No route and no layer.
    pub fn new() -> Self {
        Self { layers: (), prefix: String::new(), made: Made::default() }
    }
}

impl Default for Router {
    fn default() -> Self {
        Self::new()
    }
}

impl<L: Layer> Router<L> {
    /// Puts a layer around all routes that are added from here on, inside the layers that are there already. Outside
    /// of groups, layers are also around the answers that no route gives: 404, 405, and `OPTIONS`.
    pub fn layer<N: Layer>(self, layer: N) -> Router<(L, N)> {
        Router { layers: (self.layers, layer), prefix: self.prefix, made: self.made }
    }

    /// Adds routes whose paths begin with `prefix`, which begins with a slash and does not end with one. Layers that
    /// are put around them there are around them only. In a group the path may be empty: then it is the prefix.
    pub fn group<M>(mut self, prefix: &str, routes: impl FnOnce(Self) -> Router<M>) -> Self {
        if !prefix.starts_with('/') || prefix.ends_with('/') {
            let why = "a group's prefix begins with a slash and does not end with one".to_owned();
            self.made.error.get_or_insert(RouteError::Pattern { route: prefix.to_owned(), why });
        }
        let prefix = self.prefix.clone() + prefix;
        let inside = Self { layers: self.layers.clone(), prefix, made: mem::take(&mut self.made) };
        self.made = routes(inside).made;
        self
    }

    /// Adds a route for `GET`, and for `HEAD` where that has none.
    pub fn get<F: Fn(&mut Cx<'_>) + Send + Sync + 'static>(self, path: &str, handler: F) -> Self {
        self.route("GET", path, handler)
    }

    /// Adds a route for `POST`.
    pub fn post<F: Fn(&mut Cx<'_>) + Send + Sync + 'static>(self, path: &str, handler: F) -> Self {
        self.route("POST", path, handler)
    }

    /// Adds a route for `PUT`.
    pub fn put<F: Fn(&mut Cx<'_>) + Send + Sync + 'static>(self, path: &str, handler: F) -> Self {
        self.route("PUT", path, handler)
    }

    /// Adds a route for `PATCH`.
    pub fn patch<F: Fn(&mut Cx<'_>) + Send + Sync + 'static>(self, path: &str, handler: F) -> Self {
        self.route("PATCH", path, handler)
    }

    /// Adds a route for `DELETE`.
    pub fn delete<F: Fn(&mut Cx<'_>) + Send + Sync + 'static>(self, path: &str, handler: F) -> Self {
        self.route("DELETE", path, handler)
    }

    /// Adds routes for the files of a directory, beneath `prefix`, which begins with a slash or is empty: `/static`
    /// serves `/static/` and all that is beneath it, and sends `/static` there.
    pub fn files(self, prefix: &str, files: Files) -> Self {
        let prefix = prefix.trim_end_matches('/');
        let files = Arc::new(files);
        let beneath = Arc::clone(&files);
        let router = self
            .get(&format!("{prefix}/"), move |cx| files.serve(cx, ""))
            .get(&format!("{prefix}/{{*path}}"), move |cx| beneath.serve(cx, cx.param("path")));
        if prefix.is_empty() { router } else { router.get(prefix, redirect_to_directory) }
    }

    /// Adds a route for any method, whose case matters. `CONNECT` never comes.
    pub fn route<F>(mut self, method: &str, path: &str, handler: F) -> Self
    where
        F: Fn(&mut Cx<'_>) + Send + Sync + 'static,
    {
        let pattern = self.prefix.clone() + path;
        let layers = self.layers.around(method, &pattern);
        let run = Box::new(move |cx: &mut Cx<'_>| layers.call(cx, &handler));
        if let Err(error) = self.made.add(method, Route { pattern, run }) {
            self.made.error.get_or_insert(error);
        }
        self
    }

    /// What was added, ready to be served.
    ///
    /// # Errors
    ///
    /// The first mistake in what was added.
    pub fn build(self) -> Result<Routes, RouteError> {
        let Self { layers, made: Made { methods, routes, error }, .. } = self;
        match error {
            Some(error) => Err(error),
            None => {
                let trees = methods.into_iter().map(|added| added.build(&routes)).collect();
                let missing = Box::new(move |cx: &mut Cx<'_>| layers.call(cx, not_routed));
                Ok(Routes(Arc::new(Inner { trees, routes, missing })))
            }
        }
    }
}

impl Made {
    fn add(&mut self, method: &str, route: Route) -> Result<(), RouteError> {
        let pattern = route.pattern.clone();
        if !pattern.starts_with('/') {
            return Err(RouteError::Pattern { route: pattern, why: "a path begins with a slash".to_owned() });
        }
        let at = match self.methods.iter().position(|added| added.method == method) {
            Some(at) => at,
            None => {
                let (method, tree) = (method.to_owned(), matchit::Router::new());
                self.methods.push(Added { method, tree, places: Vec::new() });
                self.methods.len() - 1
            }
        };
        let place = self.routes.len() as u32;
        self.routes.push(route);
        self.methods[at].places.push(place);
        self.methods[at].tree.insert(pattern.clone(), place).map_err(|error| match error {
            InsertError::Conflict { with } => RouteError::Conflict { method: method.to_owned(), route: pattern, with },
            error => RouteError::Pattern { route: pattern, why: error.to_string() },
        })
    }
}

/// Why routes cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// Two routes for one method would match the same paths.
    #[error("the route {method} {route} conflicts with {with}")]
    Conflict {
        /// Their method.
        method: String,
        /// The one that was added later.
        route: String,
        /// The one that was there.
        with: String,
    },

    /// A path is no pattern.
    #[error("{route:?} cannot be a route: {why}")]
    Pattern {
        /// The path.
        route: String,
        /// What is wrong with it.
        why: String,
    },
}
