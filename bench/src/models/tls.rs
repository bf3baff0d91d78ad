//! `tls`: TLS 1.2 and 1.3, with full and with resumed handshakes, and none: CPU time of a connection's begin, and of a message.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use gannet_tls::{TlsInfo, TlsVersion};

use super::table::{Column, Comparison, Measured, Table};
use super::task::PATIENCE;
use crate::child::Server;
use crate::client::handshakes::{Done, Ending, Handshakes, Kind, client};
use crate::client::idle::Exchange;
use crate::client::stream::{Received, Scratch, Stream, Tls};
use crate::client::taped::{self, Outcome, wrong};
use crate::epoll::{Epoll, READ_WRITE};
use crate::measure::Usage;
use crate::run::known;
use crate::run::plan::Plan;
use crate::socket;
use crate::tls::{Certificates, Counted};
use crate::wire::Wire;

/// Handshakes under way at once.
const AT_ONCE: usize = 20;
/// Connections whose messages are measured, one under way on each.
const CONNECTIONS: usize = 50;
/// Bytes of a message; by TLS each is a record.
const MESSAGE_BYTES: usize = 1_024;

const PLAIN: &str = "plain";
/// The names of the rows, and the handshakes that they have.
const KINDS: [(&str, Option<Kind>); 5] = [
    (PLAIN, None),
    ("TLS 1.2", Some(Kind { version: TlsVersion::V1_2, resumes: false, ending: Ending::Reset })),
    ("TLS 1.2, resumed", Some(Kind { version: TlsVersion::V1_2, resumes: true, ending: Ending::Reset })),
    ("TLS 1.3", Some(Kind { version: TlsVersion::V1_3, resumes: false, ending: Ending::Reset })),
    ("TLS 1.3, resumed", Some(Kind { version: TlsVersion::V1_3, resumes: true, ending: Ending::Reset })),
];

const COLUMNS: &[Column] = &[
    Column::new("per_second", "a second", 0),
    Column::new("cpu_us_each", "CPU µs each", 2),
    Column::new("server_busy", "server's CPU", 2),
];
/// The place of the CPU time among them.
const CPU_US: usize = 1;

/// Measures connections, then messages.
pub fn measure(plan: &Plan) -> io::Result<Vec<Table>> {
    let _certificates = Certificates::new()?;
    let variants = || KINDS.map(|(name, kind)| (name.to_owned(), kind));
    let comparison = |title| Comparison { plan, title, columns: COLUMNS, compared: CPU_US, against: PLAIN };
    let title = "Connections from their begin to the first bytes of the server, ECDSA P-256".to_owned();
    let connections = comparison(title).of(variants(), |kind| match kind {
        Some(kind) => handshakes(plan, *kind),
        None => connects(plan),
    })?;
    let title = format!("Echo of {MESSAGE_BYTES} bytes, {CONNECTIONS} connections");
    let messages = comparison(title).of(variants(), |kind| messages(plan, *kind))?;
    Ok(vec![connections, messages])
}

fn figures(done: u64, elapsed: Duration, server: Usage) -> Measured {
    let (done, seconds) = (done.max(1) as f64, elapsed.as_secs_f64());
    Measured::Figures(vec![done / seconds, server.cpu_ns as f64 / 1e3 / done, server.cpu_ns as f64 / 1e9 / seconds])
}

fn handshakes(plan: &Plan, kind: Kind) -> io::Result<Measured> {
    let [warm_up, measured] = plan.times()?;
    let mut server = Server::start(known("tls-p256-uring")?, plan.setup.server_cpu)?;
    let mut client = Handshakes::begin(server.port, kind, AT_ONCE)?;
    let run_for = |time: Duration, client: &mut Handshakes| {
        let started = Instant::now();
        while started.elapsed() < time {
            client.step(1_000, || Ok(()))?;
        }
        io::Result::Ok(())
    };
    run_for(warm_up, &mut client)?;
    // The first of each client is a full one, however short the warm-up was.
    let (end, first) = (Instant::now() + PATIENCE, |done: Done| done.handshakes - done.resumed);
    while first(client.done()) < AT_ONCE as u64 {
        if Instant::now() > end {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the first handshakes did not end"));
        }
        client.step(1_000, || Ok(()))?;
    }
    let usage = Usage::of(server.pid())?;
    let before: Counted = server.ask()?.parse()?;
    let started = Instant::now();
    run_for(measured, &mut client)?;
    let (elapsed, usage) = (started.elapsed(), Usage::of(server.pid())? - usage);
    let after: Counted = server.ask()?.parse()?;
    let (done, resumed) = (after.handshakes - before.handshakes, after.resumed - before.resumed);
    if resumed != if kind.resumes { done } else { 0 } {
        return Err(io::Error::other(format!("{resumed} of {done} handshakes were resumed")));
    }
    Ok(figures(done, elapsed, usage))
}

/// Connections without TLS that send one byte each, and end with a reset when it comes back.
struct Connects {
    port: u16,
    epoll: Epoll,
    slots: Vec<OwnedFd>,
    done: u64,
}

impl Connects {
    const BYTE: [u8; 1] = *b"?";

    fn begin(port: u16) -> io::Result<Self> {
        let epoll = Epoll::new()?;
        let slots = (0..AT_ONCE).map(|index| Self::one(port, &epoll, index)).collect::<io::Result<_>>()?;
        Ok(Self { port, epoll, slots, done: 0 })
    }

    fn one(port: u16, epoll: &Epoll, index: usize) -> io::Result<OwnedFd> {
        let fd = socket::connect(port)?;
        if socket::send(fd.as_raw_fd(), &Self::BYTE)? != Some(1) {
            return Err(io::Error::from(io::ErrorKind::WriteZero));
        }
        epoll.add(fd.as_raw_fd(), READ_WRITE, index as u64)?;
        Ok(fd)
    }

    fn run_for(&mut self, time: Duration) -> io::Result<()> {
        let started = Instant::now();
        while started.elapsed() < time {
            for event in 0..self.epoll.wait(1_000)? {
                let (_, token) = self.epoll.event(event);
                let index = token as usize;
                let mut byte = [0; 2];
                match socket::receive(self.slots[index].as_raw_fd(), &mut byte)? {
                    Some(1) if byte[..1] == Self::BYTE => {}
                    Some(count) => return Err(wrong(&byte[..count])),
                    // It was told that it is writable.
                    None => continue,
                }
                self.done += 1;
                self.slots[index] = Self::one(self.port, &self.epoll, index)?;
            }
        }
        Ok(())
    }
}

fn connects(plan: &Plan) -> io::Result<Measured> {
    let [warm_up, measured] = plan.times()?;
    let server = Server::start(known("gannet-uring")?, plan.setup.server_cpu)?;
    let mut client = Connects::begin(server.port)?;
    client.run_for(warm_up)?;
    let (usage, before, started) = (Usage::of(server.pid())?, client.done, Instant::now());
    client.run_for(measured)?;
    let elapsed = started.elapsed();
    Ok(figures(client.done - before, elapsed, Usage::of(server.pid())? - usage))
}

/// An established connection of this kind.
fn open(port: u16, kind: Kind) -> io::Result<Stream> {
    let client = client(kind.version, if kind.resumes { 8 } else { 0 })?;
    let mut scratch = Scratch::default();
    if kind.resumes {
        // Tickets of TLS 1.3 come after the handshake, before the first answer.
        let mut first = Stream::Tls(Box::new(Tls::open(port, &client, &mut scratch)?));
        let hello = b"hello";
        first.send(hello, hello.len(), &mut scratch)?;
        let (mut awaited, end) = (hello.len(), Instant::now() + PATIENCE);
        while awaited > 0 {
            if Instant::now() > end {
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
            if let Some(Received { plain, .. }) = first.receive(&mut scratch)? {
                awaited -= plain.len().min(awaited);
            }
        }
    }
    let tls = Tls::open(port, &client, &mut scratch)?;
    let resumed = tls.info().is_some_and(TlsInfo::resumed);
    if resumed != kind.resumes {
        return Err(io::Error::other(format!("a session was resumed: {resumed}")));
    }
    Ok(Stream::Tls(Box::new(tls)))
}

fn messages(plan: &Plan, kind: Option<Kind>) -> io::Result<Measured> {
    let subject = if kind.is_some() { "tls-echo-uring" } else { "gannet-uring" };
    let server = Server::start(known(subject)?, plan.setup.server_cpu)?;
    let Exchange { requests, replies } = Exchange::echo(Wire::Raw, MESSAGE_BYTES);
    let stream = |_| match kind {
        Some(kind) => open(server.port, kind),
        None => socket::connect(server.port).map(Stream::Plain),
    };
    let streams: Vec<Stream> = (0..CONNECTIONS).map(stream).collect::<io::Result<_>>()?;
    let mut client = taped::Client::over_streams(streams, (&requests, &replies), 1)?;
    let Outcome { done, elapsed, server, .. } = Outcome::of(server.pid(), plan.times()?, |time| client.run_for(time))?;
    Ok(figures(done.operations, elapsed, server))
}
