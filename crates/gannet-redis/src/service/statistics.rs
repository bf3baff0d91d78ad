//! What is counted: by each instance for itself, and summed when somebody asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::command_statistics::{CODES, CommandCounters, CommandTotals, code};
use crate::counter::{Counter, Lookups};

use super::table::Command;

/// What one instance counts, on cache lines of its own (two, as processors fetch them in pairs).
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Statistics {
    /// Connections that came.
    pub connections: Counter,
    /// Connections of them that were refused in protected mode.
    pub denied: Counter,
    /// Commands that ran.
    pub commands: Counter,
    /// Replies that are errors.
    errors: Counter,
    /// Those of each code, and of all others.
    codes: [Counter; CODES.len() + 1],
    /// By the commands' places in the table. Empty where nobody asks: for commands without a connection.
    by_command: Box<[CommandCounters]>,
    /// Keys that were looked for to be read.
    pub lookups: Lookups,
    /// The second, since 1970, in which the last command came.
    second: Counter,
    /// Commands before it.
    before: Counter,
    /// Commands in the last second that was full.
    rate: Counter,
}

impl Statistics {
    /// Nothing was counted yet.
    fn new() -> Self {
        Self { by_command: CommandCounters::all(), ..Self::default() }
    }

    /// What is counted of a command.
    #[inline]
    pub(crate) fn of(&self, command: &Command) -> Option<&CommandCounters> {
        self.by_command.get(usize::from(command.index))
    }

    /// Notes that an error was sent.
    #[cold]
    pub(crate) fn error(&self, text: &str) {
        self.errors.count();
        self.codes[code(text)].count();
    }

    /// Notes that a command runs.
    #[inline]
    pub(crate) fn command(&self, now_s: u32) {
        if self.second.read() != u64::from(now_s) {
            self.next_second(now_s.into());
        }
        self.commands.count();
    }

    #[cold]
    fn next_second(&self, now_s: u64) {
        let commands = self.commands.read();
        let full = self.second.read() + 1 == now_s;
        self.rate.set(if full { commands - self.before.read() } else { 0 });
        self.before.set(commands);
        self.second.set(now_s);
    }

    /// Commands in the last second that was full.
    fn per_second(&self, now_s: u64) -> u64 {
        match now_s.checked_sub(self.second.read()) {
            Some(0) => self.rate.read(),
            Some(1) => self.commands.read() - self.before.read(),
            _ => 0,
        }
    }
}

/// What was counted by all together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) connections: u64,
    pub(crate) refused: u64,
    pub(crate) commands: u64,
    pub(crate) errors: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) expired: u64,
    pub(crate) evicted: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

impl Totals {
    /// What was counted since a moment, for which these are the totals.
    pub(crate) fn since(&self, then: &Self) -> Self {
        Self {
            connections: self.connections.saturating_sub(then.connections),
            refused: self.refused.saturating_sub(then.refused),
            commands: self.commands.saturating_sub(then.commands),
            errors: self.errors.saturating_sub(then.errors),
            hits: self.hits.saturating_sub(then.hits),
            misses: self.misses.saturating_sub(then.misses),
            expired: self.expired.saturating_sub(then.expired),
            evicted: self.evicted.saturating_sub(then.evicted),
            bytes_in: self.bytes_in.saturating_sub(then.bytes_in),
            bytes_out: self.bytes_out.saturating_sub(then.bytes_out),
        }
    }
}

/// What was counted of each command, and of each code of errors.
#[derive(Clone, Debug, Default)]
pub(crate) struct Details {
    /// By the commands' places in the table; empty is nothing.
    pub(crate) commands: Vec<CommandTotals>,
    /// As [`CODES`] has them, and all others; empty is nothing.
    pub(crate) codes: Vec<u64>,
}

impl Details {
    fn add(&mut self, one: &Statistics) {
        self.commands.resize_with(one.by_command.len(), Default::default);
        for (sum, counters) in self.commands.iter_mut().zip(&one.by_command) {
            sum.add(counters);
        }
        self.codes.resize(one.codes.len(), 0);
        for (sum, counter) in self.codes.iter_mut().zip(&one.codes) {
            *sum += counter.read();
        }
    }

    /// What was counted since a moment, for which these are the details.
    fn since(&self, then: &Self) -> Self {
        let (nothing, none) = (CommandTotals::default(), 0);
        let commands = then.commands.iter().chain(std::iter::repeat(&nothing));
        let codes = then.codes.iter().chain(std::iter::repeat(&none));
        Self {
            commands: self.commands.iter().zip(commands).map(|(now, then)| now.since(then)).collect(),
            codes: self.codes.iter().zip(codes).map(|(now, then)| now.saturating_sub(*then)).collect(),
        }
    }
}

/// The counters of all instances.
#[derive(Debug, Default)]
pub(crate) struct Instances {
    all: Mutex<Vec<Arc<Statistics>>>,
    /// What had been counted when CONFIG RESETSTAT was asked for.
    base: Mutex<Totals>,
    /// And of each command, and of each code of errors.
    details: Mutex<Details>,
}

impl Instances {
    /// Takes in an instance.
    pub(crate) fn add(&self) -> Arc<Statistics> {
        let statistics = Arc::new(Statistics::new());
        self.lock().push(statistics.clone());
        statistics
    }

    /// What all instances have counted since they were made, and what only others know.
    pub(crate) fn sum(&self, others: Totals) -> Totals {
        self.lock().iter().fold(others, |sum, one| Totals {
            connections: sum.connections + one.connections.read(),
            refused: sum.refused + one.denied.read(),
            commands: sum.commands + one.commands.read(),
            errors: sum.errors + one.errors.read(),
            hits: sum.hits + one.lookups.hits.read(),
            misses: sum.misses + one.lookups.misses.read(),
            ..sum
        })
    }

    /// Commands in the last second that was full.
    pub(crate) fn per_second(&self, now_s: u64) -> u64 {
        self.lock().iter().map(|one| one.per_second(now_s)).sum()
    }

    /// What had been counted when it was last asked to count from 0 again.
    pub(crate) fn base(&self) -> Totals {
        *self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was counted of each command and each code of errors, since it was last asked to count from 0 again.
    pub(crate) fn details(&self) -> Details {
        self.all_details().since(&self.details.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn all_details(&self) -> Details {
        let mut details = Details::default();
        self.lock().iter().for_each(|one| details.add(one));
        details
    }

    /// Counts from 0 again.
    pub(crate) fn reset(&self, totals: Totals) {
        *self.details.lock().unwrap_or_else(PoisonError::into_inner) = self.all_details();
        *self.base.lock().unwrap_or_else(PoisonError::into_inner) = totals;
        self.lock().iter().flat_map(|one| &one.by_command).for_each(CommandCounters::measure_next);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Statistics>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_full_second() {
        let statistics = Statistics::default();
        (0..10).for_each(|_| statistics.command(100));
        assert_eq!(statistics.per_second(101), 10);
        (0..3).for_each(|_| statistics.command(101));
        assert_eq!(statistics.per_second(101), 10);
        assert_eq!(statistics.per_second(102), 3);
        assert_eq!(statistics.per_second(103), 0);
        statistics.command(110);
        assert_eq!(statistics.per_second(110), 0);
    }

    #[test]
    fn what_is_reset_counts_from_nothing_again() {
        let instances = Instances::default();
        let (one, other) = (instances.add(), instances.add());
        let hits = || instances.sum(Totals::default()).since(&instances.base()).hits;
        one.lookups.hits.count();
        other.lookups.hits.count();
        assert_eq!(hits(), 2);
        instances.reset(instances.sum(Totals::default()));
        one.lookups.hits.count();
        assert_eq!(hits(), 1);
    }
}
