//! Limits of everything that grows, and deadlines of everything that waits.

use std::time::Duration;

use crate::error::Error;

/// Limits everything in an engine that can grow.
///
/// Each limit has a counter that says how often it was hit: the fields below name it. Counters are read with
/// [`Remote::stats`](crate::Remote::stats) and [`Remote::offload_stats`](crate::Remote::offload_stats). An engine does not
/// start with limits that leave no room for anything, or that contradict each other.
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
    /// Connections of the whole engine at a time; 0 is no limit (default).
    ///
    /// A further one is refused by a reset, or with the text of [`Service::refusal`](crate::Service::refusal), and counted
    /// as [`RefusalReason::Connections`](crate::RefusalReason::Connections). [`ListenOptions::connections`] limits one listener.
    ///
    /// [`ListenOptions::connections`]: crate::ListenOptions::connections
    pub connections: u32,
    /// Connections from one IP address at a time; 0 is no limit (default).
    ///
    /// A further one is refused by a reset, or with the text of [`Service::refusal`](crate::Service::refusal), and counted
    /// as [`RefusalReason::Peer`](crate::RefusalReason::Peer).
    pub connections_per_peer: u32,
    /// Connections by which [operational](crate::ListenOptions::operational) listeners may exceed `connections`, and
    /// `connections_per_peer` for one IP address (default 32).
    ///
    /// As many descriptors and slots of each reactor are kept for these listeners, at most an eighth of all.
    pub operational_reserve: u32,
    /// Connections that the whole engine accepts per second, operational listeners excepted; 0 is no limit (default).
    ///
    /// Further ones wait in the kernel's backlog; `ServiceStats::accept_pauses` counts the pauses.
    pub accepts_per_second: u32,
    /// Bytes of an incomplete message that one connection may hold (default 16 MiB).
    ///
    /// A message that needs more closes its connection with
    /// [`CloseReason::FrameTooLarge`](crate::CloseReason::FrameTooLarge). The codec's own limit is usually lower and comes
    /// first.
    pub carry: usize,
    /// Bytes of incomplete messages that all connections of the engine may hold together (default 1 GiB; 0 is no limit).
    ///
    /// Each reactor has an equal share. Over it, connections that hold more than 64 KiB take turns: one goes on, the others
    /// are not read until there is room (`ReactorStats::carry_waits`). A connection that then stops in the middle of its
    /// message for five seconds is closed with [`CloseReason::InputStalled`](crate::CloseReason::InputStalled).
    pub carries: usize,
    /// Bytes in an outbox above which sending answers `OverHigh` and reading from the connection pauses (default 256 KiB).
    ///
    /// Reading goes on, and [`Service::writable`](crate::Service::writable) is called, when at most a quarter of it is left.
    /// `ReactorStats::outbox_high` counts how often it was exceeded.
    pub outbox_high: usize,
    /// Bytes in an outbox above which `overflow` decides (default 4 MiB); at least `outbox_high`.
    ///
    /// A message into an outbox that is not over `outbox_high` is always accepted, whatever its size. So an outbox holds at
    /// most `outbox_hard`, or `outbox_high` and one message. Replies sent with
    /// [`Context::answer`](crate::Context::answer) are not bounded by it, and do not count when messages come behind them.
    pub outbox_hard: usize,
    /// The response to an outbox over `outbox_hard` (default [`Overflow::Close`]).
    pub overflow: Overflow,
    /// Letters that may wait in the mailbox of one reactor (default 16,384, at most [`Limits::LARGEST_MAILBOX`]).
    ///
    /// Memory for all of them is taken at the start. A further letter is refused with
    /// [`SendError::MailboxFull`](crate::SendError::MailboxFull), and counted in `ReactorStats::mailbox_full`. So is a further
    /// value of [`Context::notify_other`](crate::Context::notify_other), while so many wait on one reactor.
    pub mailbox: usize,
    /// Jobs of [`Pool::Compute`](crate::Pool) that wait or run in the whole engine (default 1,024).
    ///
    /// A further one is refused with [`OffloadFull`](crate::OffloadFull), and counted in `OffloadStats::refused`.
    pub offloads: usize,
    /// Number of threads of [`Pool::Compute`](crate::Pool); 0 is one for each processor (default).
    pub offload_threads: usize,
    /// Jobs of [`Pool::Blocking`](crate::Pool) that wait or run in the whole engine (default 1,024).
    ///
    /// A further one is refused with [`OffloadFull`](crate::OffloadFull), and counted in `OffloadStats::refused`.
    pub blocking_offloads: usize,
    /// Most threads of [`Pool::Blocking`](crate::Pool) (default 64). They start when they are needed, and end when idle for
    /// 10 s.
    pub blocking_threads: usize,
    /// Jobs of [`Pool::Files`](crate::Pool) that wait or run in the whole engine (default 1,024).
    ///
    /// A further one is refused with [`OffloadFull`](crate::OffloadFull), and counted in `OffloadStats::refused`.
    pub file_offloads: usize,
    /// Most threads of [`Pool::Files`](crate::Pool) (default 8). They start when they are needed, and end when idle for 10 s.
    pub file_threads: usize,
    /// Groups that one connection may be in (default 64). A further join is refused with
    /// [`JoinError::TooManyOfConnection`](crate::JoinError), and counted in `ReactorStats::joins_refused`.
    pub groups_per_connection: usize,
    /// Groups that may have members on one reactor (default 65,536). A further one is refused with
    /// [`JoinError::TooManyOfReactor`](crate::JoinError), and counted in `ReactorStats::joins_refused`.
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
    /// The largest value of [`mailbox`](Self::mailbox), because a mailbox takes memory for all letters that it may hold.
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
                "mailboxes of {asked} letters are too large: {most} is the most, because memory for all letters is taken at the start"
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
                 before they are asked to slow down; raise outbox_hard or lower outbox_high"
            )));
        }
        Ok(())
    }

    /// The names of those that take effect when an engine starts, where these are others than it has.
    pub(crate) fn pending_after(&self, before: &Self) -> Vec<&'static str> {
        let of = |limits: &Self| {
            [
                ("mailbox", limits.mailbox),
                ("offloads", limits.offloads),
                ("offload_threads", limits.offload_threads),
                ("blocking_offloads", limits.blocking_offloads),
                ("blocking_threads", limits.blocking_threads),
                ("file_offloads", limits.file_offloads),
                ("file_threads", limits.file_threads),
            ]
        };
        let both = of(self).into_iter().zip(of(before));
        both.filter(|(new, old)| new != old).map(|((name, _), _)| name).collect()
    }

    /// The mark at which a full outbox counts as drained.
    pub(crate) fn outbox_low(&self) -> usize {
        self.outbox_high / 4
    }
}

/// Says what happens to a connection whose outbox is over [`Limits::outbox_hard`], because its peer reads too slowly.
///
/// No policy stalls the publisher.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The connection is closed by a reset, with [`CloseReason::Slow`](crate::CloseReason::Slow).
    #[default]
    Close,
    /// The oldest messages are dropped, whole, until the outbox is within the limit; the newest stays.
    ///
    /// A message that has begun to leave is not dropped. Each message has a buffer of its own, which costs an allocation.
    /// `ServiceStats::dropped` counts the dropped messages.
    DropOldest,
    /// All messages but the newest are dropped.
    ///
    /// A message that has begun to leave is not dropped. Each message has a buffer of its own, which costs an allocation.
    /// `ServiceStats::dropped` counts the dropped messages.
    LatestOnly,
}

/// Sets the deadlines of connections: of all of an engine, or of one service.
///
/// `None` means no deadline; the longest is 24 days. Deadlines are kept to within a few milliseconds, and cost nothing per
/// message. An engine does not start with a deadline of zero, except `linger` and `half_close`.
///
/// ```
/// let mut timeouts = gannet::Timeouts::default();
/// timeouts.read_idle = Some(std::time::Duration::from_secs(300));
/// let engine = gannet::Engine::new().timeouts(timeouts);
/// ```
///
/// [`Service::timeouts`](crate::Service::timeouts) overrides the engine's deadlines for one service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// Time without traffic in either direction after which [`Service::idle`](crate::Service::idle) is called (default
    /// never). A connection that only receives, or only sends, is not idle.
    pub idle: Option<Duration>,
    /// Time without received bytes after which [`Service::idle`](crate::Service::idle) is called (default never).
    pub read_idle: Option<Duration>,
    /// Time without sent bytes after which [`Service::idle`](crate::Service::idle) is called (default never).
    pub write_idle: Option<Duration>,
    /// Time without received bytes after which [`Service::heartbeat`](crate::Service::heartbeat) is called, and again after
    /// each further such time (default 30 s). It does nothing for a service without a heartbeat.
    pub heartbeat: Option<Duration>,
    /// Number of heartbeats that may go unanswered (default 2). After one more `heartbeat` of silence the connection is
    /// closed with [`CloseReason::HeartbeatMissed`](crate::CloseReason::HeartbeatMissed).
    pub heartbeats_missed: u8,
    /// Time for the first complete message of a connection (default none). Over it, the connection is closed with
    /// [`CloseReason::OpeningTimeout`](crate::CloseReason::OpeningTimeout).
    pub first_message: Option<Duration>,
    /// Time for the handshake of a filter (TLS) of an accepted connection, before the service knows of it (default 10 s).
    ///
    /// Over it, the connection is closed with [`CloseReason::OpeningTimeout`](crate::CloseReason::OpeningTimeout). For
    /// outbound connections, [`Connect::timeout`](crate::Connect::timeout) includes the handshake.
    pub handshake: Duration,
    /// Time for the kernel to take some bytes of a waiting outbox (default 30 s). Over it, the connection is closed by a
    /// reset, with [`CloseReason::SlowWrite`](crate::CloseReason::SlowWrite).
    pub slow_write: Option<Duration>,
    /// Time for the peer to end its side of the stream after we ended ours (default 2 s). Then the connection closes.
    pub linger: Duration,
    /// Time for replies to a peer that half-closed its connection (default 30 s).
    ///
    /// It counts from the half-close or from the last bytes that left, whichever is later. Then the connection closes with
    /// [`CloseReason::Peer`](crate::CloseReason::Peer), or with [`CloseReason::SlowWrite`](crate::CloseReason::SlowWrite)
    /// if output still waits. See [half-close](crate::Service#half-close).
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
            first_message: None,
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
            ("first_message", self.first_message),
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
            ("first_message", |timeouts, zero| timeouts.first_message = zero),
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
