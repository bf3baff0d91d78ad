//! Has a connection speak WebSocket: what a handler of a route calls.

use gannet::proto::http::{Method, Version};

use crate::cx::Cx;
use crate::next::Next;
use crate::websocket::{Handler, Handshake, HandshakeError, Plain, Speaking, Upgrade};

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
