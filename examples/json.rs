//! JSON in length-prefixed frames, with a `hello` that has to come within 10 s, heartbeats, and offloaded work.
//!
//! A client may end its sending side after its last request, as `nc -N` does. The connection then closes when the replies
//! of all offloaded work were sent.
//!
//! `cargo run --release --example json` serves; `cargo run --release --example json -- demo` also talks to itself.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use gannet::proto::LengthPrefixed;
use gannet::{Context, Engine, Heartbeat, Service, Timeouts};
use serde_json::{Value, json};

struct Api;

#[derive(Default)]
struct Client {
    name: Option<String>,
}

impl Api {
    fn answer(value: &Value, cx: &mut Context<'_, Self>) {
        cx.send(&[value.to_string().as_bytes()]);
    }
}

impl Service for Api {
    type Codec = LengthPrefixed;
    type Session = Client;

    fn codec(&self) -> LengthPrefixed {
        LengthPrefixed::u32_be().limit(64 * 1024)
    }

    fn timeouts(&self, defaults: Timeouts) -> Timeouts {
        let mut timeouts = defaults;
        timeouts.first_message = Some(Duration::from_secs(10));
        timeouts.heartbeat = Some(Duration::from_secs(30));
        timeouts
    }

    fn message(&mut self, client: &mut Client, frame: &[u8], cx: &mut Context<'_, Self>) {
        let Ok(request) = serde_json::from_slice::<Value>(frame) else {
            Self::answer(&json!({"error": "not JSON"}), cx);
            return cx.close_flushed();
        };
        match (request["type"].as_str(), &client.name) {
            (Some("hello"), _) => {
                let name = request["name"].as_str().unwrap_or("somebody").to_owned();
                Self::answer(&json!({"type": "welcome", "name": &name}), cx);
                client.name = Some(name);
            }
            (_, None) => {
                Self::answer(&json!({"error": "say hello first"}), cx);
                cx.close_flushed();
            }
            (Some("pong"), _) => {}
            (Some("sum"), _) => {
                let upto = request["upto"].as_u64().unwrap_or(0);
                // Long work leaves the reactor, and its result comes back to this connection.
                let sum = move || (1..=upto).fold(0u64, u64::wrapping_add);
                let done = |_: &mut Self, _: &mut Client, sum, cx: &mut Context<'_, Self>| {
                    Self::answer(&json!({"type": "sum", "sum": sum}), cx);
                };
                if cx.offload(sum, done).is_err() {
                    Self::answer(&json!({"error": "busy; try again"}), cx);
                }
            }
            (kind, _) => Self::answer(&json!({"error": "unknown type", "type": kind}), cx),
        }
    }

    fn heartbeat(&mut self, _: &mut Client, cx: &mut Context<'_, Self>) -> Heartbeat {
        Self::answer(&json!({"type": "ping"}), cx);
        Heartbeat::Sent
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let running = Engine::new().listen("tcp://127.0.0.1:7000", || Api)?.start()?;
    running.stop_on_signals()?;
    println!("JSON in frames is at 127.0.0.1:7000");
    if std::env::args().nth(1).as_deref() == Some("demo") {
        let mut stream = TcpStream::connect("127.0.0.1:7000")?;
        let requests = [json!({"type": "hello", "name": "demo"}), json!({"type": "sum", "upto": 1_000_000})];
        for request in &requests {
            let frame = request.to_string();
            stream.write_all(&(frame.len() as u32).to_be_bytes())?;
            stream.write_all(frame.as_bytes())?;
        }
        // No more requests follow; the answers still come.
        stream.shutdown(Shutdown::Write)?;
        for request in requests {
            let mut length = [0; 4];
            stream.read_exact(&mut length)?;
            let mut answer = vec![0; u32::from_be_bytes(length) as usize];
            stream.read_exact(&mut answer)?;
            println!("{request} -> {}", String::from_utf8_lossy(&answer));
        }
        running.remote().stop();
    }
    Ok(running.join()?)
}
