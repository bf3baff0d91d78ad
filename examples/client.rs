//! Outbound connections: many clients on one engine, each a session and not a thread. It starts a server of its own to
//! talk to.
//!
//! `cargo run --release --example client -- 1000` opens 1,000 connections, sends a message on each, and counts the answers.

use std::io;
use std::sync::mpsc::{Sender, channel};

use gannet::proto::Lines;
use gannet::{Address, CloseReason, Connect, Context, Engine, Service};

struct Echo;

impl Service for Echo {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, _: &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[b"echo: ", line]);
    }
}

struct Client {
    answers: Sender<Result<(), String>>,
}

/// The number that a client sends.
#[derive(Default)]
struct Number(usize);

impl Service for Client {
    type Codec = Lines;
    type Session = Number;

    fn connected(&mut self, number: &mut Number, cx: &mut Context<'_, Self>) {
        cx.send(&[b"number ", number.0.to_string().as_bytes()]);
    }

    fn message(&mut self, number: &mut Number, line: &[u8], cx: &mut Context<'_, Self>) {
        let expected = format!("echo: number {}", number.0);
        let answer = if line == expected.as_bytes() { Ok(()) } else { Err(format!("wrong answer to {expected}")) };
        // The main thread may have given up by now.
        let _ = self.answers.send(answer);
        cx.close_flushed();
    }

    fn connect_failed(&mut self, number: Number, error: &io::Error, _: &mut Context<'_, Self>) {
        let _ = self.answers.send(Err(format!("connection {} failed: {error}", number.0)));
    }

    fn close(&mut self, number: Number, reason: CloseReason, _: &mut Context<'_, Self>) {
        if reason != CloseReason::Service {
            let _ = self.answers.send(Err(format!("connection {} was lost: {}", number.0, reason.name())));
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let connections: usize = std::env::args().nth(1).map_or(Ok(100), |count| count.parse())?;
    let (answers, answered) = channel();
    let mut engine = Engine::new().listen("tcp://127.0.0.1:0", || Echo)?;
    let client = engine.outbound(move || Client { answers: answers.clone() })?;
    let running = engine.start()?;
    let server: Address = running.addresses().next().ok_or("the server listens")?.clone();

    let remote = running.remote();
    for number in 0..connections {
        remote.connect(number, client, &Connect::to(server.clone()), Number(number))?;
    }
    for answer in answered.iter().take(connections) {
        answer?;
    }
    println!("{connections} connections, each answered");
    remote.stop();
    Ok(running.join()?)
}
