//! Fires the timers that have identifiers, and those of services; calls services that other threads called.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::connection::{Flags, State};
use crate::driver::Driver;
use crate::host::Served;
use crate::ids::Token;
use crate::panics::panic_message;
use crate::wheel::milliseconds;

use super::Reactor;

impl<D: Driver> Reactor<D> {
    /// Calls the service for the named timers of a connection that have come. One that is set again meanwhile waits for the
    /// next turn, however soon it is due.
    #[cold]
    pub(super) fn fire_named(&mut self, token: Token) {
        let mut come = Vec::new();
        self.core.timers.due(token, self.caught_up, &mut come);
        for (id, due) in come {
            // A timer before it may have cancelled it, or closed the connection.
            let Some(connection) = self.core.slab.get(token).filter(|connection| connection.state() == State::Open)
            else {
                return;
            };
            let service = connection.service;
            if self.core.timers.take(token, id, due) {
                let (host, core) = self.host(service);
                host.named_timer(core, token, id);
                self.settle(token);
            }
        }
        if self.core.timers.next(token).is_none()
            && let Some(connection) = self.core.slab.get_mut(token)
        {
            connection.flags.clear(Flags::NAMED_TIMERS);
        }
    }

    /// Calls the services that other threads called.
    #[cold]
    pub(super) fn call_woken(&mut self) {
        let mut woken = mem::take(&mut self.woken);
        self.receiver.take_calls(&mut woken);
        for service in woken.drain(..) {
            // A removed service may have called itself with its last breath.
            if !matches!(self.services.get(usize::from(service)), Some(Served::Connections(_))) {
                continue;
            }
            let (host, core) = self.host(service);
            host.woken(core, service);
            if !self.core.deferred.is_empty() {
                self.run_deferred();
            }
        }
        self.woken = woken;
    }

    /// Calls the services whose timers have come.
    pub(super) fn fire_service_timers(&mut self) {
        let now = self.core.now;
        let mut come = mem::take(&mut self.services_come);
        self.core.timers.take_services(now, &mut come);
        for (service, _) in come.drain(..) {
            self.called |= 1 << (service % 64);
            match &mut self.services[usize::from(service)] {
                Served::Connections(host) => host.service_timer(&mut self.core, service),
                Served::Datagrams(datagrams) => match catch_unwind(AssertUnwindSafe(|| datagrams.service_timer())) {
                    Ok(None) => {}
                    Ok(Some(after)) => self.core.timers.set_service(service, now.after(milliseconds(after))),
                    Err(panic) => {
                        let panic = panic_message(&*panic);
                        tracing::error!(
                            service = datagrams.name(),
                            panic,
                            "the timer of a datagram service panicked; it goes on"
                        );
                    }
                },
                Served::Gone => {}
            }
            if !self.core.deferred.is_empty() {
                self.run_deferred();
            }
        }
        self.services_come = come;
    }
}
