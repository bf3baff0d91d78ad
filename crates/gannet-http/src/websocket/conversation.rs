//! A WebSocket conversation: the request that asks for it, and what its connection's session holds of it.

use std::fmt;

#[cfg(feature = "deflate")]
use gannet::proto::ws::deflate;

use super::Handler;

/// A request that becomes a conversation, unless a layer changes the response.
pub(crate) struct Upgrade {
    pub(crate) lead: Box<dyn Lead>,
    #[cfg(feature = "deflate")]
    pub(crate) deflate: Option<deflate::Params>,
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").finish_non_exhaustive()
    }
}

pub(crate) struct Conversation {
    pub(crate) lead: Box<dyn Lead>,
    pub(crate) phase: Phase,
    /// The window of what is sent compressed; 0 where that was not agreed on.
    pub(crate) window_bits: u8,
}

/// A handler with the subprotocol that was chosen, in one piece of memory, so that a connection which has neither pays for
/// none.
pub(crate) trait Lead {
    fn parts(&mut self) -> (&mut dyn Handler, Option<&str>);
    fn handler(&self) -> &dyn Handler;
}

/// Without a subprotocol.
pub(crate) struct Plain<H>(pub(crate) H);

impl<H: Handler> Lead for Plain<H> {
    #[inline]
    fn parts(&mut self) -> (&mut dyn Handler, Option<&str>) {
        (&mut self.0, None)
    }

    fn handler(&self) -> &dyn Handler {
        &self.0
    }
}

/// With one.
pub(crate) struct Speaking<H>(pub(crate) H, pub(crate) Box<str>);

impl<H: Handler> Lead for Speaking<H> {
    #[inline]
    fn parts(&mut self) -> (&mut dyn Handler, Option<&str>) {
        (&mut self.0, Some(&self.1))
    }

    fn handler(&self) -> &dyn Handler {
        &self.0
    }
}

/// How far a conversation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Messages go both ways.
    Open,
    /// Our close frame was sent, and the client's is awaited: nothing else is heard or said.
    Closing,
    /// The handler was told of the end.
    Closed,
}

impl Conversation {
    pub(crate) fn new(lead: Box<dyn Lead>, window_bits: u8) -> Self {
        Self { lead, phase: Phase::Open, window_bits }
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation").field("phase", &self.phase).finish_non_exhaustive()
    }
}
