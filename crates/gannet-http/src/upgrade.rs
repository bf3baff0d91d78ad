//! Upgrades a connection to WebSocket, from the handler of a route.

use gannet::proto::http::{Method, Version};

use crate::cx::Cx;
use crate::next::Next;
use crate::websocket::{Handler, Handshake, HandshakeError, Plain, Speaking, Upgrade};

/// WebSocket.
impl Cx<'_> {
    /// Upgrades the connection to WebSocket: answers with 101, and `handler` gets its messages.
    ///
    /// This takes effect when the handler and all layers have returned, unless one of them has changed the status. From then
    /// on the deadlines for HTTP do not apply to the connection.
    ///
    /// If `handshake` does not accept the request (RFC 6455 §4.2.1), the status says why:
    ///
    /// | status | reason |
    /// |---|---|
    /// | 405 | the method is neither `GET` nor `HEAD` |
    /// | 426 | the request does not ask for WebSocket of version 13, or is a `HEAD` (RFC 9110 §9.3.2) |
    /// | 400 | the request asks for it in a malformed way |
    /// | 403 | the origin is not allowed |
    /// | 503 | the server shuts down |
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
