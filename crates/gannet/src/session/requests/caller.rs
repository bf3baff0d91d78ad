//! The side that asks: many requests in flight on an outbound connection of a session.

use std::cell::RefCell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context as TaskContext, Poll, Waker};

use gannet_proto::Multiplexed;
use gannet_proto::multiplexed::{Frame, Kind, Outgoing};

use crate::core::SendStatus;

use super::super::head::spawn;
use super::super::message::Message;
use super::super::raw;
use super::super::upstream::Upstream;
use super::calls::{CallError, Calls, Entry};

/// Asks requests on an outbound connection, many at a time. A clone asks on the same connection.
///
/// Each call finds its reply by the identifier of its request, whatever the order of the replies. All sessions of the reactor
/// may use it, from inside of their futures. The connection closes with the last clone, and at the latest with the session
/// that made the first.
///
/// ```no_run
/// use std::time::Duration;
///
/// use gannet::proto::{Lines, Multiplexed};
/// use gannet::session::{self, Connection, connect, requests::Caller, within};
/// use gannet::Connect;
///
/// async fn front(mut connection: Connection<Lines>, to: Connect) -> session::Result {
///     let caller = Caller::new(connect(Multiplexed::new(), &to).await?, 64);
///     while let Some(line) = connection.next().await? {
///         match within(Duration::from_millis(500), caller.call([b"GET ", &line])).await {
///             Ok(reply) => connection.send([&reply?]).await?,
///             Err(_) => connection.send([b"too slow"]).await?, // The request was cancelled.
///         }
///     }
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Caller {
    shared: Rc<Shared>,
}

struct Shared {
    upstream: Upstream<Multiplexed>,
    calls: RefCell<Calls>,
}

/// Ends the calls when what reads their answers is dropped.
struct Ends(Weak<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            let waiting = shared.calls.borrow_mut().end();
            shared.upstream.leave();
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

impl Shared {
    /// Takes in all answers that came; ready when there are no more.
    fn poll(&self, cx: &mut TaskContext<'_>) -> Poll<()> {
        loop {
            let mut take = |frame: Frame<'_>| {
                let mut calls = self.calls.borrow_mut();
                [calls.answer(&frame), calls.next_in_line()]
            };
            match self.upstream.poll_next(cx, &mut take) {
                Poll::Ready(Ok(Some(woken))) => woken.into_iter().flatten().for_each(Waker::wake),
                Poll::Ready(Ok(None) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn send(&self, kind: Kind, id: u32, parts: &[&[u8]]) -> SendStatus {
        self.upstream.queue_status(Outgoing { kind, id, parts })
    }
}

impl Caller {
    /// Takes a connection over, with at most so many requests in flight; at least 1. Further calls wait for their turn.
    ///
    /// It spawns a future into the session that calls this, which reads the replies. All requests in flight have to fit
    /// [`Limits::outbox_hard`](crate::Limits): they do not wait for a peer that is slow to read them.
    ///
    /// # Panics
    ///
    /// Outside of a session, and where the session has spawned 1,024 futures already: see [`spawn`](super::super::spawn).
    #[must_use]
    pub fn new(upstream: Upstream<Multiplexed>, in_flight: usize) -> Self {
        let shared = Rc::new(Shared { upstream, calls: RefCell::new(Calls::new(in_flight)) });
        let ends = Ends(Rc::downgrade(&shared));
        spawn(async move {
            let Ends(shared) = &ends;
            poll_fn(|cx| shared.upgrade().map_or(Poll::Ready(()), |shared| shared.poll(cx))).await;
        });
        Self { shared }
    }

    /// Asks a request made of `parts` joined, and waits for its reply.
    ///
    /// The request is sent in the first poll in which fewer than the most requests are in flight. Calls that
    /// wait for their turn are served in the order of their first polls.
    ///
    /// # Errors
    ///
    /// [`CallError`] explains each.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the request: the other side is told. A reply that comes nevertheless is dropped. The
    /// request stays in flight until the other side has answered, so that its reply reaches nobody else. This is how a request
    /// gets a time of its own: by [`within`](super::super::within).
    pub fn call<'c, const N: usize>(&'c self, parts: [&'c [u8]; N]) -> Call<'c, N> {
        Call { caller: self, parts, stage: Stage::New }
    }

    /// Returns how many requests were sent and not answered, those of dropped calls included.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.calls.borrow().in_flight
    }

    /// Returns how many calls wait for their turn.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.shared.calls.borrow().waiting.len()
    }

    /// Returns how many replies came that nobody had asked for, a second reply to a request included. They were dropped.
    #[must_use]
    pub fn strays(&self) -> u64 {
        self.shared.calls.borrow().strays
    }
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.shared.calls.borrow();
        f.debug_struct("Caller").field("in_flight", &calls.in_flight).field("waiting", &calls.waiting.len()).finish()
    }
}

#[derive(Clone, Copy)]
enum Stage {
    New,
    /// It waits for its turn, with this ticket.
    InLine(u64),
    /// It was sent with this identifier.
    Sent(u32),
    Done,
}

/// Waits for the reply to a request: see [`Caller::call`].
#[must_use = "futures do nothing unless they are awaited"]
pub struct Call<'c, const N: usize> {
    caller: &'c Caller,
    parts: [&'c [u8]; N],
    stage: Stage,
}

impl<const N: usize> Call<'_, N> {
    /// Sends the request, if it is its turn.
    fn poll_send(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<u32, CallError>> {
        let shared = &*self.caller.shared;
        let mut calls = shared.calls.borrow_mut();
        if calls.is_over {
            return Poll::Ready(Err(CallError::Closed));
        }
        let ticket = if let Stage::InLine(ticket) = self.stage { Some(ticket) } else { None };
        if !calls.is_turn_of(ticket) {
            match calls.waiting.iter_mut().find(|(waits, _)| Some(*waits) == ticket) {
                Some((_, waker)) => waker.clone_from(cx.waker()),
                None => {
                    calls.last_ticket += 1;
                    let ticket = calls.last_ticket;
                    calls.waiting.push_back((ticket, cx.waker().clone()));
                    self.stage = Stage::InLine(ticket);
                }
            }
            return Poll::Pending;
        }
        if let Some(ticket) = ticket {
            calls.leave_line(ticket);
            self.stage = Stage::New;
        }
        let id = calls.new_id();
        let sent = match shared.send(Kind::Request, id, &self.parts) {
            SendStatus::Queued | SendStatus::OverHigh | SendStatus::OverHard => {
                calls.sent.insert(id, Entry::Waits(cx.waker().clone()));
                calls.in_flight += 1;
                Ok(id)
            }
            SendStatus::Unencodable => Err(CallError::TooLarge),
            SendStatus::Closed => Err(CallError::Closed),
        };
        let next = calls.next_in_line();
        drop(calls);
        next.into_iter().for_each(Waker::wake);
        Poll::Ready(sent)
    }

    fn poll_reply(&self, id: u32, cx: &mut TaskContext<'_>) -> Poll<Result<Message, CallError>> {
        let mut calls = self.caller.shared.calls.borrow_mut();
        let is_over = calls.is_over;
        match calls.sent.get_mut(&id) {
            Some(Entry::Waits(waker)) if !is_over => {
                waker.clone_from(cx.waker());
                return Poll::Pending;
            }
            Some(Entry::Answered(_)) => {}
            _ => return Poll::Ready(Err(CallError::Closed)),
        }
        match calls.sent.remove(&id) {
            Some(Entry::Answered(answer)) => Poll::Ready(answer),
            _ => Poll::Ready(Err(CallError::Closed)),
        }
    }
}

impl<const N: usize> Future for Call<'_, N> {
    type Output = Result<Message, CallError>;

    fn poll(self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Stage::New | Stage::InLine(_) = this.stage {
            match this.poll_send(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(id)) => this.stage = Stage::Sent(id),
                Poll::Ready(Err(error)) => {
                    this.stage = Stage::Done;
                    return Poll::Ready(Err(error));
                }
            }
        }
        let Stage::Sent(id) = this.stage else { panic!("a future was polled after it was ready") };
        let reply = this.poll_reply(id, cx);
        if reply.is_ready() {
            this.stage = Stage::Done;
        }
        reply
    }
}

impl<const N: usize> Drop for Call<'_, N> {
    fn drop(&mut self) {
        let shared = &*self.caller.shared;
        let mut calls = shared.calls.borrow_mut();
        match self.stage {
            Stage::New | Stage::Done => {}
            Stage::InLine(ticket) => {
                calls.leave_line(ticket);
                let next = calls.next_in_line();
                drop(calls);
                next.into_iter().for_each(Waker::wake);
            }
            Stage::Sent(id) => match calls.sent.get_mut(&id) {
                Some(entry @ Entry::Waits(_)) => {
                    *entry = Entry::Left;
                    let is_over = calls.is_over;
                    drop(calls);
                    // Where the reactor goes with its sessions, nobody is left to be told.
                    if !is_over && raw::is_polling() {
                        shared.send(Kind::Cancel, id, &[]);
                    }
                }
                _ => {
                    calls.sent.remove(&id);
                }
            },
        }
    }
}

impl<const N: usize> fmt::Debug for Call<'_, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").finish_non_exhaustive()
    }
}
