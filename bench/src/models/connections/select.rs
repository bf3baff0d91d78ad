//! `select(2)`: the kernel and the loop look at a bit for each descriptor up to the highest, each time. It ends at 1,024
//! descriptors.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;

use super::echo::{Echo, Next, accept_all};
use crate::socket::{self, Blocking, check};
use crate::subject::Ready;

/// Descriptors below this number fit into a set.
const DESCRIPTORS: RawFd = libc::FD_SETSIZE as RawFd;
/// Connections that a server has room for: standard input and output, the listener, and those it has inherited aside.
pub const MOST_CONNECTIONS: usize = libc::FD_SETSIZE - 16;

/// A set of descriptors.
#[derive(Clone, Copy)]
struct Set(libc::fd_set);

impl Set {
    fn new() -> Self {
        // SAFETY: an all-zero fd_set is the empty set.
        Self(unsafe { mem::zeroed() })
    }

    fn insert(&mut self, fd: RawFd) {
        assert!((0..DESCRIPTORS).contains(&fd));
        // SAFETY: `fd` lies inside the set.
        unsafe { libc::FD_SET(fd, &mut self.0) };
    }

    fn remove(&mut self, fd: RawFd) {
        assert!((0..DESCRIPTORS).contains(&fd));
        // SAFETY: as above.
        unsafe { libc::FD_CLR(fd, &mut self.0) };
    }

    fn has(&self, fd: RawFd) -> bool {
        assert!((0..DESCRIPTORS).contains(&fd));
        // SAFETY: as above.
        unsafe { libc::FD_ISSET(fd, &self.0) }
    }
}

/// Serves until the process is ended. Connections whose descriptor does not fit into a set are closed.
pub fn serve(port: u16, ready: Ready) -> io::Result<()> {
    let listener = socket::listen(port, Blocking::No)?;
    let (mut reading, mut writing) = (Set::new(), Set::new());
    reading.insert(listener.as_raw_fd());
    let mut highest = listener.as_raw_fd();
    let mut echo = Echo::new();
    ready.announce(port)?;
    loop {
        let (mut readable, mut writable) = (reading, writing);
        // SAFETY: the sets outlive the call, which fills them in; they have room for `highest`.
        let ready =
            unsafe { libc::select(highest + 1, &mut readable.0, &mut writable.0, ptr::null_mut(), ptr::null_mut()) };
        match check(ready) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        for fd in 0..=highest {
            if fd == listener.as_raw_fd() || !(readable.has(fd) || writable.has(fd)) {
                continue;
            }
            let next = echo.go_on(fd);
            if next == Next::Read {
                reading.insert(fd)
            } else {
                reading.remove(fd)
            }
            if next == Next::Write { writing.insert(fd) } else { writing.remove(fd) }
        }
        if readable.has(listener.as_raw_fd()) {
            accept_all(&listener, |fd| {
                if fd < DESCRIPTORS {
                    reading.insert(fd);
                    highest = highest.max(fd);
                } else {
                    socket::close(fd);
                }
                Ok(())
            })?;
        }
    }
}
