//! Peers that do not read: reading from them pauses, and beyond the hard limit their policy decides.

use super::on_every_driver;
use super::rig::{Ending, Rig, Setup};
use super::script::{Echo, Script, SharedLog, lines, numbered};
use super::{Client, Net};
use crate::{CloseReason, Overflow};

fn pipelining_past_the_high_mark_pauses_reading_and_loses_nothing<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().limits(|limits| limits.outbox_high = 8 << 10);
    let mut rig = setup.listen(Echo::new(lines, &log)).on(net);
    let mut client = rig.connect();
    const LINE: usize = 20_000;
    let line = |index: usize| (numbered(index, LINE - 1) + "\n").into_bytes();
    let (mut written, mut stuck) = (0, 0);
    // It writes until nothing is taken for a while, without reading. How much that is depends on the kernel.
    rig.until("the reactor to stop reading", |_| {
        match client.write(&line(written / LINE)[written % LINE..]) {
            Ok(count) => (written, stuck) = (written + count, 0),
            Err(_) => stuck += 1,
        }
        (stuck > 50).then_some(())
    });
    let taken = log.borrow().messages;
    rig.turn();
    assert_eq!(log.borrow().messages, taken, "nothing is taken while the peer does not read");
    let lines = written.div_ceil(LINE);
    let (mut read, mut buffer) = (Vec::new(), vec![0; 64 << 10]);
    let mut whole = 0;
    rig.until("every byte to come back", |_| {
        if written < lines * LINE {
            written += client.write(&line(written / LINE)[written % LINE..]).unwrap_or(0);
        }
        while let Ok(count) = client.read(&mut buffer) {
            read.extend_from_slice(&buffer[..count]);
        }
        for came in read.chunks_exact(LINE) {
            assert!(came == line(whole), "line {whole} is not what was sent");
            whole += 1;
        }
        read.drain(..read.len() / LINE * LINE);
        (whole == lines).then_some(())
    });
    assert!(rig.remote.stats()[0].outbox_high > 0, "its outbox was high");
    // The last room may be found a turn after the peer has read everything.
    rig.until("the service to hear of room as often as an outbox was high", |rig| {
        (rig.remote.stats()[0].outbox_high == log.borrow().writable as u64).then_some(())
    });
    drop(client);
    rig.finish();
}

/// Floods a client that does not read, until its policy had to decide.
fn flooded<N: Net>(net: N, overflow: Overflow, log: &SharedLog) -> (Rig<N>, N::Client) {
    let setup = Setup::new().limits(|limits| {
        limits.outbox_high = 64 << 10;
        limits.outbox_hard = 256 << 10;
        limits.overflow = overflow;
    });
    let mut rig = setup.listen(Script::new(log)).on(net);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "echo here"), "here");
    let handle = log.borrow().opened[0];
    // However much the kernel takes at first, it ends.
    rig.until("the outbox to overflow", |rig| {
        for _ in 0..10 {
            // It may be closed already.
            let _ = rig.remote.send(handle, vec![b'x'; 10_000]);
        }
        (rig.stats(0).dropped > 20 || rig.stats(0).closed(CloseReason::Slow) > 0).then_some(())
    });
    (rig, client)
}

fn a_stuck_reader_is_closed_at_the_hard_limit<N: Net>(net: N) {
    let log = SharedLog::default();
    let (mut rig, mut client) = flooded(net, Overflow::Close, &log);
    rig.until_closed(CloseReason::Slow, 1);
    let (_, ending) = rig.read_to_end(&mut client);
    assert_eq!(ending, Ending::Reset, "what it did not get is no clean end");
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Slow]);
}

fn the_oldest_messages_are_dropped_whole_where_the_policy_says_so<N: Net>(net: N) {
    let log = SharedLog::default();
    let (mut rig, mut client) = flooded(net, Overflow::DropOldest, &log);
    let handle = log.borrow().opened[0];
    rig.remote.send(handle, b"the newest".as_slice()).expect("it lives");
    rig.turn();
    client.shutdown();
    let (read, ending) = rig.read_to_end(&mut client);
    assert_eq!(ending, Ending::Finished);
    let lines: Vec<&[u8]> = read.split_inclusive(|byte| *byte == b'\n').collect();
    let (newest, rest) = lines.split_last().expect("something came");
    assert_eq!(*newest, b"the newest\n");
    assert!(rest.iter().all(|line| line.len() == 10_001), "a message is dropped whole or not at all");
    drop(client);
    let rig = rig.finish();
    let stats = rig.stats(0);
    assert_eq!(stats.messages_out, stats.dropped + 1 + lines.len() as u64, "every message left or was dropped");
    assert_eq!(log.borrow().closed, [CloseReason::Peer]);
}

fn the_newest_message_survives_where_only_the_latest_counts<N: Net>(net: N) {
    let log = SharedLog::default();
    let (mut rig, mut client) = flooded(net, Overflow::LatestOnly, &log);
    let handle = log.borrow().opened[0];
    // This one takes the outbox over the hard limit while a part of another may have left already.
    rig.remote.send(handle, vec![b'y'; 10_000]).expect("it lives");
    rig.remote.send(handle, vec![b'n'; 250 << 10]).expect("it lives");
    rig.turn();
    client.shutdown();
    let (read, ending) = rig.read_to_end(&mut client);
    assert_eq!(ending, Ending::Finished);
    let newest = read.split_inclusive(|byte| *byte == b'\n').next_back().expect("something came");
    assert!(newest.len() == (250 << 10) + 1 && newest[0] == b'n', "the newest is {} bytes", newest.len());
    drop(client);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Peer]);
}

/// Bytes of a message that is larger than the hard limit.
const LARGE: usize = 320 << 10;

/// Sends so many large messages at once to a client that reads; the last one has to come. Says why it was closed, if so.
fn last_of_large<N: Net>(net: N, overflow: Overflow, count: usize) -> (Vec<CloseReason>, Option<usize>) {
    let log = SharedLog::default();
    let setup = Setup::new().limits(|limits| {
        (limits.outbox_high, limits.outbox_hard) = (64 << 10, 256 << 10);
        limits.overflow = overflow;
    });
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let mut client = rig.connect();
    rig.write(&mut client, format!("flood {count} {LARGE}\n").as_bytes());
    client.shutdown();
    let (read, _) = rig.read_to_end(&mut client);
    let last = read.split_inclusive(|byte| *byte == b'\n').next_back().filter(|line| line.len() == LARGE + 1);
    let last = last.and_then(|line| String::from_utf8_lossy(&line[..8]).trim().parse().ok());
    drop(client);
    rig.finish();
    (log.borrow().closed.clone(), last)
}

/// The message finds an outbox that is not high: its reader is not slow.
fn a_message_larger_than_the_hard_limit_reaches_a_reader_that_reads<N: Net>(net: N) {
    assert_eq!(last_of_large(net, Overflow::Close, 1), (vec![CloseReason::Peer], Some(0)));
}

fn the_newest_message_is_not_dropped_though_it_is_larger_than_the_hard_limit<N: Net>(net: N) {
    assert_eq!(last_of_large(net, Overflow::DropOldest, 2), (vec![CloseReason::Peer], Some(1)));
}

fn the_latest_message_arrives_though_it_is_larger_than_the_hard_limit<N: Net>(net: N) {
    assert_eq!(last_of_large(net, Overflow::LatestOnly, 2), (vec![CloseReason::Peer], Some(1)));
}

fn a_message_over_the_hard_limit_behind_a_large_one_meets_the_policy<N: Net>(net: N) {
    assert_eq!(last_of_large(net, Overflow::Close, 2).0, [CloseReason::Slow]);
}

fn an_answer_may_be_larger_than_the_hard_limit<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().limits(|limits| (limits.outbox_high, limits.outbox_hard) = (16 << 10, 64 << 10));
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let mut client = rig.connect();
    const LARGE: usize = 200 << 10;
    rig.write(&mut client, format!("answer {LARGE}\necho after\n").as_bytes());
    client.shutdown();
    let (read, ending) = rig.read_to_end(&mut client);
    assert_eq!(ending, Ending::Finished);
    assert!(
        read.len() == 2 * LARGE + 6 && read[LARGE - 1] == b'a' && read[LARGE] == b'b' && read.ends_with(b"after\n")
    );
    drop(client);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Peer]);
}

/// Asks for a reply of megabytes with small limits on its outbox, and does not read it. The reply is as much as the kernel
/// takes and more.
fn with_a_large_reply<N: Net>(net: N, log: &SharedLog) -> (Rig<N>, N::Client) {
    let setup = Setup::new().limits(|limits| (limits.outbox_high, limits.outbox_hard) = (16 << 10, 64 << 10));
    let mut rig = setup.listen(Script::new(log)).on(net);
    let mut client = rig.connect();
    rig.write(&mut client, format!("answer {}\n", reply_bytes::<N>()).as_bytes());
    rig.until("the reply to wait", |rig| (rig.remote.stats()[0].outbox_high == 1).then_some(()));
    assert_eq!(rig.reactor_stats().slow_readers, 1);
    (rig, client)
}

/// Bytes of each half of the reply in [`with_a_large_reply`]: more than a kernel takes, or a simulated one.
const fn reply_bytes<N: Net>() -> usize {
    if N::TIME_IS_FREE { 256 << 10 } else { 16 << 20 }
}

fn a_message_behind_a_large_answer_that_its_reader_has_begun_does_not_close_it<N: Net>(net: N) {
    let log = SharedLog::default();
    let (mut rig, mut client) = with_a_large_reply(net, &log);
    let handle = log.borrow().opened[0];
    rig.remote.send(handle, vec![b'x'; 30 << 10]).expect("it is open");
    rig.remote.send(handle, vec![b'y'; 30 << 10]).expect("it is open");
    client.shutdown();
    let (read, ending) = rig.read_to_end(&mut client);
    assert_eq!((ending, read.len()), (Ending::Finished, 2 * reply_bytes::<N>() + 2 * ((30 << 10) + 1)));
    drop(client);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Peer]);
}

fn messages_behind_a_large_answer_are_bounded_by_themselves<N: Net>(net: N) {
    let log = SharedLog::default();
    let (mut rig, client) = with_a_large_reply(net, &log);
    let handle = log.borrow().opened[0];
    for _ in 0..3 {
        // The last one is over the limit; the connection may be closed before.
        let _ = rig.remote.send(handle, vec![b'x'; 30 << 10]);
    }
    rig.until("the connection to be closed", |_| {
        log.borrow().closed.first().copied().map(|reason| {
            assert_eq!(reason, CloseReason::Slow);
        })
    });
    drop(client);
    rig.finish();
}

on_every_driver!(
    a_message_behind_a_large_answer_that_its_reader_has_begun_does_not_close_it,
    messages_behind_a_large_answer_are_bounded_by_themselves,
    a_message_larger_than_the_hard_limit_reaches_a_reader_that_reads,
    the_newest_message_is_not_dropped_though_it_is_larger_than_the_hard_limit,
    the_latest_message_arrives_though_it_is_larger_than_the_hard_limit,
    a_message_over_the_hard_limit_behind_a_large_one_meets_the_policy,
    an_answer_may_be_larger_than_the_hard_limit,
    pipelining_past_the_high_mark_pauses_reading_and_loses_nothing,
    a_stuck_reader_is_closed_at_the_hard_limit,
    the_oldest_messages_are_dropped_whole_where_the_policy_says_so,
    the_newest_message_survives_where_only_the_latest_counts,
);
