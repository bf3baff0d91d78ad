//! Listeners as they are written: from the environment, with options, on addresses of every kind.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use gannet_testing::free_ports;
use rustix::process::Signal;

use crate::invocation::{fails, only_line};
use crate::server::{Folder, Server, Stream, drivers, gannet};

#[test]
fn listeners_and_every_other_option_come_from_the_environment_too() {
    let mut command = gannet(&["serve"]);
    command.env("GANNET_LISTEN", "lines=tcp://127.0.0.1:0 http=tcp://127.0.0.1:0,operational  lines=tcp://127.0.0.1:0");
    command.env("GANNET_REACTORS", "3").env("GANNET_DRIVER", "poll").env("GANNET_PIN", "true");
    let server = Server::run(command).expect("all of it is fine");
    assert_eq!((server.urls("lines").len(), server.urls("http").len(), server.urls("echo").len()), (2, 1, 0));
    let banner = server.banner();
    assert!(banner.iter().any(|line| line == "reactors: 3"), "{banner:#?}");
    assert!(banner.iter().any(|line| line.starts_with("driver: poll")), "{banner:#?}");
    for url in server.urls("lines") {
        Stream::connect(&url).ask(b"hello\n", b"echo: hello\n");
    }
    let mut command = gannet(&["serve", "--listen=lines=tcp://127.0.0.1:0"]);
    command.env("GANNET_LISTEN", "echo=tcp://127.0.0.1:0");
    let server = Server::run(command).expect("the command line counts");
    assert_eq!((server.urls("lines").len(), server.urls("echo").len()), (1, 0));
}

#[test]
fn a_variable_that_is_wrong_is_named() {
    for (variable, value, said) in [
        ("GANNET_LISTEN", "echo", "SERVICE=URL, for example"),
        ("GANNET_LISTEN", "", "SERVICE=URL"),
        ("GANNET_LISTEN", "echo=tcp://127.0.0.1:0 mail=tcp://127.0.0.1:0", "there is no service 'mail'"),
        ("GANNET_LISTEN", "echo=tcp://127.0.0.1:0,fast", "a listener has no option 'fast'"),
        ("GANNET_MAX_FRAME", "64Q", "write bytes as 512, or 64KiB"),
        ("GANNET_REACTORS", "0", "not a whole number from 1 to 1024"),
        ("GANNET_PIN", "maybe", "possible values: true, false"),
        ("GANNET_TCP_KEEPALIVE", "1ms", "1s to 32767s, or off"),
        ("GANNET_LOG", "xml", "text, json"),
    ] {
        let mut command = gannet(&["serve"]);
        command.env(variable, value);
        let Err(ended) = Server::run(command) else { panic!("{variable}={value} was taken") };
        let line = only_line(&ended);
        assert!(line.contains(said) && line.contains(&format!("{variable} in the environment")), "{line}");
        assert_eq!(ended.status.code(), Some(2), "{line}");
    }
}

#[test]
fn a_server_that_was_killed_can_be_started_again_at_once() {
    for driver in drivers() {
        // A port that the kernel chose is anybody's between two servers.
        let listen = format!("--listen=lines=tcp://{}", free_ports(1)[0]);
        let mut server = Server::serve(driver, &[&listen]);
        for _ in 0..10 {
            server.connect("lines").ask(b"hello\n", b"echo: hello\n");
            server.signal(Signal::KILL);
            drop(server);
            server = Server::serve(driver, &[&listen]);
        }
    }
}

#[test]
fn who_may_connect_to_a_unix_socket_is_said_with_the_listener() {
    for driver in drivers() {
        for reactors in ["1", "2"] {
            let folder = Folder::new(&format!("mode-{driver}-{reactors}"));
            let group = std::fs::metadata(folder.path(".")).expect("it was just made").gid();
            let listener = format!("lines={},mode=0620,group={group}", folder.url("socket"));
            let arguments = ["serve", "--driver", driver, "--reactors", reactors, "--listen", &listener];
            let server = Server::run(gannet(&arguments)).expect("it is our folder");
            let file = std::fs::symlink_metadata(folder.path("socket")).expect("the socket is there");
            assert_eq!((file.permissions().mode() & 0o777, file.gid()), (0o620, group));
            server.connect("lines").ask(b"hello\n", b"echo: hello\n");
            assert!(server.stop().status.success());
            assert!(!folder.path("socket").exists(), "the file goes with the server");
        }
    }
    let ended = fails(&["serve", "--listen=lines=unix://@gannet,mode=0660"]);
    assert!(only_line(&ended).contains("an abstract name has no file"), "{ended:#?}");
    assert_eq!(ended.status.code(), Some(1));
}

#[test]
fn a_name_listens_on_each_of_its_addresses() {
    for driver in drivers() {
        let server = Server::serve(driver, &["--listen=lines=tcp://localhost:0", "--listen=http=tcp://localhost:0"]);
        let urls = server.urls("lines");
        assert!(!urls.is_empty() && urls.len() == server.urls("http").len(), "{:#?}", server.banner());
        for url in urls {
            Stream::connect(&url).ask(b"hello\n", b"echo: hello\n");
        }
        let mut http = server.connect("http");
        http.ask(b"GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", b"HTTP/1.1 200 OK\r\n");
    }
}

/// A link-local address of this machine with the name of its interface.
fn link_local() -> Option<String> {
    let table = std::fs::read_to_string("/proc/net/if_inet6").ok()?;
    let row =
        table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>()).find(|row| row[0].starts_with("fe80"))?;
    let ip = std::net::Ipv6Addr::from(u128::from_str_radix(row[0], 16).ok()?);
    Some(format!("{ip}%{}", row.last()?))
}

#[test]
fn a_link_local_address_is_written_with_its_interface() {
    let ended = fails(&["serve", "--listen=lines=tcp://[fe80::1]:0"]);
    assert!(only_line(&ended).contains("needs its interface, by name or number: [fe80::1%eth0]:0"), "{ended:#?}");
    assert_eq!(ended.status.code(), Some(2));
    let ended = fails(&["load", "echo", "tcp://[fe80::1%nowhere]:7000"]);
    assert!(only_line(&ended).contains("this machine has no interface \"nowhere\""), "{ended:#?}");
    let Some(host) = link_local() else { return eprintln!("not tried: this machine has no link-local address") };
    for driver in drivers() {
        let lines = format!("--listen=lines=tcp://[{host}]:0");
        let http = format!("--listen=http=tcp://[{host}]:0");
        let server = Server::serve(driver, &[&lines, &http]);
        server.connect("lines").ask(b"hello\n", b"echo: hello\n");
        for (scenario, url) in [("lines", server.url("lines")), ("http", server.url("http"))] {
            let port = url.rsplit(':').next().expect("a port");
            let url = format!("tcp://[{host}]:{port}");
            let arguments = ["load", scenario, &url, "--connections=2", "--duration=200ms", "--warmup=0s"];
            let mut command = gannet(&arguments);
            command.args(["--driver", driver, "--expect=errors=0", "--expect=failed=0"]);
            let Err(ended) = Server::run(command) else { panic!("a load has no banner") };
            // A machine that is busy may be the limit of the load.
            assert!(matches!(ended.status.code(), Some(0 | 4)), "{ended:#?}");
        }
    }
}

#[test]
fn an_abstract_name_needs_no_folder() {
    let name = format!("gannet-cli-{}", std::process::id());
    for driver in drivers() {
        let server = Server::serve(driver, &[&format!("--listen=lines=unix://@{name}")]);
        let banner = server.banner();
        assert!(banner.iter().any(|line| line.contains(&format!("ABSTRACT-CONNECT:{name}"))), "{banner:#?}");
        let arguments = ["load", "lines", &server.url("lines"), "--connections=1", "--duration=200ms", "--warmup=0s"];
        let mut command = gannet(&arguments);
        command.args(["--driver", driver, "--expect=errors=0", "--expect=failed=0"]);
        let Err(ended) = Server::run(command) else { panic!("a load has no banner") };
        // A machine that is busy may be the limit of the load.
        assert!(matches!(ended.status.code(), Some(0 | 4)), "{ended:#?}");
    }
}
