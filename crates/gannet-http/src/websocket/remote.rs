//! Reaches WebSocket conversations from other threads.

use std::any::Any;

use gannet::proto::ws::{Frame, WebSocket};
use gannet::{Group, Handle, NotifyError, Remote, SendError};

use super::CloseCode;
use crate::service::HttpService;

/// What is given to a conversation from elsewhere.
pub(crate) enum Letter {
    Text(String),
    Binary(Vec<u8>),
    Close(CloseCode, String),
    Notice(Box<dyn Any + Send>),
}

/// Reaches WebSocket conversations from any thread, with the engine's [`Remote`]. No method blocks.
///
/// Messages of one thread to one conversation arrive in order. They are dropped if the connection does not speak WebSocket,
/// or has sent its close frame.
pub trait RemoteExt {
    /// Sends a text to one conversation.
    ///
    /// # Errors
    ///
    /// [`SendError`] says why the connection cannot be reached.
    fn send_text(&self, handle: Handle, text: impl Into<String>) -> Result<(), SendError>;

    /// Sends bytes to one conversation.
    ///
    /// # Errors
    ///
    /// [`SendError`] says why the connection cannot be reached.
    fn send_binary(&self, handle: Handle, bytes: impl Into<Vec<u8>>) -> Result<(), SendError>;

    /// Sends a text to every member of a group, on all reactors.
    ///
    /// The frame is encoded once, here. All members have to be WebSocket conversations, because each connection gets the
    /// frame as it is.
    ///
    /// # Errors
    ///
    /// [`SendError::MailboxFull`]: the mailbox of a reactor was full. Its members do not get the text; all others do.
    fn broadcast_text(&self, group: Group, text: &str) -> Result<(), SendError>;

    /// Sends bytes to every member of a group, on all reactors; see [`broadcast_text`](Self::broadcast_text).
    ///
    /// # Errors
    ///
    /// [`SendError::MailboxFull`]: the mailbox of a reactor was full. Its members do not get the bytes; all others do.
    fn broadcast_binary(&self, group: Group, bytes: &[u8]) -> Result<(), SendError>;

    /// Begins the close handshake of a conversation, as [`Socket::close`](super::Socket::close) does.
    ///
    /// # Errors
    ///
    /// [`SendError`] says why the connection cannot be reached.
    fn close_socket(&self, handle: Handle, code: CloseCode, reason: impl Into<String>) -> Result<(), SendError>;

    /// Gives a value to a conversation: its [`Handler::notice`](super::Handler::notice) is called on its reactor.
    ///
    /// # Errors
    ///
    /// [`NotifyError`] says why the connection cannot be reached, and gives the value back.
    fn notify_socket<T: Any + Send>(&self, handle: Handle, value: T) -> Result<(), NotifyError<T>>;
}

impl RemoteExt for Remote {
    fn send_text(&self, handle: Handle, text: impl Into<String>) -> Result<(), SendError> {
        Ok(self.notify::<HttpService, _>(handle, Letter::Text(text.into()))?)
    }

    fn send_binary(&self, handle: Handle, bytes: impl Into<Vec<u8>>) -> Result<(), SendError> {
        Ok(self.notify::<HttpService, _>(handle, Letter::Binary(bytes.into()))?)
    }

    fn broadcast_text(&self, group: Group, text: &str) -> Result<(), SendError> {
        self.broadcast(group, &WebSocket::server(), Frame::text(text))
    }

    fn broadcast_binary(&self, group: Group, bytes: &[u8]) -> Result<(), SendError> {
        self.broadcast(group, &WebSocket::server(), Frame::binary(bytes))
    }

    fn close_socket(&self, handle: Handle, code: CloseCode, reason: impl Into<String>) -> Result<(), SendError> {
        Ok(self.notify::<HttpService, _>(handle, Letter::Close(code, reason.into()))?)
    }

    fn notify_socket<T: Any + Send>(&self, handle: Handle, value: T) -> Result<(), NotifyError<T>> {
        self.notify::<HttpService, _>(handle, Letter::Notice(Box::new(value))).map_err(
            |NotifyError { value, reason }| {
                let Letter::Notice(value) = value else { unreachable!("the letter comes back as it was given") };
                let Ok(value) = value.downcast() else { unreachable!("the value comes back as it was given") };
                NotifyError { value: *value, reason }
            },
        )
    }
}
