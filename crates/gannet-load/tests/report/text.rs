//! The report for a terminal.

use gannet_load::report::text;

use crate::sample;

fn line<'a>(text: &'a str, start: &str) -> &'a str {
    text.lines()
        .find(|line| line.trim_start().starts_with(start))
        .unwrap_or_else(|| panic!("no line {start} in\n{text}"))
}

#[test]
fn an_open_loop_shows_response_and_service_time_side_by_side() {
    let text = text(&sample::stalled());
    let p90: Vec<_> = line(&text, "p90").split_whitespace().collect();
    assert_eq!(p90.len(), 5, "{text}");
    assert_eq!(p90[2], "s", "the stall is in the response time:\n{text}");
    assert_eq!(p90[4], "µs", "and not in the service time:\n{text}");
    assert!(line(&text, "Latency").contains("response time"));
    assert!(line(&text, "max").contains("2.00 s"));
}

#[test]
fn a_closed_loop_says_that_it_has_service_times_only() {
    let text = text(&sample::closed());
    assert!(text.contains("service time only: a closed loop has no intended times"));
    assert!(!text.contains("response time"));
    assert!(!text.contains("sent late by"));
    assert!(line(&text, "p50").contains("50.0 ms"), "{text}");
    assert!(line(&text, "p99").contains("99.0 ms"), "{text}");
    assert!(line(&text, "mean").contains("50.5 ms"), "{text}");
}

#[test]
fn connections_errors_and_bytes_are_said_with_their_reasons() {
    let text = text(&sample::stalled());
    assert!(line(&text, "failed").ends_with("5: 4 refused, 1 timed_out"));
    assert!(line(&text, "lost").ends_with("3: 3 reset"));
    assert!(line(&text, "errors").ends_with("7: 7 lost_with_connection"));
    assert!(line(&text, "bytes").contains("6.1 MiB (625 KiB/s) out"));
    assert!(line(&text, "cpu").contains("4.2 s (42 % of a core)"));
    assert!(line(&text, "memory").contains("112 MiB resident"));
    assert!(line(&text, "reached").contains("10,000/s answered, 100 % of the rate"));
    assert!(text.contains("12 requests without an answer are not in these times"));
}

/// As where the connections are lost before the measurement begins.
#[test]
fn no_figures_are_given_of_nothing() {
    for mut results in [sample::stalled(), sample::closed()] {
        results.requests = Default::default();
        results.times = Default::default();
        results.measured = std::time::Duration::from_nanos(662);
        results.invalid = vec!["nothing was answered".to_owned()];
        let said = text(&results);
        assert!(line(&said, "reached").ends_with("–, as nothing was answered in time"), "{said}");
        assert!(line(&said, "bytes").ends_with("0 B out, 0 B in"), "{said}");
        assert!(!said.contains("662 ns") && !said.contains("/s answered"), "{said}");
        assert!(!said.contains("cpu ") || said.contains("(– of a core)"), "{said}");
        assert_eq!(line(&said, "p99").split_whitespace().filter(|cell| *cell != "–").count(), 1, "{said}");
        results.asked.listens = true;
        assert!(line(&text(&results), "reached").ends_with("–, as nothing was received"));
    }
}

#[test]
fn statuses_and_reopened_connections_are_said() {
    let text = text(&sample::statuses());
    assert!(
        line(&text, "statuses").ends_with("99,990 2xx (99,000 200, 990 204), 9 4xx (9 404), 1 5xx (1 503)"),
        "{text}"
    );
    assert!(line(&text, "tls handshake").contains("max 900"), "{text}");
    assert!(line(&text, "handshakes").ends_with("2 full, 1 resumed"), "{text}");
    assert!(line(&text, "first failure").ends_with("  the server's certificate has expired"), "{text}");
    assert!(line(&text, "time to upgrade").contains("max 90"), "{text}");
    assert!(line(&text, "reopened").contains("1,234, after"), "{text}");
    let text = gannet_load::report::text(&sample::stalled());
    assert!(!text.contains("statuses") && !text.contains("first failure"), "{text}");
}

#[test]
fn what_was_held_where_from_and_logged_in_is_said() {
    let mut results = sample::stalled();
    (results.asked.sources, results.asked.login) = (3, true);
    let text = text(&results);
    assert!(line(&text, "held").ends_with("3 s without requests: 996 up at its end, 1 lost"), "{text}");
    assert!(line(&text, "asked").ends_with("opened at 5,000/s, from 3 addresses, each logged in"), "{text}");
}

#[test]
fn an_invalid_run_says_so_first_and_last() {
    let mut results = sample::closed();
    results.invalid = vec!["reactor 1 was busy for 98 % of the time".to_owned()];
    results.interrupted = true;
    let text = text(&results);
    assert!(text.lines().nth(2).unwrap().starts_with("!!! INVALID"));
    assert!(text.lines().last().unwrap().starts_with("!!! INVALID"));
    assert!(text.contains("!!!   reactor 1 was busy"));
    assert!(text.contains("ended early"));
}

#[test]
fn a_run_without_an_answer_is_reported_all_the_same() {
    let text = text(&sample::nothing());
    assert!(line(&text, "p99").trim_end().ends_with('–'));
    assert!(line(&text, "time to connect").ends_with('–'));
    assert!(line(&text, "failed").ends_with("none"));
}

#[test]
fn what_came_from_outside_cannot_steer_the_terminal() {
    let mut results = sample::closed();
    results.asked.url = "tcp://x\u{1b}[2J\n".to_owned();
    results.connections.lost = vec![("\u{1b}]0;x\u{7}".to_owned(), 1)];
    let text = text(&results);
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
}

#[test]
fn deliveries_have_a_section_of_their_own() {
    let said = text(&sample::pushed());
    for part in [
        "  delivered        40,000 (4,000/s)",
        "  gaps             6",
        "  duplicates       3",
        "  missing          4",
        "  recovered        20 subscriptions with 70 publications, 1 not",
        "  of others        5 publications",
        "  until subscribed p50 30 ms",
        "  reopened         21: 20 that clients had cut, others that were lost",
    ] {
        assert!(said.contains(part), "{part:?} is missing: {said}");
    }
    assert!(!text(&sample::stalled()).contains("Deliveries"));
}
