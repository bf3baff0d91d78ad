//! Starts a subject as a child process, waits until it listens, and ends it on every way out.

use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use crate::haproxy;
use crate::home;
use crate::http;
use crate::push;
use crate::redis;
use crate::socket::check;
use crate::subject::Subject;

/// First port tried; the range lies below the ephemeral ports.
const FIRST_PORT: u16 = 20_000;
/// One past the last port.
const END_PORT: u16 = 30_000;
/// The time between two looks for a listener.
const LOOK: Duration = Duration::from_millis(20);
/// The number of ports that are tried, and of looks for a listener.
const ATTEMPTS: u32 = 100;
/// Exit status of the hidden subcommand when its port is taken.
pub const PORT_TAKEN: u8 = 3;

/// A running subject. Dropping it ends the process; should the parent be killed, the kernel ends it.
pub struct Server {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// The port on which it listens on loopback.
    pub port: u16,
}

impl Server {
    /// Starts `subject` pinned to `cpu`. Each call takes another port, so that no socket of an earlier
    /// run is in the way.
    pub fn start(subject: &Subject, cpu: usize) -> io::Result<Self> {
        for _ in 0..ATTEMPTS {
            let port = next_port();
            let mut child = spawn(subject, port, cpu)?;
            let Some((input, output)) = child.stdin.take().zip(child.stdout.take()) else {
                return Err(io::Error::other("the server has no standard input or output"));
            };
            let mut server = Self { child, input, output: BufReader::new(output), port };
            if server.listens()? {
                return Ok(server);
            }
            let status = server.into_status()?;
            if status != Some(i32::from(PORT_TAKEN)) {
                return Err(io::Error::other(format!(
                    "{} ended before it listened on port {port} (status {status:?})",
                    subject.name
                )));
            }
        }
        Err(io::Error::from(io::ErrorKind::AddrInUse))
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Bytes that it received so far by its own count, where it is floor-epoll.
    pub fn received(&mut self) -> io::Result<u64> {
        self.ask()?.parse().map_err(io::Error::other)
    }

    /// Asks a server that answers questions, and returns its answer.
    pub fn ask(&mut self) -> io::Result<String> {
        writeln!(self.input)?;
        self.line()
    }

    /// Tells a server that reads its standard input something.
    pub fn tell(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.input, "{line}")
    }

    /// Reads what it says until it says that it listens, or says no more.
    fn listens(&mut self) -> io::Result<bool> {
        let ready = format!("ready {}", self.port);
        let mut line = String::new();
        while self.output.read_line(&mut line)? > 0 {
            if line.trim_end() == ready || [redis::READY, http::NGINX_READY].iter().any(|said| line.contains(said)) {
                return Ok(true);
            }
            if [push::CENTRIFUGO_READY, haproxy::BEGINS].iter().any(|said| line.contains(said)) {
                return self.accepts();
            }
            line.clear();
        }
        Ok(false)
    }

    /// Waits for the listener of a server that says nothing when it listens, or a little before; false if it has ended.
    fn accepts(&mut self) -> io::Result<bool> {
        for _ in 0..ATTEMPTS {
            match TcpStream::connect(("127.0.0.1", self.port)) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                result => return result.map(|_| true),
            }
            if self.child.try_wait()?.is_some() {
                return Ok(false);
            }
            // Nothing tells when it listens: this is the time between two looks.
            std::thread::sleep(LOOK);
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("it did not listen on port {}", self.port)))
    }

    /// Reads the next line that it says.
    pub fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    fn into_status(mut self) -> io::Result<Option<i32>> {
        Ok(self.child.wait()?.code())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // An error says that it is gone already, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        home::remove(self.pid());
    }
}

fn next_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let span = END_PORT - FIRST_PORT;
    // Runs started one after the other begin at different ports.
    let start = (std::process::id() % u32::from(span)) as u16;
    FIRST_PORT + (start + NEXT.fetch_add(1, Ordering::Relaxed) % span) % span
}

fn spawn(subject: &Subject, port: u16, cpu: usize) -> io::Result<Child> {
    let program = subject.program.map_or_else(std::env::current_exe, |program| Ok(program.to_owned()))?;
    let mut command = Command::new(program);
    command
        .args(["server", subject.served_name(), "--port", &port.to_string(), "--cpu", &cpu.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    bind_to_parent(&mut command, libc::SIGKILL);
    command.spawn()
}

/// Has the kernel send `signal` to the process of `command` when this process ends, however it ends.
pub fn bind_to_parent(command: &mut Command, signal: libc::c_int) {
    let parent = std::process::id();
    // SAFETY: the closure runs between fork and exec and makes only system calls that are safe there.
    unsafe {
        command.pre_exec(move || {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, signal))?;
            // The parent may have ended before the line above.
            if libc::getppid() as u32 != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        })
    };
}
