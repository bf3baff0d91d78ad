//! A TCP proxy: every connection to it becomes a connection to another server, and what comes on one side leaves on the other.
//!
//! ```text
//! cargo run --release --example proxy -- tcp://127.0.0.1:9000 tcp://127.0.0.1:6379
//! redis-cli -p 9000 ping
//! ```
//!
//! `proxy LISTEN TO [IDLE_SECONDS] [DRIVER]`: the addresses are `tcp://host:port` or `unix:///path`. A pair of connections on
//! which nothing moves for IDLE_SECONDS (default 300) is closed. DRIVER is `auto` (the default), `uring` or `poll`.
//!
//! - Back-pressure: where one side does not read, the other is not read either. Each pair holds `outbox_high` and what one
//!   read brings, whatever the peers do.
//! - Half-close: where one side ends its stream, the other side hears of it and may go on to send.
//! - A client whose server cannot be reached is closed, and the log says why.

use std::io;
use std::time::Duration;

use gannet::proto::Raw;
use gannet::{
    CloseMode, CloseReason, Connect, Context, DriverChoice, Engine, HalfClose, Handle, Notice, Outbound, Refused,
    SendStatus, Service, Timeouts,
};

/// One side of each pair: it listens where it knows where to connect to.
struct Side {
    to: Option<(Outbound<Side>, Connect)>,
}

/// The connection on the other side, once there is one.
type Other = Option<Handle>;

impl Service for Side {
    type Codec = Raw;
    type Session = Other;

    /// What fills up is the other side's outbox, not the one of the side that is read.
    const AUTO_PAUSE: bool = false;

    fn name(&self) -> &str {
        if self.to.is_some() { "clients" } else { "servers" }
    }

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<Other, Refused> {
        // Until there is somebody to hand it to, what the client sends waits in the kernel.
        cx.pause();
        let (server, connect) = self.to.as_ref().ok_or(Refused)?;
        cx.connect(*server, connect, Some(cx.handle())).map_err(|error| {
            eprintln!("cannot connect: {error}");
            Refused
        })?;
        Ok(None)
    }

    fn connected(&mut self, client: &mut Other, cx: &mut Context<'_, Self>) {
        if client.is_none_or(|client| cx.notify_other::<Self, Handle>(client, cx.handle()).is_err()) {
            cx.close();
        }
    }

    fn connect_failed(&mut self, client: Other, error: &io::Error, cx: &mut Context<'_, Self>) {
        eprintln!("closing a client: its server cannot be reached: {error}");
        if let Some(client) = client {
            // It may have gone by itself.
            let _ = cx.close_other(client, CloseMode::AtOnce);
        }
    }

    fn message(&mut self, other: &mut Other, bytes: &[u8], cx: &mut Context<'_, Self>) {
        match other.map(|other| cx.send_to(other, &[bytes])) {
            Some(Ok(SendStatus::Queued)) => {}
            // The other side has enough: `writable` says there when to go on.
            Some(Ok(_)) => cx.pause(),
            Some(Err(_)) | None => cx.close(),
        }
    }

    fn writable(&mut self, other: &mut Other, cx: &mut Context<'_, Self>) {
        if let Some(other) = *other {
            // If it is gone, this side closes too.
            let _ = cx.resume_other(other);
        }
    }

    fn half_closed(&mut self, other: &mut Other, cx: &mut Context<'_, Self>) -> HalfClose {
        match other.map(|other| cx.shutdown_write_other(other)) {
            Some(Ok(())) => HalfClose::KeepOpen,
            _ => HalfClose::Close,
        }
    }

    fn close(&mut self, other: Other, reason: CloseReason, cx: &mut Context<'_, Self>) {
        if let Some(other) = other {
            let broken = matches!(reason, CloseReason::Io(_) | CloseReason::Slow | CloseReason::SlowWrite);
            let _ = cx.close_other(other, if broken { CloseMode::AtOnce } else { CloseMode::Flushed });
        }
    }
}

/// The server's side is up: it says who it is, and reading from the client begins.
impl Notice<Handle> for Side {
    fn notice(&mut self, other: &mut Other, server: Handle, cx: &mut Context<'_, Self>) {
        *other = Some(server);
        cx.resume();
    }
}

/// The engine that the arguments describe.
pub fn engine(arguments: &[&str]) -> Result<Engine, String> {
    let [listen, to, options @ ..] = arguments else {
        return Err(
            "usage: proxy LISTEN TO [IDLE_SECONDS] [DRIVER], as in proxy tcp://127.0.0.1:9000 tcp://127.0.0.1:6379"
                .to_owned(),
        );
    };
    let seconds = options.first().unwrap_or(&"300");
    let Ok(idle @ 1..) = seconds.parse() else {
        return Err(format!("IDLE_SECONDS is {seconds}; it is a whole number of seconds, from 1"));
    };
    let driver = match options.get(1) {
        None | Some(&"auto") => DriverChoice::Auto,
        Some(&"uring") => DriverChoice::Uring,
        Some(&"poll") => DriverChoice::Poll,
        Some(other) => return Err(format!("DRIVER is {other}; there are auto, uring and poll")),
    };
    let connect = Connect::resolve(to).map_err(|error| format!("TO: {error}"))?;
    let idle = Duration::from_secs(idle);
    let mut timeouts = Timeouts::default();
    (timeouts.idle, timeouts.half_close) = (Some(idle), idle);
    let mut engine = Engine::new().reactors(1).driver(driver).timeouts(timeouts);
    let server = engine.outbound(|| Side { to: None }).map_err(|error| error.to_string())?;
    let clients = move || Side { to: Some((server, connect.clone())) };
    engine.listen(*listen, clients).map_err(|error| format!("LISTEN: {error}"))
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = engine(&arguments).and_then(|engine| engine.run().map_err(|error| error.to_string()));
    if let Err(error) = ended {
        eprintln!("proxy: {error}");
        std::process::exit(1);
    }
}
