//! How a connection ends: our direction of its stream first, then its descriptor when nothing of it is in flight.
//!
//! The kernel carries out a shutdown request on one of its worker threads in any case, and the reactor would wait for that.
//! shutdown(2) is a short call, but needs a descriptor of the process. So a direct descriptor gets such a number for as
//! long as the call takes (IORING_OP_FIXED_FD_INSTALL, Linux 6.8).
//!
//! Kernels before 6.13 keep the socket of a closed direct descriptor for a while (`release.rs`), and the peer learns of its
//! end only after that. There the end comes before the close: a shutdown, or for a reset the TCP disconnect of connect(2).

use std::io;
use std::os::fd::{FromRawFd as _, OwnedFd};

use io_uring::types::Fixed;
use io_uring::{IoUring, Probe, opcode, squeue};

use crate::driver::Event;
use crate::ids::Token;

use super::UringDriver;
use super::name::{Op, user_data};
use super::ring_connection::{Closing, NO_SLOT, Outward, RingConnection};

/// Descriptors of the process that the connections of an engine may have at a time, for their shutdowns. Many that end at
/// once leave the process most of its descriptors; the others are shut down by the kernel's workers.
pub(super) const MOST_INSTALLED: u32 = 256;

/// So many each reactor may have in any case, where there are very many of them.
const FEW_INSTALLED: u32 = 8;

static LINGER_NONE: libc::linger = libc::linger { l_onoff: 1, l_linger: 0 };

/// The address of nobody: to connect a TCP socket to it is to end its connection by a reset (connect(2)).
static NOBODY: libc::sockaddr = libc::sockaddr { sa_family: libc::AF_UNSPEC as libc::sa_family_t, sa_data: [0; 14] };

/// The share that one of so many reactors has of `MOST_INSTALLED`.
pub(super) fn most_installed(reactors: usize) -> u32 {
    (MOST_INSTALLED / u32::try_from(reactors.max(1)).unwrap_or(u32::MAX)).max(FEW_INSTALLED)
}

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
        entry.outward = Outward::Ended;
        if !self.can_install || self.installing >= self.most_installed {
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
        let closing = entry.closing;
        match socket {
            // A reset needs no end before it, and after one it would be none.
            _ if closing == (Closing::Asked { reset: true }) => {}
            // It fails only where the peer is gone already, which receiving reports.
            Some(socket) => drop(rustix::net::shutdown(&socket, rustix::net::Shutdown::Write)),
            // No descriptor is free. Where a close releases the socket, it is the end by itself.
            None if closing == Closing::No || !self.releases_closed => return self.request_shutdown(token),
            None => {}
        }
        if closing != Closing::No {
            self.go_on_closing(token);
        }
    }

    /// See [`Driver::close`](crate::driver::Driver::close).
    pub(super) fn begin_closing(&mut self, token: Token, reset: bool) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        entry.closing = Closing::Asked { reset };
        entry.receiving = false;
        let generation = entry.generation;
        let outward = match entry.outward {
            Outward::Nothing | Outward::Ended => None,
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
    /// stopped, which keeps the socket until it is over. So both leave with one submission. Where the kernel may keep the
    /// socket longer, our direction of the stream ends before.
    pub(super) fn go_on_closing(&mut self, token: Token) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        let Closing::Asked { reset } = entry.closing else { return };
        if entry.pending > u8::from(entry.armed && entry.stopping) {
            return;
        }
        if !self.releases_closed && !reset && entry.outward != Outward::Ended {
            return self.begin_shutdown(token);
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

    /// Closes a direct descriptor whose stream has ended, or is to end by a reset.
    pub(super) fn close_slot(&mut self, slot: u32, reset: bool, name: u64) {
        match (reset, self.releases_closed) {
            (false, _) => {}
            (true, true) => {
                let length = size_of::<libc::linger>() as u32;
                let (level, option) = (libc::SOL_SOCKET as u32, libc::SO_LINGER as u32);
                let value = (&raw const LINGER_NONE).cast();
                self.push_before_close(opcode::SetSockOpt::new(Fixed(slot), level, option, value, length).build());
            }
            (true, false) => {
                let length = size_of::<libc::sockaddr>() as libc::socklen_t;
                self.push_before_close(opcode::Connect::new(Fixed(slot), &raw const NOBODY, length).build());
                // A Unix socket cannot be disconnected. A TCP socket that was has nothing left to shut down.
                self.push_before_close(opcode::Shutdown::new(Fixed(slot), libc::SHUT_RDWR).build());
            }
        }
        self.push(&opcode::Close::new(Fixed(slot)).build().user_data(name));
    }

    /// Sends a farewell on a direct descriptor that never was a connection, and closes it; by a reset without one.
    pub(super) fn close_refused(&mut self, slot: u32, farewell: &'static [u8]) {
        if !farewell.is_empty() {
            // The text is there for ever. The close comes next, however little of it was taken.
            let request = opcode::Send::new(Fixed(slot), farewell.as_ptr(), farewell.len() as u32);
            self.push_before_close(request.flags(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL).build());
            if !self.releases_closed {
                self.push_before_close(opcode::Shutdown::new(Fixed(slot), libc::SHUT_WR).build());
            }
        }
        self.close_slot(slot, farewell.is_empty(), user_data(Op::Refuse, slot, 0));
    }

    /// Makes a request that the next one follows, whatever becomes of it.
    fn push_before_close(&mut self, request: squeue::Entry) {
        self.push(&request.flags(squeue::Flags::IO_HARDLINK).user_data(user_data(Op::Nothing, 0, 0)));
    }
}

/// The descriptor that a request to install one was answered with. Call it once for each answer.
pub(super) fn owned(result: i32) -> Option<OwnedFd> {
    // SAFETY: the kernel has made this descriptor for us, and each completion is looked at once.
    (result >= 0).then(|| unsafe { OwnedFd::from_raw_fd(result) })
}
