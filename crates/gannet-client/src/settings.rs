//! What a pool is allowed to do: sizes and times, with defaults that suit a server beside its database.

use std::time::Duration;

use crate::error::Error;

/// Sets the sizes and times of a pool. Each has a default, and a counter that says how often it was reached.
///
/// ```
/// let mut settings = gannet_client::Settings::default();
/// settings.max = 32;
/// settings.timeout = std::time::Duration::from_millis(200);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// Connections with room for a call that the pool keeps open without demand (default 1).
    ///
    /// With 0 the first call opens the first connection.
    pub min_idle: usize,
    /// Connections of the process at a time, those that are being opened included (default 8).
    ///
    /// Reactors have equal shares, and at least one connection each. Calls beyond it wait.
    pub max: usize,
    /// Requests in flight on one connection, if the protocol pipelines (default 64).
    pub depth: usize,
    /// Calls that may wait for a connection (default 1,024), of each reactor.
    ///
    /// A further one fails with [`CallError::QueueFull`](crate::CallError::QueueFull).
    pub waiters: usize,
    /// The longest time that a call waits for a connection (default 2 s).
    ///
    /// It then fails with [`CallError::NoConnection`](crate::CallError::NoConnection).
    pub waiting: Duration,
    /// The time from a call to its reply (default 1 s), waiting for a connection included.
    ///
    /// It then fails with [`CallError::TimedOut`](crate::CallError::TimedOut), or with `NoConnection` if it was never sent.
    pub timeout: Duration,
    /// The time for opening a connection, the protocol's handshake included (default 5 s).
    pub connect: Duration,
    /// The age at which a connection is replaced, less up to 10 % by chance (default 30 min).
    pub max_life: Duration,
    /// The idle time after which a connection is closed (default 10 min). `min_idle` connections stay.
    pub idle: Duration,
    /// The idle time after which the protocol's ping is sent (default 30 s).
    pub keepalive: Duration,
    /// The idle time after which a connection is checked by a ping before a call goes out on it (default 1 s).
    pub check_after: Duration,
    /// The time for the reply to a ping or a reset (default 1 s). Without one, the connection is closed.
    pub check: Duration,
    /// Requests of one connection that timed out and whose replies are still due, at which it is closed (default 16).
    pub tombstones: usize,
    /// The time after which a lease that was not given back is logged and counted (default 30 s).
    pub leak_after: Duration,
    /// Retries, in percent of all calls (default 20). With 0, nothing is tried again.
    pub retry_percent: u32,
    /// The first window of the backoff, over which clients that lose a server together spread their reconnects (default 100 ms).
    ///
    /// Each further window is 1.6 times as long. A client tries once in each, at a place that it draws for each outage.
    pub backoff: Duration,
    /// The longest window of the backoff (default 30 s).
    pub backoff_max: Duration,
    /// The age at which a connection counts as a success, so that the backoff starts from its first window (default 10 s).
    pub backoff_reset: Duration,
    /// Failures in a row that take an endpoint out (default 5).
    pub breaker_failures: u32,
    /// Outcomes in 10 s from which a failure rate of one half takes an endpoint out (default 20).
    pub breaker_volume: u32,
    /// The time until an endpoint whose calls timed out is probed, less up to half by chance (default 5 s).
    ///
    /// It doubles with each failed probe. An endpoint that cannot be reached is probed by the attempts of the backoff.
    pub breaker_open: Duration,
    /// The bound of `breaker_open` as it doubles (default 60 s).
    pub breaker_open_max: Duration,
    /// The time after which the names of endpoints are looked up again (default 30 s).
    pub resolve: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            min_idle: 1,
            max: 8,
            depth: 64,
            waiters: 1_024,
            waiting: Duration::from_secs(2),
            timeout: Duration::from_secs(1),
            connect: Duration::from_secs(5),
            max_life: Duration::from_secs(30 * 60),
            idle: Duration::from_secs(10 * 60),
            keepalive: Duration::from_secs(30),
            check_after: Duration::from_secs(1),
            check: Duration::from_secs(1),
            tombstones: 16,
            leak_after: Duration::from_secs(30),
            retry_percent: 20,
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(30),
            backoff_reset: Duration::from_secs(10),
            breaker_failures: 5,
            breaker_volume: 20,
            breaker_open: Duration::from_secs(5),
            breaker_open_max: Duration::from_secs(60),
            resolve: Duration::from_secs(30),
        }
    }
}

impl Settings {
    /// Refuses settings that leave no room for anything, or that contradict each other.
    pub(crate) fn check_values(&self) -> Result<(), Error> {
        let refuse = |what: &str| Err(Error::Setting(what.to_owned()));
        match self {
            Self { max: 0, .. } => refuse("max is 0: a pool needs a connection"),
            Self { depth: 0, .. } => refuse("depth is 0: a connection takes at least one request"),
            Self { tombstones: 0, .. } => refuse("tombstones is 0: one is the least that closes a connection"),
            Self { timeout: Duration::ZERO, .. } => refuse("timeout is 0: no call could be answered"),
            Self { connect: Duration::ZERO, .. } => refuse("connect is 0: no connection could be opened"),
            Self { backoff: Duration::ZERO, .. } => refuse("backoff is 0: a server that is down would be flooded"),
            Self { breaker_failures: 0, .. } => refuse("breaker_failures is 0: every endpoint would be out"),
            Self { breaker_volume: 0, .. } => refuse("breaker_volume is 0: every endpoint would be out"),
            _ if self.min_idle > self.max => {
                refuse(&format!("min_idle ({}) is larger than max ({})", self.min_idle, self.max))
            }
            _ if self.backoff_max < self.backoff => refuse("backoff_max is shorter than backoff"),
            _ if self.breaker_open_max < self.breaker_open => refuse("breaker_open_max is shorter than breaker_open"),
            _ => Ok(()),
        }
    }

    /// The settings of one of several reactors: sizes are the process's.
    pub(crate) fn share(&self, reactor: usize, reactors: usize) -> Self {
        let reactors = reactors.max(1);
        let of = |all: usize| all / reactors + usize::from(reactor % reactors < all % reactors);
        let max = of(self.max).max(1);
        Self { max, min_idle: of(self.min_idle).min(max), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_all_reactors_are_the_processs_sizes() {
        let settings = Settings { max: 8, min_idle: 2, ..Settings::default() };
        for reactors in 1..=8 {
            let shares: Vec<Settings> = (0..reactors).map(|reactor| settings.share(reactor, reactors)).collect();
            assert_eq!(shares.iter().map(|share| share.max).sum::<usize>(), 8);
            assert_eq!(shares.iter().map(|share| share.min_idle).sum::<usize>(), 2);
        }
        // More reactors than connections: one each, so that every reactor can call.
        assert_eq!(settings.share(20, 32).max, 1);
    }

    #[test]
    fn settings_without_room_are_refused_with_the_settings_name() {
        let refused = |change: fn(&mut Settings)| {
            let mut settings = Settings::default();
            change(&mut settings);
            settings.check_values().map_err(|error| error.to_string()).expect_err("refused")
        };
        assert!(refused(|settings| settings.max = 0).contains("max is 0"));
        assert!(refused(|settings| settings.min_idle = 9).contains("min_idle (9)"));
        assert!(refused(|settings| settings.depth = 0).contains("depth"));
        assert!(refused(|settings| settings.backoff_max = Duration::ZERO).contains("backoff_max"));
        assert!(Settings::default().check_values().is_ok());
    }
}
