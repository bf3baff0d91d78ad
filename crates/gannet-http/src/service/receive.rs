//! Runs receivers of bodies: calls them with each piece, and does what they asked for.

use std::mem;

use gannet::Context;
use gannet::proto::http::{Answer, CONTINUE, Request};

use super::{DEFERRED_TIMEOUT, HttpService, Mode, Pending, Session};
use crate::receive::{Intake, Progress, Receive, Receiving, Reception, State};
use crate::wire::Protocol;

/// Calls the receiver with a piece, unless it is too much.
fn take(receiver: &mut dyn Receive, bytes: &[u8], body: &mut Receiving<'_, '_>) {
    body.state.received += bytes.len() as u64;
    if body.state.received > body.state.limit {
        body.state.refuse_for_size();
    } else if !bytes.is_empty() {
        receiver.piece(bytes, body);
    }
}

impl HttpService {
    /// Begins with a body of which nothing has come but its head.
    pub(crate) fn begin_reception(
        &mut self,
        reception: Reception,
        request: &Request<'_>,
        session: &mut Session,
        cx: &mut Context<'_, Self>,
    ) {
        if let Protocol::Http(state) = cx.codec_state() {
            state.stream_body();
        }
        let is_too_large = request.body_length().is_some_and(|length| length > reception.limit);
        session.mode = Mode::Receive(self.intake(reception, request.answer(), Progress::Coming));
        if request.expects_continue() && !is_too_large {
            cx.answer(CONTINUE);
        }
        cx.set_timer(self.body_pace.1);
        self.with_reception(session, cx, |_, body| {
            if is_too_large {
                body.state.refuse_for_size();
            }
        });
    }

    /// The same where the body has come already.
    pub(crate) fn receive_whole(
        &mut self,
        reception: Reception,
        bytes: &[u8],
        answer: Answer,
        session: &mut Session,
        cx: &mut Context<'_, Self>,
    ) {
        session.mode = Mode::Receive(self.intake(reception, answer, Progress::Whole));
        self.with_reception(session, cx, |receiver, body| take(receiver, bytes, body));
    }

    fn intake(&mut self, reception: Reception, answer: Answer, progress: Progress) -> Box<Intake> {
        let Reception { receiver, limit } = reception;
        let serial = self.serial;
        let (received, seen, jobs, paused, answered) = (0, 0, 0, false, None);
        let state = State { serial, received, limit, seen, jobs, progress, paused, answer: answered };
        let pending = Box::new(Pending::new(&mut self.draft, answer, serial));
        Box::new(Intake { receiver, state, pending })
    }

    /// A piece of a body has come.
    pub(crate) fn receive_piece(
        &mut self,
        bytes: &[u8],
        last: bool,
        session: &mut Session,
        cx: &mut Context<'_, Self>,
    ) {
        self.with_reception(session, cx, |receiver, body| {
            if last {
                body.state.progress = Progress::Whole;
            }
            take(receiver, bytes, body);
        });
    }

    /// A deadline of a body is over: sees whether enough has come, or work for it took too long.
    pub(crate) fn receive_timer(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        let (pace, time) = self.body_pace;
        let Mode::Receive(intake) = &mut session.mode else { return };
        let State { received, seen, jobs, answer, .. } = &mut intake.state;
        if *jobs > 0 {
            *answer = Some(Box::new(|reply| reply.refuse(503, "no response in time\n")));
        } else if *received - *seen >= u64::from(pace) {
            *seen = *received;
            return cx.set_timer(time);
        } else {
            *answer = Some(Box::new(|reply| reply.refuse(408, "request not complete in time\n")));
        }
        self.with_reception(session, cx, |_, _| {});
    }

    /// Whether all of a body has come that is being received.
    pub(crate) fn has_received(session: &Session) -> bool {
        matches!(&session.mode, Mode::Receive(intake) if intake.state.progress != Progress::Coming)
    }

    /// Calls the receiver, and does what follows from what it wants.
    pub(crate) fn with_reception(
        &mut self,
        session: &mut Session,
        cx: &mut Context<'_, Self>,
        call: impl FnOnce(&mut dyn Receive, &mut Receiving<'_, '_>),
    ) {
        let mut intake = match mem::take(&mut session.mode) {
            Mode::Receive(intake) => intake,
            other => return session.mode = other,
        };
        let Intake { receiver, state, pending } = &mut *intake;
        call(&mut **receiver, &mut Receiving { cx, state });
        if state.progress == Progress::Whole && state.jobs == 0 && state.answer.is_none() {
            state.progress = Progress::Told;
            receiver.whole(&mut Receiving { cx, state });
        }
        let is_over = state.progress == Progress::Told && state.jobs == 0;
        if state.answer.is_some() || is_over {
            return self.end_reception(*intake, session, cx);
        }
        let works = state.jobs > 0;
        if works {
            cx.set_timer(pending.deadline().unwrap_or(DEFERRED_TIMEOUT));
        }
        if works != mem::replace(&mut state.paused, works) {
            if works {
                cx.pause();
            } else {
                state.seen = state.received;
                cx.set_timer(self.body_pace.1);
                cx.resume();
            }
        }
        session.mode = Mode::Receive(intake);
    }

    /// Sends the response.
    fn end_reception(&mut self, intake: Intake, session: &mut Session, cx: &mut Context<'_, Self>) {
        let Intake { receiver, state, mut pending } = intake;
        if state.progress == Progress::Coming {
            pending.close_behind();
        }
        if state.paused {
            cx.resume();
        }
        session.mode = Mode::Deferred(pending);
        self.complete(session, state.serial, cx, |reply| {
            if let Some(answer) = state.answer {
                answer(reply);
            }
        });
        drop(receiver);
    }
}
