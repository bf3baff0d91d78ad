//! The report for spreadsheets.

use gannet_load::report::csv;

use crate::sample;

#[test]
fn there_is_a_row_a_second_under_a_header_with_as_many_columns() {
    let results = sample::stalled();
    let text = csv(&results);
    let rows: Vec<Vec<_>> = text.lines().map(|row| row.split(',').collect()).collect();
    assert_eq!(rows.len(), 1 + results.seconds.len());
    assert!(rows.iter().all(|row| row.len() == 12));
    assert_eq!(rows[0][0], "at_s");
    assert_eq!(rows[1], ["1.000", "1000", "9987", "0", "100900", "155000", "940000", "1.000", "0", "0", "0", "0"]);
}

#[test]
fn a_second_without_an_answer_has_no_latency() {
    let text = csv(&sample::stalled());
    assert_eq!(text.lines().nth(6), Some("6.000,1000,0,0,,,,1.000,0,0,0,0"));
}

#[test]
fn a_run_without_seconds_is_a_header() {
    assert_eq!(csv(&sample::nothing()).lines().count(), 1);
}

#[test]
fn a_row_says_how_many_answers_had_which_class_of_status() {
    let text = csv(&sample::statuses());
    assert!(text.lines().next().is_some_and(|header| header.ends_with(",lasted_s,2xx,3xx,4xx,5xx")));
    assert!(text.lines().nth(1).is_some_and(|row| row.ends_with(",1.000,9987,0,2,1")), "{text}");
}
