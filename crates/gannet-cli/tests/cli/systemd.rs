//! What a service manager is told, and the sockets that it opens: a fake one, and systemd's own tool where it is there.

use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::{Command, Stdio};

use gannet_testing::{PATIENCE, free_ports};
use rustix::process::{Pid, Signal, kill_process};

use crate::server::{Folder, Server, Stream, drivers, gannet, gannet_by_shell};
use crate::upgrade;

/// A service manager that listens.
struct Manager {
    folder: Folder,
    socket: UnixDatagram,
}

impl Manager {
    fn new(name: &str) -> Self {
        let folder = Folder::new(name);
        let socket = UnixDatagram::bind(folder.path("notify")).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { folder, socket }
    }

    fn tell(&self, command: &mut Command) {
        command.env("NOTIFY_SOCKET", self.folder.path("notify"));
    }

    fn heard(&self) -> String {
        let mut text = [0; 4096];
        let length = self.socket.recv(&mut text).expect("it says something");
        String::from_utf8_lossy(&text[..length]).into_owned()
    }

    /// Waits for a state; others may come before.
    fn wait_for(&self, is_it: impl Fn(&str) -> bool) -> String {
        loop {
            let heard = self.heard();
            if is_it(&heard) {
                return heard;
            }
        }
    }
}

#[test]
fn a_service_manager_hears_of_the_start_the_watchdog_and_the_end() {
    let manager = Manager::new("systemd-notify");
    let mut command = gannet(&["serve", "--driver", drivers()[0], "--listen", "echo=tcp://127.0.0.1:0"]);
    manager.tell(&mut command);
    command.env("WATCHDOG_USEC", "200000");
    let server = Server::run(command).expect("it starts");
    assert_eq!(manager.heard(), "READY=1");
    for _ in 0..3 {
        assert_eq!(manager.heard(), "WATCHDOG=1");
    }
    server.signal(Signal::TERM);
    manager.wait_for(|heard| heard == "STOPPING=1");
    assert!(server.ended().status.success());
}

#[test]
fn a_watchdog_of_another_process_is_none_of_ours() {
    let manager = Manager::new("systemd-other");
    let mut command = gannet(&["serve", "--driver", drivers()[0], "--listen", "echo=tcp://127.0.0.1:0"]);
    manager.tell(&mut command);
    command.env("WATCHDOG_USEC", "1000").env("WATCHDOG_PID", "1");
    let server = Server::run(command).expect("it starts");
    assert_eq!(manager.heard(), "READY=1");
    assert!(server.stop().status.success());
    assert_eq!(manager.heard(), "STOPPING=1", "and no watchdog before");
}

#[test]
fn a_service_manager_hears_which_process_is_the_main_one_after_an_upgrade() {
    let manager = Manager::new("systemd-upgrade");
    let options = ["serve", "--driver", drivers()[0], "--log", "json", "--listen", "echo=tcp://127.0.0.1:0"];
    let mut command = gannet(&options);
    manager.tell(&mut command);
    let mut server = Server::run(command).expect("it starts");
    assert_eq!(manager.heard(), "READY=1");
    server.signal(Signal::USR2);
    let event = server.wait_for(|event| event["message"] == "the new process serves: this one drains");
    let new = event["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()).expect("a process id");
    let heard = manager.wait_for(|heard| heard.starts_with("MAINPID="));
    assert_eq!(heard.lines().next(), Some(&*format!("MAINPID={new}")));
    kill_process(Pid::from_raw(new).expect("a process id"), Signal::TERM).expect("it runs");
    manager.wait_for(|heard| heard == "STOPPING=1");
    assert!(server.ended().status.success(), "the old one ends by itself");
}

#[test]
fn a_socket_that_systemd_has_opened_is_served_from_the_first_client_on() {
    let tool = "systemd-socket-activate";
    if Command::new(tool).arg("--version").output().is_err() {
        eprintln!("not tried: {tool} is not installed");
        return;
    }
    let address = free_ports(1)[0];
    let mut command = Command::new(tool);
    command.arg(format!("--listen={address}")).arg("--setenv=GANNET_ADMIN=off");
    command.args([env!("CARGO_BIN_EXE_gannet"), "serve", "--driver", drivers()[0]]);
    command.args(["--listen", &format!("echo=tcp://{address}")]);
    let server = Server::spawn(&mut command);
    // The tool starts the server when somebody connects.
    let connected = std::iter::repeat_with(|| TcpStream::connect(address)).find_map(Result::ok);
    let stream = connected.expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    Stream::Tcp(stream).ask(b"hi\n", b"hi\n");
    server.signal(Signal::TERM);
    assert!(server.ended().status.success());
}

/// Starts a server that finds a listening socket where systemd puts the first one that it opens.
fn activated(driver: &str, listen: &str, socket: OwnedFd) -> Server {
    let script = r#"export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" "$@" 3<&0 0</dev/null"#;
    let options = ["serve", "--driver", driver, "--reactors", "2", "--log", "json", "--listen", listen];
    let command = gannet_by_shell(script, &options);
    Server::run_with_input(command, Stdio::from(socket)).unwrap_or_else(|ended| panic!("{listen}: {ended:#?}"))
}

#[test]
fn a_socket_of_systemd_serves_through_upgrades_and_outlives_the_server() {
    let folder = Folder::new("systemd-upgraded");
    for driver in drivers() {
        let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
        let unix = UnixListener::bind(folder.path(driver)).expect("a socket");
        let at = tcp.local_addr().expect("it listens");
        let sockets: [(String, OwnedFd); 2] = [(format!("tcp://{at}"), tcp.into()), (folder.url(driver), unix.into())];
        for (url, socket) in sockets {
            // This process keeps the socket, as systemd does.
            let passed = || socket.try_clone().expect("a descriptor");
            let ask = || Stream::connect(&url).ask(b"hi\n", b"hi\n");
            let mut server = activated(driver, &format!("echo={url}"), passed());
            let mut stays = Stream::connect(&url);
            stays.ask(b"hi\n", b"hi\n");
            server.signal(Signal::USR2);
            let event = server.wait_for(|event| event["message"] == "the new process serves: this one drains");
            let new = event["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a process id");
            ask();
            assert_eq!(stays.rest(), b"", "its client is told to leave");
            upgrade::wait_for_end(server.pid());
            ask();
            kill_process(upgrade::pid(new), Signal::TERM).expect("it runs");
            upgrade::wait_for_end(new);
            assert!(server.ended().status.success(), "the old one has ended by itself");
            // Who comes now waits for the next server.
            let mut waits = Stream::connect(&url);
            let server = activated(driver, &format!("echo={url}"), passed());
            waits.ask(b"hi\n", b"hi\n");
            assert!(server.stop().status.success());
            drop(Stream::connect(&url));
        }
    }
}
