//! What subscribing takes and gives.

use std::sync::Arc;

use bytes::Bytes;

use crate::position::{Position, Since};
use crate::publication::Publication;
use crate::settings::{Options, Overrides, RecoveryMode};

/// How a client wants to subscribe. The namespace's options decide what it gets.
#[derive(Debug, Clone, Default)]
pub struct Subscribe {
    /// The position from which the client asks to recover.
    pub recover: Option<Since>,
    /// Bytes of publications that recovery may return, where that is less than
    /// [`Limits::recovery_bytes`](crate::Limits::recovery_bytes). If it is 0, recovery succeeds only where nothing was missed.
    pub recover_bytes: Option<usize>,
    /// Asks for a position.
    pub positioned: bool,
    /// Asks to be able to recover later.
    pub recoverable: bool,
    /// Asks for join and leave events.
    pub join_leave: bool,
    /// What others learn of the client in this channel.
    pub chan_info: Option<Bytes>,
    /// The server subscribes the client. If it loses publications, the connection ends (3010), not the subscription.
    pub server_side: bool,
    /// What differs from the namespace's options.
    pub overrides: Overrides,
}

/// A subscription as it was made.
#[derive(Debug, Clone, Default)]
pub struct Subscribed {
    /// Where the stream stands for this subscriber; `None` if it is neither positioned nor recoverable.
    ///
    /// After a successful recovery of a stream, the offset repeats the client's own, and `publications` follow it.
    pub position: Option<Position>,
    /// Whether recovery succeeded; `None` if the client did not ask for it, or may not recover.
    pub recovered: Option<bool>,
    /// What the client missed, oldest first. Everything after it is pushed, without a gap and without a duplicate.
    pub publications: Vec<Arc<Publication>>,
    /// The subscriber is told of a loss.
    pub positioned: bool,
    /// The subscriber may recover after it was away.
    pub recoverable: bool,
}

/// What a subscriber's entry has to remember.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    /// A gap in the offsets has to be reported.
    pub(crate) const POSITIONED: Flags = Flags(1);
    /// Publications that a slow-subscriber policy leaves out count as a gap.
    pub(crate) const STRICT: Flags = Flags(1 << 1);
    /// Join and leave events are pushed.
    pub(crate) const WANTS_JOIN_LEAVE: Flags = Flags(1 << 2);
    /// Others learn of its leave.
    pub(crate) const TELLS_JOIN_LEAVE: Flags = Flags(1 << 3);
    /// The presence has it.
    pub(crate) const PRESENT: Flags = Flags(1 << 4);
    /// The server subscribed it.
    pub(crate) const SERVER_SIDE: Flags = Flags(1 << 5);
    /// It has an information of its own for this channel.
    pub(crate) const OWN_INFO: Flags = Flags(1 << 6);

    pub(crate) fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    pub(crate) fn set(&mut self, flag: Flags, on: bool) {
        if on {
            self.0 |= flag.0;
        }
    }
}

/// What a subscription gets, by what it asks for and what its namespace allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Granted {
    pub(crate) positioned: bool,
    pub(crate) recoverable: bool,
    pub(crate) flags: Flags,
}

impl Granted {
    pub(crate) fn new(request: &Subscribe, options: &Options) -> Self {
        let over = &request.overrides;
        let recoverable = options.has_history()
            && (over.force_recovery.unwrap_or(options.force_recovery) || request.recoverable && options.allow_recovery);
        // Who can recover has a position.
        let positioned = recoverable
            || options.has_history()
                && (over.force_positioning.unwrap_or(options.force_positioning)
                    || request.positioned && options.allow_positioning);
        let mut flags = Flags::default();
        flags.set(Flags::POSITIONED, positioned);
        flags.set(Flags::STRICT, positioned && options.recovery_mode == RecoveryMode::Stream);
        let pushed = over.force_push_join_leave.unwrap_or(options.force_push_join_leave);
        flags.set(Flags::WANTS_JOIN_LEAVE, pushed || request.join_leave);
        flags.set(Flags::TELLS_JOIN_LEAVE, over.join_leave.unwrap_or(options.join_leave));
        flags.set(Flags::PRESENT, over.presence.unwrap_or(options.presence));
        flags.set(Flags::SERVER_SIDE, request.server_side);
        flags.set(Flags::OWN_INFO, request.chan_info.is_some());
        Self { positioned, recoverable, flags }
    }
}
