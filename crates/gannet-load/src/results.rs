//! The results of a run: plain figures, from which every form of the report is made.

use std::time::Duration;

pub use crate::deliveries::Deliveries;
pub use crate::histograms::Histograms;

/// The settings of a run, as a report shows them.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// The scenario's name.
    pub scenario: String,
    /// The target's URL.
    pub url: String,
    /// Number of connections.
    pub connections: u64,
    /// Number of source addresses that connections were spread over; 0 left the choice to the system.
    pub sources: u64,
    /// Whether each client logged in first.
    pub login: bool,
    /// Requests per second of an open loop; `None` for a closed loop.
    pub rate_per_second: Option<f64>,
    /// Requests outstanding on each connection of a closed loop.
    pub depth: u32,
    /// Whether clients send no requests. Answers are then the messages that they received.
    pub listens: bool,
    /// Size of a request's payload, in bytes.
    pub size: usize,
    /// Description of the requests, if the scenario leaves a choice.
    pub workload: Option<String>,
    /// Time for which requests are sent, after the warm-up.
    pub duration: Duration,
    /// Time at the beginning that is not counted.
    pub warmup: Duration,
    /// Time for which connections are held afterwards, without requests.
    pub hold: Duration,
    /// Connections opened per second; `None` is as fast as they are established.
    pub ramp_per_second: Option<f64>,
    /// Number of reactor threads.
    pub reactors: usize,
    /// The name of the driver that was used.
    pub driver: String,
}

/// Counts connections by what became of them.
#[derive(Clone, Debug, Default)]
pub struct Connections {
    /// Connections that were established.
    pub opened: u64,
    /// Connections that were up at the end of the measurement.
    pub up: u64,
    /// Connections that could not be established, by reason (`refused`, `timed_out`, `reset`, …).
    pub failed: Vec<(String, u64)>,
    /// Text of the first failure whose reason (`tls`, `other`) does not say everything; it has no control characters.
    pub first_failure: Option<String>,
    /// Connections that were up and ended before the run did, by reason.
    pub lost: Vec<(String, u64)>,
    /// Connections that replaced another one; they are not in `opened`.
    ///
    /// The other one was ended by the server as it may, had carried its one request, or was lost while clients come back.
    pub reopened: u64,
    /// TLS handshakes that resumed an earlier session; all others were full ones.
    pub resumed: u64,
}

/// Counts requests by what became of them.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    /// Requests that were sent in the measured time, or earlier and had no answer when it began.
    ///
    /// Requests that were lost before it with their connections count too.
    pub sent: u64,
    /// Requests that were answered rightly; if clients only receive, messages that they received.
    pub answered: u64,
    /// Right answers that came within the measured time, whenever their requests were sent.
    pub in_time: u64,
    /// Requests that the schedule of an open loop intended and that were never sent.
    pub never_sent: u64,
    /// Requests that had no answer when the run ended, whenever they were sent.
    pub unanswered: u64,
    /// Requests that went wrong, by kind (`wrong_bytes`, `lost_with_connection`, …).
    pub errors: Vec<(String, u64)>,
    /// Answers by status, right ones and others; empty for scenarios without statuses.
    pub statuses: Vec<(u16, u64)>,
    /// Bytes sent in the measured time, protocol included.
    pub bytes_out: u64,
    /// Bytes received in the measured time, protocol included.
    pub bytes_in: u64,
}

/// Describes one second of a run.
#[derive(Clone, Debug)]
pub struct Second {
    /// End of the second, from the start of the run (the ramp included).
    pub at: Duration,
    /// Length of the second: less than 1 s if a part of the run began or ended in it.
    pub lasted: Duration,
    /// Connections that were up at its end.
    pub connections: u64,
    /// Answers that came in this second.
    pub answered: u64,
    /// Errors in this second.
    pub errors: u64,
    /// Answers in this second by the class of their status, 2xx to 5xx; 0 in scenarios without statuses.
    pub classes: [u64; 4],
    /// Median of the response times in this second, in ns; 0 without an answer.
    pub p50_ns: u64,
    /// 99th percentile of the response times in this second, in ns; 0 without an answer.
    pub p99_ns: u64,
    /// Longest response time in this second, in ns; 0 without an answer.
    pub max_ns: u64,
}

/// Describes the time after the measurement in which connections were held, without requests.
#[derive(Clone, Copy, Debug)]
pub struct Hold {
    /// Length of that time.
    pub lasted: Duration,
    /// Connections that were up at its end.
    pub up: u64,
    /// Connections that ended in it.
    pub lost: u64,
}

/// Describes the resources of the server's process, if it is on this machine.
#[derive(Clone, Copy, Debug)]
pub struct ServerUsage {
    /// CPU time during the measurement.
    pub cpu: Duration,
    /// Resident memory at the end of the measurement, in bytes.
    pub resident_bytes: u64,
}

/// Holds the results of a run.
#[derive(Clone, Debug)]
pub struct Results {
    /// The settings of the run.
    pub asked: Asked,
    /// Begin of the measurement, from the start of the run.
    pub measured_from: Duration,
    /// Length of the measured time, after the warm-up.
    pub measured: Duration,
    /// Time until all connections were up or had failed.
    pub ramped: Duration,
    /// Connections by what became of them.
    pub connections: Connections,
    /// Requests of the measured time by what became of them.
    pub requests: Requests,
    /// Histograms of response times, service times and the others.
    pub times: Histograms,
    /// Publications by what became of them, if clients subscribe to channels.
    pub deliveries: Option<Deliveries>,
    /// The time in which connections were held afterwards, if that was asked for.
    pub hold: Option<Hold>,
    /// The run second by second.
    pub seconds: Vec<Second>,
    /// Resources of the server's process, if it was named.
    pub server: Option<ServerUsage>,
    /// Reasons why the figures cannot be trusted, a sentence each; empty for a valid run.
    pub invalid: Vec<String>,
    /// Whether the run was ended early.
    pub interrupted: bool,
}
