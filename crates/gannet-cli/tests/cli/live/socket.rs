//! A client of the gateway by WebSocket, with commands and replies as JSON.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};

use serde_json::{Value, json};

use super::Walk;
use crate::server::Stream;

pub(super) struct Socket {
    stream: Stream,
    came: VecDeque<Value>,
    next_id: u32,
    /// The code that the server closed it with.
    pub(super) code: Option<u16>,
}

impl Socket {
    /// Upgrades a connection, with these fields in the request.
    pub(super) fn open(walk: &Walk, fields: &str) -> Result<Self, String> {
        let mut stream = walk.connect("push");
        write!(
            stream,
            "GET /connection/websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             {fields}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .expect("it reads");
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let mut byte = [0];
            if stream.read(&mut byte).expect("a head") == 0 {
                break;
            }
            head.push(byte[0].into());
        }
        if head.starts_with("HTTP/1.1 101") {
            Ok(Self { stream, came: VecDeque::new(), next_id: 0, code: None })
        } else {
            Err(head)
        }
    }

    /// Connects as the user of a token, or as nobody.
    pub(super) fn connect(walk: &Walk, token: Option<&str>) -> (Self, Value) {
        let mut socket = Self::open(walk, "").expect("it is upgraded");
        let reply = socket.ask("connect", token.map_or_else(|| json!({}), |token| json!({ "token": token })));
        (socket, reply)
    }

    pub(super) fn send(&mut self, text: &str) {
        let length = text.len();
        let mut frame = vec![0x81];
        match length {
            0..=125 => frame.push(0x80 | length as u8),
            126..=65_535 => frame.extend([&[0x80 | 126][..], &(length as u16).to_be_bytes()].concat()),
            _ => frame.extend([&[0x80 | 127][..], &(length as u64).to_be_bytes()].concat()),
        }
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.stream.write_all(&frame).expect("it reads");
    }

    /// Sends a command, and gives its reply. Where the connection is closed in place of one, nothing.
    pub(super) fn ask(&mut self, command: &str, what: Value) -> Value {
        self.next_id += 1;
        let id = self.next_id;
        self.send(&json!({ "id": id, command: what }).to_string());
        while let Some(line) = self.next() {
            if line["id"] == id {
                return line;
            }
        }
        Value::Null
    }

    /// The next message that is no ping of the server, or nothing when it has closed.
    pub(super) fn next(&mut self) -> Option<Value> {
        loop {
            match self.came.pop_front() {
                Some(line) if line == json!({}) => {}
                Some(line) => return Some(line),
                None => self.read()?,
            }
        }
    }

    /// Reads until the server has closed.
    pub(super) fn end(&mut self) {
        while self.read().is_some() {}
    }

    /// Reads until a ping of the server.
    pub(super) fn until_pinged(&mut self) {
        while !self.came.iter().any(|line| *line == json!({})) {
            self.read().expect("it is open");
        }
    }

    /// Reads a frame.
    fn read(&mut self) -> Option<()> {
        let mut head = [0; 2];
        self.fill(&mut head)?;
        let length = match head[1] {
            126 => {
                let mut more = [0; 2];
                self.fill(&mut more)?;
                u16::from_be_bytes(more).into()
            }
            127 => {
                let mut more = [0; 8];
                self.fill(&mut more)?;
                u64::from_be_bytes(more) as usize
            }
            short => short.into(),
        };
        let mut payload = vec![0; length];
        self.fill(&mut payload)?;
        if head[0] & 15 == 8 {
            self.code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
            return None;
        }
        let text = String::from_utf8(payload).expect("text");
        self.came.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")));
        Some(())
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Option<()> {
        match self.stream.read_exact(buffer) {
            Ok(()) => Some(()),
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => None,
            Err(error) => panic!("nothing comes: {error}"),
        }
    }
}
