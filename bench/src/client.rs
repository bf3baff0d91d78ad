//! The client: one thread, its own bare epoll loop, every byte verified.

pub mod broadcast;
pub mod channels;
pub mod churn;
pub mod closed_loop;
pub mod commands;
pub mod handshakes;
pub mod http;
pub mod idle;
pub mod open_loop;
pub mod probes;
pub mod publish;
pub mod stream;
pub mod taped;
pub mod websocket;

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use crate::epoll::Epoll;
use crate::socket::check;

/// Longer than any silence of a server that is alive.
const PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE_MS: i32 = PATIENCE.as_millis() as i32;

/// A blocking stream that fails where no reply comes.
fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Waits for events of any connection.
fn wait(epoll: &mut Epoll) -> io::Result<usize> {
    match epoll.wait(PATIENCE_MS)? {
        0 => Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came from the server")),
        count => Ok(count),
    }
}

/// Waits for these events of one connection.
fn wait_for(fd: &OwnedFd, events: libc::c_short) -> io::Result<()> {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: `poll` is one pollfd and lives for the call.
    match check(unsafe { libc::poll(&mut poll, 1, PATIENCE_MS) })? {
        0 => Err(io::Error::from(io::ErrorKind::TimedOut)),
        _ => Ok(()),
    }
}
