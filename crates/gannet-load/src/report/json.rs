//! The report for programs: one JSON object whose schema is these types, numbered by [`SCHEMA`].

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::figures::{by_class, by_name};
use crate::results::Results;

/// The version of the schema. A field may be added without a new number; one removed, renamed or given another meaning
/// or unit makes a new one.
pub const SCHEMA: u32 = 1;

/// Returns the report as indented JSON, ended by a line feed. The fields are those of [`Document`].
///
/// # Errors
///
/// None that is known of: the document has only text keys and plain values. The encoder's error is passed on all the
/// same, rather than a panic in its place.
pub fn json(results: &Results) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(&Document::from(results))?;
    text.push('\n');
    Ok(text)
}

/// The whole report. Names end in the unit: `_ns` nanoseconds, `_s` seconds, `_bytes` bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Document {
    /// Always [`SCHEMA`].
    pub schema: u32,
    /// Whether the figures can be trusted.
    pub valid: bool,
    /// Why they cannot, a sentence each; empty for a valid run.
    pub invalid_reasons: Vec<String>,
    /// Whether the run was ended early, by a signal.
    pub interrupted: bool,
    /// What was asked for.
    pub asked: Asked,
    /// When the measurement began, from the start of the run.
    pub measured_from_s: f64,
    /// How long was measured, after the warm-up.
    pub measured_s: f64,
    /// How long it took until all connections were up, or had failed.
    pub ramped_s: f64,
    /// Connections.
    pub connections: Connections,
    /// Requests of the measured time.
    pub requests: Requests,
    /// Requests that went wrong, of all kinds.
    pub errors: u64,
    /// What was reached.
    pub rate: Rate,
    /// From the moment a request was intended to its answer; null for a closed loop.
    pub response_ns: Option<Times>,
    /// From the moment a request was written to its answer.
    pub service_ns: Times,
    /// How late requests were written after the moment they were intended; null for a closed loop.
    pub late_ns: Option<Times>,
    /// From the start of a connect to the connection.
    pub connect_ns: Times,
    /// From the connection to the end of its TLS handshake; null where there was none.
    pub handshake_ns: Option<Times>,
    /// From the connection to the end of its upgrade; null where nothing was upgraded.
    pub upgrade_ns: Option<Times>,
    /// From the start of a connect until all channels are subscribed to; null where clients subscribe to none.
    pub ready_ns: Option<Times>,
    /// From the moment a publication was due to the server's answer; null where nothing was published.
    pub publish_ns: Option<Times>,
    /// Publications, each counted for each subscriber; null where clients subscribe to no channels.
    pub deliveries: Option<Deliveries>,
    /// What came of holding connections afterwards; null where that was not asked for.
    pub hold: Option<Hold>,
    /// The server's process; null where it was not watched.
    pub server: Option<Server>,
    /// Second by second, from the start of the run, ramp and warm-up included.
    pub seconds: Vec<Second>,
}

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Asked {
    /// The scenario's name.
    pub scenario: String,
    /// The target.
    pub url: String,
    /// `open` (a fixed rate) or `closed` (as fast as answers come).
    #[serde(rename = "loop")]
    pub loop_kind: LoopKind,
    /// Connections.
    pub connections: u64,
    /// Source addresses that they were spread over; 0 left the choice to the system.
    pub sources: u64,
    /// Whether each logged in first.
    pub login: bool,
    /// Requests a second of an open loop; null for a closed one.
    pub rate_per_second: Option<f64>,
    /// Requests outstanding on each connection of a closed loop.
    pub depth: u32,
    /// A request's payload.
    pub size_bytes: u64,
    /// Which requests, in words; null where the scenario leaves no choice.
    pub workload: Option<String>,
    /// How long requests are sent, after the warm-up.
    pub duration_s: f64,
    /// What is not counted at the beginning.
    pub warmup_s: f64,
    /// How long connections are held afterwards, without requests.
    pub hold_s: f64,
    /// Connections opened in a second; null is as fast as they come up.
    pub ramp_per_second: Option<f64>,
    /// Threads of the load generator.
    pub reactors: u64,
    /// The driver's name.
    pub driver: String,
}

/// When the next request is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LoopKind {
    /// At its intended time.
    Open,
    /// When an answer has come.
    Closed,
}

/// Connections by what became of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Connections {
    /// That came up.
    pub opened: u64,
    /// That were up at the end of the measurement.
    pub up: u64,
    /// That could not be established.
    pub failed: u64,
    /// The same by reason.
    pub failed_by_reason: BTreeMap<String, u64>,
    /// What the first of them said whose reason (`tls`, `other`) does not say all; null where there is none such.
    pub first_failure: Option<String>,
    /// That were up and ended before the run did.
    pub lost: u64,
    /// The same by reason.
    pub lost_by_reason: BTreeMap<String, u64>,
    /// That took the place of one that the server ended as it may, or that carried its one request; not in `opened`.
    pub reopened: u64,
    /// Full TLS handshakes, of reopened connections too.
    pub handshakes_full: u64,
    /// TLS handshakes that took up an earlier session.
    pub handshakes_resumed: u64,
}

/// Requests by what became of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Requests {
    /// Sent in the measured time, or before it and not done when it began.
    pub sent: u64,
    /// Answered, and rightly.
    pub answered: u64,
    /// Sent and not answered when the run ended; in no histogram.
    pub unanswered: u64,
    /// Intended by an open loop's schedule and never sent; in no histogram.
    pub never_sent: u64,
    /// That went wrong, by kind; their sum is `errors` of the document.
    pub errors_by_kind: BTreeMap<String, u64>,
    /// Answers by the class of their status, as `2xx`; empty where a scenario knows no such.
    pub answers_by_class: BTreeMap<String, u64>,
    /// Answers by status, as `200`.
    pub answers_by_status: BTreeMap<String, u64>,
    /// Sent, protocol included.
    pub out_bytes: u64,
    /// Received.
    pub in_bytes: u64,
}

/// Publications by what became of them, each counted for each subscriber.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Deliveries {
    /// Publications of the run that the server has accepted, for each client that has the channel.
    pub expected: u64,
    /// Those that have come, of any time.
    pub received: u64,
    /// Those of them that were due in the measured time.
    pub measured: u64,
    /// Those of them that came by recovery.
    pub recovered: u64,
    /// Publications of others.
    pub others: u64,
    /// Publications that later ones have overtaken.
    pub gaps: u64,
    /// Publications that came again.
    pub duplicates: u64,
    /// New publications with an offset that is not new.
    pub wrong_offsets: u64,
    /// Publications that had not come when the run ended.
    pub missing: u64,
    /// Subscriptions at the end of the measurement.
    pub subscriptions: u64,
    /// Subscriptions that were recovered.
    pub recoveries: u64,
    /// Subscriptions that the server could not recover.
    pub not_recovered: u64,
    /// Connections that clients have cut by themselves.
    pub cuts: u64,
}

/// What was reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Rate {
    /// Right answers a second, over the measured time.
    pub per_second: f64,
}

/// A histogram's figures, in nanoseconds, exact to the histogram's precision; null where nothing was recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Times {
    /// How many times were recorded.
    pub count: u64,
    /// The arithmetic mean, to a whole nanosecond.
    pub mean: Option<u64>,
    /// The median.
    pub p50: Option<u64>,
    /// The 75th percentile.
    pub p75: Option<u64>,
    /// The 90th percentile.
    pub p90: Option<u64>,
    /// The 95th percentile.
    pub p95: Option<u64>,
    /// The 99th percentile.
    pub p99: Option<u64>,
    /// The 99.9th percentile.
    pub p999: Option<u64>,
    /// The 99.99th percentile.
    pub p9999: Option<u64>,
    /// The longest.
    pub max: Option<u64>,
}

/// The time after the measurement in which connections were held, without requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Hold {
    /// How long it was.
    pub lasted_s: f64,
    /// Connections up at its end.
    pub up: u64,
    /// Connections that ended in it; those of `connections` include them.
    pub lost: u64,
}

/// The server's process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Server {
    /// CPU time during the measurement.
    pub cpu_s: f64,
    /// Resident memory at its end.
    pub resident_bytes: u64,
}

/// One second of the run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Second {
    /// When it ended, from the start of the run.
    pub at_s: f64,
    /// How long it was: less than a second where the measured time began or ended in it.
    pub lasted_s: f64,
    /// Connections up at its end.
    pub connections: u64,
    /// Answers in it.
    pub answered: u64,
    /// Errors in it.
    pub errors: u64,
    /// Answers in it by the class of their status, 2xx to 5xx.
    pub answers_by_class: [u64; 4],
    /// Median of its response times (service times in a closed loop); null where nothing was answered.
    pub p50_ns: Option<u64>,
    /// 99th percentile of the same.
    pub p99_ns: Option<u64>,
    /// Longest of the same.
    pub max_ns: Option<u64>,
}

impl From<&Results> for Document {
    fn from(results: &Results) -> Self {
        let open = results.is_open_loop();
        Self {
            schema: SCHEMA,
            valid: results.is_valid(),
            invalid_reasons: results.invalid.clone(),
            interrupted: results.interrupted,
            asked: Asked::from(results),
            measured_from_s: results.measured_from.as_secs_f64(),
            measured_s: results.measured.as_secs_f64(),
            ramped_s: results.ramped.as_secs_f64(),
            connections: Connections {
                opened: results.connections.opened,
                up: results.connections.up,
                failed: results.failed(),
                failed_by_reason: by_name(&results.connections.failed),
                first_failure: results.connections.first_failure.clone(),
                lost: results.lost(),
                lost_by_reason: by_name(&results.connections.lost),
                reopened: results.connections.reopened,
                handshakes_full: results.times.handshake_ns.len().saturating_sub(results.connections.resumed),
                handshakes_resumed: results.connections.resumed,
            },
            requests: Requests {
                sent: results.requests.sent,
                answered: results.requests.answered,
                unanswered: results.requests.unanswered,
                never_sent: results.requests.never_sent,
                errors_by_kind: by_name(&results.requests.errors),
                answers_by_class: by_class(&results.requests.statuses),
                answers_by_status: results
                    .requests
                    .statuses
                    .iter()
                    .map(|(status, count)| (status.to_string(), *count))
                    .collect(),
                out_bytes: results.requests.bytes_out,
                in_bytes: results.requests.bytes_in,
            },
            errors: results.errors(),
            rate: Rate { per_second: results.rate_per_second() },
            response_ns: open.then(|| Times::from(&results.times.response_ns)),
            service_ns: Times::from(&results.times.service_ns),
            late_ns: open.then(|| Times::from(&results.times.late_ns)),
            connect_ns: Times::from(&results.times.connect_ns),
            handshake_ns: (!results.times.handshake_ns.is_empty()).then(|| Times::from(&results.times.handshake_ns)),
            upgrade_ns: (!results.times.upgrade_ns.is_empty()).then(|| Times::from(&results.times.upgrade_ns)),
            ready_ns: (!results.times.ready_ns.is_empty()).then(|| Times::from(&results.times.ready_ns)),
            publish_ns: (!results.times.publish_ns.is_empty()).then(|| Times::from(&results.times.publish_ns)),
            deliveries: results.deliveries.as_ref().map(Deliveries::from),
            hold: results.hold.map(|hold| Hold { lasted_s: hold.lasted.as_secs_f64(), up: hold.up, lost: hold.lost }),
            server: results
                .server
                .map(|server| Server { cpu_s: server.cpu.as_secs_f64(), resident_bytes: server.resident_bytes }),
            seconds: results.seconds.iter().map(Second::from).collect(),
        }
    }
}

impl From<&Results> for Asked {
    fn from(results: &Results) -> Self {
        let asked = &results.asked;
        Self {
            scenario: asked.scenario.clone(),
            url: asked.url.clone(),
            loop_kind: if results.is_open_loop() { LoopKind::Open } else { LoopKind::Closed },
            connections: asked.connections,
            sources: asked.sources,
            login: asked.login,
            rate_per_second: asked.rate_per_second,
            depth: asked.depth,
            size_bytes: asked.size as u64,
            workload: asked.workload.clone(),
            duration_s: asked.duration.as_secs_f64(),
            warmup_s: asked.warmup.as_secs_f64(),
            hold_s: asked.hold.as_secs_f64(),
            ramp_per_second: asked.ramp_per_second,
            reactors: asked.reactors as u64,
            driver: asked.driver.clone(),
        }
    }
}

impl From<&crate::results::Deliveries> for Deliveries {
    fn from(deliveries: &crate::results::Deliveries) -> Self {
        Self {
            expected: deliveries.expected,
            received: deliveries.received,
            measured: deliveries.measured,
            recovered: deliveries.recovered,
            others: deliveries.others,
            gaps: deliveries.gaps,
            duplicates: deliveries.duplicates,
            wrong_offsets: deliveries.misplaced,
            missing: deliveries.missing,
            subscriptions: deliveries.subscriptions,
            recoveries: deliveries.recoveries,
            not_recovered: deliveries.not_recovered,
            cuts: deliveries.cuts,
        }
    }
}

impl From<&Histogram<u64>> for Times {
    fn from(times: &Histogram<u64>) -> Self {
        let measured = !times.is_empty();
        let at = |quantile| measured.then(|| times.value_at_quantile(quantile));
        Self {
            count: times.len(),
            mean: measured.then(|| times.mean().round() as u64),
            p50: at(0.5),
            p75: at(0.75),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            p9999: at(0.9999),
            max: measured.then(|| times.max()),
        }
    }
}

impl From<&crate::results::Second> for Second {
    fn from(second: &crate::results::Second) -> Self {
        let answered = second.answered > 0;
        Self {
            at_s: second.at.as_secs_f64(),
            lasted_s: second.lasted.as_secs_f64(),
            connections: second.connections,
            answered: second.answered,
            errors: second.errors,
            answers_by_class: second.classes,
            p50_ns: answered.then_some(second.p50_ns),
            p99_ns: answered.then_some(second.p99_ns),
            max_ns: answered.then_some(second.max_ns),
        }
    }
}
