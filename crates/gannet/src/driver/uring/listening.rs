//! Listeners of the io_uring driver: their accepts in flight, and how they pause, change hands and end.
//!
//! `accept.rs` has the accepts of one listener; this is what the driver does with them.

use std::io;

use io_uring::opcode;

use crate::driver::{Driver, Event};
use crate::ids::ListenerId;
use crate::listener::ListenSocket;

use super::UringDriver;
use super::accept::Accepts;
use super::name::{Op, user_data};

impl UringDriver {
    /// See [`Driver::listen`].
    pub(super) fn take_listener(&mut self, listener: ListenerId, socket: ListenSocket) -> io::Result<()> {
        let index = usize::from(listener);
        if self.listeners.len() <= index {
            self.listeners.resize_with(index + 1, || None);
        }
        rustix::io::ioctl_fionbio(&socket, false)?;
        self.listeners[index] = Some(Accepts::new(socket, self.table));
        Ok(())
    }

    /// See [`Driver::unlisten`].
    pub(super) fn close_listener(&mut self, listener: ListenerId) {
        let Some(accepts) = self.accepts(usize::from(listener)) else { return };
        accepts.on = false;
        // Ends accepts in flight, and the kernel refuses new connections from now on. Another process that has the socket
        // goes on to accept.
        if let Some(socket) = accepts.socket.as_ref().filter(|_| !accepts.is_shared) {
            let _ = rustix::net::shutdown(socket, rustix::net::Shutdown::Both);
        }
        if accepts.is_armed() {
            self.cancel_accepts(listener);
        } else {
            self.listeners[usize::from(listener)] = None;
        }
    }

    /// See [`Driver::suspend`].
    pub(super) fn suspend_listener(&mut self, listener: ListenerId) {
        // Ends accepts in flight too.
        let refuses = match self.accepts(usize::from(listener)) {
            Some(accepts) => !accepts.is_shared && accepts.socket.as_ref().is_none_or(ListenSocket::suspend),
            None => return,
        };
        self.accept(listener, !refuses);
    }

    /// See [`Driver::resume`].
    pub(super) fn resume_listener(&mut self, listener: ListenerId, on: bool) -> io::Result<()> {
        if let Some(socket) = self.accepts(usize::from(listener)).and_then(|accepts| accepts.socket.as_ref()) {
            socket.resume()?;
        }
        self.accept(listener, on);
        Ok(())
    }

    /// See [`Driver::restore`].
    pub(super) fn restore_listener(&mut self, listener: ListenerId, on: bool) -> io::Result<()> {
        if let Some(socket) = self.accepts(usize::from(listener)).and_then(|accepts| accepts.socket.as_ref()) {
            // The other process may have had it not block.
            rustix::io::ioctl_fionbio(socket, false)?;
        }
        self.accept(listener, on);
        Ok(())
    }

    /// See [`Driver::release`].
    pub(super) fn release_listener(&mut self, listener: ListenerId) {
        if self.is_withdrawn(listener)
            && let Some(accepts) = self.listeners.get_mut(usize::from(listener))
        {
            *accepts = None;
        }
        self.unbind(listener);
    }

    /// See [`Driver::retire`].
    pub(super) fn retire_listener(&mut self, listener: ListenerId) -> bool {
        let Some(accepts) = self.accepts(usize::from(listener)) else { return false };
        accepts.retires = true;
        let (is_armed, wants) = (accepts.is_armed(), accepts.wants());
        if is_armed {
            self.cancel_accepts(listener);
        } else if wants {
            self.arm_accepts(listener);
        } else {
            self.end_if_over(listener);
        }
        true
    }

    /// See [`Driver::hand_on`].
    pub(super) fn hand_listener_on(&mut self, from: ListenerId, to: ListenerId) -> bool {
        if let Some(socket) = self.datagrams.remove(from) {
            let request = opcode::AsyncCancel::new(user_data(Op::Datagram, u32::from(from), 0)).build();
            self.push(&request.user_data(user_data(Op::Nothing, 0, 0)));
            if let Err(error) = self.bind(to, socket) {
                tracing::error!(%error, "a datagram socket cannot go on with its new service");
            }
            return false;
        }
        let Some(accepts) = self.accepts(usize::from(from)) else { return false };
        let after = if accepts.is_armed() { Some(from) } else { accepts.after.take() };
        let (is_shared, Some(socket)) = (accepts.is_shared, accepts.socket.take()) else { return false };
        let listened = self.listen(to, socket);
        if let Err(error) = &listened {
            tracing::error!(%error, "a listener cannot go on with its new service");
        }
        if let Some(accepts) = self.accepts(usize::from(to)) {
            (accepts.after, accepts.is_shared) = (after, is_shared);
        }
        listened.is_ok()
    }

    /// Arms every idle accept of a listener. Where it retires, they are cancelled in the same breath: each takes what waits,
    /// and those that find nothing are over at once.
    pub(super) fn arm_accepts(&mut self, listener: ListenerId) {
        let index = usize::from(listener);
        if !self.accepts(index).is_some_and(|accepts| accepts.wants()) {
            return;
        }
        while let Some(place) = self.accepts(index).and_then(|accepts| accepts.idle()) {
            let operational = self.accepts(index).is_some_and(|accepts| accepts.operational);
            let Some(slot) = self.take_slot(operational) else {
                if self.accepts(index).is_some_and(|accepts| !accepts.is_armed()) {
                    let error = io::Error::from_raw_os_error(libc::ENFILE);
                    self.done.push_back(Event::AcceptFailed { listener, error });
                }
                break;
            };
            let request = self.accepts(index).and_then(|accepts| accepts.arm(listener, place, slot));
            let Some(request) = request else { return self.free_slots.push(slot) };
            self.outstanding += 1;
            self.push(&request);
        }
        if let Some(accepts) = self.accepts(index).filter(|accepts| accepts.retires) {
            accepts.probes = true;
            self.cancel_accepts(listener);
        }
    }

    /// Cancels the accepts of a listener that are in flight; those that the kernel completes meanwhile are reported.
    pub(super) fn cancel_accepts(&mut self, listener: ListenerId) {
        let Some(accepts) = self.accepts(usize::from(listener)) else { return };
        let armed: Vec<usize> = accepts.armed().collect();
        for place in armed {
            let request = opcode::AsyncCancel::new(Accepts::name(listener, place)).build();
            self.push(&request.user_data(user_data(Op::Nothing, 0, 0)));
        }
    }

    /// Closes a listener that retires, where it has accepted all that it will.
    pub(super) fn end_if_over(&mut self, listener: ListenerId) {
        let index = usize::from(listener);
        if self.accepts(index).is_some_and(|accepts| accepts.is_over()) {
            self.listeners[index] = None;
            self.done.push_back(Event::Retired { listener });
            let mut all = self.listeners.iter_mut().enumerate();
            let next = all.find_map(|(next, accepts)| {
                Some((next, accepts.as_mut().filter(|next| next.after == Some(listener))?))
            });
            if let Some((next, accepts)) = next {
                accepts.after = None;
                self.arm_accepts(next as ListenerId);
            }
        }
    }

    pub(super) fn accepts(&mut self, index: usize) -> Option<&mut Accepts> {
        self.listeners.get_mut(index).and_then(Option::as_mut)
    }
}
