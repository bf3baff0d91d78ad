//! Unit tests of an application, without a socket: [`Routes::call`] answers a request as a server would.
//!
//! Turn on the feature `testing` in `[dev-dependencies]`. Each call runs a whole service on a simulated connection, so all
//! of it is tried: layers, limits, streamed bodies, offloaded work.
//!
//! ```
//! use gannet_http::testing::Request;
//! use gannet_http::{Json, Router};
//!
//! let routes = Router::new().post("/double", |cx| cx.json::<u32>().map(|number| Json(2 * number))).build()?;
//!
//! let response = routes.call(Request::post("/double").json(&21));
//! assert_eq!((response.status, response.json::<u32>()), (200, 42));
//! assert_eq!(routes.call(Request::get("/double")).status, 405);
//! # Ok::<(), gannet_http::RouteError>(())
//! ```
#![allow(clippy::missing_panics_doc, reason = "here a panic is how a test fails")]

use std::fmt;
use std::io;
use std::time::Duration;

use gannet::proto::http::Responses;
use gannet::proto::{Codec as _, Decoded};
use gannet::sim::{SimulatedClient, Simulation};
use gannet::{Limits, Timeouts};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Stopwatch;
use crate::routes::Routes;
use crate::service::HttpService;

/// How long a response may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request of a test.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    fields: String,
    body: Vec<u8>,
}

impl Request {
    /// A request with this method for this path and query.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), fields: String::new(), body: Vec::new() }
    }

    /// A `GET`.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A `POST`.
    #[must_use]
    pub fn post(target: &str) -> Self {
        Self::new("POST", target)
    }

    /// A `PUT`.
    #[must_use]
    pub fn put(target: &str) -> Self {
        Self::new("PUT", target)
    }

    /// A `PATCH`.
    #[must_use]
    pub fn patch(target: &str) -> Self {
        Self::new("PATCH", target)
    }

    /// A `DELETE`.
    #[must_use]
    pub fn delete(target: &str) -> Self {
        Self::new("DELETE", target)
    }

    /// Adds a header field. `Host` and `Content-Length` are there already.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.fields += &format!("{name}: {value}\r\n");
        self
    }

    /// Sets the body, of whatever `Content-Type` is added.
    #[must_use]
    pub fn body(self, bytes: impl Into<Vec<u8>>) -> Self {
        Self { body: bytes.into(), ..self }
    }

    /// Sets a body in JSON.
    #[must_use]
    pub fn json(self, value: &impl Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("a value that is serialized");
        self.header("Content-Type", "application/json").body(body)
    }

    /// Sets the body of a form, as `name=value&name=value`.
    #[must_use]
    pub fn form(self, pairs: &str) -> Self {
        self.header("Content-Type", "application/x-www-form-urlencoded").body(pairs)
    }

    fn bytes(&self) -> Vec<u8> {
        let Self { method, target, fields, body } = self;
        let length = body.len();
        let head = format!("{method} {target} HTTP/1.1\r\nHost: test\r\n{fields}Content-Length: {length}\r\n\r\n");
        [head.as_bytes(), body].concat()
    }
}

/// What a test gets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The header fields, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body, without any framing.
    pub body: Vec<u8>,
}

impl Response {
    /// The value of the first header field called `name`, in whatever case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name))?;
        Some(std::str::from_utf8(value).expect("a value that is text"))
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body that is text")
    }

    /// The body, which is JSON.
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

impl Routes {
    /// Answers a request as a server would, with default limits and deadlines. Needs the feature `testing`; see
    /// [`testing`](self). It panics where no response comes within a minute, as for a stream of events, which never ends.
    #[must_use]
    pub fn call(&self, request: Request) -> Response {
        let mut simulation = Simulation::calm(&Limits::default(), Timeouts::default(), || HttpService::new(self));
        let mut client = simulation.connect(0);
        let (bytes, mut sent, mut received) = (request.bytes(), 0, Vec::new());
        let began = Stopwatch::start();
        // The simulated time is that of the test, so that deadlines are what they are.
        let mut turned = Duration::ZERO;
        loop {
            let now = began.elapsed();
            assert!(now < PATIENCE, "no response to {request:?} in {PATIENCE:?}");
            simulation.turn_within(now - turned);
            turned = now;
            sent += write(&mut client, &bytes[sent..]);
            let ended = read(&mut client, &mut received);
            if let Some(response) = response(&request, &mut received.clone(), ended) {
                return response;
            }
            assert!(!ended, "the connection ended without a response to {request:?}");
            std::thread::yield_now();
        }
    }
}

fn write(client: &mut SimulatedClient, bytes: &[u8]) -> usize {
    if bytes.is_empty() {
        return 0;
    }
    // A server may answer and close before it has read everything.
    client.write(bytes).unwrap_or_default()
}

/// Reads what is there, and says whether that is all.
fn read(client: &mut SimulatedClient, received: &mut Vec<u8>) -> bool {
    let mut buffer = [0; 16 << 10];
    loop {
        match client.read(&mut buffer) {
            Ok(0) => return true,
            Ok(count) => received.extend_from_slice(&buffer[..count]),
            Err(error) => return error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

/// The response in these bytes, where it is whole.
fn response(request: &Request, mut received: &mut [u8], ended: bool) -> Option<Response> {
    let (mut codec, mut state) = (Responses::new(), Default::default());
    if request.method == "HEAD" {
        codec = codec.to_head();
    }
    loop {
        match codec.decode(&mut state, received).expect("a response") {
            Decoded::Message { message, consumed } if message.status < 200 && message.status != 101 => {
                received = &mut received[consumed..];
            }
            Decoded::Message { message, .. } => return Some(Response::of(&message)),
            Decoded::Taken { consumed } => received = &mut received[consumed..],
            Decoded::Partial { .. } if ended => {
                return codec.finish(&mut state, received).expect("a whole response").map(|reply| Response::of(&reply));
            }
            _ => return None,
        }
    }
}

impl Response {
    fn of(reply: &gannet::proto::http::Reply<'_>) -> Self {
        let headers = reply.headers().map(|(name, value)| (name.to_owned(), value.to_vec())).collect();
        Self { status: reply.status, headers, body: reply.body.to_vec() }
    }
}
