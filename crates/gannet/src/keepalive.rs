//! TCP keepalive: how a peer is found to be gone that says nothing any more, not even that it ends.
//!
//! TCP_USER_TIMEOUT is left alone. It would bound the time for which sent bytes are not acknowledged, but it also ends
//! connections whose peers live and do not read (tcp(7)), and those are back-pressure: `Timeouts::slow_write` judges them.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use socket2::{SockRef, Socket, TcpKeepalive};

use crate::error::Error;

/// Silence after which the kernel asks a peer whether it is there, where nothing else was said: what Redis takes.
pub(crate) const DEFAULT: Option<Duration> = Some(Duration::from_secs(300));

/// The longest that Linux takes (MAX_TCP_KEEPIDLE).
const LONGEST_S: u64 = 32_767;

/// Questions without an answer that end a connection.
const PROBES: u32 = 3;

/// The time in whole seconds, as the kernel takes it.
///
/// # Errors
///
/// It is longer than the kernel can wait.
pub(crate) fn checked(after: Option<Duration>) -> Result<Option<Duration>, Error> {
    let Some(after) = after else { return Ok(None) };
    let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
    if !(1..=LONGEST_S).contains(&seconds) {
        let why = format!("TCP keepalive after {after:?}: it can be 1 s to {LONGEST_S} s, or off");
        return Err(Error::Setting(why));
    }
    Ok(Some(Duration::from_secs(seconds)))
}

/// Has the kernel watch a TCP socket, and each that is accepted from it. After a silence of `after` it asks three times,
/// a third of that time apart: a peer that is gone is noticed after twice the time.
pub(crate) fn set(socket: &Socket, after: Option<Duration>) -> io::Result<()> {
    let Some(after) = after else { return Ok(()) };
    let interval = Duration::from_secs((after.as_secs() / u64::from(PROBES)).max(1));
    let keepalive = TcpKeepalive::new().with_time(after).with_interval(interval).with_retries(PROBES);
    socket.set_tcp_keepalive(&keepalive)
}

/// Changes what [`set`] has set for a socket that listens: for each that is accepted from now on.
pub(crate) fn change(socket: BorrowedFd<'_>, after: Option<Duration>) -> io::Result<()> {
    let socket = SockRef::from(&socket);
    if after.is_none() {
        return socket.set_keepalive(false);
    }
    set(&socket, after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_whole_seconds_that_the_kernel_can_wait() {
        let of = |ms| checked(Some(Duration::from_millis(ms))).map_err(|error| error.to_string());
        assert_eq!(of(1), Ok(Some(Duration::from_secs(1))));
        assert_eq!(of(1_001), Ok(Some(Duration::from_secs(2))));
        assert_eq!(of(32_767_000), Ok(Some(Duration::from_secs(32_767))));
        for ms in [0, 32_767_001] {
            assert!(of(ms).is_err_and(|error| error.contains("1 s to 32767 s, or off")), "{ms}");
        }
        assert_eq!(checked(None).ok(), Some(None));
    }
}
