//! The report as a page: one file that needs nothing else, for a browser or a printer.

use std::fmt::Write;

use super::charts;
use super::summary::{self, NOT_MEASURED};
use crate::results::Results;
use crate::units;

/// The style sheet: light or dark as the reader's system is, and black on white on paper.
const STYLE: &str = include_str!("page.css");

/// Returns the report as a self-contained HTML page with plots in SVG: no script, nothing loaded from elsewhere.
///
/// Returns all text that came from outside (the URL, reasons) is escaped. A run of many seconds is thinned out for the
/// plots, so that the page stays small: each point then shows the worst latency and the mean throughput of some
/// seconds.
pub fn html(results: &Results) -> String {
    // Writing to a String cannot fail, which is why the outcomes of `write!` are let go.
    let mut out = String::new();
    let scenario = escaped(&results.asked.scenario);
    let url = escaped(&results.asked.url);
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>gannet load: {scenario} {url}</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n\
         <header><h1>gannet load: {scenario}</h1>\n<p>{url}</p></header>\n<main>\n"
    );
    banners(&mut out, results);
    tiles(&mut out, results);
    plots(&mut out, results);
    figures(&mut out, results);
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn banners(out: &mut String, results: &Results) {
    if !results.is_valid() {
        let _ = write!(out, "<section class=\"banner\" role=\"alert\"><h2>{}</h2>\n<ul>", summary::invalid_headline());
        for reason in &results.invalid {
            let _ = write!(out, "<li>{}</li>", escaped(reason));
        }
        out.push_str("</ul></section>\n");
    }
    if results.interrupted {
        out.push_str(
            "<section class=\"early\">Ended early, by a signal: this is the part that was measured.</section>\n",
        );
    }
}

/// The figures that are looked for first.
fn tiles(out: &mut String, results: &Results) {
    let times = results.latency_ns();
    let time = |ns: u64| {
        if times.is_empty() { NOT_MEASURED.to_owned() } else { units::time(ns) }
    };
    let kind = if results.is_open_loop() { "response" } else { "service" };
    let rate = format!("{}/s", units::rate(results.rate_per_second()));
    out.push_str("<dl class=\"tiles\">\n");
    tile(out, "answered", &rate, false);
    if let Some(deliveries) = results.deliveries {
        let delivered = format!("{}/s", units::rate(results.per_second(deliveries.measured)));
        tile(out, "delivered", &delivered, false);
    }
    for (name, quantile) in [("p50", 0.5), ("p99", 0.99)] {
        let value = time(times.value_at_quantile(quantile));
        tile(out, &format!("{kind} {name}"), &value, false);
    }
    tile(out, &format!("{kind} max"), &time(times.max()), false);
    let opened = units::count(results.connections.opened);
    tile(out, "connections", &opened, false);
    for (name, count) in [("failed", results.failed()), ("lost", results.lost()), ("errors", results.errors())] {
        tile(out, name, &units::count(count), count > 0);
    }
    out.push_str("</dl>\n");
}

fn tile(out: &mut String, name: &str, value: &str, is_bad: bool) {
    let class = if is_bad { " class=\"bad\"" } else { "" };
    let _ = writeln!(out, "<div{class}><dt>{name}</dt><dd>{value}</dd></div>");
}

fn plots(out: &mut String, results: &Results) {
    out.push_str("<div class=\"grid-of-sections\">\n");
    for plot in charts::charts(results) {
        let _ = write!(out, "<section><h2>{}</h2>\n<div class=\"plot\">{}</div></section>\n", plot.title, plot.svg());
    }
    out.push_str("</div>\n");
}

fn figures(out: &mut String, results: &Results) {
    out.push_str("<div class=\"grid-of-sections\">\n");
    latencies(out, results);
    out.push_str("<div class=\"stack\">\n");
    for section in summary::sections(results) {
        let _ = write!(out, "<section><h2>{}</h2>\n<dl class=\"figures\">", section.title);
        for (label, value) in section.rows {
            let _ = writeln!(out, "<dt>{label}</dt><dd>{}</dd>", escaped(&value));
        }
        out.push_str("</dl></section>\n");
    }
    out.push_str("</div>\n</div>\n");
}

fn latencies(out: &mut String, results: &Results) {
    let open = results.is_open_loop();
    out.push_str("<section><h2>Latency</h2>\n<table><thead><tr><th scope=\"col\">percentile</th>");
    if open {
        out.push_str("<th scope=\"col\">response time</th>");
    }
    out.push_str("<th scope=\"col\">service time</th></tr></thead>\n<tbody>\n");
    let cell = |ns: Option<u64>| ns.map_or_else(|| NOT_MEASURED.to_owned(), units::time_in_column);
    for row in summary::latencies(results) {
        let _ = write!(out, "<tr><th scope=\"row\">{}</th>", row.name);
        if open {
            let _ = write!(out, "<td>{}</td>", cell(row.response_ns));
        }
        let _ = writeln!(out, "<td>{}</td></tr>", cell(row.service_ns));
    }
    out.push_str("</tbody></table>\n");
    let what = if open {
        "Response time counts from the moment a request was intended, service time from the moment it was written."
            .to_owned()
    } else {
        format!("Here is {}.", summary::one_column(results))
    };
    for note in [Some(what), summary::left_out(results)].into_iter().flatten() {
        let _ = writeln!(out, "<p class=\"note\">{note}</p>");
    }
    out.push_str("</section>\n");
}

/// Text from outside as HTML text. Control characters, which HTML does not allow, become U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' => out.push(' '),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
