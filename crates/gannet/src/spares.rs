//! Descriptors that are held open for nothing, so that there are some for operational listeners where there are no others.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Resource, getrlimit};

/// The share of descriptors that is held at the most: one of so many.
const LARGEST_SHARE: u64 = 8;

/// See the module. Any thread may ask; it is asked only where descriptors are short.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    wanted: AtomicUsize,
    held: Mutex<Vec<OwnedFd>>,
}

impl Spares {
    /// Holds so many of them, as far as there are any, or an eighth of what the process may have open.
    pub(crate) fn want(&self, wanted: u32) {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let wanted = u64::from(wanted).min(limit / LARGEST_SHARE) as usize;
        self.wanted.store(wanted, Ordering::Relaxed);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.truncate(wanted);
        drop(held);
        self.top_up();
    }

    /// Closes one, for a connection to take its place; says whether there was one.
    pub(crate) fn release(&self) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).pop().is_some()
    }

    /// Opens again what was released; says whether all are there. To be called before anybody else takes descriptors.
    pub(crate) fn top_up(&self) -> bool {
        let wanted = self.wanted.load(Ordering::Relaxed);
        if wanted == 0 {
            return true;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        while held.len() < wanted {
            // Any descriptor will do; a socket needs no file to be there.
            let Ok(spare) = UnixDatagram::unbound() else { return false };
            held.push(spare.into());
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_released_is_there_again_after_topping_up() {
        let spares = Spares::default();
        spares.want(2);
        assert!(spares.release() && spares.release() && !spares.release());
        assert!(spares.top_up() && spares.release() && spares.release() && !spares.release());
        spares.want(1);
        assert!(spares.release() && !spares.release(), "fewer are wanted now");
        assert!(Spares::default().top_up() && !Spares::default().release(), "who wants none has none");
    }
}
