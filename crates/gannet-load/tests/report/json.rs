//! The report for programs.

use gannet_load::report::json::{Document, SCHEMA, json};
use serde_json::Value;

use crate::sample;

fn parsed(results: &gannet_load::results::Results) -> Value {
    serde_json::from_str(&json(results).unwrap()).unwrap()
}

#[test]
fn the_fields_that_programs_rely_on_are_where_they_are_documented() {
    let value = parsed(&sample::stalled());
    assert_eq!(value["schema"], SCHEMA);
    assert_eq!(value["valid"], true);
    assert_eq!(value["asked"]["loop"], "open");
    assert_eq!(value["connections"]["opened"], 1_000);
    assert_eq!(value["connections"]["failed"], 5);
    assert_eq!(value["connections"]["first_failure"], Value::Null);
    assert_eq!(value["connections"]["lost_by_reason"]["reset"], 3);
    assert_eq!(value["errors"], 7);
    assert_eq!(value["rate"]["per_second"], 10_000.0);
    assert_eq!(value["response_ns"]["count"], 100_000);
    assert!(value["response_ns"]["max"].as_u64().unwrap() >= 2_000 * sample::MS);
    assert!(value["late_ns"]["p99"].as_u64().unwrap() < sample::MS);
    assert_eq!(value["server"]["resident_bytes"], 117_440_512);
    assert_eq!(value["seconds"].as_array().unwrap().len(), 12);
    assert_eq!(value["seconds"][5]["p99_ns"], Value::Null);
}

#[test]
fn statuses_are_counted_by_class_and_by_code() {
    let value = parsed(&sample::statuses());
    assert_eq!(value["connections"]["reopened"], 1_234);
    assert_eq!(value["connections"]["first_failure"], "the server's certificate has expired");
    assert_eq!(value["requests"]["answers_by_class"], serde_json::json!({ "2xx": 99_990, "4xx": 9, "5xx": 1 }));
    assert_eq!(value["requests"]["answers_by_status"]["204"], 990);
    assert_eq!(value["seconds"][0]["answers_by_class"], serde_json::json!([9_987, 0, 2, 1]));
}

#[test]
fn percentiles_are_those_of_the_histogram() {
    let document = Document::from(&sample::closed());
    let near = |ns: Option<u64>, ms: u64| {
        let ns = ns.unwrap();
        ns >= ms * sample::MS && ns <= ms * sample::MS * 1_001 / 1_000
    };
    let times = document.service_ns;
    assert!(near(times.p50, 50) && near(times.p75, 75) && near(times.p90, 90));
    assert!(near(times.p95, 95) && near(times.p99, 99) && near(times.p9999, 100));
    assert!(near(times.max, 100));
    assert_eq!(times.count, 100);
}

#[test]
fn a_closed_loop_has_neither_response_times_nor_lateness() {
    let value = parsed(&sample::closed());
    assert_eq!(value["asked"]["loop"], "closed");
    assert_eq!(value["response_ns"], Value::Null);
    assert_eq!(value["late_ns"], Value::Null);
    assert_eq!(value["server"], Value::Null);
}

#[test]
fn times_that_were_not_measured_are_null_and_not_zero() {
    let value = parsed(&sample::nothing());
    assert_eq!(value["service_ns"]["count"], 0);
    assert_eq!(value["service_ns"]["p99"], Value::Null);
    assert_eq!(value["service_ns"]["mean"], Value::Null);
}

#[test]
fn an_invalid_run_carries_its_reasons() {
    let mut results = sample::closed();
    results.invalid = vec!["too \"slow\"".to_owned()];
    results.interrupted = true;
    let value = parsed(&results);
    assert_eq!(value["valid"], false);
    assert_eq!(value["invalid_reasons"][0], "too \"slow\"");
    assert_eq!(value["interrupted"], true);
}

#[test]
fn a_document_is_read_back_as_it_was_written() {
    let document = Document::from(&sample::stalled());
    let read: Document = serde_json::from_str(&json(&sample::stalled()).unwrap()).unwrap();
    assert_eq!(read, document);
}

#[test]
fn every_field_is_in_the_manual() {
    let manual = include_str!("../../docs/load-report.md");
    let mut names = Vec::new();
    field_names(&parsed(&sample::statuses()), &mut names);
    for name in names {
        assert!(manual.contains(&format!("`{name}`")), "{name} is not documented");
    }
}

/// The paths of all fields; the times share one table, and what is counted by reason has names from outside.
fn field_names(value: &Value, names: &mut Vec<String>) {
    for (name, value) in value.as_object().unwrap() {
        names.push(name.clone());
        match value {
            Value::Object(_) if name.contains("_by_") => {}
            Value::Object(inner) => {
                names.extend(inner.keys().map(|key| match name.ends_with("_ns") {
                    true => key.clone(),
                    false => format!("{name}.{key}"),
                }));
            }
            Value::Array(items) => {
                let keys = items.iter().filter_map(Value::as_object).flat_map(|o| o.keys());
                names.extend(keys.map(|key| format!("{name}[].{key}")));
            }
            _ => {}
        }
    }
}

#[test]
fn deliveries_are_there_where_clients_subscribe_to_channels() {
    let value = parsed(&sample::pushed());
    let deliveries = serde_json::json!({
        "expected": 50_000, "received": 49_990, "measured": 40_000, "recovered": 70, "others": 5, "gaps": 6, "duplicates": 3,
        "wrong_offsets": 1, "missing": 4, "subscriptions": 2_000, "recoveries": 20, "not_recovered": 1, "cuts": 20,
    });
    assert_eq!(value["deliveries"], deliveries);
    assert_eq!((&value["ready_ns"]["count"], &value["publish_ns"]["count"]), (&2.into(), &2.into()));
    let value = parsed(&sample::stalled());
    assert_eq!(
        (&value["deliveries"], &value["ready_ns"], &value["publish_ns"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
}
