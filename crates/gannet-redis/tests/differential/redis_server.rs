//! A redis-server of our own, on a socket in a folder that nobody else uses, for as long as a test needs it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, io, process, thread};

use crate::Peer;
use crate::wire::Wire;

/// The replies in the tables are those of this one.
const VERSION: &str = "7.0.";

/// See the module.
pub(crate) struct RedisServer {
    child: Child,
    folder: PathBuf,
}

impl RedisServer {
    /// Starts one; where that cannot be, says why.
    pub(crate) fn start() -> Result<Self, String> {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let version = Command::new("redis-server").arg("--version").output();
        let version = version.map_err(|error| format!("redis-server cannot be run: {error}"))?;
        let version = String::from_utf8_lossy(&version.stdout).into_owned();
        if !version.contains(&format!("v={VERSION}")) {
            return Err(format!("this is not redis-server {VERSION}x: {}", version.trim()));
        }

        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("gannet-redis-{}-{number}", process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let child = Command::new("redis-server")
            // No port: so no other program can have taken it.
            .args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--appendonly", "no"])
            .args(["--loglevel", "notice", "--enable-debug-command", "yes"])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server starts");
        let mut server = Self { child, folder };
        let mut log = BufReader::new(server.child.stdout.take().expect("its log"));
        let mut seen = String::new();
        while !seen.contains("ready to accept connections at") {
            assert_ne!(log.read_line(&mut seen).expect("its log"), 0, "redis-server has ended: {seen}");
        }
        // It must not have to wait for somebody to read its log.
        thread::spawn(move || io::copy(&mut log.by_ref(), &mut io::sink()));
        Ok(server)
    }
}

impl Peer for RedisServer {
    fn connect(&self) -> Wire {
        Wire::new(UnixStream::connect(self.folder.join("redis.sock")).expect("it accepts"))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}
