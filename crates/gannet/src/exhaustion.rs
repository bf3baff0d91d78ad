//! Errors that say that descriptors or memory are used up: they pass, so accepting waits for that.

use std::io;

/// What is logged when accepting pauses for the first time.
pub(crate) const EXHAUSTED: &str = "no descriptor or memory for another connection: accepting pauses and goes on by \
     itself; raise the limit on open files (ulimit -n) or set a limit on connections";

/// Whether this process has as many descriptors as it may have.
pub(crate) fn is_process_full(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error())
}

/// Whether the kernel had no descriptor or no memory for a connection.
pub(crate) fn is_exhausted(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    error.raw_os_error().is_some_and(|code| exhausted.iter().any(|errno| errno.raw_os_error() == code))
}
