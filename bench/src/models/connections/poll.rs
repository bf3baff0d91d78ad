//! `poll(2)`: the kernel and the loop look at an entry for each connection, each time.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use super::echo::{Echo, Next, accept_all};
use crate::socket::{self, Blocking, check};
use crate::subject::Ready;

fn entry(fd: RawFd) -> libc::pollfd {
    libc::pollfd { fd, events: libc::POLLIN, revents: 0 }
}

/// Serves until the process is ended.
pub fn serve(port: u16, ready: Ready) -> io::Result<()> {
    let listener = socket::listen(port, Blocking::No)?;
    // The listener is the first.
    let mut entries = vec![entry(listener.as_raw_fd())];
    let mut echo = Echo::new();
    ready.announce(port)?;
    loop {
        // SAFETY: the entries outlive the call, and their number is given.
        let ready = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as libc::nfds_t, -1) };
        match check(ready) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            result => result?,
        };
        // Backwards, so that the one which takes the place of one that is closed was looked at before.
        for index in (1..entries.len()).rev() {
            if entries[index].revents == 0 {
                continue;
            }
            match echo.go_on(entries[index].fd) {
                Next::Read => entries[index].events = libc::POLLIN,
                Next::Write => entries[index].events = libc::POLLOUT,
                Next::Close => drop(entries.swap_remove(index)),
            }
        }
        if entries[0].revents != 0 {
            accept_all(&listener, |fd| {
                entries.push(entry(fd));
                Ok(())
            })?;
        }
    }
}
