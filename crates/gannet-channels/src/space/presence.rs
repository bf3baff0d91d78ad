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
        let Some(first) = self.users.find(hash, |other| other.shares_user_with(info)) else {
            self.users.insert_unique(hash, Arc::clone(info), |other| other.user_hash());
            return 1;
        };
        if let Some((_, count)) = self.several.find_mut(hash, |(other, _)| other.shares_user_with(info)) {
            *count += 1;
            return *count;
        }
        self.several.insert_unique(hash, (Arc::clone(first), 2), |(other, _)| other.user_hash());
        2
    }

    /// Counts a client of a user no more.
    pub(crate) fn remove(&mut self, hash: u64, user: &str) {
        if let Ok(mut entry) = self.several.find_entry(hash, |(other, _)| other.is_of(user)) {
            let (_, count) = entry.get_mut();
            *count -= 1;
            if *count == 1 {
                entry.remove();
                shrink(&mut self.several, |(other, _)| other.user_hash());
            }
            return;
        }
        if let Ok(entry) = self.users.find_entry(hash, |other| other.is_of(user)) {
            entry.remove();
            shrink(&mut self.users, |other| other.user_hash());
        }
    }

    /// Returns how many clients a user has.
    pub(crate) fn of(&self, hash: u64, user: &str) -> u32 {
        match self.several.find(hash, |(other, _)| other.is_of(user)) {
            Some((_, count)) => *count,
            None => self.users.find(hash, |other| other.is_of(user)).map_or(0, |_| 1),
        }
    }

    /// Returns how many users there are.
    pub(crate) fn len(&self) -> usize {
        self.users.len()
    }
}

/// Clients of a channel that are kept in a list: few enough to be looked through each time.
const FEW: usize = 16;

/// The clients that are present in one channel.
///
/// Most channels have few. A list of these takes a third of what tables take.
#[derive(Debug)]
pub(crate) enum Presence {
    Few(Vec<Arc<ClientInfo>>),
    Many(Box<Crowd>),
}

/// The clients of a channel that has many.
#[derive(Debug, Default)]
pub(crate) struct Crowd {
    clients: HashTable<Arc<ClientInfo>>,
    users: Users,
}

impl Default for Presence {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Presence {
    pub(crate) fn add(&mut self, info: &Arc<ClientInfo>) {
        match self {
            Self::Few(clients) if clients.len() < FEW => {
                debug_assert!(clients.iter().all(|other| other.client() != info.client()));
                if clients.len() == clients.capacity() {
                    clients.reserve_exact(clients.len() / 4 + 1);
                }
                clients.push(Arc::clone(info));
            }
            Self::Few(clients) => {
                let mut crowd = Crowd::default();
                for there in clients.iter().chain([info]) {
                    crowd.add(there);
                }
                *self = Self::Many(Box::new(crowd));
            }
            Self::Many(crowd) => crowd.add(info),
        }
    }

    /// Replaces what is known of a client; nothing happens if it is not present.
    pub(crate) fn replace(&mut self, info: &Arc<ClientInfo>) {
        let client = info.client();
        let there = match self {
            Self::Few(clients) => clients.iter_mut().find(|other| other.client() == client),
            Self::Many(crowd) => crowd.clients.find_mut(client.hash(), |other| other.client() == client),
        };
        if let Some(there) = there {
            *there = Arc::clone(info);
        }
    }

    pub(crate) fn remove(&mut self, client: ClientId) -> Option<Arc<ClientInfo>> {
        match self {
            Self::Few(clients) => {
                let at = clients.iter().position(|other| other.client() == client)?;
                Some(clients.swap_remove(at))
            }
            Self::Many(crowd) => {
                let gone = crowd.remove(client);
                // Half as many, so that one who comes and goes does not move all others each time.
                if crowd.clients.len() <= FEW / 2 {
                    *self = Self::Few(crowd.clients.drain().collect());
                }
                gone
            }
        }
    }

    pub(crate) fn clients(&self) -> impl Iterator<Item = &Arc<ClientInfo>> {
        let (few, many) = match self {
            Self::Few(clients) => (Some(clients.iter()), None),
            Self::Many(crowd) => (None, Some(crowd.clients.iter())),
        };
        few.into_iter().flatten().chain(many.into_iter().flatten())
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Few(clients) => clients.len(),
            Self::Many(crowd) => crowd.clients.len(),
        }
    }

    /// How many users these clients are of.
    pub(crate) fn users(&self) -> usize {
        match self {
            Self::Few(clients) => {
                let is_first = |at: usize| !clients[..at].iter().any(|other| other.shares_user_with(&clients[at]));
                (0..clients.len()).filter(|at| is_first(*at)).count()
            }
            Self::Many(crowd) => crowd.users.len(),
        }
    }
}

impl Crowd {
    fn add(&mut self, info: &Arc<ClientInfo>) {
        let client = info.client();
        debug_assert!(self.clients.find(client.hash(), |other| other.client() == client).is_none());
        self.clients.insert_unique(client.hash(), Arc::clone(info), |other| other.client().hash());
        self.users.add(info);
    }

    fn remove(&mut self, client: ClientId) -> Option<Arc<ClientInfo>> {
        let entry = self.clients.find_entry(client.hash(), |other| other.client() == client).ok()?;
        let (info, _) = entry.remove();
        shrink(&mut self.clients, |other| other.client().hash());
        self.users.remove(info.user_hash(), info.user());
        Some(info)
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
        // With so many others, few are kept in a list and many in tables.
        for others in [0, FEW as u32] {
            let mut presence = Presence::default();
            for other in 0..others {
                presence.add(&client(&hash, 100 + other, &format!("other-{other}")));
            }
            let clients: Vec<_> = ["a", "b", "a", "", "a", ""]
                .iter()
                .enumerate()
                .map(|(index, user)| client(&hash, index as u32, user))
                .collect();
            for info in &clients {
                presence.add(info);
            }
            let others = others as usize;
            assert_eq!((presence.len(), presence.users()), (others + 6, others + 3));
            // The first of a's clients goes first: the others still are a's.
            for (at, left) in [(0, 3), (1, 2), (2, 2), (4, 1), (3, 1), (5, 0)] {
                assert!(presence.remove(clients[at].client()).is_some());
                assert_eq!(presence.users(), others + left);
            }
            assert!(presence.remove(clients[0].client()).is_none());
            if let Presence::Many(crowd) = &presence {
                assert_eq!(crowd.users.several.len(), 0);
            }
        }
    }

    #[test]
    fn few_clients_become_many_and_few_again_and_none_is_lost() {
        let hash = NameHash::new(1);
        let clients: Vec<_> = (0..40).map(|index| client(&hash, index, &(index % 7).to_string())).collect();
        let mut presence = Presence::default();
        let mut is_many = Vec::new();
        let mut check = |presence: &Presence, here: &[Arc<ClientInfo>]| {
            is_many.push(matches!(presence, Presence::Many(_)));
            assert_eq!((presence.len(), presence.users()), (here.len(), here.len().min(7)));
            let mut ids: Vec<_> = presence.clients().map(|info| info.client()).collect();
            let mut expected: Vec<_> = here.iter().map(|info| info.client()).collect();
            ids.sort_unstable();
            expected.sort_unstable();
            assert_eq!(ids, expected);
        };
        for count in 1..=clients.len() {
            presence.add(&clients[count - 1]);
            check(&presence, &clients[..count]);
        }
        for count in (0..clients.len()).rev() {
            let changed = Arc::new(clients[count].with_connection(Some("{}".into())));
            presence.replace(&changed);
            let gone = presence.remove(changed.client()).expect("it is there");
            assert_eq!(gone.conn_info().map(|info| &info[..]), Some(&b"{}"[..]));
            check(&presence, &clients[..count]);
        }
        let many = is_many.iter().filter(|is_many| **is_many).count();
        assert_eq!(many, (clients.len() - FEW) + (clients.len() - 1 - FEW / 2));
    }

    #[test]
    fn a_crowd_that_went_leaves_no_memory_behind() {
        let hash = NameHash::new(1);
        let clients: Vec<_> = (0..10_000).map(|index| client(&hash, index, &index.to_string())).collect();
        let mut presence = Presence::default();
        for info in &clients {
            presence.add(info);
        }
        for info in &clients[FEW..] {
            presence.remove(info.client());
        }
        let Presence::Many(crowd) = &presence else { panic!("{FEW} are not few yet") };
        assert!(crowd.clients.capacity() < 200, "{}", crowd.clients.capacity());
        assert!(crowd.users.users.capacity() < 200);
        for info in &clients[1..FEW] {
            presence.remove(info.client());
        }
        let Presence::Few(few) = &presence else { panic!("one is few") };
        assert!(few.capacity() <= FEW);
    }
}
