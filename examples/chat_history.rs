//! A chat whose guests are shown what was said last, once as a sequential session and once as callbacks: the same room on two
//! ports.
//!
//! `cargo run --release --example chat_history`, then `nc 127.0.0.1 7001` (sessions) or `nc 127.0.0.1 7002` (callbacks) in
//! several terminals. The first line is the guest's name. The session takes 26 lines, the callbacks 39.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use gannet::proto::Lines;
use gannet::{Engine, Group};

/// Lines that a new guest is shown.
const SHOWN: usize = 10;

/// What all reactors share: the members, and what was said last.
#[derive(Clone)]
pub struct Room {
    members: Group,
    said: Arc<Mutex<VecDeque<String>>>,
}

impl Room {
    fn note(&self, name: &str, line: &[u8]) -> String {
        let line = format!("{name}: {}", String::from_utf8_lossy(line));
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.len() == SHOWN {
            said.pop_front();
        }
        said.push_back(line.clone());
        line
    }

    fn history(&self) -> Vec<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// The chat as a future: what a guest goes through, from the top to the bottom.
mod sequential {
    use gannet::Remote;
    use gannet::proto::Lines;
    use gannet::session::{self, Connection};

    use super::Room;

    /// Tells the others when its guest goes, however that ends.
    struct Guest {
        name: String,
        room: Room,
        remote: Remote,
    }

    impl Drop for Guest {
        fn drop(&mut self) {
            // If the engine ends too, there is nobody to tell.
            let _ = self.remote.broadcast(self.room.members, &Lines::new(), &[self.name.as_bytes(), b" has left"]);
        }
    }

    pub async fn chat(mut connection: Connection<Lines>, room: Room) -> session::Result {
        connection.send([b"your name?"]).await?;
        let Some(name) = connection.next().await? else { return Ok(()) };
        for line in room.history() {
            connection.send([line.as_bytes()]).await?;
        }
        let guest = Guest { name: String::from_utf8_lossy(&name).into_owned(), remote: connection.remote(), room };
        let members = guest.room.members;
        connection.join(members)?;
        connection.broadcast(members, [&name, b" is here"])?;
        while let Some(line) = connection.next().await? {
            let line = guest.room.note(&guest.name, &line);
            connection.broadcast(members, [line.as_bytes()])?;
        }
        Ok(())
    }
}

/// The chat as a state machine: whether a guest has a name says what the next line is.
mod callbacks {
    use gannet::proto::Lines;
    use gannet::{CloseReason, Context, Refused, Service};

    use super::Room;

    pub struct Chat {
        pub room: Room,
    }

    /// The name of a guest, once the first line has given it.
    #[derive(Default)]
    pub struct Guest(Option<String>);

    impl Chat {
        fn tell(&self, parts: &[&[u8]], cx: &mut Context<'_, Self>) {
            if let Err(error) = cx.broadcast(self.room.members, parts) {
                cx.send(&[b"not everybody heard that: ", error.to_string().as_bytes()]);
            }
        }
    }

    impl Service for Chat {
        type Codec = Lines;
        type Session = Guest;

        fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<Guest, Refused> {
            cx.send(&[b"your name?"]);
            Ok(Guest::default())
        }

        fn message(&mut self, guest: &mut Guest, line: &[u8], cx: &mut Context<'_, Self>) {
            if let Some(name) = &guest.0 {
                let line = self.room.note(name, line);
                return self.tell(&[line.as_bytes()], cx);
            }
            for line in self.room.history() {
                cx.send(&[line.as_bytes()]);
            }
            if cx.join(self.room.members).is_err() {
                return cx.close_flushed();
            }
            self.tell(&[line, b" is here"], cx);
            guest.0 = Some(String::from_utf8_lossy(line).into_owned());
        }

        fn close(&mut self, guest: Guest, _: CloseReason, cx: &mut Context<'_, Self>) {
            if let Some(name) = guest.0 {
                self.tell(&[name.as_bytes(), b" has left"], cx);
            }
        }
    }
}

/// The engine, with sessions at one address and callbacks at the other.
pub fn engine(engine: Engine, sessions: &str, callbacks: &str) -> gannet::Result<Engine> {
    let room = Room { members: Group::new(), said: Arc::default() };
    let same = room.clone();
    engine
        .sessions(sessions, Lines::default, move |connection| sequential::chat(connection, room.clone()))?
        .listen(callbacks, move || callbacks::Chat { room: same.clone() })
}

fn main() -> gannet::Result<()> {
    engine(Engine::new(), "tcp://127.0.0.1:7001", "tcp://127.0.0.1:7002")?.run()
}
