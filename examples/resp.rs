//! A Redis-speaking service of your own: `PING`, `ECHO`, and a `COUNT` that Redis does not have.
//!
//! `cargo run --release --example resp`, then `redis-cli -p 7000 count`.

use gannet::proto::resp::{Args, Commands, Version, Writer};
use gannet::{Context, Engine, Service};

#[derive(Default)]
struct Counter {
    /// The buffer of replies. It keeps its memory from one reply to the next.
    reply: Vec<u8>,
}

impl Service for Counter {
    type Codec = Commands;
    /// Number of `COUNT` commands of this client.
    type Session = i64;

    fn message(&mut self, count: &mut i64, args: Args<'_>, cx: &mut Context<'_, Self>) {
        let Some((name, rest)) = args.split_first() else { return };
        self.reply.clear();
        let mut reply = Writer::new(&mut self.reply, Version::Resp2);
        match (name.to_ascii_uppercase().as_slice(), rest) {
            (b"PING", []) => reply.simple("PONG"),
            (b"ECHO" | b"PING", [text]) => reply.bulk(text),
            (b"COUNT", []) => {
                *count += 1;
                reply.integer(*count);
            }
            _ => reply.error("ERR unknown command or wrong number of arguments"),
        }
        cx.write(&self.reply);
    }
}

fn main() -> gannet::Result<()> {
    Engine::new().listen("tcp://127.0.0.1:7000", Counter::default)?.run()
}
