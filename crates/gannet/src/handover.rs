//! Passing listening sockets on to another process, without losing a connection: [`Handover`].

use std::sync::Arc;
use std::time::Duration;

use crate::adoption::Inherited;
use crate::changes::{Control, State};
use crate::error::{Error, Result};
use crate::ids::ListenerId;
use crate::listener::SocketFile;
use crate::requests::{Request, Shown};

/// How long the threads of an engine may take for a request.
const PATIENCE: Duration = Duration::from_secs(5);

/// Passes the listening sockets of an engine on to another process; [`Running::handover`](crate::Running::handover)
/// returns it. It works from any thread but a reactor's.
///
/// # The order of calls
///
/// 1. [`sockets`](Self::sockets) duplicates the sockets; the engine goes on to accept.
/// 2. When the other process is ready, [`withdraw`](Self::withdraw) has this one accept nothing. Whatever was accepted until
///    then is served here. Clients that come now wait in the kernel's queue.
/// 3. When the other process accepts, [`release`](Self::release) lets go of the sockets for good. If it does not,
///    [`restore`](Self::restore) has this engine accept again.
///
/// From [`withdraw`](Self::withdraw) on, no [`Plan`](crate::Plan) is applied, until the engine accepts again.
#[derive(Clone)]
pub struct Handover {
    pub(crate) control: Arc<Control>,
}

impl Handover {
    /// Duplicates the listening and datagram sockets of the engine, in the order of their listeners. It goes on to accept.
    ///
    /// Those that a [`Plan`](crate::Plan) has added are among them, and those that it has removed are not.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`]: a reactor was held up for five seconds, or has ended; or no descriptor is left.
    pub fn sockets(&self) -> Result<Vec<Inherited>> {
        let state = self.control.lock();
        let mut shown = self.ask(&state, Request::Share)?;
        shown.sort_by_key(|(listener, index, _)| (*listener, *index));
        let known = |id: ListenerId| state.entries.get(usize::from(id)).filter(|entry| entry.is_open);
        let all = shown.into_iter().filter_map(|(id, index, fd)| {
            let known = known(id)?;
            // The next process has to know whose they are.
            let url = if known.is_lent { String::new() } else { known.url.clone() };
            Some(Inherited { name: known.name.clone(), url, index, fd })
        });
        Ok(all.collect())
    }

    /// Has the engine accept nothing, and waits until it does.
    ///
    /// # Errors
    ///
    /// [`Error::Setting`]: a reactor was held up for five seconds, or has ended. Call [`restore`](Self::restore) then.
    pub fn withdraw(&self) -> Result<()> {
        let mut state = self.control.lock();
        state.is_withdrawn = true;
        self.ask(&state, Request::Withdraw).map(drop)
    }

    /// Has the engine accept again, after [`withdraw`](Self::withdraw).
    pub fn restore(&self) {
        let mut state = self.control.lock();
        if let Err(error) = self.ask(&state, Request::Restore) {
            tracing::error!(%error, "not every listener accepts again; restart the server");
        }
        state.is_withdrawn = false;
    }

    /// Lets go of all listening sockets, without ending them. The files of Unix sockets stay.
    ///
    /// The engine accepts no more; connections that are open go on.
    pub fn release(&self) {
        let mut state = self.control.lock();
        state.is_withdrawn = true;
        state.entries.iter_mut().filter_map(|entry| entry.file.take()).for_each(SocketFile::keep);
        if let Err(error) = self.ask(&state, Request::Release) {
            tracing::error!(%error, "not every listener was let go of; clients may wait until this process ends");
        }
    }

    /// Asks all threads that accept. The state is locked meanwhile: no plan is applied, and nobody else asks.
    fn ask(&self, state: &State, request: Request) -> Result<Vec<Shown>> {
        let shared = self.control.shared();
        shared.requests.ask(request);
        shared.drains.touch();
        shared.ring();
        let failed = |error| Error::Setting(format!("the listening sockets cannot be passed on: {error}"));
        let threads = shared.gates().len() + usize::from(state.acceptor.is_some());
        let (late, shown) = shared.requests.wait(threads, PATIENCE).map_err(failed)?;
        if late > 0 {
            return Err(Error::Setting(format!(
                "{late} of {threads} threads that accept did not follow within {} s",
                PATIENCE.as_secs()
            )));
        }
        Ok(shown)
    }
}

impl std::fmt::Debug for Handover {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Handover").finish_non_exhaustive()
    }
}
