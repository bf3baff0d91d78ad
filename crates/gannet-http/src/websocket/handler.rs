//! What leads a conversation.

use std::any::Any;

use super::{Close, Socket};

/// Leads one WebSocket conversation: made for it by the handler of a route, and called on its reactor's thread only, so
/// it needs no locks and need not be `Send`. No method may block. One without size takes no memory.
///
/// A panic closes the connection it happened for.
pub trait Handler: 'static {
    /// The client was told that the conversation begins; what is sent from here on reaches it.
    fn open(&mut self, socket: &mut Socket<'_>) {
        let _ = socket;
    }

    /// A text came. It borrows from the receive buffer where it came in one frame.
    fn text(&mut self, text: &str, socket: &mut Socket<'_>);

    /// Bytes came. They borrow from the receive buffer where they came in one frame.
    fn binary(&mut self, bytes: &[u8], socket: &mut Socket<'_>);

    /// The outbox was over its high mark ([`SendStatus::OverHigh`](gannet::SendStatus)) and now has room again.
    fn writable(&mut self, socket: &mut Socket<'_>) {
        let _ = socket;
    }

    /// The timer set with [`Socket::set_timer`] fired.
    fn timer(&mut self, socket: &mut Socket<'_>) {
        let _ = socket;
    }

    /// A value came from another thread by [`RemoteExt::notify_socket`](super::RemoteExt::notify_socket), or from
    /// [`Socket::offload`].
    fn notice(&mut self, value: Box<dyn Any + Send>, socket: &mut Socket<'_>) {
        let _ = (value, socket);
    }

    /// The conversation is over, whoever ended it and how. `close` is what the client's close frame said: nothing where
    /// none came, or one without a code. Called once, last; nothing can be sent to this client any more, to groups it can,
    /// which this connection has left.
    fn close(&mut self, close: Option<Close<'_>>, socket: &mut Socket<'_>) {
        let _ = (close, socket);
    }
}
