//! One publisher and many subscribers of one channel.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::commands::bulk;
use super::idle::{Exchange, Idle};
use super::taped::{Done, wrong};
use crate::epoll::{Epoll, READ};
use crate::socket;
use crate::tape::Tape;
use crate::wire::Letters;

/// Different messages before the first comes again.
const MESSAGES: usize = 256;
const CHANNEL: &[u8] = b"channel";

/// The message that is published, and that every subscriber has to receive.
pub struct Messages {
    commands: Tape,
    deliveries: Tape,
}

impl Messages {
    /// Messages of so many bytes.
    pub fn new(size: usize) -> Self {
        let letters = Letters::new();
        let tape = |head: &[u8]| {
            Tape::new(0..MESSAGES, |message, out| {
                out.extend_from_slice(head);
                bulk(CHANNEL, out);
                bulk(letters.value(message, size), out);
            })
        };
        Self { commands: tape(b"*3\r\n$7\r\nPUBLISH\r\n"), deliveries: tape(b"*3\r\n$7\r\nmessage\r\n") }
    }
}

/// Subscribers with their publisher.
pub struct Client<'m> {
    messages: &'m Messages,
    epoll: Epoll,
    /// Each with the bytes it has received.
    subscribers: Vec<(OwnedFd, u64)>,
    publisher: OwnedFd,
    /// The reply to a PUBLISH.
    replies: Tape,
    published: u64,
    replied_bytes: u64,
    delivered_bytes: u64,
    reads: u64,
    outstanding: u64,
    buffer: Vec<u8>,
}

impl<'m> Client<'m> {
    /// Connects and subscribes.
    pub fn connect(port: u16, messages: &'m Messages, subscribers: usize, outstanding: u64) -> io::Result<Self> {
        let (mut command, mut reply) = (b"*2\r\n$9\r\nSUBSCRIBE\r\n".to_vec(), b"*3\r\n$9\r\nsubscribe\r\n".to_vec());
        bulk(CHANNEL, &mut command);
        bulk(CHANNEL, &mut reply);
        reply.extend_from_slice(b":1\r\n");
        let mut subscribed =
            Idle::new(port, vec![Exchange { requests: Tape::of(&command), replies: Tape::of(&reply) }]);
        subscribed.open_until(subscribers)?;
        let (epoll, publisher) = (Epoll::new()?, socket::connect(port)?);
        epoll.add(publisher.as_raw_fd(), READ, u64::MAX)?;
        let each = |(index, fd): (usize, OwnedFd)| {
            epoll.add(fd.as_raw_fd(), READ, index as u64)?;
            Ok((fd, 0))
        };
        let subscribed = subscribed.take().into_iter().enumerate().map(each).collect::<io::Result<_>>()?;
        Ok(Self {
            messages,
            epoll,
            subscribers: subscribed,
            publisher,
            replies: Tape::of(format!(":{subscribers}\r\n").as_bytes()),
            published: 0,
            replied_bytes: 0,
            delivered_bytes: 0,
            reads: 0,
            outstanding,
            buffer: vec![0; 64 * 1024],
        })
    }

    /// Publishes for so long; returns all that was delivered so far.
    pub fn run_for(&mut self, time: Duration) -> io::Result<Done> {
        let end = Instant::now() + time;
        self.publish()?;
        while Instant::now() < end {
            for event in 0..super::wait(&mut self.epoll)? {
                match self.epoll.event(event) {
                    (_, u64::MAX) => self.replied()?,
                    (_, index) => self.delivered(index as usize)?,
                }
            }
            self.publish()?;
        }
        Ok(Done { operations: self.delivered_bytes / self.messages.deliveries.piece(), reads: self.reads })
    }

    /// Publishes as long as fewer messages are under way than may be.
    fn publish(&mut self) -> io::Result<()> {
        let everywhere = self.messages.deliveries.piece() * self.subscribers.len() as u64;
        while self.published < self.delivered_bytes / everywhere + self.outstanding {
            let command = self.messages.commands.piece();
            let command = self.messages.commands.at(self.published * command, command);
            if socket::send(self.publisher.as_raw_fd(), command)? != Some(command.len()) {
                return Err(io::Error::from(io::ErrorKind::WriteZero));
            }
            self.published += 1;
        }
        Ok(())
    }

    fn replied(&mut self) -> io::Result<()> {
        while let Some(received) = receive(&self.publisher, &mut self.buffer)? {
            if !self.replies.has(self.replied_bytes, received) {
                return Err(wrong(received));
            }
            self.replied_bytes += received.len() as u64;
        }
        Ok(())
    }

    fn delivered(&mut self, index: usize) -> io::Result<()> {
        let (fd, position) = &mut self.subscribers[index];
        let Some(received) = receive(fd, &mut self.buffer)? else { return Ok(()) };
        let Messages { deliveries, .. } = self.messages;
        let count = received.len() as u64;
        if *position + count > self.published * deliveries.piece() || !deliveries.has(*position, received) {
            return Err(wrong(received));
        }
        *position += count;
        self.delivered_bytes += count;
        self.reads += 1;
        Ok(())
    }
}

/// Reads what has come. A read is never full: less is under way than the buffer holds.
fn receive<'b>(fd: &OwnedFd, buffer: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
    match socket::receive(fd.as_raw_fd(), buffer)? {
        Some(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
        Some(count) => Ok(Some(&buffer[..count])),
        None => Ok(None),
    }
}
