//! A proxy between two streams: what it reads from one connection it sends to another, and neither end is kept waiting
//! for good.

use std::io;

use super::on_every_driver;
use super::rig::{Ending, Rig, Setup};
use super::{Client, Net};
use crate::driver::sim::Answer;
use crate::proto::Raw;
use crate::{
    Address, CloseMode, CloseReason, Connect, Context, HalfClose, Handle, Notice, Outbound, Refused, SendError,
    SendStatus, Service,
};

/// The side of a proxy that accepts, and the one that connects. The session is the connection on the other side.
struct Front {
    back: Outbound<Back>,
    to: Address,
}

struct Back;

type Other = Option<Handle>;

/// Hands on what was read, and pauses where the other side has enough.
fn pass_on<S: Service<Codec = Raw>>(other: Other, bytes: &[u8], cx: &mut Context<'_, S>) {
    match other.map(|other| cx.send_to(other, &[bytes])) {
        Some(Ok(SendStatus::Queued)) => {}
        Some(Ok(_)) => cx.pause(),
        _ => cx.close(),
    }
}

/// Ends the stream to the other side as this side has ended its own; what the other side still sends goes on coming here.
fn hand_end_on<S: Service>(other: Other, cx: &mut Context<'_, S>) -> HalfClose {
    match other.map(|other| cx.shutdown_write_other(other)) {
        Some(Ok(())) => HalfClose::KeepOpen,
        _ => HalfClose::Close,
    }
}

impl Service for Front {
    type Codec = Raw;
    type Session = Other;

    const AUTO_PAUSE: bool = false;

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<Other, Refused> {
        cx.pause();
        let front = Some(cx.handle());
        cx.connect(self.back, &Connect::to(self.to.clone()), front).map_err(|_| Refused)?;
        Ok(None)
    }

    fn message(&mut self, other: &mut Other, bytes: &[u8], cx: &mut Context<'_, Self>) {
        pass_on(*other, bytes, cx);
    }

    fn writable(&mut self, other: &mut Other, cx: &mut Context<'_, Self>) {
        // It may be gone, and then this one closes too.
        let _ = other.map(|other| cx.resume_other(other));
    }

    fn half_closed(&mut self, other: &mut Other, cx: &mut Context<'_, Self>) -> HalfClose {
        hand_end_on(*other, cx)
    }

    fn close(&mut self, other: Other, _: CloseReason, cx: &mut Context<'_, Self>) {
        let _ = other.map(|other| cx.close_other(other, CloseMode::Flushed));
    }
}

impl Notice<Handle> for Front {
    fn notice(&mut self, other: &mut Other, back: Handle, cx: &mut Context<'_, Self>) {
        *other = Some(back);
        cx.resume();
    }
}

impl Service for Back {
    type Codec = Raw;
    type Session = Other;

    const AUTO_PAUSE: bool = false;

    fn connected(&mut self, other: &mut Other, cx: &mut Context<'_, Self>) {
        let front = other.expect("it was given");
        if cx.notify_other::<Front, _>(front, cx.handle()).is_err() {
            cx.close();
        }
    }

    fn message(&mut self, other: &mut Other, bytes: &[u8], cx: &mut Context<'_, Self>) {
        pass_on(*other, bytes, cx);
    }

    fn writable(&mut self, other: &mut Other, cx: &mut Context<'_, Self>) {
        let _ = other.map(|other| cx.resume_other(other));
    }

    fn half_closed(&mut self, other: &mut Other, cx: &mut Context<'_, Self>) -> HalfClose {
        hand_end_on(*other, cx)
    }

    fn close(&mut self, other: Other, _: CloseReason, cx: &mut Context<'_, Self>) {
        let _ = other.map(|other| cx.close_other(other, CloseMode::Flushed));
    }
}

/// Bytes that are written or read at a time.
const PIECE: usize = 256 << 10;

/// What goes each way where the drivers are real, in bytes.
const LARGE: usize = 64 << 20;

/// After so many bytes a stream repeats itself.
const PERIOD: usize = 251;

/// One end of the proxy: a stream of bytes each way, as far as it has come.
struct End<C> {
    client: C,
    written: usize,
    read: usize,
    /// What comes in a stream, from any place of its period on.
    pattern: Vec<u8>,
}

impl<C: Client> End<C> {
    fn new(client: C) -> Self {
        let pattern = (0..PIECE + PERIOD).map(|at| (at % PERIOD) as u8).collect();
        Self { client, written: 0, read: 0, pattern }
    }

    /// Writes up to this place of the stream; says whether anything was taken.
    fn write_to(&mut self, end: usize) -> bool {
        let before = self.written;
        while self.written < end {
            let piece = &self.pattern[self.written % PERIOD..][..PIECE.min(end - self.written)];
            match self.client.write(piece) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => panic!("broken off after {} bytes were written: {error}", self.written),
            }
        }
        self.written > before
    }

    /// Reads what is there, and looks at it.
    fn read_all(&mut self) {
        let mut buffer = vec![0; PIECE];
        loop {
            match self.client.read(&mut buffer) {
                Ok(0) => panic!("the stream ended after {} bytes", self.read),
                Ok(count) => {
                    let sent = &self.pattern[self.read % PERIOD..][..count];
                    assert!(buffer[..count] == *sent, "wrong bytes from {} on", self.read);
                    self.read += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => panic!("broken off after {} bytes were read: {error}", self.read),
            }
        }
    }
}

fn a_proxy_does_not_stop_where_its_upstream_writes_before_it_reads<N: Net>(mut net: N) {
    let remote = net.remote(Answer::Accept);
    let mut setup = Setup::new().limits(|limits| limits.outbox_high = 64 << 10);
    let back = setup.outbound(Back);
    let mut rig: Rig<N> = setup.listen(Front { back, to: Address::Tcp(remote) }).on(net);
    let mut client = End::new(rig.net.connect_from(1, std::net::Ipv4Addr::LOCALHOST.into()));
    let upstream = rig.until("the proxy to connect", |rig| rig.net.accept(remote));
    let mut upstream = End::new(upstream.0);
    // The client writes until everything between is full: how much that is depends on the kernel.
    let mut stuck = 0;
    rig.until("all between to be full", |_| {
        stuck = if client.write_to(client.written + (64 << 10)) { 0 } else { stuck + 1 };
        (stuck > 100).then_some(())
    });
    // More than fits between goes the other way before the upstream reads anything; a kernel's buffers also grow.
    let total = if client.written < 1 << 20 { 3 * client.written } else { LARGE };
    rig.until("the client to get what the upstream writes", |_| {
        upstream.write_to(total);
        client.read_all();
        (client.read == total).then_some(())
    });
    rig.until("the upstream to get what the client writes", |_| {
        client.write_to(total);
        upstream.read_all();
        (upstream.read == total).then_some(())
    });
    drop(client);
    rig.until("the end of the other side", |_| match upstream.client.read(&mut [0]) {
        Ok(0) => Some(()),
        Ok(_) => panic!("more came than was sent"),
        Err(error) => (error.kind() != io::ErrorKind::WouldBlock).then_some(()),
    });
    drop(upstream);
    rig.finish();
}

fn a_proxy_hands_the_end_of_a_stream_on_and_the_replies_back<N: Net>(mut net: N) {
    let remote = net.remote(Answer::Accept);
    let mut setup = Setup::new();
    let back = setup.outbound(Back);
    let mut rig: Rig<N> = setup.listen(Front { back, to: Address::Tcp(remote) }).on(net);
    for client_ends_first in [true, false] {
        let client = rig.net.connect_from(1, std::net::Ipv4Addr::LOCALHOST.into());
        let upstream = rig.until("the proxy to connect", |rig| rig.net.accept(remote)).0;
        let (mut first, mut second) = if client_ends_first { (client, upstream) } else { (upstream, client) };
        rig.write(&mut first, b"all that there is to ask");
        first.shutdown();
        assert_eq!(rig.read_to_end(&mut second), (b"all that there is to ask".to_vec(), Ending::Finished));
        // The other direction lives on, for as long as its sender wants.
        for reply in [b"one", b"two"] {
            rig.write(&mut second, reply);
            assert_eq!(rig.read(&mut first, 3), reply);
        }
        rig.write(&mut second, b"three");
        second.shutdown();
        assert_eq!(rig.read_to_end(&mut first), (b"three".to_vec(), Ending::Finished));
        // Both directions have ended, so nobody has to close anything.
        rig.until("both sides to be gone", |rig| {
            (rig.stats(0).connections + rig.stats(1).connections == 0).then_some(())
        });
        drop((first, second));
    }
    let rig = rig.finish();
    assert_eq!((rig.stats(0).closed(CloseReason::Peer), rig.stats(1).closed(CloseReason::Peer)), (2, 2));
}

/// Sends to the first connection as much as a line says, says how that went, and pauses or resumes it.
struct Sender {
    opened: Vec<Handle>,
}

impl Service for Sender {
    type Codec = crate::proto::Lines;
    type Session = ();

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<(), Refused> {
        self.opened.push(cx.handle());
        Ok(())
    }

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        let line = std::str::from_utf8(line).expect("lines here are text").to_owned();
        let first = self.opened[0];
        let said = match line.split_once(' ') {
            Some(("send", sizes)) => {
                let sent = sizes.split(' ').map(|size| {
                    let size = size.parse::<usize>().expect("a number");
                    cx.send_to(first, &[&vec![b'x'; size][..]])
                });
                format!("{:?}", sent.collect::<Result<Vec<SendStatus>, SendError>>())
            }
            _ if line == "end" || line == "close" => {
                let sent = cx.send_to(first, &[b"in time"]);
                let ended = match &*line {
                    "end" => cx.shutdown_write_other(first),
                    _ => cx.close_other(first, CloseMode::Flushed),
                };
                format!("{sent:?} {ended:?} {:?}", cx.send_to(first, &[b"too late"]))
            }
            _ if line == "pause" => format!("{:?}", cx.pause_other(first)),
            _ if line == "resume" => format!("{:?}", cx.resume_other(first)),
            _ => line,
        };
        cx.send(&[said.as_bytes()]);
    }

    fn writable(&mut self, (): &mut (), cx: &mut Context<'_, Self>) {
        cx.send(&[b"writable"]);
    }
}

fn who_sends_to_another_connection_hears_how_full_it_is<N: Net>(net: N) {
    let limits = |limits: &mut crate::Limits| (limits.outbox_high, limits.outbox_hard) = (4_096, 16_384);
    let mut rig = Setup::new().limits(limits).listen(Sender { opened: Vec::new() }).on(net);
    let mut first = rig.connect();
    assert_eq!(rig.ask(&mut first, "here"), "here");
    let mut second = rig.connect();
    // Each is under the mark; what waits for the end of the callback counts.
    let said = rig.ask(&mut second, "send 1000 3000 3000");
    assert_eq!(said, "Ok([Queued, Queued, OverHigh])");
    let came = rig.read(&mut first, 1_001 + 3_001 + 3_001);
    assert!(came.iter().filter(|byte| **byte == b'x').count() == 7_000);
    // However quickly it left, it is said that there is room again.
    assert_eq!(rig.line(&mut first), "writable");
    let said = rig.ask(&mut second, "send 100");
    assert_eq!(said, "Ok([Queued])");
    rig.read(&mut first, 101);
    drop((first, second));
    rig.finish();
}

fn a_service_pauses_and_resumes_another_connection<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Sender { opened: Vec::new() }).on(net);
    let mut first = rig.connect();
    assert_eq!(rig.ask(&mut first, "here"), "here");
    let mut second = rig.connect();
    assert_eq!(rig.ask(&mut second, "pause"), "Ok(())");
    rig.write(&mut first, b"waits\n");
    for _ in 0..20 {
        assert_eq!(rig.ask(&mut second, "goes on"), "goes on");
    }
    assert_eq!(rig.read_now(&mut first), 0);
    assert_eq!(rig.ask(&mut second, "resume"), "Ok(())");
    assert_eq!(rig.line(&mut first), "waits");
    drop(first);
    // The other one is gone by the time it is closed, at the latest.
    rig.until("the handle to be stale", |rig| (rig.stats(0).connections == 1).then_some(()));
    assert_eq!(rig.ask(&mut second, "pause"), "Err(Gone)");
    drop(second);
    rig.finish();
}

/// Orders the end of another connection, and sends to it in the same callback.
fn ends_and_sends<N: Net>(net: N, order: &str) {
    let mut rig = Setup::new().listen(Sender { opened: Vec::new() }).on(net);
    let mut first = rig.connect();
    assert_eq!(rig.ask(&mut first, "here"), "here");
    let mut second = rig.connect();
    assert_eq!(rig.ask(&mut second, order), "Ok(Queued) Ok(()) Err(Gone)");
    assert_eq!(rig.read_to_end(&mut first), (b"in time\n".to_vec(), Ending::Finished));
    drop((first, second));
    rig.finish();
}

fn what_is_sent_after_a_shutdown_was_ordered_is_refused<N: Net>(net: N) {
    ends_and_sends(net, "end");
}

fn what_is_sent_after_a_close_was_ordered_is_refused<N: Net>(net: N) {
    ends_and_sends(net, "close");
}

on_every_driver!(
    a_proxy_does_not_stop_where_its_upstream_writes_before_it_reads,
    a_proxy_hands_the_end_of_a_stream_on_and_the_replies_back,
    who_sends_to_another_connection_hears_how_full_it_is,
    a_service_pauses_and_resumes_another_connection,
    what_is_sent_after_a_shutdown_was_ordered_is_refused,
    what_is_sent_after_a_close_was_ordered_is_refused,
);
