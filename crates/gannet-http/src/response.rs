//! What is said of a response: by a handler through [`Cx`], and through [`Reply`] where it is made later.

use std::fmt;
use std::time::Duration;

use gannet::proto::http::HeaderError;

use crate::cx::Cx;
use crate::draft::Draft;
use crate::next::Next;
use crate::rejection::Rejection;
use crate::stream::{Beginning, Length, Source};

/// The same methods for both, which differ in what else they know.
macro_rules! response_methods {
    () => {
        /// Sets the status, from 200 to 999; 200 until then. Any other is sent as 500: what is below 200 does not end a
        /// response, so that the client would wait for another one.
        pub fn status(&mut self, status: u16) {
            self.draft.status = status;
        }

        /// The status as it is now.
        #[must_use]
        pub fn response_status(&self) -> u16 {
            self.draft.status
        }

        /// Sets a header field, in place of others of this name. `Content-Length`, `Connection` and `Transfer-Encoding`
        /// are written by the server itself, `Date` and `Content-Type` (plain text) unless they are set here.
        ///
        /// Where it cannot be sent, because its name is no token or its value has control characters, the whole response
        /// becomes a 500 and the log says why: what comes from outside goes through
        /// [`try_header`](Self::try_header).
        pub fn header(&mut self, name: &str, value: impl AsRef<[u8]>) {
            if let Err(error) = self.try_header(name, value) {
                self.draft.fault = Some(error);
            }
        }

        /// Sets a header field, in place of others of this name.
        ///
        /// # Errors
        ///
        /// It cannot be sent; nothing is changed.
        pub fn try_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), HeaderError> {
            self.draft.headers.set(name, value.as_ref())
        }

        /// Adds a header field behind others of this name: for `Set-Cookie`, `Vary` and the like.
        ///
        /// # Errors
        ///
        /// It cannot be sent; nothing is changed.
        pub fn add_header(&mut self, name: &str, value: impl AsRef<[u8]>) -> Result<(), HeaderError> {
            self.draft.headers.add(name, value.as_ref())
        }

        /// The value of the response's first header field called `name`, as it is now.
        #[must_use]
        pub fn response_header(&self, name: &str) -> Option<&[u8]> {
            self.draft.headers.get(name)
        }

        /// Appends a text to the body.
        #[inline]
        pub fn text(&mut self, text: &str) {
            self.bytes(text.as_bytes());
        }

        /// Appends bytes to the body. What is no text needs its `Content-Type` set.
        #[inline]
        pub fn bytes(&mut self, bytes: &[u8]) {
            self.draft.body.extend_from_slice(bytes);
        }

        /// Appends a text to the body: what `write!(cx, "hello {name}")` calls. Never fails, so there is nothing to check.
        #[inline]
        pub fn write_fmt(&mut self, text: fmt::Arguments<'_>) {
            // The body takes everything; what fails here is a `Display` of the caller's, half of which is then there.
            let _ = std::io::Write::write_fmt(&mut self.draft.body, text);
        }

        /// The body as it is now.
        #[must_use]
        pub fn response_body(&self) -> &[u8] {
            &self.draft.body
        }

        /// Keeps a value for the layers and the handler of this request, in place of another one of its type: who the client
        /// is, for one. It costs an allocation; a request without such values costs nothing.
        pub fn insert<T: 'static>(&mut self, value: T) {
            self.draft.extensions.insert(value);
        }

        /// The value of this type that a layer has [inserted](Self::insert).
        ///
        /// # Errors
        ///
        /// [`Rejection::Missing`] where there is none: then a layer is missing, so that it is answered with 500.
        pub fn extension<T: 'static>(&self) -> Result<&T, Rejection> {
            let of = std::any::type_name::<T>();
            self.draft.extensions.get().ok_or(Rejection::Missing { of })
        }

        /// Has the body written piece by piece by `source`, when the handler has returned: in chunks (RFC 9112 §7.1), or
        /// for a client of HTTP/1.0 until the connection closes. What was said of the status and the header fields
        /// counts; a body that was written here is left out. See [`Source`].
        ///
        /// The stream ends early where the client ends its side of the connection, or sends more than 64 KiB of further
        /// requests before this one is answered: without the last chunk, or by a reset where the connection's end is that
        /// of the body, so that it does not look whole.
        pub fn stream(&mut self, source: impl Source) {
            self.draft.next = Some(Next::Stream(Beginning::new(Length::Open, source)));
        }

        /// The same for a body of `length` bytes, which is said in `Content-Length`. Nothing is read from the client
        /// meanwhile, so one that has ended its side gets it whole.
        ///
        /// A source that ends with fewer breaks the connection, since the client could not tell otherwise; what it
        /// sends beyond that is left out, and logged.
        pub fn stream_sized(&mut self, length: u64, source: impl Source) {
            self.draft.next = Some(Next::Stream(Beginning::new(Length::Sized(length), source)));
        }

        /// Has `source` send [events](crate::sse). Sets `Content-Type: text/event-stream`, and has nobody keep or collect
        /// what is sent: `Cache-Control: no-store`, and `X-Accel-Buffering: no`, which nginx and others understand.
        pub fn events(&mut self, source: impl Source) {
            self.header("Content-Type", "text/event-stream");
            self.header("Cache-Control", "no-store");
            self.header("X-Accel-Buffering", "no");
            self.draft.next = Some(Next::Stream(Beginning::events(source)));
        }
    };
}

impl Cx<'_> {
    response_methods!();

    /// Answers with this status and text, in place of everything that was said so far.
    pub fn refuse(&mut self, status: u16, text: &str) {
        self.reset();
        self.status(status);
        self.text(text);
    }

    /// Takes back everything that was said so far.
    pub fn reset(&mut self) {
        self.draft.reset();
    }
}

impl Reply<'_> {
    response_methods!();

    /// Answers with this status and text. Header fields that were set before stay, since they are of the layers around
    /// the handler too, but for those about a body or how long it may be kept: `Content-Type`, `Content-Encoding`, `ETag`,
    /// `Cache-Control` (unless it is `no-store`) and the like.
    pub fn refuse(&mut self, status: u16, text: &str) {
        self.draft.replace(status, text);
    }

    /// The reactor's clock when this turn began, as [`Cx::now`].
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }
}

/// A response that is made after its handler has returned, with what the handler and its layers had said of it by then.
/// Lives for one call, on the reactor's thread.
pub struct Reply<'a> {
    pub(crate) draft: &'a mut Draft,
    pub(crate) now: Duration,
}

impl fmt::Debug for Reply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("response", &self.draft).finish_non_exhaustive()
    }
}
