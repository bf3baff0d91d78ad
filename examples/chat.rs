//! A chat room: a group brings every line to all members. The first line of a client is its name.
//!
//! `cargo run --release --example chat`, then `nc 127.0.0.1 7000` in several terminals.

use gannet::proto::Lines;
use gannet::{CloseReason, Context, Engine, Group, Service};

struct Chat {
    room: Group,
}

/// The name of a member, once the first line has given it.
#[derive(Default)]
struct Guest {
    name: Option<String>,
}

impl Service for Chat {
    type Codec = Lines;
    type Session = Guest;

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<Guest, gannet::Refused> {
        cx.send(&[b"welcome! what is your name?"]);
        Ok(Guest::default())
    }

    fn message(&mut self, guest: &mut Guest, line: &[u8], cx: &mut Context<'_, Self>) {
        let result = match &guest.name {
            Some(name) => cx.broadcast(self.room, &[name.as_bytes(), b": ", line]),
            None => {
                let name = String::from_utf8_lossy(line).trim().to_owned();
                if name.is_empty() || cx.join(self.room).is_err() {
                    return cx.close_flushed();
                }
                let joined = cx.broadcast(self.room, &[name.as_bytes(), b" is here"]);
                guest.name = Some(name);
                joined
            }
        };
        if let Err(error) = result {
            cx.send(&[b"not everybody heard that: ", error.to_string().as_bytes()]);
        }
    }

    fn close(&mut self, guest: Guest, _: CloseReason, cx: &mut Context<'_, Self>) {
        if let Some(name) = guest.name {
            // The members that are left hear it. If it fails, there is no client to tell.
            let _ = cx.broadcast(self.room, &[name.as_bytes(), b" has left"]);
        }
    }
}

fn main() -> gannet::Result<()> {
    // One room for all reactors: each has its own instance of the service, all know the same group.
    let room = Group::new();
    println!("a chat room is at 127.0.0.1:7000; try: nc 127.0.0.1 7000");
    Engine::new().listen("tcp://127.0.0.1:7000", move || Chat { room })?.run()
}
