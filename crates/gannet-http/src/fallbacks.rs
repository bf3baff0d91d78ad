//! What answers for paths that have no route, by the prefix that it is for.

use crate::admission::{Endpoint, Route};
use crate::pattern;
use crate::places::Params;
use crate::route_error::RouteError;

/// The name of what follows the prefix.
const REST: &str = "fallback";

/// The fallbacks of all routers.
pub(crate) struct Fallbacks {
    tree: matchit::Router<usize>,
    all: Vec<Route>,
}

impl Fallbacks {
    /// The pattern of each is its prefix.
    pub(crate) fn of(all: Vec<Route>) -> Result<Self, RouteError> {
        let mut tree = matchit::Router::new();
        for (place, Route { pattern: prefix, .. }) in all.iter().enumerate() {
            let beneath = format!("{prefix}/{{*{REST}}}");
            pattern::check(&beneath).map_err(|why| RouteError::Pattern { route: prefix.clone(), why })?;
            for pattern in [prefix.clone(), format!("{prefix}/"), beneath] {
                if !pattern.is_empty() && tree.insert(pattern, place).is_err() {
                    return Err(RouteError::Fallbacks { prefix: prefix.clone() });
                }
            }
        }
        Ok(Self { tree, all })
    }

    /// What answers for this path, and the parameters of its prefix.
    #[cold]
    pub(crate) fn at<'a>(&'a self, path: &'a str) -> Option<(&'a dyn Endpoint, Params<'a>)> {
        let found = self.tree.at(path).ok()?;
        Some((&*self.all[*found.value].endpoint, Params::Tree(found.params)))
    }
}
