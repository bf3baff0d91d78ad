//! Many clients of the admin socket at once: each operator is answered, or told to wait.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use gannet_testing::{PATIENCE, until};

use crate::admin::{self, json_of, printed, raw, serve};
use crate::server::{Folder, drivers, gannet};

#[test]
fn a_hundred_clients_at_once_are_answered_while_the_server_is_full() {
    for driver in drivers() {
        let folder = Folder::new(&format!("admin-full-{driver}"));
        let options = ["--listen=lines=tcp://127.0.0.1:0", "--max-connections=1", "--operational-reserve=200"];
        let server = serve(driver, &folder, &options);
        let mut only = server.connect("lines");
        only.ask(b"hello\n", b"echo: hello\n");
        assert!(server.refuses("lines"));
        let path = folder.path("admin.sock");
        let request = b"GET /connections?service=lines HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        std::thread::scope(|scope| {
            let ask = || {
                let (status, body) = raw(&path, request);
                assert_eq!((&*status, body["selected"].as_u64()), ("HTTP/1.1 200 OK", Some(1)));
            };
            let all: Vec<_> = (0..100).map(|_| scope.spawn(ask)).collect();
            all.into_iter().for_each(|one| one.join().expect("it was answered"));
        });
        only.ask(b"still here\n", b"echo: still here\n");
    }
}

/// Requests that cost little, of which a connection is answered the first.
const LITTLE: &[u8] = b"GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n";

/// As many clients as it takes, which ask nothing, and what one more of them is told: nothing where there is room again.
fn crowd(path: &Path) -> (Vec<UnixStream>, String) {
    let connect = || UnixStream::connect(path).expect("it listens");
    let clients = (0..128).map(|_| connect()).collect();
    let mut last = connect();
    last.set_read_timeout(Some(Duration::from_millis(500))).expect("a time");
    let mut told = String::new();
    let _ = last.read_to_string(&mut told);
    (clients, told)
}

#[test]
fn a_command_waits_while_the_admin_socket_has_as_many_clients_as_it_takes() {
    for driver in drivers() {
        let folder = Folder::new(&format!("admin-crowded-{driver}"));
        let server = serve(driver, &folder, &["--listen=lines=tcp://127.0.0.1:0"]);
        let path = folder.path("admin.sock");
        // Those who ask nothing are closed after a while, and on a busy machine that may be soon.
        until("that one client too many is told so", || {
            let (_clients, told) = crowd(&path);
            told.starts_with("HTTP/1.1 503 ") && told.contains("\"crowded\"")
        });
        until("that a command says why it gives up", || {
            let (_clients, _) = crowd(&path);
            let given_up = admin::ask(&folder, &["connections", "--timeout", "500ms"]);
            let said = String::from_utf8_lossy(&given_up.stderr).into_owned();
            given_up.status.code() == Some(1) && said.contains("has as many clients as it takes")
        });
        let (clients, _) = crowd(&path);
        let waits = std::thread::spawn({
            let path = path.clone();
            move || gannet(&["connections", "--json", "--admin"]).arg(path).output().expect("the binary starts")
        });
        drop(clients);
        printed(&waits.join().expect("no panic"));
        assert!(server.stop().status.success());
    }
}

/// More clients than it takes, each with many requests at once.
#[test]
fn an_operator_is_answered_behind_one_request_of_each_client_that_floods_the_socket() {
    for driver in drivers() {
        let folder = Folder::new(&format!("admin-flood-{driver}"));
        let server = serve(driver, &folder, &["--listen=lines=tcp://127.0.0.1:0"]);
        let mut lines = server.connect("lines");
        lines.ask(b"hello\n", b"echo: hello\n");
        let path = folder.path("admin.sock");
        let flood = (0..300).map(|_| {
            let mut client = UnixStream::connect(&path).expect("it listens");
            // One that is refused is closed before it has sent all of them.
            let _ = client.write_all(&LITTLE.repeat(200));
            client
        });
        let flood: Vec<UnixStream> = flood.collect();
        let found = json_of(&admin::ask(&folder, &["connections", "--json", "--service", "lines"]));
        assert_eq!(found["selected"], 1, "{found}");
        lines.ask(b"hello\n", b"echo: hello\n");
        for mut client in flood {
            client.set_read_timeout(Some(PATIENCE)).expect("a time");
            let mut answers = Vec::new();
            // What it has sent and nobody has read is a reset behind the answer.
            let _ = client.read_to_end(&mut answers);
            let answers = String::from_utf8(answers).expect("text");
            // Those who had to wait for long are told that, or nothing.
            let count = answers.matches("HTTP/1.1 ").count();
            assert!(count <= 1, "{count}: {answers}");
        }
        assert!(server.stop().status.success());
    }
}
