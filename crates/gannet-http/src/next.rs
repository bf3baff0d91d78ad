//! What comes after a handler has returned, where the response is not whole by then.

use std::fmt;

use crate::deferred::Start;
use crate::stream::Beginning;
use crate::websocket::Upgrade;

/// What a handler left to be done.
pub(crate) enum Next {
    /// The response comes later; the work for it is to be begun, where there is some.
    Deferred(Option<Start>),
    /// The body is written piece by piece.
    Stream(Beginning),
    /// The connection speaks WebSocket from here on.
    WebSocket(Upgrade),
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deferred(_) => "Deferred",
            Self::Stream(_) => "Stream",
            Self::WebSocket(_) => "WebSocket",
        })
    }
}
