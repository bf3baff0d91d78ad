//! The figures of a run as labelled lines and one table, which the text and the page then set in their own ways.

use std::time::Duration;

use hdrhistogram::Histogram;

use crate::figures::{PERCENTILES, by_class, by_name};
use crate::results::{Deliveries, Results};
use crate::units;

/// What is shown where a time was not measured.
pub(super) const NOT_MEASURED: &str = "–";

/// The shortest time that figures by the second are given of. A run that was over before its measurement has a shorter one.
const SHORTEST: Duration = Duration::from_millis(1);

/// Said beside a table that has one column only.
const SERVICE_ONLY: &str = "service time only: a closed loop has no intended times";

/// The same where nothing is asked for.
const DELIVERY_ONLY: &str = "from the moment that a message says it was sent at to its receipt";

/// Lines that belong together.
pub(super) struct Section {
    /// What they are about.
    pub title: &'static str,
    /// Label and value. The values hold text from outside: whoever shows them has to escape it.
    pub rows: Vec<(&'static str, String)>,
}

/// A line of the table of latencies.
pub(super) struct LatencyRow {
    /// `p50` … `p99.99`, `max` or `mean`.
    pub name: &'static str,
    /// Response time in ns; `None` in a closed loop, and where nothing was answered.
    pub response_ns: Option<u64>,
    /// Service time in ns; `None` where nothing was answered.
    pub service_ns: Option<u64>,
}

/// What the one column of times is, where there is one.
pub(super) fn one_column(results: &Results) -> &'static str {
    if results.asked.listens { DELIVERY_ONLY } else { SERVICE_ONLY }
}

/// All that is said in lines, in the order in which it is read.
pub(super) fn sections(results: &Results) -> Vec<Section> {
    let mut sections = vec![run(results), connections(results), requests(results)];
    sections.extend(deliveries(results));
    if let Some(server) = results.server {
        let share = if results.measured < SHORTEST {
            NOT_MEASURED.to_owned()
        } else {
            units::percent(server.cpu.as_secs_f64(), results.measured.as_secs_f64())
        };
        sections.push(Section {
            title: "Server",
            rows: vec![
                ("cpu", format!("{} ({share} of a core)", units::span(server.cpu))),
                ("memory", format!("{} resident", units::bytes(server.resident_bytes))),
            ],
        });
    }
    sections
}

/// The table of latencies, from the median to the maximum, and the mean.
pub(super) fn latencies(results: &Results) -> Vec<LatencyRow> {
    let response = &results.times.response_ns;
    let service = &results.times.service_ns;
    let has_response = results.is_open_loop() && !response.is_empty();
    let row = |name, response_ns: u64, service_ns: u64| LatencyRow {
        name,
        response_ns: has_response.then_some(response_ns),
        service_ns: (!service.is_empty()).then_some(service_ns),
    };
    let mut rows: Vec<_> = PERCENTILES
        .iter()
        .map(|&(name, quantile)| {
            let of = |times: &Histogram<u64>| times.value_at_quantile(quantile);
            row(name, of(response), of(service))
        })
        .collect();
    rows.push(row("max", response.max(), service.max()));
    let mean = |times: &Histogram<u64>| times.mean().round() as u64;
    rows.push(row("mean", mean(response), mean(service)));
    rows
}

/// What the table of latencies leaves out, where it leaves out something.
pub(super) fn left_out(results: &Results) -> Option<String> {
    let requests = &results.requests;
    let missing = requests.unanswered.saturating_add(requests.never_sent);
    let verb = if missing == 1 { "is" } else { "are" };
    (missing > 0).then(|| {
        let what = units::things(missing, "request");
        format!("{what} without an answer {verb} not in these times")
    })
}

/// The headline of an invalid run.
pub(super) fn invalid_headline() -> &'static str {
    "INVALID: these figures cannot be trusted"
}

fn run(results: &Results) -> Section {
    let asked = &results.asked;
    let mut opened = match asked.ramp_per_second {
        Some(ramp) => format!("opened at {}/s", units::rate(ramp)),
        None => "opened as fast as they come up".to_owned(),
    };
    if asked.sources > 1 {
        opened += &format!(", from {} addresses", units::count(asked.sources));
    }
    if asked.login {
        opened += ", each logged in";
    }
    let size = units::bytes(asked.size as u64);
    let requests = match asked.rate_per_second {
        Some(rate) => format!("open loop at {}/s, {size} each", units::rate(rate)),
        None if asked.listens => "none: what comes is received".to_owned(),
        None => {
            format!("closed loop, {} outstanding on each connection, {size} each", units::count(u64::from(asked.depth)))
        }
    };
    let mut measured = format!("{} after the ramp", units::span(asked.duration));
    if !asked.warmup.is_zero() {
        measured = format!("{} after {} of warm-up", units::span(asked.duration), units::span(asked.warmup));
    }
    let mut reached = reached(results);
    if results.interrupted {
        reached += ", ended early";
    }
    let mut rows = vec![
        ("asked", format!("{}, {opened}", units::things(asked.connections, "connection"))),
        ("requests", requests),
    ];
    rows.extend(asked.workload.iter().map(|workload| ("workload", workload.clone())));
    rows.extend([
        ("measured", measured),
        ("by", format!("{}, driver {}", units::things(asked.reactors as u64, "reactor"), asked.driver)),
        ("reached", reached),
    ]);
    Section { title: "Run", rows }
}

/// The rate that was reached, where there is one: a time in which nothing came has none.
fn reached(results: &Results) -> String {
    let asked = &results.asked;
    if results.requests.in_time == 0 {
        return format!(
            "{NOT_MEASURED}, as nothing was {}",
            if asked.listens { "received" } else { "answered in time" }
        );
    }
    let mut reached = format!("{}/s", units::rate(results.rate_per_second()));
    if let Some(rate) = asked.rate_per_second {
        let share = units::percent(results.rate_per_second(), rate);
        reached += &format!(" answered, {share} of the rate");
    } else {
        reached += if asked.listens { " received" } else { " answered" };
    }
    reached + &format!(" in {}", units::span(results.measured))
}

fn connections(results: &Results) -> Section {
    let connections = &results.connections;
    let mut section = Section {
        title: "Connections",
        rows: vec![
            (
                "opened",
                format!(
                    "{} in {}, {} up at the {}",
                    units::count(connections.opened),
                    units::span(results.ramped),
                    units::count(connections.up),
                    if results.hold.is_some() { "measurement's end" } else { "end" }
                ),
            ),
            ("failed", by_reason(results.failed(), &connections.failed)),
            ("lost", by_reason(results.lost(), &connections.lost)),
            ("time to connect", took(&results.times.connect_ns)),
        ],
    };
    if let Some(why) = &connections.first_failure {
        section.rows.insert(2, ("first failure", why.clone()));
    }
    if !results.times.handshake_ns.is_empty() {
        let resumed = connections.resumed;
        let full = results.times.handshake_ns.len().saturating_sub(resumed);
        section.rows.push(("tls handshake", took(&results.times.handshake_ns)));
        section.rows.push(("handshakes", format!("{} full, {} resumed", units::count(full), units::count(resumed))));
    }
    if !results.times.upgrade_ns.is_empty() {
        section.rows.push(("time to upgrade", took(&results.times.upgrade_ns)));
    }
    if !results.times.ready_ns.is_empty() {
        section.rows.push(("until subscribed", took(&results.times.ready_ns)));
    }
    if connections.reopened > 0 {
        let why = match results.deliveries {
            Some(Deliveries { cuts, .. }) => {
                format!(": {} that clients had cut, others that were lost", units::count(cuts))
            }
            None => ", after the server had ended them or one request was done".to_owned(),
        };
        let reopened = format!("{}{why}", units::count(connections.reopened));
        section.rows.push(("reopened", reopened));
    }
    if let Some(hold) = results.hold {
        let lost = if hold.lost == 0 { "none".to_owned() } else { units::count(hold.lost) };
        let held = format!(
            "{} without requests: {} up at its end, {lost} lost",
            units::span(hold.lasted),
            units::count(hold.up)
        );
        section.rows.push(("held", held));
    }
    section
}

/// Some points of a distribution of times.
fn took(times: &Histogram<u64>) -> String {
    if times.is_empty() {
        return NOT_MEASURED.to_owned();
    }
    format!(
        "p50 {}, p99 {}, max {}",
        units::time(times.value_at_quantile(0.5)),
        units::time(times.value_at_quantile(0.99)),
        units::time(times.max())
    )
}

fn requests(results: &Results) -> Section {
    let requests = &results.requests;
    let traffic = |bytes: u64| {
        if results.measured < SHORTEST {
            return units::bytes(bytes);
        }
        let per_second = results.per_second(bytes).round() as u64;
        format!("{} ({}/s)", units::bytes(bytes), units::bytes(per_second))
    };
    let sent = if results.asked.listens {
        ("received", units::things(requests.answered, "message"))
    } else {
        let (sent, answered) = (units::count(requests.sent), units::count(requests.answered));
        ("sent", format!("{sent}: {answered} answered, {} unanswered", units::count(requests.unanswered)))
    };
    let mut rows = vec![
        sent,
        ("errors", by_reason(results.errors(), &requests.errors)),
        ("bytes", format!("{} out, {} in", traffic(requests.bytes_out), traffic(requests.bytes_in))),
    ];
    if !requests.statuses.is_empty() {
        rows.insert(1, ("statuses", statuses(&requests.statuses)));
    }
    if results.is_open_loop() {
        let late = &results.times.late_ns;
        let late = if late.is_empty() {
            NOT_MEASURED.to_owned()
        } else {
            format!("p99 {}, max {}", units::time(late.value_at_quantile(0.99)), units::time(late.max()))
        };
        rows.push(("sent late by", late));
        rows.push(("never sent", units::count(requests.never_sent)));
    }
    Section { title: "Requests", rows }
}

/// What became of publications, where clients subscribe to channels.
fn deliveries(results: &Results) -> Option<Section> {
    let deliveries = results.deliveries?;
    let measured = deliveries.measured;
    let mut rows = vec![
        ("subscriptions", units::count(deliveries.subscriptions)),
        ("delivered", format!("{} ({}/s)", units::count(measured), units::rate(results.per_second(measured)))),
        ("gaps", units::count(deliveries.gaps)),
        ("duplicates", units::count(deliveries.duplicates)),
        ("wrong offsets", units::count(deliveries.misplaced)),
        ("missing", units::count(deliveries.missing)),
    ];
    if deliveries.recoveries + deliveries.not_recovered > 0 {
        let recovered = units::things(deliveries.recovered, "publication");
        let all = units::count(deliveries.recoveries);
        let refused = units::count(deliveries.not_recovered);
        rows.push(("recovered", format!("{all} subscriptions with {recovered}, {refused} not")));
    }
    if deliveries.others > 0 {
        rows.push(("of others", units::things(deliveries.others, "publication")));
    }
    if !results.times.publish_ns.is_empty() {
        rows.push(("time to publish", took(&results.times.publish_ns)));
    }
    Some(Section { title: "Deliveries", rows })
}

/// Classes of statuses, and the codes in each, as `9 2xx (9 200), 3 4xx (2 404, 1 429)`.
fn statuses(statuses: &[(u16, u64)]) -> String {
    let classes = by_class(statuses).into_iter().map(|(class, all)| {
        let codes = statuses.iter().filter(|(status, _)| class.starts_with(&(status / 100).to_string()));
        let codes: Vec<_> = codes.map(|(status, times)| format!("{} {status}", units::count(*times))).collect();
        format!("{} {class} ({})", units::count(all), codes.join(", "))
    });
    classes.collect::<Vec<_>>().join(", ")
}

/// A total and what it is made of, the most frequent first.
fn by_reason(total: u64, reasons: &[(String, u64)]) -> String {
    if total == 0 {
        return "none".to_owned();
    }
    let mut reasons: Vec<_> = by_name(reasons).into_iter().collect();
    reasons.retain(|(_, count)| *count > 0);
    // A stable sort: reasons that are as frequent stay in alphabetical order.
    reasons.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let parts: Vec<_> = reasons.iter().map(|(reason, count)| format!("{} {reason}", units::count(*count))).collect();
    format!("{}: {}", units::count(total), parts.join(", "))
}
