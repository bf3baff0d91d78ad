//! A scripted server: a thread for each connection, which does what the test says with each request.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use gannet::proto::resp::Commands;
use gannet::proto::{Codec, Decoded};

/// What a server does with one request of Redis.
pub enum Act {
    /// Sends these bytes.
    Reply(Vec<u8>),
    /// Sends them, and ends the connection in the middle of whatever follows.
    ReplyAndReset(Vec<u8>),
    /// Keeps them until [`Server::release`].
    Hold(Vec<u8>),
    /// Answers nothing.
    Silence,
}

type Script = dyn Fn(&[Vec<u8>]) -> Act + Send + Sync;

struct Inner {
    script: Box<Script>,
    stop: AtomicBool,
    accepted: AtomicUsize,
    connections: Mutex<Vec<TcpStream>>,
    held: Mutex<Vec<(TcpStream, Vec<u8>)>>,
}

pub struct Server {
    inner: Arc<Inner>,
    address: SocketAddr,
    accepts: Option<JoinHandle<()>>,
}

impl Server {
    pub fn start(script: impl Fn(&[Vec<u8>]) -> Act + Send + Sync + 'static) -> Self {
        Self::start_at("127.0.0.1:0".parse().expect("an address"), script)
    }

    /// At an address where another one was or will be: one of `free_ports`, as a port that the kernel chose is anybody's in
    /// between.
    pub fn start_at(at: SocketAddr, script: impl Fn(&[Vec<u8>]) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(at).expect("the address is free");
        let address = listener.local_addr().expect("it is bound");
        let inner = Arc::new(Inner {
            script: Box::new(script),
            stop: AtomicBool::new(false),
            accepted: AtomicUsize::new(0),
            connections: Mutex::default(),
            held: Mutex::default(),
        });
        let of_thread = inner.clone();
        let accepts = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if of_thread.stop.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { break };
                of_thread.accepted.fetch_add(1, Ordering::SeqCst);
                of_thread.connections.lock().expect("no panic").push(stream.try_clone().expect("a descriptor"));
                let of_connection = of_thread.clone();
                std::thread::spawn(move || serve(&of_connection, stream));
            }
        });
        Self { inner, address, accepts: Some(accepts) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("tcp://{}", self.address)
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> usize {
        self.inner.accepted.load(Ordering::SeqCst)
    }

    /// How many replies it keeps.
    pub fn held(&self) -> usize {
        self.inner.held.lock().expect("no panic").len()
    }

    /// Sends what it kept.
    pub fn release(&self) {
        for (mut stream, bytes) in self.inner.held.lock().expect("no panic").drain(..) {
            let _ = stream.write_all(&bytes);
        }
    }

    /// Ends all connections, as a killed process does.
    pub fn cut(&self) {
        for stream in self.inner.connections.lock().expect("no panic").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.inner.stop.store(true, Ordering::SeqCst);
        self.cut();
        // Brings it out of `accept`.
        let _ = TcpStream::connect(self.address);
        if let Some(accepts) = self.accepts.take() {
            let _ = accepts.join();
        }
        self.cut();
    }
}

fn serve(inner: &Inner, mut stream: TcpStream) {
    let (codec, mut state) = (Commands::new(), Default::default());
    let (mut received, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(read) => received.extend_from_slice(&buffer[..read]),
        }
        loop {
            let (words, consumed) = match codec.decode(&mut state, &mut received) {
                Ok(Decoded::Message { message, consumed }) => {
                    (Some(message.iter().map(|word| word.to_vec()).collect::<Vec<_>>()), consumed)
                }
                Ok(Decoded::Taken { consumed }) => (None, consumed),
                _ => break,
            };
            received.drain(..consumed);
            let Some(words) = words else { continue };
            match (inner.script)(&words) {
                Act::Reply(bytes) => _ = stream.write_all(&bytes),
                Act::ReplyAndReset(bytes) => {
                    let _ = stream.write_all(&bytes);
                    let _ = stream.shutdown(Shutdown::Both);
                    return;
                }
                Act::Hold(bytes) => {
                    let held = (stream.try_clone().expect("a descriptor"), bytes);
                    inner.held.lock().expect("no panic").push(held);
                }
                Act::Silence => {}
            }
        }
    }
}

/// A reply of a string.
pub fn bulk(text: &[u8]) -> Vec<u8> {
    let mut reply = format!("${}\r\n", text.len()).into_bytes();
    reply.extend_from_slice(text);
    reply.extend_from_slice(b"\r\n");
    reply
}

/// Answers `PING`, and `GET` with its key.
pub fn echo(words: &[Vec<u8>]) -> Act {
    match words {
        [command] if command == b"PING" => Act::Reply(b"+PONG\r\n".to_vec()),
        [_, key, ..] => Act::Reply(bulk(key)),
        _ => Act::Reply(b"-ERR unknown command\r\n".to_vec()),
    }
}
