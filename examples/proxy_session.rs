//! A TCP proxy as sequential sessions: one function for each pair of connections, which copies both ways at once.
//!
//! ```text
//! cargo run --release --example proxy_session -- tcp://127.0.0.1:9000 tcp://127.0.0.1:6379
//! redis-cli -p 9000 ping
//! ```
//!
//! `proxy_session LISTEN TO [IDLE_SECONDS] [DRIVER]`, as [proxy](proxy.rs), which is the same with callbacks: back-pressure,
//! half-close, and a client that is closed if its server cannot be reached. The session takes 29 lines, the callbacks 62.

use std::time::Duration;

use gannet::proto::Raw;
use gannet::session::{self, Connection, Error, both, connect};
use gannet::{CloseReason, Connect, DriverChoice, Engine, Timeouts};

async fn forward(mut client: Connection<Raw>, to: Connect) -> session::Result {
    let done = copy(&mut client, &to).await;
    match &done {
        // The server's side broke in the middle: the client must not take what it has for the whole.
        Err(Error::Broken(CloseReason::Io(_) | CloseReason::Slow | CloseReason::SlowWrite)) => client.reset(),
        Err(error) => eprintln!("closing a client: {error}"),
        Ok(()) => {}
    }
    done
}

async fn copy(client: &mut Connection<Raw>, to: &Connect) -> session::Result {
    let mut server = connect(Raw, to).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let up = async {
        while let Some(bytes) = from_client.next().await? {
            to_server.send([&bytes]).await?;
        }
        to_server.shutdown_write();
        Ok(())
    };
    let down = async {
        while let Some(bytes) = from_server.next().await? {
            to_client.send([&bytes]).await?;
        }
        to_client.shutdown_write();
        Ok(())
    };
    both(up, down).await.map(|_| ())
}

/// The engine that the arguments describe.
pub fn engine(arguments: &[&str]) -> Result<Engine, String> {
    let [listen, to, options @ ..] = arguments else {
        return Err("usage: proxy_session LISTEN TO [IDLE_SECONDS] [DRIVER], as in proxy_session \
                    tcp://127.0.0.1:9000 tcp://127.0.0.1:6379"
            .to_owned());
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
    let to = Connect::resolve(to).map_err(|error| format!("TO: {error}"))?;
    let idle = Duration::from_secs(idle);
    let mut timeouts = Timeouts::default();
    (timeouts.idle, timeouts.half_close) = (Some(idle), idle);
    let engine = Engine::new().reactors(1).driver(driver).timeouts(timeouts);
    engine
        .sessions(*listen, || Raw, move |client| forward(client, to.clone()))
        .map_err(|error| format!("LISTEN: {error}"))
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = engine(&arguments).and_then(|engine| engine.run().map_err(|error| error.to_string()));
    if let Err(error) = ended {
        eprintln!("proxy_session: {error}");
        std::process::exit(1);
    }
}
