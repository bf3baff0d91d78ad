//! The timers of a reactor: a hierarchical wheel with one intrusive entry for each connection.
//!
//! The reactor calls it, on its own thread only. The wheel asks no clock: time comes in as a [`Tick`].
//!
//! Four levels of 256 slots cover the whole circle of a `u32` of milliseconds. A slot of level 0 is one
//! tick wide, a slot of level 1 is 256 ticks wide, and so on. An entry hangs on the level that its distance
//! calls for; when time enters a slot of a higher level, the entries of that slot *cascade* to the levels
//! below. An entry is therefore touched four times at most, however far away its deadline was.
//!
//! The entries live in the connections themselves, and the wheel names them by index. Nothing here allocates.
#![forbid(unsafe_code)]

use std::time::Duration;

#[cfg(test)]
mod tests;

/// A moment in milliseconds since the reactor began, wrapping every 49.7 days.
///
/// Two ticks can be compared only while they are less than half the circle apart (24.8 days).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tick(pub(crate) u32);

impl Tick {
    /// The longest delay that [`Tick::after`] gives: half the circle, 24.8 days. One more millisecond would
    /// compare as the past.
    pub(crate) const MAX_DELAY: u32 = (1 << 31) - 1;

    /// The moment `ms` milliseconds after this one; a longer delay than [`Tick::MAX_DELAY`] is cut to it.
    pub(crate) fn after(self, ms: u32) -> Self {
        Self(self.0.wrapping_add(ms.min(Self::MAX_DELAY)))
    }

    /// The moment `ms` milliseconds before this one.
    pub(crate) fn before(self, ms: u32) -> Self {
        Self(self.0.wrapping_sub(ms))
    }

    /// Whether this moment comes strictly before `other`.
    pub(crate) fn is_before(self, other: Self) -> bool {
        (other.0.wrapping_sub(self.0)).cast_signed() > 0
    }

    /// The milliseconds that passed from `earlier` to this moment, across the wrap.
    pub(crate) fn since(self, earlier: Self) -> u32 {
        self.0.wrapping_sub(earlier.0)
    }
}

/// No entry: the end of a list, and the `prev` of an entry that hangs nowhere.
const NONE: u32 = u32::MAX;

/// Marks a `prev` that names a slot and not an entry.
const SLOT_TAG: u32 = 1 << 31;

/// Slots of one level. 256 of them take eight bits of the deadline, so that a level is a byte of it.
const SLOTS_PER_LEVEL: usize = 256;
const LEVELS: usize = 4;

/// The slot for deadlines that had passed when they were scheduled. It belongs to no level.
const OVERDUE: usize = LEVELS * SLOTS_PER_LEVEL;

/// How far ahead of the wheel a moment may lie: three quarters of the circle. What lies further counts as
/// the past.
///
/// The window leans forward because a reactor's clock does not go back and no deadline is days old, whereas
/// a deadline of [`Tick::MAX_DELAY`] counted from a clock that is a little ahead of the wheel must not turn
/// into the past and fire at once.
const MAX_AHEAD: u32 = 3 << 30;

/// What an entry carries for the wheel. The default is not scheduled.
///
/// Must be cancelled before the memory that holds it goes to another entry.
#[derive(Debug)]
pub(crate) struct Links {
    next: u32,
    /// The entry before this one, or `SLOT_TAG | slot` for the first of a slot. The slot is written down here
    /// and never computed again, because by the time of a cancel the same deadline would map to another slot.
    prev: u32,
    deadline: Tick,
}

const _: () = assert!(size_of::<Links>() == 12, "every connection pays for its links");

impl Default for Links {
    fn default() -> Self {
        Self { next: NONE, prev: NONE, deadline: Tick(0) }
    }
}

impl Links {
    /// Whether the entry hangs on a wheel.
    pub(crate) fn is_scheduled(&self) -> bool {
        self.prev != NONE
    }

    /// The deadline it was last scheduled for; means nothing for an entry that never was.
    pub(crate) fn deadline(&self) -> Tick {
        self.deadline
    }
}

/// Where the wheel finds the links of an entry: the reactor's connections.
///
/// `index` is always one that was given to [`Wheel::schedule`] and that is still scheduled.
pub(crate) trait Entries {
    /// The links of the entry at `index`.
    fn links(&mut self, index: u32) -> &mut Links;
}

/// The timers of one reactor.
///
/// An entry fires at the first [`Wheel::advance`] to its deadline or past it, never before.
pub(crate) struct Wheel {
    now: Tick,
    len: usize,
    /// The first entry of every slot: those of level 0, of level 1, and so on, then the overdue.
    heads: [u32; OVERDUE + 1],
    occupied: [Occupancy; LEVELS],
}

impl Wheel {
    /// An empty wheel that stands at `now`.
    pub(crate) fn new(now: Tick) -> Self {
        Self { now, len: 0, heads: [NONE; OVERDUE + 1], occupied: [const { Occupancy::new() }; LEVELS] }
    }

    /// How many entries are scheduled.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Schedules the entry at `index` for `deadline`, or moves it there.
    ///
    /// A deadline that is not after the moment of the last advance fires at the next advance, whatever moment
    /// that goes to. `index` must be below 2^31.
    pub(crate) fn schedule(&mut self, entries: &mut impl Entries, index: u32, deadline: Tick) {
        debug_assert!(index < SLOT_TAG, "the top bit of an index marks slots");
        let links = entries.links(index);
        if links.is_scheduled() {
            if links.deadline == deadline {
                return;
            }
            self.unlink(entries, index);
        } else {
            self.len += 1;
        }
        entries.links(index).deadline = deadline;
        let slot = self.slot_for(deadline).unwrap_or(OVERDUE);
        self.link(entries, index, slot);
    }

    /// Takes the entry at `index` off the wheel; nothing happens if it is not on it.
    pub(crate) fn cancel(&mut self, entries: &mut impl Entries, index: u32) {
        if entries.links(index).is_scheduled() {
            self.unlink(entries, index);
            self.len -= 1;
        }
    }

    /// Moves the wheel to `now` and adds every entry whose deadline has come to `expired`. These are not
    /// scheduled any more.
    ///
    /// They come in the order of their ticks, save that those overdue when they were scheduled come first,
    /// and that the order within one tick is open. A `now` behind the wheel does not turn it back.
    ///
    /// The cost follows the occupied slots that are passed, not the time that is passed.
    pub(crate) fn advance(&mut self, entries: &mut impl Entries, now: Tick, expired: &mut Vec<u32>) {
        if self.len == 0 {
            // A reactor without timers may sleep for longer than ticks can tell apart. Nothing hangs here that
            // a jump could pass over, so any moment is taken.
            self.now = now;
            return;
        }
        self.expire(entries, OVERDUE, expired);
        let end = self.now.0.wrapping_add(self.ahead(now));
        while let Some(stop) = self.next_stop() {
            if self.ahead(stop) > end.wrapping_sub(self.now.0) {
                break;
            }
            self.now = stop;
            self.enter_slots(entries, expired);
        }
        self.now = Tick(end);
    }

    /// When the reactor has to advance the wheel next; `None` if nothing is scheduled.
    ///
    /// Never later than the earliest deadline. It is that deadline if the entry was scheduled, or has
    /// cascaded, with less than 256 ms to go; otherwise it may be the boundary at which the entry's slot
    /// cascades. An advance to what this gives always gets further: the earliest entry fires within four.
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        if self.heads[OVERDUE] != NONE {
            return Some(self.now);
        }
        self.next_stop()
    }

    /// The next moment after now at which a slot with entries begins.
    fn next_stop(&self) -> Option<Tick> {
        let stops = self.occupied.iter().enumerate().filter_map(|(level, occupied)| {
            let width = 8 * level as u32;
            let turn = self.now.0 >> width;
            // An entry's slot is never the one that time is in: it would have cascaded. The same slot number
            // means the next turn of the level, so the search ends with it and does not begin with it.
            let distance = occupied.distance_after(turn as u8)?;
            Some(Tick(turn.wrapping_add(distance) << width))
        });
        stops.min_by_key(|&stop| self.ahead(stop))
    }

    /// Cascades the slots that begin now, highest level first, and then fires the entries of this tick.
    fn enter_slots(&mut self, entries: &mut impl Entries, expired: &mut Vec<u32>) {
        for level in (1..LEVELS).rev() {
            let width = 8 * level as u32;
            if self.now.0.trailing_zeros() < width {
                continue;
            }
            let slot = slot_of(level, self.now);
            let mut index = self.empty_slot(slot);
            while index != NONE {
                let links = entries.links(index);
                let (next, deadline) = (links.next, links.deadline);
                // A deadline at this very tick goes to level 0, which fires below.
                let lower = self.slot_for(deadline).unwrap_or(slot_of(0, self.now));
                self.link(entries, index, lower);
                index = next;
            }
        }
        self.expire(entries, slot_of(0, self.now), expired);
    }

    fn expire(&mut self, entries: &mut impl Entries, slot: usize, expired: &mut Vec<u32>) {
        let mut index = self.empty_slot(slot);
        while index != NONE {
            let links = entries.links(index);
            expired.push(index);
            index = links.next;
            links.next = NONE;
            links.prev = NONE;
            self.len -= 1;
        }
    }

    /// The slot for a deadline, or `None` if it is not after now.
    fn slot_for(&self, deadline: Tick) -> Option<usize> {
        match self.ahead(deadline) {
            0 => None,
            // The level is the highest byte of the distance that is not zero.
            ahead => Some(slot_of(ahead.ilog2() as usize / 8, deadline)),
        }
    }

    /// The milliseconds until `moment`, none if it has passed.
    fn ahead(&self, moment: Tick) -> u32 {
        let ahead = moment.since(self.now);
        if ahead > MAX_AHEAD { 0 } else { ahead }
    }

    fn link(&mut self, entries: &mut impl Entries, index: u32, slot: usize) {
        let next = std::mem::replace(&mut self.heads[slot], index);
        let links = entries.links(index);
        links.next = next;
        links.prev = SLOT_TAG | slot as u32;
        if next != NONE {
            entries.links(next).prev = index;
        } else if slot != OVERDUE {
            self.occupied[slot / SLOTS_PER_LEVEL].insert(slot as u8);
        }
    }

    fn unlink(&mut self, entries: &mut impl Entries, index: u32) {
        let links = entries.links(index);
        let next = std::mem::replace(&mut links.next, NONE);
        let prev = std::mem::replace(&mut links.prev, NONE);
        if next != NONE {
            entries.links(next).prev = prev;
        }
        if prev & SLOT_TAG == 0 {
            entries.links(prev).next = next;
        } else {
            let slot = (prev & !SLOT_TAG) as usize;
            if next == NONE {
                self.empty_slot(slot);
            } else {
                self.heads[slot] = next;
            }
        }
    }

    /// Takes the whole list off a slot and gives its first entry; the links of the entries stay as they are.
    fn empty_slot(&mut self, slot: usize) -> u32 {
        if slot != OVERDUE {
            self.occupied[slot / SLOTS_PER_LEVEL].remove(slot as u8);
        }
        std::mem::replace(&mut self.heads[slot], NONE)
    }
}

/// The slot of `level` that `moment` falls in.
fn slot_of(level: usize, moment: Tick) -> usize {
    level * SLOTS_PER_LEVEL + usize::from((moment.0 >> (8 * level)) as u8)
}

/// Which of a level's 256 slots have entries, so that time can jump over those that have none.
struct Occupancy([u64; 4]);

impl Occupancy {
    const fn new() -> Self {
        Self([0; 4])
    }

    fn insert(&mut self, slot: u8) {
        self.0[usize::from(slot >> 6)] |= 1 << (slot & 63);
    }

    fn remove(&mut self, slot: u8) {
        self.0[usize::from(slot >> 6)] &= !(1 << (slot & 63));
    }

    /// How many slots after `slot` the next occupied one is, going round: 1 to 256, where 256 is `slot` itself.
    fn distance_after(&self, slot: u8) -> Option<u32> {
        // Most levels are empty, and each turn asks all of them.
        if self.0 == [0; 4] {
            return None;
        }
        let first = slot.wrapping_add(1);
        let (word, bit) = (usize::from(first >> 6), u32::from(first & 63));
        let upper = self.0[word] >> bit;
        if upper != 0 {
            return Some(1 + upper.trailing_zeros());
        }
        // The fourth word of these is the first again, for the bits below the one the search began at. Its upper
        // bits are known to be zero.
        (1..=4).find_map(|step| {
            let bits = self.0[(word + step) % 4];
            (bits != 0).then(|| 1 + 64 * step as u32 - bit + bits.trailing_zeros())
        })
    }
}

/// The reactor's tick at a moment of its clock.
pub(crate) fn tick(clock: Duration) -> Tick {
    Tick(clock.as_millis() as u32)
}

/// A duration in whole milliseconds, rounded up, at most what the wheel can hold.
pub(crate) fn milliseconds(duration: Duration) -> u32 {
    // In 64 bits: a division of 128 is a call, and this is on the way of services that set a timer for each message.
    let rest = u64::from(duration.subsec_micros().div_ceil(1_000));
    let whole = duration.as_secs().saturating_mul(1_000);
    whole.saturating_add(rest).min(u64::from(Tick::MAX_DELAY)) as u32
}
