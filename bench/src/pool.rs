//! Callers of a Redis server: through a pool, and by a service written for this one purpose.
//!
//! A subject is started like a server. It reads the port of a Redis server from its standard input, calls it without end,
//! and answers each further line with the number of calls that were answered.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use gannet::proto::resp::{Replies, Value};
use gannet::{Address, Connect, Context, DriverChoice, Engine, Service};
use gannet_client::{CallError, Handler, Pool, PoolContext, Redis};

use crate::subject::Ready;

/// Callers, each of whom calls again when it was answered.
pub const CALLERS: u64 = 64;

/// The peer: the multiplexed connection of the crate `redis`, on a current-thread runtime of tokio.
pub const PEER: &str = "peer-redis-tokio";

/// A request for a key that the server does not have.
const COMMAND: &[&[u8]] = &[b"GET", b"gannet-bench"];

/// Calls that were answered. One thread adds, without a bus lock.
#[derive(Clone, Default)]
struct Answered(Arc<AtomicU64>);

impl Answered {
    #[inline]
    fn count(&self) {
        self.0.store(self.0.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

struct ByHand(Answered);

impl Service for ByHand {
    type Codec = Replies;
    type Session = ();

    fn connected(&mut self, (): &mut (), cx: &mut Context<'_, Self>) {
        (0..CALLERS).for_each(|_| _ = cx.send(COMMAND));
    }

    fn message(&mut self, (): &mut (), reply: Value<'_>, cx: &mut Context<'_, Self>) {
        if reply == Value::Null {
            self.0.count();
        }
        cx.send(COMMAND);
    }
}

struct ThroughPool(Answered);

impl Handler<Redis> for ThroughPool {
    fn started(&mut self, cx: &mut PoolContext<'_, Redis>) {
        (0..CALLERS).for_each(|caller| _ = cx.call(COMMAND, caller));
    }

    fn answered(&mut self, caller: u64, result: Result<Value<'_>, CallError>, cx: &mut PoolContext<'_, Redis>) {
        if result == Ok(Value::Null) {
            self.0.count();
        }
        // One that fails is missed among the calls that are counted.
        let _ = cx.call(COMMAND, caller);
    }
}

/// Calls by a service that does nothing else.
pub fn by_hand(port: u16, ready: Ready, driver: DriverChoice) -> io::Result<()> {
    let (answered, mut engine) = (Answered::default(), Engine::new().driver(driver).reactors(1));
    let of_service = answered.clone();
    let outbound = engine.outbound(move || ByHand(of_service.clone())).map_err(io::Error::other)?;
    let server = server(port, ready)?;
    let running = engine.start().map_err(io::Error::other)?;
    running.remote().connect(0, outbound, &Connect::to(server), ()).map_err(io::Error::other)?;
    report(&answered)
}

/// Calls through a pool.
pub fn through_pool(port: u16, ready: Ready, driver: DriverChoice) -> io::Result<()> {
    let (answered, mut engine) = (Answered::default(), Engine::new().driver(driver).reactors(1));
    let of_handler = answered.clone();
    let _pool = Pool::builder(Redis::new())
        .endpoint(server(port, ready)?.to_string())
        .attach_with(&mut engine, move || ThroughPool(of_handler.clone()))
        .map_err(io::Error::other)?;
    let _running = engine.start().map_err(io::Error::other)?;
    report(&answered)
}

/// Reads where the server is.
fn server(port: u16, ready: Ready) -> io::Result<Address> {
    ready.announce(port)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    let port: u16 = line.trim().parse().map_err(io::Error::other)?;
    Ok(Address::Tcp(([127, 0, 0, 1], port).into()))
}

fn report(answered: &Answered) -> io::Result<()> {
    for _ in io::stdin().lock().lines() {
        let mut out = io::stdout().lock();
        writeln!(out, "{}", answered.0.load(Ordering::Relaxed))?;
        out.flush()?;
    }
    Ok(())
}
