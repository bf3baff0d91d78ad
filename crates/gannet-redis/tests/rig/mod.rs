//! Whole servers over real sockets, on every driver that this machine has.

#![allow(dead_code, reason = "each file of tests uses a part of it")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use gannet::{Address, DriverChoice, Engine, Limits, Running};
use gannet_redis::{Options, Redis, Server};
use gannet_testing::{PATIENCE, is_end, until};

/// A server that runs.
pub(crate) struct Rig {
    pub(crate) running: Running,
    pub(crate) server: Arc<Server>,
    address: SocketAddr,
}

/// Limits as a server for Redis clients has them.
pub(crate) fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.groups_per_connection = 65_536;
    limits.groups = 1 << 20;
    limits.carry = 1 << 30;
    limits
}

impl Rig {
    /// On two reactors.
    pub(crate) fn start(driver: DriverChoice) -> Self {
        Self::with(Engine::new().driver(driver).reactors(2).limits(limits()))
    }

    pub(crate) fn with(engine: Engine) -> Self {
        let server = Server::new(Options::default());
        let shared = server.clone();
        let engine = engine.listen("tcp://127.0.0.1:0", move || Redis::new(shared.clone())).expect("an address");
        let running = engine.start().expect("the engine starts");
        let Some(Address::Tcp(address)) = running.addresses().next().cloned() else { panic!("it listens on TCP") };
        Self { running, server, address }
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).expect("the server accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Client { stream }
    }

    /// Connections with RESP3.
    pub(crate) fn connect_resp3(&self) -> Client {
        let mut client = self.connect();
        client.send("HELLO 3");
        client.read_past("$7\r\nmodules\r\n*0\r\n");
        client
    }

    /// Asks until the answer is this one: for what another reactor has to get to know first.
    pub(crate) fn wait_for(&self, line: &str, answer: &str) {
        let mut client = self.connect();
        until(&format!("{line} to be answered with {answer:?}"), || {
            client.send(line);
            // All answers that are waited for have the same length until they are there.
            client.read(answer.len()) == answer
        });
    }
}

/// One connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
}

impl Client {
    /// Sends an inline command.
    #[track_caller]
    pub(crate) fn send(&mut self, line: &str) {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).expect("it is taken");
    }

    /// Sends a command with words of any length.
    #[track_caller]
    pub(crate) fn send_words(&mut self, words: &[&str]) {
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.stream.write_all(command.as_bytes()).expect("it is taken");
    }

    /// So many bytes, as text.
    #[track_caller]
    pub(crate) fn read(&mut self, length: usize) -> String {
        let mut bytes = vec![0; length];
        let mut filled = 0;
        while filled < length {
            match self.stream.read(&mut bytes[filled..]) {
                Ok(0) => panic!("the end, after {:?}", String::from_utf8_lossy(&bytes[..filled])),
                Ok(read) => filled += read,
                Err(error) => panic!("{error}, after {:?}", String::from_utf8_lossy(&bytes[..filled])),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Reads to behind this text.
    #[track_caller]
    pub(crate) fn read_past(&mut self, text: &str) -> String {
        let mut all = String::new();
        while !all.ends_with(text) {
            all += &self.read(1);
        }
        all
    }

    /// What comes is this.
    #[track_caller]
    pub(crate) fn expect(&mut self, reply: &str) {
        let got = self.read(reply.len());
        assert_eq!(got, reply);
    }

    /// Sends commands one by one, each with the reply that has to come.
    #[track_caller]
    pub(crate) fn ask(&mut self, exchanges: &[(&str, &str)]) {
        for (line, reply) in exchanges {
            self.send(line);
            let got = self.read(reply.len());
            assert_eq!(got, *reply, "{line}");
        }
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
