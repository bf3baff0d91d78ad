//! Programs of others' libraries to measure Gannet beside: the workspace `bench/peers`, which is built when it is needed.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::subject::{Ready, Role, Subject};

/// The workspace's folder, where this program was built.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");

/// Builds a package of the workspace, and returns where its program is. Built before, this takes a moment.
pub fn build(package: &str) -> io::Result<PathBuf> {
    let manifest = Path::new(FOLDER).join("Cargo.toml");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--quiet", "--locked", "--package", package, "--manifest-path"]).arg(manifest);
    // Not where the program of the caller is built, if that is elsewhere.
    let built = command.env_remove("CARGO_TARGET_DIR").status()?;
    if !built.success() {
        return Err(io::Error::other(format!("{package} of {FOLDER} was not built ({built})")));
    }
    Ok(program(package))
}

/// The package of the servers that sessions are compared with.
const SERVERS: &str = "peer-servers";

/// Whether the servers could be built, once that was tried.
static HAS_SERVERS: OnceLock<bool> = OnceLock::new();

/// Builds the servers that sessions are compared with. Where that fails, it says what is left out.
pub fn build_servers() {
    let built = build(SERVERS);
    if let Err(error) = &built {
        eprintln!("skipped: everything that is compared with tokio ({error})");
    }
    HAS_SERVERS.get_or_init(|| built.is_ok());
}

/// Whether a subject can be started: one of those servers only if they were built.
pub fn has(subject: &Subject) -> bool {
    let is_server = matches!(subject.role, Role::Tokio | Role::TokioBuffer | Role::Hyper);
    !is_server || HAS_SERVERS.get() == Some(&true)
}

/// Becomes the server with this name, as [`serve`] becomes a program.
pub fn serve_by_name(name: &str, port: u16, _ready: Ready) -> io::Result<()> {
    Err(Command::new(program(SERVERS)).arg(name).arg(port.to_string()).exec())
}

/// Becomes the program of a package: the process stays the same, so that it is pinned and ends as every other subject.
///
/// `_ready` stays unsaid, since the program itself says that it is ready.
pub fn serve(package: &str, port: u16, _ready: Ready) -> io::Result<()> {
    Err(Command::new(program(package)).arg(port.to_string()).exec())
}

fn program(package: &str) -> PathBuf {
    Path::new(FOLDER).join("target/release").join(package)
}
