//! Large messages, which a driver may receive and send in another way than small ones: they are whole, in order, and lose
//! nothing where small ones come between them, the peer does not read, reading pauses, or somebody leaves in the middle.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::buffers::{Sender, exchange};
use super::filters::{DATA, HELLO, Units, WELCOME, put, unit};
use super::rig::{Ending, Rig, Setup};
use super::script::{Echo, SharedLog, frames, raw};
use super::{Client, Net, on_every_driver};
use crate::driver::Driver;
use crate::proto::{Codec, Raw};
use crate::{Context, Service};

const KIB: usize = 1 << 10;

/// So many bytes that are another stream for each seed.
fn stream(seed: usize, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| ((at / 251) ^ at ^ seed) as u8).collect()
}

/// A client that sends streams of bytes and gets them back.
fn sender<N: Net>(rig: &mut Rig<N>, seed: usize, bytes: usize) -> Sender<N::Client> {
    Sender::new(rig.connect(), stream(seed, bytes))
}

/// Has a connection send large pieces until a driver has noticed that it does.
fn send_large_pieces<N: Net>(rig: &mut Rig<N>, client: &mut N::Client) {
    for piece in 0..8 {
        let sent = stream(piece, 40 * KIB);
        rig.write(client, &sent);
        assert!(rig.read(client, sent.len()) == sent, "piece {piece} came back as another one");
    }
}

fn messages_of_16_kib_to_5_mib_come_back_whole_while_small_ones_go_between_them<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Echo::new(raw, &SharedLog::default())).on(net);
    let mut small = rig.connect();
    let sizes = [16 * KIB, 64 * KIB, 65 * KIB, 256 * KIB, 1024 * KIB, 5 * 1024 * KIB];
    let mut senders: Vec<_> = sizes.iter().enumerate().map(|(seed, bytes)| sender(&mut rig, seed, *bytes)).collect();
    let (mut buffer, mut answered, mut owed) = (vec![0; 64 * KIB], 0, 0);
    rig.until("everything to come back", |_| {
        senders.iter_mut().for_each(Sender::write);
        let done = senders.iter_mut().filter_map(|sender| sender.read(&mut buffer).then_some(())).count();
        if owed == 0 {
            owed = small.write(b"hello").unwrap_or(0);
            answered += usize::from(owed > 0);
        }
        if let Ok(count) = small.read(&mut buffer[..owed]) {
            assert!(b"hello"[..5].windows(count).any(|part| part == &buffer[..count]), "another answer");
            owed -= count;
        }
        (done == sizes.len()).then_some(())
    });
    assert!(answered > 5, "{answered} small messages were answered beside the large ones");
    drop((small, senders));
    rig.finish();
}

fn a_connection_may_change_between_large_and_small_messages_as_often_as_it_likes<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Echo::new(frames, &SharedLog::default())).on(net);
    let mut client = rig.connect();
    for round in 0..3 {
        for size in [30 * KIB; 8].into_iter().chain([10; 12]).chain([700 * KIB, 10, 16 * KIB, 100]) {
            let mut frame = Vec::new();
            frames().encode(&[&stream(round + size, size)], &mut frame).expect("small enough");
            rig.write(&mut client, &frame);
            assert!(rig.read(&mut client, frame.len()) == frame, "{size} bytes came back as others");
        }
    }
    drop(client);
    rig.finish();
}

fn large_messages_pass_through_a_filter<N: Net>(net: N) {
    let setup = Setup::new().listen(Echo::new(raw, &SharedLog::default())).filtered(Arc::new(Units::default()));
    let mut rig = setup.on(net);
    let mut client = rig.connect();
    rig.write(&mut client, &unit(HELLO, b"it is me"));
    let welcome = unit(WELCOME, b"come in");
    assert_eq!(rig.read(&mut client, welcome.len()), welcome);
    let (mut sent, payload) = (Vec::new(), stream(3, 1024 * KIB));
    put(DATA, &payload, &mut sent);
    let (mut written, mut read, mut buffer) = (0, Vec::new(), vec![0; 64 * KIB]);
    rig.until("all of it to come back", |_| {
        while let Ok(count) = client.write(&sent[written..])
            && count > 0
        {
            written += count;
        }
        while let Ok(count) = client.read(&mut buffer) {
            assert!(count > 0, "the stream ended");
            read.extend_from_slice(&buffer[..count]);
        }
        (plain_of(&read).len() == payload.len()).then_some(())
    });
    assert!(plain_of(&read) == payload, "other bytes came back");
    drop(client);
    rig.finish();
}

/// What whole units hold.
fn plain_of(mut units: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    while let [DATA, high, low, rest @ ..] = units {
        let Some((payload, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes([*high, *low]))) else {
            break;
        };
        plain.extend(payload.iter().map(|byte| !byte));
        units = rest;
    }
    plain
}

fn a_peer_that_ends_its_stream_behind_large_messages_gets_all_of_them_back<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Echo::new(raw, &SharedLog::default())).on(net);
    for bytes in [64 * KIB, 256 * KIB, 3 * 1024 * KIB + 1] {
        let mut client = rig.connect();
        send_large_pieces(&mut rig, &mut client);
        let sent = stream(bytes, bytes);
        let (mut written, mut read, mut buffer) = (0, Vec::new(), vec![0; 64 * KIB]);
        let ending = rig.until("the end of the stream", |_| {
            while written < sent.len()
                && let Ok(count) = client.write(&sent[written..])
            {
                written += count;
                if written == sent.len() {
                    client.shutdown();
                }
            }
            loop {
                match client.read(&mut buffer) {
                    Ok(0) => return Some(Ending::Finished),
                    Ok(count) => read.extend_from_slice(&buffer[..count]),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
                    Err(_) => return Some(Ending::Reset),
                }
            }
        });
        assert!(read == sent && ending == Ending::Finished, "{} of {bytes} bytes, {ending:?}", read.len());
    }
    rig.finish();
}

fn who_leaves_in_the_middle_of_a_large_message_takes_nothing_of_others_along<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Echo::new(raw, &SharedLog::default())).on(net);
    let mut staying: Vec<_> = (0..4).map(|seed| sender(&mut rig, seed, 2 * 1024 * KIB)).collect();
    let (mut leaving, mut buffer) = (Vec::new(), vec![0; 16 * KIB]);
    for _ in 0..9 {
        let mut client = rig.connect();
        send_large_pieces(&mut rig, &mut client);
        leaving.push(client);
    }
    for (index, mut client) in leaving.into_iter().enumerate() {
        staying.iter_mut().for_each(Sender::write);
        while client.write(&[7; 40 * KIB]).is_ok() {}
        match index % 3 {
            // With all of it unread, or after a part was received and its answer is stuck.
            0 => {}
            1 => rig.turn(),
            _ => (0..3).for_each(|_| rig.turn()),
        }
        for sender in &mut staying {
            sender.read(&mut buffer);
        }
        if index % 2 == 0 { client.reset() } else { drop(client) }
    }
    exchange(&mut rig, &mut staying);
    rig.until("those to be gone", |rig| (rig.stats(0).connections == 4).then_some(()));
    rig.until("their buffers to be back", |rig| (rig.reactor.driver().buffers_out() == 0).then_some(()));
    drop(staying);
    rig.finish();
}

/// Pauses reading after each piece, for a moment.
struct Hesitant(Rc<RefCell<Taken>>);

#[derive(Default)]
struct Taken {
    bytes: Vec<u8>,
    paused: bool,
    pauses: usize,
}

impl Service for Hesitant {
    type Codec = Raw;
    type Session = ();

    fn message(&mut self, (): &mut (), piece: &[u8], cx: &mut Context<'_, Self>) {
        let mut taken = self.0.borrow_mut();
        assert!(!taken.paused, "a piece came while reading was paused");
        taken.bytes.extend_from_slice(piece);
        taken.paused = true;
        taken.pauses += 1;
        cx.pause();
        cx.set_timer(Duration::from_millis(1));
    }

    fn timer(&mut self, (): &mut (), cx: &mut Context<'_, Self>) {
        self.0.borrow_mut().paused = false;
        cx.resume();
    }
}

fn a_service_that_pauses_after_each_piece_of_a_large_message_gets_all_of_it<N: Net>(net: N) {
    let taken = Rc::<RefCell<Taken>>::default();
    let mut rig = Setup::new().listen(Hesitant(taken.clone())).on(net);
    let mut client = rig.connect();
    let sent = stream(5, 2 * 1024 * KIB);
    rig.write(&mut client, &sent);
    rig.until("all of it to be taken", |_| (taken.borrow().bytes.len() == sent.len()).then_some(()));
    assert!(taken.borrow().bytes == sent, "other bytes were taken than were sent");
    assert!(taken.borrow().pauses > 8, "{} pauses", taken.borrow().pauses);
    // What comes while it is paused, and nothing after it: that is read as well.
    rig.write(&mut client, b"and the last");
    client.shutdown();
    rig.until("the last of it", |_| taken.borrow().bytes.ends_with(b"and the last").then_some(()));
    drop(client);
    rig.finish();
}

fn large_messages_to_a_peer_that_does_not_read_wait_for_it_whole<N: Net>(net: N) {
    let setup = Setup::new().limits(|limits| limits.outbox_high = 64 * KIB);
    let mut rig = setup.listen(Echo::new(raw, &SharedLog::default())).on(net);
    let mut sender = sender(&mut rig, 1, 12 * 1024 * KIB);
    for round in 0..3 {
        let mut stuck = 0;
        rig.until("nothing more to be taken", |_| {
            let before = sender.written;
            sender.write();
            stuck = if sender.written == before { stuck + 1 } else { 0 };
            (stuck > 20 || sender.written == sender.sent.len()).then_some(())
        });
        // It reads a part, and then nothing again.
        let part = 10 * KIB;
        let came = rig.read(&mut sender.client, part);
        assert!(sender.sent[sender.read..].starts_with(&came), "round {round}: other bytes");
        sender.read += part;
    }
    let mut senders = [sender];
    exchange(&mut rig, &mut senders);
    drop(senders);
    rig.finish();
}

on_every_driver!(
    messages_of_16_kib_to_5_mib_come_back_whole_while_small_ones_go_between_them,
    a_connection_may_change_between_large_and_small_messages_as_often_as_it_likes,
    large_messages_pass_through_a_filter,
    a_peer_that_ends_its_stream_behind_large_messages_gets_all_of_them_back,
    who_leaves_in_the_middle_of_a_large_message_takes_nothing_of_others_along,
    a_service_that_pauses_after_each_piece_of_a_large_message_gets_all_of_it,
    large_messages_to_a_peer_that_does_not_read_wait_for_it_whole,
);
