//! A bound on what one multishot receive brings (Linux 6.17), and whether the kernel has it.
//!
//! A receive that has brought so many bytes is over, and is armed again with the next wait: so one connection neither has
//! more of a turn than its share, nor takes all buffers while others find none. The kernel counts whole buffers: the last
//! one may bring the sum over the limit.

use std::io::{self, Write as _};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use io_uring::{IoUring, cqueue, opcode, squeue, types};

use crate::share::SHARE_BYTES;

use super::buffers::{Buffers, GROUP};

/// Where a submission has the field `optlen`, which the crate has no name for in a receive (io_uring_enter(2)).
const OPTLEN_OFFSET: usize = 44;

fn set_limit(request: &mut squeue::Entry, bytes: u32) {
    const { assert!(size_of::<squeue::Entry>() == 64, "a submission is the kernel's, without anything around it") };
    // SAFETY: the entry is the kernel's struct of 64 bytes (repr(C)), and the field is four of them. Any value is valid.
    unsafe { (&raw mut *request).cast::<u8>().add(OPTLEN_OFFSET).cast::<u32>().write(bytes) };
}

/// Has a multishot receive end when it has brought the share of a connection.
pub(super) fn limit(request: &mut squeue::Entry) {
    set_limit(request, SHARE_BYTES as u32);
}

/// Whether the kernel heeds the limit: a receive that may bring one byte is over with the first buffer, in which there are
/// two. Kernels before refuse it.
pub(super) fn is_heeded(ring: &mut IoUring, buffers: &mut Buffers) -> io::Result<bool> {
    let (mut sender, receiver) = UnixStream::pair()?;
    sender.write_all(b"12")?;
    let mut request = opcode::RecvMulti::new(types::Fd(receiver.as_raw_fd()), GROUP).build();
    set_limit(&mut request, 1);
    // SAFETY: the socket is open until the last completion has come, which is waited for.
    unsafe { ring.submission().push(&request) }.map_err(io::Error::other)?;
    // Where it goes on, it ends with the stream.
    drop(sender);
    let mut heeded = None;
    loop {
        if let Err(error) = ring.submit_and_wait(1)
            && error.kind() != io::ErrorKind::Interrupted
        {
            return Err(error);
        }
        for completion in ring.completion() {
            let (result, flags) = (completion.result(), completion.flags());
            if let Some(buffer) = cqueue::buffer_select(flags) {
                buffers.discard(buffer, result.max(0) as u32);
            }
            heeded.get_or_insert(result > 0 && !cqueue::more(flags));
            if !cqueue::more(flags) {
                buffers.publish();
                return Ok(heeded == Some(true));
            }
        }
    }
}
