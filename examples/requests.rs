//! Many requests in flight on one connection: sessions that answer requests side by side, and sessions that ask them.
//!
//! `cargo run --release --example requests`, then `nc 127.0.0.1 7000`. Each line is a time in milliseconds and a word. All
//! lines are asked of a second listener at once, on one connection, and each answer is shown as it comes:
//!
//! ```text
//! 2000 slow
//! 0 fast
//! fast: FAST
//! slow: SLOW
//! ```

use std::time::Duration;

use gannet::proto::{Lines, Multiplexed};
use gannet::session::requests::{self, Caller, Options, Request};
use gannet::session::{self, Connection, Either, channel, connect, first, sleep, spawn, within};
use gannet::{Connect, Engine};

/// Answers one request. Others on the same connection are answered meanwhile.
async fn answer(request: Request) -> Result<Vec<u8>, String> {
    let text = String::from_utf8_lossy(&request);
    let (ms, word) = text.split_once(' ').ok_or("ask with a time and a word")?;
    let ms = ms.parse().map_err(|_| format!("{ms} is no number of milliseconds"))?;
    if ms > 0 {
        sleep(Duration::from_millis(ms)).await;
    }
    Ok(word.to_uppercase().into_bytes())
}

/// Asks with every line, and shows each answer as soon as it comes.
async fn front(mut connection: Connection<Lines>, to: Connect) -> session::Result {
    let caller = Caller::new(connect(Multiplexed::new(), &to).await?, 16);
    let (sender, mut answers) = channel(16);
    loop {
        match first(connection.next(), answers.recv()).await {
            Either::Left(line) => {
                let Some(line) = line? else { return Ok(()) };
                let (caller, sender) = (caller.clone(), sender.clone());
                spawn(async move {
                    // Giving up cancels the request: the other side is told, and its late answer reaches nobody.
                    let answer = match within(Duration::from_secs(5), caller.call([&line])).await {
                        Ok(Ok(answer)) => String::from_utf8_lossy(&answer).into_owned(),
                        Ok(Err(error)) => error.to_string(),
                        Err(_) => "too slow".to_owned(),
                    };
                    let word =
                        String::from_utf8_lossy(line.rsplit(|byte| *byte == b' ').next().unwrap_or(b"")).into_owned();
                    let _ = sender.send(format!("{word}: {answer}")).await;
                });
            }
            Either::Right(Some(answer)) => connection.send([answer.as_bytes()]).await?,
            Either::Right(None) => return Ok(()),
        }
    }
}

/// The engine: sessions that answer requests at one address, and sessions that ask them at the other.
pub fn engine(engine: Engine, answers: &str, asks: &str) -> gannet::Result<Engine> {
    let to = Connect::resolve(answers)?;
    let options = Options::new().in_flight(64).timeout(Duration::from_secs(10));
    engine
        .sessions(answers, Multiplexed::new, move |connection| requests::serve(connection, options, answer))?
        .sessions(asks, Lines::default, move |connection| front(connection, to.clone()))
}

fn main() -> gannet::Result<()> {
    engine(Engine::new(), "tcp://127.0.0.1:7001", "tcp://127.0.0.1:7000")?.run()
}
