//! Whether the kernel lets go of the socket of a direct descriptor as soon as that is closed (Linux 6.13).
//!
//! Before, a descriptor that is closed waits in a line of the ring until every request is over that was made earlier for any
//! direct descriptor. So one quiet connection with its receive keeps the sockets of all that close after it: their peers see
//! no end of the stream, and the kernel's memory for them grows. (liburing's issue 1192.)

use std::io::{self, Read as _};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use io_uring::types::Fixed;
use io_uring::{IoUring, opcode, squeue};

/// Direct descriptors that a ring needs for this, its first ones.
pub(super) const SLOTS: u32 = 2;

const EARLIER: u64 = 1;
const CLOSE: u64 = 2;

/// Whether the peer of a descriptor that is closed sees the end, although another descriptor has an earlier poll. The
/// ring's first descriptors have to be free, and are afterwards.
pub(super) fn is_prompt(ring: &mut IoUring) -> io::Result<bool> {
    let (earlier, earlier_peer) = UnixStream::pair()?;
    let (closed, mut closed_peer) = UnixStream::pair()?;
    closed_peer.set_nonblocking(true)?;
    ring.submitter().register_files_update(0, &[earlier.as_raw_fd(), closed.as_raw_fd()])?;
    drop((earlier, closed));
    push(ring, &opcode::PollAdd::new(Fixed(0), libc::POLLIN as u32).build().user_data(EARLIER))?;
    push(ring, &opcode::Close::new(Fixed(1)).build().user_data(CLOSE))?;
    wait_for(ring, CLOSE)?;
    let is_prompt = matches!(closed_peer.read(&mut [0; 1]), Ok(0));
    // Ends the poll.
    drop(earlier_peer);
    wait_for(ring, EARLIER)?;
    push(ring, &opcode::Close::new(Fixed(0)).build().user_data(CLOSE))?;
    wait_for(ring, CLOSE)?;
    Ok(is_prompt)
}

fn push(ring: &mut IoUring, request: &squeue::Entry) -> io::Result<()> {
    // SAFETY: polls and closes name no memory.
    unsafe { ring.submission().push(request) }.map_err(io::Error::other)
}

/// Waits for the completion of this name.
fn wait_for(ring: &mut IoUring, name: u64) -> io::Result<()> {
    loop {
        match ring.submit_and_wait(1) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        if ring.completion().any(|completion| completion.user_data() == name) {
            return Ok(());
        }
    }
}
