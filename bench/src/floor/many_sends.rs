//! A bare loop of a million sends: as many io_uring threads as a million connections need, each of which sends one WebSocket
//! text to each of its members when a line comes on standard input. Only the handshake is Gannet's code.

use std::collections::HashMap;
use std::io::{self, BufRead, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::SystemTime;

use gannet::proto::http::{Event, Requests, RequestsState};
use gannet::proto::ws::{self, Handshake};
use gannet::proto::{Codec, Decoded};
use io_uring::cqueue;
use io_uring::opcode;
use io_uring::types::Fd;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::OwnedFd;

use super::uring::{Buffers, Kind, Queue, Tuning, accept, close, flush, receive, send_now, untag};
use crate::engine::MANY_REACTORS;
use crate::socket;
use crate::subject::Ready;

/// Bytes of a receive buffer: a handshake is shorter.
const BUFFER_BYTES: u32 = 1_024;

/// Bytes of a text, about as many as the frame of a publication of 100 bytes has.
const TEXT_BYTES: usize = 160;

/// The `user_data` of the read of the event that wakes a thread.
const WOKEN: u64 = u64::MAX;

/// Serves until the process is ended.
pub fn serve(port: u16, ready: Ready) -> io::Result<()> {
    let listeners: Vec<OwnedFd> = (0..MANY_REACTORS).map(|_| socket::listen_shared(port)).collect::<io::Result<_>>()?;
    let mut threads = Vec::new();
    for listener in listeners {
        let event = Arc::new(eventfd(0, EventfdFlags::CLOEXEC).map_err(io::Error::from)?);
        let (payloads, to_come) = mpsc::channel::<Arc<[u8]>>();
        let woken = event.clone();
        threads.push((payloads, event));
        std::thread::spawn(move || {
            if let Err(error) = Room::run(&listener, &woken, &to_come) {
                eprintln!("a thread of the floor has failed: {error}");
                std::process::exit(1);
            }
        });
    }
    ready.announce(port)?;
    for line in io::stdin().lock().lines() {
        line?;
        let payload: Arc<[u8]> = text().into();
        for (payloads, event) in &threads {
            payloads.send(payload.clone()).map_err(io::Error::other)?;
            rustix::io::write(&**event, &1_u64.to_ne_bytes()).map_err(io::Error::from)?;
        }
        println!("sent");
        io::stdout().flush()?;
    }
    Ok(())
}

/// A frame whose text begins with the time, ns since 1970 (UTC).
fn text() -> Vec<u8> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    let mut frame = Vec::new();
    ws::text(&mut frame, &format!("{now:<TEXT_BYTES$}"), None);
    frame
}

/// One thread's members.
struct Room<'ring> {
    queue: Queue<'ring>,
    buffers: Buffers,
    requests: Requests,
    /// Answers to handshakes, until they are sent.
    answers: HashMap<u32, Box<[u8]>>,
    /// Places in the table of direct descriptors.
    members: Vec<u32>,
    /// The message to all. The kernel may read it as long as the process lives.
    sent: Vec<Arc<[u8]>>,
}

impl Room<'_> {
    fn run(listener: &OwnedFd, event: &OwnedFd, to_come: &mpsc::Receiver<Arc<[u8]>>) -> io::Result<()> {
        let mut ring = Tuning::FLOOR.build()?;
        ring.submitter().register_files_sparse(socket::descriptor_limit()?)?;
        let mut buffers = Buffers::new(64, BUFFER_BYTES, 0, false)?;
        // SAFETY: the thread never returns but with an error that ends the process, so the buffers outlive the ring.
        unsafe { buffers.register(&ring.submitter())? };
        let (submitter, submissions, mut completions) = ring.split();
        let mut room = Room {
            queue: Queue::new(submitter, submissions),
            buffers,
            requests: Requests::default(),
            answers: HashMap::new(),
            members: Vec::new(),
            sent: Vec::new(),
        };
        let mut count = Box::new([0_u8; 8]);
        let wake = |count: &mut [u8; 8]| {
            opcode::Read::new(Fd(event.as_raw_fd()), count.as_mut_ptr(), 8).build().user_data(WOKEN)
        };
        // SAFETY: `count` lives as long as the loop does.
        unsafe { room.queue.push(&wake(&mut count))? };
        // SAFETY: the request names no memory.
        unsafe { room.queue.push(&accept(listener.as_raw_fd()))? };
        loop {
            room.queue.turn(1, 0)?;
            completions.sync();
            for completion in &mut completions {
                if completion.user_data() == WOKEN {
                    // SAFETY: `count` lives as long as the loop does.
                    unsafe { room.queue.push(&wake(&mut count))? };
                    for payload in to_come.try_iter() {
                        room.broadcast(payload)?;
                    }
                    continue;
                }
                let (kind, place) = untag(completion.user_data());
                let (result, flags) = (completion.result(), completion.flags());
                match kind {
                    Kind::Accept => {
                        if let Ok(place) = u32::try_from(result) {
                            // SAFETY: the request names no memory but the buffer group, which outlives the ring.
                            unsafe { room.queue.push(&receive(place, true, false))? };
                        }
                        if !cqueue::more(flags) {
                            // SAFETY: the request names no memory.
                            unsafe { room.queue.push(&accept(listener.as_raw_fd()))? };
                        }
                    }
                    Kind::Receive => room.received(place, result, flags)?,
                    // What does not go out at once here is a failure of the measurement: nobody is this slow.
                    Kind::Send if result < 0 => eprintln!("a send has failed: {result}"),
                    Kind::Flush => drop(room.answers.remove(&place)),
                    Kind::Send | Kind::Close => {}
                }
            }
        }
    }

    fn broadcast(&mut self, payload: Arc<[u8]>) -> io::Result<()> {
        for &place in &self.members {
            let entry = send_now(place, payload.as_ptr(), payload.len() as u32, place, true);
            // SAFETY: the payload is kept below for as long as the process lives.
            unsafe { self.queue.push(&entry)? };
        }
        self.sent.push(payload);
        Ok(())
    }

    fn received(&mut self, place: u32, result: i32, flags: u32) -> io::Result<()> {
        if let Some(buffer) = cqueue::buffer_select(flags) {
            let len = result.max(0).cast_unsigned();
            let start = self.buffers.take(buffer, len, false);
            // SAFETY: the kernel has filled so many bytes, and gives the buffer to nobody else until it is released.
            let mut bytes = unsafe { std::slice::from_raw_parts(start, len as usize) }.to_vec();
            self.buffers.release(buffer);
            self.buffers.publish();
            let mut answer = Vec::new();
            // What comes later, pongs for example, is no request.
            if let Ok(Decoded::Message { message: Event::Request(request), .. }) =
                self.requests.decode(&mut RequestsState::default(), &mut bytes)
                && let Ok(accepted) = Handshake::new().check("GET", (1, 1), request.headers())
            {
                accepted.write(&mut answer);
                let answer = self.answers.entry(place).insert_entry(answer.into_boxed_slice());
                let entry = flush(place, answer.get());
                // SAFETY: the answer is kept until its send has completed.
                unsafe { self.queue.push(&entry)? };
                self.members.push(place);
            }
        }
        if cqueue::more(flags) {
            return Ok(());
        }
        if result > 0 || result == -libc::ENOBUFS {
            // SAFETY: the request names no memory but the buffer group, which outlives the ring.
            return unsafe { self.queue.push(&receive(place, true, false)) };
        }
        // SAFETY: the request names no memory.
        unsafe { self.queue.push(&close(place)) }
    }
}
