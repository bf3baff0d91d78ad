//! A simulated client: a session on a reactor, not a thread, and without a buffer while it waits.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gannet::{CloseReason, Context, Drain, Message, Service, Timeouts};

use crate::plan::{Mode, Phase, Plan};
use crate::record::Record;
use crate::scenario::{Expected, Scenario, Wrong};

/// Requests without an answer on one connection, at the most; the schedule's further ones are counted as never sent.
const MOST_PENDING: usize = 1 << 16;

/// A request that waits for its answer.
struct Pending {
    intended_ns: u64,
    sent_ns: u64,
    /// Whether it belongs to the measured time.
    counts: bool,
}

/// The clients of one reactor.
pub struct Client<S: Scenario> {
    plan: Arc<Plan<S>>,
    record: Arc<Mutex<Record>>,
}

/// One client.
pub struct Session<S: Scenario> {
    number: u32,
    /// Whether its login was sent and its answer has not come.
    logs_in: bool,
    /// Requests answered: the number of the oldest one that is not.
    answered: u64,
    /// Boxed on purpose: it is there only while answers are awaited, and most clients wait for none.
    #[allow(clippy::box_collection)]
    pending: Option<Box<VecDeque<Pending>>>,
    progress: S::Progress,
    /// The next intended moment on the reactor's clock, of an open loop.
    due_ns: u64,
    /// When the connect began, on the run's clock.
    dialed_ns: u64,
}

impl<S: Scenario> Default for Session<S> {
    fn default() -> Self {
        Self::new(0, Duration::ZERO)
    }
}

impl<S: Scenario> Session<S> {
    /// The client with this number, whose connect begins now.
    pub fn new(number: u32, now: Duration) -> Self {
        Self {
            number,
            logs_in: false,
            answered: 0,
            pending: None,
            progress: S::Progress::default(),
            due_ns: 0,
            dialed_ns: now.as_nanos() as u64,
        }
    }
}

impl<S: Scenario> Client<S> {
    /// Clients that follow a plan and write into a record.
    pub fn new(plan: Arc<Plan<S>>, record: Arc<Mutex<Record>>) -> Self {
        Self { plan, record }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn request(&self, session: &mut Session<S>, intended_ns: u64, record: &mut Record, cx: &mut Context<'_, Self>) {
        let now_ns = cx.now().as_nanos() as u64;
        let pending = session.pending.get_or_insert_default();
        let counts = self.plan.phase() == Phase::Measure;
        if pending.len() >= MOST_PENDING {
            record.counts.never_sent += u64::from(counts);
            return;
        }
        let number = session.answered + pending.len() as u64;
        pending.push_back(Pending { intended_ns, sent_ns: now_ns, counts });
        if counts {
            record.counts.sent += 1;
            record.counts.waiting += 1;
            if let Mode::Open { .. } = self.plan.mode {
                record.late_ns.saturating_record(now_ns.saturating_sub(intended_ns));
            }
        }
        self.plan.scenario.ask(&self.plan.letters, session.number, number, cx);
    }

    fn answered(&self, pending: &Pending, now_ns: u64, record: &mut Record) {
        let service_ns = now_ns.saturating_sub(pending.sent_ns);
        let response_ns = now_ns.saturating_sub(pending.intended_ns);
        let is_open = matches!(self.plan.mode, Mode::Open { .. });
        record.counts.answered_ever += 1;
        record.interval_ns.saturating_record(if is_open { response_ns } else { service_ns });
        if !pending.counts {
            return;
        }
        record.counts.answered += 1;
        record.counts.waiting -= 1;
        record.service_ns.saturating_record(service_ns);
        if is_open {
            record.response_ns.saturating_record(response_ns);
        }
    }

    /// Sends what the schedule wants by now, and sets the timer for the next.
    fn keep_schedule(&self, session: &mut Session<S>, interval_ns: u64, cx: &mut Context<'_, Self>) {
        if self.plan.phase() >= Phase::Finish {
            return;
        }
        let now_ns = cx.now().as_nanos() as u64;
        let mut record = self.record();
        while session.due_ns <= now_ns {
            let due_ns = session.due_ns;
            self.request(session, due_ns, &mut record, cx);
            session.due_ns += interval_ns;
        }
        cx.set_timer(Duration::from_nanos(session.due_ns - now_ns));
    }
}

impl<S: Scenario> Client<S> {
    /// Counts a client as up, and lets it do what it is there for.
    fn begin(&self, session: &mut Session<S>, cx: &mut Context<'_, Self>) {
        let now_ns = cx.now().as_nanos() as u64;
        let mut record = self.record();
        record.counts.opened += 1;
        record.counts.up += 1;
        match self.plan.mode {
            Mode::Closed { depth } => {
                for _ in 0..depth {
                    self.request(session, now_ns, &mut record, cx);
                }
            }
            Mode::Churn => self.request(session, now_ns, &mut record, cx),
            Mode::Open { interval_ns } => {
                // Each connection has a phase of its own: the golden ratio spreads any number of them evenly.
                let phase = (f64::from(session.number) * 0.618_033_988_749_894_9).fract();
                session.due_ns = now_ns + 1 + (phase * interval_ns as f64) as u64;
                cx.set_timer(Duration::from_nanos(session.due_ns - now_ns));
            }
        }
    }

    /// Takes what came before the login was answered. What is wrong ends the connection, and its close counts it.
    fn logging_in(&self, session: &mut Session<S>, message: Message<'_, Self>, cx: &mut Context<'_, Self>) {
        let login = self.plan.login.as_ref().map_or_else(Vec::new, |login| login.of(session.number));
        match self.plan.scenario.login_answer(&mut session.progress, message, &login) {
            Ok(false) => {}
            Ok(true) => {
                cx.cancel_timer();
                (session.logs_in, session.progress) = (false, S::Progress::default());
                self.begin(session, cx);
            }
            Err(Wrong) => cx.reset(),
        }
    }
}

impl<S: Scenario> Client<S> {
    /// Counts an error in answer to the oldest request. It is no right answer, so that its time is in no histogram.
    fn refused(&self, session: &mut Session<S>, kind: &[u8], cx: &mut Context<'_, Self>) {
        let mut record = self.record();
        let Some(pending) = session.pending.as_mut().and_then(|pending| pending.pop_front()) else {
            *record.counts.errors.entry("wrong_bytes").or_default() += 1;
            return cx.reset();
        };
        session.answered += 1;
        if pending.counts {
            record.counts.waiting -= 1;
            record.counts.refused(kind);
        }
        match self.plan.mode {
            Mode::Closed { .. } if self.plan.phase() < Phase::Finish => {
                self.request(session, cx.now().as_nanos() as u64, &mut record, cx);
            }
            Mode::Churn => cx.reset(),
            _ => {}
        }
        if session.pending.as_ref().is_some_and(|pending| pending.is_empty()) {
            session.pending = None;
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
        let took_ns = (self.plan.elapsed().as_nanos() as u64).saturating_sub(session.dialed_ns);
        self.record().connect_ns.saturating_record(took_ns);
        let Some(login) = &self.plan.login else { return self.begin(session, cx) };
        session.logs_in = true;
        self.plan.scenario.request(&login.of(session.number), cx);
        cx.set_timer(self.plan.patience);
    }

    fn connect_failed(&mut self, session: Session<S>, error: &io::Error, cx: &mut Context<'_, Self>) {
        if self.plan.phase() >= Phase::Finish {
            return;
        }
        *self.record().counts.failed.entry(kind_name(error.kind())).or_default() += 1;
        drop(session);
        let _ = cx;
    }

    fn message(&mut self, session: &mut Session<S>, message: Message<'_, Self>, cx: &mut Context<'_, Self>) {
        if self.plan.scenario.is_ping(&message) {
            cx.send([b""]);
            return;
        }
        if session.logs_in {
            return self.logging_in(session, message, cx);
        }
        if let Some(kind) = self.plan.scenario.refusal(&message) {
            return self.refused(session, kind, cx);
        }
        let outstanding = session.pending.as_ref().map_or(0, |pending| pending.len()) as u64;
        let expected = Expected {
            letters: &self.plan.letters,
            connection: session.number,
            next: session.answered,
            outstanding,
            size: self.plan.size,
        };
        let mut record = self.record();
        match self.plan.scenario.answer(&mut session.progress, message, expected) {
            Err(Wrong) => {
                *record.counts.errors.entry("wrong_bytes").or_default() += 1;
                cx.reset();
            }
            Ok(answers) => {
                let now_ns = cx.now().as_nanos() as u64;
                for _ in 0..answers {
                    session.answered += 1;
                    if let Some(pending) = session.pending.as_mut().and_then(|pending| pending.pop_front()) {
                        self.answered(&pending, now_ns, &mut record);
                    }
                }
                match self.plan.mode {
                    Mode::Closed { .. } if self.plan.phase() < Phase::Finish => {
                        for _ in 0..answers {
                            self.request(session, now_ns, &mut record, cx);
                        }
                    }
                    Mode::Churn if answers > 0 => cx.reset(),
                    _ => {}
                }
                if session.pending.as_ref().is_some_and(|pending| pending.is_empty()) {
                    // While it waits for its next turn it needs none.
                    session.pending = None;
                }
            }
        }
    }

    fn timer(&mut self, session: &mut Session<S>, cx: &mut Context<'_, Self>) {
        if session.logs_in {
            return cx.reset();
        }
        if let Mode::Open { interval_ns } = self.plan.mode {
            self.keep_schedule(session, interval_ns, cx);
        }
    }

    fn drain(&mut self, _: &mut Session<S>, _: &mut Context<'_, Self>) -> Drain {
        Drain::Reset
    }

    fn close(&mut self, session: Session<S>, reason: CloseReason, cx: &mut Context<'_, Self>) {
        let mut record = self.record();
        if session.logs_in {
            // It was never up.
            if self.plan.phase() < Phase::Finish {
                *record.counts.failed.entry("login").or_default() += 1;
            }
            return;
        }
        record.counts.up -= 1;
        let counted =
            session.pending.iter().flat_map(|pending| pending.iter()).filter(|pending| pending.counts).count();
        let phase = self.plan.phase();
        if phase == Phase::Over {
            return;
        }
        record.counts.waiting -= counted as u64;
        if counted > 0 {
            *record.counts.errors.entry("lost_with_connection").or_default() += counted as u64;
        }
        if reason != CloseReason::Service {
            *record.counts.lost.entry(reason.name()).or_default() += 1;
        }
        drop(record);
        if self.plan.mode == Mode::Churn
            && phase < Phase::Finish
            && let Some(outbound) = self.plan.outbound.get()
        {
            let next = Session::new(session.number, self.plan.elapsed());
            // The address was good for the first connect.
            let _ = cx.connect(*outbound, &self.plan.connect(session.number), next);
        }
    }
}

/// The name of a failure in reports.
fn kind_name(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::ConnectionRefused => "refused",
        io::ErrorKind::ConnectionReset => "reset",
        io::ErrorKind::TimedOut => "timed_out",
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => "no_port",
        io::ErrorKind::NotFound => "not_found",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "unreachable",
        _ => "other",
    }
}
