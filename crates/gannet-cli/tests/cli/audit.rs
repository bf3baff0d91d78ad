//! The audit log: who gave which order to a server, and what came of it.

use std::io::{Read as _, Write as _};
use std::path::Path;

use gannet_testing::until;
use serde_json::{Value, json};

use crate::server::{Folder, Server, drivers, gannet};

/// The lines of an audit log, without what differs from run to run.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let object = line.as_object_mut().expect("an object");
        assert!(object.remove("timestamp").is_some_and(|time| time.is_string()), "{text}");
        if let Some(peer) = object.get_mut("peer")
            && peer.as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:"))
        {
            *peer = "127.0.0.1".into();
        }
        line
    };
    text.lines().map(line).collect()
}

fn post(server: &Server, path: &str, headers: &str, body: &str) -> String {
    let mut stream = server.connect("push");
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("it is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn orders_logins_and_wrong_keys_are_lines_with_who_what_and_the_outcome() {
    for driver in drivers() {
        let folder = Folder::new(&format!("audit-{driver}"));
        let (path, admin) = (folder.path("audit.log"), folder.path("admin.sock"));
        let mut command = gannet(&["serve", "--driver", driver, "--reactors", "2", "--listen=push=tcp://127.0.0.1:0"]);
        command.arg("--admin").arg(&admin).arg("--audit-log").arg(&path);
        command.env("GANNET_PUSH_API_KEY", "the key").env("GANNET_PUSH_ADMIN_PASSWORD", "the password");
        let server = Server::run(command).unwrap_or_else(|ended| panic!("{ended:#?}"));
        let ask = |arguments: &[&str]| gannet(arguments).arg("--admin").arg(&admin).output().expect("it runs");

        assert!(ask(&["kick", "--cidr", "192.0.2.0/24"]).status.success());
        assert!(!ask(&["drain", "--listener", "nowhere"]).status.success());
        assert!(post(&server, "/api/info", "X-API-Key: wrong\r\n", "{}").starts_with("HTTP/1.1 401"));
        assert!(post(&server, "/api/info", "X-API-Key: the key\r\n", "{}").starts_with("HTTP/1.1 200"));
        let json = "Content-Type: application/json\r\n";
        assert!(post(&server, "/admin/login", json, r#"{"password":"no"}"#).starts_with("HTTP/1.1 403"));
        let answer = post(&server, "/admin/login", json, r#"{"password":"the password"}"#);
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        until("the lines", || lines(&path).len() >= 5);
        assert!(server.stop().status.success());

        let all = lines(&path);
        let [kick, drain, rest @ ..] = &all[..] else { panic!("{all:#?}") };
        for (line, action, outcome) in [(kick, "kick", "done"), (drain, "drain", "refused")] {
            assert_eq!((&line["action"], &line["outcome"]), (&json!(action), &json!(outcome)));
            assert_eq!((&line["by"], &line["peer"]), (&json!("unix"), &json!("unix")));
            assert!(line["operator"].as_str().is_some_and(|name| name.contains("uid ")), "{line}");
        }
        assert_eq!(kick["what"], json!({ "cidr": "192.0.2.0/24", "connections": 0 }));
        assert_eq!(drain["what"], json!({ "listener": "nowhere", "cancel": false }));
        assert!(drain["error"].as_str().is_some_and(|why| why.contains("nowhere")), "{drain}");
        let line = |action: &str, outcome: &str, by: &str, what: Value| json!({ "action": action, "outcome": outcome, "by": by, "peer": "127.0.0.1", "what": what });
        assert_eq!(
            rest,
            [
                line("api", "refused", "api_key", json!({ "method": "info" })),
                line("login", "refused", "password", json!({})),
                line("login", "done", "password", json!({})),
            ]
        );
        let text = std::fs::read_to_string(&path).expect("it is there");
        assert!(!text.contains("the key") && !text.contains("the password"), "{text}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_lines_of_the_audit_log_and_nothing_else() {
    let folder = Folder::new("audit-full");
    let admin = folder.path("admin.sock");
    let options = ["--listen=http=tcp://127.0.0.1:0", "--audit-log=/dev/full", &format!("--admin={}", admin.display())];
    let mut server = Server::serve("poll", &options);
    for _ in 0..3 {
        let kicked = gannet(&["kick", "--cidr", "192.0.2.0/24"]).arg("--admin").arg(&admin).output().expect("it runs");
        assert!(kicked.status.success(), "{kicked:?}");
    }
    server.wait_for(|event| event["level"] == "ERROR" && event["error"].to_string().contains("No space"));
    let mut stream = server.connect("http");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").expect("it is taken");
    let metrics = String::from_utf8(stream.rest()).expect("text");
    assert!(metrics.contains("\ngannet_audit_lines_total 0\n"), "{metrics}");
    assert!(server.stop().status.success());
}

#[test]
fn the_audit_log_may_be_lines_of_the_log_whatever_its_level() {
    let folder = Folder::new("audit-log");
    let admin = folder.path("admin.sock");
    let options = ["--audit-log=log", "--log-level=error", &format!("--admin={}", admin.display())];
    let mut server = Server::serve("poll", &options);
    let kicked = gannet(&["kick", "--cidr", "192.0.2.0/24"]).arg("--admin").arg(&admin).output().expect("it runs");
    assert!(kicked.status.success(), "{kicked:?}");
    let event = server.wait_for(|event| event["message"] == "audit");
    assert_eq!((&event["action"], &event["outcome"], &event["by"]), (&json!("kick"), &json!("done"), &json!("unix")));
}
