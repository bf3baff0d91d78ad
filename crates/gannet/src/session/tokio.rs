//! tokio's I/O traits for streams. They need no runtime.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stream::{Stream, poll_writes};

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = to.remaining();
        self.poll_take(cx, room, &mut |bytes| to.put_slice(bytes)).map_ok(|_| ())
    }
}

impl AsyncWrite for Stream {
    poll_writes!(poll_shutdown);

    fn is_write_vectored(&self) -> bool {
        true
    }
}
