//! One client or publisher, as its reactor holds it between two callbacks.

use std::collections::VecDeque;
use std::time::Duration;

use super::positions::Positions;
use crate::plan::{Simulated, pause};

/// Where a client is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its connection is being established.
    #[default]
    Dialing,
    /// The server was asked to switch to WebSocket.
    Upgrading,
    /// The command to connect was sent.
    Connecting,
    /// The commands to subscribe were sent.
    Subscribing,
    /// It is subscribed to all its channels, or publishes.
    Up,
    /// It has cut its connection, to come back at once.
    Cut,
    /// What became of it was counted, and its connection ends.
    Counted,
}

impl Stage {
    /// Names it in the reason of a failure.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Dialing | Self::Upgrading => "upgrade",
            Self::Connecting => "connect",
            Self::Subscribing | Self::Up | Self::Cut | Self::Counted => "subscribe",
        }
    }
}

/// One client, or one publisher.
#[derive(Debug, Default)]
pub struct Session {
    /// Clients come first, publishers after them.
    pub(super) number: u32,
    pub(super) stage: Stage,
    /// 0 until its first connect came to something, then 1; from 2 on where it is to come back, one more for each connect
    /// that failed meanwhile.
    pub(super) attempts: u8,
    /// Whether it was up before.
    pub(super) was_up: bool,
    /// Subscriptions whose reply is awaited.
    pub(super) awaited: u32,
    pub(super) positions: Positions,
    /// There for publishers only.
    pub(super) publishing: Option<Box<Publishing>>,
    /// When the connect began, on the run's clock.
    pub(super) began_ns: u64,
}

/// What a publisher does.
#[derive(Debug, Default)]
pub(super) struct Publishing {
    /// The next intended moment on the reactor's clock; 0 until the schedule begins.
    pub(super) due_ns: u64,
    /// How many it has published, or tried to: says which channel is next.
    pub(super) published: u64,
    /// The id of the next command.
    pub(super) id: u32,
    /// Those that were written and not answered.
    pub(super) pending: VecDeque<Pending>,
}

/// A publication that was written and not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pending {
    pub(super) id: u32,
    pub(super) channel: u32,
    /// Its number in the channel.
    pub(super) number: u32,
    pub(super) sent_ns: u64,
    /// How much later than intended it was written, ns.
    pub(super) late_ns: u64,
    /// Whether it was sent in the measured time.
    pub(super) counts: bool,
}

impl Session {
    /// The same client, to be connected once more: its positions stay.
    pub(super) fn later(mut self) -> Self {
        self.attempts = self.attempts.max(1).saturating_add(1);
        (self.stage, self.awaited) = (Stage::Dialing, 0);
        self
    }

    /// Whether its connection is to be opened once more, and has not come to anything yet.
    pub(super) fn is_returning(&self) -> bool {
        self.attempts >= 2
    }
}

impl Simulated for Session {
    fn number(&self) -> u32 {
        self.number
    }

    fn pause(&self) -> Duration {
        pause(self.attempts)
    }

    fn started(self, now: Duration) -> Self {
        Self { began_ns: now.as_nanos() as u64, ..self }
    }
}
