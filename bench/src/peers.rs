//! Programs of others' libraries to measure Gannet beside: the workspace `bench/peers`, which is built when it is needed.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::subject::Ready;

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

/// Becomes the program of a package: the process stays the same, so that it is pinned and ends as every other subject.
///
/// `_ready` stays unsaid, since the program itself says that it is ready.
pub fn serve(package: &str, port: u16, _ready: Ready) -> io::Result<()> {
    Err(Command::new(program(package)).arg(port.to_string()).exec())
}

fn program(package: &str) -> PathBuf {
    Path::new(FOLDER).join("target/release").join(package)
}
