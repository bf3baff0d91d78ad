//! `gannet load` against `gannet serve`, both as processes: what it reports, and how it exits.

use std::process::{Command, Output};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::Value;

use crate::server::{Folder, Server, drivers, gannet};

fn load(scenario: &str, url: &str, options: &[&str]) -> Output {
    gannet(&[&["load", scenario, url], options].concat()).output().expect("the binary starts")
}

/// A run again, up to some times, where the machine was too busy for a valid one: that is not what the test is about.
fn valid(mut run: impl FnMut() -> Output) -> Output {
    let mut output = run();
    for _ in 0..5 {
        if output.status.code() != Some(4) {
            break;
        }
        output = run();
    }
    output
}

/// The report of a run that writes it as JSON, and how it exited.
fn report(scenario: &str, url: &str, options: &[&str], folder: &Folder) -> (Value, Option<i32>) {
    let file = folder.path("report.json");
    let json = ["--json", file.to_str().expect("a plain path"), "--quiet"];
    let output = load(scenario, url, &[options, &json].concat());
    let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    (serde_json::from_str(&text).expect("JSON"), output.status.code())
}

#[test]
fn every_scenario_reports_what_it_did_and_exits_with_0() {
    for driver in drivers() {
        let folder = Folder::new(&format!("load-{driver}"));
        let server = Server::serve(
            driver,
            &[
                "--listen=echo=tcp://127.0.0.1:0",
                "--listen=lines=tcp://127.0.0.1:0",
                "--listen=frames=tcp://127.0.0.1:0",
            ],
        );
        for (scenario, service) in
            [("echo", "echo"), ("lines", "lines"), ("frames", "frames"), ("connect", "frames"), ("idle", "frames")]
        {
            // A schedule leaves the processor idle, so that the run is valid whatever else the machine does.
            let options: &[&str] = match scenario {
                "connect" => &["--connections=1"],
                "idle" => &["--connections=20", "--heartbeat=200ms"],
                _ => &["--connections=20", "--rate=500/s"],
            };
            let common = ["--duration=1s", "--warmup=0", "--driver", driver, "--expect=errors=0", "--expect=lost=0"];
            let (report, status) = report(scenario, &server.url(service), &[options, &common].concat(), &folder);
            assert!(matches!(status, Some(0 | 4)), "{scenario}: {report}");
            assert!(report["connections"]["opened"].as_u64().is_some_and(|opened| opened > 0), "{scenario}: {report}");
            assert_eq!(report["connections"]["lost"], 0, "{scenario}: {report}");
            assert!(report["rate"]["per_second"].as_f64().is_some_and(|rate| rate > 50.0), "{scenario}: {report}");
            assert!(report["service_ns"]["p99"].as_u64().is_some_and(|p99| p99 > 0), "{scenario}: {report}");
        }
    }
}

#[test]
fn a_server_that_stops_for_two_seconds_shows_two_seconds_in_an_open_loop() {
    let folder = Folder::new("load-honest");
    let server = Server::serve("poll", &["--listen=echo=tcp://127.0.0.1:0"]);
    let file = folder.path("report.json");
    let mut load: std::process::Child = gannet(&["load", "echo", &server.url("echo")])
        .args(["--connections=100", "--rate=2000/s", "--duration=6s", "--warmup=0", "--quiet", "--json"])
        .arg(&file)
        .spawn()
        .expect("the binary starts");
    // Time is what this test is about: the server is stopped for so long in the middle of the run.
    #[allow(clippy::disallowed_methods)]
    let pass = |time: Duration| {
        let until = Instant::now() + time;
        while Instant::now() < until {
            std::thread::park_timeout(until.saturating_duration_since(Instant::now()));
        }
    };
    pass(Duration::from_secs(2));
    server.signal(Signal::STOP);
    pass(Duration::from_secs(2));
    server.signal(Signal::CONT);
    load.wait().expect("it ends");
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&file).expect("a report")).expect("JSON");
    let max = report["response_ns"]["max"].as_u64().expect("something was answered");
    let p99 = report["response_ns"]["p99"].as_u64().expect("something was answered");
    assert!((1_800_000_000..2_600_000_000).contains(&max), "{max} ns: {report}");
    assert!(p99 > 1_500_000_000, "a third of the run stood still, and the 99th percentile says {p99} ns: {report}");
    // Nothing that was intended is missing from the count.
    let sent = report["requests"]["sent"].as_u64().expect("a count");
    assert!((11_400..=12_400).contains(&sent), "{sent} of 12,000 requests: {report}");
    assert_eq!(report["requests"]["answered"].as_u64(), Some(sent), "{report}");
}

#[test]
fn an_expectation_that_is_not_met_exits_with_3_and_says_by_how_much() {
    let server = Server::serve("poll", &["--listen=echo=tcp://127.0.0.1:0"]);
    let options = ["--connections=5", "--rate=100/s", "--duration=1s", "--warmup=0", "--expect=p99<1ns"];
    let output = valid(|| load("echo", &server.url("echo"), &options));
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("not as expected: p99 was") && said.contains("over"), "{said}");
}

#[test]
fn a_target_that_is_not_there_is_counted_and_the_run_ends() {
    let folder = Folder::new("load-nobody");
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("tcp://{}", nobody.local_addr().expect("it is bound"));
    drop(nobody);
    let (report, status) = report("echo", &url, &["--connections=5", "--duration=1s", "--expect=failed=0"], &folder);
    assert_eq!(status, Some(3));
    assert_eq!(report["connections"]["failed"], 5, "{report}");
}

#[test]
fn every_form_of_the_report_is_written() {
    let folder = Folder::new("load-forms");
    let server = Server::serve("poll", &["--listen=echo=tcp://127.0.0.1:0"]);
    let (html, csv) = (folder.path("report.html"), folder.path("report.csv"));
    let pid = server.pid().to_string();
    let output = valid(|| {
        let mut command: Command = gannet(&["load", "echo", &server.url("echo"), "--rate=200/s", "--duration=2s"]);
        let command = command.arg("--html").arg(&html).arg("--csv").arg(&csv).args(["--server-pid", &pid]);
        command.output().expect("the binary starts")
    });
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("p99.9") && text.contains("echo against"), "{text}");
    assert!(std::fs::read_to_string(html).expect("a page").contains("<svg"));
    assert!(std::fs::read_to_string(csv).expect("rows").lines().count() >= 3);
}

#[test]
fn wrong_usage_is_one_line_and_exits_with_2() {
    for (arguments, what) in [
        (&["load", "echo", "udp://127.0.0.1:1"][..], "tcp://"),
        (&["load", "echo", "127.0.0.1:1"], "tcp://host:port"),
        (&["load", "dance", "tcp://127.0.0.1:1"], "dance"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--rate=fast"], "not a rate"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--expect=p99"], "p99"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--driver=poll", "--connections=3000000"], "--driver uring"),
    ] {
        let output = gannet(arguments).output().expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.lines().count() == 1 && said.contains(what), "{arguments:?}: {said}");
    }
}
