//! Groups: sets of connections that receive the same message. Each reactor knows only its own members.

use std::collections::HashMap;

use crate::connection::Connection;
use crate::group::{Group, JoinError, Joined};
use crate::ids::Token;
use crate::slab::Slab;

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
        let joined = connection.groups.as_deref();
        if joined.is_some_and(|joined| joined.contains(group)) {
            return Ok(());
        }
        if joined.map_or(0, Joined::len) >= limits.groups_per_connection {
            return Err(JoinError::TooManyOfConnection);
        }
        if self.members.len() >= limits.groups && !self.members.contains_key(&group) {
            return Err(JoinError::TooManyOfReactor);
        }
        let members = self.members.entry(group).or_default();
        let joined = connection.groups.get_or_insert_with(|| Box::new(Joined::Few(Vec::new())));
        joined.add(group, members.len() as u32);
        members.push(token);
        Ok(())
    }

    /// Removes a connection from a group; says whether it was in it.
    pub(crate) fn leave(&mut self, slab: &mut Slab<Connection>, token: Token, group: Group) -> bool {
        let Some(connection) = slab.get_mut(token) else { return false };
        let Some(joined) = connection.groups.as_deref_mut() else { return false };
        let Some(position) = joined.take(group) else { return false };
        if joined.len() == 0 {
            connection.groups = None;
        }
        self.remove(slab, group, position);
        true
    }

    /// Removes a connection from all its groups.
    pub(crate) fn leave_all(&mut self, slab: &mut Slab<Connection>, token: Token) {
        let joined = slab.get_mut(token).and_then(|connection| connection.groups.take());
        match joined.map(|joined| *joined) {
            None => {}
            Some(Joined::Few(few)) => few.into_iter().for_each(|(group, at)| self.remove(slab, group, at)),
            Some(Joined::Many(many)) => many.into_iter().for_each(|(group, at)| self.remove(slab, group, at)),
        }
    }

    fn remove(&mut self, slab: &mut Slab<Connection>, group: Group, position: u32) {
        let Some(members) = self.members.get_mut(&group) else { return };
        members.swap_remove(position as usize);
        if let Some(&moved) = members.get(position as usize) {
            if let Some(joined) = slab.get_mut(moved).and_then(|connection| connection.groups.as_deref_mut()) {
                joined.moved(group, position);
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
    use crate::group::FEW;
    use crate::wheel::Tick;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_group_holds_exactly_those_that_joined_and_did_not_leave(
            steps in prop::collection::vec((0u8..16, 0usize..4, 0usize..2 * FEW), 1..600)
        ) {
            let (mut slab, mut groups, limits) = (Slab::new(), Groups::default(), crate::Limits::default());
            let limits = crate::Limits { groups_per_connection: 2 * FEW, ..limits };
            let names: Vec<Group> = (0..2 * FEW).map(|_| Group::new()).collect();
            let tokens: Vec<_> = (0..4)
                .map(|_| slab.insert(Connection::new(0, Peer::UNIX, State::Open, Tick(0))).expect("room").0)
                .collect();
            let mut model = vec![BTreeSet::<Token>::new(); 2 * FEW];
            for (kind, connection, group) in steps {
                let token = tokens[connection];
                match kind {
                    0..=9 => {
                        groups.join(&mut slab, token, names[group], &limits).expect("within limits");
                        model[group].insert(token);
                    }
                    10..=14 => prop_assert_eq!(
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

    /// Enough that the time would be minutes, if it grew with the square of the groups.
    #[test]
    fn leaving_very_many_groups_takes_time_for_each_only() {
        let (mut slab, mut groups) = (Slab::new(), Groups::default());
        let limits = crate::Limits { groups: 300_000, groups_per_connection: 300_000, ..Default::default() };
        let mut connection = || slab.insert(Connection::new(0, Peer::UNIX, State::Open, Tick(0))).expect("room").0;
        let (one, other) = (connection(), connection());
        let names: Vec<Group> = (0..300_000).map(|_| Group::new()).collect();
        for name in &names {
            groups.join(&mut slab, one, *name, &limits).expect("within limits");
            groups.join(&mut slab, other, *name, &limits).expect("within limits");
        }
        for name in names.iter().rev() {
            assert!(groups.leave(&mut slab, other, *name));
            assert_eq!(groups.members(*name), [one]);
        }
        groups.leave_all(&mut slab, one);
        assert_eq!(groups.len(), 0);
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
