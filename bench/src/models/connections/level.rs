//! epoll, level-triggered: the kernel reports a socket as long as it is ready, so one read for each event is enough.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use super::echo::{Echo, Next, accept_all};
use crate::epoll::Epoll;
use crate::socket::{self, Blocking};
use crate::subject::Ready;

/// Readable, as long as that is true.
const READ: u32 = libc::EPOLLIN as u32;
/// Writable, as long as that is true.
const WRITE: u32 = libc::EPOLLOUT as u32;

/// Serves until the process is ended.
pub fn serve(port: u16, ready: Ready) -> io::Result<()> {
    let listener = socket::listen(port, Blocking::No)?;
    let mut epoll = Epoll::new()?;
    epoll.add(listener.as_raw_fd(), READ, listener.as_raw_fd() as u64)?;
    let mut echo = Echo::new();
    ready.announce(port)?;
    loop {
        for index in 0..epoll.wait(-1)? {
            let (flags, token) = epoll.event(index);
            let fd = token as RawFd;
            if fd == listener.as_raw_fd() {
                accept_all(&listener, |fd| epoll.add(fd, READ, fd as u64))?;
                continue;
            }
            let waited_for_room = flags & WRITE != 0;
            match echo.go_on(fd) {
                Next::Read if waited_for_room => epoll.change(fd, READ, token)?,
                Next::Write if !waited_for_room => epoll.change(fd, WRITE, token)?,
                // Closing has taken it out of the instance; otherwise nothing changes.
                Next::Read | Next::Write | Next::Close => {}
            }
        }
    }
}
