//! A connection to an admin socket, and what comes on it.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use gannet::proto::http::{Method, Responses, WholeRequest};
use gannet::proto::{Codec as _, Decoded};

use crate::admin::address::AdminAddress;
use crate::admin::answer::SIGNATURE;

/// The largest response.
const LARGEST_BYTES: usize = 256 << 20;

/// The longest line of an answer that comes line by line: 4 KiB of traffic have 16 KiB where all of it is escaped.
const LONGEST_LINE_BYTES: u64 = 64 << 10;

/// The most header fields of such an answer.
const MOST_FIELDS: usize = 100;

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 64 << 10;

/// What is read from and written to.
pub(super) trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// A whole answer.
pub(super) struct Answer {
    pub(super) status: u16,
    /// It is from an admin socket of ours.
    pub(super) is_ours: bool,
    pub(super) body: Vec<u8>,
}

/// A request.
pub(super) struct Asked<'a> {
    pub(super) method: Method<'a>,
    pub(super) path: &'a str,
    pub(super) fields: &'a [(&'a str, &'a [u8])],
    pub(super) body: &'a [u8],
}

/// Connects; each read and each write may take so long.
pub(super) fn connect(at: &AdminAddress, timeout: Option<Duration>) -> io::Result<Box<dyn Stream>> {
    Ok(match at {
        AdminAddress::Off => return Err(ErrorKind::AddrNotAvailable.into()),
        AdminAddress::Unix(path) => {
            let stream = UnixStream::connect(path)?;
            stream.set_read_timeout(timeout)?;
            stream.set_write_timeout(timeout)?;
            Box::new(stream)
        }
        AdminAddress::Tcp(address) => {
            let stream = TcpStream::connect(address)?;
            stream.set_read_timeout(timeout)?;
            stream.set_write_timeout(timeout)?;
            Box::new(stream)
        }
    })
}

/// Sends a request, and waits for the whole answer.
pub(super) fn exchange(stream: &mut dyn Stream, asked: &Asked<'_>) -> io::Result<Answer> {
    let invalid = |error: &dyn std::fmt::Display| io::Error::new(ErrorKind::InvalidData, error.to_string());
    let codec = Responses::new().max_body(LARGEST_BYTES);
    let mut request = Vec::new();
    let Asked { method, path, fields, body } = *asked;
    let whole = WholeRequest { method, target: path, host: "gannet", fields, body };
    codec.encode(whole, &mut request).map_err(|error| invalid(&error))?;
    // A server that takes no more clients has answered and closed before it has read anything.
    let written = stream.write_all(&request);
    let (mut received, mut state) = (Vec::new(), Default::default());
    loop {
        let from = received.len();
        received.resize(from + PIECE_BYTES, 0);
        let count = stream.read(&mut received[from..]).or_else(|error| written_or(&written, error))?;
        received.truncate(from + count);
        if let Decoded::Message { message, .. } =
            codec.decode(&mut state, &mut received).map_err(|error| invalid(&error))?
        {
            let is_ours = message.header(SIGNATURE).is_some();
            return Ok(Answer { status: message.status, is_ours, body: message.body.to_vec() });
        }
        if count == 0 && !received.is_empty() && !received.starts_with(b"HTTP/") {
            return Err(invalid(&"its answer is not one of HTTP"));
        }
        if count == 0 {
            return written_or(&written, ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The first of two errors: that of writing, if it was one.
fn written_or<T>(written: &io::Result<()>, error: io::Error) -> io::Result<T> {
    Err(match written {
        Ok(()) => error,
        Err(first) => first.kind().into(),
    })
}

/// An answer that comes line by line.
pub(super) struct Lines {
    stream: BufReader<Box<dyn Stream>>,
    line: String,
    pub(super) status: u16,
    /// It is from an admin socket of ours.
    pub(super) is_ours: bool,
}

impl Lines {
    /// Sends a request, and reads the head of the answer.
    pub(super) fn ask(stream: Box<dyn Stream>, request: &[u8]) -> io::Result<Self> {
        let mut lines = Self { stream: BufReader::new(stream), line: String::new(), status: 0, is_ours: false };
        let written = lines.stream.get_mut().write_all(request);
        if lines.read().or_else(|error| written_or(&written, error))? == 0 {
            return written_or(&written, ErrorKind::UnexpectedEof.into());
        }
        lines.status = lines.line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        for _ in 0..MOST_FIELDS {
            if lines.line.trim_end().is_empty() {
                return Ok(lines);
            }
            lines.read()?;
            let name = lines.line.split(':').next().unwrap_or_default();
            lines.is_ours |= name.eq_ignore_ascii_case(SIGNATURE);
        }
        Err(io::Error::other("its answer has too many header fields"))
    }

    /// The next line, without its end; nothing at the end of the answer.
    pub(super) fn next(&mut self) -> io::Result<Option<&str>> {
        Ok(if self.read()? == 0 { None } else { Some(self.line.trim_end()) })
    }

    /// Everything that is left.
    pub(super) fn rest(self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.take(LARGEST_BYTES as u64).read_to_end(&mut rest)?;
        Ok(rest)
    }

    /// Replaces the line by the next one, which is empty at the end. One that is longer than any of ours is an error.
    fn read(&mut self) -> io::Result<usize> {
        self.line.clear();
        let count = (&mut self.stream).take(LONGEST_LINE_BYTES).read_line(&mut self.line)?;
        if count as u64 == LONGEST_LINE_BYTES {
            return Err(io::Error::other("its answer has a line that is too long"));
        }
        Ok(count)
    }
}
