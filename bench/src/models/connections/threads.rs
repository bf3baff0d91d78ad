//! A thread for each connection, with blocking reads and writes.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::thread;
use std::time::Duration;

use crate::socket::{self, Blocking};
use crate::subject::Ready;

/// The stack of a thread. Memory is taken for the pages that it touches only; a smaller one would be too small for the
/// allocator in a build without optimization. The kernel has 16 KiB of its own for each thread on top.
const STACK_BYTES: usize = 128 * 1024;
/// One for each connection, on its thread's stack.
const BUFFER_BYTES: usize = 4 * 1024;
/// The time between two attempts to accept without a descriptor left.
const PAUSE: Duration = Duration::from_millis(10);

/// Serves until the process is ended.
pub fn serve(port: u16, ready: Ready) -> io::Result<()> {
    let listener = socket::listen(port, Blocking::Yes)?;
    ready.announce(port)?;
    loop {
        let stream = match socket::accept_blocking(listener.as_raw_fd()) {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) if matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE)) => {
                // Others wait until somebody leaves, which nothing tells of: this is the time between two attempts.
                thread::sleep(PAUSE);
                continue;
            }
            Err(error) => return Err(error),
        };
        let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            // A peer that is gone ends its own thread only.
            let _ = echo(stream);
        });
        if let Err(error) = thread {
            // The connection is closed with the closure that was to serve it.
            eprintln!("no thread for a connection: {error}");
        }
    }
}

fn echo(stream: OwnedFd) -> io::Result<()> {
    let mut stream = TcpStream::from(stream);
    let mut buffer = [0; BUFFER_BYTES];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => stream.write_all(&buffer[..count])?,
        }
    }
}
