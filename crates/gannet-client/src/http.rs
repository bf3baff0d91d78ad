//! HTTP/1.1 with connections that are kept.

use gannet::proto::Codec as _;
use gannet::proto::http::{self, Method, Responses, WholeRequest};

use crate::protocol::{Incoming, Message, Protocol};

/// Speaks HTTP/1.1 (RFC 9112): one request at a time on each connection, which is kept for the next one.
///
/// A request is a [`WholeRequest`], a reply an [`http::Reply`] with its whole body. Interim responses (1xx) are left out.
/// `GET`, `PUT`, `DELETE`, `OPTIONS` and `TRACE` are idempotent (RFC 9110 §9.2.2), so a request of these that was lost is
/// tried once more. `HEAD` is refused, because its response cannot be told from one whose body is missing.
#[derive(Clone, Debug, Default)]
pub struct Http {
    codec: Responses,
}

impl Http {
    /// Makes a protocol with bodies of up to 16 MiB.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the limits of responses.
    #[must_use]
    pub fn responses(codec: Responses) -> Self {
        Self { codec }
    }
}

/// Holds a response that borrows nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpReply {
    /// The status code.
    pub status: u16,
    /// Header fields, names and values, in order.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The body, without any framing.
    pub body: Vec<u8>,
}

impl HttpReply {
    /// Returns the value of the first header field called `name`, ignoring case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }
}

impl Protocol for Http {
    type Codec = Responses;
    type State = ();
    type Request<'a> = WholeRequest<'a>;
    type Reply<'m> = http::Reply<'m>;
    type Owned = HttpReply;

    fn codec(&self) -> Responses {
        self.codec.clone()
    }

    fn encode(&self, request: WholeRequest<'_>, _: u64, out: &mut Vec<u8>) -> bool {
        request.method != Method::Head && self.codec.encode(request, out).is_ok()
    }

    fn is_idempotent(&self, request: &WholeRequest<'_>) -> bool {
        matches!(request.method.as_str(), "GET" | "PUT" | "DELETE" | "OPTIONS" | "TRACE")
    }

    fn receive<'m>(&self, (): &mut (), reply: Message<'m, Self>) -> Incoming<http::Reply<'m>> {
        match reply.status {
            101 => Incoming::Broken("the server changes the protocol, which was not asked for"),
            100..200 => Incoming::Ignore,
            _ if reply.keep_alive() => Incoming::Reply(reply),
            _ => Incoming::Last(reply),
        }
    }

    fn copied(&self, reply: http::Reply<'_>) -> HttpReply {
        let fields = reply.headers().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        HttpReply { status: reply.status, fields, body: reply.body.to_vec() }
    }
}
