//! Which plots the page shows, and how the results become lines.

use std::cmp::Ordering;

use hdrhistogram::Histogram;

use super::axis::Axis;
use super::plot::{Line, Plot};
use crate::results::{Results, Second};
use crate::units;

/// Points of a line over time at most: more than there are pixels would only make the page heavy.
const POINTS_MAX: usize = 600;
/// The shortest time that a rate is shown of: where the measured time begins or ends, a second is cut in two, and what
/// happened to be answered in a small piece of it would be a peak or a dip that nobody has seen.
const RATE_OF_S: f64 = 0.5;
/// Points for each nine of the latency by percentile.
const POINTS_PER_NINE: u32 = 40;
/// Nines shown at most: beyond them are less than one in a million.
const NINES_MAX: f64 = 6.0;

/// The plots, in the order of the page.
pub(super) fn charts(results: &Results) -> Vec<Plot> {
    let measured_s = (results.measured_from.as_secs_f64(), (results.measured_from + results.measured).as_secs_f64());
    let points = thinned(&results.seconds, measured_s);
    let span = points.last().map_or(1.0, |point| point.at_s).max(measured_s.1);
    let over_time =
        [throughput(results, &points, span), latency(results, &points, span), connections(results, &points, span)];
    let over_time = over_time.map(|plot| Plot { shaded: Some(measured_s), ..plot });
    std::iter::once(by_percentile(results)).chain(over_time).collect()
}

/// A point in time of the plots: one second, or the sum of some.
struct Moment {
    /// Its end, when connections were counted.
    at_s: f64,
    /// Its middle, for what happened in it.
    middle_s: f64,
    /// Whether it lies before the measured time, in it, or after it.
    part: Ordering,
    connections: f64,
    /// Answers and errors a second; `None` for a piece of a second too short to say a rate.
    rates: Option<[f64; 2]>,
    /// Median, 99th percentile and maximum; `None` where nothing was answered.
    latency_ns: Option<[f64; 3]>,
}

/// The seconds, or where there are too many as many of them in one as keeps the points to [`POINTS_MAX`].
fn thinned(seconds: &[Second], measured_s: (f64, f64)) -> Vec<Moment> {
    let in_one = seconds.len().div_ceil(POINTS_MAX).max(1);
    seconds.chunks(in_one).map(|seconds| moment(seconds, measured_s)).collect()
}

fn moment(seconds: &[Second], measured_s: (f64, f64)) -> Moment {
    let lasted_s: f64 = seconds.iter().map(|second| second.lasted.as_secs_f64()).sum();
    let mean = |of: fn(&Second) -> u64| {
        let sum: f64 = seconds.iter().map(|second| of(second) as f64).sum();
        sum / lasted_s
    };
    // Percentiles are not averaged: of several seconds the worst is shown, which no thinning can hide.
    let worst = |of: fn(&Second) -> u64| {
        let answered = seconds.iter().filter(|second| second.answered > 0);
        answered.map(of).max().map(|ns| ns as f64)
    };
    let latency_ns = match (worst(|s| s.p50_ns), worst(|s| s.p99_ns), worst(|s| s.max_ns)) {
        (Some(p50), Some(p99), Some(max)) => Some([p50, p99, max]),
        _ => None,
    };
    let last = seconds.last();
    let at_s = last.map_or(0.0, |second| second.at.as_secs_f64());
    let middle_s = at_s - lasted_s / 2.0;
    Moment {
        at_s,
        middle_s,
        part: match middle_s {
            before if before < measured_s.0 => Ordering::Less,
            after if after > measured_s.1 => Ordering::Greater,
            _ => Ordering::Equal,
        },
        connections: last.map_or(0.0, |second| second.connections as f64),
        rates: (lasted_s >= RATE_OF_S).then(|| [mean(|second| second.answered), mean(|second| second.errors)]),
        latency_ns,
    }
}

fn by_percentile(results: &Results) -> Plot {
    let longest = results.times.response_ns.len().max(results.times.service_ns.len());
    let nines = (longest.max(1) as f64).log10().clamp(2.0, NINES_MAX);
    let mut lines =
        vec![Line { name: "service time", class: "second", points: percentiles(&results.times.service_ns, nines) }];
    if results.is_open_loop() {
        lines.insert(
            0,
            Line { name: "response time", class: "first", points: percentiles(&results.times.response_ns, nines) },
        );
    }
    let times = results.latency_ns();
    let description = if times.is_empty() {
        "Nothing was answered.".to_owned()
    } else {
        format!(
            "The median is {}, the 99th percentile {}, the maximum {}.",
            units::time(times.value_at_quantile(0.5)),
            units::time(times.value_at_quantile(0.99)),
            units::time(times.max())
        )
    };
    Plot {
        id: "by-percentile",
        title: "Latency by percentile",
        description,
        x: Axis::nines("percentile (each nine takes the same room)", nines),
        y: times_axis(&lines),
        shaded: None,
        lines,
    }
}

/// The line of a histogram, as far as its count of times goes: beyond that each percentile is the maximum.
fn percentiles(times: &Histogram<u64>, nines: f64) -> Vec<Option<(f64, f64)>> {
    if times.is_empty() {
        return Vec::new();
    }
    let end = (times.len() as f64).log10().min(nines);
    let steps = (end * f64::from(POINTS_PER_NINE)).ceil() as u32;
    (0..=steps)
        .map(|step| {
            let x = (f64::from(step) / f64::from(POINTS_PER_NINE)).min(end);
            let quantile = 1.0 - 10f64.powf(-x);
            Some((x, times.value_at_quantile(quantile) as f64))
        })
        .chain([Some((end, times.max() as f64))])
        .collect()
}

fn throughput(results: &Results, moments: &[Moment], span: f64) -> Plot {
    let highest = moments.iter().filter_map(|m| m.rates).flatten();
    // Of publications; what comes of each is as many deliveries as it has subscribers.
    let asked = results.asked.rate_per_second.filter(|_| results.deliveries.is_none());
    let highest = highest.chain(asked).fold(0.0, f64::max);
    let mut lines = Vec::new();
    if let Some(asked) = asked {
        lines.push(level("asked", asked, span));
    }
    lines.push(Line { name: "answered", class: "first", points: rates(moments, 0) });
    lines.push(Line { name: "errors", class: "third", points: rates(moments, 1) });
    let measured = units::rate(results.rate_per_second());
    Plot {
        id: "throughput",
        title: "Throughput over time",
        description: format!("{measured} answers a second over the measured time."),
        x: time_axis(span),
        y: Axis::linear("answers a second", highest),
        shaded: None,
        lines,
    }
}

fn latency(results: &Results, moments: &[Moment], span: f64) -> Plot {
    let line = |name, class, index: usize| Line {
        name,
        class,
        points: by_part(moments.iter(), |m| m.latency_ns?.get(index).copied()),
    };
    let lines = vec![line("max", "third", 2), line("p99", "second", 1), line("p50", "first", 0)];
    let kind = if results.is_open_loop() { "Response time" } else { "Service time" };
    Plot {
        id: "latency",
        title: "Latency over time",
        description: format!("{kind} of each second: median, 99th percentile and maximum."),
        x: time_axis(span),
        y: times_axis(&lines),
        shaded: None,
        lines,
    }
}

fn connections(results: &Results, moments: &[Moment], span: f64) -> Plot {
    let asked = results.asked.connections as f64;
    let highest = moments.iter().map(|m| m.connections).fold(asked, f64::max);
    let connections = moments.iter().map(|m| Some((m.at_s, m.connections)));
    // A ramp of less than a second would look like one of a second.
    let ramped_s = results.ramped.as_secs_f64();
    let first = moments.first().filter(|first| ramped_s < first.at_s).map(|first| Some((ramped_s, first.connections)));
    let connections = std::iter::once(Some((0.0, 0.0))).chain(first).chain(connections).collect();
    Plot {
        id: "connections",
        title: "Connections over time",
        description: format!(
            "{} opened, {} up at the end.",
            units::count(results.connections.opened),
            units::count(results.connections.up)
        ),
        x: time_axis(span),
        y: Axis::linear("connections up", highest),
        shaded: None,
        lines: vec![level("asked", asked, span), Line { name: "up", class: "first", points: connections }],
    }
}

/// A line with a gap where a value is missing, and where the measured time begins and ends: what would lead over to it
/// happened in neither.
fn by_part<'a>(
    moments: impl Iterator<Item = &'a Moment>,
    value: impl Fn(&Moment) -> Option<f64>,
) -> Vec<Option<(f64, f64)>> {
    let mut points = Vec::new();
    let mut part = None;
    for moment in moments {
        if part.is_some_and(|part| part != moment.part) {
            points.push(None);
        }
        part = Some(moment.part);
        points.push(value(moment).map(|value| (moment.middle_s, value)));
    }
    points
}

/// The line through all rates that can be said; what is too short for one leaves no gap.
fn rates(moments: &[Moment], index: usize) -> Vec<Option<(f64, f64)>> {
    by_part(moments.iter().filter(|moment| moment.rates.is_some()), |moment| moment.rates?.get(index).copied())
}

/// A line at one height: what was asked for.
fn level(name: &'static str, height: f64, span: f64) -> Line {
    Line { name, class: "asked", points: vec![Some((0.0, height)), Some((span, height))] }
}

fn time_axis(span: f64) -> Axis {
    Axis::elapsed("seconds from the start, ramp and warm-up included", span)
}

fn times_axis(lines: &[Line]) -> Axis {
    let points = || lines.iter().flat_map(|line| line.points.iter().flatten());
    let high = points().map(|point| point.1).fold(0.0, f64::max);
    let low = points().map(|point| point.1).fold(f64::MAX, f64::min);
    // Without a point any axis will do: a millisecond's surroundings look familiar.
    let (low, high) = if high > 0.0 { (low, high) } else { (1e5, 1e7) };
    Axis::times("latency (logarithmic)", low, high)
}
