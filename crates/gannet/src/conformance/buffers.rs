//! Receive buffers: what arrives in them is whole wherever one ends, and they come back whatever becomes of a connection.

use super::rig::{Rig, Setup};
use super::script::{Echo, SharedLog, frames, raw};
use super::{Client, Net, on_every_driver};
use crate::driver::Driver;
use crate::driver::sim::Random;
use crate::proto::Codec;

/// A client with what it has to get back.
pub(super) struct Sender<C> {
    pub(super) client: C,
    pub(super) sent: Vec<u8>,
    pub(super) written: usize,
    pub(super) read: usize,
}

impl<C: Client> Sender<C> {
    pub(super) fn new(client: C, sent: Vec<u8>) -> Self {
        Self { client, sent, written: 0, read: 0 }
    }

    pub(super) fn write(&mut self) {
        while self.written < self.sent.len() {
            match self.client.write(&self.sent[self.written..]) {
                Ok(count) => self.written += count,
                Err(_) => return,
            }
        }
    }

    /// Says whether everything has come back.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> bool {
        while let Ok(count) = self.client.read(buffer) {
            assert!(count > 0, "the stream ended after {} of {} bytes", self.read, self.sent.len());
            assert!(
                self.sent[self.read..].starts_with(&buffer[..count]),
                "what came back from byte {} on is not what was sent",
                self.read
            );
            self.read += count;
        }
        self.read == self.sent.len()
    }
}

/// Lets all of them send at once and get back what they sent.
pub(super) fn exchange<N: Net>(rig: &mut Rig<N>, senders: &mut [Sender<N::Client>]) {
    let mut buffer = vec![0; 64 << 10];
    rig.until("everything to come back", |_| {
        senders.iter_mut().for_each(Sender::write);
        let done = senders.iter_mut().filter_map(|sender| sender.read(&mut buffer).then_some(())).count();
        (done == senders.len()).then_some(())
    });
}

/// Frames of any size up to `longest`, one behind the other.
fn some_frames(random: &mut Random, count: usize, longest: usize) -> Vec<u8> {
    let mut sent = Vec::new();
    for _ in 0..count {
        let longest = random.pick(&[10, 500, 5_000, longest]);
        let payload: Vec<u8> = (0..random.below(longest)).map(|_| random.next() as u8).collect();
        frames().encode(&[&payload], &mut sent).expect("small enough");
    }
    sent
}

fn large_and_small_messages_of_many_come_back_whole_wherever_a_buffer_ends<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Echo::new(frames, &SharedLog::default())).on(net);
    let mut random = Random::new(7);
    let mut senders: Vec<_> = Vec::new();
    for _ in 0..12 {
        let sent = some_frames(&mut random, 30, 60_000);
        senders.push(Sender::new(rig.connect(), sent));
    }
    exchange(&mut rig, &mut senders);
    // Small ones only, where large ones were before.
    for sender in &mut senders {
        (sender.sent, sender.written, sender.read) = (some_frames(&mut random, 20, 10), 0, 0);
    }
    exchange(&mut rig, &mut senders);
    drop(senders);
    rig.finish();
}

fn connections_that_find_no_buffer_go_on_when_some_are_back<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Echo::new(raw, &SharedLog::default())).on(net);
    let mut senders: Vec<_> = (0..60)
        .map(|index| Sender::new(rig.connect(), (0..100_000).map(|byte| (byte % 251) as u8 ^ index).collect()))
        .collect();
    rig.until("everybody to be there", |rig| (rig.stats(0).connections == 60).then_some(()));
    // All of it is there before anything is received: more than the buffers hold.
    senders.iter_mut().for_each(Sender::write);
    exchange(&mut rig, &mut senders);
    drop(senders);
    rig.finish();
}

fn buffers_come_back_from_connections_that_end_with_something_unread<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Echo::new(raw, &SharedLog::default())).on(net);
    for round in 0..5 {
        let mut clients: Vec<_> = (0..30).map(|_| rig.connect()).collect();
        for client in &mut clients {
            rig.write(client, b"hello");
            rig.read(client, 5);
        }
        for (index, mut client) in clients.into_iter().enumerate() {
            while client.write(&[7; 30_000]).is_ok() {}
            if index % 3 == 0 {
                rig.turn();
            }
            if index % 2 == round % 2 { client.reset() } else { drop(client) }
        }
        rig.until("all of them to be gone", |rig| (rig.stats(0).connections == 0).then_some(()));
        rig.until("their buffers to be back", |rig| (rig.reactor.driver().buffers_out() == 0).then_some(()));
    }
    // More than all buffers hold arrives still.
    let sent: Vec<u8> = (0..3 << 20).map(|byte| (byte % 251) as u8).collect();
    let mut senders = [Sender::new(rig.connect(), sent)];
    exchange(&mut rig, &mut senders);
    drop(senders);
    rig.finish();
}

on_every_driver!(
    large_and_small_messages_of_many_come_back_whole_wherever_a_buffer_ends,
    connections_that_find_no_buffer_go_on_when_some_are_back,
    buffers_come_back_from_connections_that_end_with_something_unread,
);
