//! Groups: sets of connections that receive the same message. Each reactor knows only its own members.

use std::collections::HashMap;

use crate::group::{Group, JoinError, Joined};
use crate::ids::Token;
use crate::table::Table;

/// The members of all groups on one reactor.
#[derive(Default)]
pub(crate) struct Groups {
    members: HashMap<Group, Vec<Token>>,
    /// Which groups a connection is in. Beside the slots, since most servers have no groups; boxed, since in those that have,
    /// some connections are in none.
    #[allow(clippy::box_collection)]
    joined: Table<Option<Box<Joined>>>,
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

    /// Whether a connection is in a group.
    pub(crate) fn is_member(&self, token: Token, group: Group) -> bool {
        self.joined.get(token).and_then(Option::as_deref).is_some_and(|joined| joined.contains(group))
    }

    /// Adds a connection, which is there; joining twice is joining once.
    pub(crate) fn join(&mut self, token: Token, group: Group, limits: &crate::Limits) -> Result<(), JoinError> {
        let joined = self.joined.get(token).and_then(Option::as_deref);
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
        let joined = self.joined.entry(token).get_or_insert_with(|| Box::new(Joined::Few(Vec::new())));
        joined.add(group, members.len() as u32);
        members.push(token);
        Ok(())
    }

    /// Removes a connection from a group; says whether it was in it.
    pub(crate) fn leave(&mut self, token: Token, group: Group) -> bool {
        let Some(entry) = self.joined.get_mut(token) else { return false };
        let Some(joined) = entry.as_deref_mut() else { return false };
        let Some(position) = joined.take(group) else { return false };
        if joined.len() == 0 {
            *entry = None;
        }
        self.remove(group, position);
        true
    }

    /// Removes a connection from all its groups. To be called before its slot goes to another.
    pub(crate) fn leave_all(&mut self, token: Token) {
        let joined = self.joined.get_mut(token).and_then(Option::take);
        match joined.map(|joined| *joined) {
            None => {}
            Some(Joined::Few(few)) => few.into_iter().for_each(|(group, at)| self.remove(group, at)),
            Some(Joined::Many(many)) => many.into_iter().for_each(|(group, at)| self.remove(group, at)),
        }
    }

    fn remove(&mut self, group: Group, position: u32) {
        let Some(members) = self.members.get_mut(&group) else { return };
        members.swap_remove(position as usize);
        if let Some(&moved) = members.get(position as usize) {
            if let Some(joined) = self.joined.get_mut(moved).and_then(Option::as_deref_mut) {
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
    use crate::group::FEW;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_group_holds_exactly_those_that_joined_and_did_not_leave(
            steps in prop::collection::vec((0u8..16, 0usize..4, 0usize..2 * FEW), 1..600)
        ) {
            let (mut groups, limits) = (Groups::default(), crate::Limits::default());
            let limits = crate::Limits { groups_per_connection: 2 * FEW, ..limits };
            let names: Vec<Group> = (0..2 * FEW).map(|_| Group::new()).collect();
            let mut model = vec![BTreeSet::<Token>::new(); 2 * FEW];
            for (kind, connection, group) in steps {
                let token = connection as Token;
                match kind {
                    0..=9 => {
                        groups.join(token, names[group], &limits).expect("within limits");
                        model[group].insert(token);
                    }
                    10..=14 => prop_assert_eq!(
                        groups.leave(token, names[group]),
                        model[group].remove(&token)
                    ),
                    _ => {
                        groups.leave_all(token);
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
        let mut groups = Groups::default();
        let limits = crate::Limits { groups: 300_000, groups_per_connection: 300_000, ..Default::default() };
        let (one, other) = (0, 1);
        let names: Vec<Group> = (0..300_000).map(|_| Group::new()).collect();
        for name in &names {
            groups.join(one, *name, &limits).expect("within limits");
            groups.join(other, *name, &limits).expect("within limits");
        }
        for name in names.iter().rev() {
            assert!(groups.leave(other, *name));
            assert_eq!(groups.members(*name), [one]);
        }
        groups.leave_all(one);
        assert_eq!(groups.len(), 0);
    }

    #[test]
    fn the_limits_on_groups_are_answered_with_an_error() {
        let mut groups = Groups::default();
        let limits = crate::Limits { groups: 2, groups_per_connection: 1, ..Default::default() };
        let (one, two, three) = (0, 1, 2);
        groups.join(one, Group::new(), &limits).expect("the first");
        assert_eq!(groups.join(one, Group::new(), &limits), Err(JoinError::TooManyOfConnection));
        groups.join(two, Group::new(), &limits).expect("the second");
        assert_eq!(groups.join(three, Group::new(), &limits), Err(JoinError::TooManyOfReactor));
    }
}
