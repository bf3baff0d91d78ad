//! One endpoint of a pool: its connections with room, its backoff and its breaker.

use std::time::Duration;

use crate::backoff::Backoff;
use crate::breaker::{Breaker, BreakerState};
use crate::settings::Settings;

#[derive(Debug)]
pub(crate) struct Endpoint {
    /// False when it was taken off the list.
    pub(crate) present: bool,
    /// No calls go to it.
    pub(crate) out: bool,
    pub(crate) backoff: Backoff,
    pub(crate) breaker: Breaker,
    /// No dial before.
    pub(crate) not_before: Duration,
    /// Slots of connections with room, the one used last at the end.
    pub(crate) ready: Vec<u32>,
    /// Connections that are not closed.
    pub(crate) connections: usize,
    /// Connections on their way to take calls.
    pub(crate) coming: usize,
    /// Requests that wait for a reply.
    pub(crate) in_flight: usize,
}

impl Endpoint {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            present: true,
            out: false,
            backoff: Backoff::default(),
            breaker: Breaker::new(settings),
            not_before: Duration::ZERO,
            ready: Vec::new(),
            connections: 0,
            coming: 0,
            in_flight: 0,
        }
    }

    /// Whether calls go to it.
    #[inline]
    pub(crate) fn is_in_service(&self) -> bool {
        self.present && !self.out
    }

    pub(crate) fn is_tripped(&self) -> bool {
        self.breaker.state() != BreakerState::Closed
    }
}
