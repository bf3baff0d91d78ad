//! The session that answers requests side by side.

use std::fmt::{self, Display};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use gannet_proto::Multiplexed;
use gannet_proto::multiplexed::{Kind, Outgoing};

use crate::core::SendStatus;

use super::super::connection::Connection;
use super::super::error::{Error, Result};
use super::super::head::Head;
use super::super::message::Message;
use super::super::time::{Sleep, sleep};
use super::in_flight::{InFlight, Outcome};
use super::{Options, Request};

/// The shortest time that a timer is set to again.
const AGAIN: Duration = Duration::from_millis(1);

/// Answers the requests of a connection, each by a future that `handler` makes.
///
/// This is a whole session: return its result, or pass it to [`Engine::sessions`](crate::Engine::sessions). The futures run
/// side by side on the reactor's thread, within the bound and the time that `options` sets. Their memory is used again. When
/// the session wakes, it polls all that are in flight.
///
/// A future answers with bytes, or with an error whose text the peer is told. The peer is told too if a request timed out, if
/// it was cancelled, and if the reply is larger than a frame can be. A cancellation for a request that was answered has no
/// effect. While the outbox is over [`Limits::outbox_high`](crate::Limits), answers wait and no request is read.
///
/// When the peer ends its stream, or the engine drains, the requests in flight are answered, and then the session ends.
///
/// # Errors
///
/// - [`Error::Codec`]: the peer sent a frame that is neither a request nor a cancellation, or the identifier of a request in
///   flight once more. The requests in flight are dropped.
/// - [`Error::Closed`]: the connection is closing.
///
/// # Cancel safety
///
/// Dropping the future drops the requests in flight without an answer. Requests that were not read stay for
/// [`Connection::next_with`].
pub fn serve<H, F, R, E>(connection: Connection<Multiplexed>, options: Options, handler: H) -> Serve<H, F, R>
where
    H: FnMut(Request) -> F,
    F: Future<Output = Result<R, E>>,
    R: AsRef<[u8]>,
    E: Display,
{
    Serve { connection, options, handler, requests: InFlight::new(), held: None, timer: None, is_over: false }
}

/// Answers the requests of a connection: see [`serve`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Serve<H, F, R> {
    connection: Connection<Multiplexed>,
    options: Options,
    handler: H,
    requests: InFlight<F, R>,
    /// One that came while as many as may be were in flight.
    held: Option<Request>,
    timer: Option<Sleep>,
    /// No more requests come.
    is_over: bool,
}

/// The futures of requests are pinned in places of their own.
impl<H, F, R> Unpin for Serve<H, F, R> {}

/// What came from the peer.
enum Came {
    Request(u32, Message),
    Cancel(u32),
    /// A frame that only the side that answers may send.
    Other(Kind),
}

impl<H, F, R, E> Serve<H, F, R>
where
    H: FnMut(Request) -> F,
    F: Future<Output = Result<R, E>>,
    R: AsRef<[u8]>,
    E: Display,
{
    /// Ends what is due, and waits for what is due next.
    fn expire(&mut self, cx: &mut TaskContext<'_>) {
        if self.options.timeout.is_none() {
            return;
        }
        let now = self.connection.now();
        while let Some(due) = self.requests.expire(now) {
            let timer = self.timer.get_or_insert_with(|| sleep(due.saturating_sub(now).max(AGAIN)));
            if Pin::new(timer).poll(cx).is_pending() {
                return;
            }
            self.timer = None;
        }
    }

    /// Sends the answers that are ready; says whether there is room for more.
    fn answer(&mut self, cx: &mut TaskContext<'_>) -> Result<bool> {
        while let Some(index) = self.requests.next_ended(self.options.is_in_order) {
            match self.connection.reach(|scope| scope.poll_room(cx)) {
                Poll::Pending => return Ok(false),
                Poll::Ready(room) => room?,
            }
            let Some((id, outcome)) = self.requests.take(index) else { continue };
            let status = match &outcome {
                Outcome::Reply(reply) => self.send(Kind::Reply, id, &[reply.as_ref()]),
                Outcome::Failed(why) => self.send(Kind::Failed, id, &[why.as_bytes()]),
                Outcome::TimedOut => self.send(Kind::TimedOut, id, &[]),
                Outcome::Cancelled => self.send(Kind::Cancelled, id, &[]),
            };
            if status == SendStatus::Unencodable {
                self.send(Kind::Failed, id, &[b"the reply is too large"]);
            }
        }
        Ok(true)
    }

    fn send(&mut self, kind: Kind, id: u32, parts: &[&[u8]]) -> SendStatus {
        self.connection.queue(Outgoing { kind, id, parts })
    }

    /// Takes what came next; says whether there was anything.
    fn receive(&mut self, cx: &mut TaskContext<'_>) -> Result<bool> {
        let has_room = self.requests.len() < self.options.in_flight;
        if let Some(request) = self.held.take_if(|_| has_room) {
            self.start(request, cx);
            return Ok(true);
        }
        if self.is_over || self.held.is_some() {
            return Ok(false);
        }
        let mut next = self.connection.next_with(|frame| match frame.kind {
            Kind::Request => Came::Request(frame.id, Message::copy(frame.body)),
            Kind::Cancel => Came::Cancel(frame.id),
            other => Came::Other(other),
        });
        let Poll::Ready(came) = Pin::new(&mut next).poll(cx) else { return Ok(false) };
        match came? {
            None => {
                self.is_over = true;
                return Ok(false);
            }
            Some(Came::Request(id, _)) if self.requests.has(id) => {
                return Err(self.violation(&format!("a request has the identifier {id}, which is in flight")));
            }
            Some(Came::Request(id, body)) => {
                let request = Request { id, body, place: self.connection.place() };
                if has_room { self.start(request, cx) } else { self.held = Some(request) }
            }
            Some(Came::Cancel(id)) => self.requests.cancel(id),
            Some(Came::Other(kind)) => {
                return Err(self.violation(&format!("a frame of the kind {kind:?} came from the side that asks")));
            }
        }
        Ok(true)
    }

    fn start(&mut self, request: Request, cx: &mut TaskContext<'_>) {
        let (id, now) = (request.id, self.connection.now());
        let due = self.options.timeout.and_then(|time| now.checked_add(time));
        let future = (self.handler)(request);
        self.requests.start(id, due, future, cx);
    }

    /// The peer breaks the protocol: nothing more of it has a meaning.
    #[cold]
    fn violation(&self, what: &str) -> Error {
        self.connection.reach(|scope| scope.head.set(Head::BROKEN));
        Error::Codec(what.into())
    }
}

impl<H, F, R, E> Future for Serve<H, F, R>
where
    H: FnMut(Request) -> F,
    F: Future<Output = Result<R, E>>,
    R: AsRef<[u8]>,
    E: Display,
{
    type Output = Result;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Result> {
        let this = self.get_mut();
        // A reply that is ready goes before a time that is over.
        this.requests.poll(cx);
        loop {
            this.expire(cx);
            if !this.answer(cx)? {
                return Poll::Pending;
            }
            if !this.receive(cx)? {
                break;
            }
        }
        let is_done = this.is_over && this.held.is_none() && this.requests.len() == 0;
        if is_done { Poll::Ready(Ok(())) } else { Poll::Pending }
    }
}

impl<H, F, R> fmt::Debug for Serve<H, F, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Serve").field("options", &self.options).field("in_flight", &self.requests.len()).finish()
    }
}
