//! The connections of a reactor that closed last, and why.

use std::collections::VecDeque;
use std::time::Duration;

use crate::address::Peer;
use crate::close_reason::CloseReason;
use crate::handle::Handle;
use crate::ids::Place;
use crate::own_reason::Compact;

use super::Selection;

/// Closed connections that an engine remembers, over all reactors.
const REMEMBERED: usize = 10_000;

/// Describes a connection that has closed.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ClosedConnection {
    /// What referred to it.
    pub handle: Handle,
    /// The place of its service in [`ReactorStats::services`](crate::ReactorStats).
    pub service: usize,
    /// The address of its peer.
    pub peer: Peer,
    /// Why it closed.
    pub reason: CloseReason,
    /// How long it had lasted, to the second.
    pub age: Duration,
    /// How long ago it closed.
    pub ago: Duration,
}

/// Which of them are asked for: the newest that match.
#[derive(Clone, Debug)]
pub(crate) struct ClosedQuery {
    pub(crate) select: Selection,
    pub(crate) limit: usize,
}

/// 56 bytes: half a MiB for all of them.
#[derive(Clone, Copy)]
struct Record {
    closed: Duration,
    peer: Peer,
    place: Place,
    age_seconds: u32,
    service: u16,
    reason: Compact,
}

/// What a reactor remembers of its connections that closed last. Written when a connection closes, and only then.
pub(crate) struct Closed {
    most: usize,
    records: VecDeque<Record>,
}

/// Of an engine with one reactor. Takes memory as connections close.
impl Default for Closed {
    fn default() -> Self {
        Self { most: REMEMBERED, records: VecDeque::new() }
    }
}

impl Closed {
    /// Remembers the share of one of so many reactors.
    pub(crate) fn share(&mut self, reactors: usize) {
        self.most = REMEMBERED.div_ceil(reactors.max(1));
    }

    pub(crate) fn note(
        &mut self,
        place: Place,
        service: u16,
        peer: Peer,
        reason: CloseReason,
        age_seconds: u32,
        now: Duration,
    ) {
        if self.records.len() >= self.most {
            self.records.pop_front();
        } else if self.records.len() == self.records.capacity() {
            // Exactly: a ring that doubles would keep room that it never uses.
            let more = self.records.len().max(64).min(self.most - self.records.len());
            self.records.reserve_exact(more);
        }
        let reason = reason.into();
        self.records.push_back(Record { closed: now, peer, place, age_seconds, service, reason });
    }

    /// The newest that match, newest first.
    pub(crate) fn find(&self, query: &ClosedQuery, engine: u16, reactor: u16, now: Duration) -> Vec<ClosedConnection> {
        let may_be = |record: &&Record| query.select.may_be(record.service, || record.peer.ip());
        let shown = |record: &Record| ClosedConnection {
            handle: Handle { engine, reactor, token: record.place.token, generation: record.place.generation },
            service: usize::from(record.service),
            peer: record.peer,
            reason: record.reason.into(),
            age: Duration::from_secs(record.age_seconds.into()),
            ago: now.saturating_sub(record.closed),
        };
        self.records.iter().rev().filter(may_be).take(query.limit).map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_are_remembered_and_the_memory_is_bounded() {
        let mut closed = Closed::default();
        closed.share(4);
        for second in 0..5_000u32 {
            let place = Place { token: second, generation: 1 };
            let now = Duration::from_secs(second.into());
            closed.note(place, (second % 2) as u16, Peer::UNIX, CloseReason::Peer, second, now);
        }
        assert_eq!((closed.records.len(), size_of::<Record>()), (2_500, 56));
        assert!(closed.records.capacity() <= 2_500, "{}", closed.records.capacity());
        let select = Selection { services: Some(vec![1]), ..Selection::default() };
        let found = closed.find(&ClosedQuery { select, limit: 3 }, 0, 0, Duration::from_secs(5_000));
        let found: Vec<_> = found.iter().map(|one| (one.handle.token, one.ago.as_secs())).collect();
        assert_eq!(found, [(4_999, 1), (4_997, 3), (4_995, 5)]);
    }
}
