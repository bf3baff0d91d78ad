//! The log: its two formats, its levels, and the line of counters.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::Stdio;

use gannet_testing::until;
use serde_json::Value;

use crate::invocation::fails;
use crate::metrics::samples;
use crate::server::{Folder, Server, drivers, gannet, gannet_by_shell};

const LINES: &str = "--listen=lines=tcp://127.0.0.1:0";

#[test]
fn every_line_of_a_json_log_is_an_object_with_a_level_and_a_message() {
    for driver in drivers() {
        let server = Server::serve(driver, &[LINES, "--log-level=trace"]);
        server.connect("lines").ask(b"hello\n", b"echo: hello\n");
        let ended = server.stop();
        assert!(ended.stderr.len() >= 3, "{ended:#?}");
        for line in &ended.stderr {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(event["level"].is_string() && event["message"].is_string(), "{line}");
        }
        assert_eq!(ended.event("stopped")["messages_in"], 1);
    }
}

#[test]
fn in_a_json_log_the_reason_to_fail_is_an_event_too() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("tcp://{}", taken.local_addr().expect("bound"));
    let listener = format!("--listen=lines={address}");
    for (arguments, status, said) in [
        (&["serve", "--log=json", &listener][..], 1, address.as_str()),
        (&["serve", "--log=json", "--log-level=error", &listener], 1, "in use"),
        (&["serve", "--log=json", LINES, "--outbox-hard=1KiB"], 2, "--outbox-high"),
        (&["serve", "--log=json", LINES, "--tls-cert=/nowhere"], 2, "of no use without a tls:// listener"),
    ] {
        let ended = fails(arguments);
        assert_eq!((ended.status.code(), ended.stderr.len()), (Some(status), 1), "{ended:#?}");
        let event: Value = serde_json::from_str(&ended.stderr[0]).unwrap_or_else(|error| panic!("{error}: {ended:#?}"));
        assert_eq!(event["level"], "ERROR");
        assert!(event["message"].as_str().is_some_and(|message| message.contains(said)), "{event}");
    }
}

#[test]
fn the_counters_are_logged_so_often_whatever_the_level() {
    for driver in drivers() {
        let mut server = Server::serve(driver, &[LINES, "--stats=100ms", "--log-level=error"]);
        let mut stream = server.connect("lines");
        stream.ask(b"hello\n", b"echo: hello\n");
        let stats = server.wait_for(|event| event["connections"] == 1);
        let numbers =
            ["messages_in_per_s", "bytes_out_per_s", "outbox_bytes", "enobufs", "refused_total", "closed_total"];
        for name in numbers {
            assert!(stats[name].is_u64(), "{name}: {stats}");
        }
        assert_eq!(stats["message"], "stats");
        stream.finish();
        assert_eq!(stream.rest(), b"");
        server.wait_for(|event| event["connections"] == 0 && event["closed"] == "peer:1" && event["accepted"] == 1);
        server.stop();
    }
}

#[test]
fn the_text_log_is_plain_where_it_is_not_a_terminal() {
    let arguments = ["serve", "--stats=100ms", LINES];
    let mut server = Server::run(gannet(&arguments)).expect("it starts");
    let line = server.wait_for_line(|line| line.contains(" stats "));
    assert!(
        line.contains("connections=0 accepted=0 refused_total=0 refused=none closed_total=0 closed=none "),
        "{line}"
    );
    let ended = server.stop();
    assert!(ended.stderr.iter().all(|line| !line.contains('\x1b')), "{ended:#?}");
    assert!(ended.stderr.iter().any(|line| line.contains("stopped connections=0")), "{ended:#?}");
}

#[test]
fn a_quiet_log_says_nothing_where_nothing_is_wrong() {
    let server = Server::run(gannet(&["serve", "--log-level=error", LINES])).expect("it starts");
    server.connect("lines").ask(b"hello\n", b"echo: hello\n");
    let ended = server.stop();
    assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:#?}");
}

/// Whoever reads the log as JSON need not guess which texts are numbers.
#[test]
fn numbers_of_the_json_log_are_numbers() {
    for driver in drivers() {
        let mut server = Server::serve(driver, &[LINES, "--stats=100ms", "--log-level=debug"]);
        let mut stream = server.connect("lines");
        stream.ask(b"hello\n", b"echo: hello\n");
        server.wait_for(|event| event["message"] == "stats" && event["accepted"] == 1);
        let ended = server.stop();
        let events = ended.stderr.iter().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON"));
        for event in events {
            for (name, value) in event.as_object().expect("an object") {
                let is_number = value.as_str().is_some_and(|text| text.parse::<f64>().is_ok());
                assert!(!is_number, "{name} is a text: {event}");
            }
        }
    }
}

#[test]
fn requests_are_logged_where_that_is_asked_for_and_only_there() {
    for driver in drivers() {
        for (options, is_logged) in [(&["--access-log", "--log-level=error"][..], true), (&[][..], false)] {
            let http = ["--listen=http=tcp://127.0.0.1:0"];
            let server = Server::serve(driver, &[&http, options].concat());
            let answer = {
                let mut stream = server.connect("http");
                let asked = b"GET /hello/you?secret=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
                stream.write_all(asked).expect("it is taken");
                String::from_utf8(stream.rest()).expect("text")
            };
            assert!(answer.contains("hello you"), "{answer}");
            let ended = server.stop();
            let lines = ended.stderr.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            let lines: Vec<Value> = lines.filter(|event| event["message"] == "request").collect();
            if !is_logged {
                assert!(lines.is_empty(), "{lines:?}");
                continue;
            }
            let [line] = &lines[..] else { panic!("{lines:?}") };
            assert_eq!((&line["method"], &line["path"]), (&"GET".into(), &"/hello/you".into()), "{line}");
            assert_eq!(
                (&line["status"], &line["bytes"], &line["level"]),
                (&200.into(), &10.into(), &"INFO".into()),
                "{line}"
            );
            assert!(line["peer"].as_str().is_some_and(|peer| peer.contains("127.0.0.1")), "{line}");
            assert!(line["timestamp"].is_string() && line.get("took_ms").is_none(), "{line}");
        }
    }
}

/// Options of a server that logs a line for each request.
const LOGS_REQUESTS: [&str; 6] =
    ["serve", "--log=json", "--access-log", "--listen=http=tcp://127.0.0.1:0", LINES, "--driver"];

/// Asks for the metrics until so many more lines could not be written. Each time is a line of the log.
fn lose_lines(server: &Server, more: f64) {
    let lost = || {
        let samples = samples(server);
        let mut own = samples.iter().filter(|own| own.name == "gannet_log_dropped_total");
        own.find(|own| own.label("reason") == Some("unwritten")).expect("it is counted").value
    };
    let before = lost();
    until("lines that are lost", || lost() >= before + more);
}

#[test]
fn a_server_whose_log_nobody_reads_any_more_goes_on_and_counts_the_lines() {
    for driver in drivers() {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let command = gannet_by_shell(r#"exec "$0" "$@" 2>&0 0</dev/null"#, &[&LOGS_REQUESTS[..], &[driver]].concat());
        let server = Server::run_with_input(command, Stdio::from(writer)).expect("it starts");
        drop(reader);
        lose_lines(&server, 3.0);
        server.connect("lines").ask(b"hello\n", b"echo: hello\n");
        assert!(server.stop().status.success());
    }
}

#[test]
fn a_server_whose_disk_is_full_goes_on_and_logs_again_when_there_is_room() {
    let folder = Folder::new("log-full");
    for driver in drivers() {
        let file = folder.path(driver);
        // A file that may grow by some lines only.
        let script = r#"trap "" XFSZ; ulimit -f 8; exec "$0" "$@" 2>>"$LOG""#;
        let mut command = gannet_by_shell(script, &[&LOGS_REQUESTS[..], &[driver]].concat());
        command.env("LOG", &file);
        let server = Server::run(command).expect("it starts");
        lose_lines(&server, 3.0);
        server.connect("lines").ask(b"hello\n", b"echo: hello\n");
        std::fs::File::options().write(true).open(&file).and_then(|file| file.set_len(0)).expect("it is ours");
        let log = || std::fs::read_to_string(&file).expect("text");
        until("a line that says how many were lost", || {
            samples(&server);
            log().contains("lines of the log were lost")
        });
        assert!(server.stop().status.success());
        let text = log();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(event["lost"].is_null() || event["lost"].as_u64() >= Some(3), "{event}");
        }
    }
}

#[test]
fn a_server_starts_works_and_ends_where_nothing_can_be_logged() {
    for driver in drivers() {
        let command = gannet_by_shell(r#"exec "$0" "$@" 2>/dev/full"#, &[&LOGS_REQUESTS[..], &[driver]].concat());
        let server = Server::run(command).expect("it starts");
        lose_lines(&server, 1.0);
        server.connect("lines").ask(b"hello\n", b"echo: hello\n");
        assert!(server.stop().status.success());
    }
}
