//! compio on io_uring with a task for each connection. A buffer is owned by the call that fills or sends it, and is used
//! again (compio's documentation of `BufResult`).

use std::io;

use compio::BufResult;
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::Runtime;

/// The buffer of a task, in bytes.
const BUFFER_BYTES: usize = 4 * 1024;

pub fn serve(port: u16) -> io::Result<()> {
    Runtime::new()?.block_on(async {
        let listener = TcpListener::from_std(peer_start::listen(port)?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            compio::runtime::spawn(echo(stream)).detach();
        }
    })
}

async fn echo(mut stream: TcpStream) {
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        let BufResult(read, received) = stream.read(buffer).await;
        if !matches!(read, Ok(1..)) {
            return;
        }
        let BufResult(written, sent) = stream.write_all(received).await;
        if written.is_err() {
            return;
        }
        buffer = sent;
        buffer.clear();
    }
}
