//! The service whose sessions are futures: polls them when something happened that they may wait for.

use std::any::type_name;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use gannet_proto::Codec;

use crate::close_reason::CloseReason;
use crate::connection::{CloseMode, Flags, State};
use crate::context::Context;
use crate::ids::{Place, ServiceId, Token};
use crate::service::{HalfClose, Heartbeat, Input, Message, Refused, Sequential, Service, Shutdown};

use super::connection::Connection;
use super::error::{Error, FAILED, Result};
use super::head::{Head, poll_spawned};
use super::raw::{self, Erased, Task};
use super::scope::{Scope, arm, armed};
use super::wakes::Seat;

/// Results that may be ready in one poll, before other sessions have their turn.
const READY_A_POLL: u8 = 128;

/// Serves connections with futures that `make` makes, one for each.
pub(crate) struct Dialogue<C, M, F> {
    codec: Arc<dyn Fn() -> C + Send + Sync>,
    make: Arc<M>,
    name: &'static str,
    seat: Option<Seat>,
    /// The service of outbound connections.
    upstreams: Option<ServiceId>,
    futures: PhantomData<fn() -> F>,
}

impl<C, M, F> Dialogue<C, M, F>
where
    C: Codec,
    M: Fn(Connection<C>) -> F + 'static,
    F: Future<Output = Result> + 'static,
{
    pub(crate) fn new(codec: Arc<dyn Fn() -> C + Send + Sync>, make: Arc<M>, upstreams: Option<ServiceId>) -> Self {
        let name = type_name::<M>();
        let name = name.find("::{{closure}}").map_or(name, |end| &name[..end]);
        Self { codec, make, name, seat: Seat::take(), upstreams, futures: PhantomData }
    }

    fn number(&self, token: Token) -> usize {
        self.seat.as_ref().map_or(usize::MAX, |seat| seat.number(token))
    }

    /// Polls a session without new input.
    fn poll_again(&mut self, task: &mut Task<F>, cx: &mut Context<'_, Self>) {
        self.poll(task, cx.reborrow(), None);
    }
}

/// Closes the connection of a session that has ended.
#[cold]
fn close_after<S: Service>(cx: &mut Context<'_, S>, head: &Head, result: Result) {
    let reason = if head.has(Head::TOO_LARGE) {
        CloseReason::FrameTooLarge
    } else if head.has(Head::BROKEN) {
        CloseReason::Protocol
    } else if head.has(Head::END) {
        CloseReason::Peer
    } else if head.has(Head::DRAIN) {
        CloseReason::Shutdown
    } else {
        CloseReason::Service
    };
    let (core, token, flushed) = (&mut *cx.core, cx.token, CloseMode::Flushed.flags());
    match result {
        Ok(()) | Err(Error::Closed) => core.ask_close(token, flushed, reason),
        Err(Error::Codec(error)) if head.has(Head::BROKEN) => core.ask_close_for(token, flushed, reason, error),
        Err(error) => core.ask_close_for(token, flushed, FAILED, error.into()),
    }
}

impl<C, M, F> Sequential<Self> for Dialogue<C, M, F>
where
    C: Codec,
    M: Fn(Connection<C>) -> F + 'static,
    F: Future<Output = Result> + 'static,
{
    fn poll(&mut self, task: &mut Task<F>, cx: Context<'_, Self>, mut input: Option<&mut Input<'_>>) {
        let Context { core, codec, state, token } = cx;
        let Some(generation) = core.slab.generation(token) else { return };
        let may_run = core.slab.get(token).is_some_and(|connection| {
            connection.state() == State::Open && !connection.flags.has(Flags::CLOSE.or(Flags::CLOSE_FLUSHED))
        });
        if !may_run || task.is_done() {
            return;
        }
        let (number, (head, future)) = (self.number(token), task.split());
        head.wake_others(number);
        let waker = raw::waker(number);
        let mut scope = Scope {
            core: &mut *core,
            place: Place { token, generation },
            codec: Erased::new(codec, &mut *state),
            head: &mut *head,
            input: input.as_mut().map(|input| input.lend()),
            number,
            budget: READY_A_POLL,
            upstreams: self.upstreams,
        };
        let mut task_cx = TaskContext::from_waker(&waker);
        let polled = raw::poll_session(future, &mut scope, &mut task_cx, poll_spawned);
        let outcome = scope.input.map(|lent| lent.outcome());
        let mut is_looked_at = true;
        if let (Some(input), Some(outcome)) = (input, outcome) {
            is_looked_at = outcome.is_wanted;
            input.give_back(&outcome);
        }
        if let Poll::Ready(result) = polled {
            let mut cx = Context::<Self> { core, codec, state, token };
            close_after(&mut cx, head, result);
            self.end(task, cx);
            return;
        }
        if !is_looked_at {
            // It had asked for a message, and does not wait for one any more.
            head.clear(Head::NEXT);
        }
        let Some(connection) = core.slab.get_mut(token) else { return };
        let holds = !head.has(Head::NEXT | Head::END);
        if holds {
            core.halt = true;
        }
        if holds != connection.flags.has(Flags::HELD) {
            if holds {
                // What the peer ended its stream with is looked at again when the session wants it.
                connection.flags.clear(Flags::HALF_CLOSED);
                connection.flags.set(Flags::HELD);
            } else {
                if connection.has_more_to_decode() {
                    // What waited comes only now.
                    connection.end_pause(Flags::HELD, core.now);
                }
                connection.flags.clear(Flags::HELD);
                core.mark(token);
            }
        }
    }

    fn end(&mut self, task: &mut Task<F>, cx: Context<'_, Self>) {
        let Context { core, codec, state, token } = cx;
        let generation = core.slab.generation(token).unwrap_or(0);
        // What its destructors do for the session has no meaning any more.
        let mut head = Head::default();
        let mut scope = Scope {
            core,
            place: Place { token, generation },
            codec: Erased::new(codec, state),
            head: &mut head,
            input: None,
            number: self.number(token),
            budget: 0,
            upstreams: None,
        };
        raw::enter(&mut scope, || {
            task.clear();
            task.head().end();
        });
    }

    fn take_woken(&mut self, cx: &Context<'_, Self>, woken: &mut Vec<Token>) {
        if let Some(seat) = &self.seat {
            seat.take_woken(cx.core.slab.end(), woken);
        }
    }
}

impl<C, M, F> Service for Dialogue<C, M, F>
where
    C: Codec,
    M: Fn(Connection<C>) -> F + 'static,
    F: Future<Output = Result> + 'static,
{
    type Codec = C;
    type Session = Task<F>;

    fn sequential(&mut self) -> Option<&mut dyn Sequential<Self>> {
        Some(self)
    }

    fn name(&self) -> &str {
        self.name
    }

    fn codec(&self) -> C {
        (self.codec)()
    }

    fn open(&mut self, cx: &mut Context<'_, Self>) -> std::result::Result<Task<F>, Refused> {
        let (core, token) = (&*cx.core, cx.token);
        let Some(seat) = &mut self.seat else {
            tracing::error!("a session is refused: the process has as many services of sessions as it can");
            return Err(Refused);
        };
        seat.connect(|| {
            let service = core.slab.get(token)?.service;
            let gate = core.shared.gates().get(usize::from(core.reactor))?;
            Some((gate.sender.clone(), usize::from(service)))
        });
        let generation = core.slab.generation(token).unwrap_or(0);
        let future = (self.make)(Connection::new(Place { token, generation }));
        Ok(Task::new(future))
    }

    /// Sessions take their messages by themselves.
    fn message(&mut self, _: &mut Task<F>, _: Message<'_, Self>, _: &mut Context<'_, Self>) {}

    fn half_closed(&mut self, task: &mut Task<F>, cx: &mut Context<'_, Self>) -> HalfClose {
        if !task.head().has(Head::END) {
            let mut nothing = Input::new(&mut [], usize::MAX, true);
            self.poll(task, cx.reborrow(), Some(&mut nothing));
        }
        if task.is_done() { HalfClose::Close } else { HalfClose::KeepOpen }
    }

    fn writable(&mut self, task: &mut Task<F>, cx: &mut Context<'_, Self>) {
        if task.head().has(Head::ROOM) {
            task.head().clear(Head::ROOM);
            self.poll_again(task, cx);
        }
    }

    fn timer(&mut self, task: &mut Task<F>, cx: &mut Context<'_, Self>) {
        // What was due by the moment of the timer, and not by now: what the peer sent in time goes first.
        let has_fired = task.head().fire_timers(armed(cx.core, cx.token));
        arm(cx.core, cx.token, task.head());
        if has_fired {
            self.poll_again(task, cx);
        }
    }

    fn heartbeat(&mut self, task: &mut Task<F>, cx: &mut Context<'_, Self>) -> Heartbeat {
        match task.head().heartbeat() {
            Some(encoded) => {
                cx.write(encoded);
                Heartbeat::Sent
            }
            None => Heartbeat::None,
        }
    }

    fn shutdown(&mut self, task: &mut Task<F>, cx: &mut Context<'_, Self>) -> Shutdown {
        task.head().set(Head::DRAIN);
        self.poll_again(task, cx);
        if task.is_done() { Shutdown::Close } else { Shutdown::GoOn }
    }
}
