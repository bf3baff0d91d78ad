//! Surroundings that say something wrong: a service manager, inherited descriptors, files that are none.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
#[cfg(target_os = "linux")]
use std::process::{Command, Stdio};
#[cfg(target_os = "linux")]
use std::time::Duration;

#[cfg(target_os = "linux")]
use gannet_testing::until;

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

/// As where the `.socket` unit says `ListenDatagram=` and the listener is one of connections.
#[test]
fn an_inherited_socket_of_another_kind_than_its_listener_is_named_with_both_kinds() {
    let folder = Folder::new("inherited-kind");
    let file = folder.path("gannet.toml");
    let text = "[[listener]]\nname = \"public\"\nservice = \"lines\"\nurl = \"tcp://127.0.0.1:0\"\n";
    fs::write(&file, text).expect("our folder");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = [udp.local_addr(), tcp.local_addr()].map(|at| at.expect("it is bound"));
    let unlike = "an inherited socket is of another kind than its listener needs: it closes";
    let gone = "an inherited socket has no listener any more: it closes";
    for (socket, name, described, message) in [
        (OwnedFd::from(udp), "public", format!("a UDP socket at {}", at[0]), unlike),
        (tcp.into(), "former", format!("a TCP socket at {}", at[1]), gone),
    ] {
        let mut command = gannet(&["serve", "--log=json", "--driver", drivers()[0], "--config"]);
        command.arg(&file).env("LISTEN_FDS", "1").env("LISTEN_FDS_FIRST_FD", "0").env("LISTEN_FDNAMES", name);
        let mut server = Server::run_with_input(command, socket.into()).unwrap_or_else(|ended| panic!("{ended:#?}"));
        let event = server.wait_for(|event| event["message"] == message);
        assert_eq!(event["socket"], described, "{event}");
        if message == unlike {
            assert_eq!((&event["needs"], &event["listener"]), (&"a TCP socket".into(), &"public".into()), "{event}");
        }
        Stream::connect(&server.url("lines")).ask(b"one\n", b"echo: one\n");
        assert!(server.stop().status.success());
    }
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

/// A pipe is opened without waiting for whoever writes to it, and has to end within half a minute.
#[cfg(target_os = "linux")]
#[test]
fn a_pipe_with_a_login_is_opened_at_once_and_read_to_its_end() {
    let folder = Folder::new("login-pipe");
    let pipe = folder.path("login");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("it is there").success());
    let server = Server::serve(drivers()[0], &["--listen=lines=tcp://127.0.0.1:0"]);
    let mut load =
        gannet(&["load", "lines", &server.url("lines"), "--connections=2", "--duration=200ms", "--warmup=0"]);
    load.args(["--quiet", "--expect=failed=0", "--login"]).arg(&pipe).stdout(Stdio::null()).stderr(Stdio::piped());
    let load = load.spawn().expect("the binary starts");
    let files = format!("/proc/{}/fd", load.id());
    until("that the pipe is open, though nobody writes to it", || {
        std::thread::park_timeout(Duration::from_millis(1));
        let files = fs::read_dir(&files).expect("it runs");
        files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|to| to == pipe))
    });
    fs::write(&pipe, "hello\n").expect("it is read");
    let output = load.wait_with_output().expect("it ends");
    // A machine that is busy may be the limit of the load.
    assert!(matches!(output.status.code(), Some(0 | 4)), "{output:?}");
}

/// Another program listens where the admin socket is thought to be, or the server goes away in the middle of its answer.
#[test]
fn an_answer_that_is_none_of_ours_is_said_and_takes_no_memory() {
    let folder = Folder::new("no-admin");
    let ours = "HTTP/1.1 200 OK\r\nGannet-Admin: 1\r\n\r\n";
    let json = |status: &str, body: &str| {
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
    };
    let line = [ours.as_bytes().to_vec(), vec![b'x'; 100 << 10]].concat();
    let head = [b"HTTP/1.1 200 OK\r\n".to_vec(), b"A: b\r\n".repeat(200)].concat();
    let cut = format!("{ours}{{\"event\":\"dropped\",\"pieces\":1}}\n").into_bytes();
    let (kick, trace) = (&["kick", "--user=ann"][..], &["trace", "0-0-1"][..]);
    let other = "not as the admin socket of gannet serve does";
    for (name, arguments, answer, said) in [
        ("line", trace, line, "a line that is too long"),
        ("head", trace, head, "too many header fields"),
        ("cut", trace, cut, "has closed the connection before the end"),
        ("null", kick, json("200 OK", "null"), other),
        ("version", kick, json("200 OK", r#"{"Version":"29.1"}"#), other),
        ("missing", kick, json("404 Not Found", r#"{"message":"page not found"}"#), other),
        ("error", kick, json("400 Bad Request", r#"{"error":{"code":"invalid","message":"mine"}}"#), other),
        ("events", trace, json("200 OK", r#"{"event":"over"}"#), other),
        ("redis", kick, b"-ERR unknown command 'POST'\r\n".to_vec(), "is it the admin socket of gannet serve?"),
        ("nothing", kick, Vec::new(), "the server has closed the connection"),
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
        let ended = fails(&[arguments, &["--admin", &path.display().to_string()]].concat());
        let text = ended.stderr.join("\n");
        assert!(text.contains(said) && !text.contains("mine"), "{name}: {ended:#?}");
        // Of ours, what came before the end is printed.
        assert!(name == "cut" || ended.stdout.is_empty(), "{name}: what another program says is printed: {ended:#?}");
        assert_eq!(ended.status.code(), Some(1), "{name}");
        server.join().expect("no panic");
    }
}
