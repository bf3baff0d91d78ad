//! The figures that an expectation can be about: what they are called, where they are found, how they are shown.

use std::fmt;

use hdrhistogram::Histogram;

use crate::results::Results;
use crate::units;

/// A figure of the results.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Figure {
    /// A point of a distribution of times, in ns.
    Time {
        /// Which times; `None` is response times in an open loop and service times in a closed one.
        times: Option<Times>,
        /// Which point of them.
        point: Point,
    },
    /// A count.
    Count(Count),
    /// Right answers a second.
    Rate,
}

/// What was timed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Times {
    /// From the moment a request was intended to its answer.
    Response,
    /// From the moment a request was written to its answer.
    Service,
    /// From the moment a request was intended to that at which it was written.
    Late,
    /// From the start of a connect to the connection.
    Connect,
    /// From the connection to the end of its TLS handshake.
    Handshake,
    /// From the connection to the end of its upgrade.
    Upgrade,
    /// From the start of a connect until all channels are subscribed to.
    Ready,
    /// From the moment a publication was due to the server's answer.
    Publish,
}

/// A point of a distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Point {
    /// The time that so many percent did not exceed, above 0 and at most 100.
    Percentile(f64),
    /// The longest.
    Max,
    /// The arithmetic mean.
    Mean,
}

/// What was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Count {
    /// Requests that went wrong.
    Errors,
    /// Connections that ended before the run did, and publications that never came.
    Lost,
    /// Publications that later ones have overtaken.
    Gaps,
    /// Publications that came again.
    Duplicates,
    /// Publications that came to a subscriber.
    Delivered,
    /// Connections that could not be established.
    Failed,
    /// Connections that came up.
    Opened,
    /// Connections up at the end of the measurement.
    Up,
    /// Requests sent.
    Sent,
    /// Requests answered rightly.
    Answered,
    /// Requests sent and not answered when the run ended.
    Unanswered,
    /// Requests intended by an open loop's schedule and never sent.
    NeverSent,
}

/// What a run says about a figure.
pub(super) enum Measured {
    /// The figure, and which times it is of.
    Value { value: f64, times: Option<Times> },
    /// Nothing, and why.
    Nothing(&'static str),
}

impl Figure {
    pub(super) fn measure(self, results: &Results) -> Measured {
        match self {
            Self::Time { times, point } => {
                let times = times.unwrap_or(if results.is_open_loop() { Times::Response } else { Times::Service });
                point_of(times, point, results)
            }
            Self::Count(count) => count.measure(results),
            Self::Rate if results.measured.is_zero() => Measured::Nothing("the run ended before anything was measured"),
            Self::Rate => Measured::Value { value: results.rate_per_second(), times: None },
        }
    }

    /// A value of this figure with its unit.
    pub(super) fn show(self, value: f64) -> String {
        match self {
            // A conversion of a float saturates: what is too large is shown as the largest.
            Self::Time { .. } => units::time(value.round() as u64),
            Self::Count(_) => units::count(value.round() as u64),
            Self::Rate => format!("{}/s", units::rate(value)),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time { times, point } => {
                if let Some(times) = times {
                    write!(f, "{}.", times.name())?;
                }
                write!(f, "{point}")
            }
            Self::Count(count) => f.write_str(count.name()),
            Self::Rate => f.write_str("rate"),
        }
    }
}

impl Times {
    pub(super) const ALL: [Self; 8] = [
        Self::Response,
        Self::Service,
        Self::Late,
        Self::Connect,
        Self::Handshake,
        Self::Upgrade,
        Self::Ready,
        Self::Publish,
    ];

    /// Returns the name in an expectation, before the dot.
    pub fn name(self) -> &'static str {
        match self {
            Self::Response => "response",
            Self::Service => "service",
            Self::Late => "late",
            Self::Connect => "connect",
            Self::Handshake => "handshake",
            Self::Upgrade => "upgrade",
            Self::Ready => "ready",
            Self::Publish => "publish",
        }
    }

    fn histogram(self, results: &Results) -> &Histogram<u64> {
        match self {
            Self::Response => &results.times.response_ns,
            Self::Service => &results.times.service_ns,
            Self::Late => &results.times.late_ns,
            Self::Connect => &results.times.connect_ns,
            Self::Handshake => &results.times.handshake_ns,
            Self::Upgrade => &results.times.upgrade_ns,
            Self::Ready => &results.times.ready_ns,
            Self::Publish => &results.times.publish_ns,
        }
    }

    /// Why there are no such times in a run that recorded none.
    fn missing(self, results: &Results) -> &'static str {
        match self {
            Self::Response | Self::Late if !results.is_open_loop() => {
                "a closed loop has no intended times, only service times"
            }
            Self::Response | Self::Service => "nothing was answered",
            Self::Late => "nothing was sent",
            Self::Connect => "no connection came up",
            Self::Handshake => "there was no TLS handshake",
            Self::Upgrade => "no connection was upgraded",
            Self::Ready => "no client subscribed to channels",
            Self::Publish => "nothing was published",
        }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Response => "response time",
            Self::Service => "service time",
            Self::Late => "sent late by",
            Self::Connect => "time to connect",
            Self::Handshake => "tls handshake",
            Self::Upgrade => "time to upgrade",
            Self::Ready => "time until subscribed",
            Self::Publish => "time to publish",
        })
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Percentile(percent) => write!(f, "p{percent}"),
            Self::Max => f.write_str("max"),
            Self::Mean => f.write_str("mean"),
        }
    }
}

impl Count {
    pub(super) const ALL: [Self; 12] = [
        Self::Errors,
        Self::Lost,
        Self::Gaps,
        Self::Duplicates,
        Self::Delivered,
        Self::Failed,
        Self::Opened,
        Self::Up,
        Self::Sent,
        Self::Answered,
        Self::Unanswered,
        Self::NeverSent,
    ];

    /// Returns the name in an expectation.
    pub fn name(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Lost => "lost",
            Self::Gaps => "gaps",
            Self::Duplicates => "duplicates",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Opened => "opened",
            Self::Up => "up",
            Self::Sent => "sent",
            Self::Answered => "answered",
            Self::Unanswered => "unanswered",
            Self::NeverSent => "never_sent",
        }
    }

    fn measure(self, results: &Results) -> Measured {
        let deliveries = results.deliveries;
        if deliveries.is_none() && matches!(self, Self::Gaps | Self::Duplicates | Self::Delivered) {
            return Measured::Nothing("only the scenario push has deliveries");
        }
        let deliveries = deliveries.unwrap_or_default();
        let value = match self {
            Self::Errors => results.errors(),
            Self::Lost => results.lost().saturating_add(deliveries.never_came()),
            Self::Gaps => deliveries.gaps,
            Self::Duplicates => deliveries.duplicates,
            Self::Delivered => deliveries.measured,
            Self::Failed => results.failed(),
            Self::Opened => results.connections.opened,
            Self::Up => results.connections.up,
            Self::Sent => results.requests.sent,
            Self::Answered => results.requests.answered,
            Self::Unanswered => results.requests.unanswered,
            Self::NeverSent => results.requests.never_sent,
        };
        // Without a connection nothing could be lost or go wrong: a server that is down must not pass `errors=0`.
        let needs_connections =
            matches!(self, Self::Errors | Self::Lost | Self::Gaps | Self::Duplicates | Self::Unanswered);
        if value == 0 && needs_connections && results.connections.opened == 0 {
            return Measured::Nothing("no connection came up");
        }
        Measured::Value { value: value as f64, times: None }
    }
}

fn point_of(times: Times, point: Point, results: &Results) -> Measured {
    let histogram = times.histogram(results);
    if histogram.is_empty() {
        return Measured::Nothing(times.missing(results));
    }
    let value = match point {
        Point::Percentile(percent) => histogram.value_at_quantile(percent / 100.0) as f64,
        Point::Max => histogram.max() as f64,
        Point::Mean => histogram.mean(),
    };
    Measured::Value { value, times: Some(times) }
}
