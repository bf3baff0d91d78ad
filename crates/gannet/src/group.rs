//! Groups: sets of connections that a message goes to all of. Each reactor knows its own members only.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::connection::Connection;
use crate::driver::Token;
use crate::slab::Slab;

/// A set of connections, on any reactors, that [`Context::broadcast`](crate::Context::broadcast) reaches with one
/// encoding. May be made and copied on any thread; a connection leaves all its groups when it closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group(u64);

impl Group {
    /// A new group without members. It costs nothing until a connection joins.
    #[must_use]
    #[allow(clippy::new_without_default)] // Two groups are never equal: a default would promise otherwise.
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Why a connection could not join a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// The connection is in as many groups as [`Limits::groups_per_connection`](crate::Limits) allows.
    #[error("the connection is in as many groups as the limit allows")]
    TooManyOfConnection,
    /// The reactor knows as many groups as [`Limits::groups`](crate::Limits) allows.
    #[error("the reactor knows as many groups as the limit allows")]
    TooManyOfReactor,
    /// The connection is closing.
    #[error("the connection is closing")]
    Closed,
}

/// A connection's place in a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Membership {
    group: Group,
    position: u32,
}

impl Membership {
    pub(crate) fn group(self) -> Group {
        self.group
    }
}

/// The members of all groups on one reactor.
#[derive(Default)]
pub(crate) struct Groups {
    members: HashMap<Group, Vec<Token>>,
}

impl Groups {
    /// Members of `group` on this reactor.
    pub(crate) fn members(&self, group: Group) -> &[Token] {
        self.members.get(&group).map_or(&[], Vec::as_slice)
    }

    /// Groups that have a member here.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Adds a connection; joining twice is joining once.
    pub(crate) fn join(
        &mut self,
        slab: &mut Slab<Connection>,
        token: Token,
        group: Group,
        limits: &crate::Limits,
    ) -> Result<(), JoinError> {
        let connection = slab.get_mut(token).ok_or(JoinError::Closed)?;
        let joined = connection.groups.as_deref().map_or(&[][..], Vec::as_slice);
        if joined.iter().any(|membership| membership.group == group) {
            return Ok(());
        }
        if joined.len() >= limits.groups_per_connection {
            return Err(JoinError::TooManyOfConnection);
        }
        if self.members.len() >= limits.groups && !self.members.contains_key(&group) {
            return Err(JoinError::TooManyOfReactor);
        }
        let members = self.members.entry(group).or_default();
        connection.groups.get_or_insert_default().push(Membership { group, position: members.len() as u32 });
        members.push(token);
        Ok(())
    }

    /// Removes a connection from a group; says whether it was in it.
    pub(crate) fn leave(&mut self, slab: &mut Slab<Connection>, token: Token, group: Group) -> bool {
        let Some(connection) = slab.get_mut(token) else { return false };
        let Some(joined) = connection.groups.as_deref_mut() else { return false };
        let Some(index) = joined.iter().position(|membership| membership.group == group) else { return false };
        let membership = joined.swap_remove(index);
        if joined.is_empty() {
            connection.groups = None;
        }
        self.remove(slab, membership);
        true
    }

    /// Removes a connection from all its groups.
    pub(crate) fn leave_all(&mut self, slab: &mut Slab<Connection>, token: Token) {
        let joined = slab.get_mut(token).and_then(|connection| connection.groups.take());
        for membership in joined.into_iter().flat_map(|joined| *joined) {
            self.remove(slab, membership);
        }
    }

    fn remove(&mut self, slab: &mut Slab<Connection>, Membership { group, position }: Membership) {
        let Some(members) = self.members.get_mut(&group) else { return };
        members.swap_remove(position as usize);
        if let Some(&moved) = members.get(position as usize) {
            let joined = slab.get_mut(moved).and_then(|connection| connection.groups.as_deref_mut());
            for membership in joined.into_iter().flatten() {
                if membership.group == group {
                    membership.position = position;
                }
            }
        } else if members.is_empty() {
            self.members.remove(&group);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Peer;
    use crate::connection::State;
    use crate::wheel::Tick;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_group_holds_exactly_those_that_joined_and_did_not_leave(
            steps in prop::collection::vec((0u8..4, 0usize..8, 0usize..3), 1..120)
        ) {
            let (mut slab, mut groups, limits) = (Slab::new(), Groups::default(), crate::Limits::default());
            let names = [Group::new(), Group::new(), Group::new()];
            let tokens: Vec<_> = (0..8)
                .map(|_| slab.insert(Connection::new(0, Peer::UNIX, State::Open, Tick(0))).expect("room").0)
                .collect();
            let mut model: [BTreeSet<Token>; 3] = Default::default();
            for (kind, connection, group) in steps {
                let token = tokens[connection];
                match kind {
                    0 | 1 => {
                        groups.join(&mut slab, token, names[group], &limits).expect("within limits");
                        model[group].insert(token);
                    }
                    2 => prop_assert_eq!(
                        groups.leave(&mut slab, token, names[group]),
                        model[group].remove(&token)
                    ),
                    _ => {
                        groups.leave_all(&mut slab, token);
                        model.iter_mut().for_each(|members| { members.remove(&token); });
                    }
                }
                for (name, members) in names.iter().zip(&model) {
                    prop_assert_eq!(&groups.members(*name).iter().copied().collect::<BTreeSet<_>>(), members);
                    prop_assert_eq!(groups.members(*name).len(), members.len());
                }
            }
            prop_assert_eq!(groups.len(), model.iter().filter(|members| !members.is_empty()).count());
        }
    }

    #[test]
    fn the_limits_on_groups_are_answered_with_an_error() {
        let (mut slab, mut groups) = (Slab::new(), Groups::default());
        let limits = crate::Limits { groups: 2, groups_per_connection: 1, ..Default::default() };
        let mut connection = || slab.insert(Connection::new(0, Peer::UNIX, State::Open, Tick(0))).expect("room").0;
        let (one, two, three) = (connection(), connection(), connection());
        groups.join(&mut slab, one, Group::new(), &limits).expect("the first");
        assert_eq!(groups.join(&mut slab, one, Group::new(), &limits), Err(JoinError::TooManyOfConnection));
        groups.join(&mut slab, two, Group::new(), &limits).expect("the second");
        assert_eq!(groups.join(&mut slab, three, Group::new(), &limits), Err(JoinError::TooManyOfReactor));
    }
}
