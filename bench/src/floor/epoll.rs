//! A bare epoll echo on one thread: edge-triggered, one read into one hot buffer, written straight back.

use std::collections::HashMap;
use std::io::{self, BufRead, Write};
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::epoll::{Epoll, READ, READ_WRITE};
use crate::socket::{self, Blocking};
use crate::subject::Ready;

/// One buffer for all connections; it stays in the cache.
const BUFFER_BYTES: usize = 64 * 1024;
/// Not the number of any accepted socket.
const LISTENER: u64 = u64::MAX;

/// Bytes received so far, for who wants to hold a client's figures against it. Only the serving thread writes it.
static RECEIVED: AtomicU64 = AtomicU64::new(0);

/// Serves until the process is ended. Answers each line on standard input with the count of bytes received.
pub fn serve(port: u16, ready: Ready) -> io::Result<()> {
    let listener = socket::listen(port, Blocking::No)?;
    let mut epoll = Epoll::new()?;
    epoll.add(listener.as_raw_fd(), READ, LISTENER)?;
    thread::spawn(tell_count);
    ready.announce(port)?;
    let mut echo = Echo { buffer: vec![0; BUFFER_BYTES].into(), unsent: HashMap::new() };
    loop {
        let count = epoll.wait(-1)?;
        for index in 0..count {
            let (flags, token) = epoll.event(index);
            if token == LISTENER {
                accept_all(&epoll, listener.as_raw_fd())?;
            } else {
                echo.handle(&epoll, token as RawFd, flags)?;
            }
        }
    }
}

fn tell_count() {
    for _ in io::stdin().lock().lines() {
        // Who asked may be gone by now.
        let _ = writeln!(io::stdout().lock(), "{}", RECEIVED.load(Ordering::Relaxed));
    }
}

fn accept_all(epoll: &Epoll, listener: RawFd) -> io::Result<()> {
    while let Some(connection) = socket::accept(listener)? {
        let fd = connection.into_raw_fd();
        epoll.add(fd, READ, fd as u64)?;
    }
    Ok(())
}

/// The state of a connection after an attempt to read and write.
#[derive(PartialEq, Eq)]
enum Next {
    /// Nothing more to do until the next event.
    Rest,
    /// Bytes are left that the socket did not take.
    Stalled,
    /// Over, by end of stream or error.
    Close,
}

struct Echo {
    buffer: Box<[u8]>,
    /// Bytes that a full socket did not take. Empty in the steady state, so the way of a message does
    /// not look a connection up.
    unsent: HashMap<RawFd, Vec<u8>>,
}

impl Echo {
    fn handle(&mut self, epoll: &Epoll, fd: RawFd, flags: u32) -> io::Result<()> {
        let stalled = !self.unsent.is_empty() && self.unsent.contains_key(&fd);
        if stalled {
            match self.flush(fd) {
                // Reading goes on when the peer has taken what it is owed.
                Next::Stalled => return Ok(()),
                Next::Close => {
                    self.close(fd);
                    return Ok(());
                }
                Next::Rest => {
                    self.unsent.remove(&fd);
                    epoll.change(fd, READ, fd as u64)?;
                }
            }
        }
        // After a stall the end of the stream may have been reported already.
        let to_the_end = stalled || flags & (libc::EPOLLRDHUP | libc::EPOLLERR) as u32 != 0;
        match self.echo(fd, to_the_end) {
            Next::Rest => {}
            Next::Stalled => epoll.change(fd, READ_WRITE, fd as u64)?,
            Next::Close => self.close(fd),
        }
        Ok(())
    }

    /// Reads and writes back. A short read means that the socket is empty, which saves the read that
    /// would only say so; a later arrival is a new edge.
    fn echo(&mut self, fd: RawFd, to_the_end: bool) -> Next {
        loop {
            let count = match socket::receive(fd, &mut self.buffer) {
                Ok(Some(0)) | Err(_) => return Next::Close,
                Ok(Some(count)) => count,
                Ok(None) => return Next::Rest,
            };
            RECEIVED.store(RECEIVED.load(Ordering::Relaxed) + count as u64, Ordering::Relaxed);
            let sent = match socket::send(fd, &self.buffer[..count]) {
                Ok(sent) => sent.unwrap_or(0),
                Err(_) => return Next::Close,
            };
            if sent < count {
                self.unsent.insert(fd, self.buffer[sent..count].to_vec());
                return Next::Stalled;
            }
            if count < BUFFER_BYTES && !to_the_end {
                return Next::Rest;
            }
        }
    }

    fn flush(&mut self, fd: RawFd) -> Next {
        let Some(unsent) = self.unsent.get_mut(&fd) else {
            return Next::Rest;
        };
        while !unsent.is_empty() {
            match socket::send(fd, unsent) {
                Ok(Some(sent)) => drop(unsent.drain(..sent)),
                Ok(None) => return Next::Stalled,
                Err(_) => return Next::Close,
            }
        }
        Next::Rest
    }

    fn close(&mut self, fd: RawFd) {
        self.unsent.remove(&fd);
        socket::close(fd);
    }
}
