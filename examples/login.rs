//! A login with three attempts, once as a sequential session and once as callbacks: the same dialogue on two ports.
//!
//! `cargo run --release --example login`, then `nc 127.0.0.1 7001` (session) or `nc 127.0.0.1 7002` (callbacks). The password is
//! `secret`. The session takes 16 lines, the callbacks 36.

use gannet::Engine;
use gannet::proto::Lines;

/// The login as a future: it waits where it has to.
mod sequential {
    use std::time::Duration;

    use gannet::proto::Lines;
    use gannet::session::{self, Connection, within};

    pub async fn login(mut connection: Connection<Lines>) -> session::Result {
        for attempt in 1..=3 {
            connection.send([b"password?"]).await?;
            let Ok(line) = within(Duration::from_secs(30), connection.next()).await else {
                connection.send([b"too slow"]).await?;
                return Ok(());
            };
            match line? {
                None => return Ok(()),
                Some(line) if *line == *b"secret" => return connection.send([b"welcome"]).await,
                Some(_) => connection.send([format!("wrong, {} left", 3 - attempt).as_bytes()]).await?,
            }
        }
        connection.close_because("three wrong passwords");
        Ok(())
    }
}

/// The login as a state machine: what it waits for is in its state.
mod callbacks {
    use std::time::Duration;

    use gannet::proto::Lines;
    use gannet::{Context, Refused, SendStatus, Service};

    pub struct Login;

    /// Attempts so far.
    #[derive(Default)]
    pub struct Attempts(u32);

    impl Login {
        fn ask(cx: &mut Context<'_, Self>) -> SendStatus {
            cx.set_timer(Duration::from_secs(30));
            cx.send(&[b"password?"])
        }
    }

    impl Service for Login {
        type Codec = Lines;
        type Session = Attempts;

        fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<Attempts, Refused> {
            Self::ask(cx);
            Ok(Attempts(0))
        }

        fn message(&mut self, attempts: &mut Attempts, line: &[u8], cx: &mut Context<'_, Self>) {
            cx.cancel_timer();
            if line == b"secret" {
                cx.send(&[b"welcome"]);
                cx.close_flushed();
                return;
            }
            attempts.0 += 1;
            cx.send(&[format!("wrong, {} left", 3 - attempts.0).as_bytes()]);
            if attempts.0 == 3 {
                cx.close_flushed_because("three wrong passwords");
            } else {
                Self::ask(cx);
            }
        }

        fn timer(&mut self, _: &mut Attempts, cx: &mut Context<'_, Self>) {
            cx.send(&[b"too slow"]);
            cx.close_flushed();
        }
    }
}

/// The engine, with sessions at one address and callbacks at the other.
pub fn engine(engine: Engine, sessions: &str, callbacks: &str) -> gannet::Result<Engine> {
    engine.sessions(sessions, Lines::default, sequential::login)?.listen(callbacks, || callbacks::Login)
}

fn main() -> gannet::Result<()> {
    engine(Engine::new(), "tcp://127.0.0.1:7001", "tcp://127.0.0.1:7002")?.run()
}
