//! A response while a handler fills it in. Each reactor has one, which keeps its memory from request to request.

use gannet::proto::http::{Answer, HeaderError, HeaderLines, Persistence, Response};

use crate::next::Next;

/// Memory over this is given back after the response that needed it, in bytes.
const KEPT_BYTES: usize = 64 << 10;

/// What the body is where nothing else was said: all that is written without a type is text.
const TEXT: &[u8] = b"text/plain; charset=utf-8";

/// A response that is not sent yet.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) status: u16,
    pub(crate) headers: HeaderLines,
    pub(crate) body: Vec<u8>,
    /// What a layer called the request.
    pub(crate) request_id: String,
    /// A header field that could not be set.
    pub(crate) fault: Option<HeaderError>,
    /// What comes after the handler, where that is not just the response.
    pub(crate) next: Option<Next>,
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
        }
    }

    /// Begins with another request.
    pub(crate) fn clear(&mut self) {
        self.reset();
        self.request_id.clear();
    }

    /// Begins with another response to the same request.
    pub(crate) fn reset(&mut self) {
        self.status = 200;
        self.headers.clear();
        self.body.clear();
        self.fault = None;
        self.next = None;
    }

    /// Writes the response to `out`. Where `keep` is not set, the connection ends with it.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>, answer: Answer, date: &[u8], keep: bool) -> Persistence {
        if let Some(error) = self.fault {
            tracing::error!(%error, "a response was replaced by 500: a header field of it cannot be sent");
            self.reset();
            self.status = 500;
            self.body.extend_from_slice(b"internal server error\n");
        }
        let mut response = Response::new(out, answer, self.status);
        // Neither of these fields can be refused.
        if self.headers.get("date").is_none() {
            let _ = response.header("Date", date);
        }
        if !self.body.is_empty() && self.headers.get("content-type").is_none() {
            let _ = response.header("Content-Type", TEXT);
        }
        response.headers(&self.headers);
        if !keep {
            response.close();
        }
        let persistence = response.body(&self.body);
        if self.body.capacity() > KEPT_BYTES {
            self.body = Vec::new();
        }
        persistence
    }
}
