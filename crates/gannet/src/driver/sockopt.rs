//! Socket options of Linux that no crate we use has.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Sets IP_BIND_ADDRESS_NO_PORT (ip(7)): a bind to port 0 leaves the choice of the port to connect.
pub(crate) fn set_bind_address_no_port(socket: &impl AsFd) -> io::Result<()> {
    set_flag(socket, libc::IPPROTO_IP, libc::IP_BIND_ADDRESS_NO_PORT)
}

/// Turns on an option that is on or off.
pub(super) fn set_flag(socket: &impl AsFd, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the descriptor is open for the length of the call, and the kernel reads the size of an int from `on`.
    let result = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
