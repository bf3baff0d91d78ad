//! Clients of a gateway: each subscribes to channels over WebSocket, in JSON, and checks the number of every publication in
//! each of them.

mod frames;
mod over_tls;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use gannet_load::scenario::push::Secret;

use self::frames::{Frames, masked};
pub use self::over_tls::OverTls;
use super::taped::wrong;
use crate::epoll::{Epoll, READ};
use crate::push::TOKEN_SECRET;
use crate::socket;

/// How many clients connect at once: fewer than any backlog.
const AT_ONCE: usize = 256;

/// Text before the number of a publication, which has eight digits.
const NUMBER: &[u8] = br#""number":""#;
const DIGITS: usize = 8;

/// Text before the offset of a publication and of a subscription.
const OFFSET: &[u8] = br#""offset":"#;

/// Bytes of a publication's data.
pub const DATA_BYTES: usize = 100;

/// One client.
struct Client {
    fd: OwnedFd,
    frames: Frames,
    /// Publications that came.
    received: u64,
    /// The offset of the last, where it has one channel with history.
    offset: u64,
}

/// Subscribers, and the channels that they are subscribed to.
pub struct Audience {
    port: u16,
    epoll: Epoll,
    secret: Secret,
    clients: Vec<Client>,
    /// The channels of a client, by its number.
    channels: Box<dyn Fn(usize) -> Vec<String>>,
    /// The epoch of a channel, where clients recover.
    epochs: HashMap<String, String>,
    publisher: Publisher,
    /// Publications that all clients together have received.
    received: u64,
    /// Bytes of a publication's data.
    data_bytes: usize,
    buffer: Vec<u8>,
}

/// The connection that publishes.
struct Publisher {
    fd: OwnedFd,
    frames: Frames,
    published: u64,
    answered: u64,
}

impl Audience {
    /// Connects a publisher; there are no subscribers yet.
    pub fn new(port: u16, channels: impl Fn(usize) -> Vec<String> + 'static) -> io::Result<Self> {
        let secret = Secret::new(TOKEN_SECRET.as_bytes());
        let mut buffer = vec![0; 64 * 1024];
        let mut opened = connect(port, &secret, 0..1, ("publisher", socket::connect), &mut buffer)?;
        let Some((fd, frames)) = opened.pop() else { return Err(io::ErrorKind::NotConnected.into()) };
        let publisher = Publisher { fd, frames, published: 0, answered: 0 };
        let epoll = Epoll::new()?;
        epoll.add(publisher.fd.as_raw_fd(), READ, u64::MAX)?;
        let (clients, epochs) = (Vec::new(), HashMap::new());
        let channels = Box::new(channels);
        Ok(Self {
            port,
            epoll,
            secret,
            clients,
            channels,
            epochs,
            publisher,
            received: 0,
            data_bytes: DATA_BYTES,
            buffer,
        })
    }

    /// Sets how many bytes of data each publication has.
    pub fn data_bytes(mut self, bytes: usize) -> Self {
        self.data_bytes = bytes;
        self
    }

    /// Connects and subscribes clients that never read what comes then.
    pub fn silent(&mut self, count: usize) -> io::Result<Vec<OwnedFd>> {
        let mut silent = Vec::with_capacity(count);
        let first = self.clients.len();
        for begin in (first..first + count).step_by(AT_ONCE) {
            let numbers = begin..(first + count).min(begin + AT_ONCE);
            let opened = self.subscribed(numbers, &[], socket::connect_narrow)?;
            silent.extend(opened.into_iter().map(|(fd, ..)| fd));
        }
        Ok(silent)
    }

    /// Connects and subscribes clients until there are `total`.
    pub fn open_until(&mut self, total: usize) -> io::Result<()> {
        while self.clients.len() < total {
            let first = self.clients.len();
            let end = total.min(first + AT_ONCE);
            let opened = self.subscribed(first..end, &[], socket::connect)?;
            for (number, (fd, frames, reply)) in (first..end).zip(opened) {
                self.epoll.add(fd.as_raw_fd(), READ, number as u64)?;
                let channel = (self.channels)(number).swap_remove(0);
                if let Some(epoch) = text_after(&reply, br#""epoch":""#) {
                    self.epochs.entry(channel).or_insert(epoch);
                }
                let offset = number_after(&reply, OFFSET).unwrap_or(0);
                self.clients.push(Client { fd, frames, received: 0, offset });
            }
        }
        Ok(())
    }

    /// Cuts all connections at once, publishes so many to the first channel meanwhile, and has all clients come back and
    /// recover. Returns how long that took from the cut to the last of them.
    pub fn cut(&mut self, publications: u64) -> io::Result<Duration> {
        let total = self.clients.len();
        let before: Vec<(u64, u64)> = self.clients.iter().map(|client| (client.received, client.offset)).collect();
        let started = Instant::now();
        self.clients.clear();
        let channel = (self.channels)(0).swap_remove(0);
        for _ in 0..publications {
            self.publish(&channel)?;
        }
        while self.publisher.answered < self.publisher.published {
            super::wait_for(&self.publisher.fd, libc::POLLIN)?;
            self.answers()?;
        }
        let (offsets, clients): (Vec<u64>, &mut Vec<Client>) =
            (before.iter().map(|(_, offset)| *offset).collect(), &mut Vec::new());
        while clients.len() < total {
            let first = clients.len();
            let end = total.min(first + AT_ONCE);
            for (number, (fd, frames, reply)) in
                (first..end).zip(self.subscribed(first..end, &offsets, socket::connect)?)
            {
                let came = count(&reply, NUMBER);
                if !contains(&reply, br#""recovered":true"#) || came != publications {
                    return Err(wrong(&reply));
                }
                let (received, offset) = before[number];
                clients.push(Client { fd, frames, received: received + came, offset: offset + came });
            }
        }
        let took = started.elapsed();
        for (number, client) in clients.iter().enumerate() {
            self.epoll.add(client.fd.as_raw_fd(), READ, number as u64)?;
        }
        self.clients = std::mem::take(clients);
        self.received += total as u64 * publications;
        Ok(took)
    }

    /// Connects and subscribes clients; those with an offset recover from it. Returns the reply to each one's subscriptions.
    fn subscribed(
        &mut self,
        numbers: std::ops::Range<usize>,
        offsets: &[u64],
        open: fn(u16) -> io::Result<OwnedFd>,
    ) -> io::Result<Vec<(OwnedFd, Frames, Vec<u8>)>> {
        let opened = connect(self.port, &self.secret, numbers.clone(), ("client", open), &mut self.buffer)?;
        let channels: Vec<_> = numbers.clone().map(|number| (self.channels)(number)).collect();
        for (number, ((fd, _), channels)) in numbers.zip(opened.iter().zip(&channels)) {
            let recover = |channel: &String| match (offsets.get(number), self.epochs.get(channel)) {
                (Some(offset), Some(epoch)) => format!(r#","recover":true,"offset":{offset},"epoch":"{epoch}""#),
                _ => String::new(),
            };
            let commands = channels.iter().enumerate().map(|(index, channel)| {
                format!(r#"{{"id":{},"subscribe":{{"channel":"{channel}"{}}}}}"#, index + 2, recover(channel))
            });
            send(fd, &masked(commands.collect::<Vec<_>>().join("\n").as_bytes()))?;
        }
        let mut replied = Vec::with_capacity(opened.len());
        for ((fd, mut frames), channels) in opened.into_iter().zip(channels) {
            let mut replies = Vec::new();
            while count(&replies, br#""subscribe":"#) < channels.len() as u64 {
                frames.receive(&fd, &mut self.buffer)?;
                frames.each(|frame| {
                    replies.extend_from_slice(frame);
                    Ok(())
                })?;
                if contains(&replies, br#""error":"#) {
                    return Err(wrong(&replies));
                }
            }
            replied.push((fd, frames, replies));
        }
        Ok(replied)
    }

    /// Publishes once to the first channel; returns how long it took until the last client had it.
    pub fn publish_to_all(&mut self) -> io::Result<Duration> {
        let channel = (self.channels)(0).swap_remove(0);
        let started = Instant::now();
        self.publish(&channel)?;
        let until = self.received + self.clients.len() as u64;
        while self.received < until {
            self.step(super::PATIENCE)?;
        }
        Ok(started.elapsed())
    }

    /// Publishes to a channel without waiting.
    pub fn publish(&mut self, channel: &str) -> io::Result<()> {
        let Publisher { fd, published, .. } = &mut self.publisher;
        let begin = format!(r#"{{"number":"{:0DIGITS$}","filling":""#, *published % 10_u64.pow(DIGITS as u32));
        let filling = "x".repeat(self.data_bytes.saturating_sub(begin.len() + 2));
        let id = *published % 1_000_000 + 2;
        let command = format!(r#"{{"id":{id},"publish":{{"channel":"{channel}","data":{begin}{filling}"}}}}}}"#);
        send(fd, &masked(command.as_bytes()))?;
        *published += 1;
        Ok(())
    }

    /// Publications, and those that the server has answered.
    pub fn published(&self) -> (u64, u64) {
        (self.publisher.published, self.publisher.answered)
    }

    /// Publications that all clients together have received.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Receives what comes within this time.
    pub fn step(&mut self, time: Duration) -> io::Result<usize> {
        let ms = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        let events = self.epoll.wait(ms)?;
        if events == 0 && ms >= super::PATIENCE_MS {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing came from the server"));
        }
        for event in 0..events {
            match self.epoll.event(event) {
                (_, u64::MAX) => self.answers()?,
                (_, index) => self.delivered(index as usize)?,
            }
        }
        Ok(events)
    }

    fn answers(&mut self) -> io::Result<()> {
        let Publisher { fd, frames, answered, .. } = &mut self.publisher;
        while frames.receive_some(fd, &mut self.buffer)? {
            frames.each(|frame| {
                if contains(frame, br#""error":"#) {
                    return Err(wrong(frame));
                }
                *answered += count(frame, br#""publish":"#);
                if has_ping(frame) {
                    send(fd, &masked(b"{}"))?;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn delivered(&mut self, index: usize) -> io::Result<()> {
        let has_one = self.epochs.len() == 1;
        let Client { fd, frames, received, offset } = &mut self.clients[index];
        let before = *received;
        while frames.receive_some(fd, &mut self.buffer)? {
            frames.each(|mut frame| {
                if has_ping(frame) {
                    send(fd, &masked(b"{}"))?;
                }
                let whole = frame;
                while let Some(at) = position(frame, NUMBER) {
                    frame = &frame[at + NUMBER.len()..];
                    *received += 1;
                    // One channel of all has offsets in a row.
                    if has_one {
                        if number_after(frame, OFFSET) != Some(*offset + 1) {
                            return Err(wrong(whole));
                        }
                        *offset += 1;
                    }
                }
                Ok(())
            })?;
            if self.buffer.is_empty() {
                break;
            }
        }
        self.received += *received - before;
        Ok(())
    }
}

/// Connects, upgrades and begins a session for each of these numbers, with a token each.
fn connect(
    port: u16,
    secret: &Secret,
    numbers: std::ops::Range<usize>,
    (name, open): (&str, fn(u16) -> io::Result<OwnedFd>),
    buffer: &mut [u8],
) -> io::Result<Vec<(OwnedFd, Frames)>> {
    let request = upgrade(port);
    let mut opened = Vec::with_capacity(numbers.len());
    for _ in numbers.clone() {
        let fd = open(port)?;
        send(&fd, request.as_bytes())?;
        opened.push((fd, Frames::default()));
    }
    for ((fd, frames), number) in opened.iter_mut().zip(numbers) {
        frames.upgraded(fd, buffer)?;
        send(fd, &masked(connect_command(secret, name, number).as_bytes()))?;
    }
    for (fd, frames) in &mut opened {
        let mut is_connected = false;
        while !is_connected {
            frames.receive(fd, buffer)?;
            frames.each(|frame| {
                is_connected = contains(frame, br#""connect":"#);
                if is_connected { Ok(()) } else { Err(wrong(frame)) }
            })?;
        }
    }
    Ok(opened)
}

/// The request for a WebSocket.
fn upgrade(port: u16) -> String {
    format!(
        "GET /connection/websocket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// The first command of a client, with its token.
fn connect_command(secret: &Secret, name: &str, number: usize) -> String {
    let token = secret.token(&format!("{name}-{number}"));
    format!(r#"{{"id":1,"connect":{{"token":"{token}"}}}}"#)
}

/// Sends all of it, or fails: what is sent here is less than a socket takes.
fn send(fd: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    match socket::send(fd.as_raw_fd(), bytes)? {
        Some(sent) if sent == bytes.len() => Ok(()),
        _ => Err(io::Error::from(io::ErrorKind::WriteZero)),
    }
}

/// Whether one of the frame's lines is a ping: Centrifugo joins it with what waits for the same client.
fn has_ping(frame: &[u8]) -> bool {
    let frame = frame.trim_ascii();
    frame == b"{}" || frame.starts_with(b"{}\n") || frame.ends_with(b"\n{}") || contains(frame, b"\n{}\n")
}

fn position(bytes: &[u8], of: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, of)
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    position(bytes, part).is_some()
}

fn count(bytes: &[u8], part: &[u8]) -> u64 {
    memchr::memmem::find_iter(bytes, part).count() as u64
}

/// The digits that follow a part.
fn number_after(bytes: &[u8], part: &[u8]) -> Option<u64> {
    let rest = &bytes[position(bytes, part)? + part.len()..];
    let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&rest[..digits]).ok()?.parse().ok()
}

/// Returns the text behind a part, up to a quotation mark.
fn text_after(bytes: &[u8], part: &[u8]) -> Option<String> {
    let rest = &bytes[position(bytes, part)? + part.len()..];
    let end = rest.iter().position(|byte| *byte == b'"')?;
    String::from_utf8(rest[..end].to_vec()).ok()
}

/// Reads the rest of a connection up to its end; gives the code of the close frame, if one was the last.
pub fn rest(fd: &OwnedFd, buffer: &mut [u8]) -> io::Result<Option<u16>> {
    let mut tail = Vec::new();
    loop {
        super::wait_for(fd, libc::POLLIN)?;
        match socket::receive(fd.as_raw_fd(), buffer) {
            Ok(None) => {}
            Ok(Some(0)) => break,
            Ok(Some(count)) => {
                tail.extend_from_slice(&buffer[..count]);
                tail.drain(..tail.len().saturating_sub(LONGEST_CLOSE));
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(close_code(&tail))
}

/// Bytes of the longest close frame.
const LONGEST_CLOSE: usize = 127;

/// The code of a close frame that bytes end with.
fn close_code(tail: &[u8]) -> Option<u16> {
    (0..tail.len().saturating_sub(3)).find_map(|at| match tail[at..] {
        [0x88, len, high, low, ..] if at + 2 + usize::from(len) == tail.len() => Some(u16::from_be_bytes([high, low])),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ping_is_found_among_publications() {
        for with in [&b"{}"[..], b"{}\n", b"{}\n{\"push\":1}", b"{\"push\":1}\n{}", b"{\"push\":1}\n{}\n{\"push\":2}\n"]
        {
            assert!(has_ping(with), "{}", with.escape_ascii());
        }
        for without in [&b""[..], b"{\"data\":{}}", b"{\"push\":{}}\n{\"data\":{}}"] {
            assert!(!has_ping(without), "{}", without.escape_ascii());
        }
    }

    #[test]
    fn a_close_frame_is_known_by_its_length() {
        assert_eq!(close_code(b"any\x88\x06\x0b\xc0slow"), Some(3_008));
        assert_eq!(close_code(b"\x88\x02\x0b\xb9"), Some(3_001));
        for none in [&b""[..], b"\x88\x00", b"\x88\x06\x0b\xc0slo", b"\x81\x02ab"] {
            assert_eq!(close_code(none), None, "{none:?}");
        }
    }
}
