//! The frames of one WebSocket, as far as gateways send them: whole texts, never in fragments.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use crate::client::taped::wrong;
use crate::socket;

/// Bytes of frames that are not whole.
#[derive(Default)]
pub struct Frames {
    /// Bytes that are not read yet. Empty between frames, and without memory of its own then.
    rest: Vec<u8>,
}

/// A text with a mask of zeros, which servers take off as any other.
pub fn masked(text: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(text.len() + 14);
    frame.push(0x81);
    match text.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..65_536 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(text);
    frame
}

impl Frames {
    /// Waits for the answer to the handshake.
    pub fn upgraded(&mut self, fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<()> {
        while !self.is_upgraded()? {
            self.receive(fd, buffer)?;
        }
        Ok(())
    }

    /// Takes the answer to the handshake out of what has come, if it is whole.
    pub fn is_upgraded(&mut self) -> io::Result<bool> {
        let Some(end) = memchr::memmem::find(&self.rest, b"\r\n\r\n") else { return Ok(false) };
        let is_upgraded = self.rest.starts_with(b"HTTP/1.1 101 ");
        let head: Vec<u8> = self.rest.drain(..end + 4).collect();
        if is_upgraded { Ok(true) } else { Err(wrong(&head)) }
    }

    /// Takes bytes that were read elsewhere.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
    }

    /// Waits until something has come.
    pub fn receive(&mut self, fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<()> {
        loop {
            super::super::wait_for(fd, libc::POLLIN)?;
            if self.receive_some(fd, buffer)? {
                return Ok(());
            }
        }
    }

    /// Reads once; returns whether something had come.
    pub fn receive_some(&mut self, fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<bool> {
        match socket::receive(fd.as_raw_fd(), buffer)? {
            Some(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            Some(received) => {
                self.rest.extend_from_slice(&buffer[..received]);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Calls `with` for the payload of each frame that is whole.
    pub fn each(&mut self, mut with: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let mut at = 0;
        while let Some((begin, end)) = frame(&self.rest[at..])? {
            with(&self.rest[at + begin..at + end])?;
            at += end;
        }
        self.rest.drain(..at);
        if self.rest.is_empty() {
            self.rest = Vec::new();
        }
        Ok(())
    }
}

/// Returns the range of the first frame's payload, if that frame is whole.
fn frame(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if *first != 0x81 || second & 0x80 != 0 {
        return Err(wrong(bytes));
    }
    let (begin, len) = match (second, rest) {
        (126, [a, b, ..]) => (4, u64::from(u16::from_be_bytes([*a, *b]))),
        (127, [a, b, c, d, e, f, g, h, ..]) => (10, u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h])),
        (126 | 127, _) => return Ok(None),
        (len, _) => (2, u64::from(*len)),
    };
    let end = begin as u64 + len;
    Ok((bytes.len() as u64 >= end).then_some((begin, end as usize)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_when_they_are_whole() {
        let mut stream = Vec::new();
        let texts = [vec![b'a'; 3], vec![b'b'; 125], vec![b'c'; 126], vec![b'd'; 70_000]];
        for text in &texts {
            let mut frame = masked(text);
            // As a server sends it: no mask.
            frame[1] &= 0x7f;
            let begin = frame.len() - text.len() - 4;
            frame.drain(begin..begin + 4);
            stream.extend_from_slice(&frame);
        }
        for piece in [1, 7, 1_000, stream.len()] {
            let (mut frames, mut seen) = (Frames::default(), Vec::new());
            for part in stream.chunks(piece) {
                frames.rest.extend_from_slice(part);
                let each = frames.each(|frame| {
                    seen.push(frame.to_vec());
                    Ok(())
                });
                each.expect("they are right");
            }
            assert!(seen == texts && frames.rest.is_empty(), "in pieces of {piece}");
        }
        let mut frames = Frames { rest: vec![0x88, 2, 0x0d, 0xac] };
        assert!(frames.each(|_| Ok(())).is_err(), "the server closes");
    }
}
