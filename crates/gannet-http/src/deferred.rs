//! Responses that come later: from the offload pool, or from whatever thread holds the token.

use std::fmt;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use gannet::proto::http::Answer;
use gannet::{Context, Handle, Notice, OffloadFull, Pool, Remote, SendError, panic_message};

use crate::cx::Cx;
use crate::draft::{Draft, FAILED};
use crate::next::Next;
use crate::respond::Respond;
use crate::response::Reply;
use crate::service::{HttpService, Mode, Session};

/// How long a response that comes later may take where nothing else was said.
pub const DEFERRED_TIMEOUT: Duration = Duration::from_secs(30);

/// Begins the work for a response, for the request of this number.
pub(crate) type Start = Box<dyn FnOnce(&mut Context<'_, HttpService>, u64) -> Result<(), OffloadFull>>;

/// Responses that come later.
///
/// The handler returns at once, and its connection waits: further requests of it are answered after this one, while all
/// other connections go on. They may be as long as the largest request, all together; more closes the connection. If the
/// client goes meanwhile, work that has not begun is not started, and nothing more is called. What was said of the response by then, by the handler and by the layers
/// around it, is kept and counts for the response that is made later. There is always a deadline; over it the client
/// gets a 503 (RFC 9110 §15.6.4; a 504 is for those who waited for another server), and what comes then is dropped. When
/// the server shuts down, responses that are awaited still come, as the last of their connections.
impl Cx<'_> {
    /// Runs work that keeps a processor busy on [`Pool::Compute`], then `done` with its result on this reactor, which
    /// makes the response; see [`offload_to`](Self::offload_to). Work that waits (for a database, for another server)
    /// belongs to [`offload_blocking`](Self::offload_blocking).
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

    /// Runs work that blocks on [`Pool::Blocking`], then `done` with its result on this reactor, which makes the response;
    /// see [`offload_to`](Self::offload_to).
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

    /// Runs `work` on a pool of the engine's, then `done` with its result on this reactor, which makes the response.
    /// The deadline is [`DEFERRED_TIMEOUT`] unless [`deadline`](Self::deadline) sets another; work that has begun is
    /// not interrupted by it. If the client goes before, `done` is not called, and work that has not begun is not started.
    ///
    /// If as many jobs wait or run as [`Limits`](gannet::Limits) allows for the pool, the client gets a 503 with
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

    /// Has the response come later, by [`Later::complete`], on whatever thread that is called: within `timeout`, or what
    /// [`deadline`](Self::deadline) sets where that is less. To be called once for a request: of several tokens the first
    /// one counts.
    #[must_use = "dropping the token answers with 500"]
    pub fn defer(&mut self, timeout: Duration) -> Later {
        self.deadline(timeout);
        self.draft.next = Some(Next::Deferred(None));
        Later { remote: self.remote(), handle: self.handle(), serial: self.serial, completed: false }
    }

    /// Sets the time that this response may take where it comes later, or piece by piece; of several the shortest
    /// counts. It begins when the handler returns. A response that is there by then is not concerned.
    pub fn deadline(&mut self, timeout: Duration) {
        self.draft.deadline = Some(self.draft.deadline.map_or(timeout, |own| own.min(timeout)));
    }

    /// Whether the response comes later, as the handler has left it.
    #[must_use]
    pub fn is_deferred(&self) -> bool {
        matches!(self.draft.next, Some(Next::Deferred(_) | Next::Receive(_)))
    }

    /// Calls `hook` when the response is there, but not sent: for layers that work on it, after `next`. That is now,
    /// and costs nothing, unless it [is deferred](Self::is_deferred). Then the hook is kept, those of inner layers
    /// first; it is dropped where the client goes before. Of a [stream](Self::stream) it sees the head.
    pub fn finally(&mut self, hook: impl FnOnce(&mut Reply<'_>) + 'static) {
        if self.is_deferred() {
            self.draft.finally.push(Box::new(hook));
        } else {
            let now = self.now();
            hook(&mut Reply { draft: &mut *self.draft, now });
        }
    }
}

/// The right to make a response, from any thread. Dropped without [`complete`](Self::complete) it answers with 500.
#[must_use = "dropping it answers with 500"]
pub struct Later {
    remote: Remote,
    handle: Handle,
    serial: u64,
    completed: bool,
}

impl Later {
    /// Has the response made by `run`, which is called on the connection's reactor. Where the deadline was over, or the
    /// client has gone, it is dropped without being called; it never gets to another request. A panic of it becomes a
    /// 500. May be called on any thread; nothing blocks.
    ///
    /// # Errors
    ///
    /// [`SendError::Gone`] where the client is known to have gone. [`SendError::MailboxFull`] where the reactor has more
    /// to do than [`Limits::mailbox`](gannet::Limits) allows: the client is answered when the deadline is over.
    pub fn complete<R: Respond>(
        mut self,
        run: impl FnOnce(&mut Reply<'_>) -> R + Send + 'static,
    ) -> Result<(), SendError> {
        self.completed = true;
        self.post(Box::new(|reply| run(reply).respond(reply)))
    }

    /// The connection that waits for the response.
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

/// A response on its way to its reactor.
pub(crate) struct Completion {
    serial: u64,
    run: Box<dyn FnOnce(&mut Reply<'_>) + Send>,
}

/// A response that is awaited.
#[derive(Debug)]
pub(crate) struct Pending {
    draft: Draft,
    answer: Answer,
    serial: u64,
}

impl Pending {
    /// Takes over the response that was begun.
    pub(crate) fn new(draft: &mut Draft, answer: Answer, serial: u64) -> Self {
        Self { draft: mem::replace(draft, Draft::new()), answer, serial }
    }

    /// The time that the response may take, where somebody set it.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.draft.deadline
    }

    /// Has the connection end with the response.
    pub(crate) fn close_behind(&mut self) {
        self.answer = self.answer.last();
    }
}

impl HttpService {
    /// Begins to wait for a response.
    pub(crate) fn defer(
        &mut self,
        start: Option<Start>,
        answer: Answer,
        session: &mut Session,
        cx: &mut Context<'_, Self>,
    ) {
        let serial = self.serial;
        let pending = Pending::new(&mut self.draft, answer, serial);
        let deadline = pending.deadline().unwrap_or(DEFERRED_TIMEOUT);
        session.mode = Mode::Deferred(Box::new(pending));
        cx.codec_state().await_response();
        cx.set_timer(deadline);
        if let Some(start) = start
            && start(cx, serial).is_err()
        {
            self.complete(session, serial, cx, |reply| {
                reply.refuse(503, "too much to do\n");
                reply.header("Retry-After", "1");
            });
        }
    }

    /// Has the response made that a connection waits for, unless it waits for another one.
    pub(crate) fn complete(
        &mut self,
        session: &mut Session,
        serial: u64,
        cx: &mut Context<'_, Self>,
        run: impl FnOnce(&mut Reply<'_>),
    ) {
        let mut pending = match mem::take(&mut session.mode) {
            Mode::Deferred(pending) if pending.serial == serial => pending,
            other => return session.mode = other,
        };
        mem::swap(&mut self.draft, &mut pending.draft);
        let mut reply = Reply { draft: &mut self.draft, now: cx.now() };
        let made = catch_unwind(AssertUnwindSafe(|| {
            run(&mut reply);
        }));
        if let Err(panic) = made {
            let (peer, panic) = (cx.peer(), panic_message(&*panic));
            tracing::error!(%peer, panic, "what makes a response panicked; answered with 500");
            self.draft.replace(500, FAILED);
        }
        for hook in mem::take(&mut self.draft.finally) {
            hook(&mut Reply { draft: &mut self.draft, now: cx.now() });
        }
        cx.codec_state().go_on();
        cx.decode_again();
        match self.draft.next.take() {
            None => self.send(pending.answer, cx),
            Some(next) => self.follow(next, pending.answer, session, cx),
        }
        mem::swap(&mut self.draft, &mut pending.draft);
    }

    /// Answers in place of what did not come in time.
    #[cold]
    pub(crate) fn overdue(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        if let Mode::Deferred(pending) = &session.mode {
            let serial = pending.serial;
            self.complete(session, serial, cx, |reply| reply.refuse(503, "no response in time\n"));
        }
    }
}

impl Notice<Completion> for HttpService {
    fn notice(&mut self, session: &mut Session, completion: Completion, cx: &mut Context<'_, Self>) {
        self.complete(session, completion.serial, cx, completion.run);
    }
}
