//! What comes after a handler has returned, where the response is not whole by then.

use std::fmt;

use gannet::{Context, OffloadFull};

use crate::receive::Reception;
use crate::service::HttpService;
use crate::stream::Beginning;
use crate::websocket::Upgrade;

/// Begins the work for a response, for the request of this number.
pub(crate) type Start = Box<dyn FnOnce(&mut Context<'_, HttpService>, u64) -> Result<(), OffloadFull>>;

/// What a handler left to be done.
pub(crate) enum Next {
    /// The response comes later; the work for it is to be begun, where there is some.
    Deferred(Option<Start>),
    /// The body of the request is taken as it comes.
    Receive(Reception),
    /// The body is written piece by piece.
    Stream(Beginning),
    /// The connection speaks WebSocket from here on.
    WebSocket(Upgrade),
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deferred(_) => "Deferred",
            Self::Receive(_) => "Receive",
            Self::Stream(_) => "Stream",
            Self::WebSocket(_) => "WebSocket",
        })
    }
}
