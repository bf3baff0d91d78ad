//! Descriptors that are held open for nothing, so that there are some for operational listeners where there are no others.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::sync::{Mutex, PoisonError};

use rustix::process::{Resource, getrlimit};

/// The share of descriptors that is held at the most: one of so many.
const LARGEST_SHARE: u64 = 8;

/// See the module. Any thread may ask; it is asked only where descriptors are short.
#[derive(Debug, Default)]
pub(crate) struct Spares {
    wanted: usize,
    held: Mutex<Vec<OwnedFd>>,
}

impl Spares {
    /// So many of them, as far as there are any, or an eighth of what the process may have open.
    pub(crate) fn new(wanted: u32) -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let wanted = u64::from(wanted).min(limit / LARGEST_SHARE) as usize;
        let spares = Self { wanted, held: Mutex::default() };
        spares.top_up();
        spares
    }

    /// Closes one, for a connection to take its place; says whether there was one.
    pub(crate) fn release(&self) -> bool {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).pop().is_some()
    }

    /// Opens again what was released; says whether all are there. To be called before anybody else takes descriptors.
    pub(crate) fn top_up(&self) -> bool {
        if self.wanted == 0 {
            return true;
        }
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        while held.len() < self.wanted {
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
        let spares = Spares::new(2);
        assert!(spares.release() && spares.release() && !spares.release());
        assert!(spares.top_up() && spares.release() && spares.release() && !spares.release());
        assert!(Spares::default().top_up() && !Spares::default().release(), "who wants none has none");
    }
}
