//! Which connection a call gets, in the order that the head of `pool` gives.

use std::time::Duration;

use super::{Pool, State};

impl<R, C> Pool<R, C> {
    /// Finds a connection with room, in the order that the head of this file gives.
    #[inline(always)]
    pub(super) fn choose(&mut self, now: Duration, avoid: Option<usize>) -> Option<u32> {
        // Mostly there is one endpoint, and its connection used last is in use and has room.
        if let [endpoint] = &self.endpoints[..]
            && let Some(slot) = endpoint.ready.last()
            && self.slots[*slot as usize].state == State::Busy
            && endpoint.is_in_service()
        {
            return Some(*slot);
        }
        self.choose_any(now, avoid)
    }

    fn choose_any(&mut self, now: Duration, avoid: Option<usize>) -> Option<u32> {
        if self.roomy == 0 {
            return None;
        }
        let picked = match self.endpoints.len() {
            1 => Some(0),
            _ => self.pick(avoid),
        }?;
        if !self.endpoints[picked].is_in_service() {
            return None;
        }
        if let Some(slot) = self.fresh(now, picked) {
            return Some(slot);
        }
        // The one with fewer requests in flight has no connection with room: one for the next call, and for this one
        // that of another.
        let endpoint = &self.endpoints[picked];
        if endpoint.ready.is_empty() && endpoint.coming == 0 && self.may_dial(now, picked) {
            self.dial(now, picked);
        }
        let mut others: Option<(usize, u32)> = None;
        for index in 0..self.endpoints.len() {
            let endpoint = &self.endpoints[index];
            let fewer = others.is_none_or(|(least, _)| endpoint.in_flight < least);
            if index != picked
                && endpoint.is_in_service()
                && fewer
                && let Some(slot) = self.fresh(now, index)
            {
                others = Some((self.endpoints[index].in_flight, slot));
            }
        }
        others.map(|(_, slot)| slot)
    }

    /// Two endpoints by chance, of those in service; the one with fewer requests in flight.
    fn pick(&mut self, avoid: Option<usize>) -> Option<usize> {
        let count = self.endpoints.len();
        let first = self.random.below(count);
        let starts = [first, (first + 1 + self.random.below(count - 1)) % count];
        let serves = |index: &usize| self.endpoints[*index].is_in_service() && Some(*index) != avoid;
        let [one, other] = starts.map(|from| (0..count).map(|step| (from + step) % count).find(serves));
        match (one, other) {
            (Some(one), Some(other)) => {
                let fewer = self.endpoints[other].in_flight < self.endpoints[one].in_flight;
                Some(if fewer { other } else { one })
            }
            // Only the one to avoid is left.
            _ => avoid.filter(|index| self.endpoints[*index].is_in_service()),
        }
    }

    /// The connection with room used last, unless it has to be checked first.
    #[inline]
    fn fresh(&self, now: Duration, endpoint: usize) -> Option<u32> {
        let ready = &self.endpoints[endpoint].ready;
        ready.iter().rev().copied().find(|slot| !self.is_stale(now, *slot))
    }

    #[inline]
    pub(super) fn is_stale(&self, now: Duration, slot: u32) -> bool {
        let conn = &self.slots[slot as usize];
        conn.state == State::Idle && self.features.pings && now.saturating_sub(conn.since) >= self.settings.check_after
    }

    /// An idle connection, for a lease.
    pub(super) fn choose_idle(&self, now: Duration) -> Option<u32> {
        let mut serving = self.endpoints.iter().filter(|endpoint| endpoint.is_in_service());
        serving.find_map(|endpoint| {
            let mut ready = endpoint.ready.iter().rev().copied();
            ready.find(|slot| self.slots[*slot as usize].state == State::Idle && !self.is_stale(now, *slot))
        })
    }
}
