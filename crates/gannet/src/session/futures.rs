//! The I/O traits of the crate futures, for streams.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_io::{AsyncRead, AsyncWrite};

use super::stream::{Stream, poll_writes};

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_take(cx, to.len(), &mut |bytes| to[..bytes.len()].copy_from_slice(bytes))
    }
}

impl AsyncWrite for Stream {
    poll_writes!(poll_close);
}
