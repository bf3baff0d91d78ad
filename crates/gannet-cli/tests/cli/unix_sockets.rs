//! The files of Unix sockets: made, replaced, refused and removed.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::time::SystemTime;

use rustix::process::Signal;

use crate::invocation::{fails, only_line};
use crate::server::{Folder, Server, drivers, gannet};

#[test]
fn a_stale_socket_file_is_replaced_and_removed_at_exit() {
    for driver in drivers() {
        for (reactors, signal) in [("1", Signal::TERM), ("2", Signal::INT)] {
            let folder = Folder::new(&format!("stale-{driver}-{reactors}"));
            let path = folder.path("socket");
            drop(UnixListener::bind(&path).expect("the stale one"));
            assert!(path.exists());
            let listener = format!("lines={}", folder.url("socket"));
            let arguments = ["serve", "--driver", driver, "--reactors", reactors, "--listen", &listener];
            let server = Server::run(gannet(&arguments)).expect("a stale file is replaced");
            assert!(server.banner().iter().any(|line| line.contains("nc -U ")), "{:#?}", server.banner());
            server.connect("lines").ask(b"hello\n", b"echo: hello\n");
            server.signal(signal);
            assert!(server.ended().status.success());
            assert!(!path.exists(), "the file goes with the server");
        }
    }
}

#[test]
fn the_socket_of_a_live_server_is_refused_and_left_alone() {
    for driver in drivers() {
        let folder = Folder::new(&format!("live-{driver}"));
        let listener = format!("--listen=lines={}", folder.url("socket"));
        let first = Server::serve(driver, &[&listener]);
        let ended = Server::run(gannet(&["serve", "--driver", driver, &listener])).err().expect("it is taken");
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.stderr.len() == 1 && ended.stderr[0].contains("in use"), "{ended:#?}");
        first.connect("lines").ask(b"still here\n", b"echo: still here\n");
        assert!(first.stop().status.success());
        assert!(!folder.path("socket").exists());
    }
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let folder = Folder::new("precious");
    std::fs::write(folder.path("file"), "precious").expect("a file");
    let listener = format!("echo={}", folder.url("file"));
    let ended = Server::run(gannet(&["serve", "--listen", &listener])).err().expect("it is in the way");
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stderr.len() == 1 && ended.stderr[0].contains("not a socket"), "{ended:#?}");
    assert_eq!(std::fs::read_to_string(folder.path("file")).expect("it is there"), "precious");
}

#[test]
fn a_server_that_could_not_start_leaves_no_socket_file() {
    let folder = Folder::new("leftover");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let unix = format!("--listen=echo={}", folder.url("socket"));
    let tcp = format!("--listen=echo=tcp://{}", taken.local_addr().expect("bound"));
    let ended = Server::run(gannet(&["serve", &unix, &tcp])).err().expect("the port is taken");
    assert_eq!(ended.status.code(), Some(1));
    assert!(!folder.path("socket").exists());
}

#[test]
fn a_path_that_cannot_be_is_refused_with_what_to_do() {
    let folder = Folder::new("no-path");
    let (missing, long) = (folder.url("missing/socket"), folder.url(&"x".repeat(200)));
    for (url, said, code) in [(missing, "there is no such folder", 1), (long, "at most 107 bytes", 2)] {
        for reactors in ["1", "2"] {
            let ended = fails(&["serve", "--reactors", reactors, "--listen", &format!("lines={url}")]);
            let line = only_line(&ended);
            assert!(line.contains(&url) && line.contains(said), "{line}");
            assert_eq!(ended.status.code(), Some(code));
        }
    }
}

/// A signal may end the process while it waits for an address, before anything would remove the file.
#[test]
fn no_socket_file_is_made_while_another_address_is_waited_for() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("it is bound").port();
    for driver in drivers() {
        let folder = Folder::new("unix-last");
        let directory = std::fs::File::open(folder.path("")).expect("it is there");
        directory.set_modified(SystemTime::UNIX_EPOCH).expect("it is ours");
        let unix = format!("--listen=echo={}", folder.url("socket"));
        let mut command = gannet(&["serve", "--driver", driver, &unix]);
        command.arg(format!("--listen=echo=tcp://127.0.0.1:{port}"));
        let ended = Server::run(command).err().expect("the port is taken");
        assert!(ended.stderr.len() == 1 && ended.stderr[0].contains("in use"), "{ended:#?}");
        let modified = directory.metadata().and_then(|folder| folder.modified()).expect("it is there");
        assert_eq!(modified, SystemTime::UNIX_EPOCH, "a file was made, and removed again");
    }
}
