//! WebSocket over real sockets, on every driver that this machine has, with tungstenite as the client.

#[path = "../rig/mod.rs"]
mod http_rig;

mod closing;
#[cfg(feature = "deflate")]
mod deflate;
mod groups;
mod life;
mod messages;
mod upgrade;

use std::any::Any;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Duration;

use gannet::proto::ws::{Opcode, write_frame};
use gannet::{Address, DriverChoice, Engine, Group, Handle, Running};
use gannet_http::middleware::{Bearer, RequestId};
use gannet_http::websocket::{Close, CloseCode, Handler, Handshake, Socket};
use gannet_http::{HttpService, Router, Routes};
use http_rig::{PATIENCE, drivers};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::{Message, WebSocket};

/// What a handler of these tests was called with, in order.
#[derive(Debug, PartialEq)]
enum Call {
    Open(Handle, usize),
    Text(String),
    Binary(Vec<u8>),
    Writable,
    Timer,
    Notice(u32),
    Close(Option<(u16, String)>),
}

/// Sends back what comes, and does what texts that begin with a slash ask for.
struct Actor {
    calls: Sender<Call>,
    group: Group,
}

impl Actor {
    fn note(&self, call: Call) {
        // Nobody may listen any more.
        let _ = self.calls.send(call);
    }
}

impl Handler for Actor {
    fn open(&mut self, socket: &mut Socket<'_>) {
        self.note(Call::Open(socket.handle(), socket.reactor()));
        if let Some(protocol) = socket.protocol() {
            let said = format!("we speak {protocol}");
            socket.text(&said);
        }
    }

    fn text(&mut self, text: &str, socket: &mut Socket<'_>) {
        self.note(Call::Text(text.to_owned()));
        let (command, rest) = text.split_once(' ').unwrap_or((text, ""));
        match command {
            "/close" => {
                let code = rest.parse().ok().and_then(CloseCode::new).expect("a code");
                socket.close(code, "as you wish");
                assert_eq!(socket.text("too late"), gannet::SendStatus::Closed);
                assert!(socket.join(self.group).is_err());
            }
            "/join" => socket.join(self.group).expect("within limits"),
            "/leave" => assert!(socket.leave(self.group)),
            "/all" => socket.broadcast_text(self.group, rest).expect("room"),
            "/all-binary" => socket.broadcast_binary(self.group, rest.as_bytes()).expect("room"),
            "/timer" => socket.set_timer(Duration::from_millis(1)),
            "/work" => socket.offload(|| 42_u32).expect("room"),
            "/panic" => panic!("as you wish"),
            "/flood" => {
                let much = vec![7; 1 << 20];
                assert_eq!(socket.binary(&much), gannet::SendStatus::OverHigh);
            }
            _ => {
                socket.text(text);
            }
        }
        if command == "/join" {
            socket.text("joined");
        }
    }

    fn binary(&mut self, bytes: &[u8], socket: &mut Socket<'_>) {
        self.note(Call::Binary(bytes.to_vec()));
        socket.binary(bytes);
    }

    fn writable(&mut self, _: &mut Socket<'_>) {
        self.note(Call::Writable);
    }

    fn timer(&mut self, socket: &mut Socket<'_>) {
        self.note(Call::Timer);
        socket.text("time");
    }

    fn notice(&mut self, value: Box<dyn Any + Send>, _: &mut Socket<'_>) {
        self.note(Call::Notice(*value.downcast().expect("what these tests send")));
    }

    fn close(&mut self, close: Option<Close<'_>>, socket: &mut Socket<'_>) {
        assert!(!socket.is_open());
        // While the server shuts down, the other reactor may be gone.
        let _ = socket.broadcast_text(self.group, "somebody left");
        self.note(Call::Close(close.map(|close| (close.code.get(), close.reason.to_owned()))));
    }
}

/// A server that runs, on two reactors.
struct Rig {
    running: Running,
    address: SocketAddr,
    calls: Receiver<Call>,
    group: Group,
}

impl Rig {
    fn start(driver: DriverChoice) -> Self {
        Self::with(Engine::new().driver(driver), |service| service)
    }

    fn with(engine: Engine, tune: impl Fn(HttpService) -> HttpService + Send + Sync + 'static) -> Self {
        let (sender, calls) = mpsc::channel();
        let group = Group::new();
        let routes = routes(sender, group);
        let service = move || tune(HttpService::new(&routes));
        let engine = engine.reactors(2).listen("tcp://127.0.0.1:0", service);
        let running = engine.expect("an address").start().expect("the engine starts");
        let Some(Address::Tcp(address)) = running.addresses().next().cloned() else { panic!("it listens on TCP") };
        Self { running, address, calls, group }
    }

    /// A connection before any request.
    fn stream(&self) -> Raw {
        let stream = TcpStream::connect(self.address).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Raw(stream)
    }

    /// A conversation.
    fn connect(&self) -> WebSocket<TcpStream> {
        let request = format!("ws://{}/ws", self.address).into_client_request().expect("a request");
        tungstenite::client(request, self.stream().0).expect("it is accepted").0
    }

    /// A conversation whose handler was heard to open: its handle and reactor too.
    fn opened(&self) -> (WebSocket<TcpStream>, Handle, usize) {
        let client = self.connect();
        match self.call() {
            Call::Open(handle, reactor) => (client, handle, reactor),
            other => panic!("{other:?}"),
        }
    }

    /// A conversation by hand.
    fn raw(&self) -> Raw {
        let mut raw = self.stream();
        raw.0.write_all(request("").as_bytes()).expect("it is taken");
        assert!(raw.head().starts_with("HTTP/1.1 101 "));
        raw
    }

    #[track_caller]
    fn call(&self) -> Call {
        self.calls.recv_timeout(PATIENCE).expect("a call")
    }

    /// The next call that matches; those before are of no interest.
    #[track_caller]
    fn until(&self, call: &Call) {
        while self.call() != *call {}
    }

    fn closed(&self, reason: gannet::CloseReason) -> u64 {
        let stats = self.running.remote().stats();
        stats.iter().map(|reactor| reactor.services[0].closed(reason)).sum()
    }
}

fn routes(calls: Sender<Call>, group: Group) -> Routes {
    let actor = move || Actor { calls: calls.clone(), group };
    let (plain, strict) = (Handshake::new(), Handshake::new());
    let strict = strict.protocols(["chat", "superchat"]).origins(["https://good.example"]);
    let handshake = plain.clone();
    let again = actor.clone();
    Router::new()
        .layer(RequestId::new())
        .get("/ws", move |cx| cx.websocket(&plain, actor()))
        .route("POST", "/ws", move |cx| cx.websocket(&handshake, again()))
        .get("/strict", {
            let (strict, calls) = (strict.clone(), mpsc::channel().0);
            move |cx| cx.websocket(&strict, Actor { calls: calls.clone(), group })
        })
        .get("/page", |cx| cx.text("page"))
        .group("/private", |private| {
            private.layer(Bearer::new("secret")).get("/ws", move |cx| {
                cx.websocket(&strict, Actor { calls: mpsc::channel().0, group });
            })
        })
        .build()
        .expect("they do not conflict")
}

/// A request for a conversation, with more fields, each with its ending.
fn request(fields: &str) -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{fields}\r\n"
    )
}

/// A frame as a client sends it.
fn frame(opcode: Opcode, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_frame(&mut out, opcode, &[payload], Some([1, 2, 3, 4])).expect("it fits");
    out
}

/// One connection without a library.
struct Raw(TcpStream);

impl Raw {
    #[track_caller]
    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("it is taken");
    }

    /// A head of a response.
    #[track_caller]
    fn head(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.read(1)[0]);
        }
        String::from_utf8(head).expect("text")
    }

    #[track_caller]
    fn read(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.0.read_exact(&mut bytes).expect("more comes");
        bytes
    }

    /// These bytes come next.
    #[track_caller]
    fn expect(&mut self, bytes: &[u8]) {
        assert_eq!(self.read(bytes.len()), bytes);
    }

    /// A close frame with this code comes, and then the end.
    #[track_caller]
    fn expect_close(&mut self, code: u16) {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("an end without a reset");
        assert_eq!(rest.get(..1), Some(&[0x88][..]), "{rest:?}");
        assert_eq!(rest.get(2..4), Some(&code.to_be_bytes()[..]), "{rest:?}");
        assert_eq!(rest.len(), 2 + usize::from(rest[1]), "nothing comes behind it");
    }
}

/// Reads what is neither ping nor pong.
#[track_caller]
fn read(client: &mut WebSocket<TcpStream>) -> Message {
    loop {
        match client.read().expect("a message") {
            Message::Ping(_) | Message::Pong(_) => {}
            message => return message,
        }
    }
}

#[track_caller]
fn expect_text(client: &mut WebSocket<TcpStream>, text: &str) {
    assert_eq!(read(client), Message::text(text));
}
