//! Types that a handler may return: implementations of [`Respond`].

use std::borrow::Cow;

use serde::Serialize;

use crate::cx::Cx;
use crate::draft::FAILED;
use crate::rejection::Rejection;
use crate::response::{Reply, Respond};

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
        // First: a value that cannot be written sets another status.
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

/// The status with a text that says what is wrong.
impl Respond for Rejection {
    fn respond(self, reply: &mut Reply<'_>) {
        reply.reject(&self);
    }
}

impl<R: Respond> Respond for Box<R> {
    #[inline]
    fn respond(self, reply: &mut Reply<'_>) {
        (*self).respond(reply);
    }
}

/// Responds with a value as JSON, and sets `Content-Type: application/json`.
///
/// It is written into the response's memory, and allocates only if the value's own `Serialize` does. If the value cannot
/// be serialized, the response is a 500 and the log says why.
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

/// Responds with a document in HTML, in UTF-8. The text is sent as it is: escape anything that came from outside.
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

/// Redirects the client (RFC 9110 §15.4).
///
/// The target is a path or a whole URI, percent-encoded. If it has control characters, the response is a 500.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect<T> {
    status: u16,
    target: T,
}

impl<T: AsRef<str>> Redirect<T> {
    /// Redirects to the target with `GET` (303), as after a form was accepted.
    pub fn see_other(target: T) -> Self {
        Self { status: 303, target }
    }

    /// Redirects the same request to the target, this time only (307).
    pub fn temporary(target: T) -> Self {
        Self { status: 307, target }
    }

    /// Redirects the same request to the target, now and in future (308).
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
