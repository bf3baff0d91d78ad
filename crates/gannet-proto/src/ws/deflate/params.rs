//! Parameters of compression (RFC 7692 §7.1).

use super::{Deflater, Inflater};
use crate::ws::Role;

/// Holds the parameters of compression: what a side asks for before the handshake, and what both agreed on after it.
///
/// A compressor may refer back to a window of 2^bits bytes, which its peer has to keep. Without context takeover,
/// nothing is kept between messages, so an idle connection holds no window.
///
/// The default is the most compression: windows of 32 KiB, kept from message to message.
///
/// # Memory
///
/// Decompression takes about 48 KiB for each connection, whatever the window; without takeover, only while a message
/// is under way. Compression takes about 320 KiB with a window of 15 bits, and 165 KiB with one of 9 bits; without
/// takeover only once, because one [`Deflater`] serves all connections. With very many connections, turn takeover
/// off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: u8,
    client_max_window_bits: u8,
}

impl Params {
    /// Makes parameters with windows of 32 KiB that are kept between messages.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: 15,
            client_max_window_bits: 15,
        }
    }

    /// Makes parameters with which neither side keeps anything between messages, for very many connections.
    #[must_use]
    pub const fn without_takeover() -> Self {
        Self::new().server_no_context_takeover().client_no_context_takeover()
    }

    /// Turns off context takeover for messages of the server.
    #[must_use]
    pub const fn server_no_context_takeover(self) -> Self {
        Self { server_no_context_takeover: true, ..self }
    }

    /// Turns off context takeover for messages of the client.
    #[must_use]
    pub const fn client_no_context_takeover(self) -> Self {
        Self { client_no_context_takeover: true, ..self }
    }

    /// Sets the largest window of what the server sends: 9 to 15 bits; what is outside becomes the nearest of these.
    #[must_use]
    pub const fn server_max_window_bits(self, bits: u8) -> Self {
        Self { server_max_window_bits: clamped(bits), ..self }
    }

    /// Sets the largest window of what the client sends: 9 to 15 bits; what is outside becomes the nearest of these.
    ///
    /// A server that sets less than 15 gets no compression with clients that do not say that they can be limited (RFC
    /// 7692 §7.1.2.2).
    #[must_use]
    pub const fn client_max_window_bits(self, bits: u8) -> Self {
        Self { client_max_window_bits: clamped(bits), ..self }
    }

    /// Returns the largest window of what the server sends, in bits: 9 to 15.
    #[must_use]
    pub const fn server_window_bits(&self) -> u8 {
        self.server_max_window_bits
    }

    /// Packs what a server sends. `level` is from 0, not at all, to 9, best; 6 is usual, and 1 costs least.
    #[must_use]
    pub fn server_deflater(&self, level: u32) -> Deflater {
        Deflater::new(level, self.server_max_window_bits, !self.server_no_context_takeover)
    }

    /// Packs what a client sends; `level` is from 0 to 9.
    #[must_use]
    pub fn client_deflater(&self, level: u32) -> Deflater {
        Deflater::new(level, self.client_max_window_bits, !self.client_no_context_takeover)
    }

    /// Unpacks what comes to a `reader`.
    pub(in crate::ws) fn inflater(&self, reader: Role) -> Inflater {
        match reader {
            Role::Server => Inflater::new(self.client_max_window_bits, !self.client_no_context_takeover),
            Role::Client => Inflater::new(self.server_max_window_bits, !self.server_no_context_takeover),
        }
    }

    /// The server's choice among the offers in a `Sec-WebSocket-Extensions`, where one is acceptable.
    pub(in crate::ws) fn accept(&self, offers: &[u8]) -> Option<Self> {
        offers.split(|&byte| byte == b',').filter_map(Terms::parse).find_map(|offer| {
            let server_bits = offer.server_bits.unwrap_or(15).min(self.server_max_window_bits);
            let client_bits = match offer.client_bits {
                None if self.client_max_window_bits < 15 => return None,
                None => 15,
                Some(bits) => bits.unwrap_or(15).min(self.client_max_window_bits),
            };
            // A compressor cannot be limited to 8 bits here.
            (server_bits >= 9).then_some(Self {
                server_no_context_takeover: self.server_no_context_takeover || offer.server_anew,
                client_no_context_takeover: self.client_no_context_takeover || offer.client_anew,
                server_max_window_bits: server_bits,
                client_max_window_bits: client_bits,
            })
        })
    }

    /// What the server's answer says of its choice.
    pub(in crate::ws) fn response(&self) -> String {
        let mut text = self.takeover();
        for (name, bits) in [("server", self.server_max_window_bits), ("client", self.client_max_window_bits)] {
            if bits < 15 {
                text += &format!("; {name}_max_window_bits={bits}");
            }
        }
        text
    }

    /// What the client's request says.
    pub(in crate::ws) fn offer(&self) -> String {
        let mut text = self.takeover();
        if self.server_max_window_bits < 15 {
            text += &format!("; server_max_window_bits={}", self.server_max_window_bits);
        }
        text += "; client_max_window_bits";
        if self.client_max_window_bits < 15 {
            text += &format!("={}", self.client_max_window_bits);
        }
        text
    }

    /// What was agreed on, where the server's answer keeps to this offer.
    pub(in crate::ws) fn agree(&self, response: &[u8]) -> Option<Self> {
        let terms = Terms::parse(response)?;
        let server_bits = terms.server_bits.unwrap_or(15);
        let client_bits = match terms.client_bits {
            Some(bits) => bits?.min(self.client_max_window_bits),
            None => self.client_max_window_bits,
        };
        let kept = server_bits <= self.server_max_window_bits
            && client_bits >= 9
            && (terms.server_anew || !self.server_no_context_takeover);
        kept.then_some(Self {
            server_no_context_takeover: terms.server_anew,
            client_no_context_takeover: self.client_no_context_takeover || terms.client_anew,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits,
        })
    }

    fn takeover(&self) -> String {
        let mut text = String::from("permessage-deflate");
        for (name, anew) in [("server", self.server_no_context_takeover), ("client", self.client_no_context_takeover)] {
            if anew {
                text += &format!("; {name}_no_context_takeover");
            }
        }
        text
    }
}

impl Default for Params {
    fn default() -> Self {
        Self::new()
    }
}

const fn clamped(bits: u8) -> u8 {
    match bits {
        ..9 => 9,
        9..=15 => bits,
        _ => 15,
    }
}

/// One offer, or an answer, as it was written.
#[derive(Default)]
struct Terms {
    server_anew: bool,
    client_anew: bool,
    server_bits: Option<u8>,
    /// The client may be limited, and perhaps how far.
    client_bits: Option<Option<u8>>,
}

impl Terms {
    /// Nothing where it is another extension, or a parameter is unknown, twice there, or has no good value: that is to
    /// be declined (RFC 7692 §7).
    fn parse(extension: &[u8]) -> Option<Self> {
        let mut parts = str::from_utf8(extension).ok()?.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case("permessage-deflate") {
            return None;
        }
        let mut terms = Self::default();
        for part in parts {
            let (name, value) = match part.split_once('=') {
                Some((name, value)) => (name.trim_end(), Some(bits(value.trim_start())?)),
                None => (part, None),
            };
            let known = match (name.to_ascii_lowercase().as_str(), value) {
                ("server_no_context_takeover", None) => !std::mem::replace(&mut terms.server_anew, true),
                ("client_no_context_takeover", None) => !std::mem::replace(&mut terms.client_anew, true),
                ("server_max_window_bits", Some(bits)) => terms.server_bits.replace(bits).is_none(),
                ("client_max_window_bits", bits) => terms.client_bits.replace(bits).is_none(),
                _ => false,
            };
            if !known {
                return None;
            }
        }
        Some(terms)
    }
}

/// A number from 8 to 15 without a leading zero, in quotes or not.
fn bits(value: &str) -> Option<u8> {
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    match value {
        "8" => Some(8),
        "9" => Some(9),
        _ => value.parse().ok().filter(|bits| value.len() == 2 && (10..=15).contains(bits)),
    }
}
