//! Receiving for connections: the request that stays, how it is stopped, and what it brings.
//!
//! It is a multishot receive into the ring of buffers, or a poll where large messages come (`large.rs`).

use std::io;

use io_uring::types::Fixed;
use io_uring::{cqueue, opcode};

use crate::driver::Event;
use crate::ids::Token;

use super::UringDriver;
use super::buffers::GROUP;
use super::large::{POLLED, is_large};
use super::limit;
use super::name::{Op, user_data};
use super::ring_connection::Closing;

impl UringDriver {
    /// Receives for a connection, or stops that.
    pub(super) fn set_receiving(&mut self, token: Token, on: bool) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        entry.receiving = on;
        // A poll may stay: what it finds meanwhile is kept in mind.
        match (on, entry.armed && entry.large.polls()) {
            (true, true) => self.read_again(token),
            (true, false) => self.to_arm.add(token),
            (false, true) => {}
            (false, false) => self.stop_receive(token),
        }
    }

    /// Makes the request, where there is none. With a wait only, in its order (`order.rs`), unless it is a poll.
    pub(super) fn arm_receive(&mut self, token: Token) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        if entry.armed || !entry.receiving || entry.closing != Closing::No {
            return;
        }
        entry.armed = true;
        entry.pending += 1;
        let (slot, name) = (Fixed(entry.slot), user_data(Op::Receive, token, entry.generation));
        let request = if entry.large.arm() {
            opcode::PollAdd::new(slot, POLLED).multi(true).build()
        } else {
            let mut request = opcode::RecvMulti::new(slot, GROUP).build();
            if self.can_limit {
                limit::limit(&mut request);
            }
            request
        };
        self.outstanding += 1;
        self.push(&request.user_data(name));
    }

    pub(super) fn stop_receive(&mut self, token: Token) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        if entry.armed && !entry.stopping {
            entry.stopping = true;
            let receive = user_data(Op::Receive, token, entry.generation);
            let request = opcode::AsyncCancel::new(receive).build();
            let name = user_data(Op::Stop, token, entry.generation);
            self.push(&request.user_data(name));
        }
    }

    #[inline]
    pub(super) fn received(&mut self, token: Token, generation: u32, result: i32, flags: u32) -> Option<Event<u32>> {
        let buffer = cqueue::buffer_select(flags);
        let known = self.entries.get_mut(token).filter(|entry| entry.generation == generation);
        let Some(entry) = known else {
            self.discard(buffer, result);
            return None;
        };
        if !cqueue::more(flags) {
            entry.armed = false;
            entry.pending -= 1;
        }
        if entry.closing != Closing::No {
            self.go_on_closing(token);
            self.discard(buffer, result);
            return self.end_closing(token);
        }
        let (armed, receiving) = (entry.armed, entry.receiving);
        if entry.large.polls() && result >= 0 {
            if !armed && receiving {
                self.arm_receive(token);
            }
            self.readable(token, result as u32);
            return None;
        }
        if result > 0 {
            let Some(buffer) = buffer else {
                return Some(Event::Failed { token, error: io::Error::other("io_uring named no buffer") });
            };
            entry.large.weigh(is_large(result as usize, self.buffers.bytes()));
            let changes = entry.large.changes();
            if !armed && receiving {
                self.to_arm.add(token);
            } else if changes {
                self.stop_receive(token);
            }
            self.to_arm.note_received(token);
            let chunk = self.buffers.chunk(buffer, result as u32);
            return Some(Event::Received { token, chunk });
        }
        if let Some(buffer) = buffer {
            self.buffers.discard(buffer, 0);
        }
        match -result {
            0 => {
                entry.receiving = false;
                Some(Event::Ended { token })
            }
            libc::ENOBUFS => {
                self.starved_count += 1;
                self.to_arm.add_without_buffer(token);
                None
            }
            libc::ECANCELED | libc::EINTR | libc::EAGAIN => {
                // Stopped on request; or wanted again meanwhile.
                if receiving && !armed {
                    self.to_arm.add(token);
                }
                None
            }
            error => {
                entry.receiving = false;
                Some(Event::Failed { token, error: io::Error::from_raw_os_error(error) })
            }
        }
    }

    /// Takes back what came with a completion nobody looks at.
    fn discard(&mut self, buffer: Option<u16>, result: i32) {
        if let Some(buffer) = buffer {
            self.buffers.discard(buffer, result.max(0) as u32);
        }
    }
}
