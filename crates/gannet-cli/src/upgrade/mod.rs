//! `gannet upgrade`: a new process takes over from this one, and no client is refused meanwhile.
//!
//! The old process starts the new one, with a socket as its standard input, and passes its listening sockets through it
//! ([`channel`]). The new one reads its configuration, binds what is new, and starts its reactors; then it says that it is
//! ready. The old one stops to accept, and only then the new one begins: clients wait in the kernel's queue for a few
//! milliseconds. When the new one serves, the old one lets go of its sockets; it drains a second later, so that those whom it
//! accepted last get through their handshakes. Whatever fails before that, the old one goes on.

mod channel;
mod program;
mod successor;

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gannet::{Handover, Remote, Running};
use serde_json::json;
use signal_hook::consts::{SIGKILL, SIGSYS, SIGUSR2};
use signal_hook::iterator::Signals;

use self::channel::{Channel, Message, PROTOCOL, SocketName};
use self::program::Program;
pub(crate) use self::successor::{Successor, is_successor, tell_failure};
use crate::control::{Control, Outcome, Refused, UpgradeOrder};
use crate::systemd;

/// In the environment of a process that shall take over from the one that started it.
const MARK: &str = "UPGRADE_OF_GANNET";

/// How long an upgrade may take; then the old process goes on.
const LONGEST: Duration = Duration::from_secs(60);

/// How long clients may wait in the kernel's queue while neither process accepts; then the old one goes on.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);

/// How long the old process goes on as before when the new one serves: whoever was accepted just before gets through its
/// handshake and its first request.
const GRACE: Duration = Duration::from_secs(1);

/// How long a new process that has failed may take to end, before it is killed.
const LAST_MOMENTS: Duration = Duration::from_secs(5);

/// What the old process needs for upgrades.
pub(crate) struct Upgrades {
    program: io::Result<Program>,
    generation: u64,
}

impl Upgrades {
    /// Notes what this process is. Call it early: before its folder changes.
    pub(crate) fn note(successor: Option<&Successor>) -> Self {
        Self { program: Program::of_this_process(), generation: successor.map_or(0, |successor| successor.generation) }
    }

    /// Has upgrades be asked for, through the admin socket and by SIGUSR2.
    ///
    /// Returns what becomes true when a new process has taken over.
    pub(crate) fn offer(self, running: &Running, control: &Control) -> Arc<AtomicBool> {
        let (handover, remote) = (running.handover(), running.remote());
        let driver = running.driver().0;
        let handed_over = Arc::new(AtomicBool::new(false));
        let done = handed_over.clone();
        control.on_upgrade(move |UpgradeOrder { start_timeout }| {
            let longest = start_timeout.unwrap_or(LONGEST);
            let outcome = self.upgrade(&handover, &remote, driver, longest);
            if outcome.is_ok() {
                done.store(true, Ordering::Relaxed);
                remote.stop_after(GRACE);
            }
            outcome
        });
        let ordered = control.clone();
        let watching = Signals::new([SIGUSR2]).and_then(|mut signals| {
            std::thread::Builder::new().name("gannet-upgrade".to_owned()).spawn(move || {
                for _ in signals.forever() {
                    // The log has the outcome.
                    let _ = ordered.upgrade(UpgradeOrder::default());
                }
            })
        });
        if let Err(error) = watching {
            tracing::warn!(%error, "SIGUSR2 does not upgrade: it cannot be watched");
        }
        handed_over
    }

    fn upgrade(&self, handover: &Handover, remote: &Remote, driver: &str, longest: Duration) -> Outcome {
        #[allow(clippy::disallowed_methods)] // For the report.
        let began = Instant::now();
        match self.try_upgrade(handover, remote, driver, longest) {
            Ok((pid, version, new_driver, sockets)) => {
                let took_ms = began.elapsed().as_millis() as u64;
                let generation = self.generation + 1;
                tracing::info!(pid, version, generation, sockets, took_ms, "the new process serves: this one drains");
                Ok(json!({
                    "pid": pid,
                    "version": version,
                    "driver": new_driver,
                    "generation": generation,
                    "sockets": sockets,
                    "took_ms": took_ms,
                }))
            }
            Err(why) => {
                tracing::error!(why, "the upgrade failed: this process goes on");
                Err(Refused::new("upgrade_failed", format!("{why}; the old process goes on")))
            }
        }
    }

    fn try_upgrade(
        &self,
        handover: &Handover,
        remote: &Remote,
        driver: &str,
        longest: Duration,
    ) -> Result<(u32, String, String, usize), String> {
        let go_on = || if remote.is_stopping() { Err("the server shuts down".to_owned()) } else { Ok(()) };
        go_on()?;
        if std::process::id() == 1 {
            return Err(
                "this is the first process of its container, which ends with it; start another container".to_owned()
            );
        }
        let program = self.program.as_ref().map_err(|error| format!("this program cannot be found: {error}"))?;
        let sockets = handover.sockets().map_err(|error| error.to_string())?;
        let (ours, theirs) = UnixStream::pair().map_err(|error| format!("no sockets to talk by: {error}"))?;
        let child = program.command().env(MARK, "1").stdin(Stdio::from(OwnedFd::from(theirs))).spawn();
        let child = child.map_err(|error| format!("{} cannot be started: {error}", program.path().display()))?;
        let mut child = NewProcess(Some(child));
        let mut channel = Channel::new(ours, longest).map_err(|error| error.to_string())?;
        let names = sockets.iter().map(|socket| {
            let (name, url) = (socket.name.clone(), socket.url.clone());
            SocketName { name, url, index: socket.index }
        });
        let said = channel.say(&Message::Sockets {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            generation: self.generation,
            driver: driver.to_owned(),
            sockets: names.collect(),
        });
        let descriptors: Vec<BorrowedFd<'_>> = sockets.iter().map(|socket| socket.fd.as_fd()).collect();
        // Where it is gone already, it has said why, or its status does.
        let _ = said.and_then(|()| channel.pass(&descriptors));
        let (version, new_driver) = match channel.hear() {
            Ok(Message::Ready { version, driver, .. }) => (version, driver),
            other => return Err(child.why(other, "was ready")),
        };
        let withdrawn = Withdrawn::new(handover).map_err(|error| error.to_string())?;
        // A shutdown that began before that may have spoiled sockets that both have.
        go_on()?;
        channel.hurry(LONGEST_SILENCE);
        let serves = channel.say(&Message::Withdrawn).and_then(|()| channel.hear());
        if !matches!(serves, Ok(Message::Serving)) {
            let why = child.why(serves, "served");
            // The new one is gone, and with it whatever it accepted.
            drop(withdrawn);
            return Err(why);
        }
        withdrawn.release();
        let pid = child.keep();
        // While this is the main process, the manager takes it from nobody else.
        systemd::notify(&format!("MAINPID={pid}\nREADY=1\nSTATUS=The new process serves"));
        Ok((pid, version, new_driver, sockets.len()))
    }
}

/// Listeners that accept nothing; they accept again where this is dropped.
struct Withdrawn<'a>(Option<&'a Handover>);

impl<'a> Withdrawn<'a> {
    fn new(handover: &'a Handover) -> gannet::Result<Self> {
        let withdrawn = Self(Some(handover));
        handover.withdraw()?;
        Ok(withdrawn)
    }

    fn release(mut self) {
        if let Some(handover) = self.0.take() {
            handover.release();
        }
    }
}

impl Drop for Withdrawn<'_> {
    fn drop(&mut self) {
        if let Some(handover) = self.0 {
            handover.restore();
        }
    }
}

/// New processes that serve, so that each is waited for when it ends: a process that was not is a zombie.
static SERVING: Mutex<Vec<Child>> = Mutex::new(Vec::new());

/// A new process that is killed unless it is kept.
struct NewProcess(Option<Child>);

impl NewProcess {
    /// It serves; says its number.
    fn keep(mut self) -> u32 {
        let Some(child) = self.0.take() else { return 0 };
        let pid = child.id();
        SERVING.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        pid
    }

    /// Says why it has not done what was expected, and sees to its end.
    fn why(&mut self, heard: io::Result<Message>, expected: &str) -> String {
        let by_itself = self.end(matches!(heard, Ok(Message::Failed { .. }) | Err(_)));
        match heard {
            Ok(Message::Failed { why }) => format!("the new process says: {why}"),
            Ok(message) => format!("the new process says {message:?} before it {expected}"),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                format!("the new process took too long before it {expected}")
            }
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                format!("the new process says what this one does not understand: {error}")
            }
            Err(_) => match by_itself {
                Some(status) => format!("the new process ended before it {expected} ({status}){}", advice(status)),
                None => format!(
                    "the new process closed its standard input, by which the two talk, before it {expected}; it was killed"
                ),
            },
        }
    }

    /// Ends it: it may end by itself for a moment. Says how it ended by itself, if it did.
    fn end(&mut self, by_itself: bool) -> Option<ExitStatus> {
        let mut child = self.0.take()?;
        #[allow(clippy::disallowed_methods)] // A process is waited for.
        let by = Instant::now() + LAST_MOMENTS;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Some(status),
                #[allow(clippy::disallowed_methods)] // As above.
                Ok(None) if by_itself && Instant::now() < by => std::thread::park_timeout(Duration::from_millis(5)),
                _ => break,
            }
        }
        let _ = child.kill();
        let _ = child.wait();
        None
    }
}

/// What to look at where a signal ended a process.
fn advice(status: ExitStatus) -> &'static str {
    match status.signal() {
        Some(SIGKILL) => {
            "; somebody killed it, or the kernel did for want of memory: look for 'Out of memory' in 'journalctl -k' and at \
             memory.max of the control group, which has to hold both processes meanwhile"
        }
        Some(SIGSYS) => "; a seccomp filter forbids a system call that it needs: see 'gannet doctor'",
        Some(_) => "; try the new program by itself: 'gannet check' and 'gannet doctor' with the same configuration",
        None => "",
    }
}

impl Drop for NewProcess {
    fn drop(&mut self) {
        self.end(false);
    }
}
