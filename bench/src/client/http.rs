//! Requests, and the responses that have to come: those of this very server, learned from its first one.

use std::io::{self, Read, Write};
use std::ops::Range;

use super::connect;
use super::idle::Exchange;
use super::taped::wrong;
use crate::http::{self, BODY};
use crate::tape::Tape;

/// Requests on a tape: most writes are of one piece of it.
const REQUESTS: usize = 4_096;
/// A date as it is sent, in bytes.
const DATE_BYTES: usize = 29;

/// `GET /` over and over.
pub fn home(port: u16) -> io::Result<Exchange> {
    home_over(&mut connect(port)?)
}

/// Exchanges `GET /` over a stream of any kind.
pub fn home_over(stream: &mut (impl Read + Write)) -> io::Result<Exchange> {
    let head = Head::of_page(stream, "/", BODY)?;
    Ok(head.exchange((0..REQUESTS).map(|_| ("/".to_owned(), BODY.to_owned()))))
}

/// Paths with two parameters of so many routes, drawn uniformly. The draws are the same in each run.
pub fn parameters(port: u16, routes: usize) -> io::Result<Exchange> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let draws = std::iter::repeat_with(move || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let (route, user) = (state >> 11, (state >> 40) % 100_000);
        let path = http::path(route as usize % routes, &format!("{user:05}"), &format!("{:03}", route % 1_000));
        (path, format!("hello, {user:05}\n"))
    });
    let (path, body) = (http::path(0, "00000", "000"), "hello, 00000\n");
    Ok(Head::of_page(&mut connect(port)?, &path, body)?.exchange(draws.take(REQUESTS)))
}

fn request(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").into_bytes()
}

/// The head that every response of a server has before the body.
pub struct Head {
    /// Its bytes, with the empty line.
    pub bytes: Vec<u8>,
    /// The position of the date; empty where the server sends none, as not all do with an upgrade.
    pub date: Range<usize>,
}

impl Head {
    /// Makes one request, which has to be answered with this status; what follows the head is not read.
    pub fn learn(stream: &mut (impl Read + Write), request: &[u8], status: u16) -> io::Result<Self> {
        stream.write_all(request)?;
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            bytes.extend_from_slice(&byte);
        }
        // Names of fields are in small letters where hyper answers.
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let date = text.find("\r\ndate: ").map(|at| at + "\r\ndate: ".len());
        if !text.starts_with(&format!("http/1.1 {status} ")) {
            return Err(wrong(&bytes));
        }
        Ok(Self { date: date.map_or(0..0, |date| date..date + DATE_BYTES), bytes })
    }

    /// Makes the head of a page with this body, whose length it has to announce.
    fn of_page(stream: &mut (impl Read + Write), path: &str, body: &str) -> io::Result<Self> {
        let head = Self::learn(stream, &request(path), 200)?;
        let length = format!("\r\ncontent-length: {}\r\n", body.len());
        let text = String::from_utf8_lossy(&head.bytes).to_ascii_lowercase();
        if text.contains(&length) { Ok(head) } else { Err(wrong(&head.bytes)) }
    }

    /// Requests for these paths, and the responses with these bodies.
    fn exchange(&self, of: impl Iterator<Item = (String, String)> + Clone) -> Exchange {
        let replies = Tape::new(of.clone(), |(_, body), out| {
            out.extend_from_slice(&self.bytes);
            out.extend_from_slice(body.as_bytes());
        });
        Exchange {
            requests: Tape::new(of, |(path, _), out| out.extend_from_slice(&request(&path))),
            replies: replies.varying(self.date.clone()),
        }
    }
}
