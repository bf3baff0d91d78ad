//! How many connections a listener may have, and how many are in: looked at when one opens or closes, by all reactors.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

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
    /// Counts a connection in under its peer's address, unless that would be more than `limit`. Nothing is counted where
    /// there is no limit (0), or the peer has no address.
    fn enter(&self, peer: Peer, limit: u32) -> bool {
        let Some(ip) = peer.ip().filter(|_| limit != 0) else { return true };
        let mut peers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = peers.entry(ip).or_insert(0);
        let room = *count < limit;
        *count += u32::from(room);
        room
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn leave(&self, peer: Peer, limit: u32) {
        let Some(ip) = peer.ip().filter(|_| limit != 0) else { return };
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
    connections: u32,
    per_peer: u32,
    open: Count,
    peers: Peers,
}

impl Quota {
    pub(crate) fn new(operational: bool, connections: u32, per_peer: u32) -> Self {
        Self { operational, connections, per_peer, ..Self::default() }
    }

    /// Takes clients from the headers of load balancers.
    pub(crate) fn proxied(mut self, proxy: Option<ProxyProtocol>) -> Self {
        self.proxy = proxy;
        self
    }

    /// Counts a connection in, here and in the engine, or says which limit it would break.
    pub(crate) fn enter(&self, totals: &Totals, limits: &Limits, peer: Peer) -> Result<(), RefusalReason> {
        if !self.open.enter(self.connections) {
            return Err(RefusalReason::Listener);
        }
        if !totals.connections.enter(self.of(limits.connections, limits)) {
            self.open.leave();
            return Err(RefusalReason::Connections);
        }
        let entered = self.enter_peer(totals, limits, peer);
        if entered.is_err() {
            totals.connections.leave();
            self.open.leave();
        }
        entered
    }

    /// Counts the peer of a connection in, or says which limit it would break.
    pub(crate) fn enter_peer(&self, totals: &Totals, limits: &Limits, peer: Peer) -> Result<(), RefusalReason> {
        if !totals.peers.enter(peer, self.of(limits.connections_per_peer, limits)) {
            return Err(RefusalReason::Peer);
        }
        if !self.peers.enter(peer, self.per_peer) {
            totals.peers.leave(peer, limits.connections_per_peer);
            return Err(RefusalReason::ListenerPeer);
        }
        Ok(())
    }

    /// Counts out a connection that was counted in.
    pub(crate) fn leave(&self, totals: &Totals, limits: &Limits, peer: Peer) {
        self.open.leave();
        self.peers.leave(peer, self.per_peer);
        totals.connections.leave();
        totals.peers.leave(peer, limits.connections_per_peer);
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
            assert_eq!(enter(1), Ok(()));
            for _ in 0..5 {
                assert_eq!(enter(1), Err(RefusalReason::ListenerPeer));
            }
            assert_eq!((enter(2), enter(3)), (Ok(()), Ok(())));
            for _ in 0..5 {
                assert_eq!(enter(4), Err(RefusalReason::Listener));
            }
            (1..=3).for_each(|last| quota.leave(&totals, &limits, peer(last)));
        }
        let free = Quota::new(false, 0, 0);
        for _ in 0..3 {
            for _ in 0..2 {
                assert_eq!(free.enter(&totals, &limits, peer(1)), Ok(()));
            }
            assert_eq!(free.enter(&totals, &limits, peer(1)), Err(RefusalReason::Peer));
            for last in 2..=3 {
                assert_eq!(free.enter(&totals, &limits, peer(last)), Ok(()));
            }
            assert_eq!(free.enter(&totals, &limits, peer(4)), Err(RefusalReason::Connections));
            [1, 1, 2, 3].into_iter().for_each(|last| free.leave(&totals, &limits, peer(last)));
        }
    }

    #[test]
    fn an_operational_listener_goes_beyond_the_engines_limits_by_the_reserve_and_no_further() {
        let limits = Limits { connections: 2, connections_per_peer: 2, operational_reserve: 1, ..Limits::default() };
        let totals = Totals::default();
        let (ordinary, operational) = (Quota::new(false, 0, 0), Quota::new(true, 0, 0));
        let enter = |quota: &Quota, last| quota.enter(&totals, &limits, peer(last));
        assert_eq!((enter(&ordinary, 1), enter(&ordinary, 1)), (Ok(()), Ok(())));
        assert_eq!(enter(&ordinary, 2), Err(RefusalReason::Connections));
        assert_eq!(enter(&operational, 1), Ok(()));
        assert_eq!(enter(&operational, 1), Err(RefusalReason::Connections));
        ordinary.leave(&totals, &limits, peer(1));
        assert_eq!(enter(&operational, 1), Ok(()), "its connections count like all others");
        assert_eq!(enter(&ordinary, 2), Err(RefusalReason::Connections));
        [&ordinary, &operational, &operational].into_iter().for_each(|quota| quota.leave(&totals, &limits, peer(1)));
        assert_eq!((enter(&ordinary, 1), enter(&ordinary, 2)), (Ok(()), Ok(())));
    }
}
