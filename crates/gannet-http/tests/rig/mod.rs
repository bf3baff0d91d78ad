//! Whole servers over real sockets, on every driver that this machine has.

#![allow(dead_code, reason = "each file of tests uses a part of it")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use gannet::{Address, DriverChoice, Engine, Running};
use gannet_http::{HttpService, Routes};
pub(crate) use gannet_testing::{PATIENCE, drivers};
use gannet_testing::{is_end, until};

/// A server that runs, on two reactors.
pub(crate) struct Rig {
    pub(crate) running: Running,
    address: SocketAddr,
}

impl Rig {
    pub(crate) fn start(driver: DriverChoice, routes: &Routes) -> Self {
        let routes = routes.clone();
        Self::with(driver, move || HttpService::new(&routes))
    }

    pub(crate) fn with(driver: DriverChoice, service: impl Fn() -> HttpService + Send + Sync + 'static) -> Self {
        Self::of(Engine::new().driver(driver).reactors(2), service)
    }

    /// On an engine with settings of its own.
    pub(crate) fn of(engine: Engine, service: impl Fn() -> HttpService + Send + Sync + 'static) -> Self {
        let engine = engine.listen("tcp://127.0.0.1:0", service);
        let running = engine.expect("an address").start().expect("the engine starts");
        let Some(Address::Tcp(address)) = running.addresses().next().cloned() else { panic!("it listens on TCP") };
        Self { running, address }
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Client { stream }
    }

    /// Waits until nobody is let in any more.
    pub(crate) fn until_refused(&self) {
        until("the listener to be closed", || TcpStream::connect(self.address).is_err());
    }

    /// Asks on a connection of its own, with these header lines, each with its ending.
    #[track_caller]
    pub(crate) fn ask(&self, request_line: &str, fields: &str) -> Response {
        let mut client = self.connect();
        client.send(&format!("{request_line} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
        client.response(request_line.starts_with("HEAD "))
    }
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
}

/// A response with its body.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    head: String,
    /// The body as text; what is none shows as such.
    pub(crate) body: String,
    pub(crate) bytes: Vec<u8>,
}

impl Response {
    /// The value of a header field, or nothing.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.header_all(name).next()
    }

    /// The values of all header fields of this name.
    pub(crate) fn header_all(&self, name: &str) -> impl Iterator<Item = &str> {
        let fields = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        fields.filter(move |(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Client {
    #[track_caller]
    pub(crate) fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("it is taken");
    }

    /// Asks for a path, and for no more than that.
    #[track_caller]
    pub(crate) fn get(&mut self, path: &str) -> Response {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        self.response(false)
    }

    /// Reads a response; one to `HEAD` has no body.
    #[track_caller]
    pub(crate) fn response(&mut self, to_head: bool) -> Response {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head += &self.read(1);
        }
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status line");
        let mut response = Response { status, head, body: String::new(), bytes: Vec::new() };
        let length = response.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        if to_head {
        } else if response.header("transfer-encoding") == Some("chunked") {
            while let Some(piece) = self.chunk() {
                response.body += &piece;
            }
        } else {
            response.bytes = self.read_bytes(length);
            response.body = String::from_utf8_lossy(&response.bytes).into_owned();
        }
        response
    }

    /// Reads the head of a response, whose body is left to be read.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Response {
        self.response(true)
    }

    /// Reads one chunk, nothing for the last.
    #[track_caller]
    pub(crate) fn chunk(&mut self) -> Option<String> {
        let mut line = String::new();
        while !line.ends_with("\r\n") {
            line += &self.read(1);
        }
        let length = usize::from_str_radix(line.trim_end(), 16).expect("a chunk's size");
        let piece = self.read(length);
        assert_eq!(self.read(2), "\r\n");
        (length > 0).then_some(piece)
    }

    /// All that comes until the end of the connection, which is no reset.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = String::new();
        self.stream.read_to_string(&mut rest).expect("it ends");
        rest
    }

    /// So many bytes, as text.
    #[track_caller]
    pub(crate) fn read(&mut self, length: usize) -> String {
        String::from_utf8(self.read_bytes(length)).expect("text")
    }

    /// So many bytes.
    #[track_caller]
    pub(crate) fn read_bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).expect("more comes");
        bytes
    }

    /// Nothing comes but the end.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) {
        let mut rest = Vec::new();
        // A reset is an end too.
        let read = self.stream.read_to_end(&mut rest);
        assert_eq!(String::from_utf8_lossy(&rest), "");
        assert!(is_end(&read), "{read:?}");
    }
}
