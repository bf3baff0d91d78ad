//! tokio's current-thread runtime with a task for each connection, as its tutorial's echo server: "read some data from the
//! socket", `write_all` of the same (tokio.rs/tokio/tutorial/io).

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};

/// The buffer of a task, in bytes.
const BUFFER_BYTES: usize = 4 * 1024;

pub fn serve(port: u16) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_io().build()?;
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::from_std(peer_start::listen_nonblocking(port)?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            spawn_local(echo(stream));
        }
    })
}

async fn echo(mut stream: TcpStream) {
    // "Explicitly avoiding a stack buffer": in the task's own allocation it would be copied with the task (tutorial).
    let mut buffer = vec![0; BUFFER_BYTES];
    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
        if stream.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}
