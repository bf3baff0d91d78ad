//! Methods that write a response, and the trait of values that are one.

use std::fmt;
use std::time::Duration;

use crate::draft::{Draft, FAILED};
use crate::rejection::Rejection;

/// The methods that [`Cx`](crate::Cx) and [`Reply`] have in common. Both hold a draft.
macro_rules! response_methods {
    () => {
        /// Sets the status, from 200 to 999 (default 200).
        ///
        /// Any other is sent as 500: a status below 200 does not end a response, so the client would wait for another one.
        pub fn status(&mut self, status: u16) {
            self.draft.status = status;
        }

        /// Returns the status that is set now.
        #[must_use]
        pub fn response_status(&self) -> u16 {
            self.draft.status
        }

        /// Sets a header field and replaces others of this name.
        ///
        /// The server itself writes `Content-Length`, `Connection` and `Transfer-Encoding`. It writes `Date` and
        /// `Content-Type` (plain text) unless you set them.
        ///
        /// If the field cannot be sent, because its name is no token or its value has control characters, the whole response
        /// becomes a 500 and the log says why. Use [`try_header`](Self::try_header) for names and values from outside.
        pub fn header(&mut self, name: &str, value: impl AsRef<[u8]>) {
            if let Err(error) = self.try_header(name, value) {
                self.draft.fault = Some(error);
            }
        }

        /// Sets a header field and replaces others of this name, or says why it cannot be sent.
        ///
        /// # Errors
        ///
        /// The name is no token, or the value has control characters. Nothing is changed.
        pub fn try_header(
            &mut self,
            name: &str,
            value: impl AsRef<[u8]>,
        ) -> Result<(), gannet::proto::http::HeaderError> {
            self.draft.headers.set(name, value.as_ref())
        }

        /// Adds a header field after others of this name, as for `Set-Cookie` and `Vary`.
        ///
        /// # Errors
        ///
        /// The name is no token, or the value has control characters. Nothing is changed.
        pub fn add_header(
            &mut self,
            name: &str,
            value: impl AsRef<[u8]>,
        ) -> Result<(), gannet::proto::http::HeaderError> {
            self.draft.headers.add(name, value.as_ref())
        }

        /// Returns the value of the response's first header field called `name`, as it is set now.
        #[must_use]
        pub fn response_header(&self, name: &str) -> Option<&[u8]> {
            self.draft.headers.get(name)
        }

        /// Appends a text to the body.
        #[inline]
        pub fn text(&mut self, text: &str) {
            self.bytes(text.as_bytes());
        }

        /// Appends bytes to the body. Set `Content-Type` if they are not plain text.
        #[inline]
        pub fn bytes(&mut self, bytes: &[u8]) {
            self.draft.body.extend_from_slice(bytes);
        }

        /// Appends a formatted text to the body: `write!(cx, "hello {name}")` calls it. It never fails.
        #[inline]
        pub fn write_fmt(&mut self, text: std::fmt::Arguments<'_>) {
            // The body takes everything; what fails here is a `Display` of the caller's, half of which is then there.
            let _ = std::io::Write::write_fmt(&mut self.draft.body, text);
        }

        /// Returns the body as it is now.
        #[must_use]
        pub fn response_body(&self) -> &[u8] {
            &self.draft.body
        }

        /// Keeps a value for the layers and the handler of this request, such as the authenticated user.
        ///
        /// It replaces another value of the same type. It takes an allocation; a request without such values pays nothing.
        pub fn insert<T: 'static>(&mut self, value: T) {
            self.draft.extensions.insert(value);
        }

        /// Returns the value of type `T` that a layer has [inserted](Self::insert).
        ///
        /// # Errors
        ///
        /// [`Rejection::Missing`](crate::Rejection::Missing) if there is none. As a response it is a 500: a layer is missing in front of the handler.
        pub fn extension<T: 'static>(&self) -> Result<&T, $crate::rejection::Rejection> {
            let of = std::any::type_name::<T>();
            self.draft.extensions.get().ok_or($crate::rejection::Rejection::Missing { of })
        }

        /// Streams the body: `source` writes it piece by piece after the handler returned. See [`Source`](crate::Source).
        ///
        /// The body is sent in chunks (RFC 9112 §7.1), and to a client of HTTP/1.0 until the connection closes. Status and
        /// header fields count as they were set; a body that was written here is left out.
        ///
        /// The stream breaks off if the client disconnects, or sends more than 64 KiB of further requests. A body that
        /// breaks off does not look whole: it lacks its last chunk, or the connection is reset.
        pub fn stream(&mut self, source: impl $crate::stream::Source) {
            self.draft.stream($crate::stream::Beginning::new($crate::stream::Length::Open, source));
        }

        /// Streams a body of `length` bytes, which is sent as `Content-Length`. See [`Source`](crate::Source).
        ///
        /// Nothing is read from the client meanwhile, so a client that has half-closed gets the whole body.
        ///
        /// If the source ends early, the connection is broken, because the client could not tell otherwise. Bytes beyond
        /// `length` are left out and logged.
        pub fn stream_sized(&mut self, length: u64, source: impl $crate::stream::Source) {
            self.draft.stream($crate::stream::Beginning::new($crate::stream::Length::Sized(length), source));
        }

        /// Streams [server-sent events](crate::sse), which `source` sends.
        ///
        /// This sets `Content-Type: text/event-stream`. It also sets `Cache-Control: no-store` and `X-Accel-Buffering: no`,
        /// so that caches and proxies such as nginx pass each event on at once.
        pub fn events(&mut self, source: impl $crate::stream::Source) {
            self.header("Content-Type", "text/event-stream");
            self.header("Cache-Control", "no-store");
            self.header("X-Accel-Buffering", "no");
            self.draft.stream($crate::stream::Beginning::events(source));
        }
    };
}

pub(crate) use response_methods;

impl Reply<'_> {
    response_methods!();

    /// Answers with this status and text in place of the body.
    ///
    /// Header fields stay, because layers have set some of them. Those that describe a body are removed: `Content-Type`,
    /// `Content-Encoding`, `ETag`, `Cache-Control` (unless it is `no-store`) and the like.
    pub fn refuse(&mut self, status: u16, text: &str) {
        self.draft.replace(status, text);
    }

    /// Answers with the status and the text of a rejection.
    pub(crate) fn reject(&mut self, rejection: &Rejection) {
        self.refuse(rejection.status(), "");
        if let Rejection::Missing { .. } = rejection {
            tracing::error!(error = %rejection, "a handler asks for what is not there; answered with 500");
            self.text(FAILED);
        } else {
            writeln!(self, "{rejection}");
        }
    }

    /// Returns the reactor's time, as of the start of this turn.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.now
    }
}

/// Writes a response: the one that a value becomes ([`Respond`]), or one that is made after its handler returned.
///
/// It begins with what the handler and its layers have set. Lives for one call, on the reactor's thread.
pub struct Reply<'a> {
    pub(crate) draft: &'a mut Draft,
    pub(crate) now: Duration,
}

/// Turns a value into a response. Handlers return such values, and so do closures that make a deferred response.
///
/// | value | response |
/// |---|---|
/// | `()` | the response that the handler wrote to its [`Cx`](crate::Cx) |
/// | `&str`, `String`, `Cow<str>` | a text |
/// | `Vec<u8>`, `&[u8]`, `Bytes` | bytes, with `Content-Type: application/octet-stream` unless another was set |
/// | [`Json`](crate::Json), [`Html`](crate::Html), [`Redirect`](crate::Redirect) | JSON, HTML, a redirect |
/// | `u16` | this status, without a body |
/// | `(u16, value)` | the value with this status |
/// | `Option<value>` | the value, or 404 |
/// | `Result<value, error>` | either of the two, both of which are responses |
///
/// A value replaces the body that the handler wrote before. Status and header fields stay as they were set. An `Err`
/// begins at status 500, without header fields that describe a body.
///
/// A returned value has to own its data. Write data that borrows from the request to the [`Cx`](crate::Cx) instead.
///
/// Implement this trait for the errors of your application; then handlers can use `?`:
///
/// ```
/// use gannet_http::{Cx, Json, Rejection, Reply, Respond, Router};
/// use serde::{Deserialize, Serialize};
///
/// enum Error {
///     Rejected(Rejection),
///     Taken(String),
/// }
///
/// impl From<Rejection> for Error {
///     fn from(rejection: Rejection) -> Self {
///         Self::Rejected(rejection)
///     }
/// }
///
/// impl Respond for Error {
///     fn respond(self, reply: &mut Reply<'_>) {
///         match self {
///             Self::Rejected(rejection) => rejection.respond(reply),
///             Self::Taken(name) => (409, format!("{name} is taken\n")).respond(reply),
///         }
///     }
/// }
///
/// #[derive(Deserialize, Serialize)]
/// struct User {
///     name: String,
/// }
///
/// fn create(cx: &mut Cx<'_>) -> Result<(u16, Json<User>), Error> {
///     let user: User = cx.json()?;
///     if user.name == "root" {
///         return Err(Error::Taken(user.name));
///     }
///     Ok((201, Json(user)))
/// }
///
/// let routes = Router::new().post("/users", create).build()?;
/// # Ok::<(), gannet_http::RouteError>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    label = "is no response",
    note = "return (), a text, Json(value), a status, (status, value), or a Result of these; or implement Respond"
)]
pub trait Respond {
    /// Writes the response.
    fn respond(self, reply: &mut Reply<'_>);
}

impl fmt::Debug for Reply<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("response", &self.draft).finish_non_exhaustive()
    }
}
