//! Reloads while load generators run against every kind of listener: their own verdict is that nothing was lost.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::Duration;

use gannet_testing::{free_ports, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::reload::Rig;
use crate::reload_listeners::listener;
use crate::server::{Folder, drivers, gannet};
use crate::tls::{InFiles as _, authority, put};

/// Reloads on each driver; then the load generators are told to end.
const RELOADS: u64 = 100;

/// How long the load generators would measure: longer than the reloads take on any machine.
const LONGEST: &str = "--duration=1h";

/// Messages of the first load between two reloads: a third of a second of it.
const BETWEEN: u64 = 3_000;

/// A load, and where its report will be.
struct Load {
    name: &'static str,
    /// Until it was waited for.
    process: Option<Child>,
}

impl Load {
    fn start(folder: &Folder, name: &'static str, options: &[&str]) -> Self {
        let mut command = gannet(&["load"]);
        command.args(options).args(["--quiet", LONGEST]).arg("--json").arg(folder.path(&format!("{name}.json")));
        let process = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary starts");
        Self { name, process: Some(process) }
    }

    fn is_over(&mut self) -> bool {
        self.process.as_mut().is_none_or(|process| process.try_wait().expect("a child of ours").is_some())
    }

    /// Ends it, and prints its figures: nothing was lost and nothing went wrong. Returns how many answers came.
    fn end(mut self, folder: &Folder) -> u64 {
        let process = self.process.take().expect("it was not waited for");
        kill_process(Pid::from_child(&process), Signal::TERM).expect("it runs");
        let output = process.wait_with_output().expect("a child of ours");
        let text = std::fs::read_to_string(folder.path(&format!("{}.json", self.name))).unwrap_or_default();
        let said = String::from_utf8_lossy(&output.stderr);
        // 4 is that the load generator may have been the limit, with six of them and the server on one machine.
        assert!(matches!(output.status.code(), Some(0 | 4)), "{}: {said}\n{text}", self.name);
        let report: Value = serde_json::from_str(&text).expect("JSON");
        let number = |value: &Value| value.as_u64().expect("a number");
        let (requests, connections) = (&report["requests"], &report["connections"]);
        for wrong in [
            &report["errors"],
            &connections["lost"],
            &connections["failed"],
            &requests["unanswered"],
            &requests["never_sent"],
        ] {
            assert_eq!(number(wrong), 0, "{}: {said}\n{text}", self.name);
        }
        let answered = number(&requests["answered"]);
        assert!(answered > 0, "{}: {said}\n{text}", self.name);
        let ms = |quantile: &str| report["response_ns"][quantile].as_f64().unwrap_or_default() / 1e6;
        println!(
            "{}: {answered} answers, none lost; p50 {:.2} ms, p99 {:.2} ms, largest {:.2} ms; valid: {}",
            self.name,
            ms("p50"),
            ms("p99"),
            ms("max"),
            report["valid"]
        );
        answered
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // The test has failed.
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// How many turns of all reactors took no longer than so many microseconds, by the bounds of the histogram.
fn turns(metrics: &str) -> BTreeMap<u64, u64> {
    let mut turns = BTreeMap::new();
    for line in metrics.lines().filter_map(|line| line.strip_prefix("gannet_reactor_turn_seconds_bucket{")) {
        let (labels, count) = line.split_once("} ").expect("labels and a value");
        let (_, bound) = labels.split_once("le=\"").expect("a bound");
        let bound: f64 = bound.trim_end_matches('"').parse().expect("a number");
        // The last bound is infinite.
        *turns.entry((bound * 1e6) as u64).or_default() += count.parse::<u64>().expect("a number");
    }
    turns
}

/// The bound of the longest turn between two readings, in microseconds.
fn longest_turn(before: &BTreeMap<u64, u64>, after: &BTreeMap<u64, u64>) -> u64 {
    let since = |bound: &u64| after[bound] - before[bound];
    let all = after.keys().map(since).max().unwrap_or_default();
    after.keys().copied().find(|bound| since(bound) == all).unwrap_or_default()
}

/// What the server is configured with in a round, beside the listeners that it started with: other limits, lists,
/// deadlines, logs and namespaces each time, and a listener that comes and goes.
fn settings(round: u64, ports: &[(&str, &str, SocketAddr)]) -> (String, String) {
    let history = 10 + round % 5;
    let namespace = |name: &str| {
        format!(
            "push.namespace.{name} = {{ allow_subscribe_for_client = true, allow_publish_for_client = true, \
             allow_subscribe_for_anonymous = true, allow_publish_for_anonymous = true, history_size = {history}, \
             history_ttl = \"1m\" }}\n"
        )
    };
    let more = format!(
        "log.level = \"{}\"\nlog.format = \"{}\"\naccess.deny = [\"10.{}.0.0/16\"]\nlimits.connections = {}\n\
         timeouts.heartbeat = \"{}s\"\npush.anonymous = true\n{}{}",
        ["info", "warn", "error"][(round % 3) as usize],
        ["text", "json"][(round % 2) as usize],
        round % 250,
        2_000 + round,
        60 + round % 7,
        namespace("load"),
        namespace(&format!("n{}", round % 11)),
    );
    let mut listeners = String::new();
    for (name, service, at) in ports.iter().filter(|(name, ..)| *name != "other" || round % 2 == 1) {
        let own = match *name {
            // It is replaced by another one, with the same socket.
            "lines" => format!("timeouts.idle = \"{}s\"", 100 + round % 3),
            "secure" | "https" => "tls = \"main\"".to_owned(),
            _ => format!("limits.connections = {}", 500 + round),
        };
        let text = listener(name, service, *at, &own);
        listeners += &if own.starts_with("tls") { text.replace("\"tcp://", "\"tls://") } else { text };
    }
    (more, listeners)
}

#[test]
#[ignore = "a quiet machine: cargo test --release -p gannet-cli --test cli -- --ignored --nocapture hundred_reloads"]
fn a_hundred_reloads_under_open_loops_lose_no_message_and_stall_no_reactor() {
    for driver in drivers() {
        let at = free_ports(7);
        let kinds = [
            ("lines", "lines"),
            ("secure", "lines"),
            ("ws", "http"),
            ("https", "http"),
            ("redis", "redis"),
            ("other", "lines"),
        ];
        let ports: Vec<_> = kinds.iter().zip(&at).map(|((name, service), at)| (*name, *service, *at)).collect();
        // The first listener of the gateway would wait for a restart.
        let base = "[[listener]]\nname = \"operators\"\nservice = \"http\"\nurl = \"unix://FOLDER/http.sock\"\n\
             operational = true\n\
             [tls.main]\ncertificates = [\"FOLDER/cert.pem\"]\nprivate_keys = [\"FOLDER/key.pem\"]\n"
            .to_owned()
            + &listener("push", "push", at[6], "");
        let ca = authority();
        let files = Folder::new(&format!("reload-open-loops-{driver}"));
        ca.server(&["localhost"]).put(&files.path(""));
        put(&files.path("ca.pem"), &ca.pem());
        let rig = Rig::start(driver, "open-loops", &base, &settings(0, &ports).0);
        let change = |round| {
            let (more, listeners) = settings(round, &ports);
            rig.change_with(&more, &listeners)
        };
        change(0);
        let sum = |name: &str| -> u64 {
            let of = |reactor| rig.metric(&format!("{name}{{reactor=\"{reactor}\"}}"));
            (0..2).map(|reactor| of(reactor).parse::<u64>().expect("a number")).sum()
        };
        let answered = || -> u64 {
            let metric = format!("gannet_messages_received_total{{service=\"lines\",listener=\"tcp://{}\"}}", at[0]);
            rig.metric(&metric).parse().expect("a number")
        };
        let (stalls, turns_before) = (sum("gannet_reactor_stalls_total"), turns(&rig.metrics()));
        let url = |scheme: &str, index: usize, path: &str| format!("{scheme}://{}{path}", at[index]);
        let trust = [format!("--tls-ca={}", files.path("ca.pem").display()), "--tls-server-name=localhost".to_owned()];
        let trust: Vec<&str> = trust.iter().map(String::as_str).collect();
        let start = |name, options: &[&str], more: &[&str]| Load::start(&files, name, &[options, more].concat());
        let mut loads = vec![
            start("lines", &["lines", &url("tcp", 0, ""), "--connections=200", "--rate=9000/s"], &[]),
            start("tls", &["lines", &url("tls", 1, ""), "--connections=100", "--rate=4000/s"], &trust),
            start("ws", &["ws", &url("ws", 2, "/ws/echo"), "--connections=100", "--rate=4000/s"], &[]),
            start("redis", &["redis", &url("tcp", 4, ""), "--connections=50", "--rate=2000/s"], &[]),
            // A handshake for each request.
            start(
                "https",
                &["http", &url("https", 3, "/hello/you"), "--connections=5", "--rate=50/s", "--no-keep-alive"],
                &trust,
            ),
            start(
                "push",
                &[
                    "push",
                    &url("ws", 6, ""),
                    "--connections=200",
                    "--channels=load:{n%10}",
                    "--publishers=5",
                    "--rate=100/s",
                ],
                &[],
            ),
        ];
        let mut longest_ms = 0;
        for round in 1..=RELOADS {
            if round % 10 == 0 {
                ca.server(&["localhost"]).put(&files.path(""));
            }
            let report = change(round);
            assert_eq!((&report["listeners"]["late"], &report["pending"]), (&json!([]), &json!([])), "{report}");
            longest_ms = longest_ms.max(report["took_ms"].as_u64().expect("a number"));
            let enough = answered() + BETWEEN;
            until("the load's next messages", || {
                // The pace of the questions, which take their part of the machine.
                std::thread::park_timeout(Duration::from_millis(30));
                answered() >= enough
            });
            for load in &mut loads {
                assert!(!load.is_over(), "{} has ended before the reloads", load.name);
            }
        }
        let stalls = sum("gannet_reactor_stalls_total") - stalls;
        let longest_us = longest_turn(&turns_before, &turns(&rig.metrics()));
        let answers: u64 = loads.into_iter().map(|load| load.end(&files)).sum();
        println!(
            "{driver}: {answers} answers, {RELOADS} reloads, the longest took {longest_ms} ms; {stalls} turns over 25 ms, \
             the longest turn up to {longest_us} µs"
        );
        assert_eq!(stalls, 0, "no turn took over 25 ms");
        assert!(rig.server.stop().status.success());
    }
}
