//! A Redis-speaking service of your own: `PING`, `ECHO`, and a `COUNT` that Redis does not have.
//!
//! `cargo run --release --example resp`, then `redis-cli -p 7000 count`.

use gannet::proto::resp::{Args, Commands, Value};
use gannet::{Context, Engine, Service};

struct Counter;

impl Service for Counter {
    type Codec = Commands;
    /// Number of `COUNT` commands of this client.
    type Session = i64;

    fn message(&mut self, count: &mut i64, args: Args<'_>, cx: &mut Context<'_, Self>) {
        let Some((name, rest)) = args.split_first() else { return };
        let reply = match (name.to_ascii_uppercase().as_slice(), rest) {
            (b"PING", []) => Value::Simple(b"PONG"),
            (b"ECHO" | b"PING", [text]) => Value::Bulk(text),
            (b"COUNT", []) => {
                *count += 1;
                Value::Integer(*count)
            }
            _ => Value::Error(b"ERR unknown command or wrong number of arguments"),
        };
        cx.send(reply.into());
    }
}

fn main() -> gannet::Result<()> {
    Engine::new().listen("tcp://127.0.0.1:7000", || Counter)?.run()
}
