//! Checks a client's request, and answers it.

use std::borrow::Cow;

use base64::Engine as _;
use thiserror::Error;

use super::{BASE64, answer, has, list};
use crate::Sink;
#[cfg(feature = "deflate")]
use crate::ws::deflate::Params;

/// Checks requests for WebSocket connections. It knows the server's subprotocols, allowed origins and compression.
///
/// By default there is no subprotocol, every origin is allowed, and nothing is compressed.
///
/// ```
/// use gannet_proto::ws::{Handshake, HandshakeError};
///
/// let handshake = Handshake::new().protocols(["chat"]).origins(["https://example.com"]);
/// let headers = [
///     ("Host", &b"example.com"[..]),
///     ("Connection", b"Upgrade"),
///     ("Upgrade", b"websocket"),
///     ("Sec-WebSocket-Version", b"13"),
///     ("Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
///     ("Sec-WebSocket-Protocol", b"superchat, chat"),
///     ("Origin", b"https://example.com"),
/// ];
/// let accept = handshake.check("GET", (1, 1), headers)?;
/// assert_eq!(accept.protocol, Some("chat"));
/// let mut response = Vec::new();
/// accept.write(&mut response);
/// assert!(response.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
/// # Ok::<(), HandshakeError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Handshake {
    protocols: Vec<String>,
    origins: Option<Vec<String>>,
    #[cfg(feature = "deflate")]
    deflate: Option<Params>,
}

impl Handshake {
    /// Makes a handshake that accepts every client, without a subprotocol and without compression.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the subprotocols that the server speaks (RFC 6455 §1.9).
    ///
    /// The first one that the client names and the server speaks is chosen. If there is none, the connection has no
    /// subprotocol, and the client decides what to do.
    #[must_use]
    pub fn protocols<T: Into<String>>(self, names: impl IntoIterator<Item = T>) -> Self {
        Self { protocols: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// Sets the origins whose pages may connect, such as `https://example.com`; others are refused (RFC 6455 §10.2).
    ///
    /// An origin is compared byte for byte with the browser's: scheme, host in lower case, port unless it is the
    /// scheme's default, and no slash at the end.
    ///
    /// Browsers always send the origin of the page. A request without one is accepted: it comes from another program,
    /// which could send any origin.
    #[must_use]
    pub fn origins<T: Into<String>>(self, origins: impl IntoIterator<Item = T>) -> Self {
        Self { origins: Some(origins.into_iter().map(Into::into).collect()), ..self }
    }

    /// Agrees on permessage-deflate with clients that offer it, within these parameters (RFC 7692 §7.1).
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(self, params: Params) -> Self {
        Self { deflate: Some(params), ..self }
    }

    /// Checks a request (RFC 6455 §4.2.1). `version` is the major and minor version of HTTP; names of headers may be
    /// in any case.
    ///
    /// It looks at WebSocket's headers only; the caller checks the path.
    ///
    /// # Errors
    ///
    /// [`HandshakeError`] says why, and knows the status to answer with.
    pub fn check<'r>(
        &self,
        method: &str,
        version: (u8, u8),
        headers: impl IntoIterator<Item = (&'r str, &'r [u8])>,
    ) -> Result<Accept<'_>, HandshakeError> {
        let (mut connection, mut upgrade, mut known_version) = (false, false, false);
        let (mut key, mut keys, mut origin) = (None, 0, true);
        let mut protocol = None;
        #[cfg(feature = "deflate")]
        let mut deflate = None;

        for (name, value) in headers {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            if is("Connection") {
                connection |= has(value, "upgrade");
            } else if is("Upgrade") {
                upgrade |= has(value, "websocket");
            } else if is("Sec-WebSocket-Version") {
                known_version |= value.trim_ascii() == b"13";
            } else if is("Sec-WebSocket-Key") {
                key = Some(value.trim_ascii());
                keys += 1;
            } else if is("Origin") {
                origin &= self.knows_origin(value.trim_ascii());
            } else if is("Sec-WebSocket-Protocol") {
                let known = |name: &[u8]| self.protocols.iter().find(|known| known.as_bytes() == name);
                protocol = protocol.or_else(|| list(value).find_map(known));
            } else if is("Sec-WebSocket-Extensions") {
                #[cfg(feature = "deflate")]
                if let (None, Some(params)) = (deflate, &self.deflate) {
                    deflate = params.accept(value);
                }
            }
        }

        if method != "GET" {
            return Err(HandshakeError::Method);
        }
        if version < (1, 1) {
            return Err(HandshakeError::HttpVersion);
        }
        if !(connection && upgrade) {
            return Err(HandshakeError::NoUpgrade);
        }
        if !known_version {
            return Err(HandshakeError::Version);
        }
        let key = key.filter(|key| keys == 1 && is_key(key)).ok_or(HandshakeError::Key)?;
        if !origin {
            return Err(HandshakeError::Origin);
        }
        Ok(Accept {
            answer: answer(key),
            protocol: protocol.map(String::as_str),
            #[cfg(feature = "deflate")]
            deflate,
        })
    }

    fn knows_origin(&self, origin: &[u8]) -> bool {
        // The scheme and the host have no case (RFC 6454 §4).
        let known = |origins: &Vec<String>| origins.iter().any(|known| known.as_bytes().eq_ignore_ascii_case(origin));
        self.origins.as_ref().is_none_or(known)
    }
}

/// Whether `key` stands for 16 bytes.
fn is_key(key: &[u8]) -> bool {
    let mut bytes = [0; 18];
    key.len() == 24 && BASE64.decode_slice(key, &mut bytes) == Ok(16)
}

/// Answers a request that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accept<'h> {
    answer: String,
    /// The subprotocol that was chosen.
    pub protocol: Option<&'h str>,
    /// The compression that was agreed on. If there is one, make the connection's state with
    /// [`WebSocket::compressed_state`](crate::ws::WebSocket::compressed_state).
    #[cfg(feature = "deflate")]
    pub deflate: Option<Params>,
}

impl Accept<'_> {
    /// Returns the headers of the answer, whose status is 101 (RFC 6455 §4.2.2).
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, Cow<'_, str>)> {
        let always = [
            ("Upgrade", "websocket".into()),
            ("Connection", "Upgrade".into()),
            ("Sec-WebSocket-Accept", self.answer.as_str().into()),
        ];
        let protocol = self.protocol.map(|name| ("Sec-WebSocket-Protocol", name.into()));
        #[cfg(feature = "deflate")]
        let extension = self.deflate.map(|params| ("Sec-WebSocket-Extensions", params.response().into()));
        #[cfg(not(feature = "deflate"))]
        let extension = None;
        always.into_iter().chain(protocol).chain(extension)
    }

    /// Writes the whole answer.
    pub fn write(&self, out: &mut impl Sink) {
        out.put(b"HTTP/1.1 101 Switching Protocols\r\n");
        for (name, value) in self.headers() {
            for part in [name, ": ", &value, "\r\n"] {
                out.put(part.as_bytes());
            }
        }
        out.put(b"\r\n");
    }
}

/// Says why a request does not become a WebSocket connection. Answer it with [`status`](Self::status) and
/// [`headers`](Self::headers).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The method is not GET.
    #[error("method is not GET")]
    Method,
    /// HTTP is older than 1.1.
    #[error("HTTP is older than 1.1")]
    HttpVersion,
    /// The request does not ask for an upgrade to WebSocket.
    #[error("request does not ask for an upgrade to websocket")]
    NoUpgrade,
    /// `Sec-WebSocket-Version` is not 13.
    #[error("Sec-WebSocket-Version is not 13")]
    Version,
    /// There is not exactly one `Sec-WebSocket-Key`, or it does not stand for 16 bytes.
    #[error("Sec-WebSocket-Key is not one key of 16 bytes")]
    Key,
    /// The origin of the page is not allowed.
    #[error("origin is not allowed")]
    Origin,
}

impl HandshakeError {
    /// Returns the status to answer with: 405, 400, 426 or 403.
    #[must_use]
    pub const fn status(&self) -> u16 {
        match self {
            Self::Method => 405,
            Self::HttpVersion | Self::Key => 400,
            Self::NoUpgrade | Self::Version => 426,
            Self::Origin => 403,
        }
    }

    /// Returns the headers that the answer must have (RFC 6455 §4.4; RFC 9110 §10.2.1 and
    /// §15.5.22).
    #[must_use]
    pub const fn headers(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Method => &[("Allow", "GET")],
            Self::NoUpgrade => &[("Upgrade", "websocket"), ("Connection", "Upgrade")],
            Self::Version => &[("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13")],
            Self::HttpVersion | Self::Key | Self::Origin => &[],
        }
    }
}
