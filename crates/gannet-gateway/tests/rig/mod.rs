//! A whole gateway over real sockets, on every driver that this machine has.

#![allow(dead_code, reason = "each file of tests uses a part of it")]

pub(crate) mod device;
pub(crate) mod feed;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use gannet::{Address, DriverChoice, Engine, FilterFactory, Running};
use gannet_gateway::settings::Settings;
use gannet_gateway::{Devices, Gateway};
use gannet_http::HttpService;
pub(crate) use gannet_testing::{PATIENCE, drivers};
use serde_json::Value;
use tungstenite::client::IntoClientRequest as _;
use tungstenite::protocol::WebSocket;
use tungstenite::{Bytes, Message};

/// The time between pings where a test says nothing of it: longer than any takes.
pub(crate) const PING: std::time::Duration = std::time::Duration::from_secs(600);

/// A gateway that runs, on two reactors.
pub(crate) struct Rig {
    pub(crate) running: Running,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) http: SocketAddr,
    pub(crate) devices: SocketAddr,
    /// A listener that serves the server API alone.
    pub(crate) own_api: SocketAddr,
}

impl Rig {
    /// One with the namespace `demo`.
    pub(crate) fn demo(driver: DriverChoice) -> Self {
        Self::start(driver, Settings::demo())
    }

    pub(crate) fn start(driver: DriverChoice, settings: Settings) -> Self {
        Self::of(Engine::new().driver(driver).reactors(2), 2, settings)
    }

    pub(crate) fn of(engine: Engine, reactors: usize, settings: Settings) -> Self {
        Self::with_devices_over(engine, reactors, settings, None)
    }

    /// One whose devices speak over a filter.
    pub(crate) fn with_devices_over(
        engine: Engine,
        reactors: usize,
        mut settings: Settings,
        filters: Option<Arc<dyn FilterFactory>>,
    ) -> Self {
        // On a busy machine a test may take longer than it is to the first ping, which it does not expect.
        if settings.client.ping == Settings::default().client.ping {
            settings.client.ping = PING;
        }
        let gateway = Gateway::new(settings, reactors, 7).expect("settings that work");
        let routes = gateway.routes().build().expect("routes");
        let api_routes = gateway.api_routes().build().expect("routes");
        let devices = gateway.clone();
        let engine = gateway.install(engine).expect("one service more");
        let engine = engine.listen("tcp://127.0.0.1:0", move || HttpService::new(&routes)).expect("an address");
        let factory = move || Devices::new(&devices);
        let engine = match filters {
            Some(filters) => engine.listen_filtered("tls://127.0.0.1:0", filters, factory),
            None => engine.listen("tcp://127.0.0.1:0", factory),
        };
        let engine = engine.expect("an address");
        let engine = engine.listen("tcp://127.0.0.1:0", move || HttpService::new(&api_routes)).expect("an address");
        let running = engine.start().expect("the engine starts");
        let addresses: Vec<_> = running.addresses().cloned().collect();
        let [Address::Tcp(http), Address::Tcp(devices) | Address::Tls(devices), Address::Tcp(own_api)] = addresses[..]
        else {
            panic!("{addresses:?}")
        };
        Self { running, gateway, http, devices, own_api }
    }

    /// A WebSocket in JSON.
    pub(crate) fn websocket(&self) -> Socket {
        self.websocket_at("/connection/websocket")
    }

    pub(crate) fn websocket_at(&self, path: &str) -> Socket {
        let request = format!("ws://{}{path}", self.http).into_client_request().expect("a URL");
        let (socket, _) = tungstenite::client(request, tcp(self.http)).expect("a handshake");
        Socket { socket, id: 0 }
    }

    /// One that has connected.
    pub(crate) fn connected(&self) -> Socket {
        let mut socket = self.websocket();
        let reply = socket.ask(r#""connect":{}"#);
        assert!(reply["connect"]["client"].is_string(), "{reply}");
        socket
    }

    /// One that has connected and subscribed.
    pub(crate) fn subscribed(&self, channel: &str) -> Socket {
        let mut socket = self.connected();
        let reply = socket.ask(&format!(r#""subscribe":{{"channel":"{channel}"}}"#));
        assert!(reply["subscribe"].is_object(), "{reply}");
        socket
    }

    /// A plain connection to the listener of HTTP.
    pub(crate) fn tcp(&self) -> TcpStream {
        tcp(self.http)
    }

    /// Sends a request on a connection of its own; gives status, head and body.
    pub(crate) fn request(&self, request: &str) -> (u16, String, String) {
        Self::request_to(self.http, request)
    }

    /// Sends a request to one of the listeners.
    pub(crate) fn request_to(address: SocketAddr, request: &str) -> (u16, String, String) {
        let mut stream = tcp(address);
        stream.write_all(request.as_bytes()).expect("it is taken");
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("a response");
        let all = String::from_utf8(all).expect("text");
        let (head, body) = all.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, head.to_owned(), body.to_owned())
    }

    /// Posts a body, with these header lines, each with its ending.
    pub(crate) fn post(&self, path: &str, fields: &str, body: &str) -> (u16, String, String) {
        let length = body.len();
        self.request(&format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
        ))
    }

    /// Calls the server API.
    pub(crate) fn api(&self, method: &str, body: &str) -> Value {
        let (status, _, body) = self.post(&format!("/api/{method}"), "", body);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// Publishes by the server API.
    pub(crate) fn publish(&self, channel: &str, data: &str) -> Value {
        let reply = self.api("publish", &format!(r#"{{"channel":"{channel}","data":{data}}}"#));
        assert!(reply["result"].is_object(), "{reply}");
        reply["result"].clone()
    }

    /// Publishes to a channel until a reactor's inbox has lost something; gives the offset of the last publication.
    pub(crate) fn burst(&self, channel: &str) -> u64 {
        let space = self.gateway.space();
        let before = space.stats().inbox_lost;
        let body = serde_json::json!({"channels": vec![channel; 50], "data": 1}).to_string();
        let mut top = 0;
        gannet_testing::until("a delivery to be lost", || {
            let reply = self.api("broadcast", &body);
            top = reply["result"]["responses"][49]["result"]["offset"].as_u64().expect("an offset");
            space.stats().inbox_lost > before
        });
        top
    }
}

pub(crate) fn tcp(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_nodelay(true).expect("no delay");
    stream
}

/// A client's WebSocket.
pub(crate) struct Socket {
    pub(crate) socket: WebSocket<TcpStream>,
    id: u32,
}

impl Socket {
    pub(crate) fn send(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("it is taken");
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.socket.send(Message::binary(bytes.to_vec())).expect("it is taken");
    }

    /// Sends a command without waiting.
    pub(crate) fn command(&mut self, request: &str) -> u32 {
        self.id += 1;
        self.send(&format!(r#"{{"id":{},{request}}}"#, self.id));
        self.id
    }

    /// Sends a command, and gives its reply. Pushes that come before it are left out.
    #[track_caller]
    pub(crate) fn ask(&mut self, request: &str) -> Value {
        let id = self.command(request);
        loop {
            if let Some(reply) = self.frame().into_iter().find(|message| message["id"] == id) {
                return reply;
            }
        }
    }

    /// Sends a command, and tells whether the next message is no error and no end.
    pub(crate) fn is_taken(&mut self, request: &str) -> bool {
        self.command(request);
        matches!(self.socket.read(), Ok(Message::Text(text)) if !text.contains("\"error\""))
    }

    /// The messages of the next frame.
    #[track_caller]
    pub(crate) fn frame(&mut self) -> Vec<Value> {
        match self.socket.read().expect("a frame") {
            Message::Text(text) => {
                text.split('\n').map(|line| serde_json::from_str(line).expect("a message in JSON")).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[track_caller]
    pub(crate) fn bytes(&mut self) -> Bytes {
        match self.socket.read().expect("a frame") {
            Message::Binary(bytes) => bytes,
            other => panic!("{other:?}"),
        }
    }

    /// The next push.
    #[track_caller]
    pub(crate) fn push(&mut self) -> Value {
        let frame = self.frame();
        assert_eq!(frame.len(), 1, "{frame:?}");
        assert!(frame[0]["push"].is_object(), "{frame:?}");
        frame[0]["push"].clone()
    }

    /// Code and reason of the close frame. Everything before it is left out.
    #[track_caller]
    pub(crate) fn closed(&mut self) -> (u16, String) {
        loop {
            match self.socket.read() {
                Ok(Message::Close(Some(close))) => return (close.code.into(), close.reason.to_string()),
                Ok(_) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }
}
