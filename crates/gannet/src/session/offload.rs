//! Long work of a session, on one of the engine's pools.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker};

use gannet_proto::Codec;

use crate::close_reason::CloseReason;
use crate::connection::Flags;
use crate::core::Core;
use crate::host::Host;
use crate::ids::Token;
use crate::offload::{OffloadFull, Pool};
use crate::panics::{Panicked, panic_message};
use crate::remote::{JobOwner, Letter, Remote};

use super::connection::Connection;
use super::error::Result;
use super::scope::Scope;

/// Where the result of a job is put. Both sides use it on the reactor's thread; the job only carries it.
struct Slot<T> {
    value: Option<T>,
    waker: Option<Waker>,
}

type SharedSlot<T> = Arc<Mutex<Slot<T>>>;

impl<C: Codec> Connection<C> {
    /// Runs CPU-bound work on [`Pool::Compute`], and waits for its result.
    ///
    /// Work that waits (for a database, for a lock) belongs to [`offload_blocking`](Self::offload_blocking).
    /// [`offload_to`](Self::offload_to) says what happens if the session ends or the work panics.
    ///
    /// # Errors
    ///
    /// [`Error::Offload`](super::Error::Offload): the pool takes no more jobs; the work was not started.
    ///
    /// # Cancel safety
    ///
    /// The call starts the work. Dropping the future drops its result.
    pub fn offload<T, W>(&mut self, work: W) -> Offload<T>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        self.offload_to(Pool::Compute, work)
    }

    /// Runs work that waits on [`Pool::Blocking`], and waits for its result.
    ///
    /// [`offload_to`](Self::offload_to) says what happens if the session ends or the work panics.
    ///
    /// # Errors
    ///
    /// [`Error::Offload`](super::Error::Offload): the pool takes no more jobs; the work was not started.
    ///
    /// # Cancel safety
    ///
    /// The call starts the work. Dropping the future drops its result.
    pub fn offload_blocking<T, W>(&mut self, work: W) -> Offload<T>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        self.offload_to(Pool::Blocking, work)
    }

    /// Runs long work on one of the engine's pools, and waits for its result.
    ///
    /// The call starts the work, so several jobs may run at a time. If the connection closes before the work starts, it does
    /// not run. If the work panics, the connection closes with [`CloseReason::Panicked`](crate::CloseReason::Panicked).
    ///
    /// # Errors
    ///
    /// [`Error::Offload`](super::Error::Offload): as many jobs wait or run as [`Limits`](crate::Limits) allows for the pool, or
    /// 65,535 of this connection; the work was not started.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the result of the work.
    pub fn offload_to<T, W>(&mut self, pool: Pool, work: W) -> Offload<T>
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
    {
        self.reach(|scope| {
            let slot = Arc::new(Mutex::new(Slot { value: None, waker: None }));
            let started = start(scope, pool, work, slot.clone());
            Offload { started: Some(started), slot }
        })
    }
}

fn start<T, W>(scope: &mut Scope<'_>, pool: Pool, work: W, slot: SharedSlot<T>) -> Result<(), OffloadFull>
where
    T: Send + 'static,
    W: FnOnce() -> T + Send + 'static,
{
    let (core, token) = (&mut *scope.core, scope.place.token);
    if core.slab.get(token).is_none() || core.rares.of(token).offloads == u16::MAX {
        core.shared.offload.refused(pool);
        return Err(OffloadFull);
    }
    let (remote, handle) = (Remote::new(core.shared.clone()), core.handle(token));
    let owner = JobOwner { remote: remote.clone(), handle };
    core.shared.offload.run(pool, Some(owner), move || {
        let result = catch_unwind(AssertUnwindSafe(work));
        if result.is_err() {
            remote.count_panicked_job(pool);
        }
        let run = Box::new(move |host: &mut dyn Host, core: &mut Core, token: Token| {
            core.rares.offload_ended(token);
            match result {
                Ok(value) => {
                    let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
                    slot.value = Some(value);
                    let waker = slot.waker.take();
                    drop(slot);
                    waker.into_iter().for_each(Waker::wake);
                }
                Err(panic) => {
                    tracing::error!(
                        service = host.name(),
                        peer = %core.peers.of(token),
                        panic = panic_message(&*panic),
                        "an offloaded job panicked; its connection is closed"
                    );
                    core.ask_close_for(token, Flags::CLOSE, CloseReason::Panicked, Panicked::of(&*panic).into());
                }
            }
        });
        remote.deliver(handle, Letter::Run { place: handle.place(), run });
    })?;
    core.rares.of_mut(token).offloads += 1;
    Ok(())
}

/// Waits for the result of offloaded work: see [`Connection::offload_to`].
#[must_use = "await it for the result"]
pub struct Offload<T> {
    /// Whether the pool took the work; `None` when that was told.
    started: Option<Result<(), OffloadFull>>,
    slot: SharedSlot<T>,
}

impl<T> Future for Offload<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result<T>> {
        if let Some(Err(full)) = self.started.take() {
            return Poll::Ready(Err(full.into()));
        }
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = slot.value.take() {
            return Poll::Ready(Ok(value));
        }
        slot.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<T> fmt::Debug for Offload<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Offload").finish_non_exhaustive()
    }
}
