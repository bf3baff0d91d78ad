//! The new process of an upgrade: what it gets from the old one, and what it says to it.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use gannet::{Inherited, Running};

use super::channel::{Channel, Message, PROTOCOL};
use super::{LONGEST, MARK};
use crate::failure::Failure;

/// Where a failure can be said, while there is somebody to say it to.
static TO_OLD: OnceLock<Mutex<Option<Channel>>> = OnceLock::new();

/// What the old process has passed on.
pub(crate) struct Successor {
    /// The number of this process: the first one is 0.
    pub(crate) generation: u64,
    sockets: Vec<Inherited>,
    old: String,
}

/// Whether this process was started to take the place of another one.
pub(crate) fn is_successor() -> bool {
    std::env::var_os(MARK).is_some()
}

impl Successor {
    /// Gets what the old process listens on, where there is one. It waits on standard input.
    ///
    /// # Errors
    ///
    /// The old process is gone, or speaks otherwise.
    pub(crate) fn of_old_process() -> Result<Option<Self>, Failure> {
        if !is_successor() {
            return Ok(None);
        }
        let failed = |error: io::Error| {
            Failure::Output(format!("the process to take over from does not say what it listens on: {error}"))
        };
        let stream = take_standard_input().map_err(failed)?;
        let mut channel = Channel::new(stream, LONGEST).map_err(failed)?;
        let message = channel.hear().map_err(failed)?;
        let Message::Sockets { protocol, version, generation, driver, sockets } = message else {
            return Err(failed(io::Error::other("it begins with something else")));
        };
        let old = format!("{version} ({driver})");
        let taken = if protocol == PROTOCOL { Some(channel.take(sockets.len()).map_err(failed)?) } else { None };
        // From here on it can be told what fails.
        let _ = TO_OLD.set(Mutex::new(Some(channel)));
        let Some(taken) = taken else {
            return Err(Failure::Output(format!(
                "the process to take over from, {old}, speaks version {protocol} of the handover and this one \
                 {PROTOCOL}; restart the server instead"
            )));
        };
        let sockets = sockets.into_iter().zip(taken);
        let sockets =
            sockets.map(|(socket, fd)| Inherited { name: socket.name, url: socket.url, index: socket.index, fd });
        Ok(Some(Self { generation: generation + 1, sockets: sockets.collect(), old }))
    }

    /// The sockets; once.
    pub(crate) fn take_sockets(&mut self) -> Vec<Inherited> {
        std::mem::take(&mut self.sockets)
    }

    /// Says that everything is ready, and waits until the old process accepts no more. One that is gone accepts nothing.
    pub(crate) fn wait_for_old(&self, driver: &str) -> gannet::Result<()> {
        let (version, driver) = (env!("CARGO_PKG_VERSION").to_owned(), driver.to_owned());
        let ready = Message::Ready { version, driver, generation: self.generation };
        let heard = with_old(|old| old.say(&ready).and_then(|()| old.hear()));
        match heard {
            Some(Ok(Message::Withdrawn)) => Ok(()),
            Some(Ok(message)) => {
                Err(gannet::Error::Setting(format!("the process to take over from says {message:?} out of turn")))
            }
            Some(Err(error)) if is_end(&error) => {
                tracing::warn!(old = self.old, "the process to take over from is gone: serving in its place");
                Ok(())
            }
            Some(Err(error)) => Err(gannet::Error::Setting(format!(
                "the process to take over from does not let go of its listeners: {error}"
            ))),
            None => Ok(()),
        }
    }

    /// Says that this process serves.
    pub(crate) fn serves(&self, running: &Running) {
        // Where the old one is gone, nobody needs to know.
        let _ = with_old(|old| old.say(&Message::Serving));
        forget_old();
        let listeners = running.addresses().count();
        tracing::info!(old = self.old, generation = self.generation, listeners, "took over from the old process");
    }
}

/// Tells the old process why this one ends, where it waits for that.
pub(crate) fn tell_failure(why: &str) {
    if is_successor() && TO_OLD.get().is_none() {
        // It failed before it asked for anything.
        let channel = take_standard_input().and_then(|stream| Channel::new(stream, Duration::from_secs(5)));
        let _ = TO_OLD.set(Mutex::new(channel.ok()));
    }
    let _ = with_old(|old| old.say(&Message::Failed { why: why.to_owned() }));
    forget_old();
}

fn is_end(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn with_old<T>(call: impl FnOnce(&mut Channel) -> T) -> Option<T> {
    let mut channel = TO_OLD.get()?.lock().unwrap_or_else(PoisonError::into_inner);
    channel.as_mut().map(call)
}

fn forget_old() {
    if let Some(channel) = TO_OLD.get() {
        *channel.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The socket that is our standard input; from then on that is empty.
fn take_standard_input() -> io::Result<UnixStream> {
    let socket: OwnedFd = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let nothing = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    Ok(UnixStream::from(socket))
}
