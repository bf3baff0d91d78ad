//! A codec of tokio-util on Gannet's reactors: each line is sent back in capitals.
//!
//! ```sh
//! cargo run --release --bin framed_lines
//! nc 127.0.0.1 7000
//! ```

use futures_util::{SinkExt, StreamExt};
use gannet::proto::Raw;
use gannet::session::{self, Connection, Either, Error, draining, first};
use gannet_ecosystem::{address, engine, tls};
use tokio_util::codec::{Framed, LinesCodec};

async fn shout(connection: Connection<Raw>) -> session::Result {
    let mut lines = Framed::new(connection.into_stream(), LinesCodec::new_with_max_length(8 * 1024));
    loop {
        match first(lines.next(), draining()).await {
            Either::Left(Some(Ok(line))) => lines.send(line.to_uppercase()).await.map_err(Error::other)?,
            Either::Left(Some(Err(error))) => return Err(Error::other(error)),
            Either::Left(None) => return Ok(()),
            Either::Right(()) => return lines.send("THE SERVER STOPS").await.map_err(Error::other),
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    engine()
        .sessions(address(1, "tcp://127.0.0.1:7000"), || Raw, shout)?
        .sessions_filtered(address(2, "tls://127.0.0.1:7443"), tls()?, || Raw, shout)?
        .run()?;
    Ok(())
}
