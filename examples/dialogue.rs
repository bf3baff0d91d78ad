//! A dialogue as a sequential session: it asks for a name, and then answers with it.
//!
//! `cargo run --release --example dialogue`, then `nc 127.0.0.1 7000`.

use gannet::session::{self, Connection};
use gannet::{Engine, proto::Lines};

/// Asks for a name, and answers every line with it.
pub async fn dialogue(mut connection: Connection<Lines>) -> session::Result {
    connection.send([b"your name?"]).await?;
    let Some(name) = connection.next().await? else { return Ok(()) };
    while let Some(line) = connection.next().await? {
        connection.send([&name, b" says ", &line]).await?;
    }
    Ok(())
}

fn main() -> gannet::Result<()> {
    Engine::new().sessions("tcp://127.0.0.1:7000", Lines::default, dialogue)?.run()
}
