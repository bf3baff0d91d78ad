//! A conversation as its connection's session holds it, and what the service does for it.

use std::borrow::Cow;
use std::fmt;
use std::mem;

use gannet::proto::ws::{self, Frame, FrameHeader, Message, Opcode};
use gannet::{Context, Heartbeat, Notice, Shutdown};

use super::remote::Letter;
use super::{Close, CloseCode, Handler, Socket};
use crate::service::{HttpService, Mode, Session};
use crate::wire::{Outgoing, WireError};

pub(crate) struct Conversation {
    lead: Box<dyn Lead>,
    pub(super) phase: Phase,
    /// The window of what is sent compressed; 0 where that was not agreed on.
    pub(super) window_bits: u8,
}

/// A handler with the subprotocol that was chosen, in one piece of memory, so that a connection which has neither pays for
/// none.
pub(super) trait Lead {
    fn parts(&mut self) -> (&mut dyn Handler, Option<&str>);
}

/// Without a subprotocol.
pub(super) struct Plain<H>(pub(super) H);

impl<H: Handler> Lead for Plain<H> {
    #[inline]
    fn parts(&mut self) -> (&mut dyn Handler, Option<&str>) {
        (&mut self.0, None)
    }
}

/// With one.
pub(super) struct Speaking<H>(pub(super) H, pub(super) Box<str>);

impl<H: Handler> Lead for Speaking<H> {
    #[inline]
    fn parts(&mut self) -> (&mut dyn Handler, Option<&str>) {
        (&mut self.0, Some(&self.1))
    }
}

/// How far a conversation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Messages go both ways.
    Open,
    /// Our close frame was sent, and the client's is awaited: nothing else is heard or said.
    Closing,
    /// The handler was told of the end.
    Closed,
}

impl Conversation {
    pub(super) fn new(lead: Box<dyn Lead>, window_bits: u8) -> Self {
        Self { lead, phase: Phase::Open, window_bits }
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation").field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl HttpService {
    /// Calls the handler of a conversation that is open.
    #[inline]
    pub(super) fn with_handler(
        &mut self,
        session: &mut Session,
        cx: &mut Context<'_, Self>,
        call: impl FnOnce(&mut dyn Handler, &mut Socket<'_>),
    ) {
        if let Mode::WebSocket(conversation) = &mut session.mode
            && conversation.phase == Phase::Open
        {
            let (handler, mut socket) = self.parts(conversation, cx);
            call(handler, &mut socket);
        }
    }

    #[inline]
    fn parts<'a>(
        &'a mut self,
        conversation: &'a mut Conversation,
        cx: &'a mut Context<'_, Self>,
    ) -> (&'a mut dyn Handler, Socket<'a>) {
        let Conversation { lead, phase, window_bits } = conversation;
        let (cx, settings, out, window_bits) = (cx.reborrow(), &mut self.websocket, &mut self.out, *window_bits);
        let (handler, protocol) = lead.parts();
        (handler, Socket { cx, phase, protocol, window_bits, settings, out })
    }

    /// A message came.
    #[inline]
    pub(crate) fn converse(&mut self, session: &mut Session, message: Message<'_>, cx: &mut Context<'_, Self>) {
        // Put together from fragments, or unpacked: then less of it may have been received.
        match &message {
            Message::Text(Cow::Owned(text)) => cx.charge(text.len()),
            Message::Binary(Cow::Owned(bytes)) => cx.charge(bytes.len()),
            _ => {}
        }
        match message {
            Message::Text(text) => self.with_handler(session, cx, |handler, socket| handler.text(&text, socket)),
            Message::Binary(bytes) => self.with_handler(session, cx, |handler, socket| handler.binary(&bytes, socket)),
            // A message like others: over the high mark nothing more is read that would be answered.
            Message::Ping(payload) => self.with_handler(session, cx, |_, socket| {
                socket.cx.send(Outgoing::WebSocket(Frame::pong(payload)));
            }),
            Message::Pong(_) => {}
            Message::Close(close) => self.closed_by_client(session, close, cx),
        }
    }

    /// Answers the client's close frame, unless it is an answer itself, and ends the connection.
    fn closed_by_client(&mut self, session: &mut Session, close: Option<Close<'_>>, cx: &mut Context<'_, Self>) {
        let Mode::WebSocket(conversation) = &mut session.mode else { return };
        if conversation.phase == Phase::Open {
            let (_, mut socket) = self.parts(conversation, cx);
            socket.say_close(close.map(|close| Close { reason: "", ..close }));
        }
        self.tell_end(session, close, cx);
        cx.close_flushed();
    }

    /// Tells the handler that the conversation is over, once.
    fn tell_end(&mut self, session: &mut Session, close: Option<Close<'_>>, cx: &mut Context<'_, Self>) {
        let Mode::WebSocket(conversation) = &mut session.mode else { return };
        if mem::replace(&mut conversation.phase, Phase::Closed) != Phase::Closed {
            let (handler, mut socket) = self.parts(conversation, cx);
            handler.close(close, &mut socket);
        }
    }

    /// Bytes came that are no frames, or are over a limit: the engine closes the connection when the answer was sent.
    #[cold]
    pub(crate) fn not_websocket(&mut self, session: &mut Session, error: &WireError, cx: &mut Context<'_, Self>) {
        self.with_handler(session, cx, |_, socket| {
            let code = match error {
                WireError::WebSocket(error) => error.close_code(),
                WireError::Frame(error) => ws::Error::from(*error).close_code(),
                WireError::Http(_) => CloseCode::PROTOCOL,
            };
            socket.say_close(Some(Close { code, reason: "" }));
        });
    }

    pub(crate) fn websocket_timer(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        match &session.mode {
            Mode::WebSocket(Conversation { phase: Phase::Open, .. }) => {
                self.with_handler(session, cx, |handler, socket| handler.timer(socket));
            }
            // The client did not answer our close frame in time.
            _ => cx.close_flushed(),
        }
    }

    pub(crate) fn websocket_heartbeat_due(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) -> Heartbeat {
        match &session.mode {
            Mode::WebSocket(Conversation { phase: Phase::Open, .. }) => {
                cx.write(FrameHeader::new(Opcode::Ping, 0).as_bytes());
                Heartbeat::Sent
            }
            _ => Heartbeat::None,
        }
    }

    /// The server shuts down: the client is told, and has as long to answer as for any close frame.
    pub(crate) fn websocket_shutdown(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) -> Shutdown {
        self.with_handler(session, cx, |_, socket| socket.close(CloseCode::GOING_AWAY, "shutting down"));
        Shutdown::GoOn
    }

    pub(crate) fn websocket_writable(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        self.with_handler(session, cx, |handler, socket| handler.writable(socket));
    }

    /// The connection is gone.
    pub(crate) fn websocket_end(&mut self, mut session: Session, cx: &mut Context<'_, Self>) {
        self.tell_end(&mut session, None, cx);
    }
}

impl Notice<Letter> for HttpService {
    fn notice(&mut self, session: &mut Session, letter: Letter, cx: &mut Context<'_, Self>) {
        self.with_handler(session, cx, |handler, socket| match letter {
            Letter::Text(text) => drop(socket.text(&text)),
            Letter::Binary(bytes) => drop(socket.binary(&bytes)),
            Letter::Close(code, reason) => socket.close(code, &reason),
            Letter::Notice(value) => handler.notice(value, socket),
        });
    }
}
