//! Messages with their whole bodies, for the codecs to encode.

use super::head::check_target;
use super::header_lines::{check_field, put_field};
use super::response::put_length;
use super::{Answer, Error, HeaderError, Method, Response, grammar};
use crate::Sink;

/// Describes a response with its whole body, for [`Requests`](super::Requests) to encode.
///
/// The codec writes `Content-Length` and `Connection`. It leaves the body out if the request or the status allows
/// none, as [`Response::body`] does. If the request was the client's last one ([`Request::keep_alive`] is false),
/// close the connection when the response was sent.
///
/// [`Request::keep_alive`]: super::Request::keep_alive
///
/// ```
/// use gannet_proto::http::{Answer, Requests, WholeResponse};
/// use gannet_proto::Codec;
///
/// let fields: &[(&str, &[u8])] = &[("Content-Type", b"text/plain")];
/// let response = WholeResponse { answer: Answer::CLOSE, status: 404, fields, body: b"no such page\n" };
/// let mut out = Vec::new();
/// Requests::new().encode(response, &mut out)?;
/// assert!(out.starts_with(b"HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\n"));
/// # Ok::<(), gannet_proto::http::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct WholeResponse<'a> {
    /// The request that it answers: [`Request::answer`](super::Request::answer).
    pub answer: Answer,
    /// The status code. If it is below 101 or over 999, 500 is sent instead.
    pub status: u16,
    /// Header fields, names and values, in order.
    pub fields: &'a [(&'a str, &'a [u8])],
    /// The body.
    pub body: &'a [u8],
}

impl WholeResponse<'_> {
    #[inline]
    pub(super) fn write(&self, out: &mut impl Sink) -> Result<(), Error> {
        for (name, value) in self.fields {
            check_field(name, value)?;
        }
        let mut response = Response::new(out, self.answer, self.status);
        for (name, value) in self.fields {
            response.header(name, value)?;
        }
        // The caller knows from the request whether the connection stays.
        let _ = response.body(self.body);
        Ok(())
    }
}

/// Describes a request with its whole body, for [`Responses`](super::Responses) to encode.
///
/// The codec writes `Host` and `Content-Length`. The connection stays open, as in HTTP/1.1 unless one side closes it.
///
/// ```
/// use gannet_proto::http::{Method, Responses, WholeRequest};
/// use gannet_proto::Codec;
///
/// let request =
///     WholeRequest { method: Method::Get, target: "/hello?to=you", host: "example.org", fields: &[], body: b"" };
/// let mut out = Vec::new();
/// Responses::new().encode(request, &mut out)?;
/// assert_eq!(out, b"GET /hello?to=you HTTP/1.1\r\nHost: example.org\r\n\r\n");
/// # Ok::<(), gannet_proto::http::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct WholeRequest<'a> {
    /// The method.
    pub method: Method<'a>,
    /// The target: a path and query, a whole URI, or `*` for `OPTIONS` (RFC 9112 §3.2).
    pub target: &'a str,
    /// The host, with a port unless it is the scheme's default (RFC 9110 §7.2).
    pub host: &'a str,
    /// Header fields, names and values, in order.
    pub fields: &'a [(&'a str, &'a [u8])],
    /// The body. The length of an empty one is sent only with methods that usually have a body (RFC 9110 §8.6).
    pub body: &'a [u8],
}

impl WholeRequest<'_> {
    #[inline]
    pub(super) fn write(&self, out: &mut impl Sink) -> Result<(), Error> {
        self.check()?;
        out.put(self.method.as_str().as_bytes());
        out.put(b" ");
        out.put(self.target.as_bytes());
        out.put(b" HTTP/1.1\r\nHost: ");
        out.put(self.host.as_bytes());
        out.put(b"\r\n");
        for (name, value) in self.fields {
            put_field(out, name, value)?;
        }
        if self.body.is_empty() && !matches!(self.method, Method::Post | Method::Put | Method::Patch) {
            out.put(b"\r\n");
        } else {
            put_length(out, self.body.len() as u64);
            out.put(self.body);
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        let method = self.method.as_str();
        if !grammar::is_token(method.as_bytes()) {
            return Err(Error::Method);
        }
        check_target(method, self.target)?;
        if self.host.is_empty() || !grammar::is_authority(self.host.as_bytes()) {
            return Err(Error::Host);
        }
        for (name, value) in self.fields {
            if name.eq_ignore_ascii_case("host") {
                return Err(HeaderError::Reserved.into());
            }
            check_field(name, value)?;
        }
        Ok(())
    }
}
