//! Bodies that a handler receives piece by piece, as fast as it can use them.

mod state;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use gannet::{Context, Handle, Peer, Pool, Remote, panic_message};

use self::state::is_reception;
pub(crate) use self::state::{Intake, Progress, Reception, State};
use crate::draft::FAILED;
use crate::response::Respond;
use crate::service::HttpService;

/// Receives the body of a request piece by piece; pass it to [`Cx::receive`](crate::Cx::receive).
///
/// Its methods are called on the reactor's thread and must not block: give long work to [`Receiving::offload`] and its
/// siblings. While such work is under way, no further piece comes and nothing is read from the connection.
///
/// A body of any size therefore takes a bounded amount of memory: what a connection reads at once, at most
/// [`Limits::carry`](gannet::Limits), and what you copy for your work.
///
/// The receiver is dropped when the response was made, and when the client disconnects before: clean up in its `Drop`.
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
    /// Receives a piece of the body, as it was read from the connection. It is not empty.
    fn piece(&mut self, bytes: &[u8], body: &mut Receiving<'_, '_>);

    /// Is called when all offloaded work is done and its results were delivered, before the next piece or the end.
    fn ready(&mut self, body: &mut Receiving<'_, '_>) {
        let _ = body;
    }

    /// Is called when the body is whole and no work for it is under way.
    ///
    /// Answer now, or from work that begins now. Otherwise the response is what the handler has written.
    fn whole(&mut self, body: &mut Receiving<'_, '_>) {
        let _ = body;
    }
}

/// Gives a [`Receive`] access to the request whose body it receives. Lives for one call.
pub struct Receiving<'a, 'c> {
    pub(crate) cx: &'a mut Context<'c, HttpService>,
    pub(crate) state: &'a mut State,
}

impl Receiving<'_, '_> {
    /// Makes the response. Only the first call counts.
    ///
    /// If the body is not whole yet, the rest is not received, and the connection closes after the response.
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

    /// Runs `work` on a pool of the engine, then `done` with its result on this reactor.
    ///
    /// Nothing more of the body is received meanwhile. If the work takes longer than the response may
    /// ([`Cx::deadline`](crate::Cx::deadline)), the client gets a 503.
    ///
    /// If the pool already has as many jobs as [`Limits`](gannet::Limits) allows, the client gets a 503 with
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

    /// Returns true while offloaded work is under way, or once the response was made.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.state.jobs > 0 || self.state.answer.is_some()
    }

    /// Returns how many bytes of the body have come, including the current piece.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.state.received
    }

    /// Returns the address of the client, or of the proxy in front of it.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.cx.peer()
    }

    /// Returns the handle of the connection.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.cx.handle()
    }

    /// Returns the reactor's time, as of the start of this turn.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.cx.now()
    }

    /// Returns true if this client was told to leave, or the server ends.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.cx.is_draining()
    }

    /// Returns a [`Remote`], which reaches all reactors from any thread.
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
