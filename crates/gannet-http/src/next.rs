//! What comes after a handler has returned, where the response is not whole by then.

use std::fmt;

use gannet::Context;
use gannet::proto::http::Answer;

use crate::deferred::Start;
use crate::receive::Reception;
use crate::service::{HttpService, Session};
use crate::stream::Beginning;
use crate::websocket::Upgrade;

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

impl HttpService {
    /// Does what a handler left to be done, or what makes a response later.
    #[cold]
    pub(crate) fn follow(&mut self, next: Next, answer: Answer, session: &mut Session, cx: &mut Context<'_, Self>) {
        match next {
            Next::Deferred(start) => self.defer(start, answer, session, cx),
            // It has none, or one that was dropped.
            Next::Receive(reception) => self.receive_whole(reception, &[], answer, session, cx),
            Next::Stream(beginning) => self.begin_stream(beginning, answer, session, cx),
            Next::WebSocket(upgrade) => self.upgrade(upgrade, answer, session, cx),
        }
    }
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
