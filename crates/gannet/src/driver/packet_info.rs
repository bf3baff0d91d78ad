//! Datagrams on every address of the machine: which address each was sent to, and replies that leave from there (IP_PKTINFO,
//! ip(7); IPV6_PKTINFO, RFC 3542 §6). Without it the kernel would choose the address of the route back, and a connected
//! client drops what comes from an address it did not ask.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;

use socket2::SockAddr;

use super::datagram::{Reached, Sender};
use super::sockopt::set_flag;

/// Room for one message of either kind, aligned as the kernel writes them.
#[repr(C, align(8))]
struct Control([u8; 64]);

/// Has the kernel say with each datagram which address it was sent to.
pub(super) fn enable(socket: &UdpSocket) -> io::Result<()> {
    if socket.local_addr()?.is_ipv4() {
        set_flag(socket, libc::IPPROTO_IP, libc::IP_PKTINFO)
    } else {
        set_flag(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)
    }
}

/// Receives one datagram.
pub(super) fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<(usize, Sender)> {
    // SAFETY: both are plain data of the kernel's interface, of which zeros are a value.
    let (mut address, mut header): (libc::sockaddr_storage, libc::msghdr) = unsafe { (mem::zeroed(), mem::zeroed()) };
    let mut slice = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = Control([0; 64]);
    header.msg_name = (&raw mut address).cast();
    header.msg_namelen = size_of_val(&address) as libc::socklen_t;
    (header.msg_iov, header.msg_iovlen) = (&raw mut slice, 1);
    (header.msg_control, header.msg_controllen) = (control.0.as_mut_ptr().cast(), control.0.len() as _);
    // SAFETY: all that the header names lives until the call has returned, and has the lengths that it says.
    let count = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, 0) };
    if count < 0 {
        return Err(io::Error::last_os_error());
    }
    let address = sender_address(&address).ok_or(io::ErrorKind::InvalidData)?;
    Ok((count as usize, Sender { address, reached: reached(&header) }))
}

fn sender_address(address: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(address.ss_family) {
        libc::AF_INET => {
            // SAFETY: the family says what it is, and a sockaddr_storage is large and aligned enough for all.
            let address = unsafe { &*std::ptr::from_ref(address).cast::<libc::sockaddr_in>() };
            let ip = Ipv4Addr::from(u32::from_be(address.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(address.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let address = unsafe { &*std::ptr::from_ref(address).cast::<libc::sockaddr_in6>() };
            let (ip, port) = (Ipv6Addr::from(address.sin6_addr.s6_addr), u16::from_be(address.sin6_port));
            Some(SocketAddrV6::new(ip, port, address.sin6_flowinfo, address.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// The address of this machine that a datagram was sent to, where a reply can leave from it.
fn reached(header: &libc::msghdr) -> Option<Reached> {
    // SAFETY: the kernel has filled in the header, and its control data is still there.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !message.is_null() {
        // SAFETY: it is not null, so it names a message within the control data.
        let (level, kind, data) =
            unsafe { ((*message).cmsg_level, (*message).cmsg_type, libc::CMSG_DATA(message).cast_const()) };
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                // SAFETY: a message of this kind holds this, not aligned.
                let info = unsafe { data.cast::<libc::in_pktinfo>().read_unaligned() };
                // Of a datagram to many, this is the address of the interface it came by.
                let ip = Ipv4Addr::from(u32::from_be(info.ipi_spec_dst.s_addr));
                return (!ip.is_unspecified()).then_some(Reached { ip: ip.into(), interface: 0 });
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                // SAFETY: a message of this kind holds this, not aligned.
                let info = unsafe { data.cast::<libc::in6_pktinfo>().read_unaligned() };
                let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
                let interface = if ip.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
                // Nothing can leave from an address of many.
                return (!ip.is_multicast()).then_some(Reached { ip: ip.into(), interface });
            }
            _ => {}
        }
        // SAFETY: header and message are those from above.
        message = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    None
}

/// Sends one datagram from the address that its receiver has asked.
pub(super) fn send(socket: &UdpSocket, to: Sender, reached: Reached, payload: &[u8]) -> io::Result<()> {
    let address = SockAddr::from(to.address);
    let mut slice = libc::iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() };
    let mut control = Control([0; 64]);
    // SAFETY: plain data of the kernel's interface, of which zeros are a value.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_name = address.as_ptr().cast_mut().cast();
    header.msg_namelen = address.len();
    (header.msg_iov, header.msg_iovlen) = (&raw mut slice, 1);
    (header.msg_control, header.msg_controllen) = (control.0.as_mut_ptr().cast(), control.0.len() as _);
    match reached.ip {
        IpAddr::V4(ip) => {
            let from = libc::in_addr { s_addr: u32::from(ip).to_be() };
            // The route decides by which interface it leaves.
            let any = libc::in_addr { s_addr: 0 };
            let info = libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: from, ipi_addr: any };
            put(&mut header, libc::IPPROTO_IP, libc::IP_PKTINFO, info);
        }
        IpAddr::V6(ip) => {
            let from = libc::in6_addr { s6_addr: ip.octets() };
            let info = libc::in6_pktinfo { ipi6_addr: from, ipi6_ifindex: reached.interface as _ };
            put(&mut header, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
        }
    }
    // SAFETY: all that the header names lives until the call has returned, has the lengths that it says, and is only read.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes a message the only one in the control data of a header, which has room for it.
fn put<T>(header: &mut libc::msghdr, level: libc::c_int, kind: libc::c_int, info: T) {
    let length = size_of::<T>() as libc::c_uint;
    // SAFETY: it only computes.
    let space = unsafe { libc::CMSG_SPACE(length) } as usize;
    debug_assert!(space <= size_of::<Control>(), "there is room for either kind");
    header.msg_controllen = space as _;
    // SAFETY: the control data has room for a message of this length, is aligned for its head, and nobody else has it; the
    // data behind the head is written without regard to alignment.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header);
        ((*message).cmsg_level, (*message).cmsg_type) = (level, kind);
        (*message).cmsg_len = libc::CMSG_LEN(length) as _;
        libc::CMSG_DATA(message).cast::<T>().write_unaligned(info);
    }
}
