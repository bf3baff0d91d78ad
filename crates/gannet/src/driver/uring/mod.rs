//! The io_uring driver (Linux 6.1 and later).
//!
//! One ring, made and entered on the reactor's thread alone (SINGLE_ISSUER, DEFER_TASKRUN): completions are worked out
//! when the reactor waits, never in between. Connections are direct descriptors; each has one multishot receive that
//! draws from the buffer ring, and at most one send in flight. Closing cancels what is in flight, and the descriptor is
//! closed after its last completion; a generation in every request's name rejects what comes too late.

mod accept;
mod buffers;
mod closing;
mod completion;
mod entrance;
mod large;
mod limit;
mod name;
mod order;
mod receiving;
mod release;
mod rest;
mod ring_connection;
mod sending;
mod setup;

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use io_uring::types::{CancelBuilder, Fixed, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue, types};

use crate::buffer::Chunk;
use crate::driver::outbound::open_outbound;
use crate::listener::ListenSocket;
use crate::mailbox::Wake;
use crate::outbox::Outbox;
use crate::requests::duplicate;

use super::datagram::{BUFFER, Datagrams, Sender};
use super::{Destinations, Driver, Event, Sent};
use crate::ids::{ListenerId, Token};
use crate::route::Route;
use crate::table::Table;

use self::accept::Accepts;
use self::buffers::{Buffers, GROUP, Kind};
use self::closing::owned;
use self::entrance::Entrance;
use self::large::{HOT, Hot};
use self::name::{GENERATION_MASK, Op, read_user_data, user_data};
use self::order::Order;
use self::ring_connection::{Closing, Outward, RingConnection};
use self::sending::Gather;
pub(crate) use self::setup::probe;

/// Datagrams of one socket before others have their turn.
const DATAGRAM_BUDGET: u8 = 64;

/// Completions in a turn from which on the next wait is for a batch: under load, a wake-up that finds more to do costs
/// less for each message, and with few connections nobody waits for others.
const BUSY: usize = 8;

/// Completions that make a batch.
const BATCH: usize = 64;

/// How long a wait for a batch may take before a single completion ends it (min_wait, Linux 6.12).
const PATIENCE_US: u32 = 20;

/// The share of the table that operational listeners may have for themselves: one of so many.
const LARGEST_RESERVE: u32 = 8;

/// A timeout where there is none: nothing depends on it.
const FOR_EVER: Duration = Duration::from_secs(3_600);

/// How long dropping a driver waits for the kernel to let go of its buffers.
const DROP_PATIENCE_MS: u32 = 5_000;

struct Bell(OwnedFd);

impl Wake for Bell {
    fn wake(&self) {
        if let Err(error) = rustix::io::write(&self.0, &1u64.to_ne_bytes()) {
            tracing::error!(%error, "a reactor could not be woken");
        }
    }
}

/// See the module.
pub(crate) struct UringDriver {
    // The ring comes first: it goes before the memory that its requests name.
    ring: IoUring,
    entrance: Entrance,
    buffers: mem::ManuallyDrop<Buffers>,
    hot: Hot,
    bell: Arc<Bell>,
    /// Where the read of the bell goes.
    rung: Box<u64>,
    began: Instant,
    entries: Table<RingConnection>,
    listeners: Vec<Option<Accepts>>,
    /// Listeners with an accept that completed; armed again with the next wait, when the reactor had its say.
    rearm: Vec<ListenerId>,
    datagrams: Datagrams,
    /// Datagram sockets that may have more.
    ready_datagrams: VecDeque<(ListenerId, u8)>,
    /// Whether this kernel can wait for a batch.
    can_batch: bool,
    /// Whether this kernel bounds what a receive brings.
    can_limit: bool,
    /// Whether this kernel tells of every stream whether a receive has left something.
    tells_rest: bool,
    /// Completions of the last wait.
    last_batch: usize,
    table: u32,
    free_slots: Vec<u32>,
    /// Slots from here on were never used.
    fresh_slot: u32,
    /// Slots that only operational listeners may take.
    reserved: u32,
    /// What the last wait found.
    batch: VecDeque<(u64, i32, u32)>,
    done: VecDeque<Event<u32>>,
    /// Connections whose receive is armed with the next wait, when all buffers have come back.
    to_arm: Order,
    /// Those of one wait; empty in between.
    arming: Vec<Token>,
    starved_count: u64,
    /// Descriptions of requests that were not submitted yet. Boxed on purpose: the kernel has their addresses.
    #[allow(clippy::vec_box)]
    gathers: Vec<Box<Gather>>,
    #[allow(clippy::vec_box)]
    addresses: Vec<Box<socket2::SockAddr>>,
    /// Requests that name memory, or bring a descriptor, and did not complete.
    outstanding: usize,
    /// Whether this kernel gives a direct descriptor a number in the process.
    can_install: bool,
    /// Direct descriptors that are to get one.
    installing: u32,
    /// How many may be at a time.
    most_installed: u32,
    /// Whether this kernel lets go of the socket of a direct descriptor that is closed.
    releases_closed: bool,
    /// The last wait may have left something.
    is_behind: bool,
}

impl UringDriver {
    /// A driver on this thread, of an engine with so many reactors.
    pub(crate) fn new(reactors: usize) -> io::Result<Self> {
        Self::with_buffers(reactors, &[Kind::Shared, Kind::Whole])
    }

    /// A driver as on Linux 6.1: several receives share no buffer, none tells what it left, workers of the kernel shut
    /// connections down, and the sockets of closed descriptors may stay.
    #[cfg(test)]
    pub(crate) fn of_older_kernel() -> io::Result<Self> {
        let mut driver = Self::with_buffers(1, &[Kind::Whole])?;
        (driver.tells_rest, driver.can_install, driver.releases_closed) = (false, false, false);
        Ok(driver)
    }

    /// A driver as on Linux 6.8 to 6.12: the sockets of closed descriptors may stay, and the driver itself shuts connections
    /// down.
    #[cfg(test)]
    pub(crate) fn of_kernel_that_keeps_closed_sockets() -> io::Result<Self> {
        let mut driver = Self::new(1)?;
        driver.releases_closed = false;
        Ok(driver)
    }

    fn with_buffers(reactors: usize, kinds: &[Kind]) -> io::Result<Self> {
        let mut ring = setup::ring()?;
        let table = setup::slots(reactors);
        ring.submitter().register_files_sparse(table)?;
        let mut buffers = Buffers::new(&ring.submitter(), kinds)?;
        // Without it, one connection's share of a turn is kept by holding what comes over it.
        let can_limit = limit::is_heeded(&mut ring, &mut buffers).unwrap_or(false);
        // Without it, a receive that was filled is followed by one that may find nothing.
        let tells_rest = rest::is_told(&mut ring).unwrap_or(false);
        // Without it, workers of the kernel shut connections down.
        let can_install = closing::can_install(&ring).unwrap_or(false);
        // Without it, a stream ends by a request of its own before its descriptor is closed.
        let releases_closed = release::is_prompt(&mut ring).unwrap_or(false);
        let bell = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC)?;
        let entrance = Entrance::new(&ring);
        let mut driver = Self {
            ring,
            entrance,
            buffers: mem::ManuallyDrop::new(buffers),
            hot: Hot::new(),
            bell: Arc::new(Bell(bell)),
            rung: Box::new(0),
            #[allow(clippy::disallowed_methods)] // A driver is where time comes from.
            began: Instant::now(),
            entries: Table::default(),
            listeners: Vec::new(),
            rearm: Vec::new(),
            datagrams: Datagrams::new(),
            ready_datagrams: VecDeque::new(),
            can_batch: false,
            can_limit,
            tells_rest,
            last_batch: 0,
            table,
            free_slots: Vec::new(),
            fresh_slot: 0,
            reserved: 0,
            batch: VecDeque::new(),
            done: VecDeque::new(),
            to_arm: Order::default(),
            arming: Vec::new(),
            starved_count: 0,
            gathers: Vec::new(),
            addresses: Vec::new(),
            outstanding: 0,
            can_install,
            installing: 0,
            most_installed: closing::most_installed(reactors),
            releases_closed,
            is_behind: false,
        };
        driver.can_batch = driver.ring.params().is_feature_min_timeout();
        driver.listen_to_bell();
        Ok(driver)
    }

    /// Puts a request into the submission queue.
    #[inline]
    fn push(&mut self, request: &squeue::Entry) {
        loop {
            // SAFETY: what a request names lives until it completed: outboxes until `Event::Closed`, the buffer ring
            // and accept places as long as the driver, descriptions until after the next submission (SUBMIT_STABLE).
            if unsafe { self.ring.submission().push(request) }.is_ok() {
                return;
            }
            self.submit();
        }
    }

    /// Takes what has completed.
    fn collect(&mut self) {
        let completions = self.ring.completion();
        self.batch
            .extend(completions.map(|completion| (completion.user_data(), completion.result(), completion.flags())));
    }

    fn listen_to_bell(&mut self) {
        let request = opcode::Read::new(types::Fd(self.bell.0.as_raw_fd()), (&raw mut *self.rung).cast(), 8)
            .build()
            .user_data(user_data(Op::Wake, 0, 0));
        self.outstanding += 1;
        self.push(&request);
    }

    fn take_slot(&mut self, operational: bool) -> Option<u32> {
        if !self.has_room(operational) {
            return None;
        }
        self.free_slots.pop().or_else(|| {
            let fresh = self.fresh_slot;
            (fresh < self.table).then(|| {
                self.fresh_slot += 1;
                fresh
            })
        })
    }

    /// Arms every idle accept of a listener. Where it retires, they are cancelled in the same breath: each takes what waits,
    /// and those that find nothing are over at once.
    fn arm_accepts(&mut self, listener: ListenerId) {
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
    fn cancel_accepts(&mut self, listener: ListenerId) {
        let Some(accepts) = self.accepts(usize::from(listener)) else { return };
        let armed: Vec<usize> = accepts.armed().collect();
        for place in armed {
            let request = opcode::AsyncCancel::new(Accepts::name(listener, place)).build();
            self.push(&request.user_data(user_data(Op::Nothing, 0, 0)));
        }
    }

    /// Closes a listener that retires, where it has accepted all that it will.
    fn end_if_over(&mut self, listener: ListenerId) {
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

    fn accepts(&mut self, index: usize) -> Option<&mut Accepts> {
        self.listeners.get_mut(index).and_then(Option::as_mut)
    }

    fn arm_watch(&mut self, token: Token) {
        let Some(entry) = self.entries.get_mut(token) else { return };
        if entry.watching || entry.closing != Closing::No {
            return;
        }
        entry.watching = true;
        entry.pending += 1;
        let name = user_data(Op::Watch, token, entry.generation);
        // One that stays: the end of the peer's stream, which is there already, ends one that does not.
        let request = opcode::PollAdd::new(Fixed(entry.slot), 0).multi(true).build().user_data(name);
        self.push(&request);
    }

    fn arm_datagram(&mut self, listener: ListenerId) {
        let Some(socket) = self.datagrams.fd(listener) else { return };
        let request = opcode::PollAdd::new(types::Fd(socket), libc::POLLIN as u32)
            .multi(true)
            .build()
            .user_data(user_data(Op::Datagram, u32::from(listener), 0));
        self.push(&request);
    }

    fn open_entry(&mut self, token: Token, slot: u32) {
        let generation =
            self.entries.get_mut(token).map_or(0, |entry| entry.generation).wrapping_add(1) & GENERATION_MASK;
        self.entries.set(token, RingConnection { slot, generation, ..RingConnection::default() });
    }

    /// Puts a socket from elsewhere into the table of direct descriptors.
    fn install(&mut self, socket: &OwnedFd, operational: bool) -> io::Result<u32> {
        // A request on a socket that does not block gives up at once where it should wait.
        rustix::io::ioctl_fionbio(socket, false)?;
        let slot = self.take_slot(operational).ok_or_else(|| io::Error::from_raw_os_error(libc::ENFILE))?;
        match self.ring.submitter().register_files_update(slot, &[socket.as_raw_fd()]) {
            Ok(_) => Ok(slot),
            Err(error) => {
                self.free_slots.push(slot);
                Err(error)
            }
        }
    }
}

impl Driver for UringDriver {
    /// A direct descriptor.
    type Incoming = u32;

    // The kernel works out so many for whoever waits for one, and leaves the others for the next time.
    const FOUND_AT_ONCE: u32 = 20;

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.bell.clone()
    }

    fn listen(&mut self, listener: ListenerId, socket: ListenSocket) -> io::Result<()> {
        let index = usize::from(listener);
        if self.listeners.len() <= index {
            self.listeners.resize_with(index + 1, || None);
        }
        rustix::io::ioctl_fionbio(&socket, false)?;
        self.listeners[index] = Some(Accepts::new(socket, self.table));
        Ok(())
    }

    fn accept(&mut self, listener: ListenerId, on: bool) {
        if let Some(accepts) = self.accepts(usize::from(listener)) {
            accepts.on = on;
        }
        self.arm_accepts(listener);
    }

    fn reserve(&mut self, descriptors: u32, listeners: &[ListenerId]) {
        self.reserved = descriptors.min(self.table / LARGEST_RESERVE);
        for listener in listeners {
            if let Some(accepts) = self.accepts(usize::from(*listener)) {
                accepts.operational = true;
            }
        }
    }

    fn has_room(&self, operational: bool) -> bool {
        let free = self.free_slots.len() as u32 + (self.table - self.fresh_slot);
        free > if operational { 0 } else { self.reserved }
    }

    fn unlisten(&mut self, listener: ListenerId) {
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

    fn suspend(&mut self, listener: ListenerId) {
        // Ends accepts in flight too.
        let refuses = match self.accepts(usize::from(listener)) {
            Some(accepts) => !accepts.is_shared && accepts.socket.as_ref().is_none_or(ListenSocket::suspend),
            None => return,
        };
        self.accept(listener, !refuses);
    }

    fn resume(&mut self, listener: ListenerId, on: bool) -> io::Result<()> {
        if let Some(socket) = self.accepts(usize::from(listener)).and_then(|accepts| accepts.socket.as_ref()) {
            socket.resume()?;
        }
        self.accept(listener, on);
        Ok(())
    }

    fn share(&mut self, listener: ListenerId) {
        if let Some(accepts) = self.accepts(usize::from(listener)) {
            accepts.is_shared = true;
        }
    }

    fn duplicate(&self, listener: ListenerId) -> io::Result<Option<OwnedFd>> {
        let listening = self.listening_socket(listener);
        let socket = listening.or_else(|| self.datagrams.socket(listener).map(UdpSocket::as_fd));
        socket.map(duplicate).transpose()
    }

    fn withdraw(&mut self, listener: ListenerId) {
        if let Some(accepts) = self.accepts(usize::from(listener)) {
            (accepts.on, accepts.is_shared) = (false, true);
        }
        self.cancel_accepts(listener);
    }

    fn is_withdrawn(&self, listener: ListenerId) -> bool {
        let accepts = self.listeners.get(usize::from(listener)).and_then(Option::as_ref);
        accepts.is_none_or(|accepts| !accepts.is_armed())
    }

    fn restore(&mut self, listener: ListenerId, on: bool) -> io::Result<()> {
        if let Some(socket) = self.accepts(usize::from(listener)).and_then(|accepts| accepts.socket.as_ref()) {
            // The other process may have had it not block.
            rustix::io::ioctl_fionbio(socket, false)?;
        }
        self.accept(listener, on);
        Ok(())
    }

    fn release(&mut self, listener: ListenerId) {
        if self.is_withdrawn(listener)
            && let Some(accepts) = self.listeners.get_mut(usize::from(listener))
        {
            *accepts = None;
        }
        self.unbind(listener);
    }

    fn retire(&mut self, listener: ListenerId) -> bool {
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

    fn hand_on(&mut self, from: ListenerId, to: ListenerId) -> bool {
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

    fn listening_socket(&self, listener: ListenerId) -> Option<BorrowedFd<'_>> {
        Some(self.listeners.get(usize::from(listener))?.as_ref()?.socket.as_ref()?.as_fd())
    }

    fn unbind(&mut self, listener: ListenerId) {
        // The poll that watches it ends when its descriptor does.
        if let Some(socket) = self.datagrams.remove(listener) {
            let name = user_data(Op::Datagram, u32::from(listener), 0);
            self.push(&opcode::AsyncCancel::new(name).build().user_data(user_data(Op::Nothing, 0, 0)));
            drop(socket);
        }
    }

    fn bind(&mut self, listener: ListenerId, socket: UdpSocket) -> io::Result<()> {
        self.datagrams.add(listener, socket)?;
        self.arm_datagram(listener);
        Ok(())
    }

    fn send_datagram(&mut self, listener: ListenerId, to: Sender, payload: &[u8]) -> io::Result<()> {
        self.datagrams.send(listener, to, payload)
    }

    fn attach(&mut self, token: Token, slot: u32) -> io::Result<()> {
        self.open_entry(token, slot);
        Ok(())
    }

    fn refuse(&mut self, slot: u32, farewell: &'static [u8]) {
        self.close_refused(slot, farewell);
    }

    fn adopt(&mut self, token: Token, socket: OwnedFd) -> io::Result<()> {
        // Whether there is room was asked before.
        let slot = self.install(&socket, true)?;
        self.open_entry(token, slot);
        Ok(())
    }

    fn connect(&mut self, token: Token, route: &Route) -> io::Result<()> {
        let (socket, to) = open_outbound(route)?;
        let slot = self.install(&socket.into(), false)?;
        self.open_entry(token, slot);
        let to = Box::new(to);
        let Some(entry) = self.entries.get_mut(token) else { return Ok(()) };
        entry.pending += 1;
        entry.outward = Outward::Connects;
        let request = opcode::Connect::new(Fixed(slot), to.as_ptr().cast(), to.len()).build().user_data(user_data(
            Op::Connect,
            token,
            entry.generation,
        ));
        self.addresses.push(to);
        self.outstanding += 1;
        self.push(&request);
        Ok(())
    }

    fn receive(&mut self, token: Token, on: bool) {
        self.set_receiving(token, on);
    }

    fn watch(&mut self, token: Token) {
        self.arm_watch(token);
    }

    #[inline]
    fn send(&mut self, token: Token, outbox: &Outbox) -> Sent {
        self.send_later(token, outbox)
    }

    fn send_at_once(&mut self, token: Token, outbox: &Outbox) -> Sent {
        self.send_now(token, outbox)
    }

    #[inline]
    fn lends(&self, chunk: &Chunk) -> bool {
        chunk.buffer() == HOT
    }

    fn lends_to_others(&self, _: &Chunk) -> bool {
        true
    }

    fn shutdown(&mut self, token: Token) {
        self.begin_shutdown(token);
    }

    fn close(&mut self, token: Token, reset: bool) {
        self.begin_closing(token, reset);
    }

    #[inline]
    fn recycle(&mut self, chunk: Chunk) {
        match chunk.buffer() {
            BUFFER => self.datagrams.recycle(),
            HOT => self.hot.recycle(),
            buffer => self.buffers.put(buffer),
        }
    }

    fn submit(&mut self) {
        while let Err(error) = self.entrance.enter(&mut self.ring, 0, None) {
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                // The completion queue is full: take what is there, so that it is not.
                Some(libc::EBUSY | libc::EAGAIN) => self.collect(),
                _ => panic!("io_uring refuses submissions: {error}"),
            }
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        self.buffers.publish();
        let mut arming = mem::take(&mut self.arming);
        self.to_arm.take(&mut arming);
        for token in arming.drain(..) {
            self.arm_receive(token);
        }
        self.arming = arming;
        for listener in mem::take(&mut self.rearm) {
            self.arm_accepts(listener);
        }
        self.hot.turn();
        let busy = !self.batch.is_empty() || !self.done.is_empty() || !self.ready_datagrams.is_empty();
        let busy = busy || self.hot.is_ready();
        let submitted = match timeout {
            _ if busy => self.entrance.enter_without_waiting(&mut self.ring),
            Some(Duration::ZERO) => self.entrance.enter_without_waiting(&mut self.ring),
            _ if self.can_batch && self.last_batch >= BUSY => {
                let timespec = Timespec::from(timeout.unwrap_or(FOR_EVER));
                let args = SubmitArgs::new().min_wait_usec(PATIENCE_US).timespec(&timespec);
                self.entrance.enter(&mut self.ring, BATCH, Some(&args))
            }
            None => self.entrance.enter(&mut self.ring, 1, None),
            Some(timeout) => {
                let timespec = Timespec::from(timeout);
                self.entrance.enter(&mut self.ring, 1, Some(&SubmitArgs::new().timespec(&timespec)))
            }
        };
        match submitted.map_err(|error| error.raw_os_error().unwrap_or(0)) {
            Ok(()) | Err(libc::ETIME) => {
                let submission = self.ring.submission();
                self.is_behind = submission.taskrun() || submission.cq_overflow();
            }
            Err(libc::EINTR | libc::EBUSY | libc::EAGAIN) => self.is_behind = true,
            Err(code) => return Err(io::Error::from_raw_os_error(code)),
        }
        if self.ring.submission().is_empty() {
            self.gathers.clear();
            self.addresses.clear();
        }
        self.collect();
        self.last_batch = self.batch.len();
        Ok(())
    }

    fn next(&mut self, destinations: &mut impl Destinations) -> Option<Event<u32>> {
        loop {
            if let Some(event) = self.done.pop_front() {
                return Some(event);
            }
            let event = if self.hot.is_reading() {
                self.read_on(destinations)
            } else if let Some((name, result, flags)) = self.batch.pop_front() {
                self.complete(name, result, flags)
            } else if self.hot.take_up() {
                None
            } else {
                break;
            };
            if event.is_some() {
                return event;
            }
        }
        loop {
            // In turn, a datagram each, until none has more or has had its share of this turn.
            let (listener, visits) = self.ready_datagrams.pop_front()?;
            if visits == DATAGRAM_BUDGET {
                self.ready_datagrams.push_front((listener, 0));
                return None;
            }
            if let Some(event) = self.datagrams.receive(listener) {
                self.ready_datagrams.push_back((listener, visits + 1));
                return Some(event);
            }
        }
    }

    fn show_received(&self, each: &mut dyn FnMut(Token, &[u8])) {
        let mut ahead = self.buffers.ahead();
        for &(name, result, flags) in &self.batch {
            let (op, whom, generation) = read_user_data(name);
            if op == Op::Receive
                && result > 0
                && let Some(buffer) = cqueue::buffer_select(flags)
            {
                let received = ahead.next(buffer, result as u32);
                if self.entries.get(whom).is_some_and(|entry| entry.generation == generation) {
                    each(whom, received);
                }
            }
        }
    }

    fn receives_more(&self, token: Token) -> bool {
        self.done.is_empty()
            && self.batch.front().is_some_and(|&(name, _, flags)| {
                let (op, whom, generation) = read_user_data(name);
                let is_known = || self.entries.get(token).is_some_and(|entry| entry.generation == generation);
                // The completion of a poll only says that there may be some.
                op == Op::Receive && whom == token && cqueue::buffer_select(flags).is_some() && is_known()
            })
    }

    fn is_behind(&self) -> bool {
        self.is_behind || self.to_arm.ran_out()
    }

    fn has_unread(&mut self, token: Token) -> bool {
        self.entries.get_mut(token).is_some_and(|entry| entry.receiving && (!entry.armed || entry.large.is_readable()))
    }

    fn waits_for_buffer(&self, token: Token) -> bool {
        self.to_arm.is_starved(token)
    }

    fn starved(&self) -> u64 {
        self.starved_count
    }

    #[cfg(test)]
    fn buffers_out(&self) -> usize {
        self.buffers.out() + usize::from(self.hot.is_out())
    }
}

impl Drop for UringDriver {
    /// Takes back what the kernel may still write to or read from, before its memory goes: a ring's own end is not
    /// waited for by the close of its descriptor.
    fn drop(&mut self) {
        let request = opcode::AsyncCancel2::new(CancelBuilder::any().all()).build();
        let began = self.now();
        while self.outstanding > 0 {
            self.push(&request.clone().user_data(user_data(Op::Nothing, 0, 0)));
            let timespec = Timespec::from(Duration::from_millis(10));
            let _ = self.entrance.enter(&mut self.ring, 1, Some(&SubmitArgs::new().timespec(&timespec)));
            self.collect();
            while let Some((name, result, flags)) = self.batch.pop_front() {
                let (op, ..) = read_user_data(name);
                if op == Op::Install {
                    drop(owned(result));
                }
                if !cqueue::more(flags) && op.is_outstanding() {
                    self.outstanding -= 1;
                }
            }
            if self.now().saturating_sub(began) > Duration::from_millis(u64::from(DROP_PATIENCE_MS)) {
                tracing::error!("io_uring does not let go of its buffers; they are left to it");
                self.entrance.close();
                return;
            }
        }
        self.entrance.close();
        let _ = self.ring.submitter().unregister_buf_ring(GROUP);
        // SAFETY: the kernel knows the buffers no more, they are dropped once, and not used afterwards.
        unsafe { mem::ManuallyDrop::drop(&mut self.buffers) };
    }
}

#[cfg(test)]
mod tests;
