//! The numbers by which the protocol says why, with the texts that go along.

use std::borrow::Cow;

use super::push::{Disconnect, Unsubscribe};
use super::reply::Error;

/// Makes an enum of codes, with their numbers and texts.
macro_rules! codes {
    (
        $(#[$doc:meta])*
        $name:ident {
            $( $(#[$code_doc:meta])* $code:ident = $number:literal, $text:literal; )*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        #[repr(u32)]
        pub enum $name {
            $( $(#[$code_doc])* $code = $number, )*
        }

        impl $name {
            /// All codes of the protocol, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$( Self::$code, )*];

            /// Finds the code with this number, if the protocol has one.
            #[must_use]
            pub const fn from_number(number: u32) -> Option<Self> {
                match number {
                    $( $number => Some(Self::$code), )*
                    _ => None,
                }
            }

            /// Returns its number.
            #[must_use]
            pub const fn number(self) -> u32 {
                self as u32
            }

            /// Returns the text that goes along.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self {
                    $( Self::$code => $text, )*
                }
            }
        }
    };
}

codes! {
    /// Says why a command has failed. Numbers from 400 to 1999 are the application's.
    ErrorCode {
        /// 100: the server has a fault. Temporary.
        Internal = 100, "internal server error";
        /// 101: the client has not said who it is.
        Unauthorized = 101, "unauthorized";
        /// 102: the channel does not exist, for example because its namespace does not.
        UnknownChannel = 102, "unknown channel";
        /// 103: the client may not do that.
        PermissionDenied = 103, "permission denied";
        /// 104: there is no such method.
        MethodNotFound = 104, "method not found";
        /// 105: the client is subscribed already.
        AlreadySubscribed = 105, "already subscribed";
        /// 106: a limit of the server does not allow it.
        LimitExceeded = 106, "limit exceeded";
        /// 107: the request makes no sense.
        BadRequest = 107, "bad request";
        /// 108: that is turned off.
        NotAvailable = 108, "not available";
        /// 109: the token is not valid any more; the client gets a new one.
        TokenExpired = 109, "token expired";
        /// 110: the connection has expired, without a token.
        Expired = 110, "expired";
        /// 111: requests come too fast. Temporary.
        TooManyRequests = 111, "too many requests";
        /// 112: the history has not what the client asks for.
        UnrecoverablePosition = 112, "unrecoverable position";
    }
}

impl ErrorCode {
    /// Whether to try again later makes sense.
    #[must_use]
    pub const fn is_temporary(self) -> bool {
        matches!(self, Self::Internal | Self::TooManyRequests)
    }
}

impl From<ErrorCode> for Error<'_> {
    fn from(code: ErrorCode) -> Self {
        Self { code: code.number(), message: Cow::Borrowed(code.text()), temporary: code.is_temporary() }
    }
}

codes! {
    /// Says why the server has ended a subscription. From 2500 on, the client subscribes again.
    UnsubscribeCode {
        /// 2000: the server ended it for good.
        Server = 2000, "server unsubscribe";
        /// 2500: publications were lost.
        InsufficientState = 2500, "insufficient state";
        /// 2501: it was not refreshed in time.
        Expired = 2501, "subscription expired";
        /// 2502: what the client knows of the channel is not true any more.
        StateInvalidated = 2502, "state invalidated";
    }
}

impl UnsubscribeCode {
    /// Whether the client subscribes again by itself.
    #[must_use]
    pub const fn resubscribes(self) -> bool {
        self.number() >= 2500
    }
}

impl From<UnsubscribeCode> for Unsubscribe<'_> {
    fn from(code: UnsubscribeCode) -> Self {
        Self { code: code.number(), reason: Cow::Borrowed(code.text()) }
    }
}

codes! {
    /// Says why the server ends a session. On WebSocket it is the close code, and the text is the reason.
    ///
    /// Numbers from 4000 to 4999 are the application's. [`reconnects`] says after which ones clients come back.
    DisconnectCode {
        /// 3000: the connection was closed.
        ConnectionClosed = 3000, "connection closed";
        /// 3001: the server shuts down.
        Shutdown = 3001, "shutdown";
        /// 3004: the server has a fault.
        ServerError = 3004, "internal server error";
        /// 3005: the connection was not refreshed in time.
        Expired = 3005, "connection expired";
        /// 3006: a subscription was not refreshed in time.
        SubscriptionExpired = 3006, "subscription expired";
        /// 3008: the client does not read fast enough.
        Slow = 3008, "slow";
        /// 3009: the transport cannot be written to.
        WriteError = 3009, "write error";
        /// 3010: publications of a server-side subscription were lost.
        InsufficientState = 3010, "insufficient state";
        /// 3011: an operator wants the client to connect again.
        ForceReconnect = 3011, "force reconnect";
        /// 3012: the client did not answer a ping.
        NoPong = 3012, "no pong";
        /// 3013: requests come too fast.
        TooManyRequests = 3013, "too many requests";
        /// 3014: what the client knows is not true any more.
        StateInvalidated = 3014, "state invalidated";
        /// 3500: the token is not valid.
        InvalidToken = 3500, "invalid token";
        /// 3501: a message makes no sense, or comes out of order.
        BadRequest = 3501, "bad request";
        /// 3502: the client did not connect in time.
        Stale = 3502, "stale";
        /// 3503: an operator wants the client to stay away.
        ForceNoReconnect = 3503, "force disconnect";
        /// 3504: there are too many connections.
        ConnectionLimit = 3504, "connection limit";
        /// 3505: there are too many channels.
        ChannelLimit = 3505, "channel limit";
        /// 3506: the data cannot be sent in the client's format.
        InappropriateProtocol = 3506, "inappropriate protocol";
        /// 3507: the client may not connect.
        PermissionDenied = 3507, "permission denied";
        /// 3508: that is turned off.
        NotAvailable = 3508, "not available";
        /// 3509: the client caused too many errors.
        TooManyErrors = 3509, "too many errors";
    }
}

impl DisconnectCode {
    /// Whether clients connect again by themselves.
    #[must_use]
    pub const fn reconnects(self) -> bool {
        reconnects(self.number())
    }
}

impl From<DisconnectCode> for Disconnect<'_> {
    fn from(code: DisconnectCode) -> Self {
        Self { code: code.number(), reason: Cow::Borrowed(code.text()), reconnect: code.reconnects() }
    }
}

/// Whether clients connect again by themselves after a session that ended with this number.
///
/// They do below 3500, from 4000 to 4499 and from 5000 on. That 1009 is final for the SDK in JavaScript is a rule of
/// that SDK.
#[must_use]
pub const fn reconnects(number: u32) -> bool {
    !matches!(number, 3500..=3999 | 4500..=4999)
}
