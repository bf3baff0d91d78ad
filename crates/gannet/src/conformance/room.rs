//! Many large messages at a time: they take turns where there is no room for all of them.

use std::time::Duration;

use super::rig::{Rig, Setup};
use super::script::{Echo, SharedLog, frames, numbered};
use super::{Client, Net, on_every_driver};
use crate::CloseReason;

/// Bytes of a large message with its length in front.
const LARGE: usize = 300_000;

/// Bytes that all unfinished messages may have together.
const ROOM: usize = 500_000;

fn message(index: usize, bytes: usize) -> Vec<u8> {
    let payload = bytes - 4;
    [&(payload as u32).to_be_bytes()[..], numbered(index, payload).as_bytes()].concat()
}

fn large(index: usize) -> Vec<u8> {
    message(index, LARGE)
}

/// Silence in the middle of a message that closes a connection where there is no room and time is real: shorter than it is
/// elsewhere, and longer than a machine that is busy takes to go on.
const SILENCE_MS: u32 = 1_000;

fn rig<N: Net>(net: N, log: &SharedLog) -> Rig<N> {
    let mut rig = Setup::new().limits(|limits| limits.carries = ROOM).listen(Echo::new(frames, log)).on(net);
    if !N::TIME_IS_FREE {
        rig.reactor.core().room.set_silence(SILENCE_MS);
    }
    rig
}

fn carried<N: Net>(rig: &Rig<N>) -> usize {
    rig.remote.stats()[0].carry_bytes as usize
}

fn large_messages_that_come_together_take_turns_and_all_arrive<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = rig(net, &log);
    let mut clients: Vec<_> = (0..8).map(|index| (rig.connect(), large(index), 0, Vec::new())).collect();
    let (mut most, mut buffer) = (0, vec![0; 64 << 10]);
    rig.until("every message to come back", |rig| {
        most = most.max(carried(rig));
        for (client, message, written, read) in &mut clients {
            // A little from each, so that all of them are unfinished at the same time.
            *written += client.write(&message[*written..message.len().min(*written + 20_000)]).unwrap_or(0);
            if let Ok(count) = client.read(&mut buffer) {
                read.extend_from_slice(&buffer[..count]);
            }
        }
        clients.iter().all(|(_, message, _, read)| read.len() == message.len()).then_some(())
    });
    for (index, (_, message, _, read)) in clients.iter().enumerate() {
        assert!(read == message, "message {index} is not what was sent");
    }
    let stats = &rig.remote.stats()[0];
    assert!(stats.carry_waits > 0, "somebody had to wait");
    // The room, one message beyond it, and what had been received when it was found that there is no room.
    assert!(most < ROOM + LARGE + (1 << 20), "{most} bytes were held of {}", 8 * LARGE);
    drop(clients);
    let rig = rig.finish();
    assert_eq!((rig.stats(0).closed(CloseReason::Peer), carried(&rig)), (8, 0));
}

fn who_stops_in_the_middle_of_a_large_message_does_not_keep_the_room_from_others<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = rig(net, &log);
    let mut stopped: Vec<_> = (0..3)
        .map(|index| {
            let mut client = rig.connect();
            rig.write(&mut client, &large(index)[..LARGE - 100_000]);
            client
        })
        .collect();
    let mut client = rig.connect();
    let mut small = rig.connect();
    rig.write(&mut small, &message(8, 20));
    assert_eq!(rig.read(&mut small, 20), message(8, 20), "small messages do not wait");
    rig.write(&mut client, &large(9));
    assert!(rig.read(&mut client, LARGE) == large(9));
    // There still is no room, and the rest of their messages does not come.
    rig.until_closed(CloseReason::InputStalled, 1);
    drop((client, small));
    stopped.clear();
    rig.finish();
}

fn who_stops_is_left_alone_while_there_is_room<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = rig(net, &log);
    let mut client = rig.connect();
    let message = large(0);
    rig.write(&mut client, &message[..LARGE - 1]);
    rig.pass(if N::TIME_IS_FREE { Duration::from_secs(10) } else { Duration::from_millis(2 * u64::from(SILENCE_MS)) });
    rig.write(&mut client, &message[LARGE - 1..]);
    assert!(rig.read(&mut client, LARGE) == large(0));
    drop(client);
    rig.finish();
}

on_every_driver!(
    large_messages_that_come_together_take_turns_and_all_arrive,
    who_stops_in_the_middle_of_a_large_message_does_not_keep_the_room_from_others,
    who_stops_is_left_alone_while_there_is_room,
);
