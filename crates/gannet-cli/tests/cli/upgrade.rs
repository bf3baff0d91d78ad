//! `gannet upgrade`: real processes take over from each other while clients connect all the time.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use gannet_testing::PATIENCE;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;
use socket2::{Domain, Socket, Type};

use crate::server::{Server, drivers};
use crate::tls::{Client, InFiles as _, LINES, authority};

/// Clients a second, whatever becomes of those before.
const CONNECTS_A_SECOND: u32 = 2_000;

/// Threads that they come from.
const CROWDS: u32 = 8;

/// A folder with a program that can be exchanged, and the servers that were started from it.
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pids: Vec<u32>,
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

    fn program(&self) -> PathBuf {
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
    fn fail_to_upgrade(&self, more: &[&str]) -> String {
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

fn pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("a process id")).expect("a process id")
}

fn kill(number: u32) {
    // It may have ended.
    let _ = kill_process(pid(number), Signal::KILL);
}

/// Waits until a process is gone.
fn wait_for_end(number: u32) {
    #[allow(clippy::disallowed_methods)] // The patience of a test.
    let begun = Instant::now();
    // A zombie counts as gone: whoever has started it may be gone too.
    let is_there = || {
        let state = std::fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        test_kill_process(pid(number)).is_ok() && !state.contains(") Z ")
    };
    while is_there() {
        assert!(begun.elapsed() < PATIENCE, "{number} does not end");
        std::thread::yield_now();
    }
}

/// Where clients connect.
#[derive(Clone, Debug)]
enum At {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl At {
    fn of(url: &str) -> Self {
        match url.split_once("://").expect("a URL") {
            ("unix", path) => Self::Unix(path.into()),
            (_, address) => Self::Tcp(address.parse().expect("an address")),
        }
    }

    /// Connects, is answered, and leaves.
    fn visit(&self) -> std::io::Result<()> {
        let mut got = [0; HI.len()];
        match self {
            Self::Tcp(address) => {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
                // No port is kept for a minute: there are more clients than ports.
                socket.set_linger(Some(Duration::ZERO))?;
                socket.connect_timeout(&(*address).into(), PATIENCE)?;
                let mut stream = TcpStream::from(socket);
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.write_all(HI)?;
                stream.read_exact(&mut got)?;
            }
            Self::Unix(path) => {
                let mut stream = UnixStream::connect(path)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.write_all(HI)?;
                stream.read_exact(&mut got)?;
            }
        }
        if got == HI { Ok(()) } else { Err(std::io::Error::other(format!("{got:?} came"))) }
    }
}

/// Clients that come at a fixed pace until they are told to stop.
struct Crowd {
    ends: Arc<AtomicBool>,
    visits: Arc<AtomicU64>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Crowd {
    fn start(a_second: u32, visit: impl Fn() -> std::io::Result<()> + Send + Sync + 'static) -> Self {
        let visit = Arc::new(visit);
        let (ends, visits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..CROWDS).map(|_| {
            let (visit, ends, visits) = (visit.clone(), ends.clone(), visits.clone());
            std::thread::spawn(move || {
                let mut failures = Vec::new();
                #[allow(clippy::disallowed_methods)] // The pace of the clients.
                let began = Instant::now();
                let every = Duration::from_secs(1) * CROWDS / a_second;
                for number in 0.. {
                    if ends.load(Ordering::Relaxed) {
                        break;
                    }
                    // Those that are late come at once.
                    if let Some(early) = (every * number).checked_sub(began.elapsed()) {
                        std::thread::park_timeout(early);
                    }
                    if let Err(error) = visit() {
                        failures.push(format!("after {:?}: {error}", began.elapsed()));
                    }
                    visits.fetch_add(1, Ordering::Relaxed);
                }
                failures
            })
        });
        let threads = threads.collect();
        Self { ends, visits, threads }
    }

    /// Waits until so many more were there.
    fn wait_for(&self, more: u64) {
        let until = self.visits.load(Ordering::Relaxed) + more;
        while self.visits.load(Ordering::Relaxed) < until {
            std::thread::yield_now();
        }
    }

    /// Stops them; fails where one was refused.
    fn end(self) -> u64 {
        self.ends.store(true, Ordering::Relaxed);
        let failures: Vec<String> =
            self.threads.into_iter().flat_map(|thread| thread.join().expect("no client panics")).collect();
        let visits = self.visits.load(Ordering::Relaxed);
        assert!(failures.is_empty(), "{} of {visits} failed: {:?}", failures.len(), &failures[..failures.len().min(5)]);
        visits
    }
}

const HI: &[u8] = b"hi\n";

fn visitor(at: &At) -> impl Fn() -> std::io::Result<()> + Send + Sync + 'static {
    let at = at.clone();
    move || at.visit()
}

/// Starts a server on a driver with so many reactors, by a script that the next one exchanges.
fn with(driver: &str, reactors: u32) -> String {
    format!("export GANNET_DRIVER={driver} GANNET_REACTORS={reactors}\nexec -a \"$0\" $GANNET \"$@\"")
}

fn other(driver: &str) -> &'static str {
    drivers().iter().copied().find(|other| *other != driver).unwrap_or(drivers()[0])
}

/// Upgrades a server through these drivers and reactors while clients come.
fn upgrade_under_load(name: &str, listen: &str, kinds: &[(&str, u32)], a_second: u32) {
    let mut place = Place::new(name);
    place.install(&with(kinds[0].0, kinds[0].1));
    let server = place.start(&["--listen", listen]);
    let at = At::of(&server.url("echo"));
    let mut old = place.pids[0];
    let mut stays = server.connect("echo");
    stays.ask(HI, HI);
    let crowd = Crowd::start(a_second, visitor(&at));
    crowd.wait_for(200);
    for (generation, (driver, reactors)) in (1..).zip(&kinds[1..]) {
        place.install(&with(driver, *reactors));
        let report = place.upgrade();
        assert_eq!(report["driver"], *driver, "{report}");
        assert_eq!(report["generation"], generation, "{report}");
        crowd.wait_for(200);
        if generation == 1 {
            assert!(stays.rest().is_empty(), "the old process has told its clients to leave");
        }
        wait_for_end(old);
        old = *place.pids.last().expect("the new one");
        crowd.wait_for(200);
    }
    crowd.end();
    if let At::Unix(path) = at {
        assert!(path.exists(), "no old process has removed the file of the new one");
        kill_process(pid(old), Signal::TERM).expect("it runs");
        wait_for_end(old);
        assert!(!path.exists(), "the last one removes it");
    }
    drop(server);
}

#[test]
fn no_client_is_refused_while_processes_with_other_drivers_and_reactors_take_over() {
    let (one, two) = (drivers()[0], other(drivers()[0]));
    let kinds = [(one, 2), (two, 2), (one, 4), (two, 1), (one, 1)];
    upgrade_under_load("kinds", "echo=tcp://127.0.0.1:0", &kinds, CONNECTS_A_SECOND);
}

#[test]
fn no_client_of_a_unix_socket_is_refused_by_an_upgrade() {
    let folder = std::env::temp_dir().join(format!("gannet-upgrade-socket-{}", std::process::id()));
    let _ = std::fs::remove_file(&folder);
    let (one, two) = (drivers()[0], other(drivers()[0]));
    let listen = format!("echo=unix://{}", folder.display());
    upgrade_under_load("unix", &listen, &[(one, 1), (two, 2), (one, 1)], CONNECTS_A_SECOND);
}

#[test]
#[ignore = "takes a minute: cargo test -p gannet-cli --test cli twenty_upgrades -- --ignored"]
fn twenty_upgrades_refuse_no_client() {
    let kinds: Vec<(&str, u32)> =
        (0..21).map(|index| (drivers()[index % drivers().len()], [2, 4, 1][index % 3])).collect();
    upgrade_under_load("twenty", "echo=tcp://127.0.0.1:0", &kinds, CONNECTS_A_SECOND);
}

#[test]
fn a_server_with_tls_is_upgraded_without_a_broken_handshake() {
    let mut place = Place::new("tls");
    let ca = authority();
    ca.server(&["localhost"]).put(&place.folder);
    let files = ["cert.pem", "key.pem"].map(|file| place.folder.join(file).display().to_string());
    let server = place.start(&[LINES, "--tls-cert", &files[0], "--tls-key", &files[1]]);
    let url = server.url("lines");
    let client = Client::trusting(&ca);
    let crowd = Crowd::start(200, move || client.talk(&url, "localhost").map(drop));
    crowd.wait_for(20);
    for _ in 0..3 {
        place.upgrade();
        crowd.wait_for(20);
    }
    crowd.end();
    drop(server);
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
fn a_new_process_that_fails_changes_nothing() {
    let mut place = Place::new("fails");
    let mut server = place.start(&["--listen", "echo=tcp://127.0.0.1:0", "--reactors", "2"]);
    let at = At::of(&server.url("echo"));
    let mut stays = server.connect("echo");
    let crowd = Crowd::start(500, visitor(&at));
    let failures = [
        ("exit 3", "the new process ended before it was ready (exit status: 3)"),
        ("kill -9 $$", "the new process ended before it was ready (signal: 9"),
        ("exec $GANNET serve --reactors many", "the new process says: "),
        (
            "exec $GANNET serve --listen echo=tcp://127.0.0.1:1 --outbox-high 1GiB --outbox-hard 1",
            "the new process says: ",
        ),
        ("exec sleep 600", "the new process took too long before it was ready"),
        ("echo not JSON >&0; exec sleep 600", "does not understand"),
    ];
    for (script, why) in failures {
        place.install(script);
        let said = place.fail_to_upgrade(&["--start-timeout", "2s"]);
        assert!(said.contains(why) && said.contains("the old process goes on"), "{script}: {said}");
        crowd.wait_for(50);
        stays.ask(HI, HI);
    }
    std::fs::remove_file(place.program()).expect("it is ours");
    assert!(place.fail_to_upgrade(&[]).contains("cannot be started"), "there is no program any more");
    place.install("");
    place.upgrade();
    crowd.wait_for(50);
    crowd.end();
    let event = server.wait_for(|event| event["message"] == "the upgrade failed: this process goes on");
    assert!(event["why"].as_str().is_some_and(|why| why.contains("exit status: 3")), "{event}");
}

#[test]
fn a_new_process_serves_where_the_old_one_is_killed_meanwhile() {
    let mut place = Place::new("killed");
    let server = place.start(&["--listen", "echo=tcp://127.0.0.1:0", "--reactors", "2"]);
    let (at, old) = (At::of(&server.url("echo")), server.pid());
    let (marker, go) = (place.folder.join("started"), place.folder.join("go"));
    // It has the sockets already when its old process ends: they wait in its standard input.
    let script = format!(
        "echo $$ > {0}.new && mv {0}.new {0}\nwhile [ ! -e {1} ]; do :; done\nexec -a \"$0\" $GANNET \"$@\"",
        marker.display(),
        go.display()
    );
    place.install(&script);
    let mut asking = Command::new(env!("CARGO_BIN_EXE_gannet"));
    asking.args(["upgrade", "--admin"]).arg(place.admin()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut asking = asking.spawn().expect("the binary starts");
    let new = wait_for_number(&marker);
    place.pids.push(new);
    // The sockets were passed when the old process waits for the new one.
    let mut stays = server.connect("echo");
    stays.ask(HI, HI);
    kill(old);
    wait_for_end(old);
    std::fs::write(&go, "").expect("a file");
    assert!(!asking.wait().expect("it ends").success());
    at.visit().expect("who came in between waits in the queue, and is served");
    drop(server);
}

/// Waits for a file with a process id.
pub(crate) fn wait_for_number(file: &Path) -> u32 {
    #[allow(clippy::disallowed_methods)] // The patience of a test.
    let begun = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(file) {
            return text.trim().parse().expect("a number");
        }
        assert!(begun.elapsed() < PATIENCE, "{} does not come", file.display());
        std::thread::yield_now();
    }
}

#[test]
fn sigusr2_upgrades_too_and_the_new_file_of_the_program_is_started() {
    let mut place = Place::new("signal");
    let mut server = place.start(&["--listen", "echo=tcp://127.0.0.1:0"]);
    let at = At::of(&server.url("echo"));
    let marker = place.folder.join("marker");
    place.install(&format!("echo $$ > {}\nexec -a \"$0\" $GANNET \"$@\"", marker.display()));
    server.signal(Signal::USR2);
    let event = server.wait_for(|event| event["message"] == "the new process serves: this one drains");
    let new = event["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).expect("a process id");
    place.pids.push(new);
    assert_eq!(wait_for_number(&marker), new, "the file that is there now was started");
    at.visit().expect("it serves");
}
