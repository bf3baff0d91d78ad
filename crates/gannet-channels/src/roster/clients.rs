//! The clients of one reactor, at indices that stay, with generations that tell a client from its successors.

use std::sync::Arc;

use crate::client::{ClientInfo, ClientKey};

/// Slots of a chunk: chunks never move, so that a million clients are never copied to make room for one more.
const CHUNK: usize = 512;

/// No client, in a list of clients.
pub(super) const NOBODY: u32 = u32::MAX;

/// One subscription, seen from its client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// The roster's index of the channel.
    pub(super) local: u32,
    /// The place among the channel's subscribers.
    pub(super) at: u32,
}

/// The subscriptions of a client. Most have one, which needs no allocation; more are in one of exactly their size.
#[derive(Debug)]
pub(super) enum Holds {
    One(Held),
    /// None, or several.
    Many(Box<[Held]>),
}

impl Holds {
    pub(super) fn new() -> Self {
        Holds::Many(Box::default())
    }

    pub(super) fn as_slice(&self) -> &[Held] {
        match self {
            Holds::One(held) => std::slice::from_ref(held),
            Holds::Many(held) => held,
        }
    }

    pub(super) fn find(&self, local: u32) -> Option<Held> {
        self.as_slice().iter().find(|held| held.local == local).copied()
    }

    pub(super) fn add(&mut self, held: Held) {
        *self = match std::mem::replace(self, Holds::new()) {
            Holds::One(first) => Holds::Many(Box::new([first, held])),
            Holds::Many(all) if all.is_empty() => Holds::One(held),
            Holds::Many(all) => {
                let mut all = all.into_vec();
                all.reserve_exact(1);
                all.push(held);
                Holds::Many(all.into_boxed_slice())
            }
        };
    }

    pub(super) fn remove(&mut self, local: u32) {
        *self = match std::mem::replace(self, Holds::new()) {
            Holds::One(held) if held.local == local => Holds::new(),
            Holds::Many(all) => {
                let mut all = all.into_vec();
                all.retain(|held| held.local != local);
                match all[..] {
                    [held] => Holds::One(held),
                    _ => Holds::Many(all.into_boxed_slice()),
                }
            }
            one => one,
        };
    }

    /// The channel's subscriber of this client moved to another place.
    pub(super) fn moved(&mut self, local: u32, at: u32) {
        let all = match self {
            Holds::One(held) => std::slice::from_mut(held),
            Holds::Many(held) => held,
        };
        match all.iter_mut().find(|held| held.local == local) {
            Some(held) => held.at = at,
            None => debug_assert!(false, "a subscriber that its client does not know"),
        }
    }
}

/// A client of this reactor.
pub(super) struct Client<T> {
    pub(super) value: T,
    pub(super) info: Arc<ClientInfo>,
    pub(super) holds: Holds,
    /// The number of the last order that came before this client, or its low half: orders between two calls of
    /// `deliver` do not come near 2^31.
    pub(super) ordered: u32,
    /// Neighbours in the list of this user's clients.
    pub(super) next: u32,
    pub(super) previous: u32,
    pub(super) format: u8,
    /// It gets nothing any more.
    pub(super) ended: bool,
    /// Publications wait for it: see `waiting`.
    pub(super) waits: bool,
}

enum Slot<T> {
    Vacant { generation: u32, next: u32 },
    Occupied { generation: u32, client: Client<T> },
}

/// The clients of one reactor.
pub(super) struct Clients<T> {
    chunks: Vec<Vec<Slot<T>>>,
    /// The first vacant slot.
    vacant: u32,
    len: usize,
}

impl<T> Clients<T> {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), vacant: NOBODY, len: 0 }
    }

    /// The key that the next client gets, and `None` if there is no place.
    pub(super) fn next_key(&self) -> Option<ClientKey> {
        if self.vacant != NOBODY {
            match self.slot(self.vacant)? {
                Slot::Vacant { generation, .. } => {
                    return Some(ClientKey { index: self.vacant, generation: *generation });
                }
                Slot::Occupied { .. } => return None,
            }
        }
        let full = self.chunks.last().map_or(0, Vec::len);
        let index = self.chunks.len().saturating_sub(1) * CHUNK + full;
        let index = u32::try_from(index).ok().filter(|index| *index < NOBODY)?;
        Some(ClientKey { index, generation: 1 })
    }

    /// Adds a client under the key that `next_key` gave.
    pub(super) fn insert(&mut self, key: ClientKey, client: Client<T>) {
        self.len += 1;
        let slot = Slot::Occupied { generation: key.generation, client };
        if self.vacant == key.index {
            if let Some(vacant) = self.slot_mut(key.index) {
                let Slot::Vacant { next, .. } = std::mem::replace(vacant, slot) else { return };
                self.vacant = next;
            }
            return;
        }
        match self.chunks.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(slot),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(slot);
                self.chunks.push(chunk);
            }
        }
    }

    pub(super) fn remove(&mut self, key: ClientKey) -> Option<Client<T>> {
        self.get(key)?;
        let vacant = self.vacant;
        let slot = self.slot_mut(key.index)?;
        // A slot whose generations are used up stays empty for good.
        let retired = key.generation == u32::MAX;
        let next = if retired { NOBODY } else { vacant };
        let empty = Slot::Vacant { generation: key.generation.wrapping_add(1), next };
        let Slot::Occupied { client, .. } = std::mem::replace(slot, empty) else { return None };
        if !retired {
            self.vacant = key.index;
        }
        self.len -= 1;
        Some(client)
    }

    pub(super) fn get(&self, key: ClientKey) -> Option<&Client<T>> {
        match self.slot(key.index)? {
            Slot::Occupied { generation, client } if *generation == key.generation => Some(client),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, key: ClientKey) -> Option<&mut Client<T>> {
        match self.slot_mut(key.index)? {
            Slot::Occupied { generation, client } if *generation == key.generation => Some(client),
            _ => None,
        }
    }

    /// The client at an index that is known to be one's.
    pub(super) fn at(&self, index: u32) -> Option<(ClientKey, &Client<T>)> {
        match self.slot(index)? {
            Slot::Occupied { generation, client } => Some((ClientKey { index, generation: *generation }, client)),
            Slot::Vacant { .. } => None,
        }
    }

    pub(super) fn at_mut(&mut self, index: u32) -> Option<(ClientKey, &mut Client<T>)> {
        match self.slot_mut(index)? {
            Slot::Occupied { generation, client } => Some((ClientKey { index, generation: *generation }, client)),
            Slot::Vacant { .. } => None,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ClientKey, &Client<T>)> {
        (0..).zip(self.chunks.iter().flatten()).filter_map(|(index, slot)| match slot {
            Slot::Occupied { generation, client } => Some((ClientKey { index, generation: *generation }, client)),
            Slot::Vacant { .. } => None,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    fn slot(&self, index: u32) -> Option<&Slot<T>> {
        self.chunks.get(index as usize / CHUNK)?.get(index as usize % CHUNK)
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<T>> {
        self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_costs_its_slot_and_no_more() {
        // Beside the value: the information, the subscriptions, the orders, the list of the user, and flags.
        assert_eq!(size_of::<Client<u64>>(), 8 + 8 + 16 + 4 + 8 + 4);
        assert_eq!(size_of::<Slot<u64>>(), size_of::<Client<u64>>() + 8);
        assert_eq!(size_of::<Held>(), 8);
    }

    #[test]
    fn subscriptions_are_found_by_channel_whatever_their_number() {
        let mut holds = Holds::new();
        for local in 0..5 {
            holds.add(Held { local, at: local * 10 });
        }
        holds.moved(3, 7);
        assert_eq!(holds.find(3), Some(Held { local: 3, at: 7 }));
        for local in [1, 4, 0, 2] {
            holds.remove(local);
            assert_eq!(holds.find(local), None);
        }
        assert!(matches!(holds, Holds::One(Held { local: 3, at: 7 })));
        holds.moved(3, 8);
        holds.remove(3);
        assert!(holds.as_slice().is_empty());
    }
}
