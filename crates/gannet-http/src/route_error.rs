//! Says why routes cannot be built.

/// Says why routes cannot be built.
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

    /// Two fallbacks are for the same paths.
    #[error("there are two fallbacks for {prefix:?}")]
    Fallbacks {
        /// What these paths begin with.
        prefix: String,
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
