//! What the log says of panics, and of codecs that break their contract. A file of its own, because the log of a process
//! can be set once only.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;

use gannet::proto::{Codec, Decoded, FrameError, Raw, Sink};
use gannet::{
    Address, Context, DatagramContext, DatagramService, Engine, Filter, FilterError, FilterFactory, FilterOutput,
    FilterProgress, Prefetch, Refused, Service,
};
use gannet_testing::{Log, PATIENCE, is_end};
use socket2::{Domain, Socket, Type};

/// A byte is a message, and the codec takes nothing of a `0`.
#[derive(Default)]
struct Bytes;

impl Codec for Bytes {
    type Message<'a> = u8;
    type Outgoing<'a> = &'a [&'a [u8]];
    type Error = FrameError;
    type State = ();

    fn decode(&self, (): &mut (), input: &mut [u8]) -> Result<Decoded<u8>, FrameError> {
        Ok(match input[0] {
            b'0' => Decoded::Taken { consumed: 0 },
            message => Decoded::Message { message, consumed: 1 },
        })
    }

    fn encode(&self, parts: &[&[u8]], out: &mut impl Sink) -> Result<(), FrameError> {
        Raw.encode(parts, out)
    }
}

/// Panics in all ways.
struct Frail {
    opens: bool,
}

impl Prefetch<()> for Frail {
    fn look_ahead(&mut self, (): &(), received: &[u8]) {
        assert!(!received.starts_with(b"a"), "in look_ahead");
    }

    fn fetch(&mut self) {}
}

impl Service for Frail {
    type Codec = Bytes;
    type Session = ();

    fn name(&self) -> &str {
        "frail"
    }

    fn open(&mut self, _: &mut Context<'_, Self>) -> Result<(), Refused> {
        assert!(self.opens, "in open");
        Ok(())
    }

    fn prefetch(&mut self) -> Option<&mut dyn Prefetch<()>> {
        Some(self)
    }

    fn message(&mut self, (): &mut (), message: u8, cx: &mut Context<'_, Self>) {
        match message {
            b'm' => panic!("in message {}", 1),
            b't' => cx.set_timer(std::time::Duration::from_millis(1)),
            b'o' => cx.offload(|| panic!("in work"), |_, (), (), _| ()).expect("there is room"),
            b'w' => cx.offload(|| (), |_, (), (), _| panic!("with a result")).expect("there is room"),
            _ => std::panic::panic_any(7),
        }
    }

    fn timer(&mut self, (): &mut (), _: &mut Context<'_, Self>) {
        panic!("by time");
    }
}

struct FrailDatagrams;

impl DatagramService for FrailDatagrams {
    fn name(&self) -> &str {
        "frail datagrams"
    }

    fn datagram(&mut self, payload: &[u8], cx: &mut DatagramContext<'_>) {
        if payload == b"panic" {
            panic!("in a datagram");
        }
        cx.reply(payload).expect("there is room");
    }
}

struct FrailFilters;

impl FilterFactory for FrailFilters {
    fn filter(&self) -> Result<Box<dyn Filter>, FilterError> {
        Ok(Box::new(Self))
    }
}

impl Filter for FrailFilters {
    fn receive(&mut self, _: &mut [u8], _: &mut FilterOutput<'_>) -> Result<FilterProgress, FilterError> {
        panic!("in a filter");
    }

    fn send(&mut self, _: &[u8], _: &mut Vec<u8>) -> Result<(), FilterError> {
        Ok(())
    }
}

#[test]
fn the_log_names_who_panicked_for_whom_and_what_the_panic_said() {
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::ERROR)
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .with_ansi(false)
        .init();
    let running = Engine::new()
        .reactors(1)
        .listen("tcp://127.0.0.1:0", || Frail { opens: true })
        .and_then(|engine| engine.listen("tcp://127.0.0.1:0", || Frail { opens: false }))
        .and_then(|engine| {
            engine.listen_filtered("tcp://127.0.0.1:0", Arc::new(FrailFilters), || Frail { opens: true })
        })
        .and_then(|engine| engine.listen_datagrams("udp://127.0.0.1:0", || FrailDatagrams))
        .expect("addresses")
        .start()
        .expect("the engine starts");
    let addresses: Vec<_> = running.addresses().cloned().collect();
    let [Address::Tcp(opens), Address::Tcp(refuses), Address::Tcp(filtered), Address::Udp(datagrams)] = addresses[..]
    else {
        panic!("{addresses:?}")
    };
    let cases = [
        (opens, "m", "frail", "in message 1"),
        (opens, "t", "frail", "by time"),
        (opens, "o", "frail", "in work"),
        (opens, "w", "frail", "with a result"),
        (opens, "?", "frail", "a panic without a message"),
        (opens, "a", "frail", "in look_ahead"),
        (opens, "0", "frail", "Bytes"),
        (refuses, "", "frail", "in open"),
        (filtered, "x", "frail", "in a filter"),
    ];
    for (address, sent, service, said) in cases {
        // It has its address before it connects: a connection that is refused may be reset before `connect` returns.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("a free port");
        let peer = socket.local_addr().expect("it is bound").as_socket().expect("it is TCP").to_string();
        let outcome = socket.connect(&address.into()).and_then(|()| {
            let mut stream = TcpStream::from(socket);
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(sent.as_bytes())?;
            stream.read(&mut [0])
        });
        assert!(is_end(&outcome), "{said}: {outcome:?}");
        let logged = log.wait();
        let line = logged.lines().next().expect("a line");
        assert!(line.contains(&format!("service=\"{service}\"")), "{said}: {line}");
        assert!(line.contains(&format!("peer={peer}")) && line.contains(said), "{said}: {line}");
    }
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
    socket.send_to(b"panic", datagrams).expect("it is sent");
    socket.send_to(b"go on", datagrams).expect("it is sent");
    let mut answer = [0; 5];
    socket.recv_from(&mut answer).expect("the service goes on");
    let line = log.wait();
    let from = format!("peer={}", socket.local_addr().expect("it is bound"));
    assert!(line.contains("service=\"frail datagrams\"") && line.contains(&from), "{line}");
    assert!(line.contains("in a datagram"), "{line}");
}
