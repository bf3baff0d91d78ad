//! The loopback of the machine as the suite's world, for drivers that talk to a real kernel.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use super::{Client, Net};
use crate::driver::Driver;
use crate::driver::sim::Answer;
use crate::ids::ListenerId;
use crate::listener::{ListenSocket, listen_tcp};

/// What a client's kernel holds of what the client does not read: little, so that a slow reader is one soon.
const RECEIVE_BUFFER_BYTES: usize = 16 * 1024;

pub(super) struct Sockets<D> {
    start: fn() -> io::Result<D>,
    listening: HashMap<ListenerId, SocketAddr>,
    remotes: HashMap<SocketAddr, TcpListener>,
    /// What fills the backlog of a listener that shall not answer, and what holds a port that refuses.
    fillers: Vec<Socket>,
}

impl<D> Sockets<D> {
    pub(super) fn new(start: fn() -> io::Result<D>) -> Self {
        Self { start, listening: HashMap::new(), remotes: HashMap::new(), fillers: Vec::new() }
    }
}

/// Runs a test on io_uring, where this process may use it, with each kind of receive buffers; else says why it cannot.
#[cfg(target_os = "linux")]
pub(super) fn on_uring(test: impl Fn(Sockets<crate::driver::uring::UringDriver>)) {
    match crate::driver::uring::probe() {
        Ok(_) => {
            test(Sockets::new(|| crate::driver::uring::UringDriver::new(1)));
            test(Sockets::new(crate::driver::uring::UringDriver::of_older_kernel));
        }
        Err(why) => eprintln!("not tried on io_uring, which cannot be used here: {why}"),
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0)
}

fn stream_socket() -> Socket {
    Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket")
}

impl<D: Driver> Net for Sockets<D> {
    type Driver = D;
    type Client = TcpStream;

    fn driver(&mut self) -> D {
        (self.start)().expect("the driver starts")
    }

    fn listen(&mut self, driver: &mut D, listener: ListenerId) {
        let socket = self.socket(listener);
        driver.listen(listener, socket).expect("the driver listens");
    }

    fn socket(&mut self, listener: ListenerId) -> ListenSocket {
        let (address, mut sockets) = listen_tcp(loopback(), 1, None).expect("a free port");
        self.listening.insert(listener, address);
        sockets.remove(0)
    }

    fn try_connect_from(&mut self, listener: ListenerId, from: IpAddr) -> Option<TcpStream> {
        let socket = stream_socket();
        socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES).expect("any size will do");
        socket.bind(&SocketAddr::new(from, 0).into()).expect("an address of this machine");
        // The kernel connects it to the backlog: nobody has to accept for it.
        socket.connect(&self.listening[&listener].into()).ok()?;
        socket.set_tcp_nodelay(true).expect("it is a TCP socket");
        socket.set_nonblocking(true).expect("it is a socket");
        Some(socket.into())
    }

    fn remote(&mut self, answer: Answer) -> SocketAddr {
        let socket = stream_socket();
        socket.bind(&loopback().into()).expect("a free port");
        if answer == Answer::Refuse {
            // It keeps its port, or another test could listen there meanwhile.
            let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("it is bound");
            self.fillers.push(socket);
            return address;
        }
        socket.listen(if answer == Answer::Silence { 0 } else { 128 }).expect("it listens");
        let listener = TcpListener::from(socket);
        let address = listener.local_addr().expect("it is bound");
        listener.set_nonblocking(true).expect("it is a socket");
        match answer {
            Answer::Accept | Answer::Refuse => {}
            // A full backlog drops what else comes.
            Answer::Silence => self.fillers.extend((0..4).map(|_| {
                let filler = stream_socket();
                filler.set_nonblocking(true).expect("it is a socket");
                // It is under way, or hangs: both fill the backlog.
                let _ = filler.connect(&address.into());
                filler
            })),
        }
        self.remotes.insert(address, listener);
        address
    }

    fn accept(&mut self, remote: SocketAddr) -> Option<(TcpStream, SocketAddr)> {
        let (stream, from) = self.remotes[&remote].accept().ok()?;
        stream.set_nonblocking(true).expect("it is a socket");
        Some((stream, from))
    }
}

impl Client for TcpStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Write::write(self, bytes)
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Read::read(self, into)
    }

    fn shutdown(&mut self) {
        // It fails where the connection is gone already: then there is no stream to end.
        let _ = TcpStream::shutdown(self, Shutdown::Write);
    }

    fn reset(self) {
        let socket = Socket::from(self);
        socket.set_linger(Some(Duration::ZERO)).expect("it is a TCP socket");
    }
}
