//! Takes the steps of plans, between two turns: services come, listeners come and go, limits and deadlines change.
//!
//! What a step has a lot of is done in several turns: instances of services are made for some milliseconds of each, and
//! some thousand connections get their new deadlines.

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::time::Duration;

use crate::driver::Driver;
use crate::error::Error;
use crate::host::Served;
use crate::ids::{ListenerId, ServiceId};
use crate::keepalive;
use crate::limits::Timeouts;
use crate::listener::Pace;
use crate::panics::panic_message;
use crate::remote::Remote;
use crate::service::Starting;
use crate::steps::{Addition, Commit, Step};
use crate::wheel::milliseconds;

use super::Reactor;
use super::timing::Deadlines;

/// How long instances of services are made in one turn, one at least.
const PREPARING: Duration = Duration::from_millis(5);

/// Connections that get new deadlines in one turn.
const RETIMED_A_TURN: u32 = 2_048;

/// A service that gets no connection any more.
struct Retiring {
    service: ServiceId,
    /// The driver's listener is still open.
    is_open: bool,
    /// The acceptor may still bring connections.
    acceptor_too: bool,
    /// The number of the last letter that may bring a connection, by the count of letters.
    last_letter: u64,
}

/// Who has the sockets of a service that gets no connection any more.
#[derive(Clone, Copy)]
enum Sockets {
    /// The reactors, and perhaps the acceptor too.
    Here { acceptor_too: bool },
    /// The acceptor, which has let go of them by now.
    WithAcceptor,
}

/// How far a reactor is with the plans.
#[derive(Default)]
pub(super) struct Changing {
    /// The number of the step that was taken last.
    taken: u64,
    /// The deadlines of services that have none of their own.
    timeouts: Timeouts,
    /// How many services of the step that is being prepared are there; 0 where none is.
    prepared: usize,
    /// Slots from here on have the deadlines that they had before.
    retime_cursor: Option<u32>,
    retiring: Vec<Retiring>,
    /// One of them may be at its end.
    may_be_gone: bool,
}

impl Changing {
    /// Whether there is more to do for which nobody rings.
    pub(super) fn goes_on(&self) -> bool {
        self.prepared > 0 || self.retime_cursor.is_some()
    }
}

impl<D: Driver> Reactor<D> {
    /// Sets the deadlines of services that will be added.
    pub(crate) fn timeouts(&mut self, timeouts: Timeouts) {
        self.changing.timeouts = timeouts;
    }

    /// Takes the steps that there are, and goes on with what earlier ones have left.
    #[inline]
    pub(super) fn take_steps(&mut self) {
        if self.core.shared.steps.are_ahead_of(self.changing.taken) || self.changing.retime_cursor.is_some() {
            self.take_all_steps();
        }
    }

    #[cold]
    pub(super) fn take_all_steps(&mut self) {
        let shared = self.core.shared.clone();
        while let Some(step) = shared.steps.after(self.changing.taken) {
            let outcome = match &*step {
                Step::Prepare { added, timeouts } => match self.prepare(added, timeouts.as_ref()) {
                    Some(outcome) => outcome,
                    None => break,
                },
                Step::Undo(services) => {
                    services.iter().for_each(|service| self.undo(*service));
                    Ok(())
                }
                Step::Commit(commit) => {
                    self.commit(commit);
                    Ok(())
                }
                Step::Retire(services) => {
                    services.iter().for_each(|service| self.retire(*service, Sockets::WithAcceptor));
                    Ok(())
                }
            };
            self.changing.taken += 1;
            shared.steps.report(usize::from(self.core.reactor), self.changing.taken, outcome);
        }
        self.retime_some();
    }

    /// Makes instances of services. `None` says that there are more, for another turn.
    fn prepare(&mut self, added: &[Addition], timeouts: Option<&Timeouts>) -> Option<Result<(), Error>> {
        let began = self.driver.now();
        let done = mem::take(&mut self.changing.prepared);
        if self.is_ending() {
            return Some(Err(Error::Stopping));
        }
        if done == 0
            && let Some(timeouts) = timeouts
            && let Err(error) = self.check_timeouts(timeouts)
        {
            return Some(Err(error));
        }
        let defaults = timeouts.copied().unwrap_or(self.changing.timeouts);
        for (index, addition) in added.iter().enumerate().skip(done) {
            if let Err(error) = self.install(addition, defaults) {
                return Some(Err(error));
            }
            if self.driver.now().saturating_sub(began) >= PREPARING && index + 1 < added.len() {
                self.changing.prepared = index + 1;
                return None;
            }
        }
        Some(Ok(()))
    }

    /// Whether every service can live with these deadlines.
    fn check_timeouts(&self, timeouts: &Timeouts) -> Result<(), Error> {
        for served in &self.services {
            if let Served::Connections(host) = served {
                host.timeouts_with(*timeouts).check(host.name())?;
            }
        }
        Ok(())
    }

    /// Makes the instance of a service, starts it and has it listen; it accepts nothing yet.
    fn install(&mut self, addition: &Addition, defaults: Timeouts) -> Result<(), Error> {
        let service = addition.service;
        let reactor = usize::from(self.core.reactor);
        self.make_room_for(service);
        let mut served = catch_unwind(AssertUnwindSafe(|| (addition.factory)(defaults))).map_err(|panic| {
            let why = format!("a service panicked while it was made: {}", panic_message(&*panic));
            Error::Reactor { reactor, error: std::io::Error::other(why) }
        })?;
        if let Served::Connections(host) = &served {
            host.timeouts().check(host.name())?;
        }
        let starting = Starting::new(reactor, self.core.shared.gates().len(), Remote::new(self.core.shared.clone()));
        super::start_one(&mut served, &starting)?;
        if let Some(after) = starting.timer.take() {
            self.core.timers.set_service(service, self.core.now.after(milliseconds(after)));
        }
        let index = usize::from(service);
        self.looks_ahead |= matches!(&served, Served::Connections(host) if host.looks_ahead());
        self.deadlines[index] = Deadlines::of(&served);
        self.services[index] = served;
        self.filters[index] = addition.filters.clone();
        if let Some(quota) = &addition.quota {
            self.accepting.set_quota(service, quota.clone());
        }
        let socket = addition
            .sockets
            .get(reactor)
            .and_then(|socket| socket.lock().unwrap_or_else(PoisonError::into_inner).take());
        let failed = |error| Error::Reactor { reactor, error };
        socket.map_or(Ok(()), |own| self.take_socket(service, own).map_err(failed))
    }

    /// Makes room in everything that is kept by service.
    fn make_room_for(&mut self, service: ServiceId) {
        let count = self.services.len().max(usize::from(service) + 1);
        self.services.resize_with(count, || Served::Gone);
        self.deadlines.resize_with(count, Deadlines::default);
        self.filters.resize_with(count, || None);
        self.accepting.make_room(count);
        self.core.occupied.resize(count, 0);
        for later in self.core.tallies.len()..count {
            self.core.tallies.push(self.core.counters.tally_for(later as ServiceId));
        }
    }

    /// Gives up a service that was prepared.
    fn undo(&mut self, service: ServiceId) {
        let index = usize::from(service);
        if index >= self.services.len() {
            return;
        }
        if let Some(at) = self.listening.iter().position(|listener| *listener == service) {
            self.listening.swap_remove(at);
            self.driver.unlisten(service);
        }
        self.driver.unbind(service);
        self.forget_service(service);
    }

    fn commit(&mut self, commit: &Commit) {
        let reactors = self.core.shared.gates().len().max(1);
        if let Some(timeouts) = commit.timeouts {
            self.changing.timeouts = timeouts;
            for (index, served) in self.services.iter_mut().enumerate() {
                if let Served::Connections(host) = served {
                    host.set_timeouts(host.timeouts_with(timeouts));
                    self.deadlines[index] = Deadlines::of(served);
                }
            }
            self.changing.retime_cursor = Some(0);
        }
        if let Some(limits) = &commit.limits {
            let before = mem::replace(&mut self.core.limits, limits.clone());
            self.core.limits.carries = limits.carries.div_ceil(reactors);
            // Its memory was taken at the start.
            self.core.limits.mailbox = before.mailbox;
            if before.accepts_per_second != limits.accepts_per_second {
                self.pace = Pace::new(limits.accepts_per_second.div_ceil(reactors as u32), self.core.now);
            }
        }
        if let Some(keepalive) = commit.keepalive {
            self.core.keepalive = keepalive;
        }
        if self.is_ending() {
            // Nothing is accepted any more: what was added goes with the engine.
            return commit.added.iter().for_each(|service| self.undo(*service));
        }
        for &(from, to) in &commit.moved {
            if self.driver.hand_on(from, to) {
                self.listening.push(to);
            }
            self.accepting.suspend_as(from, to);
            self.retire(from, Sockets::Here { acceptor_too: commit.kept.contains(&from) });
        }
        // Behind the moves: a listener with another keepalive may have got its socket by one.
        for &(listener, after) in &commit.keepalives {
            if let Some(socket) = self.driver.listening_socket(listener)
                && let Err(error) = keepalive::change(socket, after)
            {
                tracing::warn!(%error, "the keepalive of a listener cannot be changed");
            }
        }
        for &listener in &commit.removed {
            self.retire(listener, Sockets::Here { acceptor_too: commit.kept.contains(&listener) });
        }
        self.renew_reserve();
        if !self.drains.is_empty() {
            self.stop_and_resume_accepting();
        }
        for index in 0..self.listening.len() {
            let listener = self.listening[index];
            if commit.added.contains(&listener) && self.accepts_now(listener) {
                self.driver.accept(listener, true);
            }
        }
    }

    /// A service gets no connection any more, except those that wait for it.
    fn retire(&mut self, service: ServiceId, sockets: Sockets) {
        self.changing.may_be_gone = true;
        let last_letter = self.core.counters.letters.get() + self.receiver.len() as u64;
        let Sockets::Here { acceptor_too } = sockets else {
            let known = self.changing.retiring.iter_mut().find(|retiring| retiring.service == service);
            return match known {
                Some(retiring) => (retiring.last_letter, retiring.acceptor_too) = (last_letter, false),
                None => {
                    self.changing.retiring.push(Retiring { service, is_open: false, acceptor_too: false, last_letter })
                }
            };
        };
        let is_listening = self.listening.contains(&service);
        // Who waits for a listener that refuses is refused.
        let refuses = self.accepting.is_suspended(service) && self.driver.listening_socket(service).is_some();
        if is_listening && refuses {
            self.driver.unlisten(service);
        }
        let is_open = is_listening && !refuses && self.driver.retire(service);
        if !is_open {
            self.listening.retain(|listener| *listener != service);
            self.driver.unbind(service);
        }
        self.changing.retiring.push(Retiring { service, is_open, acceptor_too, last_letter });
    }

    /// A listener that was to be closed has accepted what waited, and is closed.
    pub(super) fn retired(&mut self, listener: ListenerId) {
        self.listening.retain(|open| *open != listener);
        if let Some(retiring) = self.changing.retiring.iter_mut().find(|retiring| retiring.service == listener) {
            retiring.is_open = false;
            self.changing.may_be_gone = true;
        }
    }

    /// A connection of a service has left its slot.
    pub(super) fn left(&mut self, service: ServiceId) {
        let occupied = &mut self.core.occupied[usize::from(service)];
        *occupied -= 1;
        self.changing.may_be_gone |= *occupied == 0;
    }

    /// Drops the instances of removed services that have no connection any more and get no other.
    #[inline]
    pub(super) fn drop_retired(&mut self) {
        if self.changing.may_be_gone {
            self.drop_all_retired();
        }
    }

    #[cold]
    fn drop_all_retired(&mut self) {
        self.changing.may_be_gone = false;
        let letters = self.core.counters.letters.get();
        let mut retiring = mem::take(&mut self.changing.retiring);
        retiring.retain(|Retiring { service, is_open, acceptor_too, last_letter }| {
            let waits_for_letters = letters < *last_letter;
            self.changing.may_be_gone |= waits_for_letters;
            if *is_open
                || *acceptor_too
                || waits_for_letters
                || self.core.occupied[usize::from(*service)] > 0
                || self.accepting.has_waiting(*service)
            {
                return true;
            }
            self.forget_service(*service);
            false
        });
        self.changing.retiring = retiring;
    }

    /// Drops the instance of a service. Its counters and its quota stay.
    fn forget_service(&mut self, service: ServiceId) {
        let index = usize::from(service);
        self.core.timers.cancel_service(service);
        self.filters[index] = None;
        let served = mem::replace(&mut self.services[index], Served::Gone);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(move || drop(served))) {
            tracing::error!(panic = panic_message(&*panic), "a service panicked when it was dropped");
        }
        self.looks_ahead =
            self.services.iter().any(|served| matches!(served, Served::Connections(host) if host.looks_ahead()));
    }

    /// Gives some more connections the deadlines of their services.
    fn retime_some(&mut self) {
        let Some(from) = self.changing.retime_cursor else { return };
        let end = self.core.slab.end();
        let to = end.min(from.saturating_add(RETIMED_A_TURN));
        for token in from..to {
            self.schedule(token);
        }
        self.changing.retime_cursor = (to < end).then_some(to);
    }
}
