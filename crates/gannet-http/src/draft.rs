//! A response while a handler fills it in. Each reactor has one, which keeps its memory from request to request.

use std::fmt;
use std::time::Duration;

use gannet::proto::http::{Answer, HeaderError, HeaderLines, Persistence, Response};

use crate::clock::{Date, TEXT};
use crate::extensions::Extensions;
use crate::next::Next;
use crate::response::Reply;
use crate::stream::Beginning;

/// Memory over this is given back after the response that needed it, in bytes.
const KEPT_BYTES: usize = 64 << 10;

/// What the body of a 500 says.
pub(crate) const FAILED: &str = "internal server error\n";

/// Header fields about a body that is not sent after all, and about how long it may be kept.
const OF_CONTENT: [&str; 10] = [
    "content-type",
    "content-encoding",
    "content-language",
    "content-location",
    "content-disposition",
    "content-range",
    "accept-ranges",
    "etag",
    "last-modified",
    "expires",
];

/// What a layer wants done when the response is there.
pub(crate) type Finally = Box<dyn FnOnce(&mut Reply<'_>)>;

/// A response that is not sent yet.
pub(crate) struct Draft {
    pub(crate) status: u16,
    pub(crate) headers: HeaderLines,
    pub(crate) body: Vec<u8>,
    /// What a layer called the request.
    pub(crate) request_id: String,
    /// A header field that could not be set.
    pub(crate) fault: Option<HeaderError>,
    /// What comes after the handler has returned, where the response is not whole by then.
    pub(crate) next: Option<Next>,
    /// The time that a response may take that comes later, or piece by piece, where somebody set it.
    pub(crate) deadline: Option<Duration>,
    /// What layers want done with a response that comes later, in their order.
    pub(crate) finally: Vec<Finally>,
    /// What layers have charged a request with, by its head alone.
    pub(crate) charged: Vec<usize>,
    pub(crate) extensions: Extensions,
    /// Bytes of work beyond those of the request, for the connection's share of a turn.
    pub(crate) work: usize,
}

impl Draft {
    pub(crate) const fn new() -> Self {
        Self {
            status: 200,
            headers: HeaderLines::new(),
            body: Vec::new(),
            request_id: String::new(),
            fault: None,
            next: None,
            deadline: None,
            finally: Vec::new(),
            charged: Vec::new(),
            extensions: Extensions::new(),
            work: 0,
        }
    }

    /// Begins with another request.
    pub(crate) fn clear(&mut self) {
        self.reset();
        self.request_id.clear();
        self.deadline = None;
        self.finally.clear();
        self.charged.clear();
        self.extensions.clear();
        self.work = 0;
    }

    /// Takes over the response of another draft, in place of what was said here.
    pub(crate) fn put(&mut self, other: Self) {
        let Self { status, headers, body, fault, next, deadline, finally, work, .. } = other;
        self.work += work;
        (self.status, self.headers, self.body, self.fault, self.next) = (status, headers, body, fault, next);
        self.deadline = self.deadline.into_iter().chain(deadline).min();
        // Those of the layers inside come first.
        self.finally.splice(..0, finally);
    }

    /// Has the body written piece by piece when the handler has returned.
    pub(crate) fn stream(&mut self, beginning: Beginning) {
        self.next = Some(Next::Stream(beginning));
    }

    /// Begins with another response to the same request.
    pub(crate) fn reset(&mut self) {
        self.status = 200;
        self.headers.clear();
        self.body.clear();
        self.fault = None;
        self.next = None;
    }

    /// Answers with this status and text in place of what was said, except for header fields of the response as a whole.
    pub(crate) fn replace(&mut self, status: u16, text: &str) {
        self.status = status;
        OF_CONTENT.iter().for_each(|name| self.headers.remove(name));
        if !self.headers.get_all("cache-control").any(|value| value.eq_ignore_ascii_case(b"no-store")) {
            self.headers.remove("cache-control");
        }
        self.body.clear();
        self.body.extend_from_slice(text.as_bytes());
        self.next = None;
    }

    /// The status as it is sent. One below 200 would be no end of the exchange: the client waits for another (RFC 9110
    /// §15.2).
    fn sent_status(&self) -> u16 {
        let switches = self.status == 101 && matches!(self.next, Some(Next::WebSocket(_)));
        if switches || (200..=999).contains(&self.status) { self.status } else { 500 }
    }

    /// The status and the length of the body as they are sent, where nothing is said any more.
    pub(crate) fn outcome(&self) -> (u16, usize) {
        if self.fault.is_some() { (500, FAILED.len()) } else { (self.sent_status(), self.body.len()) }
    }

    /// Becomes a 500 where a header field could not be set.
    pub(crate) fn check(&mut self) {
        if let Some(error) = self.fault {
            tracing::error!(%error, "a response was replaced by 500: a header field of it cannot be sent");
            self.reset();
            self.replace(500, FAILED);
        }
    }

    /// Writes the status line and header fields to `out`; `content` is whether there is something to have a type. Where
    /// `keep` is not set, the connection ends with this response.
    #[inline]
    pub(crate) fn head<'a>(
        &self,
        out: &'a mut Vec<u8>,
        answer: Answer,
        date: &Date,
        keep: bool,
        content: bool,
    ) -> Response<&'a mut Vec<u8>> {
        let mut response = Response::new(out, answer, self.sent_status());
        let of_text = content && self.headers.get("content-type").is_none();
        if self.headers.get("date").is_none() {
            response.headers(date.fields(of_text));
        } else if of_text {
            // It can be sent.
            let _ = response.header("Content-Type", TEXT);
        }
        response.headers(&self.headers);
        if !keep {
            response.close();
        }
        response
    }

    /// Writes the response that ends HTTP on a connection.
    pub(crate) fn switch(&mut self, out: &mut Vec<u8>, answer: Answer, date: &Date) {
        let mut response = Response::new(out, answer, 101);
        if self.headers.get("date").is_none() {
            response.headers(date.fields(false));
        }
        response.headers(&self.headers);
        // It can be sent.
        let _ = response.upgrade("websocket");
    }

    /// Writes the head of the response to `out`, and gives the body that follows it. Where `keep` is not set, the
    /// connection ends with it.
    pub(crate) fn finish(
        &mut self,
        out: &mut Vec<u8>,
        answer: Answer,
        date: &Date,
        keep: bool,
    ) -> (Persistence, &[u8]) {
        self.check();
        let head = self.head(out, answer, date, keep, !self.body.is_empty());
        let content = head.sized(self.body.len() as u64);
        let body = if content.is_none() { &[][..] } else { &self.body };
        // Behind a body of a known length comes nothing.
        (content.finish(out), body)
    }

    /// Gives memory back that few responses need.
    pub(crate) fn trim(&mut self) {
        if self.body.capacity() > KEPT_BYTES {
            self.body = Vec::new();
        }
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, headers, body, next, .. } = self;
        let mut draft = f.debug_struct("Draft");
        draft.field("status", status).field("headers", headers).field("body", body).field("next", next);
        draft.finish_non_exhaustive()
    }
}
