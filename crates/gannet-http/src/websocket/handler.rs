//! The trait that WebSocket applications implement.

use std::any::Any;

use gannet::Description;

use super::{Close, CloseCode, Socket};

/// Handles one WebSocket conversation. The handler of a route makes it and passes it to
/// [`Cx::websocket`](crate::Cx::websocket).
///
/// It is called on its reactor's thread only, so it needs no locks and need not be `Send`. No method may block. A type
/// without fields takes no memory.
///
/// The order of calls: `open` first, then messages and other events, `close` last. A panic closes the connection that it
/// happened for.
pub trait Handler: 'static {
    /// Is called first, when the upgrade was answered. From now on messages can be sent.
    fn open(&mut self, socket: &mut Socket<'_>) {
        let _ = socket;
    }

    /// Receives a text. If it came in one frame, it borrows from the receive buffer.
    fn text(&mut self, text: &str, socket: &mut Socket<'_>);

    /// Receives bytes. If they came in one frame, they borrow from the receive buffer.
    fn binary(&mut self, bytes: &[u8], socket: &mut Socket<'_>);

    /// Is called when the outbox has room again, after it was over its high mark
    /// ([`SendStatus::OverHigh`](gannet::SendStatus)).
    fn writable(&mut self, socket: &mut Socket<'_>) {
        let _ = socket;
    }

    /// Is called when the timer fires that was set with [`Socket::set_timer`].
    fn timer(&mut self, socket: &mut Socket<'_>) {
        let _ = socket;
    }

    /// Receives a value from another thread ([`RemoteExt::notify_socket`](super::RemoteExt::notify_socket)), or the result
    /// of [`Socket::offload`].
    fn notice(&mut self, value: Box<dyn Any + Send>, socket: &mut Socket<'_>) {
        let _ = (value, socket);
    }

    /// Is called when this client shall leave, because the server shuts down; by default it closes with
    /// [`Socket::shutdown_code`].
    ///
    /// A handler whose protocol has a close code of its own closes with that. A conversation that stays open ends when the
    /// engine's drain timeout is over.
    fn shutdown(&mut self, socket: &mut Socket<'_>) {
        socket.close(socket.shutdown_code(), "shutting down");
    }

    /// Is called when an operator wants the connection closed; by default it closes with 1008.
    fn kick(&mut self, socket: &mut Socket<'_>) {
        socket.close(CloseCode::POLICY, "closed by an operator");
    }

    /// Says what operators shall know of the conversation, such as its user (default: nothing).
    fn describe(&self, into: &mut Description) {
        let _ = into;
    }

    /// Is called once, last, when the conversation is over, no matter which side ended it.
    ///
    /// `close` is the client's close frame; it is `None` if none came, or one without a code. Nothing can be sent to this
    /// client any more. The connection has left its groups; broadcasts to them are possible.
    fn close(&mut self, close: Option<Close<'_>>, socket: &mut Socket<'_>) {
        let _ = (close, socket);
    }
}
