//! Responses that go on, as their clients see them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::Rig;

/// A response that goes on.
pub(crate) struct Feed {
    pub(crate) stream: TcpStream,
    pub(crate) head: String,
    /// What came and was not taken, without the framing of chunks.
    pub(crate) rest: String,
}

impl Feed {
    pub(crate) fn get(rig: &Rig, path: &str, fields: &str) -> Self {
        Self::open(rig, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"))
    }

    pub(crate) fn post(rig: &Rig, path: &str, body: &str) -> Self {
        Self::open(
            rig,
            &format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
        )
    }

    pub(crate) fn open(rig: &Rig, request: &str) -> Self {
        let mut stream = rig.tcp();
        stream.write_all(request.as_bytes()).expect("it is taken");
        Self::of(stream)
    }

    /// The response to what was sent on a connection.
    pub(crate) fn of(mut stream: TcpStream) -> Self {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0] as char);
        }
        Self { stream, head, rest: String::new() }
    }

    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        while !line.ends_with("\r\n") {
            let mut byte = [0];
            self.stream.read_exact(&mut byte).expect("a chunk's size");
            line.push(byte[0] as char);
        }
        line
    }

    /// Takes another chunk; says whether it was not the last.
    pub(crate) fn chunk(&mut self) -> bool {
        let bytes = self.chunk_bytes();
        self.rest.push_str(std::str::from_utf8(&bytes).expect("text"));
        !bytes.is_empty()
    }

    /// Takes another chunk, which may be no text; the last one is empty.
    pub(crate) fn chunk_bytes(&mut self) -> Vec<u8> {
        let size = usize::from_str_radix(self.line().trim_end(), 16).expect("a chunk's size");
        let mut bytes = vec![0; size + 2];
        self.stream.read_exact(&mut bytes).expect("a chunk");
        bytes.truncate(size);
        bytes
    }

    /// The text up to an ending, which is taken too.
    pub(crate) fn until(&mut self, ending: &str) -> String {
        loop {
            if let Some((text, rest)) = self.rest.split_once(ending) {
                let (text, rest) = (text.to_owned(), rest.to_owned());
                self.rest = rest;
                return text;
            }
            assert!(self.chunk(), "it ends with {:?}", self.rest);
        }
    }

    /// The next event, as lines.
    pub(crate) fn event(&mut self) -> String {
        self.until("\n\n")
    }

    /// The next message of an event.
    pub(crate) fn message(&mut self) -> Value {
        let event = self.event();
        serde_json::from_str(event.trim_start().strip_prefix("data: ").expect("data")).expect("JSON")
    }

    /// The next message of a line.
    pub(crate) fn line_message(&mut self) -> Value {
        serde_json::from_str(&self.until("\n")).expect("JSON")
    }

    /// Everything until the response is whole.
    pub(crate) fn rest(&mut self) -> String {
        while self.chunk() {}
        std::mem::take(&mut self.rest)
    }
}

pub(crate) fn emulate(rig: &Rig, connect: &Value, commands: &str) -> u16 {
    let body = json!({"node": connect["node"], "session": connect["session"], "data": commands}).to_string();
    rig.post("/emulation", "", &body).0
}
