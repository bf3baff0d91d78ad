//! Expectations, as they are written and as they are held against a run.

use gannet_load::expect::{Expectation, ParseError};
use gannet_load::results::Results;

use crate::sample;

/// What is said of an expectation that was not met; nothing for one that was.
fn said(expectation: &str, results: &Results) -> String {
    let expectation: Expectation = expectation.parse().unwrap();
    match expectation.check(results) {
        Ok(()) => String::new(),
        Err(failed) => failed.to_string(),
    }
}

#[test]
fn expectations_are_read_in_every_form_and_shown_in_one() {
    let expected = [
        ("p99<5ms", "p99 < 5 ms"),
        ("p99.9<=10ms", "p99.9 <= 10 ms"),
        (" max < 1 s ", "max < 1 s"),
        ("mean<250us", "mean < 250 µs"),
        ("mean<250µs", "mean < 250 µs"),
        ("mean<250\u{3bc}s", "mean < 250 µs"),
        ("p50>900ns", "p50 > 900 ns"),
        ("p99<1.5s", "p99 < 1.5 s"),
        ("p99<1.1ms", "p99 < 1.1 ms"),
        ("service.p99<5ms", "service.p99 < 5 ms"),
        ("late.p99<1ms", "late.p99 < 1 ms"),
        ("connect.max<1s", "connect.max < 1 s"),
        ("p100<1s", "p100 < 1 s"),
        ("errors=0", "errors = 0"),
        ("lost=0", "lost = 0"),
        ("failed=0", "failed = 0"),
        ("never_sent=0", "never_sent = 0"),
        ("rate>=10000", "rate >= 10,000/s"),
        ("rate>=10_000/s", "rate >= 10,000/s"),
        ("opened>=1000000", "opened >= 1,000,000"),
    ];
    for (text, shown) in expected {
        let expectation: Expectation = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(expectation.to_string(), shown);
    }
}

#[test]
fn what_is_no_expectation_is_refused_with_what_would_be_one() {
    let refused = [
        ("", "compares nothing"),
        ("p99", "compares nothing"),
        ("p98.x<5ms", "above 0 and at most 100"),
        ("p999<5ms", "as in p99.9"),
        ("p0<5ms", "above 0"),
        ("p<5ms", "is not a figure"),
        ("latency<5ms", "is not a figure: there are p50"),
        ("late<5ms", "is not a figure"),
        ("service.errors=0", "is not a figure"),
        ("p99<5", "its unit is one of ns, us"),
        ("p99<5 min", "its unit is one of ns, us"),
        ("p99<", "is not a number to compare p99 with"),
        ("p99<-5ms", "is not a number"),
        ("p99<1e3ms", "its unit is"),
        ("p99==5ms", "is not a number"),
        ("errors=none", "as in errors=0"),
        ("errors<1.5", "as in errors=0"),
        ("errors=1ms", "as in errors=0"),
        ("rate>=fast", "as in rate>=10000"),
        ("rate>=inf", "as in rate>=10000"),
        ("rate>=1.2.3", "as in rate>=10000"),
        ("max<µ", "is not a number"),
    ];
    for (text, says) in refused {
        let error = text.parse::<Expectation>().unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
    let huge = format!("rate>={}", "9".repeat(400));
    assert!(matches!(huge.parse::<Expectation>(), Err(ParseError::NoNumber { .. })));
}

#[test]
fn what_holds_is_met() {
    for met in ["p99<2s", "max<2.1s", "service.p99<1ms", "late.p99<1ms", "rate>=10000", "rate=10000"] {
        assert_eq!(said(met, &sample::stalled()), "", "{met}");
    }
    for met in ["errors=0", "lost=0", "failed<=0", "opened>=1000", "up>999", "service.p50>=50ms"] {
        assert_eq!(said(met, &sample::closed()), "", "{met}");
    }
}

#[test]
fn what_does_not_hold_says_what_was_measured_and_by_how_much_it_missed() {
    let mut results = sample::closed();
    results.times.service_ns = sample::times([7_200_000]);
    results.connections.lost = vec![("reset".to_owned(), 3)];
    let expected = [
        ("p99<5ms", "p99 was 7.2 ms (service time), expected < 5 ms: 2.2 ms over"),
        ("service.max<=5ms", "service.max was 7.2 ms, expected <= 5 ms: 2.2 ms over"),
        ("p50>1s", "p50 was 7.2 ms (service time), expected > 1 s: 993 ms short"),
        ("lost=0", "lost were 3, expected = 0: 3 over"),
        ("lost<3", "lost were 3, expected < 3: exactly at the limit"),
        ("opened>=1200", "opened were 1,000, expected >= 1,200: 200 short"),
        ("rate>=12000", "rate was 10,000/s, expected >= 12,000/s: 2,000/s short"),
    ];
    for (expectation, says) in expected {
        assert_eq!(said(expectation, &results), says);
    }
}

#[test]
fn a_percentile_means_response_time_in_an_open_loop_and_service_time_in_a_closed_one() {
    assert!(said("p99<1ms", &sample::stalled()).contains("(response time)"));
    assert!(said("p99<1ms", &sample::closed()).contains("(service time)"));
}

#[test]
fn an_expectation_on_what_was_not_measured_fails_with_that_as_its_reason() {
    let expected = [
        ("p99<5ms", "p99 was not measured, expected < 5 ms: nothing was answered"),
        (
            "late.p99<1ms",
            "late.p99 was not measured, expected < 1 ms: a closed loop has no intended times, only service times",
        ),
        ("connect.max<1s", "connect.max was not measured, expected < 1 s: no connection came up"),
        ("lost=0", "lost were not measured, expected = 0: no connection came up"),
        ("errors=0", "errors were not measured, expected = 0: no connection came up"),
    ];
    for (expectation, says) in expected {
        assert_eq!(said(expectation, &sample::nothing()), says);
    }
    let mut unmeasured = sample::closed();
    unmeasured.measured = std::time::Duration::ZERO;
    assert!(said("rate>=1", &unmeasured).contains("ended before anything was measured"));
}

#[test]
fn what_was_delivered_can_be_expected() {
    let results = sample::pushed();
    for (expectation, measured) in [
        ("gaps=0", "gaps were 6"),
        ("duplicates=0", "duplicates were 3"),
        ("lost=0", "lost were 13"),
        ("delivered>=50000", "delivered were 40,000"),
        ("ready.p99<20ms", "ready.p99 was 40"),
        ("publish.max<2ms", "publish.max was 3"),
    ] {
        let failed = expectation.parse::<Expectation>().expect(expectation).check(&results).expect_err(expectation);
        assert!(failed.to_string().contains(measured), "{expectation}: {failed}");
    }
    for other in ["gaps=0", "ready.p99<20ms"] {
        let expectation = other.parse::<Expectation>().expect(other);
        assert!(expectation.check(&sample::stalled()).is_err(), "a run without channels does not meet {other}");
    }
}
