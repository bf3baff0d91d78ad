//! HTTP/1.1 (RFC 9110, RFC 9112): requests are decoded and responses written for a server, and responses decoded for a
//! client.
//!
//! | type | what it does |
//! |---|---|
//! | [`Requests`] | the codec: takes requests with their bodies off a connection, and refuses what is ambiguous |
//! | [`Request`] | one request: method, target, header fields, body, all borrowed from the received bytes |
//! | [`Response`] | writes a response to a [`Sink`](crate::Sink) |
//! | [`HeaderLines`] | collects a response's header fields before its status is known |
//! | [`Chunks`] | writes a response's body whose length is not known in advance |
//! | [`WholeResponse`] | a response with its body, for [`Requests`] to encode |
//! | [`WholeRequest`] | a request with its body, for [`Responses`] to encode |
//! | [`Responses`] | a client's codec: takes responses with their bodies off a connection, each a [`Reply`] |
//!
//! ```
//! use gannet_proto::http::{Event, Requests, Response};
//! use gannet_proto::{Codec, Decoded};
//!
//! let mut received = *b"GET /hello?to=you HTTP/1.1\r\nHost: example.org\r\n\r\n";
//! let decoded = Requests::new().decode(&mut Default::default(), &mut received)?;
//! let Decoded::Message { message: Event::Request(request), consumed: 49 } = decoded else { unreachable!() };
//! assert_eq!((request.path(), request.query(), request.host()), ("/hello", Some("to=you"), "example.org"));
//!
//! let mut out = Vec::new();
//! let mut response = Response::new(&mut out, request.answer(), 200);
//! response.header("Date", b"Sun, 06 Nov 1994 08:49:37 GMT")?;
//! let persistence = response.body(b"hello");
//! assert!(persistence.is_keep());
//! assert!(out.ends_with(b"Content-Length: 5\r\n\r\nhello"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod chunked;
mod error;
mod grammar;
mod head;
mod header_lines;
mod headers;
mod lines;
mod request;
mod requests;
mod response;
mod responses;
mod status;
mod whole;

pub use error::{Error, HeaderError};
pub use header_lines::HeaderLines;
pub use headers::Headers;
pub use request::{Method, Request, Version};
pub use requests::{Event, Requests, RequestsState};
pub use response::{Answer, CONTINUE, Chunks, Persistence, Response, SIZE_LINE, size_line};
pub use responses::{Reply, Responses, ResponsesState};
pub use whole::{WholeRequest, WholeResponse};
