//! What is sent: requests made of an outbox, those that wait and those that do not.

use std::io::{self, IoSlice};
use std::mem;

use io_uring::types::Fixed;
use io_uring::{opcode, squeue};

use crate::driver::Sent;
use crate::ids::Token;
use crate::outbox::{Outbox, SLICES};

use super::UringDriver;
use super::name::{Op, user_data};
use super::ring_connection::{NO_SLOT, Outward};

/// A gathered send's description; read by the kernel when the request is submitted (IORING_FEAT_SUBMIT_STABLE).
pub(super) struct Gather {
    slices: [libc::iovec; SLICES],
    header: libc::msghdr,
}

impl UringDriver {
    /// A request that sends from the front of an outbox.
    #[inline]
    fn send_request(&mut self, slot: Fixed, outbox: &Outbox, flags: i32) -> squeue::Entry {
        if outbox.is_contiguous() {
            let front = outbox.front();
            return opcode::Send::new(slot, front.as_ptr(), front.len() as u32).flags(flags).build();
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let count = outbox.slices(&mut slices);
        let empty = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        // SAFETY: a msghdr of zeros is one without address, slices and control data.
        let header: libc::msghdr = unsafe { mem::zeroed() };
        let mut gather = Box::new(Gather { slices: [empty; SLICES], header });
        for (to, from) in gather.slices.iter_mut().zip(&slices[..count]) {
            *to = libc::iovec { iov_base: from.as_ptr().cast_mut().cast(), iov_len: from.len() };
        }
        gather.header.msg_iov = gather.slices.as_mut_ptr();
        // At most as many as `slices` has: musl counts in an i32.
        gather.header.msg_iovlen = count as _;
        let request = opcode::SendMsg::new(slot, &raw const gather.header).flags(flags as u32).build();
        self.gathers.push(gather);
        request
    }

    /// See [`Driver::send`](crate::driver::Driver::send).
    #[inline]
    pub(super) fn send_later(&mut self, token: Token, outbox: &Outbox) -> Sent {
        let Some(entry) = self.entries.get_mut(token).filter(|entry| entry.slot != NO_SLOT) else {
            return Sent::Failed(io::ErrorKind::NotConnected.into());
        };
        entry.pending += 1;
        entry.outward = Outward::Sends;
        let (slot, name) = (Fixed(entry.slot), user_data(Op::Send, token, entry.generation));
        let request = self.send_request(slot, outbox, libc::MSG_NOSIGNAL);
        self.outstanding += 1;
        self.push(&request.user_data(name));
        Sent::Later
    }

    /// See [`Driver::send_at_once`](crate::driver::Driver::send_at_once).
    pub(super) fn send_now(&mut self, token: Token, outbox: &Outbox) -> Sent {
        let Some(entry) = self.entries.get_mut(token).filter(|entry| entry.slot != NO_SLOT) else {
            return Sent::Failed(io::ErrorKind::NotConnected.into());
        };
        let slot = Fixed(entry.slot);
        let request = self.send_request(slot, outbox, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT);
        match self.at_once(request).0 {
            count @ 0.. => Sent::Now(count as usize),
            result if matches!(-result, libc::EAGAIN | libc::EINTR) => Sent::Now(0),
            error => Sent::Failed(io::Error::from_raw_os_error(-error)),
        }
    }
}
