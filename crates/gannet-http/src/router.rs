//! Routes as they are added, and what is wrong with them.

use std::mem;
use std::sync::Arc;

use matchit::InsertError;

use crate::admission::Layered;
use crate::cx::Cx;
use crate::files::{Files, redirect_to_directory};
use crate::layer::Layer;
use crate::pattern;
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
/// A segment has one parameter at most, a pattern 25, each with a name of its own: letters, digits, `-` and `_`.
///
/// Segment by segment, what is fixed goes before `{name}.txt`, and that before `{name}` or `{*path}`, in whatever order
/// they were added. Where one leads nowhere the next is tried, but not `/{name}/b` once `/{name}.txt/a` has been. What
/// cannot be told apart is refused: `/{id}` beside `/{name}` or `/{*path}`, `/{name}.txt` beside `/v{number}`. The path
/// is compared as it was sent: percent-encoding, `//`, `..` and all.
///
/// `HEAD` is served by the handler of `GET`, whose body is left out, unless it has a route of its own. `OPTIONS` is
/// answered with `Allow` where it has none, `OPTIONS *` with the methods of all routes. A path that has routes for
/// other methods only is answered with 405 and `Allow`, any other with 404; a method that is neither of RFC 9110 or RFC 5789
/// nor of any route, with 501.
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
            self.made.refuse(prefix, "a group's prefix begins with a slash and does not end with one");
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
        let is_root = prefix.is_empty() && router.prefix.is_empty();
        if is_root { router } else { router.get(prefix, redirect_to_directory) }
    }

    /// Adds a route for any method, whose case matters. `CONNECT` never comes.
    pub fn route<F>(mut self, method: &str, path: &str, handler: F) -> Self
    where
        F: Fn(&mut Cx<'_>) + Send + Sync + 'static,
    {
        if !path.starts_with('/') && (!path.is_empty() || self.prefix.is_empty()) {
            self.made.refuse(path, "a path begins with a slash");
        }
        let pattern = self.prefix.clone() + path;
        let layers = self.layers.around(method, &pattern);
        self.made.add(method, Route { pattern, endpoint: Box::new(Layered { layers, handler }) });
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
                let missing = Box::new(Layered { layers, handler: not_routed });
                Ok(Routes(Arc::new(Inner { trees, routes, missing })))
            }
        }
    }
}

impl Made {
    fn refuse(&mut self, route: &str, why: impl Into<String>) {
        self.error.get_or_insert_with(|| RouteError::Pattern { route: route.to_owned(), why: why.into() });
    }

    fn add(&mut self, method: &str, route: Route) {
        if !is_method(method) {
            self.refuse(&route.pattern, format!("{method:?} is no method"));
        }
        if let Err(why) = pattern::check(&route.pattern) {
            self.refuse(&route.pattern, why);
        }
        if self.error.is_some() {
            return;
        }
        let at = self.methods.iter().position(|added| added.method == method).unwrap_or(self.methods.len());
        if at == self.methods.len() {
            let (method, tree) = (method.to_owned(), matchit::Router::new());
            self.methods.push(Added { method, tree, places: Vec::new() });
        }
        let Self { methods, routes, error } = self;
        match methods[at].tree.insert(&*route.pattern, routes.len() as u32) {
            Ok(()) => {
                methods[at].places.push(routes.len() as u32);
                routes.push(route);
            }
            Err(InsertError::Conflict { with }) => {
                // What the tree says may be another one.
                let mut known = methods[at].places.iter().map(|&place| &routes[place as usize].pattern);
                let with = known.find(|known| conflict(known, &route.pattern)).map_or(with, Clone::clone);
                *error = Some(RouteError::Conflict { method: method.to_owned(), route: route.pattern, with });
            }
            Err(other) => self.refuse(&route.pattern, other.to_string()),
        }
    }
}

/// Whether two patterns cannot be beside each other.
fn conflict(one: &str, other: &str) -> bool {
    let mut tree = matchit::Router::new();
    tree.insert(one, ()).and_then(|()| tree.insert(other, ())).is_err()
}

/// Whether this is a token (RFC 9110 §9.1).
fn is_method(text: &str) -> bool {
    let is_in_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_in_token)
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

    /// A path is no pattern, or its method none.
    #[error("{route:?} cannot be a route: {why}")]
    Pattern {
        /// The path.
        route: String,
        /// What is wrong with it.
        why: String,
    },
}
