//! What the gateway keeps for its operators: the password of the admin page, who is logged in, and the figures of the
//! last minutes.

pub(crate) mod samples;
pub(crate) mod sessions;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gannet_channels::{SpaceStats, Time};

use self::samples::{Sample, Samples};
use self::sessions::Sessions;
use crate::secret::Secret;

/// What the gateway keeps for its operators.
#[derive(Debug)]
pub(crate) struct Operators {
    /// The password, and whether the start made it.
    password: Mutex<(Secret, bool)>,
    sessions: Mutex<Sessions>,
    samples: Mutex<Samples>,
    /// Searches of the admin page that are under way.
    pub(crate) searches: AtomicUsize,
    /// Logins that were refused, and those that were not.
    logins: [AtomicU64; 2],
}

impl Operators {
    /// Makes it with this password, or one of its own. `None` if the system gives no random bytes.
    pub(crate) fn new(password: Option<Secret>) -> Option<Self> {
        let made = password.is_none();
        Some(Self {
            password: Mutex::new((password.or_else(sessions::password)?, made)),
            sessions: Mutex::default(),
            samples: Mutex::default(),
            searches: AtomicUsize::new(0),
            logins: Default::default(),
        })
    }

    /// Returns the password, if the start made it.
    pub(crate) fn made_password(&self) -> Option<Secret> {
        let password = self.password();
        password.1.then(|| password.0.clone())
    }

    /// Demands another password; without one, that which is there stays. The sessions of another password end.
    pub(crate) fn set_password(&self, password: Option<&Secret>) {
        let Some(new) = password else { return };
        let before = std::mem::replace(&mut *self.password(), (new.clone(), false));
        if !before.0.is(new.reveal().as_bytes()) {
            *self.sessions() = Sessions::default();
        }
    }

    fn password(&self) -> MutexGuard<'_, (Secret, bool)> {
        self.password.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compares with the password, and counts the login.
    pub(crate) fn is_password(&self, sent: &[u8]) -> bool {
        let is = self.password().0.is(sent);
        self.logins[usize::from(is)].fetch_add(1, Ordering::Relaxed);
        is
    }

    /// Notes the figures of this moment. One reactor calls it once a second.
    pub(crate) fn sample(&self, clients: u64, stats: &SpaceStats, now: Time) {
        let sample = Sample { clients, resident: samples::resident().unwrap_or_default(), ..Sample::of(stats, now) };
        self.samples().add(sample);
    }

    /// Returns how many logins were refused, and how many were not.
    pub(crate) fn logins(&self) -> [u64; 2] {
        [0, 1].map(|result: usize| self.logins[result].load(Ordering::Relaxed))
    }

    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn samples(&self) -> MutexGuard<'_, Samples> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
