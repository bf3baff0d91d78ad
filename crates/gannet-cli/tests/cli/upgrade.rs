//! `gannet upgrade`: real processes take over from each other while clients connect all the time.

use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use gannet_testing::until;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use crate::crowd::{Crowd, HI, Visit, tls_visitor, visitor};
use crate::server::{Server, drivers};
use crate::tls::{Client, InFiles as _, LINES, authority};

/// A folder with a program that can be exchanged, and the servers that were started from it.
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) pids: Vec<u32>,
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("gannet-upgrade-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).expect("a folder");
        let place = Self { folder, pids: Vec::new() };
        place.install("");
        place
    }

    pub(crate) fn program(&self) -> PathBuf {
        self.folder.join("gannet")
    }

    pub(crate) fn admin(&self) -> PathBuf {
        self.folder.join("admin.sock")
    }

    /// Exchanges the program: for the binary itself, or for a script that ends with it.
    pub(crate) fn install(&self, script: &str) {
        let new = self.folder.join("new");
        let binary = env!("CARGO_BIN_EXE_gannet");
        if script.is_empty() {
            symlink(binary, &new).expect("a link");
        } else {
            let text = format!("#!/bin/bash\nGANNET={binary}\n{script}\n");
            std::fs::write(&new, text).expect("a file");
            std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).expect("it is ours");
        }
        std::fs::rename(&new, self.program()).expect("it is ours");
    }

    /// Starts the first server.
    pub(crate) fn start(&mut self, options: &[&str]) -> Server {
        let mut command = Command::new(self.program());
        command.args(["serve", "--log", "json", "--drain-spread", "off", "--drain-timeout", "2s"]);
        command.args(options).arg("--admin").arg(self.admin());
        let server = Server::run(command).unwrap_or_else(|ended| panic!("{options:?}: {ended:#?}"));
        self.pids.push(server.pid());
        server
    }

    /// Asks the server that runs for an upgrade.
    pub(crate) fn ask(&self, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gannet"));
        command.args(["upgrade", "--json", "--admin"]).arg(self.admin()).args(more);
        command.output().expect("the binary starts")
    }

    /// Upgrades, and says what the report has.
    pub(crate) fn upgrade(&mut self) -> Value {
        let output = self.ask(&[]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
        let report: Value = serde_json::from_str(&said).expect("JSON");
        self.is_now(&report);
        report
    }

    /// Notes the new process of a report.
    pub(crate) fn is_now(&mut self, report: &Value) {
        self.pids.push(report["pid"].as_u64().and_then(|pid| pid.try_into().ok()).expect("a process id"));
    }

    /// Asks for an upgrade that fails, and says why.
    pub(crate) fn fail_to_upgrade(&self, more: &[&str]) -> String {
        let output = self.ask(more);
        assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for pid in &self.pids {
            kill(*pid);
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The process of a number.
pub(crate) fn pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("a process id")
}

pub(crate) fn kill(number: u32) {
    // It may have ended.
    let _ = kill_process(pid(number), Signal::KILL);
}

/// Waits until a process is gone.
pub(crate) fn wait_for_end(number: u32) {
    // A zombie counts as gone: whoever has started it may be gone too.
    until("the end of a process", || {
        let state = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        let is_there = test_kill_process(pid(number)).is_ok() && !state.contains(") Z ");
        if is_there {
            std::thread::park_timeout(Duration::from_millis(1));
        }
        !is_there
    });
}

/// Starts a server on a driver with so many reactors, by a script that the next one exchanges.
fn with(driver: &str, reactors: u32) -> String {
    format!("export GANNET_DRIVER={driver} GANNET_REACTORS={reactors}\nexec -a \"$0\" $GANNET \"$@\"")
}

/// Drivers that take turns, and numbers of reactors: more, fewer, one.
fn kinds(count: usize) -> Vec<(&'static str, u32)> {
    (0..count).map(|index| (drivers()[index % drivers().len()], [2, 4, 1][index % 3])).collect()
}

/// A server that listens on TCP, on a Unix socket and with TLS, and the clients of each.
pub(crate) struct Everywhere {
    pub(crate) server: Server,
    socket: PathBuf,
    client: Client,
}

impl Everywhere {
    pub(crate) fn start(place: &mut Place, more: &[&str]) -> Self {
        let ca = authority();
        ca.server(&["localhost"]).put(&place.folder);
        let [cert, key, socket] = ["cert.pem", "key.pem", "echo.sock"].map(|file| place.folder.join(file));
        let unix = format!("echo=unix://{}", socket.display());
        let (cert, key) = (cert.display().to_string(), key.display().to_string());
        let options =
            ["--listen", "echo=tcp://127.0.0.1:0", "--listen", &unix, LINES, "--tls-cert", &cert, "--tls-key", &key];
        let server = place.start(&[&options[..], more].concat());
        Self { server, socket, client: Client::trusting(&ca) }
    }

    /// The clients of each of its listeners: TCP, Unix, TLS.
    pub(crate) fn visitors(self) -> (Server, [Box<dyn Visit>; 3]) {
        let (tcp, unix) = (self.server.url("echo"), format!("unix://{}", self.socket.display()));
        let tls = tls_visitor(self.server.url("lines"), self.client);
        (self.server, [visitor(&tcp), visitor(&unix), tls])
    }

    /// Has clients come: so many a second over TCP, a tenth of that over the Unix socket, a hundredth with TLS.
    pub(crate) fn crowds(self, a_second: u32) -> (Server, [(&'static str, Crowd); 3]) {
        let (server, [tcp, unix, tls]) = self.visitors();
        let crowds = [
            ("TCP", Crowd::start(a_second, 512, tcp)),
            ("Unix", Crowd::start(a_second / 10, 128, unix)),
            ("TLS", Crowd::start(a_second / 100, 32, tls)),
        ];
        (server, crowds)
    }
}

/// Upgrades a server through these drivers and numbers of reactors while clients come: so many a second.
fn upgrade_under_load(name: &str, kinds: &[(&str, u32)], a_second: u32) {
    let mut place = Place::new(name);
    place.install(&with(kinds[0].0, kinds[0].1));
    let everywhere = Everywhere::start(&mut place, &[]);
    let socket = everywhere.socket.clone();
    let mut stays = everywhere.server.connect("echo");
    stays.ask(HI, HI);
    let (server, crowds) = everywhere.crowds(a_second);
    let come = || crowds.iter().for_each(|(kind, crowd)| crowd.wait_for(if *kind == "TCP" { 100 } else { 5 }));
    come();
    for (generation, (driver, reactors)) in (1..).zip(&kinds[1..]) {
        place.install(&with(driver, *reactors));
        let report = place.upgrade();
        assert_eq!(report["driver"], *driver, "{report}");
        assert_eq!((&report["generation"], &report["sockets"].is_u64()), (&generation.into(), &true), "{report}");
        come();
        if generation == 1 {
            assert!(stays.rest().is_empty(), "the old process has told its clients to leave");
        }
    }
    let (last, old) = place.pids.split_last().expect("several");
    old.iter().for_each(|old| wait_for_end(*old));
    come();
    for (kind, crowd) in crowds {
        eprintln!("{} upgrades, {kind}: {}", kinds.len() - 1, crowd.end());
    }
    assert!(socket.exists(), "no old process has removed the file of the new one");
    kill_process(pid(*last), Signal::TERM).expect("it runs");
    wait_for_end(*last);
    assert!(!socket.exists(), "the last one removes it");
    drop(server);
}

#[test]
fn no_client_is_refused_while_processes_with_other_drivers_and_reactors_take_over() {
    upgrade_under_load("kinds", &kinds(4), 300);
}

#[test]
#[ignore = "takes half a minute: cargo test -p gannet-cli --test cli twenty_upgrades -- --ignored --nocapture"]
fn twenty_upgrades_refuse_no_client_of_2000_a_second() {
    upgrade_under_load("twenty", &kinds(21), 2_000);
}

#[test]
fn who_was_connected_before_an_upgrade_stays_with_the_old_process() {
    for driver in drivers() {
        let mut place = Place::new(&format!("stays-{driver}"));
        let options = ["--listen", "echo=tcp://127.0.0.1:0", "--driver", driver, "--drain-delay", "1h"];
        let server = place.start(&options);
        let mut early = server.connect("echo");
        early.ask(HI, HI);
        place.upgrade();
        for _ in 0..20 {
            server.connect("echo").ask(HI, HI);
            early.ask(HI, HI);
        }
        let [old, new] = place.pids[..] else { panic!("{:?}", place.pids) };
        assert!(test_kill_process(pid(old)).is_ok() && test_kill_process(pid(new)).is_ok(), "both run");
        // It goes only with the process that it came to.
        kill(old);
        wait_for_end(old);
        assert!(early.rest().is_empty(), "with {driver}");
        server.connect("echo").ask(HI, HI);
    }
}

#[test]
fn a_client_that_the_old_process_accepted_last_gets_through_its_handshake() {
    for driver in drivers() {
        let mut place = Place::new(&format!("last-{driver}"));
        let ca = authority();
        ca.server(&["localhost"]).put(&place.folder);
        let files = ["cert.pem", "key.pem"].map(|file| place.folder.join(file).display().to_string());
        let options = [LINES, "--tls-cert", &files[0], "--tls-key", &files[1], "--driver", driver, "--reactors", "1"];
        let server = place.start(&options);
        let (url, client) = (server.url("lines"), Client::trusting(&ca));
        let last = TcpStream::connect(url.strip_prefix("tls://").expect("TLS")).expect("it listens");
        // Whoever came later was served: it was accepted before.
        client.talk(&url, "localhost").expect("it serves");
        place.upgrade();
        let mut last = client.greet(last, "localhost").expect("a handshake");
        crate::tls::ask(&mut last).expect("an answer");
        drop(server);
    }
}

#[test]
fn sigusr2_upgrades_too_and_the_new_file_of_the_program_is_started() {
    let mut place = Place::new("signal");
    let mut server = place.start(&["--listen", "echo=tcp://127.0.0.1:0"]);
    let visit = visitor(&server.url("echo"));
    let marker = place.folder.join("marker");
    place.install(&format!("echo $$ > {}\nexec -a \"$0\" $GANNET \"$@\"", marker.display()));
    server.signal(Signal::USR2);
    let event = server.wait_for(|event| event["message"] == "the new process serves: this one drains");
    let new = event["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a process id");
    place.pids.push(new);
    assert_eq!(wait_for_number(&marker), new, "the file that is there now was started");
    visit().expect("it serves");
}

/// Waits for a file, and reads the number in it.
pub(crate) fn wait_for_number(file: &Path) -> u32 {
    until("a file with a number", || file.exists());
    std::fs::read_to_string(file).expect("it is there").trim().parse().expect("a number")
}
