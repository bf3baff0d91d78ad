//! What the two processes of an upgrade say to each other: lines of JSON over a pair of Unix sockets, with descriptors.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

/// What both have to speak. It changes with every change of [`Message`].
pub(super) const PROTOCOL: u32 = 1;

/// Descriptors in one message. The kernel takes 253; few enough fit everywhere.
const DESCRIPTORS: usize = 32;

/// The longest line, in bytes: thousands of listeners fit.
const LONGEST_LINE: usize = 4 << 20;

/// One line, in the order in which they come.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "say")]
pub(super) enum Message {
    /// Old to new: who I am, and what I listen on. The descriptors follow, in the same order.
    Sockets { protocol: u32, version: String, generation: u64, driver: String, sockets: Vec<SocketName> },
    /// New to old: everything is ready but accepting.
    Ready { version: String, driver: String, generation: u64 },
    /// New to old: it does not work. The new process ends.
    Failed { why: String },
    /// Old to new: I accept no more. You may.
    Withdrawn,
    /// New to old: I accept. You may let go.
    Serving,
}

/// What a listening socket is called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SocketName {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) index: usize,
}

/// One end.
pub(super) struct Channel {
    stream: UnixStream,
    received: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
    /// By when the whole upgrade has to be over.
    by: Instant,
}

impl Channel {
    /// An end whose upgrade may take so long.
    pub(super) fn new(stream: UnixStream, longest: Duration) -> io::Result<Self> {
        #[allow(clippy::disallowed_methods)] // Processes are waited for here, not connections.
        let by = Instant::now() + longest;
        stream.set_write_timeout(Some(longest))?;
        Ok(Self { stream, received: Vec::new(), descriptors: VecDeque::new(), by })
    }

    /// Waits for at most so long from now on.
    pub(super) fn hurry(&mut self, longest: Duration) {
        #[allow(clippy::disallowed_methods)] // See `new`.
        let by = Instant::now() + longest;
        self.by = self.by.min(by);
    }

    /// Says something.
    pub(super) fn say(&mut self, message: &Message) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        self.stream.write_all(&line)
    }

    /// Passes descriptors, after the line that names them.
    pub(super) fn pass(&mut self, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        for some in descriptors.chunks(DESCRIPTORS) {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !control.push(SendAncillaryMessage::ScmRights(some)) {
                return Err(io::Error::other("descriptors do not fit into a message"));
            }
            // A blank carries them; JSON ignores it before the next line.
            sendmsg(&self.stream, &[IoSlice::new(b" ")], &mut control, SendFlags::empty())?;
        }
        Ok(())
    }

    /// Waits for what the other says next. `UnexpectedEof` is its end, `TimedOut` ours.
    pub(super) fn hear(&mut self) -> io::Result<Message> {
        loop {
            if let Some(end) = self.received.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=end).collect();
                return serde_json::from_slice(&line).map_err(io::Error::from);
            }
            if self.received.len() > LONGEST_LINE {
                return Err(io::Error::other("a line is too long"));
            }
            self.receive()?;
        }
    }

    /// Waits for so many descriptors.
    pub(super) fn take(&mut self, count: usize) -> io::Result<Vec<OwnedFd>> {
        while self.descriptors.len() < count {
            self.receive()?;
        }
        Ok(self.descriptors.drain(..count).collect())
    }

    fn receive(&mut self) -> io::Result<()> {
        #[allow(clippy::disallowed_methods)] // See `new`.
        let left = self.by.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut bytes = [0; 64 << 10];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut into = [IoSliceMut::new(&mut bytes)];
        #[cfg(target_os = "linux")]
        let flags = RecvFlags::CMSG_CLOEXEC;
        #[cfg(not(target_os = "linux"))]
        let flags = RecvFlags::empty();
        let received = match recvmsg(&self.stream, &mut into, &mut control, flags) {
            Ok(received) => received.bytes,
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(rustix::io::Errno::AGAIN) => return Err(io::ErrorKind::TimedOut.into()),
            Err(error) => return Err(error.into()),
        };
        let mut came = 0;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                let before = self.descriptors.len();
                self.descriptors.extend(descriptors);
                came += self.descriptors.len() - before;
            }
        }
        if received == 0 && came == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.received.extend_from_slice(&bytes[..received]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    fn ends() -> [Channel; 2] {
        let (one, other) = UnixStream::pair().expect("a pair");
        [one, other].map(|stream| Channel::new(stream, LONG).expect("a socket"))
    }

    #[test]
    fn more_descriptors_than_fit_into_a_message_arrive_in_order() {
        let [mut old, mut new] = ends();
        let files: Vec<UnixStream> =
            (0..50).flat_map(|_| <[_; 2]>::from(UnixStream::pair().expect("a pair"))).collect();
        let name = |index| SocketName { name: "a".to_owned(), url: "tcp://127.0.0.1:1".to_owned(), index };
        let said = Message::Sockets {
            protocol: PROTOCOL,
            version: "1".to_owned(),
            generation: 3,
            driver: "poll".to_owned(),
            sockets: (0..files.len()).map(name).collect(),
        };
        old.say(&said).expect("it is open");
        let all: Vec<BorrowedFd<'_>> = files.iter().map(|file| file.as_fd()).collect();
        old.pass(&all).expect("it is open");
        old.say(&Message::Withdrawn).expect("it is open");
        assert_eq!(new.hear().expect("a line"), said);
        let taken = new.take(files.len()).expect("descriptors");
        // Each is the other end of its neighbour.
        for (index, descriptor) in taken.into_iter().enumerate() {
            let mut sent = UnixStream::from(descriptor);
            sent.write_all(&[index as u8]).expect("it is open");
            let mut got = [0];
            io::Read::read_exact(&mut &files[index ^ 1], &mut got).expect("what was sent");
            assert_eq!(got, [index as u8]);
        }
        assert_eq!(new.hear().expect("a line"), Message::Withdrawn);
        drop(old);
        assert_eq!(new.hear().expect_err("the end").kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn who_says_nothing_is_not_waited_for_longer_than_was_said() {
        let (one, _other) = UnixStream::pair().expect("a pair");
        let mut channel = Channel::new(one, Duration::from_millis(20)).expect("a socket");
        assert_eq!(channel.hear().expect_err("nothing comes").kind(), io::ErrorKind::TimedOut);
    }
}
