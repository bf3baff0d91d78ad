//! A bare io_uring echo on one thread: direct descriptors, multishot receive from provided buffers, and
//! the reply sent from the very buffer it came in.
//!
//! A turn is one `io_uring_enter`: it makes the sends of the last turn, then receives. Sends carry
//! MSG_DONTWAIT, so that all of them are over when the call returns; only one that fell short posts a
//! completion, and its rest is copied to the heap and flushed by a send that waits.

mod buffers;
mod queue;
mod request;
mod tuning;

use std::collections::HashMap;
use std::io;
use std::mem;
use std::os::fd::AsRawFd;

use io_uring::cqueue;

pub use buffers::Buffers;
pub use queue::Queue;
pub use request::{Kind, accept, close, flush, receive, send_now, untag};
pub use tuning::{Sends, TaskRun, Tuning};

use crate::socket::{self, Blocking};
use crate::subject::Ready;

/// Serves until the process is ended.
pub fn serve(port: u16, ready: Ready, tuning: Tuning) -> io::Result<()> {
    let listener = socket::listen(port, Blocking::Yes)?;
    // What the kernel reads and writes is dropped after the ring.
    let mut backlogs = HashMap::new();
    let mut buffers = Buffers::new(tuning.buffers, tuning.buffer_bytes, tuning.gap_bytes, tuning.incremental)?;
    let mut ring = tuning.build()?;
    let places = socket::descriptor_limit()?;
    ring.submitter().register_files_sparse(places)?;
    if tuning.registered_ring {
        ring.submitter().register_ring_fd()?;
    }
    // SAFETY: `buffers` was made before `ring`, so it is dropped after it.
    unsafe { buffers.register(&ring.submitter())? };
    ready.announce(port)?;

    let (submitter, submissions, mut completions) = ring.split();
    let mut echo = Echo {
        queue: Queue::new(submitter, submissions),
        buffers: &mut buffers,
        backlogs: &mut backlogs,
        tuning,
        listener: listener.as_raw_fd(),
        accepting: false,
        turn: 1,
        last: 0,
        connections: vec![Connection::default(); places as usize],
        sending: Vec::new(),
        sent: Vec::new(),
        unsettled: Vec::new(),
        settling: Vec::new(),
        starved: Vec::new(),
    };
    echo.arm_accept()?;
    loop {
        let want = echo.want();
        let patience_us = if want > 1 { tuning.patience_us } else { 0 };
        echo.queue.turn(want, patience_us)?;
        completions.sync();
        echo.last = completions.len();
        echo.begin_turn();
        for completion in &mut completions {
            echo.complete(&completion)?;
        }
        completions.sync();
        echo.end_turn()?;
    }
}

/// The state of a connection, by its index in the table of direct descriptors.
#[derive(Clone, Copy, Default)]
struct Connection {
    /// The turn in which its last send was queued; 0 when that is known to be over.
    send_turn: u32,
    /// It has an entry in `backlogs`.
    backlogged: bool,
    /// A flush is under way.
    flushing: bool,
    /// Nothing more will be received.
    over: bool,
    /// Sending has failed; what arrives is dropped until the end of the stream.
    broken: bool,
}

/// A send of one turn.
struct Send {
    connection: u32,
    bytes: *const u8,
    len: u32,
    buffer: u16,
}

/// Bytes of a connection that could not be sent from their buffers.
#[derive(Default)]
struct Backlog {
    waiting: Vec<u8>,
    /// Named by the flush under way, so it is neither moved nor changed until that completes.
    flushing: Vec<u8>,
}

struct Echo<'ring> {
    queue: Queue<'ring>,
    buffers: &'ring mut Buffers,
    backlogs: &'ring mut HashMap<u32, Backlog>,
    tuning: Tuning,
    listener: i32,
    accepting: bool,
    /// Counts turns; never 0.
    turn: u32,
    /// Completions of the last turn.
    last: usize,
    connections: Vec<Connection>,
    /// Sends queued in this turn.
    sending: Vec<Send>,
    /// Sends queued in the turn before; over by now.
    sent: Vec<Send>,
    /// Connections to look at when the sends of this turn are over.
    unsettled: Vec<u32>,
    /// Connections whose sends were over in the turn before.
    settling: Vec<u32>,
    /// Connections whose receive found no buffer.
    starved: Vec<u32>,
}

impl Echo<'_> {
    /// The number of completions that end the wait.
    fn want(&self) -> usize {
        // Sends of this turn may be silent, so what waits for their end must not wait for anything else.
        if !self.starved.is_empty() || !self.unsettled.is_empty() {
            return 0;
        }
        // Under load a short wait gathers more for one call; a lone message is not kept waiting.
        let want = if self.last < self.tuning.busy_from { 1 } else { self.tuning.want };
        match self.tuning.sends {
            Sends::Silent | Sends::Reported => want,
            Sends::Counted => want + self.sending.len(),
        }
    }

    fn begin_turn(&mut self) {
        mem::swap(&mut self.sending, &mut self.sent);
        mem::swap(&mut self.unsettled, &mut self.settling);
        self.turn = self.turn.wrapping_add(1).max(1);
    }

    fn complete(&mut self, completion: &cqueue::Entry) -> io::Result<()> {
        let (kind, number) = untag(completion.user_data());
        match kind {
            Kind::Receive => self.received(number, completion.result(), completion.flags()),
            Kind::Send => {
                self.sent(number, completion.result());
                Ok(())
            }
            Kind::Flush => self.flushed(number, completion.result()),
            Kind::Accept => self.accepted(completion.result(), completion.flags()),
            Kind::Close => Ok(()),
        }
    }

    fn arm_accept(&mut self) -> io::Result<()> {
        self.accepting = true;
        // SAFETY: the request names no memory.
        unsafe { self.queue.push(&accept(self.listener)) }
    }

    fn accepted(&mut self, result: i32, flags: u32) -> io::Result<()> {
        if let Ok(connection) = u32::try_from(result) {
            self.connections[connection as usize] = Connection::default();
            self.arm_receive(connection)?;
        }
        if !cqueue::more(flags) {
            self.accepting = false;
            // With a full table, accepting goes on when a place becomes free.
            if result != -libc::ENFILE {
                self.arm_accept()?;
            }
        }
        Ok(())
    }

    fn arm_receive(&mut self, connection: u32) -> io::Result<()> {
        let entry = receive(connection, !self.tuning.single_shot, self.tuning.poll_first);
        // SAFETY: the request names no memory but the buffer group, which outlives the ring.
        unsafe { self.queue.push(&entry) }
    }

    fn received(&mut self, connection: u32, result: i32, flags: u32) -> io::Result<()> {
        if let Some(buffer) = cqueue::buffer_select(flags) {
            let len = result.max(0).cast_unsigned();
            let bytes = self.buffers.take(buffer, len, cqueue::buffer_more(flags));
            self.reply(connection, bytes, len, buffer)?;
        }
        if cqueue::more(flags) {
            return Ok(());
        }
        match result {
            1.. => self.arm_receive(connection),
            result if result == -libc::ENOBUFS => {
                self.starved.push(connection);
                Ok(())
            }
            _ => {
                self.connections[connection as usize].over = true;
                self.settle(connection)
            }
        }
    }

    /// True while the end of a connection's last send is not known.
    fn is_sending(&self, connection: u32) -> bool {
        let send_turn = self.connections[connection as usize].send_turn;
        match self.tuning.sends {
            Sends::Silent => send_turn == self.turn,
            Sends::Counted | Sends::Reported => send_turn != 0,
        }
    }

    fn reply(&mut self, connection: u32, bytes: *const u8, len: u32, buffer: u16) -> io::Result<()> {
        let busy = self.is_sending(connection);
        let state = &mut self.connections[connection as usize];
        if len == 0 || state.broken {
            self.buffers.release(buffer);
            return Ok(());
        }
        if busy || state.backlogged {
            // Two sends at once could be reordered, so this waits for the one under way.
            if !state.backlogged {
                state.backlogged = true;
                self.unsettled.push(connection);
            }
            // SAFETY: the kernel has written `len` bytes there, and the buffer is not yet given back.
            let bytes = unsafe { std::slice::from_raw_parts(bytes, len as usize) };
            let backlog = self.backlogs.entry(connection).or_default();
            backlog.waiting.extend_from_slice(bytes);
            self.buffers.release(buffer);
            return Ok(());
        }
        state.send_turn = self.turn;
        let place = self.sending.len() as u32;
        self.sending.push(Send { connection, bytes, len, buffer });
        let silent = self.tuning.sends == Sends::Silent;
        let entry = send_now(connection, bytes, len, place, silent);
        // SAFETY: the buffer is given back after the turn in which the send is over.
        unsafe { self.queue.push(&entry) }
    }

    /// A send is over. What it left is put before anything that waits already.
    fn sent(&mut self, place: u32, result: i32) {
        let send = &self.sent[place as usize];
        let state = &mut self.connections[send.connection as usize];
        state.send_turn = 0;
        let taken = match result {
            0.. => result.cast_unsigned(),
            result if result == -libc::EAGAIN => 0,
            _ => {
                state.broken = true;
                return;
            }
        };
        if taken >= send.len {
            return;
        }
        // SAFETY: the buffer holds `len` bytes and is not yet given back.
        let bytes = unsafe { std::slice::from_raw_parts(send.bytes, send.len as usize) };
        let backlog = self.backlogs.entry(send.connection).or_default();
        backlog.waiting.splice(0..0, bytes[taken as usize..].iter().copied());
        state.backlogged = true;
        self.settling.push(send.connection);
    }

    fn flushed(&mut self, connection: u32, result: i32) -> io::Result<()> {
        let state = &mut self.connections[connection as usize];
        state.flushing = false;
        let Some(backlog) = self.backlogs.get_mut(&connection) else {
            return Ok(());
        };
        match usize::try_from(result) {
            Ok(taken) => {
                let rest = backlog.flushing.drain(taken.min(backlog.flushing.len())..);
                backlog.waiting.splice(0..0, rest);
                backlog.flushing.clear();
            }
            Err(_) => state.broken = true,
        }
        self.settle(connection)
    }

    /// Starts what had to wait for the last send of a connection: its backlog, or its end.
    fn settle(&mut self, connection: u32) -> io::Result<()> {
        if self.is_sending(connection) {
            self.unsettled.push(connection);
            return Ok(());
        }
        let state = &mut self.connections[connection as usize];
        if state.flushing {
            return Ok(());
        }
        if state.backlogged {
            let backlog = self.backlogs.entry(connection).or_default();
            if state.broken || backlog.waiting.is_empty() {
                self.backlogs.remove(&connection);
                state.backlogged = false;
            } else {
                mem::swap(&mut backlog.waiting, &mut backlog.flushing);
                state.flushing = true;
                // SAFETY: `flushing` is left alone until the flush completes.
                return unsafe { self.queue.push(&flush(connection, &backlog.flushing)) };
            }
        }
        if state.over {
            *state = Connection::default();
            // SAFETY: the request names no memory.
            unsafe { self.queue.push(&close(connection))? };
            if !self.accepting {
                self.arm_accept()?;
            }
        }
        Ok(())
    }

    /// Gives the buffers of the finished sends back and takes up what waited for them.
    fn end_turn(&mut self) -> io::Result<()> {
        let returned = self.sent.len();
        for send in self.sent.drain(..) {
            self.buffers.release(send.buffer);
        }
        self.buffers.publish();
        let mut settling = mem::take(&mut self.settling);
        for connection in settling.drain(..) {
            self.settle(connection)?;
        }
        self.settling = settling;
        for _ in 0..self.starved.len().min(returned.max(1)) {
            if let Some(connection) = self.starved.pop() {
                self.arm_receive(connection)?;
            }
        }
        Ok(())
    }
}
