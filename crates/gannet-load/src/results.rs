//! What came of a run: plain figures, from which every form of the report is made.

use std::time::Duration;

pub use crate::histograms::Histograms;

/// What was asked for, as it is shown in a report.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The scenario's name.
    pub scenario: String,
    /// The target's URL.
    pub url: String,
    /// Connections.
    pub connections: u64,
    /// Source addresses that they were spread over; 0 left the choice to the system.
    pub sources: u64,
    /// Whether each logged in first.
    pub login: bool,
    /// Requests a second of an open loop; `None` for a closed loop.
    pub rate_per_second: Option<f64>,
    /// Requests outstanding on each connection of a closed loop.
    pub depth: u32,
    /// Whether clients send no requests, so that answers are the messages that they received.
    pub listens: bool,
    /// Bytes of a request's payload.
    pub size: usize,
    /// Which requests, in words, where the scenario leaves a choice.
    pub workload: Option<String>,
    /// How long requests are sent, after the warm-up.
    pub duration: Duration,
    /// What is not counted at the beginning.
    pub warmup: Duration,
    /// How long connections are held afterwards, without requests.
    pub hold: Duration,
    /// Connections opened in a second; `None` is as fast as they come up.
    pub ramp_per_second: Option<f64>,
    /// Threads.
    pub reactors: usize,
    /// The driver's name.
    pub driver: String,
}

/// Connections by what became of them.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    /// That came up.
    pub opened: u64,
    /// That were up at the end of the measurement.
    pub up: u64,
    /// That could not be established, by reason (`refused`, `timed_out`, `reset`, …).
    pub failed: Vec<(String, u64)>,
    /// What the first failure said of which the reason (`tls`, `other`) does not say all; no control characters.
    pub first_failure: Option<String>,
    /// That were up and ended before the run did, by reason.
    pub lost: Vec<(String, u64)>,
    /// That took the place of one that the server ended as it may, that carried its one request, or that was lost where
    /// clients come back; not in `opened`.
    pub reopened: u64,
    /// Whose TLS handshake took up an earlier session; all others were full ones.
    pub resumed: u64,
}

/// Requests by what became of them.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// Sent in the measured time, or before it and not done when it began; and those that were lost before it.
    pub sent: u64,
    /// Answered, and rightly; where clients only receive, messages that they received.
    pub answered: u64,
    /// Right answers that came within the measured time, whenever their requests were sent.
    pub in_time: u64,
    /// Intended by the schedule of an open loop and never sent.
    pub never_sent: u64,
    /// Sent and not answered when the run ended, whenever that was.
    pub unanswered: u64,
    /// That went wrong, by kind (`wrong_bytes`, `lost_with_connection`, …).
    pub errors: Vec<(String, u64)>,
    /// Answers by status, right ones and others, of scenarios that know such.
    pub statuses: Vec<(u16, u64)>,
    /// Bytes sent in the measured time, protocol included.
    pub bytes_out: u64,
    /// Bytes received in it.
    pub bytes_in: u64,
}

/// One second of a run.
#[derive(Clone, Debug)]
pub struct Second {
    /// When it ended, from the start of the run (the ramp included).
    pub at: Duration,
    /// How long it was: less than a second where a part of the run began or ended in it.
    pub lasted: Duration,
    /// Connections up at its end.
    pub connections: u64,
    /// Answers in it.
    pub answered: u64,
    /// Errors in it.
    pub errors: u64,
    /// Answers in it by the class of their status, 2xx to 5xx; 0 in scenarios that know no such.
    pub classes: [u64; 4],
    /// Response times in it, in ns: median, 99th percentile, maximum; 0 where nothing was answered.
    pub p50_ns: u64,
    /// See `p50_ns`.
    pub p99_ns: u64,
    /// See `p50_ns`.
    pub max_ns: u64,
}

/// The time after the measurement in which connections were held, without requests.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    /// How long it was.
    pub lasted: Duration,
    /// Connections up at its end.
    pub up: u64,
    /// Connections that ended in it.
    pub lost: u64,
}

/// The server's process, where it is on the same machine.
#[derive(Clone, Copy, Debug)]
pub struct ServerUsage {
    /// CPU time during the measurement.
    pub cpu: Duration,
    /// Resident memory at its end.
    pub resident_bytes: u64,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Results {
    /// What was asked for.
    pub asked: Asked,
    /// When the measurement began, from the start of the run.
    pub measured_from: Duration,
    /// How long was measured, after the warm-up.
    pub measured: Duration,
    /// How long it took until all connections were up, or had failed.
    pub ramped: Duration,
    /// Connections.
    pub connections: Connections,
    /// Requests, of the measured time.
    pub requests: Requests,
    /// How long things took.
    pub times: Histograms,
    /// What came of holding connections afterwards, where that was asked for.
    pub hold: Option<Hold>,
    /// Second by second.
    pub seconds: Vec<Second>,
    /// The server's process.
    pub server: Option<ServerUsage>,
    /// Why the figures cannot be trusted, a sentence each; empty for a valid run.
    pub invalid: Vec<String>,
    /// Whether it was ended early, by a signal.
    pub interrupted: bool,
}
