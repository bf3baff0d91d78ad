//! What operators of long-lived connections watch: heartbeats, slow readers, memory, descriptors, limits, certificates.

use std::io::{Read as _, Write as _};

use gannet_testing::certificates::{Ca, date_time_ymd};
use gannet_testing::until;

use crate::exposition::{self, Sample};
use crate::server::{Folder, Server, drivers};
use crate::tls::Client;

const HTTP: &str = "--listen=http=tcp://127.0.0.1:0";

/// All samples of a server's metrics, which have to be well-formed.
pub(crate) fn samples(server: &Server) -> Vec<Sample> {
    let mut stream = server.connect("http");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").expect("it is taken");
    let answer = String::from_utf8(stream.rest()).expect("text");
    exposition::check(answer.split_once("\r\n\r\n").expect("a head").1)
}

/// The sum of all samples of a name.
#[track_caller]
fn value(samples: &[Sample], name: &str) -> f64 {
    let own: Vec<f64> = samples.iter().filter(|sample| sample.name == name).map(|sample| sample.value).collect();
    assert!(!own.is_empty(), "no {name}");
    own.iter().sum()
}

#[test]
fn heartbeats_their_answers_and_those_missed_are_there_for_prometheus() {
    for driver in drivers() {
        let frames = "--listen=frames=tcp://127.0.0.1:0";
        let server = Server::serve(driver, &[HTTP, frames, "--heartbeat", "500ms"]);
        let (mut answers, mut silent) = (server.connect("frames"), server.connect("frames"));
        let mut ping = [1; 4];
        answers.read_exact(&mut ping).expect("a ping");
        assert_eq!(ping, [0; 4]);
        answers.write_all(&ping).expect("it is taken");
        // Three pings, of which none is answered, and the end.
        let said = silent.rest();
        assert_eq!(said, [0; 8], "two may go unanswered");
        // The reactor of the one that answers may be another one.
        until("each of them to be counted", || {
            let samples = samples(&server);
            let least = |name: &str, least: f64| value(&samples, name) >= least;
            least("gannet_reactor_heartbeats_total", 3.0)
                && least("gannet_reactor_heartbeats_missed_total", 2.0)
                && least("gannet_reactor_heartbeat_seconds_count", 1.0)
        });
    }
}

#[test]
fn limits_memory_and_descriptors_of_the_process_are_there_for_prometheus() {
    for driver in drivers() {
        let server = Server::serve(driver, &[HTTP, "--max-connections", "1234", "--idle-timeout", "5m"]);
        let samples = samples(&server);
        for (limit, expected) in
            [("connections", 1_234.0), ("idle_timeout_seconds", 300.0), ("accepts_per_second", 0.0)]
        {
            let own = samples.iter().find(|own| own.name == "gannet_limit" && own.label("limit") == Some(limit));
            assert_eq!(own.map(|own| own.value), Some(expected), "{limit}");
        }
        assert_eq!(value(&samples, "gannet_config_generation"), 0.0);
        assert!(value(&samples, "gannet_config_last_success_timestamp_seconds") > 1_700_000_000.0);
        assert!(!samples.iter().any(|sample| sample.name.starts_with("gannet_tls_certificate")), "there is none");
        if cfg!(target_os = "linux") {
            assert!(value(&samples, "process_resident_memory_bytes") > 1_000_000.0);
            assert!(value(&samples, "process_open_fds") > 5.0);
            assert!(value(&samples, "process_max_fds") >= value(&samples, "process_open_fds"));
            assert!(value(&samples, "process_cpu_seconds_total") >= 0.0);
        }
    }
}

#[cfg(all(feature = "jemalloc", target_os = "linux"))]
#[test]
fn what_the_server_holds_is_in_the_allocators_account() {
    const BYTES: usize = 32 << 20;
    let server = Server::serve(drivers()[0], &[HTTP, "--listen=redis=tcp://127.0.0.1:0"]);
    let read = || {
        let samples = samples(&server);
        ["gannet_memory_allocated_bytes", "gannet_memory_active_bytes"].map(|name| value(&samples, name))
    };
    let [before, active] = read();
    assert!(before > 100_000.0 && active >= before, "{before} of {active}");
    let mut client = server.connect("redis");
    let set = [format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${BYTES}\r\n").as_bytes(), &vec![b'x'; BYTES], b"\r\n"].concat();
    client.ask(&set, b"+OK\r\n");
    let [with, active] = read();
    assert!(with >= before + BYTES as f64 * 0.9 && active >= with, "{before}, {with} of {active}");
    client.ask(b"DEL k\r\n", b":1\r\n");
    // A large value is freed elsewhere.
    until("that it is given back", || read()[0] < with - BYTES as f64 / 2.0);
}

#[test]
fn the_certificate_that_expires_first_and_handshakes_are_there_for_prometheus() {
    for driver in drivers() {
        let folder = Folder::new(&format!("metrics-{driver}"));
        let ca = Ca::new("metrics");
        let mut options = vec![HTTP.to_owned(), "--listen=lines=tls://127.0.0.1:0".to_owned()];
        for (name, year) in [("later.test", 2095), ("first.test", 2094)] {
            let issued = ca.issue(&[name], 1, |params| params.not_after = date_time_ymd(year, 1, 1));
            for (option, kind, text) in [("--tls-cert", "crt", &issued.certificate), ("--tls-key", "key", &issued.key)]
            {
                let path = folder.path(&format!("{name}.{kind}"));
                std::fs::write(&path, text).expect("written");
                options.extend([option.to_owned(), path.display().to_string()]);
            }
        }
        let options: Vec<&str> = options.iter().map(String::as_str).collect();
        let server = Server::serve(driver, &options);
        let samples = samples(&server);
        let first = date_time_ymd(2094, 1, 1).unix_timestamp() as f64;
        assert_eq!(value(&samples, "gannet_tls_certificate_expires_timestamp_seconds"), first);
        assert_eq!(value(&samples, "gannet_reactor_handshakes_total"), 0.0);
        let client = Client::trusting(&ca);
        for name in ["first.test", "later.test"] {
            client.talk(&server.url("lines"), name).expect("a handshake");
        }
        // One that fails does not count.
        Client::trusting(&Ca::new("another")).talk(&server.url("lines"), "first.test").expect_err("nobody it trusts");
        assert_eq!(value(&self::samples(&server), "gannet_reactor_handshakes_total"), 2.0);
        let waiting = || value(&self::samples(&server), "gannet_reactor_handshakes_waiting");
        until("no handshake to wait", || waiting() == 0.0);
    }
}
