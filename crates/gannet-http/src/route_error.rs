//! Says why routes cannot be built.

/// Says why routes cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// Two routes for one method match the same paths.
    #[error("the route {method} {route} conflicts with {with}")]
    Conflict {
        /// Their method.
        method: String,
        /// The pattern that was added later.
        route: String,
        /// The pattern that was there before.
        with: String,
    },

    /// Two fallbacks are for the same paths.
    #[error("there are two fallbacks for {prefix:?}")]
    Fallbacks {
        /// The prefix of these paths.
        prefix: String,
    },

    /// A path is no valid pattern, or its method is no token.
    #[error("{route:?} cannot be a route: {why}")]
    Pattern {
        /// The path.
        route: String,
        /// Says what is wrong with it.
        why: String,
    },
}
