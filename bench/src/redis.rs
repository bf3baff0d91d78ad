//! Redis itself as a subject, as its package installs it.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::machine;
use crate::socket::{self, Blocking};
use crate::subject::Ready;

/// The text in its log once it listens.
pub const READY: &str = "Ready to accept connections";

const PROGRAM: &str = "redis-server";

/// Becomes redis-server: the process stays the same, so that it is pinned and ends as every other subject.
///
/// `_ready` stays unsaid, since its own log says when it listens.
pub fn serve(port: u16, _ready: Ready) -> io::Result<()> {
    // It would log that its port is taken and end like after any other failure; here the parent learns of it.
    drop(socket::listen(port, Blocking::Yes)?);
    let fixed = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--io-threads", "1", "--daemonize", "no"];
    Err(Command::new(PROGRAM).arg("--port").arg(port.to_string()).args(fixed).exec())
}

/// Returns the name and version that it reports, such as `Redis server v=7.0.15`.
pub fn version() -> io::Result<String> {
    let version = machine::version(PROGRAM, "--version", "redis-server")?;
    Ok(version.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}
