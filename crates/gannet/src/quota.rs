//! How many connections a listener may have, and how many are in: looked at when one opens or closes, by all reactors.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::address::Peer;
use crate::counters::RefusalReason;
use crate::limits::Limits;
use crate::proxy_protocol::ProxyProtocol;

/// Connections at a time.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU32);

impl Count {
    /// Counts a connection in, unless that would be more than `limit` (0 is none).
    pub(crate) fn enter(&self, limit: u32) -> bool {
        let before = self.0.fetch_add(1, Ordering::Relaxed);
        let room = limit == 0 || before < limit;
        if !room {
            self.leave();
        }
        room
    }

    pub(crate) fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn now(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Connections at a time by the addresses they come from.
#[derive(Debug, Default)]
pub(crate) struct Peers(Mutex<HashMap<IpAddr, u32>>);

impl Peers {
    /// Counts a connection in under its peer's address; `None` where that would be more than `limit`. Says whether it is
    /// counted: it is not where there is no limit (0), or the peer has no address.
    fn enter(&self, peer: Peer, limit: u32) -> Option<bool> {
        let Some(ip) = peer.ip().filter(|_| limit != 0) else { return Some(false) };
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = peers.entry(ip).or_insert(0);
        if *count >= limit {
            return None;
        }
        *count += 1;
        Some(true)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn leave(&self, peer: Peer, counted: bool) {
        let Some(ip) = peer.ip().filter(|_| counted) else { return };
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = peers.get_mut(&ip) {
            *count -= 1;
            if *count == 0 {
                peers.remove(&ip);
            }
        }
    }
}

/// The connections of a whole engine that are counted in.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) connections: Count,
    pub(crate) peers: Peers,
}

/// What one listener may have of an engine's connections.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    /// Whether it may go beyond the engine's limits, by the reserve.
    pub(crate) operational: bool,
    /// Whose headers say who its clients are, where it requires them.
    pub(crate) proxy: Option<ProxyProtocol>,
    /// May change while connections are in.
    connections: AtomicU32,
    per_peer: AtomicU32,
    inside: Arc<Inside>,
}

/// The connections of a listener that are counted in. They may be of several services, one after the other.
#[derive(Debug, Default)]
struct Inside {
    open: Count,
    peers: Peers,
}

/// Where a connection was counted under its peer's address. Limits may come and go while it is in, and it is counted out
/// where it was counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    pub(crate) in_engine: bool,
    pub(crate) in_listener: bool,
}

impl Quota {
    pub(crate) fn new(operational: bool, connections: u32, per_peer: u32) -> Self {
        let quota = Self { operational, ..Self::default() };
        quota.set(connections, per_peer);
        quota
    }

    /// Takes clients from the headers of load balancers.
    pub(crate) fn proxied(mut self, proxy: Option<ProxyProtocol>) -> Self {
        self.proxy = proxy;
        self
    }

    /// These limits, for a listener that gets the socket of another: its connections count too.
    pub(crate) fn going_on(&self, former: &Self) -> Self {
        let quota = Self {
            operational: self.operational,
            proxy: self.proxy.clone(),
            inside: former.inside.clone(),
            ..Self::default()
        };
        quota.set(self.connections.load(Ordering::Relaxed), self.per_peer.load(Ordering::Relaxed));
        quota
    }

    /// Sets other limits. Connections that are in stay; those that came without a limit for each peer are not counted
    /// against a new one.
    pub(crate) fn set(&self, connections: u32, per_peer: u32) {
        self.connections.store(connections, Ordering::Relaxed);
        self.per_peer.store(per_peer, Ordering::Relaxed);
    }

    /// Counts a connection in, here and in the engine, and says where; or says which limit it would break.
    pub(crate) fn enter(&self, totals: &Totals, limits: &Limits, peer: Peer) -> Result<Counted, RefusalReason> {
        if !self.inside.open.enter(self.connections.load(Ordering::Relaxed)) {
            return Err(RefusalReason::Listener);
        }
        if !totals.connections.enter(self.of(limits.connections, limits)) {
            self.inside.open.leave();
            return Err(RefusalReason::Connections);
        }
        let entered = self.enter_peer(totals, limits, peer);
        if entered.is_err() {
            totals.connections.leave();
            self.inside.open.leave();
        }
        entered
    }

    /// Counts the peer of a connection in, and says where; or says which limit it would break.
    pub(crate) fn enter_peer(&self, totals: &Totals, limits: &Limits, peer: Peer) -> Result<Counted, RefusalReason> {
        let limit = self.of(limits.connections_per_peer, limits);
        let in_engine = totals.peers.enter(peer, limit).ok_or(RefusalReason::Peer)?;
        let Some(in_listener) = self.inside.peers.enter(peer, self.per_peer.load(Ordering::Relaxed)) else {
            totals.peers.leave(peer, in_engine);
            return Err(RefusalReason::ListenerPeer);
        };
        Ok(Counted { in_engine, in_listener })
    }

    /// Counts out a connection that was counted in.
    pub(crate) fn leave(&self, totals: &Totals, counted: Counted, peer: Peer) {
        self.inside.open.leave();
        self.inside.peers.leave(peer, counted.in_listener);
        totals.connections.leave();
        totals.peers.leave(peer, counted.in_engine);
    }

    /// One of the engine's limits, as it is for this listener; 0 is none.
    fn of(&self, limit: u32, limits: &Limits) -> u32 {
        if limit == 0 || !self.operational { limit } else { limit.saturating_add(limits.operational_reserve) }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use super::*;

    const BOTH: Counted = Counted { in_engine: true, in_listener: true };

    fn peer(last: u8) -> Peer {
        SocketAddr::new(Ipv4Addr::new(127, 0, 0, last).into(), 1).into()
    }

    /// Whichever limit refuses, nothing stays counted of who was refused.
    #[test]
    fn who_is_refused_takes_no_place() {
        let limits = Limits { connections: 4, connections_per_peer: 2, operational_reserve: 1, ..Limits::default() };
        let totals = Totals::default();
        let quota = Quota::new(false, 3, 1);
        let enter = |last| quota.enter(&totals, &limits, peer(last));
        for _ in 0..3 {
            assert_eq!(enter(1), Ok(BOTH));
            for _ in 0..5 {
                assert_eq!(enter(1), Err(RefusalReason::ListenerPeer));
            }
            assert_eq!((enter(2), enter(3)), (Ok(BOTH), Ok(BOTH)));
            for _ in 0..5 {
                assert_eq!(enter(4), Err(RefusalReason::Listener));
            }
            (1..=3).for_each(|last| quota.leave(&totals, BOTH, peer(last)));
        }
        let free = Quota::new(false, 0, 0);
        let of_engine = Counted { in_engine: true, in_listener: false };
        for _ in 0..3 {
            for _ in 0..2 {
                assert_eq!(free.enter(&totals, &limits, peer(1)), Ok(of_engine));
            }
            assert_eq!(free.enter(&totals, &limits, peer(1)), Err(RefusalReason::Peer));
            for last in 2..=3 {
                assert_eq!(free.enter(&totals, &limits, peer(last)), Ok(of_engine));
            }
            assert_eq!(free.enter(&totals, &limits, peer(4)), Err(RefusalReason::Connections));
            [1, 1, 2, 3].into_iter().for_each(|last| free.leave(&totals, of_engine, peer(last)));
        }
        assert!(totals.peers.is_empty() && totals.connections.now() == 0);
    }

    #[test]
    fn an_operational_listener_goes_beyond_the_engines_limits_by_the_reserve_and_no_further() {
        let limits = Limits { connections: 2, connections_per_peer: 2, operational_reserve: 1, ..Limits::default() };
        let totals = Totals::default();
        let (ordinary, operational) = (Quota::new(false, 0, 0), Quota::new(true, 0, 0));
        let enter = |quota: &Quota, last| quota.enter(&totals, &limits, peer(last)).map(drop);
        let leave = |quota: &Quota| quota.leave(&totals, Counted { in_engine: true, in_listener: false }, peer(1));
        assert_eq!((enter(&ordinary, 1), enter(&ordinary, 1)), (Ok(()), Ok(())));
        assert_eq!(enter(&ordinary, 2), Err(RefusalReason::Connections));
        assert_eq!(enter(&operational, 1), Ok(()));
        assert_eq!(enter(&operational, 1), Err(RefusalReason::Connections));
        leave(&ordinary);
        assert_eq!(enter(&operational, 1), Ok(()), "its connections count like all others");
        assert_eq!(enter(&ordinary, 2), Err(RefusalReason::Connections));
        [&ordinary, &operational, &operational].into_iter().for_each(leave);
        assert_eq!((enter(&ordinary, 1), enter(&ordinary, 2)), (Ok(()), Ok(())));
    }

    #[test]
    fn who_came_before_a_limit_or_stays_after_it_leaves_the_count_as_it_was() {
        let (totals, without) = (Totals::default(), Limits::default());
        let with = Limits { connections_per_peer: 1, ..Limits::default() };
        let quota = Quota::new(false, 0, 0);
        let early = quota.enter(&totals, &without, peer(1)).expect("there is no limit");
        quota.set(0, 1);
        let later = quota.enter(&totals, &with, peer(1)).expect("the first that is counted");
        assert_eq!((early, later), (Counted::default(), BOTH));
        quota.leave(&totals, early, peer(1));
        assert_eq!(quota.enter(&totals, &with, peer(1)), Err(RefusalReason::Peer), "the later one is still in");
        quota.set(0, 0);
        quota.leave(&totals, later, peer(1));
        assert!(
            totals.peers.is_empty() && quota.inside.peers.is_empty(),
            "nothing stays counted when the limit is gone"
        );
    }
}
