//! `gannet doctor` on the machine of the tests: whatever it finds, it says it in its form.

use std::process::Output;

use serde_json::Value;

use crate::server::{Server, gannet};

fn doctor(options: &[&str]) -> Output {
    gannet(&["doctor"]).args(options).output().expect("it runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

#[test]
fn the_doctor_says_for_each_check_what_there_is_and_ends_with_1_where_one_is_bad() {
    let printed = doctor(&["--connections", "1000", "--json"]);
    let found: Value = serde_json::from_slice(&printed.stdout).expect("an object");
    let checks = found["checks"].as_array().expect("checks");
    assert!(checks.len() >= 20 && found["connections"] == 1_000, "{found}");
    let bad: Vec<&Value> = checks.iter().filter(|check| check["verdict"] == "bad").collect();
    assert_eq!(printed.status.code(), Some(i32::from(!bad.is_empty())), "{found}");
    assert_eq!(found["bad"], bad.len());
    for check in checks {
        assert!(check["why"].as_str().is_some_and(|why| !why.is_empty()), "{check}");
        assert!(check["verdict"] != "bad" || !check["have"].is_null(), "{check}");
    }
    // The same findings, a line each.
    let lines = doctor(&["--connections", "1000"]);
    for check in checks {
        let name = check["name"].as_str().expect("a name");
        let mut rows = text(&lines.stdout).lines().map(|line| line.split_whitespace());
        assert!(rows.any(|mut row| row.nth(1) == Some(name)), "{name}: {}", text(&lines.stdout));
    }
}

#[test]
fn the_doctor_looks_at_a_server_that_runs() {
    for (driver, rings) in [("poll", "skip"), ("uring", "ok")] {
        if driver == "uring" && !cfg!(target_os = "linux") {
            continue;
        }
        let server = Server::serve(driver, &["--listen", "echo=tcp://127.0.0.1:0"]);
        let pid = server.pid().to_string();
        let printed = doctor(&["--pid", &pid, "--connections", "100", "--json"]);
        let found: Value = serde_json::from_slice(&printed.stdout).expect("an object");
        assert_eq!(found["pid"], server.pid());
        let check = |name: &str| {
            let checks = found["checks"].as_array().expect("checks");
            checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name}: {found}"))
        };
        if cfg!(target_os = "linux") {
            assert_eq!(check("process_io_uring")["verdict"], rings, "{found}");
            assert_eq!(check("nofile")["verdict"], "ok", "{found}");
        }
    }
}

#[test]
fn what_is_left_out_is_not_bad_and_wrong_usage_ends_with_2() {
    let all = doctor(&["--json"]);
    let found: Value = serde_json::from_slice(&all.stdout).expect("an object");
    let bad = found["checks"].as_array().expect("checks").iter().filter(|check| check["verdict"] == "bad");
    let skips: Vec<&str> = bad.flat_map(|check| ["--skip", check["name"].as_str().expect("a name")]).collect();
    assert_eq!(doctor(&skips).status.code(), Some(0), "{skips:?}");
    for (options, why) in [
        (&["--connections", "0"][..], "from 1 to"),
        (&["--skip", "everything"], "no check has this name"),
        (&["--pid", "4294967295"], "no process 4294967295"),
        (&["--json", "--script"], "cannot be used with"),
    ] {
        let wrong = doctor(options);
        assert!(wrong.status.code() == Some(2) && text(&wrong.stderr).contains(why), "{options:?}: {wrong:?}");
    }
}
