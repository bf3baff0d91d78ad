//! A simulated client: a session on a reactor, not a thread, and without a buffer while it waits.

mod exchange;
mod session;

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gannet::proto::{DecodeError, http};
use gannet::{CloseReason, Context, Drain, Message, Service, Timeouts};

pub use self::session::Session;
use self::session::Stage;
use crate::plan::{Mode, Phase, Plan};
use crate::record::Record;
use crate::scenario::{Aside, Expected, Scenario, Wrong};
use crate::tls::Handshake;

/// A message that says it was sent longer ago, or so far in the future, says something else: an hour, in ns.
const LONGEST_WAY_NS: u64 = 3_600_000_000_000;

/// The most characters that are kept of what a failure says.
const LONGEST_WORDS: usize = 300;

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
        Self { plan, record, zero_unix_ns: u64::MAX }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Scenario> Client<S> {
    /// Counts a client as up, and lets it do what it is there for.
    fn begin(&self, session: &mut Session<S>, cx: &mut Context<'_, Self>) {
        let now_ns = cx.now().as_nanos() as u64;
        session.stage = Stage::Up;
        let mut record = self.record();
        record.counts.opened += 1;
        record.counts.up += 1;
        match self.plan.mode {
            Mode::Closed { depth } => self.request(session, depth, now_ns, &mut record, cx),
            Mode::Churn => self.request(session, 1, now_ns, &mut record, cx),
            Mode::Listen => {}
            Mode::Open { interval_ns } => {
                // Each connection has a phase of its own: the golden ratio spreads any number of them evenly.
                let phase = (f64::from(session.number) * 0.618_033_988_749_894_9).fract();
                session.due_ns = now_ns + 1 + (phase * interval_ns as f64) as u64;
                cx.set_timer(Duration::from_nanos(session.due_ns - now_ns));
            }
        }
    }

    /// Goes on where the last connection ended: what has no answer yet is asked again.
    fn go_on(&self, session: &mut Session<S>, cx: &mut Context<'_, Self>) {
        session.stage = Stage::Up;
        self.record().counts.reopened += 1;
        let first = session.answered;
        for number in first..first + u64::from(session.outstanding) {
            self.plan.scenario.ask(&self.plan.letters, session.number, number, cx);
        }
        match self.plan.mode {
            Mode::Closed { depth } if self.plan.phase() < Phase::Finish => {
                let wanted = depth.saturating_sub(u32::from(session.outstanding));
                self.request(session, wanted, cx.now().as_nanos() as u64, &mut self.record(), cx);
            }
            Mode::Open { interval_ns } => self.keep_schedule(session, interval_ns, cx),
            Mode::Closed { .. } | Mode::Listen | Mode::Churn => {}
        }
    }

    /// Goes on once it is connected, and upgraded where that is needed.
    fn log_in(&self, session: &mut Session<S>, cx: &mut Context<'_, Self>) {
        let Some(login) = &self.plan.login else { return self.begin(session, cx) };
        session.stage = Stage::LoggingIn;
        self.plan.scenario.request(&login.of(session.number), cx);
        cx.set_timer(self.plan.patience);
    }

    /// Takes what came before the upgrade was done.
    fn upgrading(&self, session: &mut Session<S>, message: &Message<'_, Self>, cx: &mut Context<'_, Self>) {
        match self.plan.scenario.upgraded(session.number, message) {
            Ok(false) => {}
            Ok(true) => {
                cx.cancel_timer();
                let took_ns = (self.plan.elapsed().as_nanos() as u64).saturating_sub(session.began_ns);
                self.record().times.upgrade_ns.saturating_record(took_ns);
                self.log_in(session, cx);
            }
            Err(reason) => self.fail(session, &reason, cx),
        }
    }

    /// Counts a client as failed that was never up, and ends it.
    fn fail(&self, session: &mut Session<S>, reason: &str, cx: &mut Context<'_, Self>) {
        session.stage = Stage::Counted;
        if self.plan.phase() < Phase::Finish {
            self.record().counts.failed.count(reason);
        }
        cx.reset();
    }

    /// Counts a message that the server sent to everybody.
    fn received(&self, sent_unix_ns: Option<u64>, cx: &Context<'_, Self>) {
        let now_unix_ns = self.zero_unix_ns.saturating_add(cx.now().as_nanos() as u64);
        let took_ns = sent_unix_ns.filter(|sent| now_unix_ns.abs_diff(*sent) < LONGEST_WAY_NS);
        let took_ns = took_ns.map(|sent| now_unix_ns.saturating_sub(sent));
        let mut record = self.record();
        record.counts.answered_ever += 1;
        took_ns.into_iter().for_each(|took_ns| record.interval_ns.saturating_record(took_ns));
        if self.plan.phase() == Phase::Measure {
            record.counts.answered += 1;
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

    /// Counts what a client that is gone leaves behind.
    fn left_behind(&self, session: &Session<S>, record: &mut Record) {
        record.counts.up -= 1;
        let counted = session.counted();
        record.counts.waiting -= counted;
        if counted > 0 {
            record.counts.errors.add("lost_with_connection", counted);
        }
    }

    /// Opens the next connection of a client.
    fn dial(&self, session: Session<S>, cx: &mut Context<'_, Self>) {
        if let Some(outbound) = self.plan.outbound.get() {
            let connect = self.plan.connect(session.number);
            // The address was good for the first connect.
            let _ = cx.connect(*outbound, &connect, session);
        }
    }
}

impl<S: Scenario> Service for Client<S> {
    type Codec = S::Codec;
    type Session = Session<S>;

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
        let now_ns = self.plan.elapsed().as_nanos() as u64;
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
            return self.go_on(session, cx);
        }
        let zero_unix_ns = self.plan.unix_ns().saturating_sub(cx.now().as_nanos() as u64);
        self.zero_unix_ns = self.zero_unix_ns.min(zero_unix_ns);
        if !self.plan.scenario.upgrade(session.number, cx) {
            return self.log_in(session, cx);
        }
        session.stage = Stage::Upgrading;
        session.began_ns = now_ns;
        cx.set_timer(self.plan.patience);
    }

    fn connect_failed(&mut self, session: Session<S>, error: &io::Error, _: &mut Context<'_, Self>) {
        let phase = self.plan.phase();
        let mut record = self.record();
        if session.stage == Stage::Redialing && phase < Phase::Over {
            self.left_behind(&session, &mut record);
        } else if phase >= Phase::Finish {
            return;
        }
        let reason = kind_name(error.kind());
        record.counts.failed.count(reason);
        if matches!(reason, "tls" | "other") && record.counts.first_failure.is_none() {
            record.counts.first_failure = Some(words(error));
        }
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
        if let Some(status) = self.plan.scenario.status(&mut session.progress, &message) {
            self.record().counts.status(status, session.oldest_counts());
        }
        if let Some(kind) = self.plan.scenario.refusal(&message) {
            return self.refused(session, kind, cx);
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
                record.counts.errors.count("wrong_bytes");
                cx.reset();
            }
            Ok(answers) => {
                // No more than were outstanding.
                let answers = answers as u32;
                self.answered(session, answers, cx.now().as_nanos() as u64, &mut record);
                self.next(session, answers, &mut record, cx);
            }
        }
    }

    fn malformed(&mut self, session: &mut Session<S>, error: &DecodeError, cx: &mut Context<'_, Self>) {
        if session.stage == Stage::Upgrading {
            return self.fail(session, "upgrade_wrong", cx);
        }
        if session.stage != Stage::Up {
            return;
        }
        let kind = match error {
            DecodeError::TooLarge { .. } | DecodeError::Http(http::Error::BodyTooLarge { .. }) => "too_large",
            _ => "wrong_bytes",
        };
        self.record().counts.errors.count(kind);
    }

    fn timer(&mut self, session: &mut Session<S>, cx: &mut Context<'_, Self>) {
        match session.stage {
            Stage::Upgrading => return self.fail(session, "upgrade_timed_out", cx),
            Stage::LoggingIn => return cx.reset(),
            _ => {}
        }
        if let Mode::Open { interval_ns } = self.plan.mode {
            self.keep_schedule(session, interval_ns, cx);
        }
    }

    fn drain(&mut self, _: &mut Session<S>, _: &mut Context<'_, Self>) -> Drain {
        Drain::Reset
    }

    fn close(&mut self, session: Session<S>, reason: CloseReason, cx: &mut Context<'_, Self>) {
        let phase = self.plan.phase();
        if phase == Phase::Over {
            return;
        }
        let may_end =
            reason == CloseReason::Peer && session.outstanding == 0 && self.plan.scenario.may_end(&session.progress);
        match session.stage {
            Stage::Counted => return,
            Stage::Upgrading | Stage::LoggingIn => {
                // It was never up.
                if phase < Phase::Finish {
                    let reason = if session.stage == Stage::Upgrading { "upgrade_closed" } else { "login" };
                    self.record().counts.failed.count(reason);
                }
                return;
            }
            Stage::Spent => return self.dial(session.again(self.plan.elapsed()), cx),
            Stage::Up if may_end => return self.dial(session.again(self.plan.elapsed()), cx),
            _ => {}
        }
        let mut record = self.record();
        self.left_behind(&session, &mut record);
        if reason != CloseReason::Service {
            // The engine knows filters, and here they are TLS.
            record.counts.lost.count(if reason == CloseReason::Filter { "tls" } else { reason.name() });
        }
        drop(record);
        if self.plan.mode == Mode::Churn && phase < Phase::Finish {
            self.dial(Session::new(session.number, self.plan.elapsed()), cx);
        }
    }
}

/// What a failure says, of which the server may have chosen a part: the names in its certificate, for example.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let visible = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    visible.take(LONGEST_WORDS).collect()
}

/// The name of a failure in reports.
fn kind_name(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::ConnectionRefused => "refused",
        io::ErrorKind::ConnectionReset => "reset",
        io::ErrorKind::TimedOut => "timed_out",
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => "no_port",
        // Only a handshake fails so: what came is not right, or it ended before it was done.
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => "tls",
        io::ErrorKind::NotFound => "not_found",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "unreachable",
        _ => "other",
    }
}
