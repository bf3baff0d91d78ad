//! The smallest server: answers each line with `echo: ` and the line.
//!
//! `cargo run --release --example echo`, then `printf 'hello\n' | nc 127.0.0.1 7000`.

use gannet::{Context, Engine, Service, proto::Lines};

struct Echo;

impl Service for Echo {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, _: &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[b"echo: ", line]);
    }
}

fn main() -> gannet::Result<()> {
    Engine::new().listen("tcp://127.0.0.1:7000", || Echo)?.run()
}
