//! Runs streams: calls a response's source, and does what the source asked for.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::mem;
use std::time::Duration;

use gannet::proto::http::{Answer, Persistence};
use gannet::{Context, Handle, SendStatus};

use super::{HttpService, Mode, Session};
use crate::stream::{Beginning, Ended, Fate, Length, Pulse, Source, State, Stream, Streaming};
use crate::wire::Protocol;

impl HttpService {
    /// Sends the head of the response that was drafted, and begins with its body.
    pub(crate) fn begin_stream(
        &mut self,
        beginning: Beginning,
        answer: Answer,
        session: &mut Session,
        cx: &mut Context<'_, Self>,
    ) {
        let Beginning { mut source, length, pulse } = beginning;
        if self.draft.fault.is_some() {
            source.ended(Ended::Cut);
            return self.send(answer, cx);
        }
        let now = cx.now();
        self.out.clear();
        let head = self.draft.head(&mut self.out, answer, self.date.at(now), self.keeps && !cx.is_draining(), true);
        let (body, left) = match length {
            Length::Open => (head.chunked(), None),
            Length::Sized(length) => (head.sized(length), Some(length)),
        };
        let status = cx.answer(&self.out);
        if left.is_some() {
            // It ends by itself, and who has ended their side may wait for it.
            cx.pause();
        } else {
            hold(cx.codec_state());
        }
        let state = State {
            fate: if body.is_none() { Fate::Ended } else { Fate::Going },
            left: left.filter(|_| !body.is_none()),
            body,
            // No other request of this connection has it, also where this one began with another.
            serial: self.serial,
            jobs: 0,
            full: status != SendStatus::Queued,
            lost: status == SendStatus::Closed,
            again: None,
            until: self.draft.deadline.map(|deadline| now.saturating_add(deadline)),
            pulse: pulse.map(|(every, piece)| Pulse { every, piece, due: now.saturating_add(every) }),
            groups: Vec::new(),
            half_closed: false,
        };
        session.mode = Mode::Stream(Box::new(Streaming { source, state }));
        self.with_stream(session, cx, pull);
    }

    /// There is room in the outbox again.
    pub(crate) fn stream_writable(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        self.with_stream(session, cx, |source, out| {
            out.state.full = false;
            pull(source, out);
        });
    }

    /// Something is due.
    pub(crate) fn stream_timer(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        self.with_stream(session, cx, |source, out| {
            let now = out.now();
            if out.state.until.is_some_and(|until| until <= now) {
                return out.abort();
            }
            if out.state.again.is_some_and(|again| again <= now) {
                out.state.again = None;
                pull(source, out);
            }
            if let Some(pulse) = &mut out.state.pulse
                && pulse.due <= now
            {
                pulse.due = now.saturating_add(pulse.every);
                let piece = pulse.piece;
                // What waits to be sent is a sign of life too.
                if out.outbox_len() == 0 {
                    out.send(piece);
                }
            }
        });
    }

    /// The client has ended its side: it waits for the rest, or has gone. A sign of life finds out at once.
    pub(crate) fn stream_half_closed(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        self.with_stream(session, cx, |_, out| {
            let told = mem::replace(&mut out.state.half_closed, true);
            if let Some(pulse) = out.state.pulse.as_ref().filter(|_| !told) {
                let piece = pulse.piece;
                out.send(piece);
            }
        });
    }

    /// The server shuts down.
    pub(crate) fn stream_shutdown(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        self.with_stream(session, cx, |source, out| {
            source.shutdown(out);
            // Who listens to events connects again by itself, to a server that stays.
            if out.state.pulse.is_some() {
                out.send(&retry_hint(out.handle(), out.now()));
                out.end();
            }
        });
    }

    /// An operator wants the connection closed.
    pub(crate) fn stream_kick(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        self.with_stream(session, cx, |source, out| {
            source.kick(out);
            match out.state.fate {
                Fate::Going if out.state.pulse.is_some() => out.end(),
                Fate::Going => out.abort(),
                Fate::Ended | Fate::Aborted => {}
            }
        });
    }

    /// Calls the source, and does what follows from what it wants.
    pub(crate) fn with_stream(
        &mut self,
        session: &mut Session,
        cx: &mut Context<'_, Self>,
        call: impl FnOnce(&mut dyn Source, &mut Stream<'_, '_>),
    ) {
        let mut streaming = match mem::take(&mut session.mode) {
            Mode::Stream(streaming) => streaming,
            other => return session.mode = other,
        };
        let Streaming { source, state } = &mut *streaming;
        let Self { out, date, .. } = self;
        call(&mut **source, &mut Stream { cx, state, date, scratch: out });
        if state.left == Some(0) && state.fate == Fate::Going {
            state.fate = Fate::Ended;
        }
        match state.fate {
            Fate::Going => {
                let due = [state.again, state.until, state.pulse.as_ref().map(|pulse| pulse.due)];
                match due.into_iter().flatten().min() {
                    Some(due) => cx.set_timer(due.saturating_sub(cx.now())),
                    None => cx.cancel_timer(),
                }
                session.mode = Mode::Stream(streaming);
            }
            Fate::Ended if state.left.is_none_or(|left| left == 0) => self.end_stream(*streaming, cx),
            Fate::Ended | Fate::Aborted => {
                if let Some(left) = state.left.filter(|_| state.fate == Fate::Ended) {
                    tracing::error!(left, "a source ended before it sent what was said; its connection is broken");
                }
                cx.reset();
                source.ended(Ended::Cut);
            }
        }
    }

    /// Ends the body, and goes on with the connection.
    fn end_stream(&mut self, streaming: Streaming, cx: &mut Context<'_, Self>) {
        let Streaming { mut source, state } = streaming;
        for group in state.groups {
            cx.leave(group);
        }
        self.out.clear();
        let mut persistence = state.body.finish(&mut self.out);
        let unsent = !self.out.is_empty() && cx.answer(&self.out) == SendStatus::Closed;
        if cx.is_draining() {
            persistence = Persistence::Close;
        }
        release(cx.codec_state());
        cx.resume();
        cx.decode_again();
        self.go_on(persistence, cx);
        source.ended(if state.lost || unsent { Ended::Gone } else { Ended::Whole });
    }
}

/// Has a client of events connect again in 1 to 5 seconds: each at a time of its own, so that they do not come together.
fn retry_hint(handle: Handle, now: Duration) -> Vec<u8> {
    let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((handle, now));
    let wait_ms = 1_000 + hash % 4_000;
    format!("retry: {wait_ms}\n\n").into_bytes()
}

fn pull(source: &mut dyn Source, out: &mut Stream<'_, '_>) {
    if out.state.has_room() {
        source.pull(out);
    }
}

/// Has the next request wait.
fn hold(protocol: &mut Protocol) {
    if let Protocol::Http(state) = protocol {
        *protocol = Protocol::Held(mem::take(state));
    }
}

/// Lets the next request come.
fn release(protocol: &mut Protocol) {
    if let Protocol::Held(state) = protocol {
        *protocol = Protocol::Http(mem::take(state));
    }
}
