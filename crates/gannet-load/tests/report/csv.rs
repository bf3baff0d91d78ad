//! The report for spreadsheets.

use gannet_load::report::csv;

use crate::sample;

#[test]
fn there_is_a_row_a_second_under_a_header_with_as_many_columns() {
    let results = sample::stalled();
    let text = csv(&results);
    let rows: Vec<Vec<_>> = text.lines().map(|row| row.split(',').collect()).collect();
    assert_eq!(rows.len(), 1 + results.seconds.len());
    assert!(rows.iter().all(|row| row.len() == 8));
    assert_eq!(rows[0][0], "at_s");
    assert_eq!(rows[1], ["1.000", "1000", "9987", "0", "100900", "155000", "940000", "1.000"]);
}

#[test]
fn a_second_without_an_answer_has_no_latency() {
    let text = csv(&sample::stalled());
    assert_eq!(text.lines().nth(6), Some("6.000,1000,0,0,,,,1.000"));
}

#[test]
fn a_run_without_seconds_is_a_header() {
    assert_eq!(csv(&sample::nothing()).lines().count(), 1);
}
