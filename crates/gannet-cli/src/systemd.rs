//! systemd: what the service manager is told (sd_notify(3)), its watchdog, and the sockets that it opened for us
//! (sd_listen_fds(3)). Without systemd all of it does nothing.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use gannet::{Inherited, Remote};
use listenfd::ListenFd;

/// Sends a state to the service manager, where there is one. What it is not told changes nothing for clients.
pub(crate) fn notify(state: &str) {
    if let Some(to) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(&to, state)
    {
        tracing::warn!(%error, state, "the service manager could not be told");
    }
}

fn send(to: &OsStr, state: &str) -> io::Result<()> {
    let address = match to.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(name)?
        }
        _ => SocketAddr::from_pathname(to)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

/// The sockets that systemd has opened, with the names of their units (`FileDescriptorName=`).
pub(crate) fn activated() -> Vec<Inherited> {
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut passed = ListenFd::from_env();
    let mut all = Vec::new();
    for index in 0..passed.len() {
        let name = names.next().unwrap_or_default().to_owned();
        match take(&mut passed, index) {
            Some(fd) => all.push(Inherited { name, url: String::new(), index, fd }),
            None => tracing::warn!(index, name, "a descriptor of systemd is no listening socket; it is left alone"),
        }
    }
    all
}

fn take(passed: &mut ListenFd, index: usize) -> Option<OwnedFd> {
    if let Ok(Some(socket)) = passed.take_tcp_listener(index) {
        return Some(socket.into());
    }
    if let Ok(Some(socket)) = passed.take_unix_listener(index) {
        return Some(socket.into());
    }
    passed.take_udp_socket(index).ok().flatten().map(OwnedFd::from)
}

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
        let every = Duration::from_micros(number("WATCHDOG_USEC").filter(|_| is_ours)?) / 2;
        let ends = Arc::new(AtomicBool::new(false));
        let ended = ends.clone();
        let watch = move || {
            while !ended.load(Ordering::Relaxed) {
                if remote.is_responsive(every / 2) {
                    notify("WATCHDOG=1");
                } else {
                    tracing::error!("a reactor does not turn: the service manager's watchdog is not told");
                }
                std::thread::park_timeout(every / 2);
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
