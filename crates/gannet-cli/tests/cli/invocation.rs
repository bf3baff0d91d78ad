//! How the binary is called: its options, what it prints, and how it fails.

use std::ffi::OsStr;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::ffi::OsStrExt as _;

use crate::server::{Ended, Server, Stream, drivers, gannet, gannet_by_shell};

/// Runs the binary with arguments that make it end.
pub(crate) fn fails(arguments: &[&str]) -> Ended {
    match Server::run(gannet(arguments)) {
        Ok(server) => panic!("{arguments:?} was taken: {:#?}", server.banner()),
        Err(ended) => ended,
    }
}

/// What it says on standard error, which has to be one line and to be the only thing it says.
pub(crate) fn only_line(ended: &Ended) -> &str {
    let [line] = &ended.stderr[..] else { panic!("more or less than a line: {ended:#?}") };
    assert!(ended.stdout.is_empty() && line.starts_with("gannet: "), "{ended:#?}");
    line
}

#[test]
fn wrong_usage_is_answered_with_one_line_and_status_2() {
    for (arguments, said) in [
        (&["serve", "--driver", "warp"][..], "'warp' for '--driver <DRIVER>'; possible values: auto, uring, poll"),
        (&["serve", "--listn", "x"], "'--listn'"),
        (&["serve", "--listen"], "'--listen <SERVICE=URL>'"),
        (&["serve", "--listen", "echo"], "SERVICE=URL, for example"),
        (
            &["serve", "--listen", "mail=tcp://127.0.0.1:0"],
            "there are echo, lines, frames, discard, redis, push, push-stream, push-api and http",
        ),
        (&["serve", "--listen", "lines=udp://127.0.0.1:0"], "lines is served on tcp://, tls:// and unix:// only"),
        (
            &["serve", "--listen", "echo=ftp://127.0.0.1:0"],
            "tcp://host:port, tls://host:port, unix:///path or udp://host:port",
        ),
        (&["serve", "--listen", "echo=tcp://127.0.0.1"], "the port is missing"),
        (&["serve", "--listen", "echo=tcp://127.0.0.1:70000"], "not a port"),
        (&["serve", "--listen", "echo=tcp://::1:7000"], "brackets"),
        (&["serve", "--listen", "echo=unix://"], "path is missing"),
        (&["serve", "--listen", "one\ntwo=three\nfour"], "there is no service"),
        (&["serve", "--reactors", "0"], "not a whole number from 1 to 1024"),
        (&["serve", "--reactors", "many"], "'many' for '--reactors <N>': not a whole number from 1 to 1024"),
        (&["serve", "--max-frame", "64Q"], "write bytes as 512, or 64KiB"),
        (&["serve", "--max-frame", "0"], "at least 1 byte"),
        (&["serve", "--max-frame", "2GiB"], "at most 1GiB"),
        (&["serve", "--max-frame", "99999999999GiB"], "more than this machine can address"),
        (&["serve", "--outbox-hard", "1KiB"], "--outbox-high"),
        (&["serve", "--outbox-hard", "1MiB"], "--max-frame"),
        (&["serve", "--idle-timeout", "30"], "needs a unit"),
        (&["serve", "--idle-timeout", "soon"], "500ms, 30s, 2m, 1h, or off"),
        (&["serve", "--stats", "9999h"], "24 days"),
        (&["serve", "--max-accepts", "10/m"], "1000/s"),
        (&["serve", "--max-connections=-1"], "'-1'"),
        (&["serve", "--max-connections-per-peer=1.5"], "not a whole number from 0 to 4294967295"),
        (&["serve", "--balance", "fair"], "reuseport, round-robin, least-connections, source-hash"),
        (&["serve", "--overflow", "wait"], "close, drop-oldest, latest-only"),
        (&["serve", "--log", "xml"], "text, json"),
        (&["serve", "--log-level", "loud"], "error, warn, info, debug, trace"),
        (&["serve", "--redis-max-memory", "much"], "write bytes as 512, or 64KiB"),
        (&["serve", "--redis-max-memory-policy", "allkeys-lfu"], "noeviction, allkeys-lru, volatile-ttl"),
        (&["serve", "--redis-max-value", "1KiB"], "at least 1MiB and at most 512MiB"),
        (&["serve", "--redis-max-value", "1GiB"], "at least 1MiB and at most 512MiB"),
        (&["serve", "more"], "'more'"),
        (&["server"], "try 'gannet --help'"),
        (&["config"], "'gannet config' requires a subcommand"),
        (&["config", "efective"], "'effective'; try 'gannet config --help'"),
        (&["kick"], "say which connections: a handle, --service, --cidr, --user or --channel"),
        (&["serve", "--audit-log", "audit.log"], "an absolute path"),
    ] {
        let ended = fails(arguments);
        let line = only_line(&ended);
        assert!(line.contains(said), "{arguments:?}: {line}");
        assert_eq!(ended.status.code(), Some(2), "{arguments:?}: {line}");
    }
}

#[test]
fn what_is_wrong_with_the_environment_is_said_by_its_name() {
    let not_utf8 = OsStr::from_bytes(b"\xff");
    for (arguments, variable, value, said) in [
        (&[][..], "GANNET_WEBSOCKET_DEFLATE", OsStr::new("2"), "possible values: true, false"),
        (&["serve"], "GANNET_TLS_MIN_VERSION", OsStr::new("1.1"), "possible values: 1.2, 1.3"),
        (&["serve"], "GANNET_TLS_CERT", OsStr::new(""), "a list needs an entry"),
        (&["serve"], "GANNET_REDIS_PASSWORD", not_utf8, "not UTF-8"),
    ] {
        let mut command = gannet(arguments);
        command.env(variable, value);
        let Err(ended) = Server::run(command) else { panic!("{variable} was taken") };
        let line = only_line(&ended);
        assert!(line.contains(said) && line.contains(&format!("{variable} in the environment")), "{line}");
        assert_eq!(ended.status.code(), Some(2), "{line}");
    }
    let mut command = gannet(&["serve", "--tls-min-version", "1.1"]);
    command.env("GANNET_TLS_MIN_VERSION", "1.2");
    let Err(ended) = Server::run(command) else { panic!("there is no such version") };
    assert!(!only_line(&ended).contains("environment"), "{ended:#?}");
}

#[test]
fn the_environment_of_other_servers_is_no_error_but_an_option_without_use_is() {
    let variables = [
        ("GANNET_TLS_CERT", "/nowhere/cert.pem"),
        ("GANNET_TLS_KEY", "/nowhere/key.pem"),
        ("GANNET_TLS_CLIENT_CA", "/nowhere/ca.pem"),
        ("GANNET_TLS_CLIENT_AUTH", "required"),
        ("GANNET_TLS_CRL", "/nowhere/crl.pem"),
        ("GANNET_TLS_MIN_VERSION", "1.3"),
        ("GANNET_TLS_SELF_SIGNED", "true"),
        ("GANNET_TLS_ACCEPT_EXPIRED", "true"),
        ("GANNET_WEBSOCKET_DEFLATE", "true"),
        ("GANNET_REDIS_PASSWORD", "secret"),
        ("GANNET_TCP_KEEPALIVE", "60s"),
    ];
    let serve = |options: &[&str], variables: &[(&str, &str)]| {
        let mut command = gannet(&["serve", "--listen=lines=tcp://127.0.0.1:0"]);
        command.args(options).envs(variables.iter().copied());
        Server::run(command)
    };
    let alone = variables.iter().map(std::slice::from_ref);
    for given in alone.chain([&variables[..]]) {
        let server = serve(&[], given).unwrap_or_else(|ended| panic!("{given:?}: {ended:#?}"));
        server.connect("lines").ask(b"hello\n", b"echo: hello\n");
    }
    let Err(ended) = serve(&["--tls-min-version=1.3"], &variables) else { panic!("there is no tls://") };
    let line = only_line(&ended);
    assert!(line.contains("--tls-min-version is of no use without a tls:// listener"), "{line}");
    assert_eq!(ended.status.code(), Some(2), "{line}");

    // What is asked for on the command line counts more.
    let tls = ["--listen=echo=tls://127.0.0.1:0", "--tls-self-signed"];
    let files = &variables[..2];
    assert!(serve(&tls, files).is_ok());
    let Err(ended) = serve(&[&tls[..], &["--tls-cert=/nowhere/cert.pem"]].concat(), files) else {
        panic!("both are asked for")
    };
    assert!(only_line(&ended).contains("--tls-self-signed makes a certificate of its own"), "{ended:#?}");
}

#[test]
fn an_argument_that_is_not_utf8_is_named() {
    let mut command = gannet(&["serve", "--driver", "poll"]);
    command.arg(OsStr::from_bytes(b"--listen=echo=unix:///\xff"));
    let Err(ended) = Server::run(command) else { panic!("it was taken") };
    let line = only_line(&ended);
    assert!(line.contains("'--listen=echo=unix:///\u{fffd}' is not UTF-8"), "{line}");
    assert_eq!(ended.status.code(), Some(2));
}

#[test]
fn an_address_in_use_is_answered_with_one_line_and_status_1() {
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let tcp_url = format!("tcp://{}", tcp.local_addr().expect("bound"));
    let udp_url = format!("udp://{}", udp.local_addr().expect("bound"));
    for driver in drivers() {
        for (reactors, url) in [("1", &tcp_url), ("2", &tcp_url), ("1", &udp_url), ("2", &udp_url)] {
            let listener = format!("echo={url}");
            let ended = fails(&["serve", "--driver", driver, "--reactors", reactors, "--listen", &listener]);
            let line = only_line(&ended);
            assert!(line.contains(url) && line.contains("in use") && line.contains("another port"), "{line}");
            assert_eq!(ended.status.code(), Some(1));
        }
    }
}

#[test]
fn a_second_server_on_the_same_address_is_told_so() {
    for driver in drivers() {
        let first = Server::serve(driver, &["--listen=lines=tcp://127.0.0.1:0"]);
        let url = first.url("lines");
        for balance in ["reuseport", "round-robin"] {
            let listener = format!("lines={url}");
            let ended = fails(&["serve", "--driver", driver, "--balance", balance, "--listen", &listener]);
            let line = only_line(&ended);
            assert!(line.contains(&url) && line.contains("in use"), "{line}");
            assert_eq!(ended.status.code(), Some(1));
        }
        first.connect("lines").ask(b"still here\n", b"echo: still here\n");
    }
}

#[test]
fn an_unknown_host_is_answered_with_one_line_and_status_1() {
    let ended = fails(&["serve", "--listen", "echo=tcp://nowhere.invalid:7000"]);
    let line = only_line(&ended);
    assert!(line.contains("nowhere.invalid") && line.contains("was not found"), "{line}");
    assert_eq!(ended.status.code(), Some(1));
}

#[test]
fn help_and_version_go_to_standard_output() {
    for (arguments, said) in [
        (&["--help"][..], "serve"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
        (&["serve", "--help"], "[default: 1MiB]"),
        (&["serve", "--help"], "lines=tcp://127.0.0.1:7001"),
        (&["serve", "-h"], "--drain-timeout"),
        (&["serve", "--help"], "SIGHUP has the server read its configuration"),
        (&["serve", "--help"], "Exit status:"),
    ] {
        let ended = fails(arguments);
        assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:#?}");
        assert!(ended.stdout.iter().any(|line| line.contains(said)), "{ended:#?}");
    }
}

#[test]
fn without_arguments_it_serves_the_defaults_on_this_machine() {
    // The default ports may be taken where the tests run; that has to be said as it is.
    let server = match Server::run(gannet(&[])) {
        Ok(server) => server,
        Err(ended) => {
            assert!(only_line(&ended).contains("in use"), "{ended:#?}");
            return;
        }
    };
    assert_eq!(server.urls("echo"), ["tcp://127.0.0.1:7000", "udp://127.0.0.1:7000"]);
    assert_eq!(server.url("lines"), "tcp://127.0.0.1:7001");
    assert_eq!(server.url("frames"), "tcp://127.0.0.1:7002");
    assert_eq!(server.url("redis"), "tcp://127.0.0.1:6380");
    assert_eq!(server.url("http"), "tcp://127.0.0.1:8080");
    let banner = server.banner().join("\n");
    for said in ["driver: ", "reactors: ", r"printf 'hello\n' | nc 127.0.0.1 7001 ", "echo: hello"] {
        assert!(banner.contains(said), "{said:?} is missing: {banner}");
    }
    server.connect("lines").ask(b"hello\n", b"echo: hello\n");
    assert!(server.stop().status.success());
}

#[test]
fn the_banner_says_which_port_was_taken_for_port_0_and_which_driver() {
    for driver in drivers() {
        let server = Server::serve(driver, &["--listen=echo=tcp://127.0.0.1:0", "--listen=lines=tcp://[::1]:0"]);
        let url = server.url("echo");
        let port = url.rsplit(':').next().expect("a port");
        assert_ne!(port, "0");
        let banner = server.banner();
        assert!(banner.iter().any(|line| line.contains(&format!("nc 127.0.0.1 {port} "))), "{banner:#?}");
        assert!(banner.iter().any(|line| line.starts_with(&format!("driver: {driver} (asked for"))), "{banner:#?}");
        assert!(banner.iter().any(|line| line == "reactors: 2"), "{banner:#?}");
        server.connect("lines").ask(b"six\n", b"echo: six\n");
    }
}

#[test]
fn nobody_has_to_read_what_is_printed() {
    for script in [r#"exec "$0" "$@" >&-"#, r#"exec "$0" "$@" >/dev/full"#] {
        if script.contains("/dev/full") && !std::path::Path::new("/dev/full").exists() {
            continue;
        }
        let mut command = gannet_by_shell(script, &["serve", "--listen", "echo=tcp://127.0.0.1:0"]);
        let mut server = Server::spawn(&mut command);
        server.wait_for_line(|line| line.contains("open files"));
        assert!(server.stop().status.success(), "{script}");
    }
}

#[test]
fn every_way_to_spread_connections_serves_them() {
    for driver in drivers() {
        for balance in ["reuseport", "round-robin", "least-connections", "source-hash"] {
            let listener = "--listen=lines=tcp://127.0.0.1:0";
            let server = Server::serve(driver, &[listener, "--balance", balance, "--pin"]);
            let mut streams: Vec<_> = (0..16).map(|_| server.connect("lines")).collect();
            for stream in &mut streams {
                stream.ask(b"hello\n", b"echo: hello\n");
            }
        }
    }
}

/// Binary and library have the same name, and documentation of the one would be in the place of the other's.
#[test]
fn the_documentation_that_the_readme_opens_is_that_of_the_library() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).expect("it was built from it");
    let binary = manifest.split("[[bin]]").nth(1).and_then(|rest| rest.split("\n[").next()).expect("a binary");
    assert!(binary.contains("name = \"gannet\"") && binary.contains("\ndoc = false"), "{binary}");
    let readme = std::fs::read_to_string(folder.join("../../README.md")).expect("there is one");
    let commands: Vec<&str> = readme.split('`').filter(|command| command.starts_with("cargo doc")).collect();
    assert_eq!(commands, ["cargo doc --open -p gannet"]);
}

#[test]
fn where_the_banner_cannot_be_written_the_log_says_what_listens_where() {
    if !std::path::Path::new("/dev/full").exists() {
        return;
    }
    let arguments = ["serve", "--log=json", "--listen=echo=tcp://127.0.0.1:0", "--listen=lines=tcp://127.0.0.1:0"];
    let mut server = Server::spawn(&mut gannet_by_shell(r#"exec "$0" "$@" >/dev/full"#, &arguments));
    let event = server.wait_for(|event| event["listening"].is_string());
    assert_eq!(event["level"], "WARN");
    let urls = event["listening"].as_str().expect("text").split(' ').map(|one| one.split_once('='));
    let [Some(("echo", echo)), Some(("lines", lines))] = urls.collect::<Vec<_>>()[..] else { panic!("{event}") };
    Stream::connect(echo).ask(b"hello", b"hello");
    Stream::connect(lines).ask(b"hello\n", b"echo: hello\n");
    assert!(server.stop().status.success());
}
