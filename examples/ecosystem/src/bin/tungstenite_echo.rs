//! async-tungstenite on Gannet's reactors: WebSocket, plain and through TLS. Each message is sent back.
//!
//! ```sh
//! cargo run --release --bin tungstenite_echo
//! python3 -m websockets ws://127.0.0.1:8080
//! ```

use async_tungstenite::accept_async;
use async_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use futures_util::StreamExt;
use gannet::proto::Raw;
use gannet::session::{self, Connection, Either, Error, draining, first};
use gannet_ecosystem::{address, engine, tls};

async fn echo(connection: Connection<Raw>) -> session::Result {
    let mut socket = accept_async(connection.into_stream()).await.map_err(Error::other)?;
    loop {
        match first(socket.next(), draining()).await {
            // tungstenite answers pings and closes by itself.
            Either::Left(Some(message)) => {
                let message = message.map_err(Error::other)?;
                if message.is_text() || message.is_binary() {
                    socket.send(message).await.map_err(Error::other)?;
                }
            }
            Either::Left(None) => return Ok(()),
            Either::Right(()) => {
                let bye = CloseFrame { code: CloseCode::Away, reason: "the server stops".into() };
                socket.close(Some(bye)).await.map_err(Error::other)?;
                // The client answers with a close frame of its own: one that is reset before may not have read ours.
                while let Some(Ok(_)) = socket.next().await {}
                return Ok(());
            }
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    engine()
        .sessions(address(1, "tcp://127.0.0.1:8080"), || Raw, echo)?
        .sessions_filtered(address(2, "tls://127.0.0.1:8443"), tls()?, || Raw, echo)?
        .run()?;
    Ok(())
}
