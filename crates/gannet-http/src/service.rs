//! The service of a listener: takes requests from connections, has them answered, and sends the responses.

use std::cell::Cell;
use std::fmt;
use std::mem;
use std::time::Duration;

use gannet::proto::DecodeError;
use gannet::proto::http::{Answer, CONTINUE, Event, Request, Requests};
use gannet::proto::ws::WebSocket;
use gannet::{CloseReason, Context, Drain, Heartbeat, Service, Timeouts};

use crate::clock::Date;
use crate::draft::Draft;
use crate::routes::Routes;
use crate::websocket::{Conversation, Settings};
use crate::wire::{Incoming, Wire};

/// A response from this size on is handed over instead of copied, in bytes.
const LARGE_BYTES: usize = 32 << 10;

/// When the server shuts down, requests that are on their way have so long to come; each is answered as the last of its
/// connection.
pub const DRAIN_GRACE: Duration = Duration::from_secs(1);

/// Serves [`Routes`] over HTTP/1.1 and HTTP/1.0: connections stay open for more requests where the client allows it,
/// and requests that come before the last one was answered (pipelining) are answered in order. The instance of one
/// reactor.
///
/// What is no request, or over a limit, is answered with the status that says so, and closes the connection; the limits
/// are those of [`Requests`]. A client that sends `Expect: 100-continue` is told to go on.
///
/// # Deadlines
///
/// | what | default | over it |
/// |---|---|---|
/// | the first request, whole, from the moment the connection is there | 10 s | closed |
/// | the next request, from the last response until its first bytes | 60 s | closed |
/// | the same, where bytes of it have come by then | 10 s more | 408, closed |
/// | the body, after "100 Continue" | 10 s | 408, closed |
/// | the kernel takes something of a response | the engine's, 30 s | closed |
///
/// So who sends byte by byte (slow loris) holds a connection for 70 s after a response at most; bodies have to be as
/// fast as to come whole in that time. Who reads slowly, but reads, is not hurried: over
/// [`Limits::outbox_high`](gannet::Limits) nothing more is answered on that connection until it has read.
/// [`Limits::connections_per_peer`](gannet::Limits) is what bounds how many connections one peer holds.
///
/// # When the server shuts down
///
/// Requests that are on their way are answered for [`DRAIN_GRACE`], each as the last of its connection; then
/// connections close. New connections are refused at once: who watches by a connection for each look sees that, and
/// who keeps one sees what a handler makes of [`Cx::is_draining`](crate::Cx::is_draining).
pub struct HttpService {
    routes: Routes,
    pub(crate) codec: Wire,
    keep_alive: Duration,
    request_timeout: Duration,
    pub(crate) draft: Draft,
    /// The response in the bytes that are sent.
    pub(crate) out: Vec<u8>,
    pub(crate) date: Date,
    /// Requests so far.
    serial: u64,
    pub(crate) websocket: Settings,
}

impl HttpService {
    /// Serves these routes with the default limits and deadlines.
    #[must_use]
    pub fn new(routes: &Routes) -> Self {
        Self {
            routes: routes.clone(),
            codec: Wire { requests: Requests::new(), websocket: WebSocket::server() },
            keep_alive: Duration::from_secs(60),
            request_timeout: Duration::from_secs(10),
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
        Self { codec: Wire { requests, ..self.codec }, ..self }
    }

    /// Sets how long a connection may be without a request (default 60 s).
    #[must_use]
    pub fn keep_alive(self, time: Duration) -> Self {
        Self { keep_alive: time, ..self }
    }

    /// Sets how long a request may take to come whole (default 10 s); see [deadlines](Self#deadlines).
    #[must_use]
    pub fn request_timeout(self, time: Duration) -> Self {
        Self { request_timeout: time, ..self }
    }

    /// Has a request answered, and sends the response.
    #[inline]
    fn serve(&mut self, request: Request<'_>, session: &mut Session, cx: &mut Context<'_, Self>) {
        self.serial += 1;
        self.draft.clear();
        self.routes.answer(request, &mut self.draft, cx, self.serial);
        match self.draft.next.take() {
            None => self.send(request.answer(), cx),
            Some(next) => self.follow(next, request.answer(), session, cx),
        }
    }

    /// Answers in place of the routes, and closes the connection.
    #[cold]
    fn turn_away(&mut self, status: u16, why: fmt::Arguments<'_>, cx: &mut Context<'_, Self>) {
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
        let persistence = draft.finish(out, answer, date.text(cx.now()), !cx.is_draining());
        if out.len() < LARGE_BYTES {
            cx.answer(out);
        } else {
            cx.answer_shared(mem::take(out).into());
        }
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

    /// To know of requests that have begun.
    const LOOKS_AHEAD: bool = true;

    fn name(&self) -> &str {
        "http"
    }

    fn codec(&self) -> Wire {
        self.codec.clone()
    }

    fn timeouts(&self, defaults: Timeouts) -> Timeouts {
        let mut timeouts = defaults;
        timeouts.opening = Some(self.request_timeout);
        self.websocket.apply(&mut timeouts);
        timeouts
    }

    fn ahead(&mut self, session: &Session, _: &[u8]) {
        session.begun.set(true);
    }

    #[inline]
    fn message(&mut self, session: &mut Session, incoming: Incoming<'_>, cx: &mut Context<'_, Self>) {
        session.begun.set(false);
        session.last_call = false;
        match incoming {
            Incoming::Http(Event::Request(request)) => self.serve(request, session, cx),
            Incoming::Http(Event::Expect(request)) => {
                session.mode = Mode::Asked(request.head().into());
                session.begun.set(true);
                session.last_call = true;
                cx.answer(CONTINUE);
                cx.set_timer(self.request_timeout);
            }
            Incoming::Http(Event::Body(body)) => {
                let Mode::Asked(head) = mem::take(&mut session.mode) else { return };
                match Request::from_head(&head, body) {
                    Ok(request) => self.serve(request, session, cx),
                    // It was one before.
                    Err(error) => self.turn_away(error.status(), format_args!("{error}\n"), cx),
                }
            }
            Incoming::WebSocket(message) => self.converse(session, message, cx),
        }
    }

    fn malformed(&mut self, session: &mut Session, error: &DecodeError, cx: &mut Context<'_, Self>) {
        match error {
            _ if session.mode.is_websocket() => self.not_websocket(session, error, cx),
            DecodeError::Http(error) => self.turn_away(error.status(), format_args!("{error}\n"), cx),
            DecodeError::TooLarge { .. } => self.turn_away(413, format_args!("{error}\n"), cx),
            _ => self.turn_away(400, format_args!("{error}\n"), cx),
        }
    }

    fn timer(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        if session.mode.is_websocket() {
            self.websocket_timer(session, cx);
        } else if cx.is_draining() {
            cx.close_flushed();
        } else if cx.outbox_len() > 0 {
            // The client still reads: it is not idle.
            cx.set_timer(self.keep_alive);
        } else if !session.begun.get() {
            cx.close_flushed();
        } else if session.last_call {
            self.turn_away(408, format_args!("request not complete in time\n"), cx);
        } else {
            session.last_call = true;
            cx.set_timer(self.request_timeout);
        }
    }

    fn heartbeat(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) -> Heartbeat {
        self.websocket_heartbeat_due(session, cx)
    }

    fn drained(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        self.websocket_drained(session, cx);
    }

    fn drain(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) -> Drain {
        if session.mode.is_websocket() {
            return self.websocket_drain(session, cx);
        }
        cx.set_timer(DRAIN_GRACE);
        Drain::GoOn
    }

    fn close(&mut self, session: Session, _: CloseReason, cx: &mut Context<'_, Self>) {
        self.websocket_end(session, cx);
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
    /// Whether bytes have come that are no whole request yet. What came in one piece with the request before shows only
    /// when more follows: who sends nothing more then counts as idle.
    begun: Cell<bool>,
    /// Whether the time that is running is the last.
    last_call: bool,
}

/// What a connection is doing.
#[derive(Debug, Default)]
pub(crate) enum Mode {
    /// It waits for a request.
    #[default]
    Idle,
    /// The body was asked for with "100 Continue" of the request with this head.
    Asked(Box<[u8]>),
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
        assert!(session + spoken <= 112, "{session} bytes and {spoken} bytes");
    }
}
