//! Clients that come at a fixed pace, however long those before them have to wait: an open loop.

use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gannet_testing::{PATIENCE, until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};

use crate::tls::Client;

/// Files that the crowds of one test may need.
const FILES: u64 = 4_096;

/// What a client of a thread needs, with room for the handshake of TLS in a debug build.
const STACK_BYTES: usize = 512 << 10;

/// What a client says, and what it is answered.
pub(crate) const HI: &[u8] = b"hi\n";

/// Connects, is answered, and leaves.
pub(crate) trait Visit: Fn() -> std::io::Result<()> + Send + Sync + 'static {}

impl<V: Fn() -> std::io::Result<()> + Send + Sync + 'static> Visit for V {}

/// Clients of an `echo` listener.
pub(crate) fn visitor(url: &str) -> Box<dyn Visit> {
    match url.split_once("://").expect("a URL") {
        ("unix", path) => {
            let path = PathBuf::from(path);
            Box::new(move || {
                let stream = UnixStream::connect(&path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                ask(stream)
            })
        }
        (_, address) => {
            let address: SocketAddr = address.parse().expect("an address");
            Box::new(move || {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
                // No port is kept for a minute: there are more clients than ports.
                socket.set_linger(Some(Duration::ZERO))?;
                socket.connect_timeout(&address.into(), PATIENCE)?;
                let stream = TcpStream::from(socket);
                stream.set_read_timeout(Some(PATIENCE))?;
                ask(stream)
            })
        }
    }
}

/// Clients of a `lines` listener with TLS.
pub(crate) fn tls_visitor(url: String, client: Client) -> Box<dyn Visit> {
    Box::new(move || client.talk(&url, "localhost").map(drop))
}

fn ask(mut stream: impl std::io::Read + std::io::Write) -> std::io::Result<()> {
    let mut got = [0; HI.len()];
    stream.write_all(HI)?;
    stream.read_exact(&mut got)?;
    if got == HI { Ok(()) } else { Err(std::io::Error::other(format!("{got:?} came"))) }
}

/// Clients that come at a fixed pace until they are told to stop.
pub(crate) struct Crowd {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

struct Shared {
    visit: Box<dyn Visit>,
    began: Instant,
    every: Duration,
    ends: AtomicBool,
    /// The number of the client that comes next: its time follows from that alone.
    next: AtomicU64,
    visits: AtomicU64,
    waiting: AtomicU64,
    most_waiting: AtomicU64,
    latest_us: AtomicU64,
    failures: Mutex<Vec<String>>,
}

/// What became of a crowd.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) visits: u64,
    /// Clients that waited for a connection or an answer at the same time.
    pub(crate) most_waiting: u64,
    /// How long after its time a client came at most. Beyond some milliseconds, the crowd was too small for its pace.
    pub(crate) latest: Duration,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { visits, most_waiting, latest } = self;
        write!(f, "{visits} clients, up to {most_waiting} of them at the same time, none more than {latest:?} late")
    }
}

impl Crowd {
    /// Starts clients, so many a second; as many of them may wait at the same time as `most` says.
    pub(crate) fn start(a_second: u32, most: usize, visit: Box<dyn Visit>) -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        if current.is_some_and(|files| files < FILES) {
            // Where it cannot be raised, a client says so.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
        }
        #[allow(clippy::disallowed_methods)] // The pace of the clients.
        let began = Instant::now();
        let shared = Arc::new(Shared {
            visit,
            began,
            every: Duration::from_secs(1) / a_second,
            ends: AtomicBool::new(false),
            next: AtomicU64::new(0),
            visits: AtomicU64::new(0),
            waiting: AtomicU64::new(0),
            most_waiting: AtomicU64::new(0),
            latest_us: AtomicU64::new(0),
            failures: Mutex::default(),
        });
        let threads = (0..most).map(|_| {
            let shared = shared.clone();
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
            thread.spawn(move || shared.come_and_go()).expect("a thread")
        });
        Self { threads: threads.collect(), shared }
    }

    /// Waits until so many more were there.
    pub(crate) fn wait_for(&self, more: u64) {
        let visits = &self.shared.visits;
        let enough = visits.load(Ordering::Relaxed) + more;
        until("clients", || {
            std::thread::park_timeout(Duration::from_millis(1));
            visits.load(Ordering::Relaxed) >= enough
        });
    }

    /// Stops them; fails where one was refused.
    #[track_caller]
    pub(crate) fn end(mut self) -> Figures {
        self.shared.ends.store(true, Ordering::Relaxed);
        for thread in std::mem::take(&mut self.threads) {
            thread.join().expect("no client panics");
        }
        let failures = self.shared.failures.lock().expect("no client panics");
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let figures = Figures {
            visits: read(&self.shared.visits),
            most_waiting: read(&self.shared.most_waiting),
            latest: Duration::from_micros(read(&self.shared.latest_us)),
        };
        assert!(failures.is_empty(), "{} failed: {:?}; {figures}", failures.len(), &failures[..failures.len().min(5)]);
        figures
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    /// The life of a thread: it takes the next client's time, waits for it, and is that client.
    fn come_and_go(&self) {
        while !self.ends.load(Ordering::Relaxed) {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let due = Duration::from_nanos(self.every.as_nanos() as u64 * number);
            while let Some(early) = due.checked_sub(self.began.elapsed()) {
                if self.ends.load(Ordering::Relaxed) {
                    return;
                }
                std::thread::park_timeout(early.max(Duration::from_micros(1)));
            }
            let late = self.began.elapsed() - due;
            self.latest_us.fetch_max(late.as_micros() as u64, Ordering::Relaxed);
            let waiting = self.waiting.fetch_add(1, Ordering::Relaxed) + 1;
            self.most_waiting.fetch_max(waiting, Ordering::Relaxed);
            let outcome = (self.visit)();
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            if let Err(error) = outcome {
                let failure = format!("after {:?}: {error}", self.began.elapsed());
                self.failures.lock().expect("no client panics").push(failure);
            }
            self.visits.fetch_add(1, Ordering::Relaxed);
        }
    }
}
