//! How a connection ends: our direction of its stream first, then its descriptor when nothing of it is in flight.
//!
//! The kernel carries out a shutdown request on one of its worker threads in any case, and the reactor would wait for that.
//! shutdown(2) is a short call, but needs a descriptor of the process. So a direct descriptor gets such a number for as
//! long as the call takes (IORING_OP_FIXED_FD_INSTALL, Linux 6.8).

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

use io_uring::types::Fixed;
use io_uring::{IoUring, Probe, opcode, squeue};

use crate::driver::Event;
use crate::ids::Token;

use super::UringDriver;
use super::name::{Op, user_data};
use super::ring_connection::{Closing, NO_SLOT, Outward, RingConnection};

/// Descriptors of the process that connections may have at a time, for their shutdowns. Many that end at once leave the
/// process most of its descriptors; the others are shut down by the kernel's workers.
pub(super) const MOST_INSTALLED: u32 = 256;

static LINGER_NONE: libc::linger = libc::linger { l_onoff: 1, l_linger: 0 };

/// Whether this kernel gives a direct descriptor a number in the process.
pub(super) fn can_install(ring: &IoUring) -> io::Result<bool> {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe)?;
    Ok(probe.is_supported(opcode::FixedFdInstall::CODE))
}

impl UringDriver {
    /// See [`Driver::shutdown`](crate::driver::Driver::shutdown).
    pub(super) fn begin_shutdown(&mut self, token: Token) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        if !self.can_install || self.installing == MOST_INSTALLED {
            return self.request_shutdown(token);
        }
        entry.pending += 1;
        let request = opcode::FixedFdInstall::new(Fixed(entry.slot), 0).build();
        let name = user_data(Op::Install, token, entry.generation);
        self.installing += 1;
        self.outstanding += 1;
        self.push(&request.user_data(name));
    }

    /// Has the kernel shut our direction of a stream down, whenever a worker comes to it.
    fn request_shutdown(&mut self, token: Token) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        entry.pending += 1;
        let request = opcode::Shutdown::new(Fixed(entry.slot), libc::SHUT_WR).build();
        let name = user_data(Op::Shutdown, token, entry.generation);
        self.push(&request.user_data(name));
    }

    /// A connection that is to be shut down has got a descriptor of the process, or has not.
    pub(super) fn installed(&mut self, token: Token, generation: u32, result: i32) {
        self.installing -= 1;
        let socket = owned(result);
        let Some(entry) = self.entries.get_mut(token).filter(|entry| entry.generation == generation) else { return };
        entry.pending -= 1;
        if entry.closing != Closing::No {
            drop(socket);
            return self.go_on_closing(token);
        }
        match socket {
            // It fails only where the peer is gone already, which receiving reports.
            Some(socket) => drop(rustix::net::shutdown(&socket, rustix::net::Shutdown::Write)),
            // No descriptor is free.
            None => self.request_shutdown(token),
        }
    }

    /// See [`Driver::close`](crate::driver::Driver::close).
    pub(super) fn begin_closing(&mut self, token: Token, reset: bool) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        entry.closing = Closing::Asked { reset };
        entry.receiving = false;
        let generation = entry.generation;
        let outward = match entry.outward {
            Outward::Nothing => None,
            Outward::Connects => Some(Op::Connect),
            Outward::Sends => Some(Op::Send),
        };
        // By their names: to cancel all that a descriptor has in flight, the kernel looks at every request of the ring.
        for op in outward.into_iter().chain(entry.watching.then_some(Op::Watch)) {
            let request = opcode::AsyncCancel::new(user_data(op, token, generation)).build();
            self.push(&request.user_data(user_data(Op::Nothing, 0, 0)));
        }
        self.stop_receive(token);
        self.go_on_closing(token);
    }

    /// Goes on with closing a connection: its descriptor goes when nothing of it is in flight but a receive that is being
    /// stopped, which keeps the socket until it is over. So both leave with one submission.
    pub(super) fn go_on_closing(&mut self, token: Token) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        let Closing::Asked { reset } = entry.closing else { return };
        if entry.pending > u8::from(entry.armed && entry.stopping) {
            return;
        }
        entry.closing = Closing::Begun;
        let (slot, name) = (entry.slot, user_data(Op::Close, token, entry.generation));
        self.close_slot(slot, reset, name);
    }

    /// The descriptor of a connection is closed. Says whether that was its last completion.
    pub(super) fn descriptor_closed(&mut self, token: Token) -> Option<Event<u32>> {
        let entry = self.entries.get_mut(token)?;
        self.free_slots.push(entry.slot);
        entry.slot = NO_SLOT;
        entry.closing = Closing::Done;
        self.end_closing(token)
    }

    /// Ends a connection whose descriptor is closed, where nothing of it is in flight any more.
    pub(super) fn end_closing(&mut self, token: Token) -> Option<Event<u32>> {
        let entry = self.entries.get_mut(token).filter(|entry| entry.closing == Closing::Done && entry.pending == 0)?;
        *entry = RingConnection { generation: entry.generation, ..RingConnection::default() };
        Some(Event::Closed { token })
    }

    /// Closes a direct descriptor.
    pub(super) fn close_slot(&mut self, slot: u32, reset: bool, name: u64) {
        if reset {
            // Kernels before 6.7 do not know it, and then an ordinary close is what there is: hence the hard link.
            let request = opcode::SetSockOpt::new(
                Fixed(slot),
                libc::SOL_SOCKET as u32,
                libc::SO_LINGER as u32,
                (&raw const LINGER_NONE).cast(),
                size_of::<libc::linger>() as u32,
            )
            .build()
            .flags(squeue::Flags::IO_HARDLINK)
            .user_data(user_data(Op::Nothing, 0, 0));
            self.push(&request);
        }
        self.push(&opcode::Close::new(Fixed(slot)).build().user_data(name));
    }
}

/// The descriptor that a request to install one was answered with. Call it once for each answer.
pub(super) fn owned(result: i32) -> Option<OwnedFd> {
    // SAFETY: the kernel has made this descriptor for us, and each completion is looked at once.
    (result >= 0).then(|| unsafe { OwnedFd::from_raw_fd(result) })
}
