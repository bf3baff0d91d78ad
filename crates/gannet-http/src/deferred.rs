//! Deferred responses: from an offload pool, or from any thread that holds a [`Later`].

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use gannet::{Handle, Pool, Remote, SendError, panic_message};

use crate::cx::Cx;
use crate::draft::FAILED;
use crate::next::{Next, Start};
use crate::response::{Reply, Respond};
use crate::service::{Completion, HttpService};

/// Deferred responses: the handler returns at once, and the response follows.
///
/// Meanwhile the connection waits; other connections go on. Its further requests are answered after this one. Together they
/// may be as long as the largest request; more closes the connection.
///
/// The status and header fields that the handler and its layers have set count for the response that is made later.
///
/// If the client disconnects, work that has not begun is not started, and no closure is called.
///
/// There is always a deadline. When it is over, the client gets a 503 (RFC 9110 §15.6.4), and a later response is dropped.
/// During a shutdown, deferred responses still come, each as the last one of its connection.
impl Cx<'_> {
    /// Runs work that keeps a processor busy on [`Pool::Compute`], then makes the response from its result.
    ///
    /// `done` is called on this reactor; see [`offload_to`](Self::offload_to). Work that waits, for a database or another
    /// server, belongs to [`offload_blocking`](Self::offload_blocking).
    ///
    /// ```
    /// # use gannet_http::Router;
    /// let routes = Router::new().get("/sum", |cx| {
    ///     cx.offload(|| (0..1_000_000u64).sum::<u64>(), |sum, reply| write!(reply, "{sum}\n"));
    /// });
    /// ```
    pub fn offload<T, W, D, R>(&mut self, work: W, done: D)
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(T, &mut Reply<'_>) -> R + Send + 'static,
        R: Respond,
    {
        self.offload_to(Pool::Compute, work, done);
    }

    /// Runs work that blocks on [`Pool::Blocking`], then makes the response from its result.
    ///
    /// `done` is called on this reactor; see [`offload_to`](Self::offload_to).
    ///
    /// ```
    /// # use gannet_http::Router;
    /// # fn ask_the_database() -> String { "42 rows\n".to_owned() }
    /// let routes = Router::new().get("/rows", |cx| {
    ///     cx.offload_blocking(ask_the_database, |rows, reply| reply.text(&rows));
    /// });
    /// ```
    pub fn offload_blocking<T, W, D, R>(&mut self, work: W, done: D)
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(T, &mut Reply<'_>) -> R + Send + 'static,
        R: Respond,
    {
        self.offload_to(Pool::Blocking, work, done);
    }

    /// Runs `work` on a pool of the engine, then makes the response from its result.
    ///
    /// `done` is called on this reactor. The deadline is [`DEFERRED_TIMEOUT`](crate::DEFERRED_TIMEOUT), unless
    /// [`deadline`](Self::deadline) sets another one; work that has begun is not interrupted by it. If the client
    /// disconnects before, `done` is not called, and work that has not begun is not started.
    ///
    /// If the pool already has as many jobs as [`Limits`](gannet::Limits) allows, the client gets a 503 with
    /// `Retry-After: 1`. A panic of `work` or `done` becomes a 500.
    pub fn offload_to<T, W, D, R>(&mut self, pool: Pool, work: W, done: D)
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(T, &mut Reply<'_>) -> R + Send + 'static,
        R: Respond,
    {
        let start: Start = Box::new(move |cx, serial| {
            cx.offload_to(
                pool,
                move || catch_unwind(AssertUnwindSafe(work)),
                move |service, session, result, cx| {
                    let peer = cx.peer();
                    service.complete(session, serial, cx, |reply| match result {
                        Ok(value) => done(value, reply).respond(reply),
                        Err(panic) => {
                            let panic = panic_message(&*panic);
                            tracing::error!(%peer, panic, "offloaded work for a response panicked; answered with 500");
                            reply.refuse(500, FAILED);
                        }
                    });
                },
            )
        });
        self.draft.next = Some(Next::Deferred(Some(start)));
    }

    /// Defers the response until [`Later::complete`] is called, on any thread.
    ///
    /// It has to come within `timeout`, or within what [`deadline`](Self::deadline) sets if that is less. Call this once for
    /// a request: of several tokens the first one counts.
    #[must_use = "dropping the token answers with 500"]
    pub fn defer(&mut self, timeout: Duration) -> Later {
        self.deadline(timeout);
        self.draft.next = Some(Next::Deferred(None));
        Later { remote: self.remote(), handle: self.handle(), serial: self.serial, completed: false }
    }

    /// Sets how long a deferred or streamed response may take; of several calls the shortest time counts.
    ///
    /// The time begins when the handler returns. It does not apply to a response that is complete by then.
    pub fn deadline(&mut self, timeout: Duration) {
        self.draft.deadline = Some(self.draft.deadline.map_or(timeout, |own| own.min(timeout)));
    }

    /// Returns true if the handler has deferred the response.
    #[must_use]
    pub fn is_deferred(&self) -> bool {
        matches!(self.draft.next, Some(Next::Deferred(_) | Next::Receive(_)))
    }

    /// Calls `hook` when the response is made, before it is sent. It is for layers that change a response after `next`.
    ///
    /// Unless the response [is deferred](Self::is_deferred), the hook is called now. Otherwise it is kept; hooks of inner
    /// layers come first. It is dropped if the client disconnects before. Of a [stream](Self::stream) it sees the head.
    pub fn finally(&mut self, hook: impl FnOnce(&mut Reply<'_>) + 'static) {
        if self.is_deferred() {
            self.draft.finally.push(Box::new(hook));
        } else {
            let now = self.now();
            hook(&mut Reply { draft: &mut *self.draft, now });
        }
    }
}

/// Makes a deferred response, from any thread; [`Cx::defer`] returns it.
///
/// If it is dropped without [`complete`](Self::complete), the client gets a 500.
#[must_use = "dropping it answers with 500"]
pub struct Later {
    remote: Remote,
    handle: Handle,
    serial: u64,
    completed: bool,
}

impl Later {
    /// Makes the response: calls `run` on the connection's reactor. Call it on any thread; it does not block.
    ///
    /// If the deadline is over or the client is gone, `run` is dropped without a call. It never reaches another request. A
    /// panic of `run` becomes a 500.
    ///
    /// # Errors
    ///
    /// - [`SendError::Gone`]: the client is known to be gone.
    /// - [`SendError::MailboxFull`]: the reactor has more to do than [`Limits::mailbox`](gannet::Limits) allows. The client
    ///   is answered when the deadline is over.
    pub fn complete<R: Respond>(
        mut self,
        run: impl FnOnce(&mut Reply<'_>) -> R + Send + 'static,
    ) -> Result<(), SendError> {
        self.completed = true;
        self.post(Box::new(|reply| run(reply).respond(reply)))
    }

    /// Returns the handle of the connection that waits for the response.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle
    }

    fn post(&self, run: Box<dyn FnOnce(&mut Reply<'_>) + Send>) -> Result<(), SendError> {
        Ok(self.remote.notify::<HttpService, _>(self.handle, Completion { serial: self.serial, run })?)
    }
}

impl Drop for Later {
    fn drop(&mut self) {
        if !self.completed {
            // Where it does not get there, the deadline does the same later.
            let _ = self.post(Box::new(|reply| {
                tracing::error!("the token for a response was dropped without one; answered with 500");
                reply.refuse(500, FAILED);
            }));
        }
    }
}

impl fmt::Debug for Later {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Later").field("handle", &self.handle).field("serial", &self.serial).finish_non_exhaustive()
    }
}
