//! Names of groups, and those that one connection is in.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names a set of connections, on any reactors, that [`Context::broadcast`](crate::Context::broadcast) reaches with one
/// encoding.
///
/// May be made and copied on any thread. Connections join with [`Context::join`](crate::Context::join), and leave all their
/// groups when they close. A group without members takes no memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group(u64);

impl Group {
    /// Makes a new group without members.
    #[must_use]
    #[allow(clippy::new_without_default)] // Two groups are never equal: a default would promise otherwise.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Says why a connection could not join a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The connection is in as many groups as [`Limits::groups_per_connection`](crate::Limits) allows.
    #[error("the connection is in as many groups as the limit allows")]
    TooManyOfConnection,
    /// As many groups have members on this reactor as [`Limits::groups`](crate::Limits) allows.
    #[error("the reactor knows as many groups as the limit allows")]
    TooManyOfReactor,
    /// The connection is closing.
    #[error("the connection is closing")]
    Closed,
}

/// The groups of one connection, with its position in each.
#[derive(Debug)]
pub(crate) enum Joined {
    /// So few that looking at each is quick, and small.
    Few(Vec<(Group, u32)>),
    /// More: whatever is done with one of them does not depend on how many they are.
    Many(HashMap<Group, u32>),
}

/// The most groups of a connection that are looked through one by one.
pub(crate) const FEW: usize = 32;

impl Joined {
    pub(crate) fn contains(&self, group: Group) -> bool {
        match self {
            Self::Few(few) => few.iter().any(|(joined, _)| *joined == group),
            Self::Many(many) => many.contains_key(&group),
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(few) => few.len(),
            Self::Many(many) => many.len(),
        }
    }

    /// Adds a group that is not there.
    pub(crate) fn add(&mut self, group: Group, position: u32) {
        match self {
            Self::Few(few) if few.len() < FEW => few.push((group, position)),
            Self::Few(few) => {
                let mut many: HashMap<Group, u32> = few.drain(..).collect();
                many.insert(group, position);
                *self = Self::Many(many);
            }
            Self::Many(many) => {
                many.insert(group, position);
            }
        }
    }

    /// Notes where in a group the connection is now.
    pub(crate) fn moved(&mut self, group: Group, position: u32) {
        let found = match self {
            Self::Few(few) => few.iter_mut().find(|(joined, _)| *joined == group).map(|(_, position)| position),
            Self::Many(many) => many.get_mut(&group),
        };
        if let Some(found) = found {
            *found = position;
        }
    }

    /// Takes a group out; says where in it the connection is.
    pub(crate) fn take(&mut self, group: Group) -> Option<u32> {
        match self {
            Self::Few(few) => {
                let index = few.iter().position(|(joined, _)| *joined == group)?;
                Some(few.swap_remove(index).1)
            }
            Self::Many(many) => many.remove(&group),
        }
    }
}
