//! What a handler may return: every type that is a response.

use std::borrow::Cow;

use serde::Serialize;

use crate::cx::Cx;
use crate::draft::FAILED;
use crate::response::Reply;

/// Turns a value into a response. Handlers return such values; so do the closures that make a response later.
///
/// | value | response |
/// |---|---|
/// | `()` | what the handler wrote to its [`Cx`] |
/// | `&str`, `String`, `Cow<str>` | a text |
/// | `Vec<u8>`, `&[u8]`, `Bytes` | bytes, with `Content-Type: application/octet-stream` unless another was set |
/// | [`Json`], [`Html`], [`Redirect`] | as their names say |
/// | `u16` | this status, without a body |
/// | `(u16, value)` | the value with this status |
/// | `Option<value>` | the value, or 404 |
/// | `Result<value, error>` | either of the two, both of which are responses |
///
/// A value replaces the body that the handler wrote before. Status and header fields stay as they were set, except for an
/// error: it begins at status 500, without header fields that describe a body.
///
/// A returned value owns its data; what borrows from the request can be written to the [`Cx`] instead.
///
/// Implement it for the errors of your application, and handlers can use `?`:
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

/// Makes the response of what a handler returned.
#[inline]
pub(crate) fn respond<R: Respond>(value: R, cx: &mut Cx<'_>) {
    let now = cx.now();
    value.respond(&mut Reply { draft: &mut *cx.draft, now });
}

impl Respond for () {
    #[inline]
    fn respond(self, _: &mut Reply<'_>) {}
}

impl Reply<'_> {
    /// Writes a body of this type in place of another, unless the type was set.
    #[inline]
    fn replace_body(&mut self, content_type: Option<&str>, body: &[u8]) {
        if let Some(content_type) = content_type
            && self.response_header("content-type").is_none()
        {
            self.header("Content-Type", content_type);
        }
        self.draft.body.clear();
        self.bytes(body);
    }
}

macro_rules! respond_with {
    ($($type:ty: $content_type:expr, $body:ident => $bytes:expr;)*) => {$(
        impl Respond for $type {
            #[inline]
            fn respond(self, reply: &mut Reply<'_>) {
                let $body = self;
                reply.replace_body($content_type, $bytes);
            }
        }
    )*};
}

/// What bytes are where nothing else was said (RFC 9110 §8.3).
const BYTES: Option<&str> = Some("application/octet-stream");

respond_with! {
    &str: None, text => text.as_bytes();
    String: None, text => text.as_bytes();
    Cow<'_, str>: None, text => text.as_bytes();
    &[u8]: BYTES, bytes => bytes;
    Vec<u8>: BYTES, bytes => &bytes;
    bytes::Bytes: BYTES, bytes => &bytes;
}

/// A status without a body.
impl Respond for u16 {
    #[inline]
    fn respond(self, reply: &mut Reply<'_>) {
        reply.draft.body.clear();
        reply.status(self);
    }
}

impl<R: Respond> Respond for (u16, R) {
    #[inline]
    fn respond(self, reply: &mut Reply<'_>) {
        let (status, value) = self;
        // First, since a value that cannot be written says so.
        reply.status(status);
        value.respond(reply);
    }
}

impl<R: Respond> Respond for Option<R> {
    #[inline]
    fn respond(self, reply: &mut Reply<'_>) {
        match self {
            Some(value) => value.respond(reply),
            None => reply.refuse(404, "not found\n"),
        }
    }
}

impl<R: Respond, E: Respond> Respond for Result<R, E> {
    #[inline]
    fn respond(self, reply: &mut Reply<'_>) {
        match self {
            Ok(value) => value.respond(reply),
            Err(error) => {
                reply.refuse(500, "");
                error.respond(reply);
            }
        }
    }
}

impl<R: Respond> Respond for Box<R> {
    #[inline]
    fn respond(self, reply: &mut Reply<'_>) {
        (*self).respond(reply);
    }
}

/// A response in JSON. Written straight into the response's memory: it allocates nothing unless the value's own
/// `Serialize` does. A value that cannot be serialized becomes a 500, and the log says why.
///
/// To read JSON, see [`Cx::json`].
///
/// ```
/// use gannet_http::{Json, Router};
///
/// let routes = Router::new().get("/primes", |_| Json([2, 3, 5, 7])).build()?;
/// # Ok::<(), gannet_http::RouteError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Json<T>(
    /// The value.
    pub T,
);

impl<T: Serialize> Respond for Json<T> {
    #[inline]
    fn respond(self, reply: &mut Reply<'_>) {
        reply.replace_body(Some("application/json"), b"");
        if let Err(error) = serde_json::to_writer(&mut reply.draft.body, &self.0) {
            let value = std::any::type_name::<T>();
            tracing::error!(%error, value, "a response cannot be serialized; answered with 500");
            reply.refuse(500, FAILED);
        }
    }
}

/// A response in HTML, in UTF-8. The text is sent as it is: what came from outside has to be escaped before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Html<T>(
    /// The document.
    pub T,
);

impl<T: AsRef<str>> Respond for Html<T> {
    #[inline]
    fn respond(self, reply: &mut Reply<'_>) {
        reply.replace_body(Some("text/html; charset=utf-8"), self.0.as_ref().as_bytes());
    }
}

/// Sends the client elsewhere (RFC 9110 §15.4). The target is a path or a whole URI, percent-encoded; one with control
/// characters becomes a 500.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect<T> {
    status: u16,
    target: T,
}

impl<T: AsRef<str>> Redirect<T> {
    /// Has the client ask for the target with `GET` (303): the answer to a form that was accepted.
    pub fn see_other(target: T) -> Self {
        Self { status: 303, target }
    }

    /// Has the client send the same request to the target, this time only (307).
    pub fn temporary(target: T) -> Self {
        Self { status: 307, target }
    }

    /// Has the client send the same request to the target from now on (308).
    pub fn permanent(target: T) -> Self {
        Self { status: 308, target }
    }
}

impl<T: AsRef<str>> Respond for Redirect<T> {
    fn respond(self, reply: &mut Reply<'_>) {
        self.status.respond(reply);
        reply.header("Location", self.target.as_ref());
    }
}
