//! Limits and deadlines: for everything that grows, and everything that waits.

use std::time::Duration;

use crate::error::Error;

/// How far the parts of an engine may grow. Each limit has a metric that counts how often it was hit.
///
/// ```
/// let mut limits = gannet::Limits::default();
/// limits.connections = 100_000;
/// limits.outbox_hard = 1 << 20;
/// let engine = gannet::Engine::new().limits(limits);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Connections of the whole engine at a time; 0 is no limit (default). One more is refused with a reset, or told
    /// why by [`Service::refusal`](crate::Service::refusal), and
    /// counted as [`Refusal::Connections`](crate::Refusal::Connections). A listener may have a limit of its own besides
    /// ([`ListenOptions::connections`](crate::ListenOptions::connections)).
    pub connections: u32,
    /// Connections from one IP address at a time; 0 is no limit (default). One more is refused with a reset and
    /// counted as [`Refusal::Peer`](crate::Refusal::Peer).
    pub connections_per_peer: u32,
    /// Connections beyond `connections`, and from one IP address beyond `connections_per_peer`, that
    /// [operational](crate::ListenOptions::operational) listeners may have (default 32). So many descriptors and slots of
    /// a reactor are kept for them too, or an eighth of all where that is fewer.
    pub operational_reserve: u32,
    /// Connections that the whole engine accepts in a second, on operational listeners not counted; 0 is no limit (default). More wait in the kernel's
    /// backlog.
    pub accepts_per_second: u32,
    /// Bytes that a connection may hold of an incomplete message (default 16 MiB). A message that needs more closes
    /// its connection with [`CloseReason::FrameTooLarge`](crate::CloseReason::FrameTooLarge). The codec's own limit is
    /// usually lower and comes first.
    pub carry: usize,
    /// Bytes that all connections of the engine may hold of incomplete messages together (default 1 GiB, shared equally by
    /// the reactors; 0 is no limit). Over it, connections that hold more than 64 KiB take turns: one goes on, the others
    /// are not read until there is room. One that then stops in the middle of its message for five seconds is closed with
    /// [`CloseReason::InputStalled`](crate::CloseReason::InputStalled).
    pub carries: usize,
    /// Bytes in an outbox above which `send` says so and reading from the connection pauses (default 256 KiB).
    /// Reading goes on, and the service's `drained` is called, when a quarter of it is left.
    pub outbox_high: usize,
    /// Bytes in an outbox above which `overflow` decides (default 4 MiB); not less than `outbox_high`. A message into an
    /// outbox that is not over `outbox_high` is always accepted, whatever its size: so an outbox holds at most
    /// `outbox_hard`, or `outbox_high` and one message.
    pub outbox_hard: usize,
    /// What happens to a connection whose outbox is over the hard limit.
    pub overflow: Overflow,
    /// Letters waiting in a reactor's mailbox (default 16,384, at most [`Limits::LARGEST_MAILBOX`]); there is room for all
    /// of them from the start. One more is answered with [`SendError::MailboxFull`](crate::SendError::MailboxFull).
    pub mailbox: usize,
    /// Jobs of [`Pool::Compute`](crate::Pool) that wait or run in the whole engine (default 1,024). One more is refused.
    pub offloads: usize,
    /// Threads of [`Pool::Compute`](crate::Pool); 0 is one for each processor (default).
    pub offload_threads: usize,
    /// Jobs of [`Pool::Blocking`](crate::Pool) that wait or run in the whole engine (default 1,024). One more is refused.
    pub blocking_offloads: usize,
    /// Threads that [`Pool::Blocking`](crate::Pool) may have (default 64). They start when they are needed, and end when
    /// they were idle for 10 s.
    pub blocking_threads: usize,
    /// Jobs of [`Pool::Files`](crate::Pool) that wait or run in the whole engine (default 1,024). One more is refused.
    pub file_offloads: usize,
    /// Threads that [`Pool::Files`](crate::Pool) may have (default 8). They start and end as those for blocking work do.
    pub file_threads: usize,
    /// Groups that one connection may be in (default 64).
    pub groups_per_connection: usize,
    /// Groups that a reactor knows members of (default 65,536).
    pub groups: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 0,
            connections_per_peer: 0,
            operational_reserve: 32,
            accepts_per_second: 0,
            carry: 16 << 20,
            carries: 1 << 30,
            outbox_high: 256 << 10,
            outbox_hard: 4 << 20,
            overflow: Overflow::Close,
            mailbox: 16_384,
            offloads: 1_024,
            offload_threads: 0,
            blocking_offloads: 1_024,
            blocking_threads: 64,
            file_offloads: 1_024,
            file_threads: 8,
            groups_per_connection: 64,
            groups: 65_536,
        }
    }
}

impl Limits {
    /// The largest [`mailbox`](Self::mailbox): what it may hold takes memory whether it is used or not.
    pub const LARGEST_MAILBOX: usize = 1 << 24;

    /// Whether an engine can work with these limits.
    ///
    /// # Errors
    ///
    /// One of them leaves no room for what the engine needs, or contradicts another one.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.mailbox > Self::LARGEST_MAILBOX {
            let (asked, most) = (self.mailbox, Self::LARGEST_MAILBOX);
            return Err(Error::Setting(format!(
                "mailboxes of {asked} letters: there may be {most}, since each has room for all of them from the start"
            )));
        }
        let at_least_one = [
            ("mailbox", self.mailbox, "no other thread could reach a reactor"),
            ("carry", self.carry, "every message would have to come in one piece"),
            ("outbox_high", self.outbox_high, "every message would stop its connection from being read"),
            ("offloads", self.offloads, "all work for Pool::Compute would be refused"),
            ("blocking_offloads", self.blocking_offloads, "all work for Pool::Blocking would be refused"),
            ("blocking_threads", self.blocking_threads, "nothing would run the work for Pool::Blocking"),
            ("file_offloads", self.file_offloads, "all work for Pool::Files would be refused"),
            ("file_threads", self.file_threads, "nothing would run the work for Pool::Files"),
        ];
        if let Some((name, _, why)) = at_least_one.into_iter().find(|(_, value, _)| *value == 0) {
            return Err(Error::Setting(format!("Limits::{name} is 0, and {why}; make it at least 1")));
        }
        if self.outbox_high > self.outbox_hard {
            let (high, hard) = (self.outbox_high, self.outbox_hard);
            return Err(Error::Setting(format!(
                "Limits::outbox_high is {high} and over Limits::outbox_hard, {hard}: connections would meet the hard limit \
                 before they are asked to slow down; raise the one or lower the other"
            )));
        }
        Ok(())
    }

    /// The mark at which a full outbox counts as drained.
    pub(crate) fn outbox_low(&self) -> usize {
        self.outbox_high / 4
    }
}

/// What happens to a connection that reads so slowly that its outbox reaches the hard limit. A publisher is never
/// stalled, whichever is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// It is closed with [`CloseReason::Slow`](crate::CloseReason::Slow).
    #[default]
    Close,
    /// Its oldest messages are dropped, whole, until it is under the limit again; the newest stays. Each message then has a
    /// buffer of its own.
    DropOldest,
    /// All but the newest message are dropped. Each message then has a buffer of its own.
    LatestOnly,
}

/// Deadlines of a connection. All are kept by one entry of the reactor's wheel, to within a few milliseconds, and cost
/// nothing per message. `None` is never; the longest is 24 days. An engine does not start with one of zero, but for `linger` and
/// `half_close`.
///
/// ```
/// let mut timeouts = gannet::Timeouts::default();
/// timeouts.read_idle = Some(std::time::Duration::from_secs(300));
/// let engine = gannet::Engine::new().timeouts(timeouts);
/// ```
///
/// A service with other needs than the engine's gives them in [`Service::timeouts`](crate::Service::timeouts).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// Time without traffic in either direction after which the service's `idle` is called (default never). A connection
    /// that only receives is not idle by it.
    pub idle: Option<Duration>,
    /// Silence of the peer after which the service's `idle` is called (default never).
    pub read_idle: Option<Duration>,
    /// Time without anything sent after which the service's `idle` is called (default never).
    pub write_idle: Option<Duration>,
    /// Silence of the peer after which the service's `heartbeat` is called, and again for each such time (default
    /// 30 s). Does nothing for a service that has no heartbeat.
    pub heartbeat: Option<Duration>,
    /// Heartbeats that may go unanswered (default 2); after one more silence the connection is closed with
    /// [`CloseReason::HeartbeatMissed`](crate::CloseReason::HeartbeatMissed).
    pub heartbeats_missed: u8,
    /// Time in which the first complete message has to come (default never; a service asks for it).
    pub opening: Option<Duration>,
    /// Time in which the handshake of a filter (TLS) has to be done, before the service knows of the connection (default
    /// 10 s). Over it the connection is closed with
    /// [`CloseReason::OpeningTimeout`](crate::CloseReason::OpeningTimeout).
    pub handshake: Duration,
    /// Time in which the kernel has to take something of a waiting outbox (default 30 s).
    pub slow_write: Option<Duration>,
    /// Time for the peer to end its side after we ended ours (default 2 s).
    pub linger: Duration,
    /// Time for which a connection whose peer half-closed it may wait for replies, counted from the half-close or from
    /// the last bytes that left, whichever is later (default 30 s). Then it closes with
    /// [`CloseReason::Peer`](crate::CloseReason::Peer); see [half-close](crate::Service#half-close).
    pub half_close: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            idle: None,
            read_idle: None,
            write_idle: None,
            heartbeat: Some(Duration::from_secs(30)),
            heartbeats_missed: 2,
            opening: None,
            handshake: Duration::from_secs(10),
            slow_write: Some(Duration::from_secs(30)),
            linger: Duration::from_secs(2),
            half_close: Duration::from_secs(30),
        }
    }
}

impl Timeouts {
    /// Whether connections can live with these deadlines, which `whose` has.
    ///
    /// # Errors
    ///
    /// One of them is over before it begins.
    pub(crate) fn check(&self, whose: &str) -> Result<(), Error> {
        let deadlines = [
            ("idle", self.idle),
            ("read_idle", self.read_idle),
            ("write_idle", self.write_idle),
            ("heartbeat", self.heartbeat),
            ("opening", self.opening),
            ("handshake", Some(self.handshake)),
            ("slow_write", self.slow_write),
        ];
        let Some((name, _)) = deadlines.into_iter().find(|(_, time)| *time == Some(Duration::ZERO)) else {
            return Ok(());
        };
        let instead = if name == "handshake" { "give it some seconds" } else { "None stands for no deadline" };
        Err(Error::Setting(format!("Timeouts::{name} of {whose} is 0, so it would be over at once; {instead}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_with_which_nothing_could_work_are_refused_by_name() {
        type Change = fn(&mut Limits);
        let cases: [(&str, Change); 10] = [
            ("mailboxes of 18446744073709551615 letters", |limits| limits.mailbox = usize::MAX),
            ("Limits::mailbox is 0", |limits| limits.mailbox = 0),
            ("Limits::carry is 0", |limits| limits.carry = 0),
            ("Limits::outbox_high is 0", |limits| limits.outbox_high = 0),
            ("Limits::offloads is 0", |limits| limits.offloads = 0),
            ("Limits::blocking_offloads is 0", |limits| limits.blocking_offloads = 0),
            ("Limits::blocking_threads is 0", |limits| limits.blocking_threads = 0),
            ("Limits::file_offloads is 0", |limits| limits.file_offloads = 0),
            ("Limits::file_threads is 0", |limits| limits.file_threads = 0),
            ("Limits::outbox_high is 2 and over Limits::outbox_hard, 1", |limits| {
                (limits.outbox_high, limits.outbox_hard) = (2, 1);
            }),
        ];
        for (said, change) in cases {
            let mut limits = Limits::default();
            limits.check().expect("the defaults are consistent");
            change(&mut limits);
            let error = limits.check().expect_err(said).to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn deadlines_that_are_over_before_they_begin_are_refused_by_name() {
        type Change = fn(&mut Timeouts, Option<Duration>);
        let cases: [(&str, Change); 7] = [
            ("idle", |timeouts, zero| timeouts.idle = zero),
            ("read_idle", |timeouts, zero| timeouts.read_idle = zero),
            ("write_idle", |timeouts, zero| timeouts.write_idle = zero),
            ("heartbeat", |timeouts, zero| timeouts.heartbeat = zero),
            ("opening", |timeouts, zero| timeouts.opening = zero),
            ("handshake", |timeouts, _| timeouts.handshake = Duration::ZERO),
            ("slow_write", |timeouts, zero| timeouts.slow_write = zero),
        ];
        for (name, change) in cases {
            let mut timeouts = Timeouts::default();
            timeouts.check("a service").expect("the defaults are consistent");
            change(&mut timeouts, Some(Duration::ZERO));
            let error = timeouts.check("a service").expect_err(name).to_string();
            assert!(error.contains(&format!("Timeouts::{name} of a service is 0")), "{error}");
        }
        let mut timeouts = Timeouts::default();
        (timeouts.linger, timeouts.half_close) = (Duration::ZERO, Duration::ZERO);
        timeouts.check("a service").expect("to wait for nobody is a choice");
    }
}
