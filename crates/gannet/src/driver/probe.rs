//! Which driver this machine can use, and why.

use crate::error::Error;

/// Chooses the driver of an engine: its interface to the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DriverChoice {
    /// io_uring if this kernel and process can use it (Linux 6.13 or later), and epoll or kqueue otherwise.
    #[default]
    Auto,
    /// io_uring (Linux 6.1 or later). If it cannot be used, the engine does not start, and the error says why.
    ///
    /// Before Linux 6.13, the kernel keeps the socket of a closed connection until the connections that were open before it
    /// receive something or end. Where some of them stay long, its memory grows with each connection that closes.
    Uring,
    /// epoll on Linux, kqueue on macOS and the BSDs.
    Poll,
}

impl DriverChoice {
    /// Tries the driver without an engine, and returns its name, `uring` or `poll`, and the reason for it.
    ///
    /// This is the choice that an engine of this process makes at its start. May be called on any thread; it waits for a
    /// thread of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Driver`] if the driver that was asked for cannot be used, with the reason.
    pub fn check(self) -> Result<(&'static str, String), Error> {
        choose(self).map(|(usable, why)| (usable.name(), why))
    }
}

/// A driver that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usable {
    #[cfg(target_os = "linux")]
    Uring,
    Poll,
}

impl Usable {
    pub(crate) fn name(self) -> &'static str {
        match self {
            #[cfg(target_os = "linux")]
            Self::Uring => "uring",
            Self::Poll => "poll",
        }
    }
}

/// Chooses a driver and says why it was that one. Tries a ring in earnest: kernels that have io_uring may still deny
/// it (seccomp profiles, `kernel.io_uring_disabled`).
pub(crate) fn choose(choice: DriverChoice) -> Result<(Usable, String), Error> {
    match choice {
        DriverChoice::Poll => Ok((Usable::Poll, "asked for".to_owned())),
        #[cfg(target_os = "linux")]
        DriverChoice::Uring => match super::uring::probe() {
            Ok(found) => Ok((Usable::Uring, format!("asked for; {}", found.features))),
            Err(why) => Err(Error::Driver { driver: "uring", why }),
        },
        #[cfg(target_os = "linux")]
        DriverChoice::Auto => match super::uring::probe() {
            Ok(found) if found.keeps_closed => Ok((Usable::Poll, found.features.to_owned())),
            Ok(found) => Ok((Usable::Uring, found.features.to_owned())),
            Err(why) => Ok((Usable::Poll, format!("io_uring cannot be used: {why}"))),
        },
        #[cfg(not(target_os = "linux"))]
        DriverChoice::Uring => Err(Error::Driver { driver: "uring", why: "io_uring is a part of Linux".to_owned() }),
        #[cfg(not(target_os = "linux"))]
        DriverChoice::Auto => Ok((Usable::Poll, "io_uring is a part of Linux".to_owned())),
    }
}
