//! The service of a listener: takes requests from connections, has them answered, and sends the responses.

use std::fmt;
use std::mem;
use std::time::Duration;

use gannet::proto::FrameError;
use gannet::proto::http::{Answer, Event, Persistence, Request, Requests};
use gannet::proto::ws::WebSocket;
use gannet::{CloseReason, Context, HalfClose, Heartbeat, Refused, Service, Shutdown, Timeouts};

use crate::clock::Date;
use crate::deferred::Pending;
use crate::draft::Draft;
use crate::next::Next;
use crate::receive::Intake;
use crate::routes::Routes;
use crate::stream::Streaming;
use crate::upload::{Upload, Uploads};
use crate::websocket::{Conversation, Settings};
use crate::wire::{Incoming, Spoken, Wire, WireError};

/// Bounds the wait for requests that are on their way when the server shuts down. Each is answered as the last of its
/// connection.
pub const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// What a byte of a body that is not sent counts as, in bytes of work: pages are often made up of small pieces.
const DROPPED_WORK: usize = 4;

/// Serves [`Routes`] over HTTP/1.1 and HTTP/1.0: connections stay open for more requests where the client allows it,
/// and requests that come before the last one was answered (pipelining) are answered in order. The instance of one
/// reactor.
///
/// What is no request, or over a limit, is answered with the status that says so, and closes the connection; the limits
/// are those of [`Requests`].
///
/// # Bodies
///
/// A handler is called when the body is whole. What the head says alone is answered before the body is read, and before
/// a client with `Expect: 100-continue` is told to send it (RFC 9110 §10.1.1): that there is no such route or method, or
/// that a [layer](crate::Layer::admit) does not accept the request. After such an answer a body of up to
/// 64 KiB is read and dropped. Before a larger one, one in chunks, or one that the client waits to send, the
/// connection closes.
///
/// A route of [`Router::upload`](crate::Router::upload) and a [fallback](crate::Router::fallback) are called when the head has
/// come. The former may take a body of any size, [as it comes](crate::Receive).
///
/// # Deadlines
///
/// | what | default | over it |
/// |---|---|---|
/// | the head of the first request, from the moment the connection is there | 10 s | 408 where a part of it came; closed |
/// | the next request, from the last response until its first bytes | 60 s | closed |
/// | its head, where bytes of it have come by then | 10 s more | 408, closed |
/// | the body: bytes that have to come in each 10 s, once one of these times is over | 5,000 | 408, closed |
/// | the same after "100 Continue", from then on | 5,000 | 408, closed |
/// | a response that [comes later](crate::Cx::offload) | 30 s | 503 |
/// | a [stream](crate::Cx::stream) | none, [`Timeout`](crate::middleware::Timeout) sets one | broken off |
/// | the kernel takes something of a response | the engine's, 30 s | closed |
///
/// Of these only the last is for a connection that came to speak [WebSocket](crate::websocket), which has its own.
///
/// So who sends a head byte by byte (slow loris) holds a connection for 70 s after a response at most. A body may take
/// as long as it needs at 500 bytes a second, as it is looked at whenever a deadline is over and not when bytes come: one
/// of 1 MiB holds a connection for 35 minutes at most. Who reads slowly, but reads, is not hurried: over
/// [`Limits::outbox_high`](gannet::Limits) nothing more is answered on that connection until it has read.
/// [`Limits::connections_per_peer`](gannet::Limits) is what bounds how many connections one peer holds.
///
/// # Clients that half-close
///
/// A client may end its side of the connection after its last request, as `nc -N` does. It gets every response, also those
/// that come later or piece by piece. A stream of [events](crate::sse) goes on as well: a comment that is sent at once
/// finds out whether the client has gone. [`Timeouts::half_close`](gannet::Timeouts) breaks off a stream that sends nothing
/// for so long.
///
/// # When the server shuts down
///
/// Requests that are on their way are answered for [`DRAIN_GRACE`], each as the last of its connection; then
/// connections close. Responses that come later, or piece by piece, have the engine's drain timeout to become whole.
/// New connections are refused at once: who watches by a connection for each look sees that, and who keeps one sees what
/// a handler makes of [`Cx::is_draining`](crate::Cx::is_draining). With [`Engine::drain_delay`](gannet::Engine::drain_delay)
/// both can be told before, by what a handler makes of [`Remote::is_stopping`](gannet::Remote::is_stopping).
pub struct HttpService {
    pub(crate) routes: Routes,
    pub(crate) codec: Wire,
    pub(crate) keep_alive: Duration,
    request_timeout: Duration,
    /// Bytes of a body that have to come in each such time.
    pub(crate) body_pace: (u32, Duration),
    pub(crate) uploads: Uploads,
    pub(crate) draft: Draft,
    /// To put together what is sent.
    pub(crate) out: Vec<u8>,
    pub(crate) date: Date,
    /// Requests so far.
    pub(crate) serial: u64,
    pub(crate) websocket: Settings,
}

impl HttpService {
    /// Serves these routes with the default limits and deadlines.
    #[must_use]
    pub fn new(routes: &Routes) -> Self {
        Self {
            routes: routes.clone(),
            codec: Wire { requests: Requests::new().heads_first(), websocket: WebSocket::server() },
            keep_alive: Duration::from_secs(60),
            request_timeout: Duration::from_secs(10),
            body_pace: (5_000, Duration::from_secs(10)),
            uploads: Uploads::default(),
            draft: Draft::new(),
            out: Vec::new(),
            date: Date::new(),
            serial: 0,
            websocket: Settings::new(),
        }
    }

    /// Sets the limits of requests. Where they are larger than [`Limits::carry`](gannet::Limits), that has to be raised
    /// to [`Requests::largest`].
    #[must_use]
    pub fn limits(self, requests: Requests) -> Self {
        Self { codec: Wire { requests: requests.heads_first(), ..self.codec }, ..self }
    }

    /// Sets how long a connection may be without a request (default 60 s).
    #[must_use]
    pub fn keep_alive(self, time: Duration) -> Self {
        Self { keep_alive: time, ..self }
    }

    /// Sets how long the head of a request may take to come whole (default 10 s); see [deadlines](Self#deadlines).
    #[must_use]
    pub fn request_timeout(self, time: Duration) -> Self {
        Self { request_timeout: time, ..self }
    }

    /// Sets how slow a body may come: in each `time` at least so many bytes (default 5,000 in 10 s), or the rest of it.
    #[must_use]
    pub fn body_pace(self, bytes: u32, time: Duration) -> Self {
        Self { body_pace: (bytes, time), ..self }
    }

    /// Has a request answered, for which the draft was cleared, and sends the response.
    #[inline]
    pub(crate) fn serve(&mut self, request: Request<'_>, session: &mut Session, cx: &mut Context<'_, Self>) {
        self.routes.answer(request, &mut self.draft, cx, self.serial);
        match self.draft.next.take() {
            None => self.send(request.answer(), cx),
            Some(Next::Receive(reception)) => {
                self.receive_whole(reception, request.body, request.answer(), session, cx);
            }
            Some(next) => self.follow(next, request.answer(), session, cx),
        }
    }

    /// A deadline of a request is over: sees what came of it by now, and whether to wait on.
    fn wait_on(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        let came = u32::try_from(cx.waiting_len()).unwrap_or(u32::MAX);
        let (pace, time) = self.body_pace;
        let is_dropping = Self::is_dropping(session, cx);
        if matches!(cx.codec_state(), Spoken::Http(state) if state.is_in_body()) {
            if session.seen == 0 || came.saturating_sub(session.seen) >= pace {
                session.seen = came.max(1);
                return cx.set_timer(time);
            }
            if is_dropping {
                // The request was answered.
                return cx.close_flushed();
            }
        } else if came == 0 {
            return cx.close_flushed();
        } else if !session.last_call {
            session.last_call = true;
            return cx.set_timer(self.request_timeout);
        }
        self.turn_away(408, format_args!("request not complete in time\n"), cx);
    }

    /// Answers in place of the routes, and closes the connection.
    #[cold]
    pub(crate) fn turn_away(&mut self, status: u16, why: fmt::Arguments<'_>, cx: &mut Context<'_, Self>) {
        self.draft.clear();
        self.draft.status = status;
        let _ = std::io::Write::write_fmt(&mut self.draft.body, why);
        self.send(Answer::CLOSE, cx);
    }

    /// Sends the response that was drafted.
    #[inline]
    pub(crate) fn send(&mut self, answer: Answer, cx: &mut Context<'_, Self>) {
        let Self { draft, out, date, .. } = self;
        out.clear();
        let (persistence, body) = draft.finish(out, answer, date.at(cx.now()), !cx.is_draining());
        let sent = body.len();
        cx.answer_parts([out, body]);
        // Of a body that is made and not sent, as for HEAD, no outbox shows what it has cost.
        draft.work += DROPPED_WORK * (draft.body.len() - sent);
        if draft.work > 0 {
            cx.charge(mem::take(&mut draft.work));
        }
        draft.trim();
        self.go_on(persistence, cx);
    }

    /// After a response: waits for the next request, or closes.
    #[inline]
    pub(crate) fn go_on(&mut self, persistence: Persistence, cx: &mut Context<'_, Self>) {
        if persistence.is_keep() {
            cx.set_timer(self.keep_alive);
        } else {
            cx.close_flushed();
        }
    }
}

impl Service for HttpService {
    type Codec = Wire;
    type Session = Session;

    fn name(&self) -> &str {
        "http"
    }

    fn codec(&self) -> Wire {
        self.codec.clone()
    }

    fn timeouts(&self, defaults: Timeouts) -> Timeouts {
        let mut timeouts = defaults;
        self.websocket.apply(&mut timeouts);
        timeouts
    }

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<Session, Refused> {
        cx.set_timer(self.request_timeout);
        Ok(Session { last_call: true, ..Session::default() })
    }

    #[inline]
    fn message(&mut self, session: &mut Session, incoming: Incoming<'_>, cx: &mut Context<'_, Self>) {
        (session.last_call, session.seen) = (false, 0);
        match incoming {
            Incoming::Http(Event::Request(request)) => {
                self.serial += 1;
                self.draft.clear();
                self.serve(request, session, cx);
            }
            Incoming::Http(Event::Head(request)) => self.begin_upload(request, session, cx),
            Incoming::Http(Event::Body(body)) => self.end_upload(body, session, cx),
            Incoming::Http(Event::Piece { bytes, last }) => self.receive_piece(bytes, last, session, cx),
            Incoming::WebSocket(message) => self.converse(session, message, cx),
        }
    }

    fn malformed(&mut self, session: &mut Session, error: &WireError, cx: &mut Context<'_, Self>) {
        match error {
            _ if session.mode.is_websocket() => self.not_websocket(session, error, cx),
            // The request was answered.
            _ if Self::is_dropping(session, cx) => cx.close_flushed(),
            // In the middle of a response there are no words for it.
            _ if matches!(session.mode, Mode::Stream(_)) => cx.reset(),
            // It would be taken for the response that is awaited.
            _ if matches!(session.mode, Mode::Deferred(_)) => {}
            WireError::Http(error) => self.turn_away(error.status(), format_args!("{error}\n"), cx),
            WireError::Frame(FrameError::TooLarge { .. }) => self.turn_away(413, format_args!("{error}\n"), cx),
            _ => self.turn_away(400, format_args!("{error}\n"), cx),
        }
    }

    fn timer(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        match session.mode {
            Mode::Deferred(_) => return self.overdue(session, cx),
            Mode::Receive(_) => return self.receive_timer(session, cx),
            Mode::Stream(_) => return self.stream_timer(session, cx),
            Mode::WebSocket(_) => return self.websocket_timer(session, cx),
            Mode::Idle | Mode::Upload(_) => {}
        }
        if cx.is_draining() {
            cx.close_flushed();
        } else if cx.outbox_len() > 0 {
            // The client still reads: it is not idle.
            cx.set_timer(self.keep_alive);
        } else {
            self.wait_on(session, cx);
        }
    }

    fn heartbeat(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) -> Heartbeat {
        self.websocket_heartbeat_due(session, cx)
    }

    fn writable(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        match session.mode {
            Mode::Stream(_) => self.stream_writable(session, cx),
            Mode::WebSocket(_) => self.websocket_writable(session, cx),
            Mode::Idle | Mode::Upload(_) | Mode::Receive(_) | Mode::Deferred(_) => {}
        }
    }

    fn half_closed(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) -> HalfClose {
        match session.mode {
            Mode::Stream(_) => self.stream_half_closed(session, cx),
            // It may still read the response.
            Mode::Deferred(_) => {}
            Mode::Receive(_) if Self::has_received(session) => {}
            Mode::Idle | Mode::Upload(_) | Mode::Receive(_) | Mode::WebSocket(_) => return HalfClose::Close,
        }
        HalfClose::KeepOpen
    }

    fn shutdown(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) -> Shutdown {
        match session.mode {
            Mode::Idle | Mode::Upload(_) => cx.set_timer(DRAIN_GRACE),
            Mode::Receive(_) | Mode::Deferred(_) => {}
            Mode::Stream(_) => self.stream_shutdown(session, cx),
            Mode::WebSocket(_) => return self.websocket_shutdown(session, cx),
        }
        Shutdown::GoOn
    }

    fn close(&mut self, session: Session, _: CloseReason, cx: &mut Context<'_, Self>) {
        match session.mode {
            Mode::Stream(streaming) => {
                if streaming.ends_with_connection() {
                    cx.reset();
                }
                streaming.gone();
            }
            Mode::WebSocket(_) => self.websocket_end(session, cx),
            Mode::Idle | Mode::Upload(_) | Mode::Receive(_) | Mode::Deferred(_) => {}
        }
    }
}

impl fmt::Debug for HttpService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpService").field("routes", &self.routes).field("codec", &self.codec).finish_non_exhaustive()
    }
}

/// What is kept for each connection.
#[derive(Debug, Default)]
pub struct Session {
    pub(crate) mode: Mode,
    /// Bytes of the request that had come when its body was last looked at; 0 where it was not.
    pub(crate) seen: u32,
    /// Whether the time that is running is the last for a head.
    last_call: bool,
}

/// What a connection is doing.
#[derive(Debug, Default)]
pub(crate) enum Mode {
    /// It waits for a request.
    #[default]
    Idle,
    /// It waits for the body of a request.
    Upload(Box<Upload>),
    /// The body of a request is taken as it comes.
    Receive(Box<Intake>),
    /// The response comes later.
    Deferred(Box<Pending>),
    /// The response's body is written piece by piece.
    Stream(Box<Streaming>),
    /// It speaks WebSocket.
    WebSocket(Conversation),
}

impl Mode {
    fn is_websocket(&self) -> bool {
        matches!(self, Self::WebSocket(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Spoken;

    #[test]
    fn what_is_kept_for_a_connection_leaves_room_in_the_budget() {
        // 256 bytes an idle WebSocket connection, of which the engine takes 136.
        let (session, spoken) = (size_of::<Session>(), size_of::<Spoken>());
        assert!(session <= 32 && session + spoken <= 96, "{session} bytes and {spoken} bytes");
    }
}
