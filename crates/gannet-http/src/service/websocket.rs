//! Runs WebSocket conversations: upgrades a connection, calls its handler, and ends the conversation.

use std::borrow::Cow;
use std::mem;
use std::time::Duration;

use gannet::proto::http::Answer;
use gannet::proto::ws::{self, Close, CloseCode, Frame, FrameHeader, Message, Opcode};
use gannet::{Context, Heartbeat, Notice, Shutdown};

use super::{HttpService, Mode, Session};
use crate::websocket::{Conversation, Handler, Letter, Phase, Socket, Upgrade};
use crate::wire::{Outgoing, Protocol, WireError};

/// WebSocket.
impl HttpService {
    /// Sets the largest frame and the largest decompressed message of a WebSocket client, in bytes (default 1 MiB each).
    ///
    /// A client that sends more gets the close code 1009, and the connection ends. A frame over
    /// [`Limits::carry`](gannet::Limits) is always too large.
    #[must_use]
    pub fn websocket_limits(mut self, frame: usize, message: usize) -> Self {
        self.codec.websocket = self.codec.websocket.max_frame(frame).max_message(message);
        self
    }

    /// Sets the heartbeat of WebSocket connections: after how much silence a ping is sent, and how many pings may go
    /// unanswered.
    ///
    /// Without this call, the engine's [`Timeouts::heartbeat`](gannet::Timeouts::heartbeat) (default 30 s) and
    /// [`Timeouts::heartbeats_missed`](gannet::Timeouts::heartbeats_missed) (default 2) apply. `None` turns pings off.
    #[must_use]
    pub fn websocket_heartbeat(mut self, silence: Option<Duration>, missed: u8) -> Self {
        self.websocket.heartbeat = Some((silence, missed));
        self
    }

    /// Sets how long a WebSocket client may take to answer a close frame
    /// (default [`CLOSE_TIMEOUT`](crate::websocket::CLOSE_TIMEOUT), 5 s). Then the connection ends without an answer. While
    /// the server shuts down, a client has one second at most.
    #[must_use]
    pub fn websocket_close_timeout(mut self, time: Duration) -> Self {
        self.websocket.close_timeout = time;
        self
    }
}

impl HttpService {
    /// Sends the response, and lets the conversation begin where it still is a 101.
    pub(crate) fn upgrade(
        &mut self,
        upgrade: Upgrade,
        answer: Answer,
        session: &mut Session,
        cx: &mut Context<'_, Self>,
    ) {
        if self.draft.status != 101 || self.draft.fault.is_some() {
            return self.send(answer, cx);
        }
        self.out.clear();
        self.draft.switch(&mut self.out, answer, self.date.at(cx.now()));
        cx.answer(&self.out);
        #[cfg(feature = "deflate")]
        let (state, window_bits) = match upgrade.deflate {
            Some(params) => (self.codec.websocket.compressed_state(params), params.server_window_bits()),
            None => (ws::State::default(), 0),
        };
        #[cfg(not(feature = "deflate"))]
        let (state, window_bits) = (ws::State::default(), 0);
        *cx.codec_state() = Protocol::WebSocket(state);
        cx.cancel_timer();
        cx.begin_heartbeat();
        session.mode = Mode::WebSocket(Conversation::new(upgrade.lead, window_bits));
        self.with_handler(session, cx, |handler, socket| handler.open(socket));
    }

    /// Calls the handler of a conversation that is open.
    #[inline]
    pub(crate) fn with_handler(
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

    /// The server shuts down: the client is told, and has a second to answer at most.
    pub(crate) fn websocket_shutdown(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) -> Shutdown {
        self.with_handler(session, cx, |handler, socket| handler.shutdown(socket));
        if let Mode::WebSocket(Conversation { phase: Phase::Closing, .. }) = &session.mode {
            // Its close frame may have been sent before, when there was more time.
            cx.set_timer(self.websocket.close_timeout(true));
        }
        Shutdown::GoOn
    }

    /// An operator wants the connection closed: the client is told, and has as long to answer as for any close frame.
    pub(crate) fn websocket_kick(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        self.with_handler(session, cx, |handler, socket| handler.kick(socket));
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
