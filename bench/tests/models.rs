//! `models` from end to end: short, and on one processor, so that the figures mean nothing. Each case checks by itself that
//! its work was done rightly, and fails otherwise: every byte of an echo, the sum of a counter, the entry of a look-up.

use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

mod descriptors;

use descriptors::allow_descriptors;

/// One after the other: processes that are started together choose the same ports, and engines share a port with each other.
fn models(arguments: &[&str]) -> Output {
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    Command::new(env!("CARGO_BIN_EXE_gannet-bench"))
        .arg("models")
        .args(arguments)
        .args(["--json", "--rounds", "2", "--seconds", "1", "--warm-up", "0.1"])
        .args(["--server-cpu", "0", "--client-cpu", "0"])
        .output()
        .expect("the binary starts")
}

/// The tables of a case.
fn tables(arguments: &[&str]) -> Vec<Value> {
    let output = models(arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    report["tables"].as_array().expect("tables").clone()
}

fn rows(table: &Value) -> &[Value] {
    table["rows"].as_array().expect("rows")
}

fn names(table: &Value) -> Vec<&str> {
    rows(table).iter().map(|row| row["subject"].as_str().expect("a name")).collect()
}

/// The median of a figure.
fn figure(row: &Value, name: &str) -> f64 {
    row["figures"][name]["median"].as_f64().unwrap_or_else(|| panic!("no {name} in {row}"))
}

#[test]
fn every_model_echoes_under_idle_connections() {
    let tables = tables(&["connections", "--connections", "30", "--active", "5", "50%"]);
    assert_eq!(tables.len(), 2);
    for table in &tables {
        let expected =
            ["thread per connection", "select", "poll", "epoll, level-triggered", "epoll, edge-triggered", "io_uring"];
        assert_eq!(names(table), expected);
        for row in rows(table) {
            assert!(figure(row, "per_second") > 0.0 && figure(row, "p99_us") >= figure(row, "p50_us"), "{row}");
            assert!(figure(row, "resident_kib") > 100.0, "{row}");
        }
        // One for each connection, and the one that accepts. The allocator may have some of its own.
        assert!(figure(&rows(table)[0], "threads") >= 31.0, "{table}");
        assert!(figure(&rows(table)[0], "threads") > figure(&rows(table)[1], "threads"), "{table}");
        assert!(rows(table)[4]["ratios"] == json!([]) && rows(table)[5]["ratios"][0]["median"].is_f64(), "{table}");
    }
}

/// Descriptors of the child for its connections, and some for what it has besides.
const DESCRIPTORS: u64 = 1_300;

#[test]
fn select_says_that_it_ends_where_its_set_of_descriptors_does() {
    if !allow_descriptors(DESCRIPTORS) {
        return;
    }
    let tables = tables(&["connections", "--connections", "1100", "--active", "5", "--only", "select"]);
    assert_eq!(names(&tables[0]), ["select", "epoll, edge-triggered"]);
    let select = &rows(&tables[0])[0];
    assert_eq!(select["impossible"], "ends at 1024 descriptors (FD_SETSIZE)");
    assert!(figure(&rows(&tables[0])[1], "per_second") > 0.0);
}

#[test]
fn a_counter_is_the_sum_of_all_increments_however_it_is_kept() {
    let tables = tables(&["counter", "--threads", "1", "3"]);
    assert_eq!(tables.len(), 2);
    for table in &tables {
        assert_eq!(names(table).len(), 5);
        for row in rows(table) {
            assert!(figure(row, "per_second") > 0.0, "{row}");
        }
    }
}

#[test]
fn long_work_is_answered_wherever_it_is_done() {
    let tables = tables(&["work"]);
    assert_eq!(tables.len(), 3);
    for table in &tables {
        assert_eq!(names(table), ["in the reactor", "offloaded", "queued to the background"]);
        for row in rows(table) {
            assert!(figure(row, "small_p99_us") >= figure(row, "small_p50_us"), "{row}");
            assert_eq!(figure(row, "refused_per_second"), 0.0, "{row}");
            // What is done before the answer takes 50 ms at least.
            let is_answered_at_once = row["subject"] == "queued to the background";
            assert!(is_answered_at_once || figure(row, "long_p50_ms") >= 49.0, "{row}");
        }
    }
}

#[test]
fn a_message_has_a_size_in_every_format() {
    let tables = tables(&["formats"]);
    assert_eq!(rows(&tables[0]).len(), 12);
    for row in rows(&tables[0]) {
        let name = row["subject"].as_str().expect("a name");
        assert!(figure(row, "bytes") > 50.0 && figure(row, "encode_ns") > 0.0, "{row}");
        // Without compression there is nothing to compress.
        assert_eq!(figure(row, "compress_ns") > 0.0, name.contains(','), "{row}");
    }
}

#[test]
fn connections_begin_by_tls_of_both_versions_and_without() {
    let tables = tables(&["tls"]);
    assert_eq!(tables.len(), 2);
    for table in &tables {
        assert_eq!(names(table), ["plain", "TLS 1.2", "TLS 1.2, resumed", "TLS 1.3", "TLS 1.3, resumed"]);
        assert!(rows(table).iter().all(|row| figure(row, "per_second") > 0.0), "{table}");
    }
}

#[test]
fn a_registry_has_who_has_come_and_not_gone_however_it_is_kept() {
    let tables = tables(&["registry", "--threads", "2", "--users", "1000", "--changes", "2000"]);
    assert_eq!(names(&tables[0]).len(), 6);
    assert!(rows(&tables[0]).iter().all(|row| figure(row, "per_second") > 0.0), "{tables:?}");
}

#[test]
fn another_build_is_nothing_that_models_compares() {
    let output = models(&["counter", "--against", "/bin/true"]);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("leave --against out"));
}
