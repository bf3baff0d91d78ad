//! Where a path's route is among those of a method: in tables if its pattern is simple, otherwise in a tree.
//!
//! The answer is always the one that a tree of all patterns would give. A simple pattern is therefore in the tree, and not
//! in a table, if one that is there may come before it, as `/static/{*path}` does before `/{user}/{page}`.

use crate::pattern::{Segment, segments};
use crate::shapes::{self, Shapes};

/// The places of a method's routes among all routes, as numbers: every node of the tree has room for one, and the
/// smaller it is the more of a large tree stays in the cache.
pub(crate) struct Places {
    /// Asked first. Nothing where no pattern is in tables.
    shapes: Option<Shapes>,
    /// Asked where the tables have nothing. Nothing where all patterns are there.
    tree: Option<matchit::Router<u32>>,
}

/// The parameters of a path.
pub(crate) enum Params<'a> {
    Shape(shapes::Params<'a>),
    Tree(matchit::Params<'a, 'a>),
}

impl Places {
    /// The patterns with the places of their routes, in the order they were added, and the tree that has taken them.
    pub(crate) fn of(patterns: Vec<(u32, &str)>, whole: matchit::Router<u32>) -> Self {
        let (mut simple, mut others): (Vec<_>, Vec<_>) =
            patterns.into_iter().partition(|(_, pattern)| Shapes::takes(pattern));
        let mut seen = 0;
        while let Some(&(_, other)) = others.get(seen) {
            others.extend(simple.extract_if(.., |(_, simple)| may_come_before(other, simple)));
            seen += 1;
        }
        others.sort_unstable();
        match (Shapes::of(&simple), tree(&others)) {
            (Some(shapes), Some(tree)) if !simple.is_empty() => {
                Self { shapes: Some(shapes), tree: (!others.is_empty()).then_some(tree) }
            }
            _ => Self { shapes: None, tree: Some(whole) },
        }
    }

    /// The place of a path's route, and its parameters.
    #[inline]
    pub(crate) fn at<'a>(&'a self, path: &'a str) -> Option<(u32, Params<'a>)> {
        if let Some((place, params)) = self.shapes.as_ref().and_then(|shapes| shapes.at(path)) {
            return Some((place, Params::Shape(params)));
        }
        let found = self.tree.as_ref()?.at(path).ok()?;
        Some((*found.value, Params::Tree(found.params)))
    }
}

impl<'a> Params<'a> {
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        match self {
            Self::Shape(params) => params.get(name),
            Self::Tree(params) => params.get(name),
        }
    }

    /// Calls `each` with every name and its value, in the pattern's order, until it fails.
    pub(crate) fn each<E>(&self, mut each: impl FnMut(&'a str, &'a str) -> Result<(), E>) -> Result<(), E> {
        match self {
            Self::Shape(params) => params.iter().try_for_each(|(name, value)| each(name, value)),
            Self::Tree(params) => params.iter().try_for_each(|(name, value)| each(name, value)),
        }
    }
}

/// A tree of these patterns.
fn tree(patterns: &[(u32, &str)]) -> Option<matchit::Router<u32>> {
    let mut tree = matchit::Router::new();
    patterns.iter().try_for_each(|&(place, pattern)| tree.insert(pattern, place)).ok()?;
    Some(tree)
}

/// Whether a tree of both may not answer with `simple` for a path that it matches, because of `other`. The tree goes from
/// segment to segment, takes what is fixed before what is not, and comes back where that leads nowhere, with one
/// exception: a segment that has matched `{name}.txt` is not tried as `{name}` any more. In doubt it may.
fn may_come_before(other: &str, simple: &str) -> bool {
    let (mut others, mut simples) = (segments(other), segments(simple));
    // Whether `other` was fixed where `simple` was a parameter: from then on it only matters whether both can match.
    let mut is_before = false;
    loop {
        match (others.next(), simples.next()) {
            (None, None) => return is_before,
            (None, Some(_)) | (Some(_), None) => return false,
            (Some(Segment::Rest), Some(simple)) => return is_before || matches!(simple, Segment::Param(_)),
            (Some(Segment::Fixed(one)), Some(Segment::Fixed(two))) if one != two => return false,
            (Some(Segment::Affixed), Some(Segment::Param(_))) if !is_before => {
                return others.next().is_none() == simples.next().is_none();
            }
            (Some(Segment::Affixed | Segment::Param(_)), Some(Segment::Fixed(_))) if !is_before => return false,
            (Some(Segment::Fixed(_)), Some(Segment::Param(_))) => is_before = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
