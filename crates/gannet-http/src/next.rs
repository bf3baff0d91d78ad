//! What comes after a handler, where that is not just its response.

use gannet::Context;
use gannet::proto::http::Answer;

use crate::service::{HttpService, Session};
use crate::websocket::Upgrade;

/// What a handler wants done when it has returned.
#[derive(Debug)]
pub(crate) enum Next {
    /// The connection speaks WebSocket from here on.
    WebSocket(Upgrade),
}

impl HttpService {
    /// Does what a handler wanted done.
    pub(crate) fn follow(&mut self, next: Next, answer: Answer, session: &mut Session, cx: &mut Context<'_, Self>) {
        match next {
            Next::WebSocket(upgrade) => self.upgrade(upgrade, answer, session, cx),
        }
    }
}
