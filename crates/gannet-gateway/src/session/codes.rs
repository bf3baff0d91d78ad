//! What clients are told when something fails: the error of a command, the end of a connection.

use std::borrow::Cow;

use gannet_http::websocket::CloseCode;
use gannet_proto::centrifuge::{DisconnectCode, ErrorCode};

/// Says why a command was not carried out. Codes from 400 to 1999 are the application's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReply {
    /// The code.
    pub code: u32,
    /// What it says.
    pub message: Cow<'static, str>,
    /// Whether the same command may succeed later.
    pub temporary: bool,
}

impl ErrorReply {
    /// [`ErrorCode::Internal`].
    pub const INTERNAL: Self = Self::of(ErrorCode::Internal);
    /// [`ErrorCode::Unauthorized`].
    pub const UNAUTHORIZED: Self = Self::of(ErrorCode::Unauthorized);
    /// [`ErrorCode::UnknownChannel`].
    pub const UNKNOWN_CHANNEL: Self = Self::of(ErrorCode::UnknownChannel);
    /// [`ErrorCode::PermissionDenied`].
    pub const PERMISSION_DENIED: Self = Self::of(ErrorCode::PermissionDenied);
    /// [`ErrorCode::MethodNotFound`].
    pub const METHOD_NOT_FOUND: Self = Self::of(ErrorCode::MethodNotFound);
    /// [`ErrorCode::AlreadySubscribed`].
    pub const ALREADY_SUBSCRIBED: Self = Self::of(ErrorCode::AlreadySubscribed);
    /// [`ErrorCode::LimitExceeded`].
    pub const LIMIT_EXCEEDED: Self = Self::of(ErrorCode::LimitExceeded);
    /// [`ErrorCode::BadRequest`].
    pub const BAD_REQUEST: Self = Self::of(ErrorCode::BadRequest);
    /// [`ErrorCode::NotAvailable`].
    pub const NOT_AVAILABLE: Self = Self::of(ErrorCode::NotAvailable);
    /// [`ErrorCode::TokenExpired`].
    pub const TOKEN_EXPIRED: Self = Self::of(ErrorCode::TokenExpired);
    /// [`ErrorCode::Expired`].
    pub const EXPIRED: Self = Self::of(ErrorCode::Expired);
    /// [`ErrorCode::TooManyRequests`].
    pub const TOO_MANY_REQUESTS: Self = Self::of(ErrorCode::TooManyRequests);
    /// [`ErrorCode::UnrecoverablePosition`].
    pub const UNRECOVERABLE_POSITION: Self = Self::of(ErrorCode::UnrecoverablePosition);

    const fn of(code: ErrorCode) -> Self {
        Self { code: code.number(), message: Cow::Borrowed(code.text()), temporary: code.is_temporary() }
    }
}

impl From<ErrorCode> for ErrorReply {
    fn from(code: ErrorCode) -> Self {
        Self::of(code)
    }
}

/// Says why a connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    /// The code of the close frame.
    pub code: u16,
    /// What it says.
    pub reason: Cow<'static, str>,
}

impl Disconnect {
    /// [`DisconnectCode::Shutdown`].
    pub const SHUTDOWN: Self = Self::of(DisconnectCode::Shutdown);
    /// [`DisconnectCode::ServerError`].
    pub const SERVER_ERROR: Self = Self::of(DisconnectCode::ServerError);
    /// [`DisconnectCode::Expired`].
    pub const EXPIRED: Self = Self::of(DisconnectCode::Expired);
    /// [`DisconnectCode::SubscriptionExpired`].
    pub const SUBSCRIPTION_EXPIRED: Self = Self::of(DisconnectCode::SubscriptionExpired);
    /// [`DisconnectCode::Slow`].
    pub const SLOW: Self = Self::of(DisconnectCode::Slow);
    /// [`DisconnectCode::InsufficientState`].
    pub const INSUFFICIENT_STATE: Self = Self::of(DisconnectCode::InsufficientState);
    /// [`DisconnectCode::NoPong`].
    pub const NO_PONG: Self = Self::of(DisconnectCode::NoPong);
    /// [`DisconnectCode::TooManyRequests`].
    pub const TOO_MANY_REQUESTS: Self = Self::of(DisconnectCode::TooManyRequests);
    /// [`DisconnectCode::InvalidToken`].
    pub const INVALID_TOKEN: Self = Self::of(DisconnectCode::InvalidToken);
    /// [`DisconnectCode::BadRequest`].
    pub const BAD_REQUEST: Self = Self::of(DisconnectCode::BadRequest);
    /// [`DisconnectCode::Stale`].
    pub const STALE: Self = Self::of(DisconnectCode::Stale);
    /// [`DisconnectCode::ForceNoReconnect`].
    pub const FORCE_NO_RECONNECT: Self = Self::of(DisconnectCode::ForceNoReconnect);
    /// [`DisconnectCode::ConnectionLimit`].
    pub const CONNECTION_LIMIT: Self = Self::of(DisconnectCode::ConnectionLimit);
    /// [`DisconnectCode::ChannelLimit`].
    pub const CHANNEL_LIMIT: Self = Self::of(DisconnectCode::ChannelLimit);
    /// [`DisconnectCode::InappropriateProtocol`].
    pub const INAPPROPRIATE_PROTOCOL: Self = Self::of(DisconnectCode::InappropriateProtocol);
    /// [`DisconnectCode::PermissionDenied`].
    pub const PERMISSION_DENIED: Self = Self::of(DisconnectCode::PermissionDenied);
    /// [`DisconnectCode::NotAvailable`].
    pub const NOT_AVAILABLE: Self = Self::of(DisconnectCode::NotAvailable);

    /// Makes one of a code and a reason, of which a close frame has room for 123 bytes.
    #[must_use]
    pub fn new(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// Returns the code of the close frame.
    pub(crate) fn close_code(&self) -> CloseCode {
        // All that are not for WebSocket itself can be one.
        CloseCode::new(self.code).unwrap_or(CloseCode::INTERNAL)
    }

    const fn of(code: DisconnectCode) -> Self {
        // All of them are codes of WebSocket.
        Self { code: code.number() as u16, reason: Cow::Borrowed(code.text()) }
    }
}

impl From<DisconnectCode> for Disconnect {
    fn from(code: DisconnectCode) -> Self {
        Self::of(code)
    }
}
