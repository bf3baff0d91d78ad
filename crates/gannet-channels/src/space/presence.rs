//! Who is present in a channel, and how many clients each user has.

use std::sync::Arc;

use hashbrown::HashTable;

use crate::client::{ClientId, ClientInfo};

/// Counts clients by user: the number of users costs nothing to read.
///
/// A user with one client takes one pointer. The pointer of a user with several is that of the first of them, which is
/// kept until the last is gone.
#[derive(Debug, Default)]
pub(crate) struct Users {
    users: HashTable<Arc<ClientInfo>>,
    /// Those with more than one client, and how many.
    several: HashTable<(Arc<ClientInfo>, u32)>,
}

impl Users {
    /// Counts a client of a user. Returns how many it has now.
    pub(crate) fn add(&mut self, info: &Arc<ClientInfo>) -> u32 {
        let hash = info.user_hash();
        let Some(first) = self.users.find(hash, |other| other.user() == info.user()) else {
            self.users.insert_unique(hash, Arc::clone(info), |other| other.user_hash());
            return 1;
        };
        if let Some((_, count)) = self.several.find_mut(hash, |(other, _)| other.user() == info.user()) {
            *count += 1;
            return *count;
        }
        self.several.insert_unique(hash, (Arc::clone(first), 2), |(other, _)| other.user_hash());
        2
    }

    /// Counts a client of a user no more.
    pub(crate) fn remove(&mut self, hash: u64, user: &str) {
        if let Ok(mut entry) = self.several.find_entry(hash, |(other, _)| other.user() == user) {
            let (_, count) = entry.get_mut();
            *count -= 1;
            if *count == 1 {
                entry.remove();
                shrink(&mut self.several, |(other, _)| other.user_hash());
            }
            return;
        }
        if let Ok(entry) = self.users.find_entry(hash, |other| other.user() == user) {
            entry.remove();
            shrink(&mut self.users, |other| other.user_hash());
        }
    }

    /// Returns how many clients a user has.
    pub(crate) fn of(&self, hash: u64, user: &str) -> u32 {
        match self.several.find(hash, |(other, _)| other.user() == user) {
            Some((_, count)) => *count,
            None => self.users.find(hash, |other| other.user() == user).map_or(0, |_| 1),
        }
    }

    /// Returns how many users there are.
    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }
}

/// The clients that are present in one channel.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    clients: HashTable<Arc<ClientInfo>>,
    users: Users,
}

impl Presence {
    pub(crate) fn add(&mut self, info: &Arc<ClientInfo>) {
        let client = info.client();
        debug_assert!(self.clients.find(client.hash(), |other| other.client() == client).is_none());
        self.clients.insert_unique(client.hash(), Arc::clone(info), |other| other.client().hash());
        self.users.add(info);
    }

    /// Replaces what is known of a client; nothing happens if it is not present.
    pub(crate) fn replace(&mut self, info: &Arc<ClientInfo>) {
        let client = info.client();
        if let Some(there) = self.clients.find_mut(client.hash(), |other| other.client() == client) {
            *there = Arc::clone(info);
        }
    }

    pub(crate) fn remove(&mut self, client: ClientId) -> Option<Arc<ClientInfo>> {
        let entry = self.clients.find_entry(client.hash(), |other| other.client() == client).ok()?;
        let (info, _) = entry.remove();
        shrink(&mut self.clients, |other| other.client().hash());
        self.users.remove(info.user_hash(), info.user());
        Some(info)
    }

    pub(crate) fn clients(&self) -> impl Iterator<Item = &Arc<ClientInfo>> {
        self.clients.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    pub(crate) fn users(&self) -> usize {
        self.users.len()
    }
}

/// Gives memory back where a table has become far too large: a crowd that went leaves none behind.
pub(crate) fn shrink<T>(table: &mut HashTable<T>, hash: impl Fn(&T) -> u64) {
    if table.capacity() > 64 && table.len() < table.capacity() / 8 {
        table.shrink_to(table.len() * 2, hash);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::ClientKey;
    use crate::hash::NameHash;

    fn client(hash: &NameHash, index: u32, user: &str) -> Arc<ClientInfo> {
        let id = ClientId::new(hash, 0, ClientKey { index, generation: 1 }, u64::from(index) * 77);
        Arc::new(ClientInfo::new(id, user.into(), hash.of(user), None))
    }

    #[test]
    fn the_number_of_users_counts_each_user_once() {
        let hash = NameHash::new(1);
        let clients: Vec<_> = ["a", "b", "a", "", "a", ""]
            .iter()
            .enumerate()
            .map(|(index, user)| client(&hash, index as u32, user))
            .collect();
        let mut presence = Presence::default();
        for info in &clients {
            presence.add(info);
        }
        assert_eq!((presence.len(), presence.users()), (6, 3));
        // The first of a's clients goes first: the others still are a's.
        for (at, left) in [(0, 3), (1, 2), (2, 2), (4, 1), (3, 1), (5, 0)] {
            assert!(presence.remove(clients[at].client()).is_some());
            assert_eq!(presence.users(), left);
        }
        assert!(presence.remove(clients[0].client()).is_none());
        assert_eq!(presence.users.several.len(), 0);
    }

    #[test]
    fn a_crowd_that_went_leaves_no_memory_behind() {
        let hash = NameHash::new(1);
        let clients: Vec<_> = (0..10_000).map(|index| client(&hash, index, &index.to_string())).collect();
        let mut presence = Presence::default();
        for info in &clients {
            presence.add(info);
        }
        for info in &clients[1..] {
            presence.remove(info.client());
        }
        assert!(presence.clients.capacity() < 200, "{}", presence.clients.capacity());
        assert!(presence.users.users.capacity() < 200);
    }
}
