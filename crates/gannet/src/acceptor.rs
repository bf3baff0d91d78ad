//! One thread that accepts for all reactors and chooses whose each connection is: for the ways of spreading that the
//! kernel does not offer, and for Unix sockets, which only one socket can listen on.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::address::Peer;
use crate::counters::{ReactorCounters, RefusalReason, ServiceCounters};
use crate::drain::Order;
use crate::error::{Error, Result};
use crate::exhaustion::{EXHAUSTED, is_exhausted, is_process_full};
use crate::ids::ListenerId;
use crate::keepalive;
use crate::listener::{ListenSocket, Pace, reset_on_close};
use crate::mailbox::{NotPosted, Wake};
use crate::remote::{Letter, Shared};
use crate::requests::{Request, Shown, duplicate};
use crate::wheel::{Tick, tick};

/// Says how accepted connections are spread over the reactors of an engine.
///
/// Unix sockets with several reactors always use the acceptor's thread; for them `ReusePort` means each reactor in turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Balance {
    /// Every reactor accepts by itself, and the kernel chooses by a hash of both addresses (SO_REUSEPORT, socket(7)).
    ///
    /// The default on Linux; other kernels do not spread connections.
    ReusePort,
    /// One thread accepts and gives connections to each reactor in turn. The default outside Linux.
    RoundRobin,
    /// One thread accepts and gives each connection to the reactor with the fewest.
    LeastConnections,
    /// One thread accepts and chooses by a hash of the peer's IP address, so a client always meets the same reactor.
    SourceHash,
}

impl Default for Balance {
    fn default() -> Self {
        if cfg!(target_os = "linux") { Self::ReusePort } else { Self::RoundRobin }
    }
}

/// How long accepting pauses when no descriptor is left, or no reactor has room.
const PAUSE_MS: u32 = 100;

/// Connections that may wait in a reactor, where only that one may serve them.
const MOST_WAITING: u64 = 256;

struct Bell(Waker);

impl Wake for Bell {
    fn wake(&self) {
        if let Err(error) = self.0.wake() {
            tracing::error!(%error, "the acceptor could not be woken");
        }
    }
}

/// The acceptor's thread.
pub(crate) struct Acceptor {
    thread: JoinHandle<()>,
    changes: mpsc::Sender<Change>,
    bell: Arc<dyn Wake>,
}

impl Acceptor {
    /// The name of the thread.
    pub(crate) const NAME: &str = "gannet-accept";

    /// Starts to accept.
    pub(crate) fn start(
        listeners: Vec<Central>,
        balance: Balance,
        accepts_per_second: u32,
        shared: &Arc<Shared>,
    ) -> Result<Self> {
        let failed = |error: io::Error| Error::Setting(format!("the acceptor cannot start: {error}"));
        let poll = Poll::new().map_err(failed)?;
        let bell: Arc<dyn Wake> = Arc::new(Bell(Waker::new(poll.registry(), Token(usize::MAX)).map_err(failed)?));
        // The cell is new: nobody else sets it.
        let _ = shared.acceptor.set(bell.clone());
        let (changes, received) = mpsc::channel();
        let pace = Pace::new(accepts_per_second, Tick(0));
        let mut work = Work {
            poll,
            changes: received,
            listeners: Vec::new(),
            moved: Vec::new(),
            balance,
            pace,
            shared: shared.clone(),
            counters: shared.acceptor_counters.get_or_init(|| Arc::new(ReactorCounters::new(0))).clone(),
            next: 0,
            #[allow(clippy::disallowed_methods)] // The acceptor is its own driver.
            began: Instant::now(),
            again: [None; 2],
            held: Vec::new(),
            is_withdrawn: false,
            // What was asked before it started is not for it.
            request: shared.requests.newest().0,
            version: 0,
            drains: Vec::new(),
        };
        for central in listeners {
            work.listen(central).map_err(failed)?;
        }
        let thread = std::thread::Builder::new().name(Self::NAME.to_owned()).spawn(|| work.run());
        Ok(Self { thread: thread.map_err(failed)?, changes, bell })
    }

    /// Has the acceptor change; says whether it has within the time.
    pub(crate) fn change(&self, mut change: Change, longest: Duration) -> bool {
        if change.is_empty() {
            return true;
        }
        let (sender, held) = mpsc::channel();
        change.done = Some(sender);
        // An acceptor that has ended has let go of everything.
        let _ = self.changes.send(change);
        self.bell.wake();
        wait_for_drop(&held, longest)
    }

    /// Waits for its end.
    pub(crate) fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the acceptor panicked; this is a bug");
        }
    }
}

/// A socket to accept from.
pub(crate) struct Central {
    listener: ListenerId,
    socket: ListenSocket,
    operational: bool,
    tally: Arc<ServiceCounters>,
    /// It is part of a drain.
    is_suspended: bool,
    /// Another process may have the socket too: it is never shut down.
    is_shared: bool,
    /// It closes when nothing waits any more; who waits for that holds the other end.
    retires: Option<mpsc::Sender<()>>,
    /// It retires, and nothing waits.
    is_over: bool,
}

impl Central {
    pub(crate) fn new(listener: ListenerId, socket: ListenSocket, operational: bool, is_shared: bool) -> Self {
        Self {
            listener,
            socket,
            operational,
            tally: Arc::default(),
            is_suspended: false,
            is_shared,
            retires: None,
            is_over: false,
        }
    }
}

/// What the acceptor shall change.
#[derive(Default)]
pub(crate) struct Change {
    pub(crate) added: Vec<Central>,
    /// Listeners whose sockets go to others, and whether those are operational.
    pub(crate) moved: Vec<(ListenerId, ListenerId, bool)>,
    pub(crate) removed: Vec<ListenerId>,
    /// Connections a second.
    pub(crate) pace: Option<u32>,
    pub(crate) keepalives: Vec<(ListenerId, Option<Duration>)>,
    /// Dropped when all of it is done.
    pub(crate) done: Option<mpsc::Sender<()>>,
}

impl Change {
    fn is_empty(&self) -> bool {
        self.added.is_empty()
            && self.moved.is_empty()
            && self.removed.is_empty()
            && self.pace.is_none()
            && self.keepalives.is_empty()
    }
}

/// A connection that was accepted and whose reactor's mailbox is full.
struct Held {
    letter: Letter,
    listener: ListenerId,
    peer: Peer,
}

struct Work {
    poll: Poll,
    changes: mpsc::Receiver<Change>,
    listeners: Vec<Central>,
    /// Listeners whose sockets have gone to others, until what was accepted for them is handed over.
    moved: Vec<(ListenerId, mpsc::Sender<()>)>,
    balance: Balance,
    pace: Pace,
    shared: Arc<Shared>,
    counters: Arc<ReactorCounters>,
    next: usize,
    began: Instant,
    /// When accepting goes on, where it is paused: on ordinary listeners, and on operational ones.
    again: [Option<Tick>; 2],
    /// Never more than one of each class: it pauses accepting.
    held: Vec<Held>,
    /// It was asked to accept nothing, for another process.
    is_withdrawn: bool,
    /// The number of the request that was read last.
    request: u32,
    /// Of the drains that are wanted, as they were last read.
    version: u32,
    /// The drains that are wanted, and when each begins.
    drains: Vec<(Order, Tick)>,
}

impl Work {
    fn run(mut self) {
        let mut events = Events::with_capacity(64);
        loop {
            let now = self.now();
            let pause =
                self.again.iter().flatten().map(|again| if again.is_before(now) { 0 } else { again.since(now) });
            let begins = self.drains.iter().map(|(_, begins)| begins).filter(|begins| now.is_before(**begins));
            let pause = pause
                .chain(begins.map(|begins| begins.since(now)))
                .min()
                .map(|ms| Duration::from_millis(u64::from(ms)));
            if let Err(error) = self.poll.poll(&mut events, pause)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "the acceptor cannot wait; it ends");
                return self.shared.stop(None);
            }
            if self.shared.drains.version() != self.version {
                self.read_drains();
                self.read_requests();
            }
            while let Ok(change) = self.changes.try_recv() {
                self.follow(change);
            }
            if !self.drains.is_empty() && self.drain() {
                return self.held.drain(..).for_each(|held| refuse(held.letter));
            }
            for held in std::mem::take(&mut self.held) {
                self.hand_over(held);
            }
            if self.is_withdrawn {
                continue;
            }
            // All of them after every wake-up: readiness is reported once only, and a pause may have cut it short.
            // Operational ones first, for what is left.
            for operational in [true, false] {
                let now = self.now();
                if self.again[usize::from(operational)].is_some_and(|again| now.is_before(again)) {
                    continue;
                }
                self.again[usize::from(operational)] = None;
                // What operational listeners have taken of the reserve has to be there again before others take anything.
                if !operational && !self.shared.spares.top_up() {
                    self.pause(operational);
                    continue;
                }
                for index in 0..self.listeners.len() {
                    if self.listeners[index].operational == operational
                        && self.again[usize::from(operational)].is_none()
                    {
                        self.accept_all(index);
                    }
                }
            }
            let is_held = |listener| self.held.iter().any(|held| held.listener == listener);
            self.listeners.retain(|central| !central.is_over || is_held(central.listener));
            self.moved.retain(|(listener, _)| is_held(*listener));
        }
    }

    /// Accepts from a socket from now on.
    fn listen(&mut self, mut central: Central) -> io::Result<()> {
        // A process that it comes from may have had it block.
        rustix::io::ioctl_fionbio(&central.socket, true)?;
        let mut source = SourceFd(&central.socket.as_fd().as_raw_fd());
        self.poll.registry().register(&mut source, Token(usize::from(central.listener)), Interest::READABLE)?;
        central.tally = self.counters.tally_for(central.listener);
        self.listeners.push(central);
        Ok(())
    }

    fn follow(&mut self, change: Change) {
        let Change { added, moved, removed, pace, keepalives, done } = change;
        for central in added {
            let listener = central.listener;
            if let Err(error) = self.listen(central) {
                tracing::error!(%error, listener, "the acceptor cannot watch a new listener, which is closed");
            }
        }
        for (from, to, operational) in moved {
            for central in self.listeners.iter_mut().filter(|central| central.listener == from) {
                (central.listener, central.operational) = (to, operational);
                central.tally = self.counters.tally_for(to);
            }
            self.moved.extend(done.clone().map(|done| (from, done)));
        }
        for central in &mut self.listeners {
            if removed.contains(&central.listener) {
                central.retires.clone_from(&done);
            }
        }
        for (listener, after) in keepalives {
            for central in self.listeners.iter().filter(|central| central.listener == listener) {
                if let Err(error) = keepalive::change(central.socket.as_fd(), after) {
                    tracing::warn!(%error, "the keepalive of a listener cannot be changed");
                }
            }
        }
        if let Some(per_second) = pace {
            self.pace = Pace::new(per_second, self.now());
        }
    }

    /// Does what is asked for another process, where that is new.
    fn read_requests(&mut self) {
        let (number, request) = self.shared.requests.newest();
        if std::mem::replace(&mut self.request, number) == number {
            return;
        }
        let outcome = match request {
            Request::Nothing => return,
            Request::Share => self.duplicate_sockets(),
            Request::Withdraw => {
                self.is_withdrawn = true;
                self.listeners.iter_mut().for_each(|central| central.is_shared = true);
                Ok(Vec::new())
            }
            Request::Restore => {
                self.is_withdrawn = false;
                let mut all = self.listeners.iter();
                // The other process may have had them block.
                let restored = all.try_for_each(|central| Ok(rustix::io::ioctl_fionbio(&central.socket, true)?));
                restored.map(|()| Vec::new())
            }
            Request::Release => {
                for central in self.listeners.drain(..) {
                    // Epoll knows the socket, which lives on.
                    let _ = self.poll.registry().deregister(&mut SourceFd(&central.socket.as_fd().as_raw_fd()));
                }
                Ok(Vec::new())
            }
        };
        self.shared.requests.report(number, outcome);
    }

    fn duplicate_sockets(&self) -> io::Result<Vec<Shown>> {
        let first = self.shared.gates().len();
        let all = self.listeners.iter().enumerate();
        all.map(|(index, central)| Ok((central.listener, first + index, duplicate(&central.socket)?))).collect()
    }

    /// Reads which drains are wanted.
    fn read_drains(&mut self) {
        self.version = self.shared.drains.version();
        let now = self.now();
        let known = std::mem::take(&mut self.drains);
        for order in self.shared.drains.orders() {
            let begins = known.iter().find(|(known, _)| known.id == order.id).map(|(_, begins)| *begins);
            let begins = begins.filter(|begins| !order.is_hurried || begins.is_before(now));
            let delay_ms = if order.is_hurried { 0 } else { order.times.delay_ms };
            self.drains.push((order, begins.unwrap_or(now.after(delay_ms))));
        }
        // Those that are cancelled; what begins is looked at in each round.
        self.drain();
    }

    /// Brings every listener to what the drains want of it; says whether the end has begun.
    fn drain(&mut self) -> bool {
        let now = self.now();
        let begun = self.drains.iter().filter(|(_, begins)| !now.is_before(*begins)).map(|(order, _)| order);
        let is_final = |order: &Order| order.listeners.is_none() && order.is_final;
        if begun.clone().any(is_final) {
            let is_last = self.shared.is_aborting() || begun.clone().any(|order| is_final(order) && order.is_deserted);
            self.listeners.retain(|central| central.operational && !is_last);
            if self.listeners.is_empty() {
                return true;
            }
            let is_kept = |held: &Held| self.listeners.iter().any(|central| central.listener == held.listener);
            let (kept, refused) = std::mem::take(&mut self.held).into_iter().partition(is_kept);
            self.held = kept;
            let refused: Vec<Held> = refused;
            refused.into_iter().for_each(|held| refuse(held.letter));
        }
        for central in &mut self.listeners {
            // Operators are served until the last client has left.
            let is_spared = |order: &Order| central.operational && order.listeners.is_none() && !order.is_deserted;
            let is_suspended = begun.clone().any(|order| order.covers(central.listener) && !is_spared(order));
            if is_suspended && !central.is_suspended && !central.is_shared {
                central.socket.suspend();
            } else if !is_suspended
                && central.is_suspended
                && !central.is_shared
                && let Err(error) = central.socket.resume()
            {
                tracing::error!(%error, "a listener cannot accept again; restart the server");
            }
            central.is_suspended = is_suspended;
        }
        false
    }

    fn now(&self) -> Tick {
        tick(self.began.elapsed())
    }

    fn pause(&mut self, operational: bool) {
        self.again[usize::from(operational)] = Some(self.now().after(PAUSE_MS));
    }

    /// Accepts until nothing waits or accepting has to pause.
    fn accept_all(&mut self, index: usize) {
        loop {
            let Central { listener, ref socket, operational, is_suspended, ref tally, .. } = self.listeners[index];
            if !operational && self.is_full() {
                // Connections that are not accepted wait in the kernel's backlog.
                tally.accept_pauses.add(1);
                return self.pause(operational);
            }
            match socket.accept() {
                // Only sockets that do not refuse by themselves bring one.
                Ok((socket, _)) if is_suspended => {
                    tally.refused[RefusalReason::Shutdown.index()].add(1);
                    reset_on_close(&socket);
                }
                Ok((socket, peer)) => {
                    let letter = Letter::Adopt { listener, socket, peer };
                    if !self.hand_over(Held { letter, listener, peer }) {
                        return;
                    }
                    // A health check must not wait for the pace of ordinary connections.
                    let now = self.now();
                    if !operational && let Some(again) = self.pace.spend(now) {
                        self.listeners[index].tally.accept_pauses.add(1);
                        self.again[usize::from(operational)] = Some(again);
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.listeners[index].is_over = self.listeners[index].retires.is_some();
                    return;
                }
                // It refuses by itself.
                Err(_) if is_suspended => {
                    self.listeners[index].is_over = self.listeners[index].retires.is_some();
                    return;
                }
                Err(error) => {
                    tally.accept_errors.add(1);
                    // Else the connection was gone before it was accepted.
                    if is_exhausted(&error) {
                        if tally.accept_pauses.get() == 0 {
                            tracing::warn!(%error, "{EXHAUSTED}");
                        }
                        tally.accept_pauses.add(1);
                        self.pause(false);
                        if operational && is_process_full(&error) && self.shared.spares.release() {
                            continue;
                        }
                        return self.pause(operational);
                    }
                }
            }
        }
    }

    /// Whether accepted connections would have to wait in a reactor. With SourceHash some may wait, because the reactor of a
    /// connection is known only after the accept.
    fn is_full(&self) -> bool {
        let mut waiting = self.shared.gates().iter().map(|gate| gate.counters.waiting.get());
        match self.balance {
            Balance::SourceHash => waiting.any(|waiting| waiting >= MOST_WAITING),
            _ => waiting.all(|waiting| waiting > 0),
        }
    }

    /// Gives a connection to a reactor, or holds it and pauses where no mailbox has room; says which.
    fn hand_over(&mut self, held: Held) -> bool {
        let Held { mut letter, listener, peer } = held;
        let gates = self.shared.gates();
        let chosen = self.choose(peer);
        let others = if self.balance == Balance::SourceHash { 1 } else { gates.len() };
        self.next = self.next.wrapping_add(1);
        for offset in 0..others {
            letter = match gates[(chosen + offset) % gates.len()].sender.post(letter) {
                Ok(()) => return true,
                Err(NotPosted::Full(letter)) => letter,
                Err(NotPosted::Closed(letter)) => {
                    // The engine ends.
                    refuse(letter);
                    return false;
                }
            };
        }
        let central = self.listeners.iter().find(|central| central.listener == listener);
        let operational = central.is_some_and(|central| central.operational);
        self.counters.tally_for(listener).accept_pauses.add(1);
        self.held.push(Held { letter, listener, peer });
        self.pause(operational);
        false
    }

    /// The reactor for a connection.
    fn choose(&self, peer: Peer) -> usize {
        let gates = self.shared.gates();
        // Reactors in which connections wait for room have none for others.
        let waiting = |reactor: usize| gates[reactor].counters.waiting.get();
        match self.balance {
            Balance::ReusePort | Balance::RoundRobin => {
                let mut reactors = (0..gates.len()).map(|offset| (self.next + offset) % gates.len());
                reactors.find(|reactor| waiting(*reactor) == 0).unwrap_or(self.next % gates.len())
            }
            Balance::LeastConnections => {
                // What was posted and not opened yet counts too, or a burst would all go to one reactor.
                let load = |reactor: usize| gates[reactor].counters.connections() + gates[reactor].sender.len() as u64;
                // From the next in turn on, so that equals share.
                let reactors = (0..gates.len()).map(|offset| (self.next + offset) % gates.len());
                reactors.min_by_key(|reactor| (waiting(*reactor), load(*reactor))).unwrap_or(0)
            }
            Balance::SourceHash => match peer.ip() {
                Some(ip) => {
                    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(ip);
                    (hash % gates.len() as u64) as usize
                }
                None => self.next % gates.len(),
            },
        }
    }
}

/// Resets a connection that no reactor takes.
fn refuse(letter: Letter) {
    if let Letter::Adopt { socket, .. } = letter {
        reset_on_close(&socket);
    }
}

/// Waits until nobody holds the sender any more; says whether that came in time.
fn wait_for_drop(held: &mpsc::Receiver<()>, longest: Duration) -> bool {
    matches!(held.recv_timeout(longest), Err(mpsc::RecvTimeoutError::Disconnected))
}
