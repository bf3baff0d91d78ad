//! The folder of the files that one server of others needs: its configuration, its certificate.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

/// Makes the folder of this process, which becomes the server. Only its user can read it.
pub fn make() -> io::Result<PathBuf> {
    let pid = std::process::id();
    // One that was killed has left it.
    remove(pid);
    let home = home(pid);
    DirBuilder::new().mode(0o700).create(&home)?;
    Ok(home)
}

/// Removes the folder of the server that had this process id, if it had one.
pub fn remove(pid: u32) {
    // Most have none.
    let _ = fs::remove_dir_all(home(pid));
}

fn home(pid: u32) -> PathBuf {
    std::env::temp_dir().join(format!("gannet-bench-server-{pid}"))
}
