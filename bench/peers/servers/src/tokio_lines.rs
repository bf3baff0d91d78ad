//! tokio's current-thread runtime with a task for each connection: lines, answered with `echo: ` and the line.

use std::io;

use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio_util::codec::{Framed, LinesCodec};

/// The buffer of a task, in bytes.
const BUFFER_BYTES: usize = 4 * 1024;

/// Has a task of each connection, on the runtime that most programs of one thread would use.
pub fn accept<F>(port: u16, task: fn(TcpStream) -> F) -> io::Result<()>
where
    F: Future<Output = ()> + 'static,
{
    let runtime = Builder::new_current_thread().enable_io().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::from_std(peer_start::listen_nonblocking(port)?)?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(task(stream));
        }
    })
}

/// With tokio-util's codec.
pub fn framed(port: u16) -> io::Result<()> {
    accept(port, |stream| async {
        let mut lines = Framed::new(stream, LinesCodec::new());
        while let Some(Ok(line)) = lines.next().await {
            // What is ready is answered together: all that was read, in one write.
            if lines.feed(format!("echo: {line}")).await.is_err() {
                return;
            }
            while let Some(Some(Ok(line))) = futures_util::FutureExt::now_or_never(lines.next()) {
                if lines.feed(format!("echo: {line}")).await.is_err() {
                    return;
                }
            }
            if SinkExt::<String>::flush(&mut lines).await.is_err() {
                return;
            }
        }
    })
}

/// With a buffer in the task, as programs have it that are written for little memory.
pub fn buffered(port: u16) -> io::Result<()> {
    accept(port, |mut stream| async move {
        let mut buffer = [0; BUFFER_BYTES];
        let (mut filled, mut reply) = (0, Vec::new());
        loop {
            match stream.read(&mut buffer[filled..]).await {
                Ok(count @ 1..) => filled += count,
                _ => return,
            }
            let mut begun = 0;
            while let Some(end) = buffer[begun..filled].iter().position(|byte| *byte == b'\n') {
                reply.extend_from_slice(b"echo: ");
                reply.extend_from_slice(&buffer[begun..=begun + end]);
                begun += end + 1;
            }
            buffer.copy_within(begun..filled, 0);
            filled -= begun;
            if filled == BUFFER_BYTES || stream.write_all(&reply).await.is_err() {
                return;
            }
            reply = Vec::new();
        }
    })
}
