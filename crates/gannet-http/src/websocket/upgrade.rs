//! From a request to a conversation.

use std::fmt;

use gannet::Context;
use gannet::proto::http::{Answer, Method, Response, Version};
use gannet::proto::ws;

use super::conversation::{Lead, Plain, Speaking};
use super::{Conversation, Handler, Handshake, HandshakeError};
use crate::clock::Date;
use crate::cx::Cx;
use crate::draft::Draft;
use crate::next::Next;
use crate::service::{HttpService, Mode, Session};
use crate::wire::Spoken;

/// A request that becomes a conversation, unless a layer changes the response.
pub(crate) struct Upgrade {
    lead: Box<dyn Lead>,
    #[cfg(feature = "deflate")]
    deflate: Option<ws::deflate::Params>,
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade").finish_non_exhaustive()
    }
}

/// WebSocket.
impl Cx<'_> {
    /// Answers with 101: from here on the connection speaks WebSocket, led by `handler`, and this service's HTTP
    /// deadlines count no more for it. It happens when the handler and all layers have returned, unless one of them
    /// has changed the status.
    ///
    /// A request that `handshake` does not accept (RFC 6455 §4.2.1) is answered with the status that says why: 405 where
    /// it is no `GET`, 426 where it does not ask for WebSocket of version 13, 400 where it asks in a wrong way, 403 where
    /// its origin is not allowed. `HEAD` is answered as a `GET` that does not ask for WebSocket: 426 (RFC 9110 §9.3.2).
    /// While the server shuts down, the answer is 503.
    pub fn websocket(&mut self, handshake: &Handshake, handler: impl Handler) {
        let version = match self.request.version {
            Version::Http10 => (1, 0),
            Version::Http11 => (1, 1),
        };
        let checked = match self.request.method {
            Method::Head => Err(HandshakeError::NoUpgrade),
            method => handshake.check(method.as_str(), version, self.request.headers()),
        };
        let accept = match checked {
            Ok(accept) => accept,
            Err(error) => {
                self.refuse(error.status(), "");
                writeln!(self, "{error}");
                for (name, value) in error.headers().iter().filter(|(name, _)| *name != "Connection") {
                    self.header(name, value);
                }
                return;
            }
        };
        if self.is_draining() {
            return self.refuse(503, "shutting down\n");
        }
        self.reset();
        self.status(101);
        for (name, value) in accept.headers().filter(|(name, _)| !matches!(*name, "Connection" | "Upgrade")) {
            self.header(name, value.as_bytes());
        }
        self.draft.next = Some(Next::WebSocket(Upgrade {
            lead: match accept.protocol {
                Some(protocol) => Box::new(Speaking(handler, protocol.into())),
                None => Box::new(Plain(handler)),
            },
            #[cfg(feature = "deflate")]
            deflate: accept.deflate,
        }));
    }
}

impl HttpService {
    /// Sends the response, and lets the conversation begin where it still is a 101.
    pub(crate) fn upgrade(
        &mut self,
        upgrade: Upgrade,
        answer: Answer,
        session: &mut Session,
        cx: &mut Context<'_, Self>,
    ) {
        if self.draft.status != 101 || self.draft.fault.is_some() {
            return self.send(answer, cx);
        }
        self.out.clear();
        self.draft.switch(&mut self.out, answer, self.date.at(cx.now()));
        cx.answer(&self.out);
        #[cfg(feature = "deflate")]
        let (state, window_bits) = match upgrade.deflate {
            Some(params) => (self.codec.websocket.compressed_state(params), params.server_window_bits()),
            None => (ws::State::default(), 0),
        };
        #[cfg(not(feature = "deflate"))]
        let (state, window_bits) = (ws::State::default(), 0);
        *cx.codec_state() = Spoken::WebSocket(state);
        cx.cancel_timer();
        cx.begin_heartbeat();
        session.mode = Mode::WebSocket(Conversation::new(upgrade.lead, window_bits));
        self.with_handler(session, cx, |handler, socket| handler.open(socket));
    }
}

impl Draft {
    /// Writes the response that ends HTTP on a connection.
    fn switch(&mut self, out: &mut Vec<u8>, answer: Answer, date: &Date) {
        let mut response = Response::new(out, answer, 101);
        if self.headers.get("date").is_none() {
            response.headers(date.fields(false));
        }
        response.headers(&self.headers);
        // It can be sent.
        let _ = response.upgrade("websocket");
    }
}
