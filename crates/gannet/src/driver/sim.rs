//! The driver of tests: a network in memory, with virtual time and a seed.
//!
//! It does to a reactor what real drivers do, only more often: everything comes in pieces of any size, late, out of
//! order between connections, and after it was called off. It reads what is sent when the send completes, as io_uring
//! does, and it fails the test where the reactor breaks the contract of [`Driver`]. Time passes only in
//! [`Driver::wait`], which never sleeps.

mod buffers;
mod client;
mod faults;
mod flight;
mod link;
mod network;

use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::io::Errno;

use crate::address::Target;
use crate::buffer::Chunk;
use crate::listener::ListenSocket;
use crate::mailbox::Wake;
use crate::outbox::Outbox;

use self::flight::Flight;
use self::link::{End, Link};
use self::network::{Happening, Incoming, Listener, Network, Remote};
use super::datagram::Sender;
use super::{Destinations, Driver, Event, Sent};
use crate::ids::{ListenerId, Token};
use crate::route::Route;

pub(crate) use self::client::SimClient;
pub(crate) use self::faults::Faults;
pub use self::network::Answer;
pub(crate) use crate::random::Random;

/// Where the reactor's own connections come from when the route does not say.
const SOURCE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)), 40_000);

#[derive(Default)]
struct Bell(AtomicBool);

impl Wake for Bell {
    fn wake(&self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The network as a test sees it: where clients come from, and where the reactor can connect to.
#[derive(Clone)]
pub(crate) struct SimNet {
    network: Rc<RefCell<Network>>,
}

impl SimNet {
    /// The network of a seed.
    pub(crate) fn new(seed: u64, faults: Faults) -> Self {
        Self { network: Rc::new(RefCell::new(Network::new(seed, faults))) }
    }

    /// The driver on this network; there is one.
    pub(crate) fn driver(&self) -> SimDriver {
        SimDriver { network: self.network.clone(), bell: Arc::default(), chunk_out: false, is_behind: false }
    }

    /// The reactor stands still for so long, as when its process is stopped: time passes, and the system call that it is
    /// in when it goes on is interrupted.
    pub(crate) fn stall(&self, time: Duration) {
        let network = &mut *self.network.borrow_mut();
        network.now += time;
        network.interrupts = true;
    }

    /// A client that connects to one of the reactor's listeners.
    pub(crate) fn connect(&self, listener: ListenerId, from: SocketAddr) -> SimClient {
        let link = self.network.borrow_mut().arrive(listener, from);
        SimClient::new(self.network.clone(), link)
    }

    /// Decides what becomes of the reactor's connects to an address. Those that were accepted stay.
    pub(crate) fn answer(&self, address: SocketAddr, answer: Answer) {
        let mut network = self.network.borrow_mut();
        network.remotes.entry(address).or_insert(Remote { answer, accepted: Default::default() }).answer = answer;
    }

    /// Connections that the reactor made and did not close.
    #[cfg(feature = "sim")]
    pub(crate) fn outbound(&self) -> usize {
        self.network.borrow().outbound()
    }

    /// The next connection that the reactor made to an address.
    pub(crate) fn accept(&self, address: SocketAddr) -> Option<SimClient> {
        let link = self.network.borrow_mut().remotes.get_mut(&address)?.accepted.pop_front()?;
        Some(SimClient::new(self.network.clone(), link))
    }
}

/// See the module.
pub(crate) struct SimDriver {
    network: Rc<RefCell<Network>>,
    bell: Arc<Bell>,
    chunk_out: bool,
    /// The last wait was interrupted.
    is_behind: bool,
}

impl SimDriver {
    /// Opens a listener without a socket; accepting is off.
    pub(crate) fn listen_here(&mut self, listener: ListenerId) {
        let listeners = &mut self.network.borrow_mut().listeners;
        let index = usize::from(listener);
        if listeners.len() <= index {
            listeners.resize_with(index + 1, || None);
        }
        listeners[index] = Some(Listener::default());
    }

    /// Accepted connections that the reactor has neither attached nor refused.
    pub(crate) fn incoming_out(&self) -> usize {
        self.network.borrow().incoming_out
    }

    /// Whether nothing is known under any token.
    pub(crate) fn is_empty(&self) -> bool {
        self.network.borrow().tokens.iter().all(Option::is_none)
    }
}

impl Driver for SimDriver {
    type Incoming = Incoming;

    const FOUND_AT_ONCE: u32 = 1;

    fn now(&self) -> Duration {
        self.network.borrow().now
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.bell.clone()
    }

    fn listen(&mut self, listener: ListenerId, socket: ListenSocket) -> io::Result<()> {
        drop(socket);
        self.listen_here(listener);
        Ok(())
    }

    fn accept(&mut self, listener: ListenerId, on: bool) {
        self.network.borrow_mut().set_accepting(listener, on);
    }

    fn unlisten(&mut self, listener: ListenerId) {
        self.network.borrow_mut().unlisten(listener);
    }

    fn suspend(&mut self, listener: ListenerId) {
        self.network.borrow_mut().suspend(listener);
    }

    fn resume(&mut self, listener: ListenerId, on: bool) -> io::Result<()> {
        self.network.borrow_mut().resume(listener, on);
        Ok(())
    }

    fn share(&mut self, _: ListenerId) {}

    fn duplicate(&self, _: ListenerId) -> io::Result<Option<OwnedFd>> {
        Ok(None)
    }

    fn withdraw(&mut self, listener: ListenerId) {
        self.network.borrow_mut().withdraw(listener);
    }

    fn is_withdrawn(&self, _: ListenerId) -> bool {
        true
    }

    fn restore(&mut self, listener: ListenerId, on: bool) -> io::Result<()> {
        self.network.borrow_mut().set_accepting(listener, on);
        Ok(())
    }

    fn release(&mut self, listener: ListenerId) {
        self.network.borrow_mut().release(listener);
    }

    fn retire(&mut self, listener: ListenerId) -> bool {
        self.network.borrow_mut().retire(listener)
    }

    fn hand_on(&mut self, from: ListenerId, to: ListenerId) -> bool {
        self.network.borrow_mut().hand_on(from, to)
    }

    fn listening_socket(&self, _: ListenerId) -> Option<BorrowedFd<'_>> {
        None
    }

    fn unbind(&mut self, _: ListenerId) {}

    fn bind(&mut self, _: ListenerId, _: UdpSocket) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn send_datagram(&mut self, _: ListenerId, _: Sender, _: &[u8]) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn attach(&mut self, token: Token, incoming: Incoming) -> io::Result<()> {
        let network = &mut *self.network.borrow_mut();
        network.answered();
        if network.random.chance(network.faults.failed_attaches) {
            network.break_off(incoming.0);
            return Err(Errno::NOMEM.into());
        }
        network.name(token, incoming.0);
        Ok(())
    }

    fn refuse(&mut self, incoming: Incoming, farewell: &'static [u8]) {
        let network = &mut *self.network.borrow_mut();
        network.answered();
        network.dismiss(incoming.0, farewell);
    }

    fn adopt(&mut self, _: Token, _: OwnedFd) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn connect(&mut self, token: Token, route: &Route) -> io::Result<()> {
        let network = &mut *self.network.borrow_mut();
        if network.random.chance(network.faults.failed_connects) {
            return Err(Errno::ADDRNOTAVAIL.into());
        }
        let Target::Tcp(to) = route.to else { return Err(io::ErrorKind::Unsupported.into()) };
        let id = network.links.len();
        let mut link = Link::new(route.from.unwrap_or(SOURCE));
        link.connecting = true;
        network.links.push(link);
        network.routes.insert(id, to);
        network.name(token, id);
        network.soon(Happening::Connect(id));
        Ok(())
    }

    fn receive(&mut self, token: Token, on: bool) {
        let network = &mut *self.network.borrow_mut();
        let id = network.open_link(token);
        let link = &mut network.links[id];
        assert!(!link.connecting, "receiving begins when the connection is up");
        link.wanted = on;
        if !on {
            network.soon(Happening::StopReceiving(id));
        } else if !link.over {
            link.armed = true;
            network.look(id);
        }
    }

    fn watch(&mut self, token: Token) {
        let network = &mut *self.network.borrow_mut();
        let id = network.open_link(token);
        assert!(!network.links[id].wanted || network.links[id].over, "a connection is watched for which it receives");
        network.links[id].watched = true;
        network.look(id);
    }

    fn send(&mut self, token: Token, outbox: &Outbox) -> Sent {
        assert!(!outbox.is_empty(), "an empty outbox was sent");
        let network = &mut *self.network.borrow_mut();
        let id = network.open_link(token);
        let link = &network.links[id];
        assert!(link.flight.is_none(), "a second send began before the first was over");
        assert!(!link.shut, "a send began after the end of the stream");
        assert!(!link.connecting, "a send began before the connection was up");
        match network.begin_send(id, Flight::new(outbox)) {
            Ok(Some(count)) => Sent::Now(count),
            Ok(None) => Sent::Later,
            Err(error) => Sent::Failed(error),
        }
    }

    fn shutdown(&mut self, token: Token) {
        let network = &mut *self.network.borrow_mut();
        let id = network.open_link(token);
        let link = &mut network.links[id];
        assert!(link.flight.is_none(), "the stream was ended while a send was under way");
        assert!(!std::mem::replace(&mut link.shut, true), "the stream was ended twice");
        if link.to_client.end == End::Open {
            link.to_client.end = End::Finished;
        }
    }

    fn close(&mut self, token: Token, reset: bool) {
        let network = &mut *self.network.borrow_mut();
        let id = network.open_link(token);
        network.links[id].closing = Some(reset);
        network.schedule(Happening::Close(id), network.faults.close_latency);
    }

    fn recycle(&mut self, chunk: Chunk) {
        assert!(std::mem::take(&mut self.chunk_out), "a chunk was given back that was not handed out");
        let network = &mut *self.network.borrow_mut();
        network.buffers.recycle(chunk);
        network.feed_starved();
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        let network = &mut *self.network.borrow_mut();
        self.is_behind = std::mem::take(&mut network.interrupts);
        if self.is_behind {
            return Ok(());
        }
        let rung = self.bell.0.swap(false, Ordering::SeqCst);
        let until = if rung { Some(network.now) } else { timeout.map(|timeout| network.now + timeout) };
        network.happen();
        while network.found.is_empty() {
            match (network.next_happening(), until) {
                (Some(at), until) if until.is_none_or(|until| at <= until) => {
                    if network.random.chance(network.faults.spurious_wakeups) {
                        self.is_behind = true;
                        return Ok(());
                    }
                    network.now = at;
                    network.happen();
                }
                (_, Some(until)) => {
                    network.now = until;
                    return Ok(());
                }
                // Nothing will ever happen. A real driver would block for good; a test wants to go on.
                (_, None) => return Ok(()),
            }
        }
        let late = network.random.between(0, network.faults.batch.as_micros() as usize);
        network.now += Duration::from_micros(late as u64);
        network.happen();
        Ok(())
    }

    fn next(&mut self, destinations: &mut impl Destinations) -> Option<Event<Incoming>> {
        assert!(!self.chunk_out, "the last chunk was not given back");
        let network = &mut *self.network.borrow_mut();
        while let Some(event) = network.found.pop_front() {
            let token = match &event {
                Event::Accepted { .. }
                | Event::AcceptFailed { .. }
                | Event::Retired { .. }
                | Event::Datagram { .. } => return Some(event),
                Event::Closed { token } => {
                    let id = network.link_of(*token);
                    network.tokens[*token as usize] = None;
                    network.links[id].token = None;
                    return Some(event);
                }
                Event::Received { token, .. }
                | Event::ReceivedInto { token, .. }
                | Event::Ended { token }
                | Event::Failed { token, .. }
                | Event::Sent { token, .. }
                | Event::Connected { token, .. } => *token,
            };
            let id = network.link_of(token);
            if network.links[id].closing.is_none() {
                if let Event::Received { chunk, .. } = &event
                    && destinations.destination(token).is_some_and(|destination| destination.put(chunk))
                {
                    let Event::Received { chunk, .. } = event else { unreachable!("it was a moment ago") };
                    let count = chunk.len();
                    network.buffers.recycle(chunk);
                    network.feed_starved();
                    return Some(Event::ReceivedInto { token, count });
                }
                self.chunk_out = matches!(event, Event::Received { .. });
                return Some(event);
            }
            if let Event::Received { chunk, .. } = event {
                network.buffers.recycle(chunk);
                network.feed_starved();
            }
        }
        None
    }

    fn is_behind(&self) -> bool {
        self.is_behind
    }

    fn has_unread(&mut self, token: Token) -> bool {
        let network = self.network.borrow();
        network.links[network.link_of(token)].starved
    }

    fn waits_for_buffer(&self, token: Token) -> bool {
        let network = self.network.borrow();
        let link = &network.links[network.link_of(token)];
        link.starved || link.fed
    }

    fn starved(&self) -> u64 {
        self.network.borrow().starved
    }

    #[cfg(test)]
    fn buffers_out(&self) -> usize {
        self.network.borrow().buffers.out()
    }
}
