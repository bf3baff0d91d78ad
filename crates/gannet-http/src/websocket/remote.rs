//! The way into conversations from other threads.

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

/// What any thread can do with conversations, by the engine's [`Remote`]. Nothing here blocks. What one thread sends to
/// one conversation arrives in that order; what is for a connection that does not speak WebSocket, or has said that it
/// closes, is dropped.
pub trait RemoteExt {
    /// Sends a text to one conversation.
    ///
    /// # Errors
    ///
    /// As [`Remote::send`].
    fn send_text(&self, handle: Handle, text: impl Into<String>) -> Result<(), SendError>;

    /// Sends bytes to one conversation.
    ///
    /// # Errors
    ///
    /// As [`Remote::send`].
    fn send_binary(&self, handle: Handle, bytes: impl Into<Vec<u8>>) -> Result<(), SendError>;

    /// Sends a text to every member of a group, made into a frame once, here. All members have to be WebSocket
    /// conversations: it goes to each connection of the group as it is.
    ///
    /// # Errors
    ///
    /// As [`Remote::broadcast`].
    fn broadcast_text(&self, group: Group, text: &str) -> Result<(), SendError>;

    /// Sends bytes to every member of a group: see [`broadcast_text`](Self::broadcast_text).
    ///
    /// # Errors
    ///
    /// As [`Remote::broadcast`].
    fn broadcast_binary(&self, group: Group, bytes: &[u8]) -> Result<(), SendError>;

    /// Closes a conversation as [`Socket::close`](super::Socket::close) does.
    ///
    /// # Errors
    ///
    /// As [`Remote::send`].
    fn close_socket(&self, handle: Handle, code: CloseCode, reason: impl Into<String>) -> Result<(), SendError>;

    /// Gives a value to a conversation: its [`Handler::notice`](super::Handler::notice) is called on its reactor.
    ///
    /// # Errors
    ///
    /// As [`Remote::send`]; the error gives the value back.
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
