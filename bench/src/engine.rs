//! The engine as a subject: one reactor, one service, no options.

use std::io;
use std::sync::Arc;

use gannet::proto::{LengthPrefixed, Lines, Raw};
use gannet::session::{self, Connection};
use gannet::{Context, DriverChoice, Engine, FilterFactory, Group, Refused, Running, Service};
use gannet_redis::{Options, Redis, Server};

use crate::drain;
use crate::floor::broadcast::PAYLOAD;
use crate::subject::Ready;

/// Answers bytes with the same bytes.
pub struct Echo;

impl Service for Echo {
    type Codec = Raw;
    type Session = ();

    fn message(&mut self, _: &mut (), bytes: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[bytes]);
    }
}

/// Bytes, answered with the same bytes.
pub fn echo(port: u16, ready: Ready, driver: DriverChoice) -> io::Result<()> {
    serve(port, ready, driver, || Echo)
}

struct EchoLines;

impl Service for EchoLines {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, _: &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[b"echo: ", line]);
    }
}

/// Lines, answered with `echo: ` and the line.
pub fn lines(port: u16, ready: Ready, driver: DriverChoice) -> io::Result<()> {
    serve(port, ready, driver, || EchoLines)
}

/// Lines, answered with `echo: ` and the line, by a future for each connection.
pub fn sessions(port: u16, ready: Ready, driver: DriverChoice) -> io::Result<()> {
    let engine = Engine::new().reactors(1).driver(driver);
    let engine = engine.sessions(format!("tcp://127.0.0.1:{port}"), Lines::default, echo_lines);
    let running = start(engine.map_err(io::Error::other)?)?;
    ready.announce(port)?;
    running.join().map_err(io::Error::other)
}

async fn echo_lines(mut connection: Connection<Lines>) -> session::Result {
    while let Some(line) = connection.next().await? {
        connection.send([b"echo: ", &line]).await?;
    }
    Ok(())
}

struct EchoFrames;

impl Service for EchoFrames {
    type Codec = LengthPrefixed;
    type Session = ();

    fn message(&mut self, _: &mut (), frame: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[frame]);
    }
}

/// Frames, answered with the same frames.
pub fn frames(port: u16, ready: Ready, driver: DriverChoice) -> io::Result<()> {
    serve(port, ready, driver, || EchoFrames)
}

struct Room {
    members: Group,
}

impl Service for Room {
    type Codec = Raw;
    type Session = ();

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<(), Refused> {
        cx.send(&[PAYLOAD]);
        cx.join(self.members).map_err(|_| Refused)
    }

    fn message(&mut self, _: &mut (), bytes: &[u8], cx: &mut Context<'_, Self>) {
        for _ in bytes {
            if let Err(error) = cx.broadcast(self.members, &[PAYLOAD]) {
                eprintln!("a broadcast failed: {error}");
            }
        }
    }
}

/// One payload for each that joins; any byte from anybody sends one to everybody.
pub fn broadcast(port: u16, ready: Ready, driver: DriverChoice) -> io::Result<()> {
    let members = Group::new();
    serve(port, ready, driver, move || Room { members })
}

/// Reactors of a server for a million connections where a ring holds 20,000: more than are needed, because the kernel
/// spreads connections by a hash, and not evenly.
pub const MANY_REACTORS: usize = 60;

/// Frames on many reactors, which drain when they are told to.
pub fn many_frames(port: u16, ready: Ready) -> io::Result<()> {
    let engine = Engine::new().reactors(MANY_REACTORS).driver(DriverChoice::Uring);
    let engine = engine.listen(format!("tcp://127.0.0.1:{port}"), || EchoFrames).map_err(io::Error::other)?;
    let running = start(engine)?;
    let draining = drain::obey(running.remote());
    ready.announce(port)?;
    running.join().map_err(io::Error::other)?;
    draining.join().map_err(|_| io::Error::other("the thread that drains panicked"))?
}

/// The store, as `gannet serve` has it on one reactor.
pub fn redis(port: u16, ready: Ready, driver: DriverChoice) -> io::Result<()> {
    let server = Server::new(Options::default());
    serve(port, ready, driver, move || Redis::new(server.clone()))
}

/// Serves on one reactor.
pub fn serve<S: Service>(
    port: u16,
    ready: Ready,
    driver: DriverChoice,
    factory: impl Fn() -> S + Send + Sync + 'static,
) -> io::Result<()> {
    let engine = Engine::new().reactors(1).driver(driver);
    let engine = engine.listen(format!("tcp://127.0.0.1:{port}"), factory).map_err(io::Error::other)?;
    let running = start(engine)?;
    ready.announce(port)?;
    running.join().map_err(io::Error::other)
}

/// Starts one reactor whose connections have a filter each.
pub fn start_filtered<S: Service>(
    port: u16,
    driver: DriverChoice,
    filters: Arc<dyn FilterFactory>,
    factory: impl Fn() -> S + Send + Sync + 'static,
) -> io::Result<Running> {
    let engine = Engine::new().reactors(1).driver(driver);
    start(engine.listen_filtered(format!("tcp://127.0.0.1:{port}"), filters, factory).map_err(io::Error::other)?)
}

/// Starts an engine; a port that is taken is the error that says so.
pub fn start(engine: Engine) -> io::Result<Running> {
    engine.start().map_err(|error| match error {
        gannet::Error::Listen { error, .. } => error,
        error => io::Error::other(error),
    })
}
