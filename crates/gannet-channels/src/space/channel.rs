//! One channel: its subscribers by reactor, its stream, its presence, and the numbers of its events.

use std::sync::Arc;

use smallvec::SmallVec;

use super::presence::Presence;
use super::shared::{Shared, Wakes};
use super::stream::Stream;
use crate::delivery::{Delivery, Event};
use crate::limits::Limits;
use crate::name::Identity;
use crate::position::{Epoch, Position, Since};
use crate::publication::Publication;
use crate::settings::{Options, RecoveryMode};
use crate::subscribe::{Flags, Granted, Subscribe, Subscribed};
use crate::time::Time;

/// A reactor with subscribers of a channel.
#[derive(Debug)]
pub(super) struct Place {
    reactor: u16,
    /// The roster's index of the channel.
    local: u32,
    subscribers: u32,
    /// Those of them that get join and leave events.
    wanting: u32,
}

/// A channel, under the lock of its shard.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) identity: Arc<Identity>,
    /// The number of the next event.
    seq: u64,
    /// The offset of the newest publication of the stream.
    pub(super) top: u64,
    pub(super) stream: Stream,
    pub(super) presence: Option<Presence>,
    places: SmallVec<[Place; 1]>,
    pub(super) subscribers: u32,
    /// Until when the channel remembers its position when it has nothing else.
    pub(super) remembered_until: Time,
    /// The shard has it in its list of histories that age.
    pub(super) aging: bool,
    /// The shard has it in its list of channels that only remember.
    pub(super) resting: bool,
}

impl Channel {
    pub(super) fn new(identity: Arc<Identity>) -> Self {
        Self {
            identity,
            seq: 0,
            top: 0,
            stream: Stream::default(),
            presence: None,
            places: SmallVec::new(),
            subscribers: 0,
            remembered_until: Time::default(),
            aging: false,
            resting: false,
        }
    }

    pub(super) fn position(&self) -> Position {
        Position { offset: self.top, epoch: self.identity.epoch() }
    }

    /// The number that the next event will have.
    pub(super) fn seq(&self) -> u64 {
        self.seq
    }

    /// Whether it has neither subscribers nor publications.
    pub(super) fn is_empty(&self) -> bool {
        self.subscribers == 0 && self.stream.is_empty()
    }

    /// Puts an event into the inboxes of the reactors that have subscribers for it.
    pub(super) fn send(&mut self, event: Event, shared: &Shared, wakes: &mut Wakes) {
        let seq = self.seq;
        self.seq += 1;
        let delivery = Delivery::new(Arc::clone(&self.identity), seq, self.top, event);
        let about_presence = delivery.is_about_presence();
        let delivery = Arc::new(delivery);
        for place in &self.places {
            if about_presence && place.wanting == 0 {
                continue;
            }
            if shared.inbox(place.reactor).push(place.local, &delivery, &shared.limits) {
                wakes.push(place.reactor);
            }
        }
    }

    pub(super) fn has_subscribers(&self) -> bool {
        !self.places.is_empty()
    }

    fn anybody_wants_join_leave(&self) -> bool {
        self.places.iter().any(|place| place.wanting > 0)
    }

    /// Counts a subscriber of a reactor.
    pub(super) fn add(&mut self, reactor: u16, local: u32, flags: Flags) {
        self.subscribers += 1;
        let wanting = u32::from(flags.has(Flags::WANTS_JOIN_LEAVE));
        match self.places.iter_mut().find(|place| place.reactor == reactor) {
            Some(place) => {
                debug_assert_eq!(place.local, local);
                place.subscribers += 1;
                place.wanting += wanting;
            }
            None => self.places.push(Place { reactor, local, subscribers: 1, wanting }),
        }
    }

    /// Counts a subscriber of a reactor no more.
    pub(super) fn remove(&mut self, reactor: u16, flags: Flags) {
        let Some(at) = self.places.iter().position(|place| place.reactor == reactor) else {
            debug_assert!(false, "reactor {reactor} has no subscribers of {}", self.identity.name());
            return;
        };
        self.subscribers -= 1;
        let place = &mut self.places[at];
        place.subscribers -= 1;
        place.wanting -= u32::from(flags.has(Flags::WANTS_JOIN_LEAVE));
        if place.subscribers == 0 {
            self.places.swap_remove(at);
        }
    }

    /// Tells those who want it that a client came or went.
    pub(super) fn tell(&mut self, event: Event, shared: &Shared, wakes: &mut Wakes) -> bool {
        let told = self.anybody_wants_join_leave();
        if told {
            self.send(event, shared, wakes);
        }
        told
    }

    /// Gives a new subscriber its position and what it missed. `same` tells whether an epoch is the stream's.
    pub(super) fn recover(
        &self,
        request: &Subscribe,
        granted: Granted,
        options: &Options,
        limits: &Limits,
        same: impl Fn(&Since) -> bool,
    ) -> Subscribed {
        let mut subscribed = Subscribed {
            position: granted.flags.has(Flags::POSITIONED).then(|| self.position()),
            positioned: granted.positioned,
            recoverable: granted.recoverable,
            ..Subscribed::default()
        };
        let Some(since) = request.recover.as_ref().filter(|_| granted.recoverable) else { return subscribed };
        let same = same(since);
        let most_bytes = request.recover_bytes.unwrap_or(usize::MAX).min(limits.recovery_bytes);
        match options.recovery_mode {
            RecoveryMode::Stream => {
                let missed = self.stream.after(since.offset, self.top);
                let missed = missed.filter(|missed| same && missed.len() <= limits.recovery);
                let missed = missed.and_then(|missed| within(missed, most_bytes));
                subscribed.recovered = Some(missed.is_some());
                if let Some(missed) = missed {
                    subscribed.publications = missed;
                    subscribed.position = Some(Position { offset: since.offset, epoch: self.identity.epoch() });
                }
            }
            RecoveryMode::Cache => {
                let newest = self.stream.newest().filter(|newest| newest.offset == self.top);
                let has_it = same && since.offset > 0 && since.offset == self.top;
                let newest = newest.filter(|_| has_it || most_bytes > 0);
                subscribed.recovered = Some(newest.is_some());
                subscribed.publications.extend(newest.filter(|_| !has_it).cloned());
            }
        }
        subscribed
    }
}

/// Takes publications, if they have no more bytes than one recovery may return. The first alone may have more, unless there is
/// no room at all.
fn within<'a>(
    missed: impl ExactSizeIterator<Item = &'a Arc<Publication>>,
    most_bytes: usize,
) -> Option<Vec<Arc<Publication>>> {
    let (mut taken, mut bytes) = (Vec::with_capacity(missed.len()), 0);
    for publication in missed {
        bytes += publication.cost();
        if bytes > most_bytes && (most_bytes == 0 || !taken.is_empty()) {
            return None;
        }
        taken.push(Arc::clone(publication));
    }
    Some(taken)
}

/// Whether a client's position is of this stream.
///
/// An empty epoch is. So is offset 0 of an earlier life of the channel in this shard, if that one can only have ended
/// without a publication: then nothing was missed that this life does not know. `forgotten` is the highest number of an
/// epoch that existed when a stream with publications was last forgotten.
pub(super) fn is_same_stream(since: &Since, epoch: Epoch, forgotten: u64) -> bool {
    if since.epoch.is_empty() || epoch == *since.epoch {
        return true;
    }
    since.offset == 0
        && since
            .epoch
            .parse::<Epoch>()
            .ok()
            .and_then(|theirs| theirs.number_beside(&epoch))
            .zip(epoch.number_beside(&epoch))
            .is_some_and(|(theirs, ours)| theirs > forgotten && theirs < ours)
}
