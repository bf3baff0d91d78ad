//! A bare broadcast on one thread: each byte from anybody becomes one `send(2)` to everybody, in a loop.

use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};

use crate::epoll::{Epoll, READ_WRITE};
use crate::socket::{self, Blocking};
use crate::subject::Ready;

/// The message that every member gets; the client expects it.
pub const PAYLOAD: &[u8; 64] = b"gannet-bench broadcast payload: sixty-four bytes for everybody.\n";
const LISTENER: u64 = u64::MAX;

/// The part of the payload stream that ends `owed` bytes later than its start: as much as lies in one
/// payload.
pub fn owed_part(owed: u32) -> &'static [u8] {
    let len = PAYLOAD.len();
    &PAYLOAD[(len - owed as usize % len) % len..]
}

/// Serves until the process is ended.
pub fn serve(port: u16, ready: Ready) -> io::Result<()> {
    let listener = socket::listen(port, Blocking::No)?;
    let mut epoll = Epoll::new()?;
    epoll.add(listener.as_raw_fd(), READ_WRITE, LISTENER)?;
    ready.announce(port)?;
    let mut members: Vec<Member> = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = epoll.wait(-1)?;
        for index in 0..count {
            let (flags, token) = epoll.event(index);
            if token == LISTENER {
                while let Some(connection) = socket::accept(listener.as_raw_fd())? {
                    let fd = connection.into_raw_fd();
                    epoll.add(fd, READ_WRITE, members.len() as u64)?;
                    members.push(Member { fd, owed: 0 });
                    if let Some(member) = members.last_mut() {
                        member.owe(1);
                    }
                }
                continue;
            }
            let place = token as usize;
            if flags & libc::EPOLLOUT as u32 != 0 {
                members[place].flush();
            }
            if flags & libc::EPOLLIN as u32 != 0 {
                for _ in 0..members[place].receive(&mut buffer) {
                    for member in &mut members {
                        member.owe(1);
                    }
                }
            }
        }
    }
}

/// A connection. Its place is kept after its end, so that the token of an event stays true.
struct Member {
    /// -1 after the end.
    fd: RawFd,
    /// Bytes that the socket has not taken yet.
    owed: u32,
}

impl Member {
    fn owe(&mut self, payloads: u32) {
        let stalled = self.owed > 0;
        self.owed += payloads * PAYLOAD.len() as u32;
        // A stalled socket reports when it has room.
        if !stalled {
            self.flush();
        }
    }

    fn flush(&mut self) {
        while self.owed > 0 && self.fd >= 0 {
            match socket::send(self.fd, owed_part(self.owed)) {
                Ok(Some(sent)) => self.owed -= sent as u32,
                Ok(None) => return,
                Err(_) => self.close(),
            }
        }
        self.owed = 0;
    }

    /// Reads all there is and returns how many bytes that was.
    fn receive(&mut self, buffer: &mut [u8]) -> usize {
        let mut total = 0;
        while self.fd >= 0 {
            match socket::receive(self.fd, buffer) {
                Ok(Some(0)) | Err(_) => self.close(),
                Ok(Some(count)) => total += count,
                Ok(None) => break,
            }
        }
        total
    }

    fn close(&mut self) {
        socket::close(self.fd);
        self.fd = -1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_starts_where_the_last_send_stopped() {
        assert_eq!(owed_part(64), PAYLOAD);
        assert_eq!(owed_part(128), PAYLOAD);
        assert_eq!(owed_part(60), &PAYLOAD[4..]);
        assert_eq!(owed_part(64 + 1), &PAYLOAD[63..]);
    }
}
