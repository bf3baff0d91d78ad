//! One request, borrowed from the received bytes.

use std::fmt;

use super::head::{Framing, Head};
use super::{Answer, Error, Headers, grammar};

/// Holds one request, borrowed from the received bytes (RFC 9110 §3.4).
///
/// Copy what has to stay. To keep a whole request, copy [`head`](Self::head) and the body, and use
/// [`from_head`](Self::from_head) later.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method.
    pub method: Method<'a>,
    /// The target, as it was sent: a path and query (`/where?q=now`, "origin-form"), a whole URI
    /// (`http://host/where?q=now`, "absolute-form"), or `*` for `OPTIONS` (RFC 9112 §3.2).
    pub target: &'a str,
    /// The version that the client speaks.
    pub version: Version,
    /// The body, without any framing. It is empty if there is none.
    pub body: &'a [u8],
    head: &'a [u8],
    fields: usize,
    keep_alive: bool,
    expects: bool,
    framing: Framing,
}

impl<'a> Request<'a> {
    /// Makes a request of a head that [`head`](Self::head) returned before, and a body.
    ///
    /// Use it if you kept the head of [`Event::Head`](super::Event::Head) until its body came.
    ///
    /// # Errors
    ///
    /// [`Error`] says why `head` is not the head of a request.
    pub fn from_head(head: &'a [u8], body: &'a [u8]) -> Result<Self, Error> {
        Ok(Self::new(Head::parse(head, super::head::MOST_HEADERS)?, body))
    }

    /// The request with this head and this body.
    #[inline]
    pub(super) fn new(head: Head<'a>, body: &'a [u8]) -> Self {
        Self {
            method: head.method,
            target: head.target,
            version: head.version,
            body,
            head: head.bytes,
            fields: head.fields,
            keep_alive: head.keep_alive,
            expects: head.expects,
            framing: head.framing,
        }
    }

    /// Returns the target's path as it was sent: percent-encoded, and with any `..` segments.
    ///
    /// It is `/` if a whole URI has no path. It is `*` for `OPTIONS *`, and for `OPTIONS` with a whole URI that has
    /// neither path nor query (RFC 9112 §3.2.4).
    #[inline]
    #[must_use]
    pub fn path(&self) -> &'a str {
        let rest = self.absolute().map_or(self.target, |(_, rest)| rest);
        let path = rest.split_once('?').map_or(rest, |(path, _)| path);
        match path {
            "" if rest.is_empty() && self.method == Method::Options => "*",
            "" => "/",
            path => path,
        }
    }

    /// Returns the query, which follows the first `?` of the target, as it was sent.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// Returns the host, and the port if one was sent (RFC 9112 §3.2.2).
    ///
    /// It comes from the target if that is a whole URI, and from `Host` otherwise. It is empty if a request of
    /// HTTP/1.0 has none.
    #[must_use]
    pub fn host(&self) -> &'a str {
        match self.absolute() {
            Some((authority, _)) => authority,
            None => self.header("host").and_then(|host| std::str::from_utf8(host).ok()).unwrap_or_default(),
        }
    }

    /// Authority and the rest, where the target is a whole URI.
    fn absolute(&self) -> Option<(&'a str, &'a str)> {
        split_absolute(self.target)
    }

    /// Returns the header fields, in order.
    #[inline]
    #[must_use]
    pub fn headers(&self) -> Headers<'a> {
        Headers::new(&self.head[self.fields..self.head.len() - 2])
    }

    /// Returns the value of the first header field called `name`, ignoring case.
    #[inline]
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(name)
    }

    /// Returns the values of all header fields called `name`, ignoring case.
    pub fn header_all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        let mut headers = self.headers();
        std::iter::from_fn(move || headers.find(name))
    }

    /// Returns true if a header field called `name` is a list that contains `token`, both ignoring case (RFC 9110
    /// §5.6.1). Use it for `Connection`, `Upgrade` and the like.
    #[must_use]
    pub fn header_contains_token(&self, name: &str, token: &str) -> bool {
        self.header_all(name).any(|value| grammar::has_token(value, token))
    }

    /// Returns true if the client may send more requests on this connection (RFC 9112 §9.3).
    ///
    /// If not, take no more requests from it, and close it when the response was sent.
    #[inline]
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.keep_alive
    }

    /// Returns true if the client waits for "100 Continue" before it sends the body (RFC 9110 §10.1.1). It is false
    /// without a body, and in HTTP/1.0.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.expects
    }

    /// Returns the length of the body as the head announces it: 0 without a body, and `None` for one in chunks.
    #[must_use]
    pub fn body_length(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
        }
    }

    /// Returns the part of the request that a [`Response`](super::Response) needs.
    #[inline]
    #[must_use]
    pub fn answer(&self) -> Answer {
        Answer { version: self.version, head: self.method == Method::Head, keep_alive: self.keep_alive }
    }

    /// Returns the head as it was sent, with the empty line at its end.
    #[inline]
    #[must_use]
    pub fn head(&self) -> &'a [u8] {
        self.head
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {}, body of {} bytes)", self.method.as_str(), self.target, self.body.len())
    }
}

/// Splits a URI of the schemes `http` and `https` behind its authority.
#[inline]
pub(super) fn split_absolute(target: &str) -> Option<(&str, &str)> {
    // Nearly every target is a path, where a search for the scheme's end would go through all of it.
    if target.starts_with('/') {
        return None;
    }
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    Some(rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())))
}

/// Names the method of a request (RFC 9110 §9). Its case matters: `get` is not `GET`.
///
/// `CONNECT` is not among them: it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method<'a> {
    /// `GET`
    Get,
    /// `HEAD`: as `GET`, but the response has no body.
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `PATCH` (RFC 5789)
    Patch,
    /// `OPTIONS`, also for the server as a whole, with the target `*`.
    Options,
    /// `TRACE`
    Trace,
    /// Any other token.
    Other(&'a str),
}

impl<'a> Method<'a> {
    #[inline]
    pub(super) fn new(token: &'a str) -> Self {
        match token {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "DELETE" => Self::Delete,
            "PATCH" => Self::Patch,
            "OPTIONS" => Self::Options,
            "TRACE" => Self::Trace,
            other => Self::Other(other),
        }
    }

    /// Returns the method as it was sent.
    #[must_use]
    pub const fn as_str(&self) -> &'a str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
            Self::Patch => "PATCH",
            Self::Options => "OPTIONS",
            Self::Trace => "TRACE",
            Self::Other(token) => token,
        }
    }
}

/// Names a supported version of HTTP (RFC 9110 §2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// HTTP/1.0 (RFC 1945): one request for each connection unless the client asks for more; no chunks.
    Http10,
    /// HTTP/1.1 (RFC 9112), and any later minor version of HTTP/1 (RFC 9110 §2.5).
    #[default]
    Http11,
}
