//! Who is let in, by the rules of the engine and by what a load balancer says in front of a connection.

use gannet_proto::proxy::{Addresses, Error, Header, LARGEST_BYTES};

use crate::address::Peer;
use crate::close_reason::CloseReason;
use crate::connection::{Flags, State};
use crate::counters::RefusalReason;
use crate::driver::Driver;
use crate::ids::{ListenerId, Token};
use crate::quota::{Counted, Quota};

use super::Reactor;

/// How long a header of the PROXY protocol may take: its sender has it ready when it connects.
pub(super) const HEADER_MS: u32 = 5_000;

impl<D: Driver> Reactor<D> {
    /// Whether a connection may come in, by where it comes from alone. Counts why not.
    pub(super) fn screen(&mut self, listener: ListenerId, peer: Peer) -> Result<(), RefusalReason> {
        let Some(quota) = self.accepting.quota(listener) else { return Ok(()) };
        let refused = match &quota.proxy {
            Some(proxy) if proxy.trusts(peer) => return Ok(()),
            Some(_) => RefusalReason::Untrusted,
            None => match self.screen_client(quota, peer) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            },
        };
        self.count_refused(listener, peer, refused);
        Err(refused)
    }

    /// Whether the rules let a client in that is who it seems to be.
    fn screen_client(&self, quota: &Quota, peer: Peer) -> Result<(), RefusalReason> {
        match &self.core.shared.access {
            Some(access) => access.screen(peer, !quota.operational, self.core.clock),
            None => Ok(()),
        }
    }

    #[cold]
    pub(super) fn count_refused(&mut self, listener: ListenerId, peer: Peer, refused: RefusalReason) {
        self.core.tally(listener).refused[refused.index()].add(1);
        if let Some(others) = self.refusals.count(self.core.clock) {
            let reason = RefusalReason::NAMES[refused.index()];
            tracing::info!(%peer, reason, others, "refused a connection");
        }
    }

    /// Counts a client in with its prefix, where that has a limit; says whether it is counted.
    pub(super) fn enter_prefix(&self, quota: &Quota, peer: Peer) -> Result<bool, RefusalReason> {
        let Some(access) = &self.core.shared.access else { return Ok(false) };
        access.enter(peer, if quota.operational { self.core.limits.operational_reserve } else { 0 })
    }

    /// Counts a client out that was counted in with its prefix.
    pub(super) fn leave_prefix(&self, peer: Peer) {
        if let Some(access) = &self.core.shared.access {
            access.leave(peer);
        }
    }

    /// Waits for the header in front of a connection.
    pub(super) fn await_header(&mut self, token: Token) {
        self.set_phase(token, self.header_ms);
    }

    /// Bytes came for a connection whose header is not whole.
    #[cold]
    pub(super) fn header_input(&mut self, token: Token, received: &mut [u8]) {
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        if !connection.flags.has(Flags::PROXY_HEADER) || connection.flags.has(Flags::CLOSE.or(Flags::CLOSE_FLUSHED)) {
            return;
        }
        let mut carry = connection.carry.take();
        let before = carry.as_ref().map_or(0, |carry| carry.len());
        let decoded = match &mut carry {
            None => named(received),
            Some(carry) => {
                let more = received.len().min(LARGEST_BYTES - before);
                carry.append(&received[..more]);
                named(carry)
            }
        };
        if let Ok(None) = decoded {
            // All of it is in the carry: `LARGEST_BYTES` would have been a header, or none.
            let carry = carry.unwrap_or_else(|| {
                let mut carry = self.core.pools.carry();
                carry.append(received);
                carry
            });
            return self.core.put_carry(token, carry);
        }
        if let Some(carry) = carry {
            self.core.pools.return_carry(carry);
        }
        match decoded {
            Ok(Some((client, length))) => self.client_named(token, client, &mut received[length - before..]),
            Ok(None) => {}
            Err(error) => self.header_failed(token, error),
        }
    }

    /// The header said who the client is, or that it is the peer; the bytes behind it are the connection's first.
    fn client_named(&mut self, token: Token, client: Option<Peer>, received: &mut [u8]) {
        let Some(connection) = self.core.slab.get_mut(token) else { return };
        let service = connection.service;
        let peer = client.unwrap_or_else(|| self.core.peers.of(token));
        self.core.peers.set(token, peer);
        let Some(quota) = self.accepting.quota(service).cloned() else { return };
        match self.let_in(&quota, peer) {
            Err(refused) => return self.refuse_client(token, service, peer, refused),
            Ok((is_counted, counted)) => {
                let Some(connection) = self.core.slab.get_mut(token) else { return };
                connection.flags.clear(Flags::PROXY_HEADER.or(Flags::PHASE));
                connection.note_counted(counted);
                if is_counted {
                    connection.flags.set(Flags::PREFIXED);
                }
            }
        }
        if self.filters[usize::from(service)].is_some() {
            self.begin_filter(token);
            if !received.is_empty() {
                self.filter_input(token, received);
            }
            return;
        }
        if let Some(connection) = self.core.slab.get_mut(token) {
            connection.become_state(State::Open);
        }
        self.open(token, service);
        let ends = Flags::CLOSE.or(Flags::CLOSE_FLUSHED);
        if !received.is_empty() && self.core.slab.get(token).is_some_and(|connection| !connection.flags.has(ends)) {
            let (host, core) = self.host(service);
            host.input(core, token, received);
        }
    }

    /// Counts a client in whose connection is counted already; says whether it is counted with its prefix too, and where it
    /// is under its address.
    fn let_in(&self, quota: &Quota, peer: Peer) -> Result<(bool, Counted), RefusalReason> {
        self.screen_client(quota, peer)?;
        let is_counted = self.enter_prefix(quota, peer)?;
        let entered = quota.enter_peer(&self.core.shared.totals, &self.core.limits, peer);
        if entered.is_err() && is_counted {
            self.leave_prefix(peer);
        }
        entered.map(|counted| (is_counted, counted))
    }

    /// Ends a connection whose client is not let in, with what its service has to say about it.
    fn refuse_client(&mut self, token: Token, service: u16, peer: Peer, refused: RefusalReason) {
        self.count_refused(service, peer, refused);
        let farewell =
            if self.filters[usize::from(service)].is_some() { b"" } else { self.host(service).0.refusal(refused) };
        if farewell.is_empty() {
            return self.core.ask_close(token, Flags::CLOSE, CloseReason::Refused);
        }
        self.core.append(token, &[farewell]);
        self.core.ask_close(token, Flags::CLOSE_FLUSHED.or(Flags::FAREWELL), CloseReason::Refused);
    }

    fn header_failed(&mut self, token: Token, error: Error) {
        let peer = self.core.peers.of(token);
        match self.headers.count(self.core.clock) {
            Some(others) => tracing::info!(%peer, %error, others, "closing: no PROXY header"),
            None => tracing::debug!(%peer, %error, "closing: no PROXY header"),
        }
        self.core.ask_close_for(token, Flags::CLOSE, CloseReason::ProxyHeader, error.into());
    }
}

/// The client that a header names, if it names one, and the bytes that the header takes.
fn named(received: &[u8]) -> Result<Option<(Option<Peer>, usize)>, Error> {
    let Some((header, length)) = Header::decode(received)? else { return Ok(None) };
    let client = match header.addresses {
        Addresses::Ip { source, .. } => {
            Some(Peer::from(std::net::SocketAddr::new(source.ip().to_canonical(), source.port())))
        }
        Addresses::Unix { .. } => Some(Peer::UNIX),
        _ => None,
    };
    Ok(Some((client, length)))
}
