//! A simulated client: a session on a reactor, not a thread, and without a buffer while it waits.

mod ending;
mod exchange;
mod session;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gannet::proto::{Codec, FrameError, http};
use gannet::{CloseReason, Context, Message, Service, Shutdown, Timeouts};

pub(crate) use self::ending::count_unconnected;
use self::exchange::Wanted;
pub use self::session::Session;
use self::session::Stage;
use crate::plan::{Mode, Phase, Plan};
use crate::record::Record;
use crate::scenario::{Aside, Expected, Scenario, Wrong};
use crate::tls::Handshake;

/// A message that says it was sent longer ago, or so far in the future, says something else: an hour, in ns.
const LONGEST_WAY_NS: u64 = 3_600_000_000_000;

/// The clients of one reactor.
pub struct Client<S: Scenario> {
    plan: Arc<Plan<S>>,
    record: Arc<Mutex<Record>>,
    /// When this reactor's clock was 0, ns since 1970 (UTC): the earliest that was found, as the time that the reactor
    /// says is always a little ago.
    zero_unix_ns: u64,
}

impl<S: Scenario> Client<S> {
    /// Clients that follow a plan and write into a record.
    pub fn new(plan: Arc<Plan<S>>, record: Arc<Mutex<Record>>) -> Self {
        keep_time();
        Self { plan, record, zero_unix_ns: u64::MAX }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Scenario> Client<S> {
    /// Counts a client as up, and lets it do what it is there for.
    fn begin(&self, session: &mut Session<S>, cx: &mut Context<'_, Self>) {
        session.stage = Stage::Up;
        let mut record = self.record();
        let is_first = session.attempts == 0;
        settle(session, &mut record);
        session.attempts = 1;
        record.counts.up += 1;
        if is_first || self.plan.course.mode == Mode::Churn {
            record.counts.opened += 1;
        } else {
            record.counts.reopened += 1;
            drop(record);
            return self.go_on(session, cx);
        }
        match self.plan.course.mode {
            // Nobody would wait for the answers. The phase is read while the record is held, so that who sees no request
            // in it afterwards sees none to come.
            Mode::Closed { .. } if self.plan.course.phase() >= Phase::Finish => {}
            Mode::Churn if self.plan.course.phase() >= Phase::Finish => cx.close(),
            Mode::Closed { depth } => self.request(session, Wanted::now(depth, cx), &mut record, cx),
            Mode::Churn => self.request(session, Wanted::now(1, cx), &mut record, cx),
            Mode::Listen => {}
            Mode::Open { interval_ns } => {
                let now_ns = cx.now().as_nanos() as u64;
                // Each connection has a phase of its own: the golden ratio spreads any number of them evenly.
                let phase = (f64::from(session.number) * 0.618_033_988_749_894_9).fract();
                session.due_ns = now_ns + 1 + (phase * interval_ns as f64) as u64;
                cx.set_precise_timer(Duration::from_nanos(session.due_ns - now_ns));
            }
        }
    }

    /// Goes on where the last connection ended: what has no answer yet is asked again.
    fn go_on(&self, session: &mut Session<S>, cx: &mut Context<'_, Self>) {
        let first = session.answered;
        for number in first..first + u64::from(session.outstanding) {
            self.plan.scenario.ask(&self.plan.letters, session.number, number, cx);
        }
        match self.plan.course.mode {
            Mode::Closed { depth } if self.plan.course.phase() < Phase::Finish => {
                let wanted = depth.saturating_sub(u32::from(session.outstanding));
                self.request(session, Wanted::now(wanted, cx), &mut self.record(), cx);
            }
            Mode::Open { interval_ns } => self.keep_schedule(session, interval_ns, true, cx),
            Mode::Closed { .. } | Mode::Listen | Mode::Churn => {}
        }
    }

    /// Goes on once it is connected, and upgraded where that is needed.
    fn log_in(&self, session: &mut Session<S>, cx: &mut Context<'_, Self>) {
        let Some(login) = &self.plan.login else { return self.begin(session, cx) };
        session.stage = Stage::LoggingIn;
        self.plan.scenario.request(&login.of(session.number), cx);
        cx.set_timer(self.plan.course.patience);
    }

    /// Takes what came before the upgrade was done.
    fn upgrading(&self, session: &mut Session<S>, message: &Message<'_, Self>, cx: &mut Context<'_, Self>) {
        match self.plan.scenario.upgraded(session.number, message) {
            Ok(false) => {}
            Ok(true) => {
                cx.cancel_timer();
                let took_ns = (self.plan.course.elapsed().as_nanos() as u64).saturating_sub(session.began_ns);
                self.record().times.upgrade_ns.saturating_record(took_ns);
                self.log_in(session, cx);
            }
            Err(reason) => self.fail(session, &reason, cx),
        }
    }

    /// Counts a client as failed that was never up, and ends it.
    fn fail(&self, session: &mut Session<S>, reason: &str, cx: &mut Context<'_, Self>) {
        session.stage = Stage::Counted;
        self.count_failed(session, reason);
        cx.reset();
    }

    /// Counts a connect, or what follows it, as failed.
    fn count_failed(&self, session: &mut Session<S>, reason: &str) {
        let mut record = self.record();
        settle(session, &mut record);
        session.attempts = 1;
        if self.plan.course.phase() < Phase::Finish {
            record.counts.failed.count(reason);
        }
    }

    /// Counts a message that the server sent to everybody.
    fn received(&self, sent_unix_ns: Option<u64>, cx: &Context<'_, Self>) {
        let now_unix_ns = self.zero_unix_ns.saturating_add(cx.now().as_nanos() as u64);
        let took_ns = sent_unix_ns.filter(|sent| now_unix_ns.abs_diff(*sent) < LONGEST_WAY_NS);
        let took_ns = took_ns.map(|sent| now_unix_ns.saturating_sub(sent));
        let mut record = self.record();
        record.counts.answered_ever += 1;
        took_ns.into_iter().for_each(|took_ns| record.interval_ns.saturating_record(took_ns));
        if self.plan.course.phase() == Phase::Measure {
            record.counts.answered += 1;
            record.counts.in_time += 1;
            took_ns.into_iter().for_each(|took_ns| record.times.service_ns.saturating_record(took_ns));
        }
    }

    /// Counts what a client that is up leaves behind when the server says good-bye, and ends it.
    fn closed(&self, session: &mut Session<S>, code: Option<u16>, cx: &mut Context<'_, Self>) {
        if session.stage == Stage::Up {
            let mut record = self.record();
            self.left_behind(session, &mut record);
            match code {
                Some(code) => record.counts.lost.count(&format!("closed_{code}")),
                None => record.counts.lost.count("closed"),
            }
            session.stage = Stage::Counted;
        }
        cx.close_flushed();
    }

    /// Takes what came before the login was answered. What is wrong ends the connection, and its close counts it.
    fn logging_in(&self, session: &mut Session<S>, message: Message<'_, Self>, cx: &mut Context<'_, Self>) {
        let login = self.plan.login.as_ref().map_or_else(Vec::new, |login| login.of(session.number));
        match self.plan.scenario.login_answer(&mut session.progress, message, &login) {
            Ok(false) => {}
            Ok(true) => {
                cx.cancel_timer();
                session.progress = S::Progress::default();
                self.begin(session, cx);
            }
            Err(Wrong) => cx.reset(),
        }
    }
}

/// Has the kernel wake this thread when its time has come, and not up to 50 µs later, which is what it takes for a
/// schedule's timers by default so that it can wake several threads at once. Where it does not, the report says how late
/// requests were.
pub(crate) fn keep_time() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

/// Counts a client whose connect came to something, whatever that was.
fn settle<S: Scenario>(session: &Session<S>, record: &mut Record) {
    record.counts.settled += u64::from(session.attempts == 0);
    record.counts.returning -= u64::from(session.is_returning());
}

impl<S: Scenario> Service for Client<S> {
    type Codec = S::Codec;
    type Session = Session<S>;

    /// Answers are read however many requests wait to be sent: a server that waits for its answers to be read takes no
    /// requests meanwhile, and both would wait for ever.
    const AUTO_PAUSE: bool = false;

    fn name(&self) -> &str {
        "load"
    }

    fn codec(&self) -> S::Codec {
        self.plan.scenario.codec()
    }

    fn timeouts(&self, defaults: Timeouts) -> Timeouts {
        let mut timeouts = defaults;
        // A server that stops to read or to answer is what a run may be about.
        (timeouts.heartbeat, timeouts.slow_write) = (None, None);
        timeouts
    }

    fn connected(&mut self, session: &mut Session<S>, cx: &mut Context<'_, Self>) {
        let now_ns = self.plan.course.elapsed().as_nanos() as u64;
        let mut record = self.record();
        let mut connected_ns = now_ns;
        if let Some(handshake) = cx.filter_info::<Handshake>() {
            connected_ns = handshake.began_ns();
            record.times.handshake_ns.saturating_record(now_ns.saturating_sub(connected_ns));
            record.counts.resumed += u64::from(handshake.is_resumed());
        }
        record.times.connect_ns.saturating_record(connected_ns.saturating_sub(session.began_ns));
        drop(record);
        if session.stage == Stage::Redialing {
            session.stage = Stage::Up;
            self.record().counts.reopened += 1;
            return self.go_on(session, cx);
        }
        let zero_unix_ns = self.plan.course.unix_ns().saturating_sub(cx.now().as_nanos() as u64);
        self.zero_unix_ns = self.zero_unix_ns.min(zero_unix_ns);
        if !self.plan.scenario.upgrade(session.number, cx) {
            return self.log_in(session, cx);
        }
        session.stage = Stage::Upgrading;
        session.began_ns = now_ns;
        cx.set_timer(self.plan.course.patience);
    }

    fn connect_failed(&mut self, session: Session<S>, error: &io::Error, _: &mut Context<'_, Self>) {
        self.unconnected(session, error);
    }

    fn message(&mut self, session: &mut Session<S>, message: Message<'_, Self>, cx: &mut Context<'_, Self>) {
        if session.stage == Stage::Upgrading {
            return self.upgrading(session, &message, cx);
        }
        match self.plan.scenario.aside(&message, session.number, cx) {
            Some(Aside::Handled) => return,
            Some(Aside::Closed { code }) => return self.closed(session, code, cx),
            Some(Aside::Unasked | Aside::Received { .. }) if session.stage == Stage::LoggingIn => {}
            Some(Aside::Unasked) => return,
            Some(Aside::Received { sent_unix_ns }) => return self.received(sent_unix_ns, cx),
            None => {}
        }
        if session.stage == Stage::LoggingIn {
            return self.logging_in(session, message, cx);
        }
        // Asked once, so that all that is counted of this message belongs to the same time.
        let phase = self.plan.course.phase();
        if let Some(status) = self.plan.scenario.status(&mut session.progress, &message) {
            let counts = session.oldest_counts() || phase >= Phase::Measure;
            self.record().counts.status(status, counts);
        }
        let now_ns = cx.now().as_nanos() as u64;
        // What comes while its request still waits to be sent is no answer. Where answers differ, their bytes say so too.
        if self.plan.scenario.answers_alike() && session.has_asked_only_now(now_ns) && cx.outbox_len() > 0 {
            self.spoil(session, "wrong_bytes", &mut self.record());
            return cx.reset();
        }
        if let Some(kind) = self.plan.scenario.refusal(&message) {
            return self.refused(session, kind, phase, cx);
        }
        let expected = Expected {
            letters: &self.plan.letters,
            connection: session.number,
            next: session.answered,
            outstanding: u64::from(session.outstanding),
            size: self.plan.size,
        };
        let mut record = self.record();
        match self.plan.scenario.answer(&mut session.progress, message, expected) {
            Err(Wrong) => {
                self.spoil(session, "wrong_bytes", &mut record);
                cx.reset();
            }
            Ok(answers) => {
                // No more than were outstanding.
                let answers = answers as u32;
                self.answered(session, answers, (phase, now_ns), &mut record);
                self.next(session, answers, &mut record, cx);
            }
        }
    }

    fn malformed(&mut self, session: &mut Session<S>, error: &<S::Codec as Codec>::Error, cx: &mut Context<'_, Self>) {
        if session.stage == Stage::Upgrading {
            return self.fail(session, "upgrade_wrong", cx);
        }
        if session.stage != Stage::Up {
            return;
        }
        let is_too_large = matches!(FrameError::find(error), Some(FrameError::TooLarge { .. }));
        let error: &(dyn std::error::Error + 'static) = error;
        let body = error.downcast_ref().or_else(|| error.source()?.downcast_ref());
        let kind = match body {
            Some(http::Error::BodyTooLarge { .. }) => "too_large",
            _ if is_too_large => "too_large",
            _ => "wrong_bytes",
        };
        let reason = if is_too_large { CloseReason::FrameTooLarge } else { CloseReason::Protocol };
        let mut record = self.record();
        self.spoil(session, kind, &mut record);
        // The connection may take its time to end: nobody listens any more.
        self.left_behind(session, &mut record);
        record.counts.lost.count(reason.name());
        session.stage = Stage::Counted;
    }

    fn timer(&mut self, session: &mut Session<S>, cx: &mut Context<'_, Self>) {
        match session.stage {
            Stage::Upgrading => return self.fail(session, "upgrade_timed_out", cx),
            Stage::LoggingIn => return cx.reset(),
            _ => {}
        }
        if let Mode::Open { interval_ns } = self.plan.course.mode {
            self.keep_schedule(session, interval_ns, false, cx);
        }
    }

    fn shutdown(&mut self, session: &mut Session<S>, cx: &mut Context<'_, Self>) -> Shutdown {
        if session.stage == Stage::Up {
            self.count_never_sent(session, cx.now().as_nanos() as u64, &mut self.record());
        }
        Shutdown::Reset
    }

    fn close(&mut self, session: Session<S>, reason: CloseReason, cx: &mut Context<'_, Self>) {
        self.ended(session, reason, cx);
    }
}
