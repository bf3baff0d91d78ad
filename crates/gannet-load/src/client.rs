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
const MOST_PENDING: u32 = 1 << 16;

/// In place of a number of requests: the login was sent and its answer has not come.
const LOGGING_IN: u32 = u32::MAX;

/// Requests that were sent together and wait for their answers. What a closed loop sends in one turn is one of these,
/// however deep it is.
struct Pending {
    intended_ns: u64,
    sent_ns: u64,
    /// How many still wait.
    requests: u32,
    /// Whether they belong to the measured time.
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
    /// Requests without an answer; [`LOGGING_IN`] while there are none yet.
    outstanding: u32,
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
            outstanding: 0,
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

    /// Sends so many requests.
    fn request(
        &self,
        session: &mut Session<S>,
        wanted: u32,
        intended_ns: u64,
        record: &mut Record,
        cx: &mut Context<'_, Self>,
    ) {
        let now_ns = cx.now().as_nanos() as u64;
        let counts = self.plan.phase() == Phase::Measure;
        let requests = wanted.min(MOST_PENDING - session.outstanding);
        if counts {
            record.counts.never_sent += u64::from(wanted - requests);
        }
        if requests == 0 {
            return;
        }
        if counts {
            record.counts.sent += u64::from(requests);
            record.counts.waiting += u64::from(requests);
            if let Mode::Open { .. } = self.plan.mode {
                record.late_ns.saturating_record_n(now_ns.saturating_sub(intended_ns), u64::from(requests));
            }
        }
        let first = session.answered + u64::from(session.outstanding);
        session.outstanding += requests;
        session.pending.get_or_insert_default().push_back(Pending { intended_ns, sent_ns: now_ns, requests, counts });
        for number in first..first + u64::from(requests) {
            self.plan.scenario.ask(&self.plan.letters, session.number, number, cx);
        }
    }

    /// Takes so many answers to the oldest requests.
    fn answered(&self, session: &mut Session<S>, mut answers: u32, now_ns: u64, record: &mut Record) {
        session.answered += u64::from(answers);
        session.outstanding -= answers;
        let Some(pending) = &mut session.pending else { return };
        while answers > 0
            && let Some(oldest) = pending.front_mut()
        {
            let taken = answers.min(oldest.requests);
            self.record_answers(oldest, taken, now_ns, record);
            answers -= taken;
            oldest.requests -= taken;
            if oldest.requests == 0 {
                pending.pop_front();
            }
        }
    }

    /// Notes answers to requests that were sent together: their times are the same.
    fn record_answers(&self, pending: &Pending, answers: u32, now_ns: u64, record: &mut Record) {
        let answers = u64::from(answers);
        let service_ns = now_ns.saturating_sub(pending.sent_ns);
        let response_ns = now_ns.saturating_sub(pending.intended_ns);
        let is_open = matches!(self.plan.mode, Mode::Open { .. });
        record.counts.answered_ever += answers;
        record.interval_ns.saturating_record_n(if is_open { response_ns } else { service_ns }, answers);
        if !pending.counts {
            return;
        }
        record.counts.answered += answers;
        record.counts.waiting -= answers;
        record.service_ns.saturating_record_n(service_ns, answers);
        if is_open {
            record.response_ns.saturating_record_n(response_ns, answers);
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
            self.request(session, 1, due_ns, &mut record, cx);
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
            Mode::Closed { depth } => self.request(session, depth, now_ns, &mut record, cx),
            Mode::Churn => self.request(session, 1, now_ns, &mut record, cx),
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
                (session.outstanding, session.progress) = (0, S::Progress::default());
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
        let Some(oldest) = session.pending.as_mut().and_then(|pending| pending.front_mut()) else {
            *record.counts.errors.entry("wrong_bytes").or_default() += 1;
            return cx.reset();
        };
        if oldest.counts {
            record.counts.waiting -= 1;
            record.counts.refused(kind);
        }
        oldest.requests -= 1;
        if oldest.requests == 0
            && let Some(pending) = &mut session.pending
        {
            pending.pop_front();
        }
        session.answered += 1;
        session.outstanding -= 1;
        match self.plan.mode {
            Mode::Closed { .. } if self.plan.phase() < Phase::Finish => {
                self.request(session, 1, cx.now().as_nanos() as u64, &mut record, cx);
            }
            Mode::Churn => cx.reset(),
            _ => {}
        }
        if session.outstanding == 0 {
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
        session.outstanding = LOGGING_IN;
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
        if session.outstanding == LOGGING_IN {
            return self.logging_in(session, message, cx);
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
                *record.counts.errors.entry("wrong_bytes").or_default() += 1;
                cx.reset();
            }
            Ok(answers) => {
                let now_ns = cx.now().as_nanos() as u64;
                // No more than were outstanding.
                let answers = answers as u32;
                self.answered(session, answers, now_ns, &mut record);
                match self.plan.mode {
                    Mode::Closed { .. } if self.plan.phase() < Phase::Finish => {
                        self.request(session, answers, now_ns, &mut record, cx);
                    }
                    Mode::Churn if answers > 0 => cx.reset(),
                    _ => {}
                }
                if session.outstanding == 0 {
                    // While it waits for its next turn it needs none.
                    session.pending = None;
                }
            }
        }
    }

    fn timer(&mut self, session: &mut Session<S>, cx: &mut Context<'_, Self>) {
        if session.outstanding == LOGGING_IN {
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
        if session.outstanding == LOGGING_IN {
            // It was never up.
            if self.plan.phase() < Phase::Finish {
                *record.counts.failed.entry("login").or_default() += 1;
            }
            return;
        }
        record.counts.up -= 1;
        let pending = session.pending.iter().flat_map(|pending| pending.iter());
        let counted: u64 = pending.filter(|pending| pending.counts).map(|pending| u64::from(pending.requests)).sum();
        let phase = self.plan.phase();
        if phase == Phase::Over {
            return;
        }
        record.counts.waiting -= counted;
        if counted > 0 {
            *record.counts.errors.entry("lost_with_connection").or_default() += counted;
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
