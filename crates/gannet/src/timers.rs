//! The timers of which most connections have none: those with an identifier, several per connection, and those of services.
//!
//! They are kept beside the connections, so that a connection without them pays nothing. The reactor calls this on its own
//! thread only, and tells it the time.

use std::cmp::Reverse;
use std::collections::HashMap;

use crate::ids::{ServiceId, Token};
use crate::wheel::Tick;

/// Identifies one of a connection's timers: see [`Context::set_named_timer`](crate::Context::set_named_timer).
///
/// The service chooses the numbers, so a connection has at most 256 such timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimerId(pub u8);

/// See the module.
#[derive(Default)]
pub(crate) struct Timers {
    /// Those of connections, in no order. A connection without any has no entry.
    connections: HashMap<Token, Vec<(TimerId, Tick)>>,
    /// How many there are of all connections.
    count: usize,
    /// Those of services, which have one each.
    services: Vec<(ServiceId, Tick)>,
}

impl Timers {
    /// Sets a timer of a connection, in place of one with the same identifier.
    pub(crate) fn set(&mut self, token: Token, id: TimerId, due: Tick) {
        let timers = self.connections.entry(token).or_default();
        match timers.iter_mut().find(|(other, _)| *other == id) {
            Some((_, set)) => *set = due,
            None => {
                timers.push((id, due));
                self.count += 1;
            }
        }
    }

    /// Removes a timer of a connection; says whether the connection has others.
    pub(crate) fn cancel(&mut self, token: Token, id: TimerId) -> bool {
        self.remove_if(token, id, |_| true);
        self.connections.contains_key(&token)
    }

    /// Removes a timer of a connection if it is set for this moment; says whether it was.
    pub(crate) fn take(&mut self, token: Token, id: TimerId, due: Tick) -> bool {
        self.remove_if(token, id, |set| set == due)
    }

    fn remove_if(&mut self, token: Token, id: TimerId, is_it: impl Fn(Tick) -> bool) -> bool {
        let Some(timers) = self.connections.get_mut(&token) else { return false };
        let Some(at) = timers.iter().position(|(other, set)| *other == id && is_it(*set)) else { return false };
        timers.swap_remove(at);
        self.count -= 1;
        if timers.is_empty() {
            self.connections.remove(&token);
        }
        true
    }

    /// The moment of the connection's earliest timer.
    pub(crate) fn next(&self, token: Token) -> Option<Tick> {
        self.connections.get(&token).and_then(|timers| earliest(timers.iter().map(|(_, due)| *due)))
    }

    /// Adds to `come` the timers of a connection that are due, the longest overdue first.
    pub(crate) fn due(&self, token: Token, now: Tick, come: &mut Vec<(TimerId, Tick)>) {
        let Some(timers) = self.connections.get(&token) else { return };
        come.extend(timers.iter().filter(|(_, due)| !now.is_before(*due)));
        come.sort_unstable_by_key(|(id, due)| (Reverse(now.since(*due)), *id));
    }

    /// Removes all timers of a connection.
    pub(crate) fn forget(&mut self, token: Token) {
        self.count -= self.connections.remove(&token).map_or(0, |timers| timers.len());
    }

    /// How many timers connections have.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Sets the timer of a service.
    pub(crate) fn set_service(&mut self, service: ServiceId, due: Tick) {
        self.cancel_service(service);
        self.services.push((service, due));
    }

    /// Removes the timer of a service.
    pub(crate) fn cancel_service(&mut self, service: ServiceId) {
        self.services.retain(|(other, _)| *other != service);
    }

    /// The moment of the earliest timer of a service.
    pub(crate) fn next_service(&self) -> Option<Tick> {
        earliest(self.services.iter().map(|(_, due)| *due))
    }

    /// Removes the timers of services that are due, and adds those services to `come`, the longest overdue first.
    pub(crate) fn take_services(&mut self, now: Tick, come: &mut Vec<(ServiceId, Tick)>) {
        if self.services.is_empty() {
            return;
        }
        come.extend(self.services.extract_if(.., |(_, due)| !now.is_before(*due)));
        come.sort_unstable_by_key(|(service, due)| (Reverse(now.since(*due)), *service));
    }
}

fn earliest(moments: impl Iterator<Item = Tick>) -> Option<Tick> {
    moments.reduce(|first, other| if other.is_before(first) { other } else { first })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: TimerId = TimerId(7);
    const B: TimerId = TimerId(1);

    fn due(timers: &Timers, token: Token, now: Tick) -> Vec<u8> {
        let mut come = Vec::new();
        timers.due(token, now, &mut come);
        come.into_iter().map(|(id, _)| id.0).collect()
    }

    #[test]
    fn timers_of_a_connection_are_due_in_the_order_of_their_moments_across_the_wrap() {
        let mut timers = Timers::default();
        let start = Tick(u32::MAX - 5);
        timers.set(3, A, start.after(2));
        timers.set(3, B, start.after(10));
        timers.set(3, TimerId(4), start.after(2));
        timers.set(4, B, start);
        assert_eq!(timers.next(3), Some(start.after(2)));
        assert_eq!(due(&timers, 3, start.after(1)), [0; 0]);
        assert_eq!(due(&timers, 3, start.after(9)), [4, 7], "of the same moment, the smaller identifier is first");
        assert_eq!(due(&timers, 3, start.after(10)), [4, 7, 1]);
        assert!(timers.take(3, A, start.after(2)) && !timers.take(3, A, start.after(2)));
        assert!(timers.cancel(3, TimerId(4)), "one is left");
        timers.set(3, B, start.after(20));
        assert!(!timers.take(3, B, start.after(10)), "it was set again for later");
        assert!(!timers.cancel(3, B));
        assert_eq!((timers.len(), timers.next(3)), (1, None));
        timers.forget(4);
        timers.forget(4);
        assert_eq!((timers.len(), timers.connections.len()), (0, 0));
    }

    #[test]
    fn a_service_has_one_timer() {
        let mut timers = Timers::default();
        timers.set_service(2, Tick(50));
        timers.set_service(0, Tick(70));
        timers.set_service(2, Tick(90));
        assert_eq!(timers.next_service(), Some(Tick(70)));
        let mut come = Vec::new();
        timers.take_services(Tick(95), &mut come);
        assert_eq!(come, [(0, Tick(70)), (2, Tick(90))]);
        assert_eq!(timers.next_service(), None);
    }
}
