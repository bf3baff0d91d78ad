//! Decodes frames into messages, and encodes frames.

use std::borrow::Cow;

use super::assembly::Assembly;
#[cfg(feature = "deflate")]
use super::deflate::{Inflater, Params};
use super::frame::{Expected, Header, Parsed};
use super::{Close, Error, Frame, Opcode, Role, mask, write_frame};
use crate::{Codec, Decoded, FrameError, Sink};

/// Decodes the frames of a connection whose handshake is done (RFC 6455 §5).
///
/// A message in one frame is unmasked in place, and borrows from the received bytes. Fragments are collected in the
/// connection's state, which owns memory only while a fragmented message is under way; the joined message is owned.
/// Control frames between fragments are delivered at once. After a close frame everything is dropped.
///
/// It answers nothing by itself. The service answers pings and close frames, and closes after an error
/// ([`Error::close_code`]).
///
/// # Limits
///
/// | what | default | set by | over it |
/// |---|---|---|---|
/// | a frame's payload | 1 MiB | [`max_frame`](Self::max_frame) | [`FrameError::TooLarge`] |
/// | a message, unpacked | 1 MiB | [`max_message`](Self::max_message) | [`FrameError::TooLarge`] |
/// | a control frame's payload | 125 | | [`Error::LongControl`] |
///
/// A connection takes at most as much memory as a message and a frame.
///
/// ```
/// use gannet_proto::ws::{Message, WebSocket};
/// use gannet_proto::{Codec, Decoded};
///
/// let websocket = WebSocket::server();
/// // The masked "Hello" of RFC 6455 §5.7.
/// let mut received = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
/// let mut state = Default::default();
/// let decoded = websocket.decode(&mut state, &mut received)?;
/// assert_eq!(decoded, Decoded::Message { message: Message::Text("Hello".into()), consumed: 11 });
/// # Ok::<(), gannet_proto::ws::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocket {
    role: Role,
    max_frame: usize,
    max_message: usize,
    encodes_text: bool,
}

impl WebSocket {
    /// The default limit of a frame and of a message: 1 MiB.
    pub const DEFAULT_LIMIT: usize = 1024 * 1024;

    /// Makes the codec of a server, which reads a client's frames.
    #[must_use]
    pub const fn server() -> Self {
        Self {
            role: Role::Server,
            max_frame: Self::DEFAULT_LIMIT,
            max_message: Self::DEFAULT_LIMIT,
            encodes_text: false,
        }
    }

    /// Makes the codec of a client, which reads a server's frames.
    #[must_use]
    pub const fn client() -> Self {
        Self { role: Role::Client, ..Self::server() }
    }

    /// Sets the limit of a frame's payload, in bytes as they are sent.
    #[must_use]
    pub const fn max_frame(self, bytes: usize) -> Self {
        Self { max_frame: bytes, ..self }
    }

    /// Sets the limit of a message, in bytes after fragments were joined and decompressed.
    #[must_use]
    pub const fn max_message(self, bytes: usize) -> Self {
        Self { max_message: bytes, ..self }
    }

    /// Makes [`encode_payload`](Codec::encode_payload) write plain bytes as a text message, instead of a binary one.
    #[must_use]
    pub const fn encoding_text(self) -> Self {
        Self { encodes_text: true, ..self }
    }

    /// Makes the state of a connection that has agreed on permessage-deflate (RFC 7692). For any other connection,
    /// use `Default`.
    #[cfg(feature = "deflate")]
    #[must_use]
    pub fn compressed_state(&self, params: Params) -> State {
        State { inflater: Some(Box::new(params.inflater(self.role))), ..State::default() }
    }

    /// Holds a data frame to the limits.
    #[inline]
    fn check_length(&self, header: &Header, held: usize, compressed: bool) -> Result<(), Error> {
        if header.length > self.max_frame as u64 {
            return Err(FrameError::TooLarge { length: header.length, limit: self.max_frame }.into());
        }
        let length = header.length.saturating_add(held as u64);
        if !compressed && length > self.max_message as u64 {
            return Err(FrameError::TooLarge { length, limit: self.max_message }.into());
        }
        Ok(())
    }

    /// Adds a frame to the message that is under way, or begins one.
    #[inline(never)]
    fn assemble(&self, state: &mut State, header: &Header, payload: &[u8]) -> Result<Option<Message<'static>>, Error> {
        let mut assembly = match state.assembly.take() {
            Some(assembly) => assembly,
            None => Box::new(Assembly::new(header.opcode == Opcode::Text, header.compressed)),
        };
        match assembly.compressed {
            #[cfg(feature = "deflate")]
            true => {
                let inflater = state.inflater.as_mut().ok_or(Error::ReservedBits { bits: 0b100 })?;
                assembly.inflate(payload, header.last, inflater, self.max_message)?;
            }
            _ => assembly.append(payload, self.max_message)?,
        }
        if header.last {
            return Ok(Some(assembly.into_message()?));
        }
        state.assembly = Some(assembly);
        Ok(None)
    }
}

impl Default for WebSocket {
    fn default() -> Self {
        Self::server()
    }
}

impl Codec for WebSocket {
    type Message<'a> = Message<'a>;
    type Outgoing<'a> = Frame<'a>;
    type Error = Error;
    type State = State;

    /// Decodes one message, or one fragment, at the start of `input`.
    ///
    /// # Errors
    ///
    /// [`Error`]. A message over a limit is [`FrameError::TooLarge`]. Bytes are refused
    /// as soon as they are wrong, text that is not UTF-8 when its frame is there.
    #[inline]
    fn decode<'a>(&self, state: &mut State, input: &'a mut [u8]) -> Result<Decoded<Message<'a>>, Error> {
        if input.is_empty() {
            return Ok(Decoded::Partial { need: 1 });
        }
        if state.closed {
            return Ok(Decoded::Taken { consumed: input.len() });
        }
        let (held, continues_compressed) = match &state.assembly {
            Some(assembly) => (assembly.bytes.len(), assembly.compressed),
            None => (0, false),
        };

        let expected = Expected { role: self.role, fragment: state.assembly.is_some(), compression: state.inflates() };
        #[cfg(test)]
        crate::work::looked_at(input.len().min(14));
        let header = match Header::parse(input, &expected)? {
            Parsed::Header(header) => header,
            Parsed::Needs(need) => return Ok(Decoded::Partial { need }),
        };
        if !header.opcode.is_control() {
            self.check_length(&header, held, header.compressed || continues_compressed)?;
        }
        let consumed = header.size.saturating_add(usize::try_from(header.length).unwrap_or(usize::MAX));
        let Some((frame, _)) = input.split_at_mut_checked(consumed) else {
            return Ok(Decoded::Partial { need: consumed });
        };
        let (front, payload) = frame.split_at_mut(header.size);
        if let (Role::Server, Some(key)) = (self.role, front.last_chunk()) {
            #[cfg(test)]
            crate::work::looked_at(payload.len());
            mask::apply(payload, *key);
        }

        let payload: &'a [u8] = payload;
        let message = match header.opcode {
            Opcode::Text if header.last && !header.compressed => {
                #[cfg(test)]
                crate::work::looked_at(payload.len());
                Message::Text(simdutf8::basic::from_utf8(payload).map_err(|_| Error::NotUtf8)?.into())
            }
            Opcode::Binary if header.last && !header.compressed => Message::Binary(payload.into()),
            Opcode::Continuation | Opcode::Text | Opcode::Binary => match self.assemble(state, &header, payload)? {
                Some(message) => message,
                None => return Ok(Decoded::Taken { consumed }),
            },
            Opcode::Ping => Message::Ping(payload),
            Opcode::Pong => Message::Pong(payload),
            Opcode::Close => {
                let close = Close::parse(payload)?;
                *state = State { closed: true, ..State::default() };
                Message::Close(close)
            }
        };
        Ok(Decoded::Message { message, consumed })
    }

    /// Writes one frame.
    ///
    /// # Errors
    ///
    /// [`Error::PayloadTooLarge`] for a control frame of more than 125 bytes, [`Error::NoMask`] in the client's role for a
    /// frame without a mask, [`Error::Masked`] in the server's role for one with a mask.
    #[inline]
    fn encode(&self, frame: Frame<'_>, out: &mut impl Sink) -> Result<(), Error> {
        match (self.role, frame.is_masked()) {
            (Role::Client, false) => Err(Error::NoMask),
            (Role::Server, true) => Err(Error::Masked),
            _ => frame.write(out),
        }
    }

    /// Writes a message in one frame without a mask, as a server does: binary, or text where
    /// [`encoding_text`](Self::encoding_text) was set.
    ///
    /// # Errors
    ///
    /// [`Error::NotUtf8`] for text that is none, [`Error::NoMask`] in the client's role: a client's frame is masked with a
    /// key that nobody can foresee (RFC 6455 §10.3), which comes with a [`Frame`] only.
    #[inline]
    fn encode_payload(&self, payload: &[u8], out: &mut impl Sink) -> Result<(), Error> {
        if self.role == Role::Client {
            return Err(Error::NoMask);
        }
        write_frame(out, if self.encodes_text { Opcode::Text } else { Opcode::Binary }, &[payload], None)
    }
}

/// Holds a received message or control frame. The payload of one frame is borrowed; a joined or decompressed payload
/// is owned.
///
/// This enum is exhaustive: RFC 6455 has no other kinds, and each of them has to be handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// Bytes.
    Binary(Cow<'a, [u8]>),
    /// A ping: answer it with a pong of the same payload (RFC 6455 §5.5.2). At most 125 bytes.
    Ping(&'a [u8]),
    /// A pong: the answer to a ping, or an unsolicited one. At most 125 bytes.
    Pong(&'a [u8]),
    /// A close frame: the peer sends no more. Answer it with a close frame unless you have sent one; then the
    /// connection ends (RFC 6455 §5.5.1).
    Close(Option<Close<'a>>),
}

/// Holds the decoding progress of a connection, in at most 24 bytes.
///
/// It owns further memory only while a fragmented message is under way, or if compression was agreed on.
#[derive(Debug, Default)]
pub struct State {
    /// A message of more than one frame, or a compressed one.
    assembly: Option<Box<Assembly>>,
    #[cfg(feature = "deflate")]
    inflater: Option<Box<Inflater>>,
    /// A close frame came.
    closed: bool,
}

impl State {
    #[cfg(feature = "deflate")]
    #[inline]
    fn inflates(&self) -> bool {
        self.inflater.is_some()
    }

    #[cfg(not(feature = "deflate"))]
    #[inline]
    fn inflates(&self) -> bool {
        false
    }
}
