//! A stream before it begins, and while it is under way.

use std::fmt;
use std::time::Duration;

use gannet::proto::http::Chunks;
use gannet::{Group, SendStatus};

use super::{Ended, Source};
use crate::service::{Mode, Session};

/// How often a comment is sent on a stream of events, unless
/// [`Stream::comment_every`](crate::Stream::comment_every) sets another time.
///
/// Comments detect clients that are gone, and keep proxies from closing an idle connection.
pub const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// A comment of a stream of events: a line that clients skip.
const COMMENT: &[u8] = b":\n\n";

/// How long a body is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    /// Nobody knows.
    Open,
    /// So many bytes.
    Sized(u64),
}

/// A stream that is to begin when its handler has returned.
pub(crate) struct Beginning {
    pub(crate) source: Box<dyn Source>,
    pub(crate) length: Length,
    /// How often a sign of life is sent, and what it is.
    pub(crate) pulse: Option<(Duration, &'static [u8])>,
}

impl Beginning {
    pub(crate) fn new(length: Length, source: impl Source) -> Self {
        Self { source: Box::new(source), length, pulse: None }
    }

    /// For events.
    pub(crate) fn events(source: impl Source) -> Self {
        Self { pulse: Some((COMMENT_EVERY, COMMENT)), ..Self::new(Length::Open, source) }
    }
}

/// A stream that is under way.
pub(crate) struct Streaming {
    pub(crate) source: Box<dyn Source>,
    pub(crate) state: State,
}

pub(crate) struct State {
    pub(crate) body: Chunks,
    /// Bytes that are still to come, where the length was said.
    pub(crate) left: Option<u64>,
    pub(crate) serial: u64,
    /// Work on the offload pool.
    pub(crate) jobs: u32,
    pub(crate) fate: Fate,
    /// More was queued than is good.
    pub(crate) full: bool,
    /// The connection took something of it no more, since it ends.
    pub(crate) lost: bool,
    /// When the source is to be called.
    pub(crate) again: Option<Duration>,
    /// When it has to be over.
    pub(crate) until: Option<Duration>,
    pub(crate) pulse: Option<Pulse>,
    pub(crate) groups: Vec<Group>,
    /// The client has ended its side.
    pub(crate) half_closed: bool,
}

/// A sign of life for those who watch, by which a client that has gone without a word is found.
pub(crate) struct Pulse {
    pub(crate) every: Duration,
    pub(crate) piece: &'static [u8],
    pub(crate) due: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Going,
    Ended,
    Aborted,
}

impl State {
    /// How many of so many bytes may be sent.
    pub(crate) fn admit(&mut self, length: usize) -> usize {
        if self.fate != Fate::Going || self.body.is_none() {
            return 0;
        }
        let Some(left) = &mut self.left else { return length };
        if length as u64 > *left {
            tracing::error!(left, length, "a source sends more than was said; the rest is left out");
        }
        let admitted = (*left).min(length as u64);
        *left -= admitted;
        // It is at most what fitted before.
        admitted as usize
    }

    /// What is said of a piece of which nothing was sent.
    pub(crate) fn nothing(&self) -> SendStatus {
        match (self.fate, self.full) {
            (Fate::Going, false) if self.left != Some(0) => SendStatus::Queued,
            (Fate::Going, true) => SendStatus::OverHigh,
            _ => SendStatus::Closed,
        }
    }

    pub(crate) fn sent(&mut self, status: SendStatus) -> SendStatus {
        self.full |= status != SendStatus::Queued;
        self.lost |= status == SendStatus::Closed;
        status
    }

    pub(crate) fn has_room(&self) -> bool {
        self.fate == Fate::Going && !self.full && self.jobs == 0
    }
}

impl Streaming {
    /// The connection has ended.
    pub(crate) fn gone(mut self) {
        self.source.ended(Ended::Gone);
    }

    /// Whether the end of the connection is the end of the body (RFC 9112 §6.3), so that a client takes what came until
    /// then for all of it.
    pub(crate) fn ends_with_connection(&self) -> bool {
        self.state.left.is_none() && !self.state.body.is_chunked()
    }
}

impl fmt::Debug for Streaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming").field("left", &self.state.left).finish_non_exhaustive()
    }
}

pub(crate) fn is_stream(session: &Session, serial: u64) -> bool {
    matches!(&session.mode, Mode::Stream(streaming) if streaming.state.serial == serial)
}
