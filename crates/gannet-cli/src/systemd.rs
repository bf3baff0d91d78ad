//! systemd: what the service manager is told (sd_notify(3)), its watchdog, and the sockets that it opened for us
//! (sd_listen_fds(3)). Without systemd all of it does nothing.

mod notify;

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use gannet::{Inherited, Remote};
use listenfd::ListenFd;
use rustix::process::{Resource, getrlimit};

pub(crate) use self::notify::notify;

/// The sockets that systemd has opened, with the names of their units (`FileDescriptorName=`).
pub(crate) fn activated() -> Vec<Inherited> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let count = std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse::<u64>().ok()).unwrap_or(0);
    let most = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // Nobody can have opened so many.
    if count > most {
        tracing::warn!(
            count,
            most,
            "LISTEN_FDS is more than this process may have open: no socket of systemd is taken"
        );
        return Vec::new();
    }
    let mut passed = ListenFd::from_env();
    let mut all = Vec::new();
    for index in 0..passed.len() {
        let name = names.next().unwrap_or_default().to_owned();
        match take(&mut passed, index) {
            Some(fd) => all.push(Inherited { name, url: String::new(), index, fd }),
            None => tracing::warn!(index, name, "a descriptor of systemd is no listening socket; it is not used"),
        }
    }
    all
}

/// Takes a socket that accepts connections, or one of UDP. One that is connected, as of `Accept=yes`, is neither.
fn take(passed: &mut ListenFd, index: usize) -> Option<OwnedFd> {
    let stream = match passed.take_tcp_listener(index) {
        Ok(Some(socket)) => Some(OwnedFd::from(socket)),
        _ => passed.take_unix_listener(index).ok().flatten().map(OwnedFd::from),
    };
    match stream {
        Some(socket) => accepts(&socket).then_some(socket),
        None => passed.take_udp_socket(index).ok().flatten().map(OwnedFd::from),
    }
}

#[cfg(not(target_vendor = "apple"))]
fn accepts(socket: &OwnedFd) -> bool {
    rustix::net::sockopt::socket_acceptconn(socket).unwrap_or(false)
}

/// The kernel does not say.
#[cfg(target_vendor = "apple")]
fn accepts(_: &OwnedFd) -> bool {
    true
}

/// How often the watchdog is told at most, and at least: systemd counts in seconds, and what it asks for may be a mistake.
const SHORTEST_WATCH: Duration = Duration::from_millis(10);
const LONGEST_WATCH: Duration = Duration::from_secs(60);

/// Tells systemd that the server is alive while all of its reactors turn (`WatchdogSec=`).
pub(crate) struct Watchdog {
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watchdog {
    /// Starts it where systemd asks for it.
    pub(crate) fn start(remote: Remote, is_successor: bool) -> Option<Self> {
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        // A process that took over has the variables of the one before.
        let is_ours = is_successor || number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let asked = number("WATCHDOG_USEC").filter(|micros| is_ours && *micros > 0)?;
        let every = (Duration::from_micros(asked) / 2).clamp(SHORTEST_WATCH, LONGEST_WATCH);
        let ends = Arc::new(AtomicBool::new(false));
        let ended = ends.clone();
        let watch = move || {
            while !ended.load(Ordering::Relaxed) {
                if remote.is_responsive(every / 2) {
                    notify("WATCHDOG=1");
                } else {
                    tracing::error!("a reactor does not turn: the service manager's watchdog is not told");
                }
                // It may have been woken while it looked.
                if !ended.load(Ordering::Relaxed) {
                    std::thread::park_timeout(every / 2);
                }
            }
        };
        let thread = std::thread::Builder::new().name("gannet-watchdog".to_owned()).spawn(watch);
        let thread = thread.inspect_err(|error| tracing::error!(%error, "the watchdog cannot start")).ok()?;
        Some(Self { ends, thread: Some(thread) })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
