//! What completions mean: from what the kernel reports to what the reactor handles.

use std::io;

use io_uring::cqueue;

use crate::address::Peer;
use crate::driver::Event;
use crate::ids::{ListenerId, Token};

use super::UringDriver;
use super::name::{Op, read_user_data};
use super::ring_connection::{Closing, Outward};

impl UringDriver {
    /// What a completion means to the reactor.
    pub(super) fn complete(&mut self, name: u64, result: i32, flags: u32) -> Option<Event<u32>> {
        let (op, whom, generation) = read_user_data(name);
        let more = cqueue::more(flags);
        if !more && op.is_outstanding() {
            self.outstanding -= 1;
        }
        match op {
            // What is done at once is looked at there.
            Op::Nothing | Op::AtOnce => None,
            Op::Wake => {
                self.listen_to_bell();
                None
            }
            Op::Accept => self.accepted(whom as ListenerId, generation as usize, result),
            Op::Datagram => {
                let listener = whom as ListenerId;
                if !more {
                    self.arm_datagram(listener);
                }
                if !self.ready_datagrams.iter().any(|(ready, _)| *ready == listener) {
                    self.ready_datagrams.push_back((listener, 0));
                }
                None
            }
            Op::Refuse => {
                self.free_slots.push(whom);
                None
            }
            Op::Receive => self.received(whom, generation, result, flags),
            Op::Stop => {
                let entry = self.entries.get_mut(whom).filter(|entry| entry.generation == generation)?;
                entry.stopping = false;
                if result < 0 && (!entry.receiving || entry.large.changes()) {
                    // It was just being worked out and could not be stopped: once more, where it goes on.
                    self.stop_receive(whom);
                }
                None
            }
            Op::Watch => self.watched(whom, generation, result, more),
            Op::Install => {
                self.installed(whom, generation, result);
                None
            }
            Op::Send | Op::Connect | Op::Shutdown | Op::Close => {
                let entry = self.entries.get_mut(whom).filter(|entry| entry.generation == generation)?;
                if op == Op::Close {
                    return self.descriptor_closed(whom);
                }
                entry.pending -= 1;
                if matches!(op, Op::Send | Op::Connect) {
                    entry.outward = Outward::Nothing;
                }
                if entry.closing != Closing::No {
                    self.go_on_closing(whom);
                    return None;
                }
                match op {
                    Op::Send => {
                        let result = match -result {
                            libc::EINTR | libc::EAGAIN => Ok(0),
                            _ => outcome(result).map(|count| count as usize),
                        };
                        Some(Event::Sent { token: whom, result })
                    }
                    Op::Connect => Some(Event::Connected { token: whom, result: outcome(result).map(drop) }),
                    // A failed shutdown is a peer that is gone, which receiving reports.
                    _ => None,
                }
            }
        }
    }

    /// A connection's poll for errors has found something.
    fn watched(&mut self, token: Token, generation: u32, result: i32, more: bool) -> Option<Event<u32>> {
        let entry = self.entries.get_mut(token).filter(|entry| entry.generation == generation)?;
        if !more {
            entry.pending -= 1;
            entry.watching = false;
        }
        if entry.closing != Closing::No {
            self.go_on_closing(token);
            return None;
        }
        let found = result.max(0) as u32;
        if found & (libc::POLLERR | libc::POLLHUP) as u32 != 0 {
            return Some(Event::Failed { token, error: io::ErrorKind::ConnectionReset.into() });
        }
        // The kernel also reports what it was not asked for, the end of the peer's stream.
        if !more && result > 0 {
            self.arm_watch(token);
        }
        None
    }

    fn accepted(&mut self, listener: ListenerId, place: usize, result: i32) -> Option<Event<u32>> {
        let accepts = self.accepts(usize::from(listener))?;
        let (slot, peer) = accepts.completed(place)?;
        // It was tried before it was cancelled: nothing waited.
        accepts.is_empty |= accepts.probes && result == -libc::ECANCELED;
        let (on, wants, is_unix) = (accepts.on, accepts.wants(), accepts.is_unix());
        if wants && !self.rearm.contains(&listener) {
            self.rearm.push(listener);
        }
        if result < 0 {
            self.free_slots.push(slot);
        }
        self.end_if_over(listener);
        if result < 0 {
            let error = io::Error::from_raw_os_error(-result);
            // A socket that was told to refuse ends its accepts as invalid.
            let is_ended = result == -libc::ECANCELED || (!on && result == -libc::EINVAL);
            return (!is_ended).then_some(Event::AcceptFailed { listener, error });
        }
        Some(Event::Accepted { listener, incoming: slot, peer: if is_unix { Peer::UNIX } else { peer } })
    }
}

fn outcome(result: i32) -> io::Result<u32> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result as u32) }
}
