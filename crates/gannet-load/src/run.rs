//! A run from its first connect to its results: the thread that opens connections at the ramp's pace, goes from phase to
//! phase, and reads the reactors' records once a second.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gannet::{Engine, Limits, Remote, Running};

pub use crate::config::{Config, Kind};
use crate::judge::{Circumstances, judge};
use crate::login::Login;
use crate::plan::{Crowd, Mode, Phase, Plan, Simulated as _};
use crate::push;
use crate::record::{Counts, Reasons, Record};
use crate::results::{Connections, Hold, Requests, Results, Second, ServerUsage};
use crate::scenario::{Echo, Frames, Http, Lines, Redis, Scenario, Ws};
use crate::usage::{Threads, server_usage};

/// Connects under way at a time: what a listener's backlog takes without dropping any.
const CONNECTS_UNDER_WAY: u64 = 1_024;

/// How often the run's thread looks.
const LOOK: Duration = Duration::from_millis(5);

const SECOND: Duration = Duration::from_secs(1);

/// Most bytes of requests that wait on one connection for the server to read them. A connection with more is closed.
pub const QUEUED_BYTES: usize = 1 << 30;

/// Describes a moment of a run, for a live display.
#[derive(Clone, Debug)]
pub struct Moment {
    /// The phase that the run is in.
    pub phase: Phase,
    /// The second that has ended.
    pub second: Second,
    /// Connects that failed so far.
    pub failed: u64,
    /// Text of the first failed connect whose reason does not say everything.
    pub first_failure: Option<String>,
    /// Connections that were lost so far.
    pub lost: u64,
    /// Shortest time that is still to come. Connections that are opened as fast as possible may take longer.
    pub left: Duration,
}

/// Runs the load on this thread until it is over, and calls `watch` once a second.
///
/// Setting `stop` ends the run early; there are results all the same.
///
/// # Errors
///
/// The engine cannot start, for example because the driver cannot be used.
pub fn run(config: &Config, stop: &AtomicBool, watch: &mut dyn FnMut(&Moment)) -> gannet::Result<Results> {
    let size = config.size.max(config.login.as_ref().map_or(0, Login::longest));
    match config.kind {
        Kind::Echo => run_scenario(Echo, config, stop, watch),
        Kind::Lines => run_scenario(Lines { size }, config, stop, watch),
        Kind::Frames | Kind::Connect | Kind::Idle => run_scenario(Frames { size }, config, stop, watch),
        Kind::Http => run_scenario(Http::new(&config.http), config, stop, watch),
        Kind::Ws => run_scenario(Ws::new(&config.ws, size), config, stop, watch),
        Kind::Redis => run_scenario(Redis::new(&config.redis, config.size), config, stop, watch),
        Kind::Push => {
            let many = || gannet::Error::Setting("the clients have more than 2^32 channels".to_owned());
            run_crowd(push::Plan::new(config).ok_or_else(many)?, config, stop, watch)
        }
    }
}

struct Run<'a, C: Crowd> {
    config: &'a Config,
    stop: &'a AtomicBool,
    watch: &'a mut dyn FnMut(&Moment),
    crowd: Arc<C>,
    records: Arc<Vec<Arc<Mutex<Record>>>>,
    running: Running,
    seconds: Vec<Second>,
    answered: u64,
    errors: u64,
    classes: [u64; 4],
    /// When the second that is now began, and when it shall end.
    second: (Duration, Duration),
    /// When the phase that is now shall end, and how long those after it take.
    phase_end: Duration,
    rest: Duration,
}

/// What was measured, as far as it is known when the measurement ends.
struct Measured {
    from: Duration,
    lasted: Duration,
    bytes_in: u64,
    bytes_out: u64,
    /// Share of a processor that the busiest reactor took.
    busy: Option<f64>,
    server: Option<ServerUsage>,
}

fn run_scenario<S: Scenario>(
    scenario: S,
    config: &Config,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(&Moment),
) -> gannet::Result<Results> {
    run_crowd(Plan::new(scenario, config), config, stop, watch)
}

fn run_crowd<C: Crowd>(
    crowd: C,
    config: &Config,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(&Moment),
) -> gannet::Result<Results> {
    let crowd = Arc::new(crowd);
    let records: Vec<Arc<Mutex<Record>>> = (0..config.reactors).map(|_| Arc::default()).collect();
    let records = Arc::new(records);
    let mut limits = Limits::default();
    // What the schedule wants is written, whether the server reads it or not: that is what an open loop is.
    (limits.outbox_high, limits.outbox_hard) = (64 << 20, QUEUED_BYTES);
    limits.carry = limits.carry.max(crowd.largest_message());
    let mut engine = Engine::new()
        .reactors(config.reactors)
        .driver(config.driver)
        .pin(config.pin)
        .limits(limits)
        .drain_timeout(Duration::from_secs(10));
    let next = AtomicUsize::new(0);
    let (crowds, all) = (crowd.clone(), records.clone());
    let outbound = engine.outbound(move || {
        let record = &all[next.fetch_add(1, Ordering::Relaxed) % all.len()];
        crowds.clients(record.clone())
    })?;
    // The cell is new: nobody else sets it.
    let _ = crowd.course().outbound.set(outbound);
    let running = engine.start()?;
    let run = Run {
        config,
        stop,
        watch,
        crowd,
        records,
        running,
        seconds: Vec::new(),
        answered: 0,
        errors: 0,
        classes: [0; 4],
        second: (Duration::ZERO, SECOND),
        phase_end: config.ramp_per_second.map_or(Duration::ZERO, |rate| {
            Duration::try_from_secs_f64(f64::from(config.clients()) / rate).unwrap_or(Duration::MAX)
        }),
        rest: config.warmup + config.duration + config.hold,
    };
    Ok(run.drive())
}

impl<C: Crowd> Run<'_, C> {
    fn drive(mut self) -> Results {
        self.ramp();
        let ramped = self.crowd.course().elapsed();
        self.pass(Phase::Warmup, self.config.warmup);
        let measured = self.measure();
        self.finish();
        // What comes later belongs to no request that was in time, except that connections can still be lost.
        let mut record = self.merged();
        record.counts.stop_waiting();
        let hold = self.hold(&mut record);
        let interrupted = self.is_stopped();
        self.crowd.course().set_phase(Phase::Over);
        self.running.remote().stop();
        let keeps_time = self.crowd.keeps_time();
        let asked = self.config.asked(self.running.driver().0);
        let ended = self.running.join();
        // Clients whose connections were not free to the end have said so when they went.
        let at_end = total(&self.records);
        record.counts.never_sent = at_end.never_sent;
        let deliveries = (self.config.kind == Kind::Push).then_some(&mut record.counts.deliveries);
        let deliveries = deliveries.map(|deliveries| {
            deliveries.missing = at_end.deliveries.missing;
            *deliveries
        });
        if let Some(missing) = deliveries.map(|deliveries| deliveries.missing).filter(|missing| *missing > 0) {
            record.counts.errors.add("missing", missing);
        }
        let mut invalid = judge(
            &record.counts,
            &record.times,
            &Circumstances {
                lasted: measured.lasted,
                wanted: self.config.duration,
                busy: measured.busy,
                interrupted,
                keeps_time,
                hears: self.config.hears(),
                deliveries: deliveries.filter(|_| self.config.push.publishers > 0 && self.config.connections > 0),
            },
        );
        if let Err(error) = ended {
            invalid.push(format!("the engine ended with an error: {error}"));
        }
        Results {
            asked,
            measured_from: measured.from,
            measured: measured.lasted,
            ramped,
            connections: Connections {
                opened: record.counts.opened,
                up: record.counts.up,
                failed: named(&record.counts.failed),
                first_failure: record.counts.first_failure.clone(),
                lost: named(&record.counts.lost),
                reopened: record.counts.reopened,
                resumed: record.counts.resumed,
            },
            requests: Requests {
                sent: record.counts.sent,
                answered: record.counts.answered,
                in_time: record.counts.in_time,
                never_sent: record.counts.never_sent,
                unanswered: record.counts.waiting,
                errors: errors(&record),
                statuses: record.counts.statuses.iter().map(|(status, count)| (*status, *count)).collect(),
                bytes_out: measured.bytes_out,
                bytes_in: measured.bytes_in,
            },
            times: record.times,
            deliveries,
            hold,
            seconds: self.seconds,
            server: measured.server,
            invalid,
            interrupted,
        }
    }

    /// Opens all connections, at the ramp's pace and with a bound on what is under way.
    fn ramp(&mut self) {
        let remote = self.running.remote();
        let wanted = u64::from(self.config.clients());
        let mut dialed = 0u32;
        loop {
            let settled = self.total().settled;
            if settled >= wanted || self.is_stopped() {
                return;
            }
            let by_pace = self
                .config
                .ramp_per_second
                .map_or(wanted, |rate| (self.crowd.course().elapsed().as_secs_f64() * rate).ceil() as u64);
            let until = by_pace.min(settled + CONNECTS_UNDER_WAY).min(wanted);
            while u64::from(dialed) < until && self.dial(&remote, dialed) {
                dialed += 1;
            }
            self.wait();
        }
    }

    fn dial(&self, remote: &Remote, number: u32) -> bool {
        let Some(outbound) = self.crowd.course().outbound.get() else { return false };
        let session = self.crowd.client(number);
        // A full mailbox has room again soon.
        remote.connect(number as usize, *outbound, &self.crowd.course().connect(number), session).is_ok()
    }

    /// Connects clients that lost their connection, or had none.
    fn dial_due(&self) {
        let Some(outbound) = self.crowd.course().outbound.get() else { return };
        let remote = self.running.remote();
        for session in self.crowd.course().due() {
            let (number, connect) = (session.number(), self.crowd.course().connect(session.number()));
            // Each client is one letter at the most, and mailboxes have room for more than that.
            let _ = remote.connect(number as usize, *outbound, &connect, session);
        }
    }

    fn measure(&mut self) -> Measured {
        // A second that had begun ends here, so that each is either in the measured time or out of it.
        self.end_second();
        let threads = Threads::now();
        let server_before = self.config.server_pid.and_then(server_usage);
        let (in_before, out_before) = self.traffic();
        let from = self.crowd.course().elapsed();
        self.pass(Phase::Measure, self.config.duration);
        self.end_second();
        self.crowd.course().set_phase(Phase::Finish);
        let (bytes_in, bytes_out) = self.traffic();
        let lasted = self.crowd.course().elapsed().saturating_sub(from);
        let busy = threads.busy_since(lasted);
        let server_after = self.config.server_pid.and_then(server_usage);
        let server = server_before.zip(server_after).map(|(before, after)| ServerUsage {
            cpu: after.cpu.saturating_sub(before.cpu),
            resident_bytes: after.resident_bytes,
        });
        let (bytes_in, bytes_out) = (bytes_in.saturating_sub(in_before), bytes_out.saturating_sub(out_before));
        Measured { from, lasted, bytes_in, bytes_out, busy, server }
    }

    /// Waits for the answers that are still to come.
    fn finish(&mut self) {
        let last = self.crowd.course().elapsed();
        let is_push = self.config.kind == Kind::Push;
        let is_waiting = |counts: Counts| {
            counts.waiting + counts.early > 0 || is_push && counts.returning + counts.deliveries.awaited() > 0
        };
        while is_waiting(self.total())
            && self.crowd.course().elapsed().saturating_sub(last) < self.config.answer_patience
        {
            self.wait();
        }
    }

    /// Keeps connections open, where that is asked for, and adds to the record what was lost meanwhile.
    fn hold(&mut self, record: &mut Record) -> Option<Hold> {
        if self.config.hold.is_zero() {
            return None;
        }
        self.end_second();
        let from = self.crowd.course().elapsed();
        self.pass(Phase::Hold, self.config.hold);
        let lasted = self.crowd.course().elapsed().saturating_sub(from);
        let counts = self.total();
        record.counts.lost = counts.lost;
        (record.counts.failed, record.counts.reopened) = (counts.failed, counts.reopened);
        // Bytes that nobody asked for end their connection too.
        let more = counts.errors.of("wrong_bytes").saturating_sub(record.counts.errors.of("wrong_bytes"));
        if more > 0 {
            record.counts.errors.add("wrong_bytes", more);
        }
        Some(Hold { lasted, up: counts.up, lost: record.counts.up.saturating_sub(counts.up) })
    }

    fn pass(&mut self, phase: Phase, time: Duration) {
        self.crowd.course().set_phase(phase);
        self.phase_end = self.crowd.course().elapsed() + time;
        self.rest = self.rest.saturating_sub(time);
        while self.crowd.course().elapsed() < self.phase_end && !self.is_stopped() && !self.is_dead() {
            self.wait();
        }
    }

    fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Whether nobody is left who could send or receive anything, nor will be.
    fn is_dead(&self) -> bool {
        let counts = self.total();
        let is_between = self.crowd.course().mode == Mode::Churn && counts.opened > 0;
        counts.up == 0 && counts.returning == 0 && !is_between
    }

    /// Waits a little, connects clients whose pause is over, and tells the watcher where a second has passed.
    fn wait(&mut self) {
        std::thread::park_timeout(LOOK);
        self.dial_due();
        let now = self.crowd.course().elapsed();
        let (_, mut end) = self.second;
        if now < end {
            return;
        }
        self.look(now);
        while end <= now {
            end += SECOND;
        }
        self.second = (now, end);
    }

    /// Ends the second that has begun, unless it has hardly, and begins another.
    fn end_second(&mut self) {
        let now = self.crowd.course().elapsed();
        let (began, _) = self.second;
        if now.saturating_sub(began) > LOOK * 4 {
            self.look(now);
            self.second.0 = now;
        }
        self.second.1 = now + SECOND;
    }

    /// Reads what the second that ends now has brought, and tells the watcher.
    fn look(&mut self, now: Duration) {
        let mut interval = crate::histograms::empty();
        for record in self.records.iter() {
            let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
            // The same bounds: nothing can be left out.
            let _ = interval.add(&record.interval_ns);
            record.interval_ns.reset();
        }
        let total = self.total();
        let second = Second {
            at: now,
            lasted: now.saturating_sub(self.second.0),
            connections: total.up,
            answered: total.answered_ever - self.answered,
            // Less than before where some were taken back.
            errors: total.all_errors().saturating_sub(self.errors),
            classes: std::array::from_fn(|class| total.classes_ever[class] - self.classes[class]),
            p50_ns: interval.value_at_quantile(0.5),
            p99_ns: interval.value_at_quantile(0.99),
            max_ns: interval.max(),
        };
        (self.answered, self.errors, self.classes) = (total.answered_ever, total.all_errors(), total.classes_ever);
        (self.watch)(&Moment {
            phase: self.crowd.course().phase(),
            second: second.clone(),
            failed: total.all_failed(),
            first_failure: total.first_failure,
            lost: total.lost.all(),
            left: self.phase_end.saturating_sub(now).saturating_add(self.rest),
        });
        self.seconds.push(second);
    }

    /// What all reactors have counted.
    fn total(&self) -> Counts {
        total(&self.records)
    }

    /// All reactors' records together.
    fn merged(&self) -> Record {
        let mut merged = Record::default();
        for record in self.records.iter() {
            merged.merge(&record.lock().unwrap_or_else(PoisonError::into_inner));
        }
        merged.counts.take_back();
        merged
    }

    /// Bytes received and sent.
    fn traffic(&self) -> (u64, u64) {
        let stats = self.running.remote().stats();
        let listeners = stats.iter().flat_map(|reactor| &reactor.services);
        listeners.fold((0, 0), |(bytes_in, bytes_out), one| (bytes_in + one.bytes_in, bytes_out + one.bytes_out))
    }
}

/// What all reactors have counted.
fn total(records: &[Arc<Mutex<Record>>]) -> Counts {
    let mut total = Counts::default();
    for record in records {
        total.merge(&record.lock().unwrap_or_else(PoisonError::into_inner).counts);
    }
    total.take_back();
    total
}

fn named(reasons: &Reasons) -> Vec<(String, u64)> {
    reasons.iter().map(|(reason, count)| (reason.to_owned(), count)).collect()
}

/// What went wrong, by kind. An answer that never came is in no percentile, so it has to show here.
fn errors(record: &Record) -> Vec<(String, u64)> {
    let mut errors = named(&record.counts.errors);
    if record.counts.waiting > 0 {
        errors.push(("unanswered".to_owned(), record.counts.waiting));
    }
    errors
}
