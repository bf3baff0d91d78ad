//! What waits for clients that had no room: at most one publication for each channel, or the word that some are missing.

use std::sync::Arc;

use crate::delivery::{Delivery, Event};
use crate::inbox::ByIndex;

/// What waits for a client, of one channel.
#[derive(Debug)]
pub(super) struct Waits {
    pub(super) local: u32,
    /// The newest publication; `None` if the policy drops.
    pub(super) latest: Option<Arc<Delivery>>,
    /// The client did not get a publication before it.
    pub(super) missed: bool,
}

/// What waits for all clients of a roster, by their index. Only slow clients are in it.
#[derive(Debug, Default)]
pub(super) struct Waiting(ByIndex<u32, Vec<Waits>>);

impl Waiting {
    pub(super) fn find(&mut self, client: u32, local: u32) -> Option<&mut Waits> {
        self.0.get_mut(&client)?.iter_mut().find(|waits| waits.local == local)
    }

    pub(super) fn push(&mut self, client: u32, waits: Waits) {
        self.0.entry(client).or_default().push(waits);
    }

    /// Takes all of a client; `put_back` returns what it still has no room for.
    pub(super) fn take(&mut self, client: u32) -> Vec<Waits> {
        self.0.remove(&client).unwrap_or_default()
    }

    pub(super) fn put_back(&mut self, client: u32, waits: Vec<Waits>) {
        if !waits.is_empty() {
            self.0.insert(client, waits);
        }
    }

    /// Forgets what waits of one channel. Returns whether anything waits still.
    pub(super) fn remove(&mut self, client: u32, local: u32) -> bool {
        let Some(all) = self.0.get_mut(&client) else { return false };
        all.retain(|waits| waits.local != local);
        if all.is_empty() {
            self.0.remove(&client);
            return false;
        }
        true
    }

    /// How many clients have something that waits.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// The newest publication of a delivery, and how many publications it has.
pub(super) fn newest(delivery: &Arc<Delivery>) -> (Option<&Arc<Delivery>>, u64) {
    match delivery.event() {
        Event::Publication(_) => (Some(delivery), 1),
        Event::Batch(all) => {
            let mut publications = all.iter().filter(|delivery| !delivery.is_about_presence());
            let count = publications.clone().count() as u64;
            (publications.next_back(), count)
        }
        _ => (None, 0),
    }
}
