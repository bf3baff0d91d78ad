//! What the service manager is told (sd_notify(3)).

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a service manager that reads nothing holds up what it is told. It reads within milliseconds; while it starts
/// anew, its queue may be full for a moment.
const LONGEST_SEND: Duration = Duration::from_secs(2);

/// How many signals may interrupt what it is told: a state that is lost may end the process.
const MOST_SIGNALS: usize = 10;

/// Whether it was waited for in vain: then the next states are not waited for, so that the end of the server comes in time.
static READS_NOTHING: AtomicBool = AtomicBool::new(false);

/// Sends a state to the service manager, where there is one. What it is not told changes nothing for clients.
pub(crate) fn notify(state: &str) {
    let Some(to) = std::env::var_os("NOTIFY_SOCKET").filter(|to| !to.is_empty()) else { return };
    let longest = if READS_NOTHING.load(Ordering::Relaxed) { Duration::ZERO } else { LONGEST_SEND };
    let sent = send(&to, state, longest);
    READS_NOTHING.store(sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::TimedOut), Ordering::Relaxed);
    if let Err(error) = sent {
        tracing::warn!(%error, state, "the service manager could not be told");
    }
}

fn send(to: &OsStr, state: &str, longest: Duration) -> io::Result<()> {
    let address = match to.as_bytes() {
        #[cfg(target_os = "linux")]
        [b'@', name @ ..] => {
            use std::os::linux::net::SocketAddrExt as _;
            SocketAddr::from_abstract_name(name)?
        }
        _ => SocketAddr::from_pathname(to)?,
    };
    let socket = UnixDatagram::unbound()?;
    if longest.is_zero() {
        socket.set_nonblocking(true)?;
    } else {
        socket.set_write_timeout(Some(longest))?;
    }
    let mut sent = socket.send_to_addr(state.as_bytes(), &address);
    for _ in 0..MOST_SIGNALS {
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::Interrupted) {
            sent = socket.send_to_addr(state.as_bytes(), &address);
        }
    }
    sent.map(drop).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            io::Error::new(io::ErrorKind::TimedOut, "its socket is full, and it reads nothing")
        }
        _ => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_manager_that_reads_nothing_is_given_up_and_told_again_when_it_reads() {
        let path = std::env::temp_dir().join(format!("gannet-notify-{}", std::process::id()));
        // What a test that was ended has left behind.
        let _ = std::fs::remove_file(&path);
        let manager = UnixDatagram::bind(&path).expect("a socket");
        let mut waiting = 0;
        while send(path.as_os_str(), "WATCHDOG=1", Duration::ZERO).is_ok() {
            waiting += 1;
        }
        for longest in [Duration::ZERO, Duration::from_millis(10)] {
            let error = send(path.as_os_str(), "STOPPING=1", longest).expect_err("it is full");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{error}");
        }
        let mut text = [0; 64];
        for _ in 0..waiting {
            manager.recv(&mut text).expect("it was sent");
        }
        send(path.as_os_str(), "STOPPING=1", Duration::ZERO).expect("there is room");
        let length = manager.recv(&mut text).expect("it was sent");
        assert_eq!(&text[..length], b"STOPPING=1");
        std::fs::remove_file(path).expect("it is there");
    }
}
