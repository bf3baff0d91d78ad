//! The report for a terminal: compact, aligned, an invalid run said first and last.

use std::fmt::Write;

use crate::report::summary::{self, LatencyRow, NOT_MEASURED};
use crate::results::Results;
use crate::units;

/// The width of the labels: the longest of them and two blanks.
const LABEL_WIDTH: usize = 17;
/// The width of a column of times: its heading and two blanks.
const TIME_WIDTH: usize = 15;

/// Returns the report as text of some thirty lines, each ended by a line feed, without colours.
///
/// Control characters in what came from outside (the URL, reasons) are shown escaped, so that they cannot steer the
/// terminal.
pub fn text(results: &Results) -> String {
    // Writing to a String cannot fail, which is why the outcomes of `writeln!` are let go.
    let mut out = String::new();
    let asked = &results.asked;
    let _ = writeln!(out, "gannet load {} {}", visible(&asked.scenario), visible(&asked.url));
    if !results.is_valid() {
        let _ = writeln!(out, "\n!!! {}", summary::invalid_headline());
        for reason in &results.invalid {
            let _ = writeln!(out, "!!!   {}", visible(reason));
        }
    }
    if results.interrupted {
        let _ = writeln!(out, "\nended early, by a signal: what follows is the part that was measured");
    }
    for section in summary::sections(results) {
        let _ = writeln!(out, "\n{}", section.title);
        for (label, value) in section.rows {
            let _ = writeln!(out, "  {label:<LABEL_WIDTH$}{}", visible(&value));
        }
    }
    latencies(&mut out, results);
    if !results.is_valid() {
        let _ = writeln!(out, "\n!!! {} (why: at the top)", summary::invalid_headline());
    }
    out
}

fn latencies(out: &mut String, results: &Results) {
    let open = results.is_open_loop();
    let rows = summary::latencies(results);
    let _ = writeln!(out);
    if open {
        let _ = writeln!(
            out,
            "{:<LABEL_WIDTH$}  {:>TIME_WIDTH$}{:>TIME_WIDTH$}",
            "Latency", "response time", "service time"
        );
    } else {
        let _ = writeln!(out, "Latency ({})", summary::one_column(results));
    }
    for LatencyRow { name, response_ns, service_ns } in rows {
        let mut line = format!("  {name:<LABEL_WIDTH$}");
        if open {
            let _ = write!(line, "{:>TIME_WIDTH$}", cell(response_ns));
        }
        let _ = write!(line, "{:>TIME_WIDTH$}", cell(service_ns));
        let _ = writeln!(out, "{}", line.trim_end());
    }
    if let Some(note) = summary::left_out(results) {
        let _ = writeln!(out, "  {note}");
    }
}

fn cell(ns: Option<u64>) -> String {
    match ns {
        Some(ns) => units::time_in_column(ns),
        None => format!("{NOT_MEASURED}   "),
    }
}

/// The text with control characters escaped, line feeds included: one value is one line.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
