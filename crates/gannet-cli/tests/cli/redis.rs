//! The Redis service as its operators and clients meet it.

use std::io::Write as _;

use crate::invocation::{fails, only_line};
use crate::server::{Folder, Server, Stream, drivers, gannet};

const LISTEN: &str = "--listen=redis=tcp://127.0.0.1:0";

#[test]
fn it_answers_and_says_that_it_keeps_nothing() {
    for driver in drivers() {
        let server = Server::serve(driver, &[LISTEN]);
        assert!(server.banner().iter().any(|line| line.contains("memory only")), "{:#?}", server.banner());
        let mut stream = server.connect("redis");
        stream.ask(b"PING\r\n", b"+PONG\r\n");
        stream.ask(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$5\r\nvalue\r\n", b"+OK\r\n");
        server.connect("redis").ask(b"GET k\r\n", b"$5\r\nvalue\r\n");
        stream.ask(b"CONFIG GET proto-max-bulk-len\r\n", b"*2\r\n$18\r\nproto-max-bulk-len\r\n$9\r\n536870912\r\n");
        let port = server.url("redis").rsplit(':').next().expect("a port").to_owned();
        let answer = format!("*2\r\n$4\r\nport\r\n${}\r\n{port}\r\n", port.len());
        stream.ask(b"CONFIG GET port\r\n", answer.as_bytes());
        assert!(server.stop().status.success());
    }
}

/// As redis-server 7.0 says it with `--port 0 --tls-port N`, and with both.
#[test]
fn the_port_for_tls_has_a_name_of_its_own() {
    let folder = Folder::new("redis-ports");
    let socket = format!("--listen=redis={}", folder.url("socket"));
    let tls = ["--tls-self-signed", "--listen=redis=tls://127.0.0.1:0", &socket];
    for plain in [&[][..], &[LISTEN]] {
        let server = Server::serve("poll", &[&tls[..], plain].concat());
        let urls = server.urls("redis");
        let port = |scheme: &str| {
            let url = urls.iter().find(|url| url.starts_with(scheme));
            url.map_or("0", |url| url.rsplit(':').next().expect("a port"))
        };
        let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len());
        let mut stream = Stream::connect(&folder.url("socket"));
        for (name, value) in [("port", port("tcp:")), ("tls-port", port("tls:"))] {
            let answer = format!("*2\r\n{}{}", bulk(name), bulk(value));
            stream.ask(format!("CONFIG GET {name}\r\n").as_bytes(), answer.as_bytes());
        }
        stream.write_all(b"INFO server\r\n").expect("the server takes it");
        stream.finish();
        let info = String::from_utf8(stream.rest()).expect("text");
        let tcp_port = if plain.is_empty() { port("tls:") } else { port("tcp:") };
        assert!(info.contains(&format!("tcp_port:{tcp_port}\r\n")), "{info}");
    }
}

#[test]
fn without_the_password_there_is_nothing_to_have() {
    let mut by_environment = gannet(&["serve", "--log", "json", LISTEN]);
    by_environment.env("GANNET_REDIS_PASSWORD", "secret");
    let by_option = gannet(&["serve", "--log", "json", LISTEN, "--redis-password", "secret"]);
    for command in [by_environment, by_option] {
        let server = Server::run(command).unwrap_or_else(|ended| panic!("{ended:#?}"));
        let mut stream = server.connect("redis");
        stream.ask(b"GET k\r\n", b"-NOAUTH Authentication required.\r\n");
        let wrong = b"-WRONGPASS invalid username-password pair or user is disabled.\r\n";
        stream.ask(b"AUTH guess\r\n", wrong);
        stream.ask(b"GET k\r\n", b"-NOAUTH Authentication required.\r\n");
        stream.ask(b"AUTH secret\r\n", b"+OK\r\n");
        stream.ask(b"GET k\r\n", b"$-1\r\n");
    }
}

/// As `--redis-password "$PASSWORD"` is, where nobody has set that.
#[test]
fn an_empty_password_is_none_in_the_environment_and_a_mistake_on_the_command_line() {
    let ended = fails(&["serve", LISTEN, "--redis-password", ""]);
    assert!(only_line(&ended).contains("--redis-password is empty"), "{ended:#?}");
    assert_eq!(ended.status.code(), Some(2));
    let mut command = gannet(&["serve", LISTEN]);
    command.env("GANNET_REDIS_PASSWORD", "");
    let server = Server::run(command).unwrap_or_else(|ended| panic!("{ended:#?}"));
    server.connect("redis").ask(b"GET k\r\n", b"$-1\r\n");
}

#[test]
fn the_help_does_not_show_the_password_of_the_environment() {
    let mut command = gannet(&["serve", "--help"]);
    command.env("GANNET_REDIS_PASSWORD", "hunter2");
    let Err(ended) = Server::run(command) else { panic!("help serves nothing") };
    assert!(ended.stdout.iter().any(|line| line.contains("GANNET_REDIS_PASSWORD")), "{ended:#?}");
    assert!(!ended.stdout.iter().any(|line| line.contains("hunter2")), "{ended:#?}");
}

#[test]
fn who_listens_for_other_machines_without_a_password_is_warned() {
    const OPEN: &str = "--listen=redis=tcp://0.0.0.0:0";
    let warning = |options: &[&str]| {
        let server = Server::serve("poll", options);
        let warnings = server.stop().stderr;
        warnings.into_iter().find(|line| line.contains("without a password")).unwrap_or_default()
    };
    let refused = warning(&[OPEN]);
    assert!(refused.contains("redis refuses clients of other machines"), "{refused}");
    let let_in = warning(&[OPEN, "--redis-protected-mode=no"]);
    assert!(let_in.contains("redis listens for other machines"), "{let_in}");
    assert_eq!(warning(&[OPEN, "--redis-password=secret"]), "");
    assert_eq!(warning(&[LISTEN]), "");
}

#[test]
fn a_limit_on_memory_refuses_what_would_need_more() {
    let server = Server::serve("poll", &[LISTEN, "--redis-max-memory=1MiB"]);
    let mut stream = server.connect("redis");
    stream.ask(b"CONFIG GET maxmemory\r\n", b"*2\r\n$9\r\nmaxmemory\r\n$7\r\n1048576\r\n");
    let value = "x".repeat(2 << 20);
    stream.ask(format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{value}\r\n", value.len()).as_bytes(), b"+OK\r\n");
    stream.ask(b"SET other x\r\n", b"-OOM command not allowed when used memory > 'maxmemory'.\r\n");
    stream.ask(b"DEL k\r\n", b":1\r\n");
    stream.ask(b"SET other x\r\n", b"+OK\r\n");
}

#[test]
fn a_value_over_the_limit_is_refused_before_it_comes() {
    let server = Server::serve("poll", &[LISTEN, "--redis-max-value=1MiB"]);
    let mut stream = server.connect("redis");
    stream.write_all(b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1048577\r\n").expect("the server takes it");
    assert_eq!(stream.rest(), b"-ERR Protocol error: invalid bulk length\r\n");
}

#[test]
fn a_web_page_cannot_run_commands_through_a_browser_and_that_is_logged_once() {
    for driver in drivers() {
        let server = Server::serve(driver, &[LISTEN]);
        for _ in 0..3 {
            let mut stream = server.connect("redis");
            let request = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nSET owned yes\r\n";
            stream.write_all(request).expect("the server takes it");
            assert_eq!(stream.rest(), b"");
        }
        server.connect("redis").ask(b"GET owned\r\n", b"$-1\r\n");
        let log = server.stop().stderr;
        let attacks: Vec<_> = log.iter().filter(|line| line.contains("cross-protocol scripting")).collect();
        assert!(attacks.len() == 1 && attacks[0].contains("127.0.0.1:"), "{log:#?}");
    }
}
