//! Makes a client's request, and checks the answer.

use base64::Engine as _;
use thiserror::Error;

use super::{BASE64, answer, has};
use crate::Sink;
#[cfg(feature = "deflate")]
use crate::ws::deflate::Params;

/// Makes a client's request for a WebSocket connection, and checks the answer.
///
/// ```
/// use gannet_proto::ws::{ClientHandshake, ResponseError};
///
/// // Of the RFC's example; take them from a source of randomness.
/// let handshake = ClientHandshake::new(*b"the sample nonce").protocols(["chat"]);
/// let mut request = Vec::new();
/// handshake.write(&mut request, "example.com", "/chat", &[("Origin", "https://example.com")]);
///
/// let agreed = handshake.check(101, [
///     ("Upgrade", &b"websocket"[..]),
///     ("Connection", b"Upgrade"),
///     ("Sec-WebSocket-Accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
///     ("Sec-WebSocket-Protocol", b"chat"),
/// ])?;
/// assert_eq!(agreed.protocol, Some("chat"));
/// # Ok::<(), ResponseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct ClientHandshake {
    key: String,
    protocols: Vec<String>,
    #[cfg(feature = "deflate")]
    deflate: Option<Params>,
}

impl ClientHandshake {
    /// Makes a request. Pass 16 random bytes, fresh for each connection, for its key (RFC 6455 §4.1).
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        Self {
            key: BASE64.encode(random),
            protocols: Vec::new(),
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }

    /// Sets the subprotocols to ask for, the preferred one first.
    #[must_use]
    pub fn protocols<T: Into<String>>(self, names: impl IntoIterator<Item = T>) -> Self {
        Self { protocols: names.into_iter().map(Into::into).collect(), ..self }
    }

    /// Offers permessage-deflate with these parameters (RFC 7692 §7.1).
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn deflate(self, params: Params) -> Self {
        Self { deflate: Some(params), ..self }
    }

    /// Writes the request. `extra` headers, the host and the path are written as they are: they must have no line
    /// breaks.
    pub fn write(&self, out: &mut impl Sink, host: &str, path: &str, extra: &[(&str, &str)]) {
        let protocols = self.protocols.join(", ");
        #[cfg(feature = "deflate")]
        let offer = self.deflate.map(|params| params.offer()).unwrap_or_default();
        #[cfg(not(feature = "deflate"))]
        let offer = String::new();
        let headers = [
            ("Host", host),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", &self.key),
            ("Sec-WebSocket-Protocol", &protocols),
            ("Sec-WebSocket-Extensions", &offer),
        ];
        for part in ["GET ", path, " HTTP/1.1\r\n"] {
            out.put(part.as_bytes());
        }
        for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()).chain(extra) {
            for part in [name, ": ", value, "\r\n"] {
                out.put(part.as_bytes());
            }
        }
        out.put(b"\r\n");
    }

    /// Checks the answer (RFC 6455 §4.1). Names of headers may be in any case.
    ///
    /// # Errors
    ///
    /// [`ResponseError`] says why the connection cannot be used.
    pub fn check<'r>(
        &self,
        status: u16,
        headers: impl IntoIterator<Item = (&'r str, &'r [u8])>,
    ) -> Result<Agreed<'_>, ResponseError> {
        if status != 101 {
            return Err(ResponseError::Status { status });
        }
        let (mut connection, mut upgrade, mut accepted) = (false, false, None);
        let mut agreed = Agreed {
            protocol: None,
            #[cfg(feature = "deflate")]
            deflate: None,
        };
        for (name, value) in headers {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            let value = value.trim_ascii();
            if is("Connection") {
                connection |= has(value, "upgrade");
            } else if is("Upgrade") {
                upgrade |= value.eq_ignore_ascii_case(b"websocket");
            } else if is("Sec-WebSocket-Accept") {
                accepted = Some(accepted.unwrap_or(true) && value == answer(self.key.as_bytes()).as_bytes());
            } else if is("Sec-WebSocket-Protocol") {
                let asked = self.protocols.iter().find(|asked| asked.as_bytes() == value);
                if asked.is_none() || agreed.protocol.is_some() {
                    return Err(ResponseError::Protocol);
                }
                agreed.protocol = asked.map(String::as_str);
            } else if is("Sec-WebSocket-Extensions") {
                #[cfg(feature = "deflate")]
                if let (Some(offer), None) = (&self.deflate, agreed.deflate) {
                    agreed.deflate = Some(offer.agree(value).ok_or(ResponseError::Extension)?);
                    continue;
                }
                return Err(ResponseError::Extension);
            }
        }
        if !(connection && upgrade) {
            return Err(ResponseError::NoUpgrade);
        }
        if accepted != Some(true) {
            return Err(ResponseError::Accept);
        }
        Ok(agreed)
    }
}

/// Holds what client and server agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agreed<'h> {
    /// The subprotocol that the server chose.
    pub protocol: Option<&'h str>,
    /// The compression that was agreed on. If there is one, make the connection's state with
    /// [`WebSocket::compressed_state`](crate::ws::WebSocket::compressed_state).
    #[cfg(feature = "deflate")]
    pub deflate: Option<Params>,
}

/// Says why a server's answer does not make a WebSocket connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The status is not 101.
    #[error("server answers with status {status}, not 101")]
    Status {
        /// The status.
        status: u16,
    },
    /// The answer does not switch to WebSocket.
    #[error("answer does not switch to websocket")]
    NoUpgrade,
    /// `Sec-WebSocket-Accept` does not fit the key.
    #[error("Sec-WebSocket-Accept does not fit the key")]
    Accept,
    /// The server chose a subprotocol that was not asked for, or more than one.
    #[error("server chose a subprotocol that was not asked for")]
    Protocol,
    /// The server chose an extension that was not offered, or with other parameters.
    #[error("server chose an extension that was not offered")]
    Extension,
}
