//! Bodies of requests that are taken as they come, as fast as the application can use them.

mod run;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use gannet::{Context, Handle, Peer, Pool, Remote, panic_message};

pub(crate) use self::run::{Intake, Reception};
use self::run::{State, is_reception};
use crate::cx::Cx;
use crate::draft::FAILED;
use crate::next::Next;
use crate::respond::Respond;
use crate::service::HttpService;

/// Takes the body of a request piece by piece: given to [`Cx::receive`]. Each method is called on the reactor's thread and
/// must not block; what takes long goes through [`Receiving::offload`] and its like.
///
/// While such work is under way, no further piece comes and nothing more is read from the connection. So a body of any
/// size takes no more memory than what a connection reads at once, at most [`Limits::carry`](gannet::Limits), and what
/// the application copies of a piece for its work.
///
/// It is dropped when the response has been made, and when the client goes before: what has to be cleaned up belongs into
/// its `Drop`.
///
/// ```
/// use std::fs::File;
/// use std::io::Write as _;
/// use std::sync::Arc;
///
/// use gannet_http::{Cx, Receive, Receiving, Router};
///
/// struct Save(Arc<File>);
///
/// impl Receive for Save {
///     fn piece(&mut self, bytes: &[u8], body: &mut Receiving<'_, '_>) {
///         let (file, bytes) = (Arc::clone(&self.0), bytes.to_vec());
///         body.offload_blocking(move || (&*file).write_all(&bytes), |written, body| {
///             if written.is_err() {
///                 body.answer((500, "the disk is full\n"));
///             }
///         });
///     }
///
///     fn whole(&mut self, body: &mut Receiving<'_, '_>) {
///         body.answer((201, format!("{} bytes\n", body.received())));
///     }
/// }
///
/// fn save(cx: &mut Cx<'_>) -> Result<(), (u16, &'static str)> {
///     let file = File::create("/var/uploads/one").map_err(|_| (500, "no file\n"))?;
///     cx.receive(10 << 30, Save(Arc::new(file)));
///     Ok(())
/// }
///
/// let routes = Router::new().upload("PUT", "/files/one", save).build()?;
/// # Ok::<(), gannet_http::RouteError>(())
/// ```
pub trait Receive: 'static {
    /// A piece of the body came, as large as it was read. Not empty.
    fn piece(&mut self, bytes: &[u8], body: &mut Receiving<'_, '_>);

    /// Work for the body is done, and all of its results were delivered: called before the next piece, or the end.
    fn ready(&mut self, body: &mut Receiving<'_, '_>) {
        let _ = body;
    }

    /// The body is whole, and no work for it is under way. Answer now, or from work that begins now; otherwise the
    /// response is what the handler has said.
    fn whole(&mut self, body: &mut Receiving<'_, '_>) {
        let _ = body;
    }
}

/// A body that is being received. Lives for one call.
pub struct Receiving<'a, 'c> {
    cx: &'a mut Context<'c, HttpService>,
    state: &'a mut State,
}

/// Bodies that are taken as they come.
impl Cx<'_> {
    /// Has the body taken piece by piece by `receiver`, which makes the response. At most `limit` bytes are taken; more is
    /// answered with 413, before the body is sent where its length is known. See [`Receive`].
    ///
    /// In a route of [`Router::upload`](crate::Router::upload) the handler is called when the head has come, and the body
    /// may be of any size. In another route the body has come already, and is delivered as one piece.
    ///
    /// What the handler and its layers have said of the response counts, as for one that
    /// [is deferred](Self::is_deferred).
    pub fn receive(&mut self, limit: u64, receiver: impl Receive) {
        self.draft.next = Some(Next::Receive(Reception { receiver: Box::new(receiver), limit }));
    }
}

impl Receiving<'_, '_> {
    /// Makes the response. Where the body is not whole, the rest of it is not taken, and the connection closes behind the
    /// response. Of several the first one counts.
    pub fn answer<R: Respond + 'static>(&mut self, response: R) {
        if self.state.answer.is_none() {
            self.state.answer = Some(Box::new(|reply| response.respond(reply)));
        }
    }

    /// Runs work that keeps a processor busy on [`Pool::Compute`], then `done` with its result on this reactor; see
    /// [`offload_to`](Self::offload_to).
    pub fn offload<T, W, D>(&mut self, work: W, done: D)
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(T, &mut Receiving<'_, '_>) + Send + 'static,
    {
        self.offload_to(Pool::Compute, work, done);
    }

    /// Runs work that blocks on [`Pool::Blocking`], then `done` with its result on this reactor; see
    /// [`offload_to`](Self::offload_to).
    pub fn offload_blocking<T, W, D>(&mut self, work: W, done: D)
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(T, &mut Receiving<'_, '_>) + Send + 'static,
    {
        self.offload_to(Pool::Blocking, work, done);
    }

    /// Runs `work` on a pool of the engine's, then `done` with its result on this reactor. Until then nothing more of the
    /// body is taken. Work that takes longer than a response may ([`Cx::deadline`]) is answered with 503.
    ///
    /// If as many jobs wait or run as [`Limits`](gannet::Limits) allows for the pool, the client gets a 503 with
    /// `Retry-After: 1`. A panic of `work` becomes a 500.
    pub fn offload_to<T, W, D>(&mut self, pool: Pool, work: W, done: D)
    where
        T: Send + 'static,
        W: FnOnce() -> T + Send + 'static,
        D: FnOnce(T, &mut Receiving<'_, '_>) + Send + 'static,
    {
        let serial = self.state.serial;
        let begun = self.cx.offload_to(
            pool,
            move || catch_unwind(AssertUnwindSafe(work)),
            move |service, session, result, cx| {
                if !is_reception(session, serial) {
                    return;
                }
                service.with_reception(session, cx, |receiver, body| {
                    body.state.jobs -= 1;
                    match result {
                        Ok(value) => done(value, body),
                        Err(panic) => {
                            let (peer, panic) = (body.cx.peer(), panic_message(&*panic));
                            tracing::error!(%peer, panic, "offloaded work for a body panicked; answered with 500");
                            body.answer((500, FAILED));
                        }
                    }
                    if !body.is_busy() {
                        receiver.ready(body);
                    }
                });
            },
        );
        match begun {
            Ok(()) => self.state.jobs += 1,
            Err(_) => self.state.refuse_for_now(),
        }
    }

    /// Whether work for the body is under way, or the response was made: then nothing more is to be done for now.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.state.jobs > 0 || self.state.answer.is_some()
    }

    /// Bytes of the body so far, with the piece that is being delivered.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.state.received
    }

    /// Who sends the body, or passes it on.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.cx.peer()
    }

    /// A reference to the connection.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.cx.handle()
    }

    /// The reactor's clock when this turn began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.cx.now()
    }

    /// Whether the server is shutting down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.cx.is_draining()
    }

    /// The way to all reactors.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.cx.remote()
    }
}

impl fmt::Debug for Receiving<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving").field("received", &self.state.received).finish_non_exhaustive()
    }
}
