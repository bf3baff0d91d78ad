//! tokio's current-thread runtime with a task for each connection, and one `broadcast` channel for all: "each sent value is seen
//! by all consumers", which its documentation recommends for chats (docs.rs/tokio/latest/tokio/sync/broadcast).

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::broadcast::{Sender, channel};
use tokio::task::{LocalSet, spawn_local};

/// The message that each member gets: as it joins, and each time that somebody sends a byte.
const PAYLOAD: &[u8; 64] = b"gannet-bench broadcast payload: sixty-four bytes for everybody.\n";

/// Messages that the channel keeps for the slowest member. Whoever misses one is closed.
const WAITING: usize = 256;

/// The buffer of a task, in bytes: triggers are single bytes.
const BUFFER_BYTES: usize = 64;

pub fn serve(port: u16) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::from_std(peer_start::listen_nonblocking(port)?)?;
        let (room, _) = channel(WAITING);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let room = room.clone();
            spawn_local(async move {
                // An error ends the connection, and nothing else.
                let _ = member(stream, room).await;
            });
        }
    })
}

async fn member(mut stream: TcpStream, room: Sender<&'static [u8; 64]>) -> io::Result<()> {
    // Before the greeting: whoever has that gets every message from then on.
    let mut messages = room.subscribe();
    stream.write_all(PAYLOAD).await?;
    let (mut reader, mut writer) = stream.split();
    let mut buffer = [0; BUFFER_BYTES];
    loop {
        tokio::select! {
            message = messages.recv() => writer.write_all(message.map_err(io::Error::other)?).await?,
            count = reader.read(&mut buffer) => match count? {
                0 => return Ok(()),
                count => (0..count).for_each(|_| {
                    // There is a receiver: this task's own.
                    let _ = room.send(PAYLOAD);
                }),
            },
        }
    }
}
