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
        let mut is_late = false;
        Self::watch(remote, every, move |late| {
            if let Some(reactors) = late {
                if !is_late {
                    tracing::error!(
                        ?reactors,
                        waited_ms = (every / 2).as_millis() as u64,
                        "reactors do not turn: the service manager's watchdog is not told, and will end this process"
                    );
                }
            } else {
                if is_late {
                    tracing::warn!("all reactors turn again: the service manager's watchdog is told");
                }
                notify("WATCHDOG=1");
            }
            is_late = late.is_some();
        })
    }

    /// Looks again and again, two times in `every`, and says which reactors do not turn: none is good.
    fn watch(remote: Remote, every: Duration, mut say: impl FnMut(Option<&[usize]>) + Send + 'static) -> Option<Self> {
        let ends = Arc::new(AtomicBool::new(false));
        let ended = ends.clone();
        let turns = |remote: &Remote| remote.stats().into_iter().map(|reactor| reactor.wakeups).collect::<Vec<u64>>();
        let watch = move || {
            while !ended.load(Ordering::Relaxed) {
                let before = turns(&remote);
                if remote.is_responsive(every / 2) {
                    say(None);
                } else {
                    let since = turns(&remote).into_iter().zip(before).enumerate();
                    let late: Vec<usize> =
                        since.filter(|(_, (now, before))| now < &(before + 2)).map(|(reactor, _)| reactor).collect();
                    say(Some(&late));
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

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use gannet::proto::Lines;
    use gannet::{Address, Context, Engine, Service};
    use gannet_testing::{PATIENCE, drivers};

    use super::*;

    /// Holds its reactor up for as long as the test wants.
    #[derive(Clone)]
    struct Holds {
        holds: Sender<()>,
        may_go: Arc<Mutex<Receiver<()>>>,
    }

    impl Service for Holds {
        type Codec = Lines;
        type Session = ();

        fn message(&mut self, (): &mut (), _: &[u8], cx: &mut Context<'_, Self>) {
            let _ = self.holds.send(());
            let _ = self.may_go.lock().expect("no panic").recv_timeout(PATIENCE);
            cx.send(&[b"gone on"]);
        }
    }

    #[test]
    fn the_watchdog_is_not_told_while_a_reactor_is_held_up() {
        for driver in drivers() {
            let ((holding, held), (go, may_go)) = (channel(), channel());
            let service = Holds { holds: holding, may_go: Arc::new(Mutex::new(may_go)) };
            let engine = Engine::new().driver(driver).reactors(1);
            let engine = engine.listen("tcp://127.0.0.1:0", move || service.clone()).expect("an address");
            let running = engine.start().expect("the engine starts");
            let Some(Address::Tcp(address)) = running.addresses().next().cloned() else { panic!("it listens on TCP") };
            let (saying, said) = channel();
            let say = move |late: Option<&[usize]>| drop(saying.send(late.map(<[usize]>::to_vec)));
            let watchdog = Watchdog::watch(running.remote(), Duration::from_millis(40), say).expect("a thread");
            let hear = || said.recv_timeout(PATIENCE).expect("it looks again and again");
            let mut client = TcpStream::connect(address).expect("it listens");
            client.write_all(b"hold\n").expect("it is taken");
            held.recv_timeout(PATIENCE).expect("the service is called");
            // The look that was under way may have seen it turn.
            while said.try_recv().is_ok() {}
            hear();
            for _ in 0..3 {
                assert_eq!(hear(), Some(vec![0]), "the reactor stands still");
            }
            go.send(()).expect("it waits");
            while hear().is_some() {}
            client.read_exact(&mut [0; 8]).expect("it has gone on");
            drop(watchdog);
        }
    }
}
