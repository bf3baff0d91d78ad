//! One thread that accepts for all reactors and chooses whose each connection is: for the ways of spreading that the
//! kernel does not offer, and for Unix sockets, which only one socket can listen on.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};

use crate::address::Peer;
use crate::counters::{ReactorCounters, Refusal};
use crate::driver::ListenerId;
use crate::error::{Error, Result};
use crate::listener::{ListenSocket, Pace, reset_on_close};
use crate::mailbox::{Refused, Wake};
use crate::reactor::tick;
use crate::remote::{Letter, Shared};

/// How connections are spread over the reactors of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Balance {
    /// Every reactor listens by itself, and the kernel chooses by a hash of both addresses (SO_REUSEPORT, socket(7)).
    /// The default on Linux; other kernels do not spread.
    ReusePort,
    /// Each reactor in turn. The default elsewhere.
    RoundRobin,
    /// The reactor with the fewest connections.
    LeastConnections,
    /// By a hash of the source's IP address: a client always meets the same reactor.
    SourceHash,
}

impl Default for Balance {
    fn default() -> Self {
        if cfg!(target_os = "linux") { Self::ReusePort } else { Self::RoundRobin }
    }
}

/// How long accepting pauses when no descriptor is left or a mailbox is full.
const PAUSE: Duration = Duration::from_millis(100);

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
}

impl Acceptor {
    /// Starts to accept.
    pub(crate) fn start(
        listeners: Vec<(ListenerId, ListenSocket)>,
        balance: Balance,
        accepts_per_second: u32,
        services: usize,
        shared: &Arc<Shared>,
    ) -> Result<Self> {
        let failed = |error: io::Error| Error::Setting(format!("the acceptor cannot start: {error}"));
        let poll = Poll::new().map_err(failed)?;
        for (index, (_, socket)) in listeners.iter().enumerate() {
            let mut source = SourceFd(&socket.as_fd().as_raw_fd());
            poll.registry().register(&mut source, Token(index), Interest::READABLE).map_err(failed)?;
        }
        let bell = Bell(Waker::new(poll.registry(), Token(usize::MAX)).map_err(failed)?);
        // The cell is new: nobody else sets it.
        let _ = shared.acceptor.set(Arc::new(bell));
        let work = Work {
            poll,
            listeners,
            balance,
            accepts_per_second,
            shared: shared.clone(),
            counters: shared.acceptor_counters.get_or_init(|| Arc::new(ReactorCounters::new(services))).clone(),
            next: 0,
            #[allow(clippy::disallowed_methods)] // The acceptor is its own driver.
            began: Instant::now(),
        };
        let thread = std::thread::Builder::new().name("gannet-accept".to_owned()).spawn(|| work.run());
        Ok(Self { thread: thread.map_err(failed)? })
    }

    /// Waits for its end.
    pub(crate) fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!("the acceptor panicked; this is a bug");
        }
    }
}

struct Work {
    poll: Poll,
    listeners: Vec<(ListenerId, ListenSocket)>,
    balance: Balance,
    accepts_per_second: u32,
    shared: Arc<Shared>,
    counters: Arc<ReactorCounters>,
    next: usize,
    began: Instant,
}

impl Work {
    fn run(mut self) {
        let mut events = Events::with_capacity(64);
        let mut pace = Pace::new(self.accepts_per_second, tick(self.began.elapsed()));
        let mut pause = None;
        loop {
            if let Err(error) = self.poll.poll(&mut events, pause)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "the acceptor cannot wait; it ends");
                return self.shared.stop();
            }
            if self.shared.is_draining() {
                return;
            }
            pause = None;
            // All of them after every wake-up: readiness is reported once only, and a pause may have cut it short.
            for index in 0..self.listeners.len() {
                if let Some(wait) = self.accept_all(index, &mut pace) {
                    pause = Some(wait);
                    break;
                }
            }
        }
    }

    /// Accepts until nothing waits; says how long to pause where it has to.
    fn accept_all(&mut self, index: usize, pace: &mut Pace) -> Option<Duration> {
        loop {
            let (listener, socket) = &self.listeners[index];
            let tally = &self.counters.listeners[usize::from(*listener)];
            match socket.accept() {
                Ok((socket, peer)) => {
                    let gate = &self.shared.gates()[self.choose(peer)];
                    self.next = self.next.wrapping_add(1);
                    match gate.sender.post(Letter::Adopt { listener: *listener, socket, peer }) {
                        Ok(()) => {}
                        Err(Refused::Full(letter)) => {
                            refuse(letter);
                            tally.refused[Refusal::Room.index()].add(1);
                            tally.accept_pauses.add(1);
                            return Some(PAUSE);
                        }
                        Err(Refused::Closed(letter)) => {
                            refuse(letter);
                            return None;
                        }
                    }
                    let now = tick(self.began.elapsed());
                    if let Some(again) = pace.spend(now) {
                        tally.accept_pauses.add(1);
                        return Some(Duration::from_millis(u64::from(again.since(now))));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) => {
                    tally.accept_errors.add(1);
                    if is_exhausted(&error) {
                        tally.accept_pauses.add(1);
                        if tally.accept_pauses.get() == 1 {
                            tracing::warn!(%error, "{EXHAUSTED}");
                        }
                        return Some(PAUSE);
                    }
                    // Else the connection was gone before it was accepted.
                }
            }
        }
    }

    /// The reactor for a connection.
    fn choose(&self, peer: Peer) -> usize {
        let gates = self.shared.gates();
        match self.balance {
            Balance::ReusePort | Balance::RoundRobin => self.next % gates.len(),
            Balance::LeastConnections => {
                // What was posted and not opened yet counts too, or a burst would all go to one reactor.
                let load = |reactor: usize| connections(&gates[reactor].counters) + gates[reactor].sender.len() as u64;
                // From the next in turn on, so that equals share.
                let reactors = (0..gates.len()).map(|offset| (self.next + offset) % gates.len());
                reactors.min_by_key(|reactor| load(*reactor)).unwrap_or(0)
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

fn connections(counters: &ReactorCounters) -> u64 {
    counters.listeners.iter().map(|listener| listener.connections.get()).sum()
}

/// What is logged when that happens for the first time.
pub(crate) const EXHAUSTED: &str = "no descriptor or memory for another connection: accepting pauses and goes on by \
     itself; raise the limit on open files (ulimit -n) or set a limit on connections";

/// Whether the kernel had no descriptor or no memory for a connection.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| exhausted.iter().any(|errno| errno.raw_os_error() == code))
}
