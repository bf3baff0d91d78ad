//! Lines of text: a request is a line, and so is its reply.

use gannet::proto::{self, Codec as _};

use crate::protocol::{Incoming, Message, Protocol};

/// Speaks a protocol of lines: each request is a line, and each is answered by one line, in order.
///
/// A request is the parts of a line, without its ending. Requests are pipelined.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    codec: proto::Lines,
}

impl Lines {
    /// Makes a protocol for lines of up to 64 KiB.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the longest reply that is accepted, in bytes without its ending (default 64 KiB).
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.codec = self.codec.limit(bytes);
        self
    }
}

impl Protocol for Lines {
    type Codec = proto::Lines;
    type State = ();
    type Request<'a> = &'a [&'a [u8]];
    type Reply<'m> = &'m [u8];
    type Owned = Vec<u8>;

    const PIPELINES: bool = true;

    fn codec(&self) -> proto::Lines {
        self.codec
    }

    fn encode(&self, line: &[&[u8]], _: u64, out: &mut Vec<u8>) -> bool {
        self.codec.encode(line, out).is_ok()
    }

    fn receive<'m>(&self, (): &mut (), line: Message<'m, Self>) -> Incoming<&'m [u8]> {
        Incoming::Reply(line)
    }

    fn copied(&self, line: &[u8]) -> Vec<u8> {
        line.to_vec()
    }
}
