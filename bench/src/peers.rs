//! Programs of others' libraries to measure Gannet beside: those of `bench/peers`, built when they are needed, and those
//! that packages of the system install.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::child;
use crate::haproxy;
use crate::home;
use crate::http;
use crate::push;
use crate::redis;
use crate::socket::{self, Blocking};
use crate::subject::{Ready, Subject};
use crate::tls::{self, Key, Pem};

/// The folder of the programs, where this program was built.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");

/// The program that serves a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    /// A package of the workspace `bench/peers`.
    Cargo(&'static str),
    /// The Go module `bench/peers/go`.
    Go,
    /// `bench/peers/libuv/echo.c`.
    Libuv,
    /// A program that a package of the system installs.
    System,
}

/// A subject that others' libraries serve.
struct Peer {
    /// The subject's name.
    name: &'static str,
    program: Program,
    /// The package whose version a report tells: a crate, a Go module, or the name of a program.
    package: &'static str,
}

const fn peer(name: &'static str, program: Program, package: &'static str) -> Peer {
    Peer { name, program, package }
}

/// Echo servers on other runtimes.
const ECHO: Program = Program::Cargo("peer-echo");
/// An echo server over TLS.
const TLS: Program = Program::Cargo("peer-tls");
/// Servers of HTTP and WebSocket.
const WEB: Program = Program::Cargo("peer-web");
/// The servers that sessions are compared with.
const SERVERS: Program = Program::Cargo("peer-servers");

static PEERS: &[Peer] = &[
    peer("go-net", Program::Go, "go"),
    peer("go-gnet", Program::Go, "github.com/panjf2000/gnet/v2"),
    peer("go-evio", Program::Go, "github.com/tidwall/evio"),
    peer("go-netpoll", Program::Go, "github.com/cloudwego/netpoll"),
    peer("tokio", ECHO, "tokio"),
    peer("monoio", ECHO, "monoio"),
    peer("compio", ECHO, "compio"),
    peer("ntex", ECHO, "ntex"),
    peer("libuv", Program::Libuv, "libuv"),
    peer("go-net-broadcast", Program::Go, "go"),
    peer("tokio-broadcast", ECHO, "tokio"),
    peer("go-tls", Program::Go, "go"),
    peer("tokio-rustls", TLS, "tokio-rustls"),
    peer("go-http", Program::Go, "go"),
    peer("go-gin", Program::Go, "github.com/gin-gonic/gin"),
    peer("go-fasthttp", Program::Go, "github.com/valyala/fasthttp"),
    peer("axum", WEB, "axum"),
    peer("actix-web", WEB, "actix-web"),
    peer("go-gobwas-ws", Program::Go, "github.com/gobwas/ws"),
    peer("go-coder-websocket", Program::Go, "github.com/coder/websocket"),
    peer("fastwebsockets", WEB, "fastwebsockets"),
    peer("go-redcon", Program::Go, "github.com/tidwall/redcon"),
    peer("tokio-lines", SERVERS, "tokio"),
    peer("tokio-buffer", SERVERS, "tokio"),
    peer("hyper-tokio", SERVERS, "hyper"),
    peer("hyper-poll", SERVERS, "hyper"),
    peer("hyper-uring", SERVERS, "hyper"),
    peer("nginx", Program::System, "nginx"),
    peer("nginx-tls", Program::System, "nginx"),
    peer("haproxy", Program::System, "haproxy"),
    peer("haproxy-tls", Program::System, "haproxy"),
    peer("redis-server", Program::System, "redis-server"),
    peer("centrifugo", Program::System, "centrifugo"),
];

impl Peer {
    fn of(subject: &Subject) -> Option<&'static Self> {
        let name = subject.served_name();
        PEERS.iter().find(|peer| peer.name == name)
    }

    /// Whether one program serves both.
    fn is_of(&self, other: &Self) -> bool {
        self.program == other.program && (self.program != Program::System || self.package == other.package)
    }

    /// Builds its program, or looks for it.
    fn find(&self) -> io::Result<()> {
        match self.program {
            // Its own benchmark installs it.
            Program::System if self.package == "centrifugo" => Ok(()),
            Program::System => self.version().map(drop),
            program => {
                let path = program.path();
                if !path.exists() {
                    eprintln!("gannet-bench: building {}, which takes minutes the first time", path.display());
                }
                program.build()
            }
        }
    }

    fn version(&self) -> io::Result<String> {
        match self.program {
            Program::Cargo(_) => locked(&fs::read_to_string(folder("Cargo.lock"))?, self.package),
            Program::Go if self.package == "go" => said_by(Command::new("go").args(["env", "GOVERSION"])),
            Program::Go => required(&fs::read_to_string(folder("go/go.mod"))?, self.package),
            Program::Libuv => said_by(Command::new(self.program.path()).arg("--version")),
            Program::System => match self.package {
                "nginx" => http::nginx_version(),
                "haproxy" => haproxy::version(),
                "redis-server" => redis::version(),
                _ => Ok(push::CENTRIFUGO_VERSION.to_owned()),
            },
        }
    }
}

impl Program {
    /// Where it is after a build.
    fn path(self) -> PathBuf {
        match self {
            Self::Cargo(package) => folder("target/release").join(package),
            Self::Go => folder("target/peer-go"),
            Self::Libuv => folder("target/peer-libuv"),
            // Found and started by what knows its configuration.
            Self::System => PathBuf::new(),
        }
    }

    /// Builds it. Built before, this takes a moment.
    fn build(self) -> io::Result<()> {
        let target = folder("target");
        fs::create_dir_all(&target)?;
        let mut command = match self {
            Self::Cargo(package) => {
                let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
                cargo.args(["build", "--release", "--quiet", "--locked", "--package", package, "--manifest-path"]);
                // Not where the program of the caller is built, if that is elsewhere.
                cargo.arg(folder("Cargo.toml")).env_remove("CARGO_TARGET_DIR");
                cargo
            }
            Self::Go => {
                let mut go = Command::new("go");
                // With the Go that is installed, and the modules that `go.sum` names.
                go.args(["build", "-mod=readonly", "-buildvcs=false", "-o"]).arg(self.path()).arg(".");
                go.current_dir(folder("go")).env("GOTOOLCHAIN", "local");
                go
            }
            Self::Libuv => {
                let mut cc = Command::new("cc");
                cc.args(["-O2", "-o"]).arg(self.path()).arg(folder("libuv/echo.c")).arg("-luv");
                cc
            }
            Self::System => return Ok(()),
        };
        // A build may use all processors, and does not outlive this process. Its parent says what has failed.
        child::bind_to_parent(&mut command, libc::SIGTERM);
        // SAFETY: between fork and exec the closure makes one system call.
        unsafe { command.pre_exec(socket::unpin) };
        let status = command.status().map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::new(error.kind(), self.how_to_get()),
            _ => error,
        })?;
        if status.success() {
            return Ok(());
        }
        Err(io::Error::other(format!("{} was not built ({status}); {}", self.path().display(), self.how_to_get())))
    }

    fn how_to_get(self) -> &'static str {
        match self {
            Self::Cargo(_) => "it needs cargo, and the crates of bench/peers/Cargo.lock",
            Self::Go => "it needs Go 1.26 or newer (apt-get install golang-go, where that is new enough)",
            Self::Libuv => "it needs a C compiler and libuv (apt-get install gcc libuv1-dev)",
            Self::System => "it has to be installed",
        }
    }
}

fn folder(part: &str) -> PathBuf {
    Path::new(FOLDER).join(part)
}

/// Whether a subject is a program of others' libraries.
pub fn is_peer(subject: &Subject) -> bool {
    is_peers_name(subject.served_name())
}

/// Whether this is the name of such a subject.
pub fn is_peers_name(name: &str) -> bool {
    PEERS.iter().any(|peer| peer.name == name)
}

/// Whether a subject is a program that is built when it is needed.
pub fn is_built(subject: &Subject) -> bool {
    Peer::of(subject).is_some_and(|peer| peer.program != Program::System)
}

/// Whether a subject can be started. A peer's program is built first; where that fails, this says which subjects are left
/// out, why, and what is needed.
pub fn has(subject: &Subject) -> bool {
    static FOUND: Mutex<BTreeMap<&str, bool>> = Mutex::new(BTreeMap::new());
    let Some(peer) = Peer::of(subject) else { return true };
    // All subjects of one program are there, or none is.
    let first = PEERS.iter().find(|other| other.is_of(peer)).map_or(peer.name, |first| first.name);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    *found.entry(first).or_insert_with(|| {
        let result = peer.find();
        if let Err(error) = &result {
            eprintln!("{}", skipped(peer, error));
        }
        result.is_ok()
    })
}

/// Takes the error of a peer for a reason to leave it out, which is told: what a program of others' libraries cannot do
/// is no reason to lose what the others did. The error of another subject is one, and names it.
pub fn or_left_out<T>(subject: &Subject, result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_peer(subject) => {
            eprintln!("skipped: {} ({error})", subject.name);
            Ok(None)
        }
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", subject.name))),
    }
}

fn skipped(peer: &Peer, error: &io::Error) -> String {
    let names: Vec<&str> = PEERS.iter().filter(|other| other.is_of(peer)).map(|other| other.name).collect();
    format!("skipped: {} ({error})", names.join(", "))
}

/// The package that a subject is made of, with its version; nothing for a subject of this program.
pub fn version(name: &str) -> Option<(String, String)> {
    let peer = PEERS.iter().find(|peer| peer.name == name)?;
    let version = peer.version().unwrap_or_else(|error| format!("unknown ({error})"));
    Some((peer.package.to_owned(), version))
}

/// The version of a crate in a lock file.
fn locked(lock: &str, package: &str) -> io::Result<String> {
    let name = format!("name = \"{package}\"\nversion = \"");
    let version = lock.split_once(&name).and_then(|(_, rest)| rest.split_once('"'));
    version.map(|(version, _)| version.to_owned()).ok_or_else(|| unnamed(package))
}

/// The version of a module in a `go.mod`.
fn required(module: &str, package: &str) -> io::Result<String> {
    let words =
        |line: &str| Some(line.trim().strip_prefix("require ").unwrap_or(line.trim()).split_once(' ')?.1.to_owned());
    let mut lines = module.lines().filter(|line| line.split_ascii_whitespace().any(|word| word == package));
    lines
        .find_map(words)
        .map(|rest| rest.split(' ').next().unwrap_or_default().to_owned())
        .ok_or_else(|| unnamed(package))
}

fn unnamed(package: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("no version of {package}"))
}

fn said_by(command: &mut Command) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&command.output()?.stdout).trim().to_owned())
}

/// Builds a package of the workspace.
pub fn build(package: &'static str) -> io::Result<()> {
    Program::Cargo(package).build()
}

/// Becomes the program of a peer: the process stays the same, so that it is pinned and ends as every other subject.
///
/// `_ready` stays unsaid, since the program itself says that it is ready.
pub fn serve_by_name(name: &str, port: u16, _ready: Ready) -> io::Result<()> {
    Err(program(name, port)?.exec())
}

/// Becomes the program of a peer that serves over TLS, and finds its certificate and key in files that its environment names.
pub fn serve_tls_by_name(name: &str, port: u16, _ready: Ready) -> io::Result<()> {
    let mut program = program(name, port)?;
    let home = home::make()?;
    let Pem { certificate, key } = tls::pem(Key::Ecdsa)?;
    for (variable, file, text) in
        [("GANNET_BENCH_CERTIFICATE", "certificate.pem", certificate), ("GANNET_BENCH_KEY", "key.pem", key)]
    {
        let file = home.join(file);
        fs::write(&file, text)?;
        program.env(variable, file);
    }
    Err(program.exec())
}

fn program(name: &str, port: u16) -> io::Result<Command> {
    let peer = PEERS.iter().find(|peer| peer.name == name).ok_or_else(|| unnamed(name))?;
    // Each package has another error for it; here the parent learns that its port is taken.
    drop(socket::listen(port, Blocking::Yes)?);
    let mut program = Command::new(peer.program.path());
    program.arg(name).arg(port.to_string());
    Ok(program)
}

/// Becomes the program of a package, as [`serve_by_name`] does.
pub fn serve(package: &'static str, port: u16, _ready: Ready) -> io::Result<()> {
    Err(Command::new(Program::Cargo(package).path()).arg(port.to_string()).exec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject::SUBJECTS;

    #[test]
    fn every_peer_is_a_subject() {
        for peer in PEERS {
            assert!(SUBJECTS.iter().any(|subject| subject.name == peer.name), "{}", peer.name);
        }
    }

    #[test]
    fn the_version_of_a_crate_is_that_of_the_lock_file() {
        let lock = "[[package]]\nname = \"tokio-util\"\nversion = \"0.7\"\n\n[[package]]\nname = \"tokio\"\nversion = \"1.54.1\"\n";
        assert_eq!(locked(lock, "tokio").expect("it is there"), "1.54.1");
        assert!(locked(lock, "hyper").is_err());
    }

    #[test]
    fn the_version_of_a_module_is_that_of_go_mod() {
        let module =
            "module a\n\ngo 1.25\n\nrequire (\n\tgithub.com/a/b v1.2.3\n\tgithub.com/a/b/v2 v2.0.1 // indirect\n)\n";
        assert_eq!(required(module, "github.com/a/b").expect("it is there"), "v1.2.3");
        assert_eq!(required(module, "github.com/a/b/v2").expect("it is there"), "v2.0.1");
        assert_eq!(required("require github.com/a/b v9\n", "github.com/a/b").expect("it is there"), "v9");
        assert!(required(module, "github.com/a").is_err());
    }

    #[test]
    fn a_peer_that_cannot_be_built_is_named_with_what_it_needs() {
        let error = io::Error::new(io::ErrorKind::NotFound, Program::Go.how_to_get());
        let said = skipped(&PEERS[0], &error);
        assert!(said.starts_with("skipped: go-net, go-gnet, go-evio, go-netpoll, "), "{said}");
        assert!(said.contains("apt-get install golang-go"), "{said}");
    }
}
