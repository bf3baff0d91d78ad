//! Runs that `gannet load` must not call good: against targets that do not answer, or go away.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};

use crate::load::{load, report};
use crate::server::Folder;

/// A server that does this with each connection, on a thread for each, for as long as the tests run.
fn server(each: impl Fn(TcpStream) + Clone + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let each = each.clone();
            std::thread::spawn(move || each(stream));
        }
    });
    format!("tcp://{address}")
}

/// Reads until the other side has ended, and says nothing.
fn listen_only(mut stream: TcpStream) {
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

#[test]
fn a_target_that_never_answers_is_no_valid_run_whatever_is_expected() {
    let url = server(listen_only);
    let expected = ["errors", "lost", "failed", "unanswered"].map(|figure| format!("--expect={figure}=0"));
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    let options = [&["--connections=3", "--duration=300ms", "--warmup=300ms"][..], &expected].concat();
    let output = load("http", &url, &options);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.ends_with("gannet: the run is not valid: nothing was answered: 3 requests sent\n"), "{said}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("3: 0 answered, 3 unanswered") && text.contains("3: 3 unanswered"), "{text}");
}

#[test]
fn a_target_of_another_protocol_is_no_valid_run() {
    let url = server(|mut stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.6\r\n");
        listen_only(stream);
    });
    for scenario in ["echo", "lines", "frames", "connect", "idle", "redis", "http"] {
        let output = load(scenario, &url, &["--connections=3", "--duration=300ms", "--warmup=100ms", "--quiet"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{scenario}: {said}");
        // A client that waits to send may have lost its connection before it has sent anything.
        let is_named = ["nothing was answered", "nothing was received"].iter().any(|verdict| said.contains(verdict));
        assert!(is_named, "{scenario}: {said}");
    }
    let output = load("ws", &url, &["--connections=3", "--duration=300ms", "--quiet"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("3 upgrade_wrong"), "{said}");
}

#[test]
fn a_server_that_ends_connections_after_some_answers_is_asked_for_the_whole_time() {
    let folder = Folder::new("load-reopened");
    let url = server(|mut stream| {
        let mut request = [0; 4_096];
        for _ in 0..5 {
            if !stream.read(&mut request).is_ok_and(|length| length > 0) {
                return;
            }
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
        let _ = stream.shutdown(Shutdown::Write);
        let _ = stream.read(&mut request);
    });
    let options = ["--connections=5", "--duration=1s", "--warmup=100ms", "--expect=errors=0", "--expect=lost=0"];
    let (report, status) = report("http", &url, &options, &folder);
    assert!(matches!(status, Some(0 | 4)), "{report}");
    assert!(report["measured_s"].as_f64().is_some_and(|seconds| seconds >= 1.0), "{report}");
    assert!(report["connections"]["reopened"].as_u64().is_some_and(|reopened| reopened > 0), "{report}");
    assert_eq!((&report["errors"], &report["connections"]["lost"]), (&0.into(), &0.into()), "{report}");
}

#[test]
fn a_run_that_nobody_is_left_in_is_not_valid_unless_clients_come_back() {
    let folder = Folder::new("load-lost");
    let url = server(|mut stream| {
        let mut bytes = [0; 64];
        for _ in 0..5 {
            if stream.read_exact(&mut bytes).is_err() || stream.write_all(&bytes).is_err() {
                return;
            }
        }
    });
    let options = ["--connections=3", "--duration=1s", "--warmup=0"];
    let output = load("echo", &url, &[&options[..], &["--quiet"]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(4), "{said}");
    assert!(said.contains(" of 1 s: no connection was left"), "{said}");
    let (report, status) = report("echo", &url, &[&options[..], &["--reconnect"]].concat(), &folder);
    // A machine that is busy may be the limit of the load.
    assert!(matches!(status, Some(0 | 4)), "{report}");
    assert!(!report["invalid_reasons"].to_string().contains("no connection was left"), "{report}");
    assert!(report["connections"]["reopened"].as_u64().is_some_and(|reopened| reopened >= 3), "{report}");
    assert!(report["connections"]["lost"].as_u64().is_some_and(|lost| lost >= 6), "{report}");
}
