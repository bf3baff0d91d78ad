//! Takes routes and layers, and builds routes of them.

mod handlers;

use std::any::TypeId;
use std::mem;
use std::sync::Arc;

use matchit::InsertError;

use crate::admission::{Endpoint, Layered, Nested, Route};
use crate::cx::Cx;
use crate::fallbacks::Fallbacks;
use crate::files::{Files, redirect_to_directory};
use crate::layer::Layer;
use crate::pattern;
use crate::places::Places;
use crate::route_error::RouteError;
use crate::routes::{Inner, Routes, Tree, not_routed};

/// Takes routes and layers, and builds [`Routes`] of them.
///
/// | pattern | matches |
/// |---|---|
/// | `/about` | exactly that: not `/about/` |
/// | `/users/{id}` | one segment, which is not empty: `/users/7`, not `/users/` nor `/users/7/posts` |
/// | `/{name}.txt` | a part of a segment |
/// | `/files/{*path}` | the rest, which is not empty: `/files/a/b` |
/// | `/{{braces}}` | `/{braces}` |
///
/// A segment may have one parameter, a pattern up to 25. Their names differ and consist of letters, digits, `-` and `_`.
///
/// If several patterns match, the order in which they were added does not matter. In each segment, fixed text comes first,
/// then `{name}.txt`, then `{name}` and `{*path}`. If a choice leads nowhere, the next one is tried, except that `/{name}/b`
/// is not tried after `/{name}.txt/a`. Patterns that could not be told apart are refused: `/{id}` beside `/{name}` or
/// `/{*path}`, and `/{name}.txt` beside `/v{number}`. Paths are compared as they were sent: percent-encoding, `//` and `..`
/// are not resolved.
///
/// `HEAD` is answered by the handler of `GET` without the body, unless it has a route of its own. `OPTIONS` is answered with
/// `Allow`, unless it has a route; `OPTIONS *` names the methods of all routes. A path with routes for other methods only is
/// answered with 405 and `Allow`, and any other path with 404. A method that is neither in RFC 9110 nor in RFC 5789, and has
/// no route, is answered with 501.
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
pub struct Router<L = (), S = ()> {
    layers: L,
    state: S,
    prefix: String,
    made: Made,
}

/// Marks a router whose handlers take a state of type `S`: see [`Router::state`].
#[derive(Debug)]
pub struct State<S: ?Sized>(Arc<S>);

impl<S: ?Sized> Clone for State<S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// What was added so far.
#[derive(Default)]
struct Made {
    /// The methods, each with what refuses conflicts between its patterns.
    methods: Vec<(String, matchit::Router<u32>)>,
    routes: Vec<Added>,
    fallbacks: Vec<Added>,
    /// The first mistake.
    error: Option<RouteError>,
}

/// A route; or a fallback, which has no method, and a prefix in place of a pattern.
struct Added {
    method: String,
    pattern: String,
    make: Make,
    /// Whether it is called when the head has come.
    by_head: bool,
}

/// Puts the layers around a handler. They may keep something for each method and pattern.
type Make = Box<dyn FnOnce(&str, &str) -> Box<dyn Endpoint> + Send + Sync>;

impl Added {
    fn build(self) -> Route {
        let endpoint = (self.make)(&self.method, &self.pattern);
        Route { pattern: self.pattern, endpoint, by_head: self.by_head }
    }

    /// Beneath a prefix, inside of these layers.
    fn inside<L: Layer>(self, prefix: &str, layers: &L) -> Self {
        let Self { method, pattern, make, by_head } = self;
        let pattern = format!("{prefix}{pattern}");
        if TypeId::of::<L>() == TypeId::of::<()>() {
            return Self { method, pattern, make, by_head };
        }
        let layers = layers.clone();
        let make: Make = Box::new(move |method, pattern| {
            Box::new(Nested { layers: layers.around(method, pattern), inner: make(method, pattern) })
        });
        Self { method, pattern, make, by_head }
    }
}

impl Router {
    /// Makes a router without routes and layers.
    pub fn new() -> Self {
        Self { layers: (), state: (), prefix: String::new(), made: Made::default() }
    }
}

impl Default for Router {
    fn default() -> Self {
        Self::new()
    }
}

impl<L: Layer, S: Clone> Router<L, S> {
    /// Puts a layer around all routes that are added after this call, inside of earlier layers.
    ///
    /// Outside of groups, layers are also around the responses of the router itself: 404, 405 and `OPTIONS`.
    pub fn layer<N: Layer>(self, layer: N) -> Router<(L, N), S> {
        Router { layers: (self.layers, layer), state: self.state, prefix: self.prefix, made: self.made }
    }

    /// Gives all handlers that are added after this call a second argument: a reference to this state.
    ///
    /// All reactors share the state, so changes in it need a lock or atomics. A handler that expects a state of another type
    /// does not compile.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// use gannet_http::{Cx, Router};
    ///
    /// fn count(_: &mut Cx<'_>, visits: &AtomicU64) -> String {
    ///     format!("visit {}\n", visits.fetch_add(1, Ordering::Relaxed))
    /// }
    ///
    /// let routes = Router::new().state(Arc::new(AtomicU64::new(1))).get("/", count).build()?;
    /// # Ok::<(), gannet_http::RouteError>(())
    /// ```
    pub fn state<T: Send + Sync + ?Sized + 'static>(self, state: Arc<T>) -> Router<L, State<T>> {
        Router { layers: self.layers, state: State(state), prefix: self.prefix, made: self.made }
    }

    /// Adds routes whose paths begin with `prefix`, which begins with a slash and does not end with one.
    ///
    /// Layers that `routes` adds are around the routes of the group only. In a group a path may be empty; then it is the
    /// prefix.
    pub fn group<M, T>(mut self, prefix: &str, routes: impl FnOnce(Self) -> Router<M, T>) -> Self {
        self.made.check_prefix(prefix);
        let (layers, state) = (self.layers.clone(), self.state.clone());
        let prefix = self.prefix.clone() + prefix;
        let inside = Self { layers, state, prefix, made: mem::take(&mut self.made) };
        self.made = routes(inside).made;
        self
    }

    /// Adds the routes and fallbacks of another router, inside of the layers that this one has by now.
    ///
    /// The other router's own layers and state stay with its routes.
    pub fn merge<M, T>(self, other: Router<M, T>) -> Self {
        self.adopt("", other.made)
    }

    /// Adds the routes and fallbacks of another router beneath `prefix`, inside of the layers that this one has by now.
    ///
    /// The other router's own layers and state stay with its routes. A path of it may be empty; then it is the prefix.
    ///
    /// ```
    /// use gannet_http::Router;
    ///
    /// fn users() -> Router {
    ///     Router::new().get("", |cx| cx.text("all\n")).get("/{id}", |cx| cx.text("one\n"))
    /// }
    ///
    /// let routes = Router::new().nest("/users", users()).build()?;
    /// # Ok::<(), gannet_http::RouteError>(())
    /// ```
    pub fn nest<M, T>(mut self, prefix: &str, other: Router<M, T>) -> Self {
        self.made.check_prefix(prefix);
        self.adopt(prefix, other.made)
    }

    fn adopt(mut self, prefix: &str, other: Made) -> Self {
        let prefix = format!("{}{prefix}", self.prefix);
        if let Some(error) = other.error {
            self.made.error.get_or_insert(error);
        }
        for route in other.routes {
            self.made.add(route.inside(&prefix, &self.layers));
        }
        for fallback in other.fallbacks {
            self.made.fallbacks.push(fallback.inside(&prefix, &self.layers));
        }
        self
    }

    /// Adds routes for the files of a directory, beneath `prefix`, which begins with a slash or is empty.
    ///
    /// With the prefix `/static`, it serves `/static/` and all paths beneath it, and redirects `/static` there.
    pub fn files(self, prefix: &str, files: Files) -> Self {
        let prefix = prefix.trim_end_matches('/');
        let files = Arc::new(files);
        let beneath = Arc::clone(&files);
        let router = self.add("GET", &format!("{prefix}/"), false, move |cx| files.serve(cx, "")).add(
            "GET",
            &format!("{prefix}/{{*path}}"),
            false,
            move |cx| beneath.serve(cx, cx.param("path")),
        );
        let is_root = prefix.is_empty() && router.prefix.is_empty();
        if is_root { router } else { router.add("GET", prefix, false, redirect_to_directory) }
    }

    fn add<F>(mut self, method: &str, path: &str, by_head: bool, handler: F) -> Self
    where
        F: Fn(&mut Cx<'_>) + Send + Sync + 'static,
    {
        if !path.is_empty() && !path.starts_with('/') {
            self.made.refuse(path, "a path begins with a slash");
        }
        let pattern = self.prefix.clone() + path;
        let make = self.make(handler);
        self.made.add(Added { method: method.to_owned(), pattern, make, by_head });
        self
    }

    fn add_fallback<F: Fn(&mut Cx<'_>) + Send + Sync + 'static>(mut self, handler: F) -> Self {
        let make = self.make(handler);
        self.made.fallbacks.push(Added { method: String::new(), pattern: self.prefix.clone(), make, by_head: true });
        self
    }

    fn make<F: Fn(&mut Cx<'_>) + Send + Sync + 'static>(&self, handler: F) -> Make {
        let layers = self.layers.clone();
        Box::new(move |method, pattern| Box::new(Layered { layers: layers.around(method, pattern), handler }))
    }

    /// Builds the routes.
    ///
    /// # Errors
    ///
    /// [`RouteError`] names the first mistake in the routes that were added.
    pub fn build(self) -> Result<Routes, RouteError> {
        let Self { layers, mut made, .. } = self;
        made.check_routes();
        if let Some(error) = made.error {
            return Err(error);
        }
        let routes = &made.routes;
        let patterns_of = |method: &str| {
            let of_method = routes.iter().enumerate().filter(|(_, route)| route.method == method);
            of_method.map(|(place, route)| (place as u32, &*route.pattern)).collect()
        };
        let tree = |(method, tree): (String, _)| Tree { places: Places::of(patterns_of(&method), tree), method };
        let trees = made.methods.into_iter().map(tree).collect();
        let fallbacks = Fallbacks::of(made.fallbacks.into_iter().map(Added::build).collect())?;
        let routes = made.routes.into_iter().map(Added::build).collect();
        let missing = Box::new(Layered { layers, handler: not_routed });
        Ok(Routes(Arc::new(Inner { trees, routes, missing, fallbacks })))
    }
}

impl Made {
    fn refuse(&mut self, route: &str, why: impl Into<String>) {
        self.error.get_or_insert_with(|| RouteError::Pattern { route: route.to_owned(), why: why.into() });
    }

    fn check_prefix(&mut self, prefix: &str) {
        if !prefix.starts_with('/') || prefix.ends_with('/') {
            self.refuse(prefix, "a prefix begins with a slash and does not end with one");
        }
    }

    /// What was allowed only because the routes might have come beneath a prefix.
    fn check_routes(&mut self) {
        if self.routes.iter().any(|route| route.pattern.is_empty()) {
            self.refuse("", "a path begins with a slash");
        }
    }

    fn add(&mut self, route: Added) {
        let Added { method, pattern, .. } = &route;
        if !is_method(method) {
            self.refuse(pattern, format!("{method:?} is no method"));
        }
        if let Err(why) = pattern::check(pattern) {
            self.refuse(pattern, why);
        }
        if self.error.is_some() {
            return;
        }
        let at = self.methods.iter().position(|(known, _)| known == method).unwrap_or(self.methods.len());
        if at == self.methods.len() {
            self.methods.push((method.clone(), matchit::Router::new()));
        }
        match self.methods[at].1.insert(pattern, self.routes.len() as u32) {
            Ok(()) => self.routes.push(route),
            Err(InsertError::Conflict { with }) => {
                // What the tree says may be another one.
                let mut known = self.routes.iter().filter(|known| known.method == *method);
                let known = known.find(|known| conflict(&known.pattern, pattern));
                let with = known.map_or(with, |known| known.pattern.clone());
                self.error = Some(RouteError::Conflict { method: route.method, route: route.pattern, with });
            }
            Err(other) => self.refuse(pattern, other.to_string()),
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
