//! The broadcast floor on io_uring: a batch of silent sends from one payload, no call for each.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsRawFd;

use io_uring::cqueue;

use super::broadcast::{PAYLOAD, owed_part};
use super::uring::{Buffers, Kind, Queue, Tuning, accept, close, flush, receive, send_now, untag};
use crate::socket::{self, Blocking};
use crate::subject::Ready;

/// Serves until the process is ended.
pub fn serve(port: u16, ready: Ready) -> io::Result<()> {
    let tuning = Tuning::FLOOR;
    let listener = socket::listen(port, Blocking::Yes)?;
    // Triggers are single bytes. Dropped after the ring, as its registration asks.
    let mut buffers = Buffers::new(64, 64, 0, false)?;
    let mut ring = tuning.build()?;
    let places = socket::descriptor_limit()?;
    ring.submitter().register_files_sparse(places)?;
    ring.submitter().register_ring_fd()?;
    // SAFETY: `buffers` was made before `ring`, so it is dropped after it.
    unsafe { buffers.register(&ring.submitter())? };
    ready.announce(port)?;

    let (submitter, submissions, mut completions) = ring.split();
    let mut room = Room { queue: Queue::new(submitter, submissions), members: Vec::new(), stalled: HashMap::new() };
    // SAFETY: the request names no memory.
    unsafe { room.queue.push(&accept(listener.as_raw_fd()))? };
    let mut triggers = 0;
    loop {
        room.queue.turn(usize::from(triggers == 0), 0)?;
        completions.sync();
        for completion in &mut completions {
            let (kind, number) = untag(completion.user_data());
            let result = completion.result();
            let more = cqueue::more(completion.flags());
            match kind {
                Kind::Accept => {
                    if let Ok(place) = u32::try_from(result) {
                        room.join(place)?;
                    }
                    if !more {
                        // SAFETY: the request names no memory.
                        unsafe { room.queue.push(&accept(listener.as_raw_fd()))? };
                    }
                }
                Kind::Receive => {
                    if let Some(buffer) = cqueue::buffer_select(completion.flags()) {
                        triggers += result.max(0);
                        let len = result.max(0).cast_unsigned();
                        buffers.take(buffer, len, false);
                        buffers.release(buffer);
                        buffers.publish();
                    }
                    if !more {
                        room.received_last(number, result)?;
                    }
                }
                Kind::Send => room.owe(number, result, PAYLOAD.len() as u32)?,
                Kind::Flush => {
                    let owed = room.stalled.remove(&number).unwrap_or(0);
                    room.owe(number, result, owed)?;
                }
                Kind::Close => {}
            }
        }
        completions.sync();
        // One in a turn: a send that fell short is known of before the next one to that connection.
        if triggers > 0 {
            triggers -= 1;
            room.broadcast()?;
        }
    }
}

struct Room<'ring> {
    queue: Queue<'ring>,
    /// Places in the table of direct descriptors.
    members: Vec<u32>,
    /// Bytes owed to those whose socket was full; a flush of a part of them is under way.
    stalled: HashMap<u32, u32>,
}

impl Room<'_> {
    fn join(&mut self, place: u32) -> io::Result<()> {
        self.members.push(place);
        // SAFETY: the request names no memory but the buffer group, which outlives the ring.
        unsafe { self.queue.push(&receive(place, true, false))? };
        self.send(place)
    }

    fn send(&mut self, place: u32) -> io::Result<()> {
        let entry = send_now(place, PAYLOAD.as_ptr(), PAYLOAD.len() as u32, place, true);
        // SAFETY: the payload is static.
        unsafe { self.queue.push(&entry) }
    }

    fn broadcast(&mut self) -> io::Result<()> {
        for index in 0..self.members.len() {
            let place = self.members[index];
            match self.stalled.get_mut(&place) {
                Some(owed) => *owed += PAYLOAD.len() as u32,
                None => self.send(place)?,
            }
        }
        Ok(())
    }

    /// A send left a part of `owed` bytes; the rest is flushed by sends that wait.
    fn owe(&mut self, place: u32, result: i32, owed: u32) -> io::Result<()> {
        let taken = match result {
            0.. => result.cast_unsigned(),
            result if result == -libc::EAGAIN => 0,
            // The receive of this connection reports its end.
            _ => return Ok(()),
        };
        let owed = owed.saturating_sub(taken);
        if owed == 0 {
            return Ok(());
        }
        self.stalled.insert(place, owed);
        // SAFETY: the payload is static.
        unsafe { self.queue.push(&flush(place, owed_part(owed))) }
    }

    fn received_last(&mut self, place: u32, result: i32) -> io::Result<()> {
        if result > 0 || result == -libc::ENOBUFS {
            // SAFETY: the request names no memory but the buffer group, which outlives the ring.
            return unsafe { self.queue.push(&receive(place, true, false)) };
        }
        self.members.retain(|member| *member != place);
        self.stalled.remove(&place);
        // SAFETY: the request names no memory.
        unsafe { self.queue.push(&close(place)) }
    }
}
