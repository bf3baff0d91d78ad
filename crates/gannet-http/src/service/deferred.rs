//! Waits for responses that come later, and sends them.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use gannet::proto::http::Answer;
use gannet::{Context, Notice, panic_message};

use super::{HttpService, Mode, Session};
use crate::draft::{Draft, FAILED};
use crate::next::Start;
use crate::response::Reply;

/// The default deadline of a deferred response: 30 s. [`Cx::deadline`](crate::Cx::deadline) sets another one.
pub const DEFERRED_TIMEOUT: Duration = Duration::from_secs(30);

/// A response on its way to its reactor.
pub(crate) struct Completion {
    pub(crate) serial: u64,
    pub(crate) run: Box<dyn FnOnce(&mut Reply<'_>) + Send>,
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
