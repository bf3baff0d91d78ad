//! Whether the kernel tells with each receive if the socket has more (IORING_CQE_F_SOCK_NONEMPTY).
//!
//! It does for TCP since Linux 5.19, and for Unix sockets since 6.17. A poll reports what arrives and not what was left, so
//! the flag counts only where it is told of both.

use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use io_uring::{IoUring, cqueue, opcode, types};

/// Whether a receive of one byte from a Unix socket with two is told that there is one more.
pub(super) fn is_told(ring: &mut IoUring) -> io::Result<bool> {
    let (mut sender, receiver) = UnixStream::pair()?;
    sender.write_all(b"12")?;
    let mut byte = 0_u8;
    let request = opcode::Recv::new(types::Fd(receiver.as_raw_fd()), &raw mut byte, 1).flags(libc::MSG_DONTWAIT);
    // SAFETY: the socket is open and the byte lives until the completion has come, which is waited for.
    unsafe { ring.submission().push(&request.build()) }.map_err(io::Error::other)?;
    loop {
        match ring.submit_and_wait(1) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        if let Some(completion) = ring.completion().next() {
            return Ok(completion.result() == 1 && cqueue::sock_nonempty(completion.flags()));
        }
    }
}
