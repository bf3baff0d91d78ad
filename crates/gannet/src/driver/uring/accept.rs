//! Accepting into direct descriptors: several single-shot accepts in flight for each listener, each with a place of
//! its own for the peer's address. A direct descriptor has no getpeername, and multishot shares one address buffer.

use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use io_uring::{opcode, squeue, types};

use crate::address::Peer;
use crate::ids::ListenerId;
use crate::listener::ListenSocket;

use super::name::{Op, user_data};

/// Accepts in flight for each listener, where there are descriptors for them.
const DEPTH: u32 = 16;

/// Where one accept writes its peer's address. Its memory stays in place while the accept is in flight.
struct Place {
    address: Box<(MaybeUninit<libc::sockaddr_storage>, libc::socklen_t)>,
    /// The direct descriptor it accepts into; `None` where no accept is in flight.
    slot: Option<u32>,
}

/// A listener and its accepts.
pub(super) struct Accepts {
    /// None where it went to another listener.
    pub(super) socket: Option<ListenSocket>,
    is_unix: bool,
    pub(super) on: bool,
    /// The socket comes from this listener, whose accepts are not over yet. A connection wakes one accept only: if that one
    /// is being cancelled, the others do not learn of it. So they begin when those are over.
    pub(super) after: Option<ListenerId>,
    /// Another process may have the socket too.
    pub(super) is_shared: bool,
    /// It closes when nothing waits any more.
    pub(super) retires: bool,
    /// It retires, and the accepts that waited are over: those in flight were submitted together with their cancellation.
    pub(super) probes: bool,
    /// It retires, and nothing waits.
    pub(super) is_empty: bool,
    /// Whether it may take what is reserved.
    pub(super) operational: bool,
    places: Vec<Place>,
}

impl Accepts {
    /// With as many accepts as suit a table of so many direct descriptors.
    pub(super) fn new(socket: ListenSocket, table: u32) -> Self {
        let place = || Place { address: Box::new((MaybeUninit::zeroed(), 0)), slot: None };
        let places = (0..(table / 64).clamp(1, DEPTH)).map(|_| place()).collect();
        let is_unix = matches!(socket, ListenSocket::Unix(_));
        Self {
            socket: Some(socket),
            is_unix,
            on: false,
            after: None,
            is_shared: false,
            retires: false,
            probes: false,
            is_empty: false,
            operational: false,
            places,
        }
    }

    /// A place without an accept.
    pub(super) fn idle(&self) -> Option<usize> {
        self.places.iter().position(|place| place.slot.is_none())
    }

    /// Whether connections come from this machine by a path.
    pub(super) fn is_unix(&self) -> bool {
        self.is_unix
    }

    /// Whether more accepts are wanted.
    pub(super) fn wants(&self) -> bool {
        self.on
            && self.socket.is_some()
            && self.after.is_none()
            && !self.is_empty
            && (!self.retires || !self.is_armed())
    }

    /// Whether it has accepted all that it will.
    pub(super) fn is_over(&self) -> bool {
        self.retires && (self.is_empty || self.socket.is_none()) && !self.is_armed()
    }

    /// Whether any accept is in flight.
    pub(super) fn is_armed(&self) -> bool {
        self.places.iter().any(|place| place.slot.is_some())
    }

    /// The accept for an idle place, into a direct descriptor.
    pub(super) fn arm(&mut self, listener: u16, index: usize, slot: u32) -> Option<squeue::Entry> {
        let socket = self.socket.as_ref()?.as_fd().as_raw_fd();
        let place = &mut self.places[index];
        place.slot = Some(slot);
        place.address.1 = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        let (address, length) = (place.address.0.as_mut_ptr().cast(), &raw mut place.address.1);
        let destination = types::DestinationSlot::try_from_slot_target(slot).ok();
        let request = opcode::Accept::new(types::Fd(socket), address, length).file_index(destination).build();
        Some(request.user_data(Self::name(listener, index)))
    }

    /// What the completions of a place's accept carry.
    pub(super) fn name(listener: u16, index: usize) -> u64 {
        user_data(Op::Accept, u32::from(listener), index as u32)
    }

    /// The places whose accepts are in flight.
    pub(super) fn armed(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.places.len()).filter(|index| self.places[*index].slot.is_some())
    }

    /// The accept of a place is over: the descriptor it was for, and the peer where it was a success.
    pub(super) fn completed(&mut self, index: usize) -> Option<(u32, Peer)> {
        let place = self.places.get_mut(index)?;
        Some((place.slot.take()?, peer(&place.address.0, place.address.1)))
    }
}

/// Reads the address that the kernel has written.
fn peer(storage: &MaybeUninit<libc::sockaddr_storage>, length: libc::socklen_t) -> Peer {
    // SAFETY: the storage was zeroed at first and the kernel wrote whole addresses since; any bytes are a valid
    // sockaddr_storage.
    let storage = unsafe { storage.assume_init_ref() };
    let length = length as usize;
    match i32::from(storage.ss_family) {
        libc::AF_INET if length >= size_of::<libc::sockaddr_in>() => {
            // SAFETY: the family says what it is, and a sockaddr_storage is large and aligned enough for all.
            let address = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            std::net::SocketAddr::from(SocketAddrV4::new(ip, u16::from_be(address.sin_port))).into()
        }
        libc::AF_INET6 if length >= size_of::<libc::sockaddr_in6>() => {
            // SAFETY: as above.
            let address = unsafe { &*std::ptr::from_ref(storage).cast::<libc::sockaddr_in6>() };
            let ip = Ipv6Addr::from(address.sin6_addr.s6_addr);
            let port = u16::from_be(address.sin6_port);
            std::net::SocketAddr::from(SocketAddrV6::new(ip, port, 0, address.sin6_scope_id)).into()
        }
        _ => Peer::UNIX,
    }
}
