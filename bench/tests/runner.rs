//! The runner: what it says of a peer that is missing, what it writes, and that nothing outlives it.

// Processes that are killed tell nothing of it, so that they are looked at again and again.
#![allow(clippy::disallowed_methods)]

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longer than any step takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Options of a run that is short, on one processor, and on a machine that is not quiet: its figures mean nothing.
const SHORT: [&str; 10] =
    ["--rounds", "1", "--seconds", "1", "--server-cpu", "0", "--client-cpu", "0", "--tolerate", "1000"];

fn bench(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gannet-bench"));
    command.args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    bench(&[arguments, &SHORT].concat()).output().expect("the binary starts")
}

/// One after the other: runs that are started together choose the same ports, and engines share a port with each other.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file of this test's own.
fn file(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("gannet-bench-test-{}-{name}", std::process::id()))
}

#[test]
fn a_peer_that_cannot_be_built_is_left_out_and_the_others_are_measured() {
    let _turn = turn();
    // No compiler is in this path.
    let arguments = [&["echo", "--only", "go-net", "--workload", "2x1", "--warm-up", "0.1"][..], &SHORT].concat();
    let output = bench(&arguments).env("PATH", "/nonexistent").output().expect("the binary starts");
    let (said, table) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success(), "{said}");
    assert!(said.contains("skipped: go-net, go-gnet, ") && said.contains("apt-get install golang-go"), "{said}");
    for subject in ["floor-epoll", "gannet-poll", "gannet-uring", "floor-epoll@again"] {
        assert!(table.contains(subject), "{subject}: {table}");
    }
    assert!(!table.contains("go-net"), "{table}");
}

#[test]
fn an_unknown_subject_is_an_error_that_lists_those_that_there_are() {
    let _turn = turn();
    for command in ["echo", "all"] {
        let output = run(&[command, "--only", "nosuch"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("no subject \"nosuch\"") && said.contains("floor-epoll"), "{said}");
    }
}

#[test]
fn all_runs_the_commands_that_have_a_subject_and_writes_one_report_and_one_page() {
    let _turn = turn();
    let (json, html) = (file("all.json"), file("all.html"));
    let paths = [&json, &html].map(|path| path.to_str().expect("a path in Unicode"));
    let output = run(&["all", "echo", "churn", "--only", "gannet-poll", "--json", paths[0], "--html", paths[1]]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(&json).expect("a report")).expect("one JSON object");
    let mut names: Vec<&String> = report["commands"].as_object().expect("commands").keys().collect();
    names.sort();
    assert_eq!(names, ["churn", "echo"]);
    let subjects = |rows: &serde_json::Value| -> Vec<String> {
        let rows = rows.as_array().expect("rows");
        rows.iter().map(|row| row["subject"].as_str().expect("a name").to_owned()).collect()
    };
    let expected = ["floor-epoll", "gannet-poll", "floor-epoll@again"];
    let echo = &report["commands"]["echo"];
    assert_eq!(subjects(&echo["workloads"][0]["rows"]), expected);
    assert!(echo["workloads"][0]["rows"][1]["messages_per_second"].as_f64().expect("a number") > 0.0);
    assert_eq!(echo["comparisons"][0]["subjects"].as_array().map(Vec::len), Some(3));
    assert_eq!(echo["comparisons"][0]["rounds"], 1);
    assert!(echo["origin"]["command"].as_str().expect("a command").starts_with("echo "), "{}", echo["origin"]);
    let churn = &report["commands"]["churn"]["tables"][0]["rows"];
    assert_eq!(subjects(churn), expected);
    assert!(churn[1]["operations_per_second"].as_f64().expect("a number") > 0.0, "{churn}");
    let page = fs::read_to_string(&html).expect("a page");
    assert!(page.contains("<svg") && page.contains("gannet-poll"), "{page}");
    let _ = fs::remove_file(json);
    let _ = fs::remove_file(html);
}

#[test]
fn connections_that_are_opened_are_counted() {
    let _turn = turn();
    let output = bench(&["connect", "--only", "gannet-uring", "--connections", "300", "--rounds", "1", "--json"])
        .args(["--server-cpu", "0", "--client-cpu", "0", "--tolerate", "1000"])
        .output()
        .expect("the binary starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let rows = report["tables"][0]["rows"].as_array().expect("rows");
    assert_eq!(rows.len(), 4, "{rows:?}");
    assert!(rows.iter().all(|row| row["operations_per_second"].as_f64().is_some_and(|rate| rate > 0.0)), "{rows:?}");
}

/// A comparison of stores by redis-benchmark, short.
fn by_redis_benchmark() -> Command {
    let mut command = bench(&["redis", "--case", "benchmark", "--only", "gannet-redis-poll", "--json"]);
    command.args(["--keys", "100", "--connections", "3", "--requests", "500"]).args(SHORT);
    command
}

#[test]
fn stores_and_bare_loops_are_measured_by_redis_benchmark() {
    let _turn = turn();
    let is_there = |program: &str| Command::new(program).arg("--version").output().is_ok();
    if !is_there("redis-benchmark") || !is_there("redis-server") {
        return;
    }
    let output = by_redis_benchmark().output().expect("the binary starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    let expected = ["redis-server", "gannet-redis-poll", "redis-server@again", "floor-epoll", "floor-uring"];
    for (table, verb) in [(0, "GET"), (1, "SET")] {
        let table = &report["tables"][table];
        let title = table["title"].as_str().expect("a title");
        assert!(title.starts_with(verb) && title.contains("by redis-benchmark "), "{title}");
        let rows = table["rows"].as_array().expect("rows");
        let subjects: Vec<&str> = rows.iter().filter_map(|row| row["subject"].as_str()).collect();
        assert_eq!(subjects, expected);
        // All of them beside Redis, the bare loops too.
        assert!(rows[1..].iter().all(|row| row["ratios"][0]["floor"] == "redis-server"), "{rows:?}");
        assert!(rows.iter().all(|row| row["client_busy"].as_f64().is_some_and(|busy| busy > 0.0)), "{rows:?}");
    }
}

#[test]
fn without_redis_benchmark_its_case_says_how_to_get_it_and_measures_nothing() {
    let _turn = turn();
    let output = by_redis_benchmark().env("PATH", "/nonexistent").output().expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(
        said.contains("skipped: GET and SET by redis-benchmark (") && said.contains("install redis-tools"),
        "{said}"
    );
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON object");
    assert_eq!(report["tables"].as_array().map(Vec::len), Some(0), "{report}");
}

#[test]
fn a_run_without_a_report_to_make_tables_of_says_how_to_make_one() {
    let _turn = turn();
    let folder = file("empty");
    fs::create_dir_all(&folder).expect("a folder");
    let output = bench(&["report", "--from"]).arg(&folder).output().expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("gannet-bench all --json"), "{said}");
    let _ = fs::remove_dir(folder);
}

#[test]
fn tables_and_charts_are_made_of_a_report() {
    let _turn = turn();
    let folder = file("results");
    fs::create_dir_all(&folder).expect("a folder");
    let output = run(&[
        "echo",
        "--only",
        "gannet-poll",
        "--workload",
        "2x1",
        "--warm-up",
        "0.1",
        "--json",
        folder.join("echo.json").to_str().expect("a path in Unicode"),
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = bench(&["report", "--from"]).arg(&folder).output().expect("the binary starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tables = fs::read_to_string(folder.join("tables.md")).expect("tables");
    assert!(tables.contains("| gannet-poll |") && tables.contains("](echo-1.svg)"), "{tables}");
    let chart = fs::read_to_string(folder.join("echo-1.svg")).expect("a chart");
    assert!(chart.contains(">gannet-poll<") && !chart.contains("@again"), "{chart}");
    assert!(fs::read_to_string(folder.join("index.html")).expect("a page").contains("<svg"));
    let _ = fs::remove_dir_all(folder);
}

/// A process that is ended when this is dropped.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `found` finds something.
fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "waited for {what}");
        // Nothing tells of a process that it has started or is gone: this is the time between two looks.
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The state of a process and its parent, of proc(5): nothing once it is gone.
fn stat(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name, which may have spaces and brackets.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// The child of a process whose command line has `word`: a process has others, such as the compiler that is asked for its
/// version.
fn child_of(parent: u32, word: &str) -> Option<u32> {
    let numbers = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let has_word = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
    };
    numbers.into_iter().find(|pid| stat(*pid).is_some_and(|(_, of)| of == parent) && has_word(pid))
}

#[test]
fn nothing_is_left_running_when_the_runner_is_killed() {
    let _turn = turn();
    let arguments = ["all", "echo", "--only", "floor-epoll", "--rounds", "1000", "--tolerate", "1000"];
    let mut all = bench(&arguments);
    all.args(["--server-cpu", "0", "--client-cpu", "0", "--no-peers"]).stdout(Stdio::null()).stderr(Stdio::null());
    let all = Started(all.spawn().expect("the binary starts"));
    let command = wait_for("the command", || child_of(all.0.id(), "echo"));
    let server = wait_for("its server", || child_of(command, "server"));
    drop(all);
    for (what, pid) in [("the command", command), ("its server", server)] {
        // A zombie runs no more; who inherits it collects it.
        wait_for(&format!("the end of {what}"), || match stat(pid) {
            None | Some(('Z' | 'X', _)) => Some(()),
            Some(_) => None,
        });
    }
}
