//! Surroundings that say something wrong: a service manager, inherited descriptors, files that are none.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;

use crate::invocation::{fails, only_line};
use crate::server::{Folder, Server, Stream, drivers, gannet};

#[test]
fn numbers_of_a_service_manager_that_cannot_be_meant_change_nothing() {
    for (name, number) in
        [("WATCHDOG_USEC", "0"), ("WATCHDOG_USEC", "18446744073709551615"), ("LISTEN_FDS", "99999999")]
    {
        let mut command = gannet(&["serve", "--driver", drivers()[0], "--listen", "lines=tcp://127.0.0.1:0"]);
        command.env(name, number).env("NOTIFY_SOCKET", "");
        let server = Server::run(command).expect("it starts");
        Stream::connect(&server.url("lines")).ask(b"one\n", b"echo: one\n");
        assert!(server.stop().status.success(), "{name}={number}");
    }
}

/// As with `Accept=yes`, which is for programs that serve one client.
#[test]
fn a_connection_that_is_inherited_as_a_socket_to_listen_on_is_not_used() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
    let mut command = gannet(&["serve", "--log=json", "--driver", drivers()[0], "--listen", "lines=tcp://127.0.0.1:0"]);
    command.env("LISTEN_FDS", "1").env("LISTEN_FDS_FIRST_FD", "0").env("LISTEN_FDNAMES", "lines");
    let mut server = Server::run_with_input(command, OwnedFd::from(client).into()).expect("it starts");
    server.wait_for(|event| event["message"].as_str().is_some_and(|text| text.contains("no listening socket")));
    Stream::connect(&server.url("lines")).ask(b"one\n", b"echo: one\n");
    assert!(server.stop().status.success());
}

#[test]
fn a_check_finds_what_a_start_would_fail_of() {
    let folder = Folder::new("check-start");
    let path = |name: &str| folder.path(name).display().to_string();
    fs::write(folder.path("long"), vec![b'x'; 65 << 10]).expect("our folder");
    for (arguments, said) in [
        (&["--admin=tcp://127.0.0.1:0"][..], "needs a token"),
        (&["--admin=tcp://127.0.0.1:0", "--admin-token-file=/dev/zero"], "it is larger than 64 KiB"),
        (&["--admin=tcp://127.0.0.1:0", "--admin-token-file", &path("long")], "it is larger than 64 KiB"),
        (&["--audit-log", &path(".")], "it is a folder"),
        (&["--audit-log", &path("none/audit.log")], "its folder is not there"),
        (&["--listen=echo=tcp://127.0.0.1:70000"], "is not a port"),
        (&["--allow=010.0.0.0/8"], "leading zero"),
    ] {
        let ended = fails(&[&["check"], arguments].concat());
        assert!(only_line(&ended).contains(said), "{arguments:?}: {ended:#?}");
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}");
    }
}

/// A device without an end fills the memory of nobody who reads a key or a token from it.
#[test]
fn a_file_without_an_end_is_refused_wherever_one_is_named() {
    let folder = Folder::new("endless");
    for (text, said) in [
        ("[push]\ntoken_key_files = [\"/dev/zero\"]\n", "/dev/zero is larger than"),
        ("[redis]\npassword = { file = \"/dev/zero\" }\n", "it is larger than 64 KiB"),
        ("[traces]\ncollector = \"https://h/\"\nca = \"/dev/zero\"\n", "it is larger than 16 MiB"),
    ] {
        fs::write(folder.path("gannet.toml"), text).expect("our folder");
        let ended = fails(&["check", "--config", &folder.path("gannet.toml").display().to_string()]);
        assert!(ended.stderr.join("\n").contains(said), "{text}: {ended:#?}");
        assert_eq!(ended.status.code(), Some(2), "{text}");
    }
}

/// Another program listens where the admin socket is thought to be, or the server goes away in the middle of its answer.
#[test]
fn an_answer_that_is_none_of_ours_is_said_and_takes_no_memory() {
    let folder = Folder::new("no-admin");
    let line = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; 100 << 10]].concat();
    let head = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"A: b\r\n".repeat(200)].concat();
    let cut = b"HTTP/1.1 200 OK\r\n\r\n{\"event\":\"dropped\",\"pieces\":1}\n".to_vec();
    let null = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull".to_vec();
    for (name, arguments, answer, said) in [
        ("line", ["trace", "0-0-1"], line, "a line that is too long"),
        ("head", ["trace", "0-0-1"], head, "too many header fields"),
        ("cut", ["trace", "0-0-1"], cut, "has closed the connection before the end"),
        ("null", ["kick", "--user=ann"], null, "no object of JSON"),
    ] {
        let path = folder.path(name);
        let listener = UnixListener::bind(&path).expect("a socket");
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody asks");
            let mut request = [0; 4096];
            assert_ne!(stream.read(&mut request).expect("it asks"), 0);
            // The client need not read to the end.
            let _ = stream.write_all(&answer);
        });
        let ended = fails(&[&arguments[..], &["--admin", &path.display().to_string()]].concat());
        assert!(ended.stderr.join("\n").contains(said), "{name}: {ended:#?}");
        assert_eq!(ended.status.code(), Some(1), "{name}");
        server.join().expect("no panic");
    }
}
