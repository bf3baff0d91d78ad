//! The requests of the io_uring floors and the tags by which their completions are told apart.

use io_uring::opcode;
use io_uring::squeue::{Entry, Flags};
use io_uring::types::{Fd, Fixed};

use super::buffers::GROUP;

/// Receive option: wait for readiness before the first attempt (IORING_RECVSEND_POLL_FIRST).
const POLL_FIRST: u16 = 1;
/// Receive option: one request, many completions (IORING_RECV_MULTISHOT).
const MULTISHOT: u16 = 2;

/// The kind of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Accept; its number means nothing.
    Accept,
    /// Receive; its number is the connection.
    Receive,
    /// A send that does not wait; its number is its place among those of one turn.
    Send,
    /// A send that waits for room; its number is the connection.
    Flush,
    /// Close; reports only failure.
    Close,
}

/// Packs kind and number into the `user_data` of a request.
pub fn tag(kind: Kind, number: u32) -> u64 {
    (kind as u64) << 32 | u64::from(number)
}

/// The reverse of [`tag`]; only tags made by it come back.
pub fn untag(user_data: u64) -> (Kind, u32) {
    let kind = match user_data >> 32 {
        0 => Kind::Accept,
        1 => Kind::Receive,
        2 => Kind::Send,
        3 => Kind::Flush,
        _ => Kind::Close,
    };
    (kind, user_data as u32)
}

/// Accepts connections into free places of the table of direct descriptors until told otherwise.
pub fn accept(listener: i32) -> Entry {
    opcode::AcceptMulti::new(Fd(listener)).allocate_file_index(true).build().user_data(tag(Kind::Accept, 0))
}

/// Receives into provided buffers. The crate's own multishot type takes no POLL_FIRST, so the plain one
/// is given the options by hand.
pub fn receive(connection: u32, multishot: bool, poll_first: bool) -> Entry {
    let options = if multishot { MULTISHOT } else { 0 } | if poll_first { POLL_FIRST } else { 0 };
    opcode::Recv::new(Fixed(connection), std::ptr::null_mut(), 0)
        .buf_group(GROUP)
        .ioprio(options)
        .build()
        .flags(Flags::BUFFER_SELECT)
        .user_data(tag(Kind::Receive, connection))
}

/// Sends what the socket takes at once. MSG_WAITALL makes a short send a failure, so that it is reported
/// even when success is not.
pub fn send_now(connection: u32, bytes: *const u8, len: u32, place: u32, silent: bool) -> Entry {
    let entry = opcode::Send::new(Fixed(connection), bytes, len)
        .flags(libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
        .build()
        .user_data(tag(Kind::Send, place));
    if silent { entry.flags(Flags::SKIP_SUCCESS) } else { entry }
}

/// Sends all of it, waiting for room.
pub fn flush(connection: u32, bytes: &[u8]) -> Entry {
    opcode::Send::new(Fixed(connection), bytes.as_ptr(), bytes.len() as u32)
        .flags(libc::MSG_WAITALL | libc::MSG_NOSIGNAL)
        .build()
        .user_data(tag(Kind::Flush, connection))
}

/// Frees a place in the table of direct descriptors.
pub fn close(connection: u32) -> Entry {
    opcode::Close::new(Fixed(connection)).build().flags(Flags::SKIP_SUCCESS).user_data(tag(Kind::Close, connection))
}
