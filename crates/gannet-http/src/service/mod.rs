//! The service of a listener: takes requests from connections, has routes answer them, and sends the responses.
//!
//! A connection's [`Mode`] says what it is doing; each mode has a file here with what the service does in it. The types
//! that handlers see ([`Stream`](crate::Stream), [`Receiving`](crate::Receiving), [`Socket`](crate::websocket::Socket)) are
//! in files of their own.

mod deferred;
mod receive;
mod stream;
mod upload;
mod websocket;

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use gannet::proto::FrameError;
use gannet::proto::http::{Answer, Event, Persistence, Request, Requests};
use gannet::proto::ws::WebSocket;
use gannet::{
    CloseReason, Context, Description, HalfClose, Heartbeat, RefusalReason, Refused, Service, Shutdown, Timeouts,
};

pub use self::deferred::DEFERRED_TIMEOUT;
pub(crate) use self::deferred::{Completion, Pending};
pub use self::upload::DROPPED_BODY;
use self::upload::{Upload, Uploads};
use crate::clock::Date;
use crate::draft::Draft;
use crate::next::Next;
use crate::receive::Intake;
use crate::stream::Streaming;
use crate::websocket::{Conversation, Settings};
use crate::wire::{Incoming, Protocol, Wire, WireError};

/// Bounds how long a shutdown waits for requests that are on their way: 1 s.
///
/// Each of them is answered as the last request of its connection.
pub const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// What a byte of a body that is not sent counts as, in bytes of work: pages are often made up of small pieces.
const DROPPED_WORK: usize = 4;

/// Has requests answered: what the service needs of the routes.
///
/// It is a trait so that routes, handlers and layers are above the service, and the service does not know them.
pub(crate) trait Dispatch: fmt::Debug + Send + Sync {
    /// Answers a request that is whole.
    fn answer<'a>(
        &'a self,
        request: Request<'a>,
        draft: &'a mut Draft,
        engine: &'a Context<'a, HttpService>,
        serial: u64,
    );

    /// Answers a request if its head is enough for that: there is no route for it, its route takes the body as it comes,
    /// or a layer refuses it. Returns false if the body has to come first.
    fn answer_by_head<'a>(
        &'a self,
        request: Request<'a>,
        draft: &'a mut Draft,
        engine: &'a Context<'a, HttpService>,
        serial: u64,
    ) -> bool;
}

/// Serves [`Routes`](crate::Routes) over HTTP/1.1 and HTTP/1.0: the service of a listener. Each reactor has an instance.
///
/// A connection stays open for further requests if the client allows it. Pipelined requests are answered in order.
///
/// Malformed requests, and those over a limit of [`Requests`], are answered with the matching status; then the connection
/// closes.
///
/// # Bodies
///
/// A handler is called when the body is whole. If the head alone decides the response, it is sent before the body is
/// read, and before a client with `Expect: 100-continue` is told to send it (RFC 9110 §10.1.1). That is so if no route
/// has this path or method, or if a [layer](crate::Layer::admit) refuses the request. After such a response, a body of up
/// to 64 KiB ([`DROPPED_BODY`](crate::DROPPED_BODY)) is read and dropped. The connection closes if the body is larger,
/// comes in chunks, or if the client waits before it sends it.
///
/// Handlers of [`Router::upload`](crate::Router::upload) and [fallbacks](crate::Router::fallback) are called when the head
/// has come. The former may take a body of any size, [piece by piece](crate::Receive).
///
/// # Deadlines
///
/// | what | default | when it is over |
/// |---|---|---|
/// | the head of the first request, from the start of the connection | 10 s | closes; 408 first, if a part of it has come |
/// | the first bytes of the next request, from the last response | 60 s | closes |
/// | the rest of its head, if some bytes came in those 60 s | 10 s more | 408, closes |
/// | a body: bytes in each 10 s, once one of the times above is over | 5,000 | 408, closes |
/// | a body after "100 Continue": bytes in each 10 s from then on | 5,000 | 408, closes |
/// | a [deferred](crate::Cx::offload) response | 30 s | 503 |
/// | a [stream](crate::Cx::stream) | none; [`Timeout`](crate::middleware::Timeout) sets one | breaks off |
/// | the kernel takes a part of the waiting response | the engine's, 30 s | closes |
///
/// Only the last one applies to a connection that speaks [WebSocket](crate::websocket), which has deadlines of its own.
///
/// A client that sends its head byte by byte (slow loris) therefore holds a connection for at most 70 s after a response.
/// The pace of a body is checked when a deadline fires and not as bytes come: at 500 bytes a second, a body of 1 MiB
/// holds a connection for 35 minutes. A client that reads slowly is not closed: over
/// [`Limits::outbox_high`](gannet::Limits), its next request is answered only after it has read.
/// [`Limits::connections_per_peer`](gannet::Limits) bounds the connections of one peer.
///
/// # Half-close
///
/// A client may end its sending direction after its last request, as `nc -N` does. It gets every response, including
/// deferred and streamed ones. A stream of [events](crate::sse) goes on too; a comment, sent at once, finds out whether the
/// client is gone. [`Timeouts::half_close`](gannet::Timeouts) breaks off a stream that sends nothing for so long.
///
/// # Shutdown
///
/// [`Engine::drain_spread`](gannet::Engine::drain_spread) says when each client has to leave. From then on, requests that are
/// on their way are answered for [`DRAIN_GRACE`], each as the last one of its connection; then the connection closes. Deferred and streamed responses may take as long as the engine's drain timeout. New connections are
/// refused at once.
///
/// Health checks that open a connection each time notice that. To tell others, answer by
/// [`Cx::is_draining`](crate::Cx::is_draining). With [`Engine::drain_delay`](gannet::Engine::drain_delay), a handler can
/// announce the shutdown before it begins: see [`Remote::is_stopping`](gannet::Remote::is_stopping).
pub struct HttpService {
    routes: Arc<dyn Dispatch>,
    pub(crate) codec: Wire,
    pub(crate) keep_alive: Duration,
    /// Whether a connection may have further requests.
    keeps: bool,
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
    refusal: fn(RefusalReason) -> &'static [u8],
}

impl HttpService {
    /// Serves what `routes` answers, with the default limits and deadlines.
    pub(crate) fn dispatching(routes: Arc<dyn Dispatch>) -> Self {
        Self {
            routes,
            codec: Wire { requests: Requests::new().heads_first(), websocket: WebSocket::server() },
            keep_alive: Duration::from_secs(60),
            keeps: true,
            request_timeout: Duration::from_secs(10),
            body_pace: (5_000, Duration::from_secs(10)),
            uploads: Uploads::default(),
            draft: Draft::new(),
            out: Vec::new(),
            date: Date::new(),
            serial: 0,
            websocket: Settings::new(),
            refusal: |_| b"",
        }
    }

    /// Sets the limits of requests.
    ///
    /// The engine's [`Limits::carry`](gannet::Limits) has to be at least [`Requests::largest`].
    #[must_use]
    pub fn limits(self, requests: Requests) -> Self {
        Self { codec: Wire { requests: requests.heads_first(), ..self.codec }, ..self }
    }

    /// Sets how long a connection may wait for its next request (default 60 s).
    ///
    /// With [`Duration::ZERO`], every response is the last one of its connection; further requests that have come already are
    /// dropped. So clients take turns, however many requests each of them sends at once.
    #[must_use]
    pub fn keep_alive(self, time: Duration) -> Self {
        Self { keep_alive: time, keeps: !time.is_zero(), ..self }
    }

    /// Sets how long the head of a request may take to arrive (default 10 s); see [deadlines](Self#deadlines).
    #[must_use]
    pub fn request_timeout(self, time: Duration) -> Self {
        Self { request_timeout: time, ..self }
    }

    /// Sets the slowest pace of a body: at least `bytes` in each `time`, or its rest (default 5,000 bytes in 10 s).
    #[must_use]
    pub fn body_pace(self, bytes: u32, time: Duration) -> Self {
        Self { body_pace: (bytes, time), ..self }
    }

    /// Sets what a connection is sent that a limit refuses: a whole response, or nothing for a reset (default).
    ///
    /// The response is sent before the request is read. It needs `Content-Length` and `Connection: close`; see
    /// [`Service::refusal`].
    ///
    /// ```
    /// # use gannet_http::{HttpService, Routes};
    /// use gannet::RefusalReason;
    ///
    /// # fn service(routes: &Routes) -> HttpService {
    /// HttpService::new(routes).refusal(|why| match why {
    ///     RefusalReason::Connections | RefusalReason::Listener => {
    ///         b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    ///     }
    ///     _ => b"",
    /// })
    /// # }
    /// ```
    #[must_use]
    pub fn refusal(self, response: fn(RefusalReason) -> &'static [u8]) -> Self {
        Self { refusal: response, ..self }
    }

    /// Sets the close code for WebSocket clients when the server shuts down (default 1012: the server restarts).
    ///
    /// With 1012, browsers' libraries reset their backoff and connect again at once. Choose 1001
    /// ([`CloseCode::GOING_AWAY`](gannet::proto::ws::CloseCode::GOING_AWAY)) for clients that reject 1012.
    #[must_use]
    pub fn websocket_shutdown_code(mut self, code: gannet::proto::ws::CloseCode) -> Self {
        self.websocket.shutdown_code = code;
        self
    }

    /// Answers a request and sends the response. The draft was cleared before.
    #[inline]
    pub(crate) fn serve(&mut self, request: Request<'_>, session: &mut Session, cx: &mut Context<'_, Self>) {
        self.routes.answer(request, &mut self.draft, cx, self.serial);
        match self.draft.next.take() {
            None => {
                self.send(request.answer(), cx);
                // RFC 9112 §9.6: the client has said that this is its last request.
                if !request.keep_alive() && request.body.is_empty() {
                    cx.expect_no_more();
                }
            }
            Some(Next::Receive(reception)) => {
                self.receive_whole(reception, request.body, request.answer(), session, cx);
            }
            Some(next) => self.follow(next, request.answer(), session, cx),
        }
    }

    /// Handles a deadline of a request: waits on, or closes, by what has come of it.
    fn wait_on(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        let came = u32::try_from(cx.waiting_len()).unwrap_or(u32::MAX);
        let (pace, time) = self.body_pace;
        let is_dropping = Self::is_dropping(session, cx);
        if matches!(cx.codec_state(), Protocol::Http(state) if state.is_in_body()) {
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

    /// Sends the drafted response.
    #[inline]
    pub(crate) fn send(&mut self, answer: Answer, cx: &mut Context<'_, Self>) {
        let Self { draft, out, date, keeps, .. } = self;
        let keeps = *keeps;
        out.clear();
        let (persistence, body) = draft.finish(out, answer, date.at(cx.now()), keeps && !cx.is_draining());
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

    /// Does what a handler left to be done, or what makes a response later.
    #[cold]
    pub(crate) fn follow(&mut self, next: Next, answer: Answer, session: &mut Session, cx: &mut Context<'_, Self>) {
        match next {
            Next::Deferred(start) => self.defer(start, answer, session, cx),
            // It has none, or one that was dropped.
            Next::Receive(reception) => self.receive_whole(reception, &[], answer, session, cx),
            Next::Stream(beginning) => self.begin_stream(beginning, answer, session, cx),
            Next::WebSocket(upgrade) => self.upgrade(upgrade, answer, session, cx),
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

    fn refusal(&self, why: RefusalReason) -> &'static [u8] {
        (self.refusal)(why)
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

    fn describe(&self, session: &Session, into: &mut Description) {
        match &session.mode {
            Mode::Idle | Mode::Upload(_) | Mode::Receive(_) | Mode::Deferred(_) => into.protocol("http"),
            Mode::Stream(streaming) => {
                into.protocol(if streaming.state.pulse.is_some() { "http events" } else { "http stream" });
                streaming.source.describe(into);
            }
            Mode::WebSocket(conversation) => {
                into.protocol("websocket");
                conversation.lead.handler().describe(into);
            }
        }
    }

    fn kick(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) -> Shutdown {
        match session.mode {
            Mode::Idle | Mode::Upload(_) | Mode::Receive(_) | Mode::Deferred(_) => Shutdown::Close,
            Mode::Stream(_) => {
                self.stream_kick(session, cx);
                // The stream has ended or broken off: a further request is not waited for.
                Shutdown::Close
            }
            Mode::WebSocket(_) => {
                self.websocket_kick(session, cx);
                Shutdown::GoOn
            }
        }
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

/// The session of an HTTP connection: what it is doing.
#[derive(Debug, Default)]
pub struct Session {
    pub(crate) mode: Mode,
    /// Bytes of the request that had come when its body was last looked at; 0 where it was not.
    pub(crate) seen: u32,
    /// Whether the running deadline is the last one for a head.
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
    use crate::wire::Protocol;

    #[test]
    fn what_is_kept_for_a_connection_leaves_room_in_the_budget() {
        // 256 bytes an idle WebSocket connection, of which the engine takes 136.
        let (session, protocol) = (size_of::<Session>(), size_of::<Protocol>());
        assert!(session <= 32 && session + protocol <= 96, "{session} bytes and {protocol} bytes");
    }
}
