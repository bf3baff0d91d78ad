//! A look at what was received, before any of it is handled: for services that have to wait for memory.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::driver::Driver;
use crate::host::Served;
use crate::panics::panic_message;

use super::Reactor;

/// Larger chunks are more than a message or two: they are looked at by themselves when it is their turn, or what is
/// fetched for all of a turn would not fit the cache.
const SMALL_BYTES: usize = 512;

impl<D: Driver> Reactor<D> {
    /// Shows the services that want to see it what this turn will bring, of all connections, so that they can fetch what
    /// they need for all of them at once.
    pub(super) fn look_ahead(&mut self) {
        let Self { driver, services, core, .. } = self;
        // Who was called last, and for whom: whoever panicked.
        let (mut called, mut at) = (0, None);
        let looked = catch_unwind(AssertUnwindSafe(|| {
            driver.show_received(&mut |token, received| {
                if received.len() <= SMALL_BYTES
                    && let Some(connection) = core.slab.get(token)
                    && connection.filter.is_none()
                    && let Some(Served::Connections(host)) = services.get_mut(usize::from(connection.service))
                {
                    (called, at) = (usize::from(connection.service), Some(token));
                    host.look_ahead(connection.session, received);
                }
            });
            at = None;
            for (index, served) in services.iter_mut().enumerate() {
                if let Served::Connections(host) = served {
                    called = index;
                    host.fetch();
                }
            }
        }));
        if let Err(panic) = looked
            && let Some(Served::Connections(host)) = services.get(called)
        {
            tracing::error!(
                service = host.name(),
                peer = at.map(|token| tracing::field::display(core.peers.of(token))),
                panic = panic_message(&*panic),
                "a service panicked while it looked ahead; its messages are delivered as usual"
            );
        }
    }
}
