//! What a service manager is told, and the sockets that it opens: a fake one, and systemd's own tool where it is there.

use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::process::Command;

use gannet_testing::PATIENCE;
use rustix::process::{Pid, Signal, kill_process};

use crate::server::{Folder, Server, Stream, drivers, gannet};

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
    // A free port: nobody else takes it in the moment between.
    let address = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port");
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
