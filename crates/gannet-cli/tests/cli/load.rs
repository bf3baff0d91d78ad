//! `gannet load` against `gannet serve`, both as processes: what it reports, and how it exits.

use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use gannet_testing::{PATIENCE, free_ports};
use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};
use rustix::process::Signal;
use serde_json::Value;

use crate::server::{Folder, Server, drivers, gannet, gannet_by_shell};

pub(crate) fn load(scenario: &str, url: &str, options: &[&str]) -> Output {
    gannet(&[&["load", scenario, url], options].concat()).output().expect("the binary starts")
}

/// A run again, up to some times, where the machine was too busy for a valid one: that is not what the test is about.
fn valid(mut run: impl FnMut() -> Output) -> Output {
    let mut output = run();
    for _ in 0..20 {
        if output.status.code() != Some(4) {
            break;
        }
        output = run();
    }
    output
}

/// The report of a run that writes it as JSON, and how it exited.
pub(crate) fn report(scenario: &str, url: &str, options: &[&str], folder: &Folder) -> (Value, Option<i32>) {
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
                "--listen=redis=tcp://127.0.0.1:0",
                "--listen=http=tcp://127.0.0.1:0",
            ],
        );
        for (scenario, service) in [
            ("echo", "echo"),
            ("lines", "lines"),
            ("frames", "frames"),
            ("connect", "frames"),
            ("idle", "frames"),
            ("redis", "redis"),
            ("http", "http"),
            ("ws", "http"),
        ] {
            // A schedule leaves the processor idle, so that the run is valid whatever else the machine does.
            let options: &[&str] = match scenario {
                "connect" => &["--connections=1"],
                "idle" => &["--connections=20", "--heartbeat=200ms"],
                "ws" => &["--connections=20", "--rate=500/s", "--path=/ws/echo", "--text"],
                _ => &["--connections=20", "--rate=500/s"],
            };
            let common = ["--duration=700ms", "--warmup=0", "--driver", driver, "--expect=errors=0", "--expect=lost=0"];
            let (report, status) = report(scenario, &server.url(service), &[options, &common].concat(), &folder);
            assert!(matches!(status, Some(0 | 4)), "{scenario}: {report}");
            assert!(report["connections"]["opened"].as_u64().is_some_and(|opened| opened > 0), "{scenario}: {report}");
            assert_eq!(report["connections"]["lost"], 0, "{scenario}: {report}");
            assert!(report["rate"]["per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{scenario}: {report}");
            assert!(report["service_ns"]["p99"].as_u64().is_some_and(|p99| p99 > 0), "{scenario}: {report}");
        }
    }
}

/// Clients cut their connections meanwhile, and recover.
#[test]
fn every_publication_reaches_each_subscriber_of_the_gateway_once_in_both_formats() {
    let options = "presence,history_size=1000,history_ttl=5m,force_recovery,allow_subscribe_for_client,\
                   allow_publish_for_client";
    for driver in drivers() {
        let folder = Folder::new(&format!("load-push-{driver}"));
        let server = Server::serve(
            driver,
            &[
                "--listen=push=tcp://127.0.0.1:0",
                "--push-token-secret=a secret of tests, which guards nothing",
                &format!("--push-namespace=news:{options}"),
                &format!("--push-namespace=more:{options}"),
            ],
        );
        for format in [&["--size=300"][..], &["--protobuf"]] {
            let clients = [
                "--connections=20",
                "--channels=news:{n%4}",
                "--channels=more:{n/5}-{0..2}",
                "--token-secret=a secret of tests, which guards nothing",
                "--publishers=4",
                "--rate=100/s",
                "--reconnect=50%/s",
                "--duration=1s",
                "--warmup=0",
                "--driver",
                driver,
            ];
            let expected = ["--expect=errors=0", "--expect=lost=0", "--expect=duplicates=0", "--expect=delivered>=1"];
            let options = [format, &clients, &expected].concat();
            let (report, status) = report("push", &server.url("push"), &options, &folder);
            assert!(matches!(status, Some(0 | 4)), "{report}");
            let deliveries = &report["deliveries"];
            assert_eq!(deliveries["expected"], deliveries["received"], "{report}");
            assert!(deliveries["cuts"].as_u64().is_some_and(|cuts| cuts > 0), "{report}");
            assert_eq!(report["connections"]["up"], 24, "{report}");
        }
    }
}

#[test]
fn answers_of_http_are_reported_by_status_in_every_form() {
    let folder = Folder::new("load-http");
    let server = Server::serve("poll", &["--listen=http=tcp://127.0.0.1:0"]);
    let url = format!("{}/no-such-path?a=b", server.url("http").replace("tcp://", "http://"));
    let options = ["--rate=200/s", "--duration=500ms", "--warmup=0", "--connections=5", "-H", "X-A: 1"];
    let (report, _) = report("http", &url, &[&options[..], &["--no-keep-alive"]].concat(), &folder);
    let sent = report["requests"]["sent"].as_u64().expect("a count");
    assert!(sent > 0, "{report}");
    assert_eq!(report["requests"]["answers_by_status"]["404"].as_u64(), Some(sent), "{report}");
    assert_eq!(report["requests"]["errors_by_kind"]["status"].as_u64(), Some(sent), "{report}");
    assert!(report["connections"]["reopened"].as_u64().is_some_and(|reopened| reopened >= sent), "{report}");
    assert_eq!(report["asked"]["workload"], "GET /no-such-path?a=b, 1 header, a new connection for each", "{report}");
    let (html, csv) = (folder.path("report.html"), folder.path("report.csv"));
    let files = ["--html", html.to_str().expect("a path"), "--csv", csv.to_str().expect("a path")];
    let accepted = [&options[..], &files, &["--accept-status=4xx", "--expect=errors=0"]].concat();
    let output = valid(|| load("http", &url, &accepted));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let statuses =
        text.lines().find(|line| line.trim_start().starts_with("statuses")).unwrap_or_else(|| panic!("{text}"));
    assert!(statuses.contains(" 4xx (") && statuses.ends_with(" 404)"), "{text}");
    assert!(std::fs::read_to_string(html).expect("a page").contains("<dt>statuses</dt>"));
    assert!(
        std::fs::read_to_string(csv).expect("rows").lines().next().is_some_and(|header| header.ends_with("4xx,5xx"))
    );
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
    assert!((1_800_000_000..4_000_000_000).contains(&max), "{max} ns: {report}");
    assert!(p99 > 1_500_000_000, "a third of the run stood still, and the 99th percentile says {p99} ns: {report}");
    // Nothing that was intended is missing from the count.
    let sent = report["requests"]["sent"].as_u64().expect("a count");
    assert!((11_000..=12_400).contains(&sent), "{sent} of 12,000 requests: {report}");
    assert_eq!(report["requests"]["answered"].as_u64(), Some(sent), "{report}");
}

#[test]
fn an_expectation_that_is_not_met_exits_with_3_and_says_by_how_much() {
    let server = Server::serve("poll", &["--listen=echo=tcp://127.0.0.1:0"]);
    let options = ["--connections=1", "--rate=10/s", "--duration=1s", "--warmup=0", "--expect=p99<1ns"];
    let output = valid(|| load("echo", &server.url("echo"), &options));
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("not as expected: p99 was") && said.contains("over"), "{said}");
}

#[test]
fn a_target_that_is_not_there_is_counted_and_the_run_ends() {
    let folder = Folder::new("load-nobody");
    let url = format!("tcp://{}", free_ports(1)[0]);
    let (report, status) = report("echo", &url, &["--connections=5", "--duration=1s", "--expect=failed=0"], &folder);
    assert_eq!(status, Some(3));
    assert_eq!(report["connections"]["failed"], 5, "{report}");
    let output = load("echo", &url, &["--connections=5", "--duration=1s", "--quiet"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.lines().count() == 1 && said.contains(&format!("no connection to {url} came up (5 refused)")),
        "{said}"
    );
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
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("p99.9") && text.contains("echo against"), "{text}");
    assert!(std::fs::read_to_string(html).expect("a page").contains("<svg"));
    assert!(std::fs::read_to_string(csv).expect("rows").lines().count() >= 3);
}

#[test]
fn clients_come_from_the_given_addresses_log_in_and_are_held_afterwards() {
    for driver in drivers() {
        let folder = Folder::new(&format!("load-hold-{driver}"));
        let server = Server::serve(driver, &["--listen=lines=tcp://127.0.0.1:0"]);
        let file = folder.path("login");
        std::fs::write(&file, "AUTH {n}\n").expect("a file");
        let (schedule, hold) =
            (["--rate=200/s", "--duration=500ms", "--warmup=0"], ["--hold=500ms", "--driver", driver]);
        for login in ["AUTH user{n}\\r\\n", file.to_str().expect("a plain path")] {
            let options = ["--sources=127.0.4.0/29", "--connections=20", "--login", login, "--expect=failed=0"];
            let options = [&options[..], &schedule, &hold].concat();
            let (report, status) = report("lines", &server.url("lines"), &options, &folder);
            assert!(matches!(status, Some(0 | 4)), "{report}");
            assert_eq!(report["asked"]["sources"], 6, "{report}");
            assert_eq!(report["asked"]["login"], true, "{report}");
            assert_eq!(report["hold"]["up"], 20, "{report}");
            assert_eq!(report["hold"]["lost"], 0, "{report}");
            assert!(report["hold"]["lasted_s"].as_f64().is_some_and(|lasted| lasted >= 0.5), "{report}");
        }
    }
}

#[test]
fn idle_connections_are_held_by_either_name() {
    let folder = Folder::new("load-idle");
    let server = Server::serve("poll", &["--listen=frames=tcp://127.0.0.1:0"]);
    for option in ["--hold=1s", "--duration=1s"] {
        let options = [option, "--connections=5", "--heartbeat=100ms", "--warmup=0"];
        let (report, _) = report("idle", &server.url("frames"), &options, &folder);
        assert_eq!(report["asked"]["duration_s"], 1.0, "{report}");
        assert_eq!(report["hold"], Value::Null, "{report}");
        assert!(report["requests"]["answered"].as_u64().is_some_and(|answered| answered > 0), "{report}");
    }
}

#[test]
fn a_run_that_is_ended_early_reports_what_it_has() {
    let folder = Folder::new("load-early");
    let server = Server::serve("poll", &["--listen=echo=tcp://127.0.0.1:0"]);
    let file = folder.path("report.json");
    let mut command = gannet(&["load", "echo", &server.url("echo"), "--rate=100/s", "--duration=1h", "--json"]);
    let mut load = Server::spawn(command.arg(&file));
    // Where nobody looks at a terminal there is a line after some seconds.
    let line = load.wait_for_line(|line| line.starts_with("measuring: "));
    assert!(line.contains(" left; 50 of 50 up, 0 failed, 0 lost; ") && line.contains(" messages/s, p50 "), "{line}");
    // Twice at once is once: `timeout` signals its child and then the group that this is in.
    load.signal_together(&[Signal::TERM, Signal::INT]);
    let ended = load.ended();
    assert!(ended.stdout.iter().any(|line| line.contains("ended early, by a signal")), "{ended:#?}");
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&file).expect("a report")).expect("JSON");
    assert_eq!(report["interrupted"], true);
    assert!(report["requests"]["answered"].as_u64().is_some_and(|answered| answered > 0), "{report}");
}

#[test]
fn a_file_that_cannot_be_written_is_said_before_the_start() {
    let folder = Folder::new("load-unwritable");
    let file = folder.path("no-such-folder/report.json");
    let output = load("echo", "tcp://127.0.0.1:1", &["--json", file.to_str().expect("a plain path")]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty() && said.contains("report.json cannot be written"), "{output:?}");
}

#[test]
fn a_form_of_the_report_that_cannot_be_written_takes_no_other_with_it() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let folder = Folder::new("load-full");
    let (csv, html) = (folder.path("report.csv"), folder.path("report.html"));
    let (csv, html) = (csv.to_str().expect("a plain path"), html.to_str().expect("a plain path"));
    let server = Server::serve("poll", &["--listen=echo=tcp://127.0.0.1:0"]);
    let options = ["--duration=100ms", "--warmup=0", "--json=/dev/full", "--csv", csv, "--html", html];
    let output = load("echo", &server.url("echo"), &options);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("/dev/full cannot be written"), "{said}");
    for file in [csv, html] {
        assert!(!std::fs::read_to_string(file).expect("a report").is_empty(), "{file}");
    }
}

#[test]
fn a_report_that_does_not_fit_on_the_disk_is_said_and_takes_no_file_with_it() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let folder = Folder::new("load-full-stdout");
    let csv = folder.path("report.csv");
    let csv = csv.to_str().expect("a plain path");
    let server = Server::serve("poll", &["--listen=echo=tcp://127.0.0.1:0"]);
    let (url, script) = (server.url("echo"), r#"exec "$0" "$@" >/dev/full"#);
    let options = ["load", "echo", &url, "--duration=100ms", "--warmup=0", "--csv", csv];
    let output = gannet_by_shell(script, &options).output().expect("the binary starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("gannet: standard output cannot be written: No space left"), "{said}");
    // Nobody waits an hour for a report that goes nowhere.
    assert!(std::fs::read_to_string(csv).is_ok_and(|rows| rows.is_empty()), "it has run");
    let output = gannet_by_shell(script, &["load", "--help"]).output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let output = gannet_by_shell(script, &["--version"]).output().expect("the binary starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn a_pipe_without_a_reader_is_said_before_the_start_and_one_with_a_reader_gets_the_report() {
    let server = Server::serve("poll", &["--listen=echo=tcp://127.0.0.1:0"]);
    for option in ["--json", "--html", "--csv"] {
        let folder = Folder::new("load-pipe");
        let pipe = folder.path("report");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        let path = pipe.to_str().expect("a plain path");
        let options = [option, path, "--rate=100/s", "--duration=100ms", "--warmup=0"];
        let output = load("echo", &server.url("echo"), &options);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(output.stdout.is_empty() && said.contains("report is a pipe that nobody reads"), "{output:?}");
        // The end to read from is there before the run begins, which does not wait for it either.
        let mut ends = std::fs::File::options();
        let mut reader =
            ends.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(&pipe).expect("a pipe");
        let flags = rustix::fs::fcntl_getfl(&reader).expect("it is open");
        rustix::fs::fcntl_setfl(&reader, flags - OFlags::NONBLOCK).expect("it is open");
        let mut command = gannet(&["load", "echo", &server.url("echo")]);
        let run = Server::spawn(command.args(options));
        #[allow(clippy::disallowed_methods)] // The patience of a test.
        let (mut report, began) = (String::new(), Instant::now());
        while report.is_empty() && began.elapsed() < PATIENCE {
            // A pipe that the run has not opened yet is at its end.
            reader.read_to_string(&mut report).expect("it ends with the run");
            std::thread::yield_now();
        }
        assert!(report.len() > 100, "{option}: {report:?}");
        drop(run.ended());
    }
}

#[test]
fn with_few_descriptors_as_many_reactors_are_planned_as_can_start() {
    let server = Server::serve("poll", &["--listen=echo=tcp://127.0.0.1:0"]);
    let url = server.url("echo");
    for driver in drivers() {
        let script = r#"ulimit -n 60; exec "$0" "$@""#;
        let run = |connections| {
            let options = ["load", "echo", &url, "--driver", driver, "--duration=100ms", "--warmup=0", "--rate=100/s"];
            let options = [&options[..], &["--connections", connections]].concat();
            valid(|| gannet_by_shell(script, &options).output().expect("the binary starts"))
        };
        let output = run(if *driver == "poll" { "30" } else { "100" });
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let output = run("3000");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("raise ulimit -n") && said.lines().count() == 1, "{said}");
    }
}

#[test]
fn what_the_report_cannot_be_or_be_about_is_said_before_the_start() {
    let folder = Folder::new("load-report");
    let file = folder.path("report");
    let file = file.to_str().expect("a plain path");
    for (options, said) in [
        (&["--json", file, "--csv", file][..], "--json and --csv name the same file"),
        (&["--quiet", "--json", "-"], "standard output is /dev/stdout"),
        (&["--server-pid", "2147483647"], "no such process"),
        (&["--server-pid", ""], "not a whole number from 1"),
    ] {
        let output = load("echo", "tcp://127.0.0.1:1", options);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.stdout.is_empty() && stderr.contains(said) && stderr.lines().count() == 1, "{stderr}");
        assert_eq!(output.status.code(), Some(2), "{stderr}");
    }
    assert!(!std::path::Path::new(file).exists());
}

#[test]
fn nobody_has_to_read_the_report() {
    let server = Server::serve("poll", &["--listen=echo=tcp://127.0.0.1:0"]);
    let url = server.url("echo");
    let options = ["load", "echo", &url, "--connections=1", "--rate=10/s", "--duration=500ms", "--warmup=0"];
    let output = valid(|| gannet_by_shell(r#"exec "$0" "$@" >&-"#, &options).output().expect("the binary starts"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn nothing_is_printed_where_nothing_is_wanted() {
    let server = Server::serve("poll", &["--listen=echo=tcp://127.0.0.1:0"]);
    let options = ["--connections=1", "--rate=10/s", "--duration=500ms", "--warmup=0", "--quiet"];
    let output = valid(|| load("echo", &server.url("echo"), &options));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn the_manual_has_what_one_looks_for() {
    let output = gannet(&["load", "--help"]).output().expect("the binary starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for said in [
        "Usage: gannet load",
        "against the service echo",
        "Closed and open loops:",
        "Connections:",
        "Clients:",
        "Schedule:",
        "HTTP:",
        "WebSocket:",
        "Push:",
        "Channels:",
        "TLS:",
        "Redis:",
        "Report:",
        "Examples:",
        "--login 'AUTH user{n}' --rate",
        "Exit status:",
    ] {
        assert!(text.contains(said), "{said:?} is missing: {text}");
    }
    let output = gannet(&["load", "-h"]).output().expect("the binary starts");
    assert!(String::from_utf8_lossy(&output.stdout).lines().count() < 60, "more than a screen");
}

#[test]
fn wrong_usage_is_one_line_and_exits_with_2() {
    for (arguments, what) in [
        (&["load", "echo", "udp://127.0.0.1:1"][..], "tcp://"),
        (&["load", "echo", "127.0.0.1:1"], "tcp://host:port"),
        (&["load", "dance", "tcp://127.0.0.1:1"], "dance"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--rate=fast"], "not a rate"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--expect=p99"], "p99"),
        (&["load"], "<SCENARIO>"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--rate=0"], "at least 0.001/s"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--duration=0"], "longer than 0"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--rate=5/s", "--depth=2"], "--depth"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--heartbeat=5s"], "is for idle and ws"),
        (&["load", "idle", "tcp://127.0.0.1:1", "--rate=5/s"], "echo, lines, frames, http, ws --mode echo and redis"),
        (&["load", "idle", "tcp://127.0.0.1:1", "--hold=5s", "--duration=5s"], "give one of them"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--mix=get"], "--mix is for redis"),
        (&["load", "frames", "tcp://127.0.0.1:1", "--keys=5"], "--keys is for redis"),
        (&["load", "redis", "tcp://127.0.0.1:1", "--mix=dance=1"], "get=9,set=1"),
        (&["load", "redis", "tcp://127.0.0.1:1", "--distribution=odd"], "zipf"),
        (&["load", "http", "tcp://127.0.0.1:1", "-H", "X-A: 1\r\nX-B: 2"], "control character at byte 1"),
        (&["load", "http", "tcp://127.0.0.1:1", "-H", "X-A"], "'Name: value'"),
        (&["load", "http", "tcp://127.0.0.1:1", "-H", "X A: 1"], "not a header name"),
        (&["load", "http", "tcp://127.0.0.1:1", "-H", "Content-Length: 1"], "written by the load generator itself"),
        (&["load", "http", "tcp://127.0.0.1:1", "--path=/a b"], "is not a path"),
        (&["load", "http", "http://127.0.0.1:1/a", "--path=/b"], "give one of them"),
        (&["load", "http", "http://127.0.0.1:1/a\nX: 1"], "is not a path"),
        (&["load", "http", "tcp://127.0.0.1:1", "--method=GET /"], "is not a method"),
        (&["load", "http", "tcp://127.0.0.1:1", "--method=CONNECT"], "for proxies"),
        (&["load", "http", "tcp://127.0.0.1:1", "--accept-status=all"], "2xx,3xx,404"),
        (&["load", "http", "tcp://127.0.0.1:1", "--body=a", "--body-size=5"], "--body-size"),
        (&["load", "http", "tcp://127.0.0.1:1", "--no-keep-alive", "--depth=2"], "--depth"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--depth=1024", "--size=1MiB"], "a connection may queue 1 GiB"),
        (&["load", "http", "tcp://127.0.0.1:1", "--depth=10000", "--body-size=1MiB"], "less --depth"),
        (&["load", "http", "tcp://127.0.0.1:1", "--size=5"], "--body-size"),
        (&["load", "http", "tcp://127.0.0.1:1", "--login=a"], "Authorization"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--method=GET"], "--method is for http"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--path=/a"], "--path is for http, ws and push"),
        (&["load", "echo", "http://127.0.0.1:1/"], "for the scenarios http, ws and push"),
        (&["load", "ws", "tcp://127.0.0.1:1", "--mode=dance"], "receive"),
        (&["load", "ws", "tcp://127.0.0.1:1", "--mode=hold", "--rate=5/s"], "pace of its own"),
        (&["load", "ws", "tcp://127.0.0.1:1", "--mode=receive", "--depth=5"], "one request at a time"),
        (&["load", "ws", "tcp://127.0.0.1:1", "--mode=hold", "--size=5"], "--size is for --mode echo"),
        (&["load", "ws", "tcp://127.0.0.1:1", "--mode=hold", "--text"], "--text is for --mode echo"),
        (&["load", "ws", "tcp://127.0.0.1:1", "--heartbeat=5s"], "ws --mode hold"),
        (&["load", "ws", "tcp://127.0.0.1:1", "--subprotocol=a b"], "not a subprotocol name"),
        (&["load", "ws", "tcp://127.0.0.1:1", "--origin=a\r\nX: 1"], "control character at byte 1"),
        (&["load", "ws", "tcp://127.0.0.1:1", "-H", "Sec-WebSocket-Key: x"], "by the handshake itself"),
        (&["load", "ws", "tcp://127.0.0.1:1", "--method=POST"], "--method is for http"),
        (&["load", "http", "tcp://127.0.0.1:1", "--text"], "--text is for ws"),
        (&["load", "echo", "tcp://127.0.0.1:1", "-H", "X-A: 1"], "--header is for http, ws and push"),
        (&["load", "idle", "tcp://127.0.0.1:1", "--heartbeat=off"], "longer than 0"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--insecure"], "--insecure is for targets that speak TLS"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--no-resumption"], "as tls://host:port"),
        (&["load", "echo", "tls://127.0.0.1:1", "--insecure", "--tls-ca=a"], "--tls-ca"),
        (
            &["load", "echo", "tls://127.0.0.1:1", "--tls-ca=no-such-file.pem"],
            "no-such-file.pem: there is no such file",
        ),
        (&["load", "echo", "tls://127.0.0.1:1", "--insecure", "--tls-server-name=a b"], "neither a DNS name"),
        (&["load", "redis", "https://127.0.0.1:1/"], "for the scenarios http, ws and push"),
        (&["load", "connect", "tcp://127.0.0.1:1", "--depth=5"], "one request at a time"),
        (&["load", "connect", "tcp://127.0.0.1:1", "--hold=5s"], "connect keeps no connection"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--sources=10.0.0.0/33"], "10.0.0.0/33"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--sources=192.0.2.77"], "no address of this machine"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--sources=::1"], "which is IPv6"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--sources=127.0.0.9", "--connections=20001"], "ip_local_port_range"),
        (&["load", "push", "tcp://127.0.0.1:1", "--depth=2"], "--depth is for"),
        (&["load", "push", "tcp://127.0.0.1:1", "--publishers=2"], "--publishers needs --rate"),
        (&["load", "push", "tcp://127.0.0.1:1", "--rate=5/s", "--publishers=0"], "give --publishers 1 or more"),
        (&["load", "push", "tcp://127.0.0.1:1", "--rate=5/s", "--size=20"], "at least 96 B"),
        (&["load", "push", "tcp://127.0.0.1:1", "--channels={client}"], "`client` is not a part of a pattern"),
        (&["load", "push", "tcp://127.0.0.1:1", "--channels=a", "--channels=a"], "there twice"),
        (&["load", "push", "tcp://127.0.0.1:1", "--channels=a{0..2000}"], "2000 channels"),
        (&["load", "push", "tcp://127.0.0.1:1", "--user=a"], "give --token-secret"),
        (&["load", "push", "tcp://127.0.0.1:1", "--token=a", "--token-secret=b"], "cannot be used with"),
        (&["load", "push", "tcp://127.0.0.1:1", "--token-secret=b", "--user={0..2}"], "so no range"),
        (&["load", "push", "tcp://127.0.0.1:1", "--api-key=a\r\nX: 1"], "no value of a header"),
        (&["load", "push", "tcp://127.0.0.1:1", "--login=a"], "--token-secret or --token"),
        (&["load", "push", "tcp://127.0.0.1:1", "--text"], "--text is for ws"),
        (&["load", "push", "tcp://127.0.0.1:1", "--reconnect", "10"], "write 10%/s"),
        (&["load", "push", "tcp://127.0.0.1:1", "--reconnect", "101%/s"], "at most 100%/s"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--reconnect", "10%/s"], "is for push"),
        (&["load", "ws", "tcp://127.0.0.1:1", "--channels=a"], "--channels is for push"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--login="], "at least one byte"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--login=\\q"], "is not an escape"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--login=/dev/zero"], "at most 1 MiB"),
        (&["load", "lines", "tcp://127.0.0.1:1", "--login=a\\nb"], "one line"),
        (&["load", "echo", "tcp://127.0.0.1:1", "--driver=poll", "--connections=3000000"], "--driver uring"),
    ] {
        let output = gannet(arguments).output().expect("the binary starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.lines().count() == 1 && said.contains(what), "{arguments:?}: {said}");
    }
}
