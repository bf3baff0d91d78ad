//! The network in memory: virtual time, an agenda of what happens when, and every connection on it.
//!
//! The driver is one user of it, the clients that a test drives are the others. All on the test's thread.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;

use crate::driver::Event;
use crate::ids::{ListenerId, Token};

use super::buffers::Buffers;
use super::faults::{Faults, Sending};
use super::flight::Flight;
use super::link::{End, Link};
use crate::random::Random;

/// A connection, as the network calls it.
pub(super) type LinkId = usize;

/// An accepted connection that waits to be attached or refused.
#[derive(Debug)]
pub(crate) struct Incoming(pub(super) LinkId);

/// What the agenda holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Happening {
    Accept(ListenerId),
    Receive(LinkId),
    StopReceiving(LinkId),
    Send(LinkId),
    Connect(LinkId),
    Close(LinkId),
    Break(LinkId),
}

/// A listening socket of the reactor's.
#[derive(Default)]
pub(super) struct Listener {
    backlog: VecDeque<LinkId>,
    wanted: bool,
    /// Accepts that are under way still, after accepting was turned off.
    under_way: usize,
    /// Whoever comes is refused.
    refuses: bool,
    /// It closes when nobody waits any more.
    retires: bool,
}

/// How many accepts a driver may have under way.
const ACCEPTS_UNDER_WAY: usize = 4;

/// What becomes of those who connect to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// They are connections.
    Accept,
    /// They fail.
    Refuse,
    /// None at all.
    Silence,
}

/// An address that the reactor can connect to.
pub(super) struct Remote {
    pub(super) answer: Answer,
    pub(super) accepted: VecDeque<LinkId>,
}

/// See the module.
pub(crate) struct Network {
    pub(super) now: Duration,
    pub(super) random: Random,
    pub(super) faults: Faults,
    agenda: BTreeMap<(Duration, u64), Happening>,
    entries: u64,
    pub(super) listeners: Vec<Option<Listener>>,
    /// Listeners whose sockets have gone to others.
    moved: BTreeMap<ListenerId, ListenerId>,
    pub(super) links: Vec<Link>,
    /// Connections by what the reactor calls them.
    pub(super) tokens: Vec<Option<LinkId>>,
    pub(super) remotes: BTreeMap<SocketAddr, Remote>,
    pub(super) routes: BTreeMap<LinkId, SocketAddr>,
    pub(super) buffers: Buffers,
    pub(super) found: VecDeque<Event<Incoming>>,
    pub(super) starved: u64,
    /// Those who wait for a buffer, longest first.
    starving: VecDeque<LinkId>,
    pub(super) incoming_out: usize,
    /// The next wait is interrupted.
    pub(super) interrupts: bool,
}

impl Network {
    pub(super) fn new(seed: u64, faults: Faults) -> Self {
        Self {
            now: Duration::ZERO,
            random: Random::new(seed),
            agenda: BTreeMap::new(),
            entries: 0,
            listeners: Vec::new(),
            moved: BTreeMap::new(),
            links: Vec::new(),
            tokens: Vec::new(),
            remotes: BTreeMap::new(),
            routes: BTreeMap::new(),
            buffers: Buffers::new(faults.buffers, faults.chunk_bytes),
            found: VecDeque::new(),
            starved: 0,
            starving: VecDeque::new(),
            incoming_out: 0,
            interrupts: false,
            faults,
        }
    }

    /// Puts something on the agenda, for some time within `longest`.
    pub(super) fn schedule(&mut self, happening: Happening, longest: Duration) {
        let micros = match self.random.below(3) {
            0 => 0,
            _ => self.random.between(0, longest.as_micros() as usize),
        };
        self.entries += 1;
        self.agenda.insert((self.now + Duration::from_micros(micros as u64), self.entries), happening);
    }

    pub(super) fn soon(&mut self, happening: Happening) {
        self.schedule(happening, self.faults.latency);
    }

    /// When something happens next.
    pub(super) fn next_happening(&self) -> Option<Duration> {
        self.agenda.first_key_value().map(|((at, _), _)| *at)
    }

    /// Lets everything happen that is due by now.
    pub(super) fn happen(&mut self) {
        while let Some(entry) = self.agenda.first_entry() {
            if entry.key().0 > self.now {
                return;
            }
            match entry.remove() {
                Happening::Accept(listener) => self.accept(listener),
                Happening::Receive(link) => self.receive(link),
                Happening::StopReceiving(id) => {
                    let link = &mut self.links[id];
                    link.armed = link.wanted && link.closing.is_none();
                }
                Happening::Send(link) => self.send(link),
                Happening::Connect(link) => self.connect(link),
                Happening::Close(link) => self.close(link),
                Happening::Break(link) => self.report_break(link),
            }
        }
    }

    /// A client's connection waits to be accepted.
    pub(super) fn arrive(&mut self, listener: ListenerId, client: SocketAddr) -> LinkId {
        let id = self.links.len();
        self.links.push(Link::new(client));
        let listener = self.moved.get(&listener).copied().unwrap_or(listener);
        match self.listeners.get_mut(usize::from(listener)).and_then(Option::as_mut) {
            Some(open) if !open.refuses => {
                open.backlog.push_back(id);
                self.soon(Happening::Accept(listener));
            }
            _ => self.break_off(id),
        }
        id
    }

    /// A listener accepts nothing; whoever comes waits.
    pub(super) fn withdraw(&mut self, listener: ListenerId) {
        self.set_accepting(listener, false);
        if let Some(open) = self.listeners.get_mut(usize::from(listener)).and_then(Option::as_mut) {
            open.under_way = 0;
        }
    }

    /// A listener is another process's.
    pub(super) fn release(&mut self, listener: ListenerId) {
        if let Some(open) = self.listeners.get_mut(usize::from(listener)) {
            *open = None;
        }
    }

    /// A listener refuses whoever comes, and whoever waits.
    pub(super) fn suspend(&mut self, listener: ListenerId) {
        self.set_accepting(listener, false);
        let Some(open) = self.listeners.get_mut(usize::from(listener)).and_then(Option::as_mut) else { return };
        open.refuses = true;
        for link in std::mem::take(&mut open.backlog) {
            self.break_off(link);
        }
    }

    /// A listener takes those who come again.
    pub(super) fn resume(&mut self, listener: ListenerId, on: bool) {
        if let Some(open) = self.listeners.get_mut(usize::from(listener)).and_then(Option::as_mut) {
            open.refuses = false;
        }
        self.set_accepting(listener, on);
    }

    pub(super) fn set_accepting(&mut self, listener: ListenerId, on: bool) {
        let Some(open) = self.listeners.get_mut(usize::from(listener)).and_then(Option::as_mut) else { return };
        if open.wanted && !on {
            open.under_way = self.random.between(0, ACCEPTS_UNDER_WAY);
        }
        open.wanted = on;
        self.soon(Happening::Accept(listener));
    }

    pub(super) fn unlisten(&mut self, listener: ListenerId) {
        let open = self.listeners[usize::from(listener)].take().expect("a listener is closed once");
        for link in open.backlog {
            self.break_off(link);
        }
    }

    /// A listener closes when nobody waits any more; says whether there is such a listener.
    pub(super) fn retire(&mut self, listener: ListenerId) -> bool {
        let Some(open) = self.listeners.get_mut(usize::from(listener)).and_then(Option::as_mut) else { return false };
        open.retires = true;
        self.soon(Happening::Accept(listener));
        true
    }

    /// Who waits for one listener waits for another from now on.
    pub(super) fn hand_on(&mut self, from: ListenerId, to: ListenerId) -> bool {
        let Some(open) = self.listeners.get_mut(usize::from(from)).and_then(Option::take) else { return false };
        let (from_index, to_index) = (usize::from(from), usize::from(to));
        if self.listeners.len() <= to_index {
            self.listeners.resize_with(to_index + 1, || None);
        }
        self.listeners[to_index] =
            Some(Listener { backlog: open.backlog, refuses: open.refuses, ..Listener::default() });
        debug_assert!(self.listeners[from_index].is_none());
        self.moved.values_mut().filter(|by_now| **by_now == from).for_each(|by_now| *by_now = to);
        self.moved.insert(from, to);
        true
    }

    /// An accepted connection was answered: there is room for another.
    pub(super) fn answered(&mut self) {
        self.incoming_out -= 1;
        for index in 0..self.listeners.len() {
            if self.listeners[index].as_ref().is_some_and(|open| open.retires || !open.backlog.is_empty()) {
                self.soon(Happening::Accept(index as ListenerId));
            }
        }
    }

    fn accept(&mut self, listener: ListenerId) {
        if self.incoming_out >= ACCEPTS_UNDER_WAY {
            return;
        }
        let Some(open) = self.listeners[usize::from(listener)].as_mut() else { return };
        let Some(&id) = open.backlog.front() else {
            if open.retires {
                self.listeners[usize::from(listener)] = None;
                self.found.push_back(Event::Retired { listener });
            }
            return;
        };
        if !open.wanted {
            if open.under_way == 0 {
                return;
            }
            open.under_way -= 1;
        }
        let mut fail = |errno: Errno| self.found.push_back(Event::AcceptFailed { listener, error: errno.into() });
        if self.random.chance(self.faults.exhausted_accepts) {
            fail(Errno::MFILE);
        } else {
            open.backlog.pop_front();
            if self.random.chance(self.faults.aborted_accepts) {
                fail(Errno::CONNABORTED);
                self.break_off(id);
            } else {
                self.incoming_out += 1;
                let peer = self.links[id].client.into();
                self.found.push_back(Event::Accepted { listener, incoming: Incoming(id), peer });
            }
        }
        self.soon(Happening::Accept(listener));
    }

    /// Ends a connection that the reactor does not know (any more): its client sees a reset.
    pub(super) fn break_off(&mut self, id: LinkId) {
        self.links[id].server_gone = true;
        self.reset_client(id);
    }

    /// Ends a connection that the reactor does not want: its client reads this, unless it has sent something, and a reset
    /// may come before that was read. Without a text it sees a reset.
    pub(super) fn dismiss(&mut self, id: LinkId, farewell: &[u8]) {
        if !farewell.is_empty() {
            self.carry(id, farewell);
        }
        let link = &mut self.links[id];
        if farewell.is_empty() || !link.to_server.bytes.is_empty() || link.to_client.end != End::Open {
            return self.break_off(id);
        }
        link.server_gone = true;
        link.to_client.end = End::Finished;
    }

    /// The client learns that the connection is broken; some of what was on its way is lost.
    pub(super) fn reset_client(&mut self, id: LinkId) {
        let kept = self.random.between(0, self.links[id].to_client.bytes.len());
        self.links[id].to_client.reset(kept);
    }

    /// The reactor learns that the connection is broken; some of what was on its way is lost.
    pub(super) fn reset_server(&mut self, id: LinkId) {
        let kept = self.random.between(0, self.links[id].to_server.bytes.len());
        self.links[id].to_server.reset(kept);
        self.look(id);
    }

    /// Has a look at both directions of a connection soon: something changed.
    pub(super) fn look(&mut self, id: LinkId) {
        let link = &mut self.links[id];
        if link.armed && !link.starved && !link.receive_due && link.is_receivable() {
            link.receive_due = true;
            self.soon(Happening::Receive(id));
        }
        let link = &mut self.links[id];
        if link.watched && link.to_server.end == End::Reset {
            link.watched = false;
            self.soon(Happening::Break(id));
        }
        let link = &mut self.links[id];
        if link.flight.is_some() && !link.send_due {
            link.send_due = true;
            self.soon(Happening::Send(id));
        }
    }

    fn receive(&mut self, id: LinkId) {
        let link = &mut self.links[id];
        (link.receive_due, link.fed) = (false, false);
        let Some(token) = link.token.filter(|_| link.armed && link.closing.is_none() && !link.connecting) else {
            // The buffer that it was woken for is another's.
            return self.feed_starved();
        };
        if !link.is_receivable() {
            return self.feed_starved();
        }
        if link.to_server.bytes.is_empty() {
            (link.over, link.armed) = (true, false);
            self.found.push_back(match link.to_server.end {
                End::Reset => Event::Failed { token, error: Errno::CONNRESET.into() },
                _ => Event::Ended { token },
            });
            return self.feed_starved();
        }
        let mut count = link.to_server.bytes.len().min(self.buffers.size());
        if self.random.chance(self.faults.short_reads) {
            count = self.random.part(count);
        }
        if self.buffers.out() == self.faults.buffers {
            // It stands still until a buffer comes back.
            self.starved += 1;
            self.links[id].starved = true;
            self.starving.push_back(id);
            return;
        }
        let chunk = self.buffers.fill(link.to_server.bytes.drain(..count)).expect("a buffer is free");
        self.found.push_back(Event::Received { token, chunk });
        self.look(id);
    }

    /// The reactor learns that a connection is broken for which it does not receive.
    fn report_break(&mut self, id: LinkId) {
        let link = &self.links[id];
        if let Some(token) = link.token.filter(|_| link.closing.is_none()) {
            self.found.push_back(Event::Failed { token, error: Errno::CONNRESET.into() });
        }
    }

    /// A buffer is free: the first who waited for one goes on.
    pub(super) fn feed_starved(&mut self) {
        while let Some(id) = self.starving.pop_front() {
            self.links[id].starved = false;
            self.look(id);
            if self.links[id].receive_due {
                self.links[id].fed = true;
                return;
            }
        }
    }

    /// How many of `offered` bytes the kernel takes of a send now.
    fn room(&mut self, id: LinkId, offered: usize) -> usize {
        let count = offered.min(self.faults.window.saturating_sub(self.links[id].to_client.bytes.len()));
        if count > 0 && self.random.chance(self.faults.short_writes) {
            return self.random.part(count);
        }
        count
    }

    /// Whether sending is over, and how that shows.
    fn send_error(&mut self, id: LinkId) -> Option<io::Error> {
        let link = &self.links[id];
        if link.to_server.end == End::Reset || link.to_client.end == End::Reset {
            return Some(self.random.pick(&[Errno::CONNRESET, Errno::PIPE]).into());
        }
        None
    }

    /// Puts sent bytes on their way.
    fn carry(&mut self, id: LinkId, bytes: &[u8]) {
        let link = &mut self.links[id];
        if link.client_gone {
            // Nobody takes them: the answer is a reset.
            if !bytes.is_empty() {
                self.reset_server(id);
                self.links[id].to_client.end = End::Reset;
            }
        } else if link.to_client.end == End::Open {
            link.to_client.bytes.extend(bytes);
        }
    }

    /// A send begins. `Ok` says how much left at once, or `None` where a completion will tell.
    pub(super) fn begin_send(&mut self, id: LinkId, mut flight: Flight) -> io::Result<Option<usize>> {
        let at_once = match self.faults.sending {
            Sending::AtOnce => true,
            Sending::ByCompletion => false,
            Sending::Either => self.random.chance(500),
        };
        if at_once {
            if let Some(error) = self.send_error(id) {
                return Err(error);
            }
            if self.random.chance(self.faults.empty_writes) {
                return Ok(Some(0));
            }
            let count = self.room(id, flight.len());
            if count > 0 {
                // SAFETY: the reactor is in its call of `send`, with the outbox borrowed.
                let bytes = unsafe { flight.read() };
                self.carry(id, &bytes[..count]);
                return Ok(Some(count));
            }
        }
        flight.waits_only = at_once;
        self.links[id].flight = Some(flight);
        self.look(id);
        Ok(None)
    }

    fn send(&mut self, id: LinkId) {
        self.links[id].send_due = false;
        if self.links[id].closing.is_some() {
            return;
        }
        let (Some(token), Some(flight)) = (self.links[id].token, self.links[id].flight.take()) else { return };
        // SAFETY: the reactor learns of the end of this send by the event below at the earliest.
        let bytes = unsafe { flight.read() };
        let result = match self.send_error(id) {
            Some(_) if flight.waits_only => Ok(0),
            Some(error) => Err(error),
            None if self.random.chance(self.faults.empty_writes) => Ok(0),
            None => match self.room(id, bytes.len()) {
                0 => {
                    // It waits until the client has read something.
                    self.links[id].flight = Some(flight);
                    return;
                }
                _ if flight.waits_only => Ok(0),
                count => {
                    self.carry(id, &bytes[..count]);
                    Ok(count)
                }
            },
        };
        self.found.push_back(Event::Sent { token, result });
    }

    fn connect(&mut self, id: LinkId) {
        let link = &mut self.links[id];
        let Some(token) = link.token.filter(|_| link.closing.is_none()) else { return };
        let remote = self.routes.get(&id).and_then(|to| self.remotes.get_mut(to));
        let result = match remote.as_ref().map(|remote| remote.answer) {
            Some(Answer::Silence) => return,
            Some(Answer::Accept) => {
                link.connecting = false;
                remote.into_iter().for_each(|remote| remote.accepted.push_back(id));
                Ok(())
            }
            Some(Answer::Refuse) | None => Err(Errno::CONNREFUSED.into()),
        };
        self.found.push_back(Event::Connected { token, result });
    }

    /// The kernel has done with a connection that the reactor closed.
    fn close(&mut self, id: LinkId) {
        let link = &mut self.links[id];
        let (token, reset) = (link.token.expect("it is known until here"), link.closing.expect("it was closed"));
        link.server_gone = true;
        if let Some(flight) = link.flight.take() {
            // SAFETY: the reactor learns that the connection is gone by the event below at the earliest.
            let bytes = unsafe { flight.read() };
            // The cancellation of the send may come too late.
            if !flight.waits_only && self.send_error(id).is_none() && self.random.chance(300) {
                let count = self.room(id, bytes.len());
                self.carry(id, &bytes[..count]);
            }
        }
        let link = &mut self.links[id];
        // A close with unread input is a reset, as in real kernels.
        if reset || !link.to_server.bytes.is_empty() {
            self.reset_client(id);
        } else if link.to_client.end == End::Open {
            link.to_client.end = End::Finished;
        }
        self.found.push_back(Event::Closed { token });
    }

    /// The connection of a token.
    pub(super) fn link_of(&self, token: Token) -> LinkId {
        let link = self.tokens.get(token as usize).copied().flatten();
        link.unwrap_or_else(|| panic!("the reactor named token {token}, which is no connection"))
    }

    /// Connections that the reactor made and did not close.
    #[cfg(feature = "sim")]
    pub(super) fn outbound(&self) -> usize {
        let open = |id: &&LinkId| self.links[**id].token.is_some() && self.links[**id].closing.is_none();
        self.routes.keys().filter(open).count()
    }

    /// The connection of a token that was not closed.
    pub(super) fn open_link(&self, token: Token) -> LinkId {
        let id = self.link_of(token);
        assert!(self.links[id].closing.is_none(), "the reactor used token {token} after it closed it");
        id
    }

    /// Makes a connection known under `token`.
    pub(super) fn name(&mut self, token: Token, id: LinkId) {
        let index = token as usize;
        if self.tokens.len() <= index {
            self.tokens.resize(index + 1, None);
        }
        assert!(self.tokens[index].is_none(), "the reactor gave token {token} to a second connection");
        self.tokens[index] = Some(id);
        self.links[id].token = Some(token);
    }
}
