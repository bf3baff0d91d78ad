//! A run from its first connect to its results: the thread that opens connections at the ramp's pace, goes from phase to
//! phase, and reads the reactors' records once a second.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gannet::{Address, DriverChoice, Engine, Limits, Remote, Running};

use crate::client::{Client, Session};
use crate::plan::{Mode, Phase, Plan};
use crate::record::{Counts, Reasons, Record};
use crate::results::{Asked, Connections, Requests, Results, Second};
use crate::scenario::{Echo, Frames, Lines, Scenario};
use crate::usage::{Threads, server_usage};

/// Connects under way at a time: what a listener's backlog takes without dropping any.
const CONNECTS_UNDER_WAY: u64 = 1_024;

/// How often the run's thread looks.
const LOOK: Duration = Duration::from_millis(5);

/// How long answers are waited for after the last request.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lateness of the 99th percentile from which on the schedule was not kept.
const LATE_NS: u64 = 10_000_000;

/// Share of a processor from which on a reactor had none left.
const BUSY: f64 = 0.97;

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Raw bytes, echoed.
    Echo,
    /// Lines, answered with `echo: ` and the line.
    Lines,
    /// Frames, echoed.
    Frames,
    /// Open, exchange a frame, close, again.
    Connect,
    /// Open and hold, with a frame exchanged at each heartbeat.
    Idle,
}

impl Kind {
    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Echo => "echo",
            Self::Lines => "lines",
            Self::Frames => "frames",
            Self::Connect => "connect",
            Self::Idle => "idle",
        }
    }
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Config {
    /// What clients do.
    pub kind: Kind,
    /// Where they connect.
    pub target: Address,
    /// How many.
    pub connections: u32,
    /// Connections opened in a second; `None` is as fast as they come up.
    pub ramp_per_second: Option<f64>,
    /// What does not count, once all connections are up.
    pub warmup: Duration,
    /// What counts.
    pub duration: Duration,
    /// Requests a second, all connections together; `None` is a closed loop.
    pub rate_per_second: Option<f64>,
    /// Requests outstanding on each connection of a closed loop.
    pub depth: u32,
    /// Bytes of a payload.
    pub size: usize,
    /// From one frame of an idle connection to its next.
    pub heartbeat: Duration,
    /// Threads.
    pub reactors: usize,
    /// The driver.
    pub driver: DriverChoice,
    /// Whether threads are pinned.
    pub pin: bool,
    /// The server's process, where it is on this machine.
    pub server_pid: Option<u32>,
}

/// A moment of a run, once a second.
#[derive(Clone, Debug)]
pub struct Moment {
    /// Where the run is.
    pub phase: Phase,
    /// The second.
    pub second: Second,
    /// Connects that failed so far.
    pub failed: u64,
    /// Connections that were lost so far.
    pub lost: u64,
}

/// Runs, and tells `watch` once a second. `stop` ends it early; there are results all the same.
///
/// # Errors
///
/// The engine cannot start: the driver cannot be used, for example.
pub fn run(config: &Config, stop: &AtomicBool, watch: &mut dyn FnMut(&Moment)) -> gannet::Result<Results> {
    let size = config.size;
    match config.kind {
        Kind::Echo => run_scenario(Echo, config, stop, watch),
        Kind::Lines => run_scenario(Lines { size }, config, stop, watch),
        Kind::Frames | Kind::Connect | Kind::Idle => run_scenario(Frames { size }, config, stop, watch),
    }
}

fn mode(config: &Config) -> Mode {
    let interval = |per_second: f64| {
        let seconds = f64::from(config.connections.max(1)) / per_second;
        Mode::Open { interval_ns: Duration::from_secs_f64(seconds).as_nanos().max(1) as u64 }
    };
    match (config.kind, config.rate_per_second) {
        (Kind::Connect, _) => Mode::Churn,
        (Kind::Idle, _) => Mode::Open { interval_ns: config.heartbeat.as_nanos().max(1) as u64 },
        (_, Some(rate)) => interval(rate),
        (_, None) => Mode::Closed { depth: config.depth },
    }
}

struct Run<S: Scenario> {
    plan: Arc<Plan<S>>,
    records: Arc<Vec<Arc<Mutex<Record>>>>,
    running: Running,
    seconds: Vec<Second>,
    answered: u64,
    errors: u64,
    next_second: Duration,
}

fn run_scenario<S: Scenario>(
    scenario: S,
    config: &Config,
    stop: &AtomicBool,
    watch: &mut dyn FnMut(&Moment),
) -> gannet::Result<Results> {
    let loopback = matches!(&config.target, Address::Tcp(address) if address.ip().is_loopback() && address.is_ipv4());
    let plan = Plan::new(scenario, mode(config), config.target.clone(), loopback, config.connections, config.size);
    let plan = Arc::new(plan);
    let records: Vec<Arc<Mutex<Record>>> = (0..config.reactors).map(|_| Arc::default()).collect();
    let records = Arc::new(records);
    let mut limits = Limits::default();
    // What the schedule wants is written, whether the server reads it or not: that is what an open loop is.
    (limits.outbox_high, limits.outbox_hard) = (64 << 20, 1 << 30);
    let mut engine = Engine::new()
        .reactors(config.reactors)
        .driver(config.driver)
        .pin(config.pin)
        .limits(limits)
        .drain_timeout(Duration::from_secs(10));
    let next = AtomicUsize::new(0);
    let (plans, all) = (plan.clone(), records.clone());
    let outbound = engine.outbound(move || {
        let record = &all[next.fetch_add(1, Ordering::Relaxed) % all.len()];
        Client::new(plans.clone(), record.clone())
    })?;
    // The cell is new: nobody else sets it.
    let _ = plan.outbound.set(outbound);
    let running = engine.start()?;
    let driver = running.driver().0.to_owned();
    let run = Run {
        plan,
        records,
        running,
        seconds: Vec::new(),
        answered: 0,
        errors: 0,
        next_second: Duration::from_secs(1),
    };
    Ok(run.drive(config, driver, stop, watch))
}

impl<S: Scenario> Run<S> {
    fn drive(mut self, config: &Config, driver: String, stop: &AtomicBool, watch: &mut dyn FnMut(&Moment)) -> Results {
        self.ramp(config, stop, watch);
        let ramped = self.plan.elapsed();
        self.pass(config.warmup, stop, watch);

        let threads = Threads::now();
        let server_before = config.server_pid.and_then(server_usage);
        let began = self.plan.elapsed();
        self.plan.set_phase(Phase::Measure);
        self.pass(config.duration, stop, watch);
        self.plan.set_phase(Phase::Finish);
        let measured = self.plan.elapsed().saturating_sub(began);
        let busy = threads.busy_since(measured);
        let server_after = config.server_pid.and_then(server_usage);

        let last = self.plan.elapsed();
        while self.total().waiting > 0 && self.plan.elapsed().saturating_sub(last) < PATIENCE {
            self.wait(watch);
        }
        let interrupted = stop.load(Ordering::Relaxed);
        let stats = self.running.remote().stats();
        let record = self.merged();
        self.plan.set_phase(Phase::Over);
        self.running.remote().stop();
        let Self { plan, running, seconds, .. } = self;
        let mut invalid = judge(&record, busy, matches!(plan.mode, Mode::Open { .. }));
        if let Err(error) = running.join() {
            invalid.push(format!("the engine ended with an error: {error}"));
        }
        let server = server_before.zip(server_after).map(|(before, after)| crate::results::ServerUsage {
            cpu: after.cpu.saturating_sub(before.cpu),
            resident_bytes: after.resident_bytes,
        });
        let listeners = stats.iter().flat_map(|reactor| &reactor.listeners);
        let (bytes_in, bytes_out) =
            listeners.fold((0, 0), |(bytes_in, bytes_out), one| (bytes_in + one.bytes_in, bytes_out + one.bytes_out));
        Results {
            asked: Asked {
                scenario: config.kind.name().to_owned(),
                url: config.target.to_string(),
                connections: u64::from(config.connections),
                rate_per_second: match plan.mode {
                    Mode::Open { interval_ns } => Some(f64::from(config.connections) * 1e9 / interval_ns as f64),
                    Mode::Closed { .. } | Mode::Churn => None,
                },
                depth: config.depth,
                size: config.size,
                duration: config.duration,
                warmup: config.warmup,
                ramp_per_second: config.ramp_per_second,
                reactors: config.reactors,
                driver,
            },
            measured,
            ramped,
            connections: Connections {
                opened: record.counts.opened,
                up: record.counts.up,
                failed: named(&record.counts.failed),
                lost: named(&record.counts.lost),
            },
            requests: Requests {
                sent: record.counts.sent,
                answered: record.counts.answered,
                never_sent: record.counts.never_sent,
                unanswered: record.counts.waiting,
                errors: errors(&record),
                bytes_out,
                bytes_in,
            },
            response_ns: record.response_ns,
            service_ns: record.service_ns,
            late_ns: record.late_ns,
            connect_ns: record.connect_ns,
            seconds,
            server,
            invalid,
            interrupted,
        }
    }

    /// Opens all connections, at the ramp's pace and with a bound on what is under way.
    fn ramp(&mut self, config: &Config, stop: &AtomicBool, watch: &mut dyn FnMut(&Moment)) {
        let remote = self.running.remote();
        let mut dialed = 0u32;
        loop {
            let record = self.total();
            let settled = record.opened.max(record.up) + record.all_failed();
            if settled >= u64::from(config.connections) || stop.load(Ordering::Relaxed) {
                return;
            }
            let by_pace = config
                .ramp_per_second
                .map_or(u64::from(config.connections), |rate| (self.plan.elapsed().as_secs_f64() * rate).ceil() as u64);
            let by_bound = settled + CONNECTS_UNDER_WAY;
            let until = by_pace.min(by_bound).min(u64::from(config.connections));
            while u64::from(dialed) < until && self.dial(&remote, dialed) {
                dialed += 1;
            }
            self.wait(watch);
        }
    }

    fn dial(&self, remote: &Remote, number: u32) -> bool {
        let Some(outbound) = self.plan.outbound.get() else { return false };
        let session = Session::new(number, self.plan.elapsed());
        // A full mailbox has room again soon.
        remote.connect(number as usize, *outbound, &self.plan.connect(number), session).is_ok()
    }

    fn pass(&mut self, time: Duration, stop: &AtomicBool, watch: &mut dyn FnMut(&Moment)) {
        let end = self.plan.elapsed() + time;
        while self.plan.elapsed() < end && !stop.load(Ordering::Relaxed) {
            if self.is_dead() {
                return;
            }
            self.wait(watch);
        }
    }

    /// Whether nobody is left who could send or receive anything.
    fn is_dead(&self) -> bool {
        self.plan.mode != Mode::Churn && self.total().up == 0
    }

    /// Waits a little, and tells the watcher where a second has passed.
    fn wait(&mut self, watch: &mut dyn FnMut(&Moment)) {
        std::thread::park_timeout(LOOK);
        let now = self.plan.elapsed();
        if now < self.next_second {
            return;
        }
        self.next_second = now + Duration::from_secs(1);
        let mut interval = crate::record::times();
        for record in self.records.iter() {
            let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
            // The same bounds: nothing can be left out.
            let _ = interval.add(&record.interval_ns);
            record.interval_ns.reset();
        }
        let total = self.total();
        let second = Second {
            at: now,
            connections: total.up,
            answered: total.answered_ever - self.answered,
            errors: total.all_errors() - self.errors,
            p50_ns: interval.value_at_quantile(0.5),
            p99_ns: interval.value_at_quantile(0.99),
            max_ns: interval.max(),
        };
        (self.answered, self.errors) = (total.answered_ever, total.all_errors());
        let lost = total.lost.values().sum();
        watch(&Moment { phase: self.plan.phase(), second: second.clone(), failed: total.all_failed(), lost });
        self.seconds.push(second);
    }

    /// What all reactors have counted.
    fn total(&self) -> Counts {
        let mut total = Counts::default();
        for record in self.records.iter() {
            total.merge(&record.lock().unwrap_or_else(PoisonError::into_inner).counts);
        }
        total
    }

    /// All reactors' records together.
    fn merged(&self) -> Record {
        let mut merged = Record::default();
        for record in self.records.iter() {
            merged.merge(&record.lock().unwrap_or_else(PoisonError::into_inner));
        }
        merged
    }
}

fn named(reasons: &Reasons) -> Vec<(String, u64)> {
    reasons.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect()
}

/// What went wrong, by kind. An answer that never came is in no percentile, so it has to show here.
fn errors(record: &Record) -> Vec<(String, u64)> {
    let mut errors = named(&record.counts.errors);
    if record.counts.waiting > 0 {
        errors.push(("unanswered".to_owned(), record.counts.waiting));
    }
    errors
}

/// Why the figures cannot be trusted.
fn judge(record: &Record, busy: Option<f64>, is_open: bool) -> Vec<String> {
    let mut invalid = Vec::new();
    let late_ns = record.late_ns.value_at_quantile(0.99);
    if is_open && late_ns > LATE_NS {
        invalid.push(format!(
            "requests were written late: the 99th percentile by {} ms; the load generator could not keep its schedule",
            late_ns / 1_000_000
        ));
    }
    if record.counts.never_sent > 0 {
        invalid.push(format!("{} requests of the schedule were never sent", record.counts.never_sent));
    }
    if let Some(busy) = busy.filter(|busy| *busy > BUSY) {
        invalid.push(format!(
            "a thread of the load generator was busy {:.0} % of the time: it, and not the server, may have been the \
             limit; use more --reactors, fewer --connections, or another machine",
            busy * 100.0
        ));
    }
    invalid
}
