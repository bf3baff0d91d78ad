//! What is known of a session beside its future: what it waits for, and what most sessions do not have.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Waker};

use crate::wheel::Tick;

use super::raw::{self, Live};
use super::scope::wrong_session;

/// A future that ends with its session.
pub(super) type Spawned = Pin<Box<dyn Future<Output = ()>>>;

/// The most timers of a session that are set at a time.
const TIMERS: usize = 65_536;

/// The most futures that a session has spawned at a time.
const SPAWNED: usize = 1_024;

/// See the module.
#[derive(Default)]
pub(super) struct Head {
    extra: Option<Box<Extra>>,
    flags: u8,
    /// Of the task that this belongs to.
    pub(super) live: Live,
}

/// What most sessions do not have.
#[derive(Default)]
pub(super) struct Extra {
    /// Those of combinators that poll only what they woke: woken before the session is polled.
    wakers: Vec<Waker>,
    timers: Vec<Timer>,
    last_timer: u32,
    spawned: Vec<Spawned>,
    /// How many there are, those that are polled at the moment included.
    spawned_len: usize,
    /// What is sent when the peer was silent.
    pub(super) heartbeat: Option<&'static [u8]>,
}

/// A timer of a session.
struct Timer {
    id: u32,
    due: Tick,
    has_fired: bool,
}

impl Head {
    /// It waits in `next`.
    pub(super) const NEXT: u8 = 1;
    /// It waits for its outbox to have room, or to be empty.
    pub(super) const ROOM: u8 = 1 << 1;
    /// It has heard that the peer ended its stream.
    pub(super) const END: u8 = 1 << 2;
    /// The codec has rejected what the peer sent.
    pub(super) const BROKEN: u8 = 1 << 3;
    /// It has closed its connection.
    pub(super) const CLOSING: u8 = 1 << 4;
    /// The engine drains.
    pub(super) const DRAIN: u8 = 1 << 5;
    /// What the codec has rejected was too large.
    pub(super) const TOO_LARGE: u8 = 1 << 6;

    pub(super) fn new(live: Live) -> Self {
        Self { extra: None, flags: 0, live }
    }

    #[inline]
    pub(super) fn has(&self, any: u8) -> bool {
        self.flags & any != 0
    }

    #[inline]
    pub(super) fn set(&mut self, flags: u8) {
        self.flags |= flags;
    }

    #[inline]
    pub(super) fn clear(&mut self, flags: u8) {
        self.flags &= !flags;
    }

    pub(super) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// What is sent when the peer was silent, if the session has said so.
    pub(super) fn heartbeat(&self) -> Option<&'static [u8]> {
        self.extra.as_ref()?.heartbeat
    }

    /// Wakes those that wait by a waker that is not the session's own with this number.
    #[inline]
    pub(super) fn wake_others(&mut self, number: usize) {
        if let Some(extra) = &mut self.extra
            && !extra.wakers.is_empty()
        {
            raw::quietly(number, || extra.wakers.drain(..).for_each(Waker::wake));
        }
    }

    /// Notes who waits, unless it is the session itself, which is polled anyway.
    #[inline]
    pub(super) fn note_waker(&mut self, waker: &Waker, number: usize) {
        if !raw::is_waker_of(waker, number) {
            self.note_other(waker);
        }
    }

    #[cold]
    fn note_other(&mut self, waker: &Waker) {
        let wakers = &mut self.extra().wakers;
        if !wakers.iter().any(|known| known.will_wake(waker)) {
            wakers.push(waker.clone());
        }
    }

    /// Takes in what ends with the session; says whether there was room.
    pub(super) fn spawn(&mut self, future: Spawned) -> bool {
        let extra = self.extra();
        let has_room = extra.spawned_len < SPAWNED;
        if has_room {
            extra.spawned.push(future);
            extra.spawned_len += 1;
        }
        has_room
    }

    pub(super) fn take_spawned(&mut self) -> Vec<Spawned> {
        self.extra.as_mut().map(|extra| std::mem::take(&mut extra.spawned)).unwrap_or_default()
    }

    /// Gives back what was taken and has not ended.
    pub(super) fn give_spawned(&mut self, spawned: Vec<Spawned>) {
        let extra = self.extra();
        extra.spawned_len = spawned.len();
        extra.spawned = spawned;
    }

    /// Sets a timer and says its number, which is not 0; `None` where there are too many.
    pub(super) fn set_timer(&mut self, due: Tick) -> Option<u32> {
        let extra = self.extra();
        if extra.timers.len() >= TIMERS {
            return None;
        }
        loop {
            extra.last_timer = extra.last_timer.checked_add(1).unwrap_or(1);
            let id = extra.last_timer;
            if extra.timers.iter().all(|timer| timer.id != id) {
                extra.timers.push(Timer { id, due, has_fired: false });
                return Some(id);
            }
        }
    }

    /// Whether a timer has fired.
    pub(super) fn has_fired(&self, id: u32) -> bool {
        let timers = self.extra.as_ref().map_or(&[][..], |extra| &extra.timers);
        timers.iter().any(|timer| timer.id == id && timer.has_fired)
    }

    pub(super) fn forget_timer(&mut self, id: u32) {
        if let Some(extra) = &mut self.extra {
            extra.timers.retain(|timer| timer.id != id);
        }
    }

    /// Fires the timers that are due; says whether there were any.
    pub(super) fn fire_timers(&mut self, now: Tick) -> bool {
        let timers = self.extra.as_mut().map_or(&mut [][..], |extra| &mut extra.timers);
        let mut any = false;
        for timer in timers.iter_mut().filter(|timer| !timer.has_fired && !now.is_before(timer.due)) {
            timer.has_fired = true;
            any = true;
        }
        any
    }

    /// When the earliest timer is due that has not fired.
    pub(super) fn next_timer(&self) -> Option<Tick> {
        let timers = self.extra.as_ref()?.timers.iter().filter(|timer| !timer.has_fired);
        timers.map(|timer| timer.due).reduce(|first, other| if other.is_before(first) { other } else { first })
    }

    /// Drops everything that the session has beside its future.
    pub(super) fn end(&mut self) {
        self.extra = None;
    }
}

/// Polls what the session has spawned, and what that spawns; each that ends goes.
pub(super) fn poll_spawned(cx: &mut Context<'_>) {
    let mut waiting = Vec::new();
    let take = || raw::with(|scope| scope.head.take_spawned()).unwrap_or_default();
    let mut spawned = take();
    if spawned.is_empty() {
        return;
    }
    while !spawned.is_empty() {
        spawned.retain_mut(|future| future.as_mut().poll(cx).is_pending());
        waiting.append(&mut spawned);
        spawned = take();
    }
    raw::with(|scope| scope.head.give_spawned(waiting));
}

/// Runs a future beside the session that calls this. It ends with its session, also if it is not ready then.
///
/// It is polled on the reactor's thread, whenever its session is, and is boxed. It may use everything of this module but the
/// session's connection, which the session has: give it channels. A session may have spawned 1,024 futures that are not
/// ready. One more is a panic, which ends the session, and so is a call from elsewhere.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    let future = Box::pin(future);
    match raw::with(|scope| scope.head.spawn(future)) {
        Some(true) => {}
        Some(false) => panic!("a session has 1,024 spawned futures at most"),
        None => wrong_session(),
    }
}
