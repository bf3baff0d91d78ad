//! What a dialogue notices of the messages of its peer.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use super::super::rig::{Ending as StreamEnding, Setup};
use super::super::script::numbered;
use super::super::{Client, Net, on_every_driver};
use super::{dialogues, echo, serve};
use crate::CloseReason;
use crate::proto::{LengthPrefixed, Lines};
use crate::session::{self, Connection, Either, Ending, Error, channel, first, sleep};

fn lines_split_anywhere_reach_a_session_whole<N: Net>(net: N) {
    let mut rig = serve(net, echo);
    let mut client = rig.connect();
    let sent = b"one\n\nthree, which is somewhat longer than the others\n";
    let expected = b"echo: one\necho: \necho: three, which is somewhat longer than the others\n";
    for cut in 0..sent.len() {
        rig.write(&mut client, &sent[..cut]);
        rig.turn();
        rig.write(&mut client, &sent[cut..]);
        assert_eq!(rig.read(&mut client, expected.len()), expected, "cut after {cut} bytes");
    }
    drop(client);
    let rig = rig.finish();
    let stats = rig.stats(0);
    assert_eq!((stats.messages_in, stats.messages_out), (3 * sent.len() as u64, 3 * sent.len() as u64));
    assert_eq!(stats.closed(CloseReason::Peer), 1);
}

fn many_messages_in_one_chunk_are_answered_in_order_within_the_share_of_a_turn<N: Net>(net: N) {
    let mut rig = serve(net, echo);
    let mut client = rig.connect();
    // More than the share of a turn.
    let sent: Vec<u8> = (0..3_000).flat_map(|index| format!("{index}\n").into_bytes()).collect();
    let expected: Vec<u8> = (0..3_000).flat_map(|index| format!("echo: {index}\n").into_bytes()).collect();
    rig.write(&mut client, &sent);
    assert!(rig.read(&mut client, expected.len()) == expected);
    drop(client);
    rig.finish();
}

fn a_message_larger_than_any_chunk_reaches_a_session_whole<N: Net>(net: N) {
    let frames = || LengthPrefixed::u32_be().limit(1 << 20);
    let session = |mut connection: Connection<LengthPrefixed>| async move {
        while let Some(length) = connection.next_with(|frame| frame.iter().filter(|byte| **byte == 7).count()).await? {
            connection.send([length.to_string().as_bytes()]).await?;
        }
        Ok(())
    };
    let mut rig = Setup::new().listen(session::service(frames, session)).on(net);
    let mut client = rig.connect();
    let mut sent = 300_000u32.to_be_bytes().to_vec();
    sent.resize(300_004, 7);
    sent.extend_from_slice(&[0, 0, 0, 2, 7, 8]);
    rig.write(&mut client, &sent);
    assert_eq!(rig.read(&mut client, 15), b"\0\0\0\x06300000\0\0\0\x011");
    drop(client);
    rig.finish();
}

fn what_comes_while_a_session_does_something_else_waits_and_slows_its_peer_down<N: Net>(net: N) {
    let mut rig = serve(net, |mut connection| async move {
        sleep(Duration::from_millis(40)).await;
        while let Some(line) = connection.next().await? {
            connection.send([&line[..8]]).await?;
        }
        Ok(())
    });
    let mut client = rig.connect();
    let sent: Vec<u8> = (0..400).flat_map(|index| (numbered(index, 100) + "\n").into_bytes()).collect();
    rig.write(&mut client, &sent[..30_000]);
    // Far more than that is taken only when the session takes it.
    rig.turn();
    let held = rig.reactor.core().pools.carried();
    assert!(held <= 16 * 1024 + 64 * 1024, "{held} bytes wait for one session");
    rig.write(&mut client, &sent[30_000..]);
    for index in 0..400 {
        assert_eq!(rig.line(&mut client), format!("{index:<8}"));
    }
    drop(client);
    rig.finish();
}

pub(super) fn a_session_may_answer_what_its_codec_rejects<N: Net>(net: N) {
    let session = |mut connection: Connection<Lines>| async move {
        loop {
            match connection.next().await {
                Ok(Some(line)) => connection.send([&line]).await?,
                Ok(None) => return Ok(()),
                Err(Error::Codec(error)) => {
                    connection.send([format!("no: {error}").as_bytes()]).await?;
                    assert!(connection.next().await?.is_none(), "it is told once");
                    assert_eq!(connection.ending(), Some(Ending::Rejected));
                    return Err(Error::Codec(error));
                }
                Err(error) => return Err(error),
            }
        }
    };
    let mut rig = Setup::new().listen(session::service(|| Lines::new().limit(8), session)).on(net);
    let mut client = rig.connect();
    rig.write(&mut client, b"short\nmuch too long\nnever\n");
    let (said, ending) = rig.read_to_end(&mut client);
    assert_eq!(said, b"short\nno: message of at least 13 bytes exceeds the limit of 8 bytes\n");
    assert_eq!(ending, StreamEnding::Finished);
    drop(client);
    let rig = rig.finish();
    assert_eq!(rig.stats(0).closed(CloseReason::FrameTooLarge), 1);
}

fn a_session_that_sends_waits_for_a_peer_that_does_not_read<N: Net>(net: N) {
    const LINE: usize = 1_000;
    let most = Rc::new(Cell::new(0));
    let setup = Setup::new().limits(|limits| {
        limits.outbox_high = 20_000;
        limits.outbox_hard = 30_000;
    });
    let mut rig = dialogues(setup, {
        let most = most.clone();
        move |mut connection| {
            let most = most.clone();
            async move {
                for index in 0..3_000 {
                    connection.send([numbered(index, LINE - 1).as_bytes()]).await?;
                    most.set(most.get().max(connection.outbox_len()));
                }
                connection.flush().await?;
                assert_eq!(connection.outbox_len(), 0);
                connection.send([b"end"]).await
            }
        }
    })
    .on(net);
    let mut client = rig.connect();
    for index in 0..3_000 {
        assert_eq!(rig.line(&mut client), numbered(index, LINE - 1));
    }
    assert_eq!(rig.read_to_end(&mut client), (b"end\n".to_vec(), StreamEnding::Finished));
    assert!(most.get() <= 20_000 + LINE, "{} bytes waited", most.get());
    drop(client);
    rig.finish();
}

fn a_session_that_is_flooded_lets_others_have_their_turn<N: Net>(net: N) {
    let mut rig = serve(net, |mut connection| async move {
        while let Some(line) = connection.next().await? {
            if line.first() == Some(&b'?') {
                connection.send([&line]).await?;
            }
        }
        Ok(())
    });
    let (mut busy, mut other) = (rig.connect(), rig.connect());
    assert_eq!(rig.ask(&mut other, "?"), "?");
    let flood = b"!\n".repeat(30_000);
    for _ in 0..5 {
        // As much as there is room for.
        let _ = busy.write(&flood);
        let before = rig.stats(0).messages_in;
        assert_eq!(rig.ask(&mut other, "?"), "?");
        let turns = 1_024 * 8;
        let came = rig.stats(0).messages_in - before;
        assert!(came <= turns, "{came} messages of one came before the answer to another");
    }
    drop((busy, other));
    rig.finish();
}

fn a_session_that_is_always_ready_lets_others_have_their_turn<N: Net>(net: N) {
    /// Results that may be ready in one poll.
    const READY_A_POLL: usize = 128;
    if N::TIME_IS_FREE {
        // Simulated time stands still for a reactor that somebody wakes all the time.
        return;
    }
    let values = Rc::new(Cell::new(0_usize));
    let mut rig = serve(net, {
        let values = values.clone();
        move |mut connection: Connection<Lines>| {
            let values = values.clone();
            async move {
                let Some(line) = connection.next().await? else { return Ok(()) };
                let (sender, mut receiver) = channel(1);
                if *line != *b"be busy" {
                    return echo(connection).await;
                }
                loop {
                    // Both are always ready: only the bound on results ends a poll.
                    let _ = sender.send(()).await;
                    match first(receiver.recv(), connection.next()).await {
                        Either::Left(_) => values.set(values.get() + 1),
                        Either::Right(_) => return Ok(()),
                    }
                }
            }
        }
    });
    let (mut busy, mut other) = (rig.connect(), rig.connect());
    rig.write(&mut busy, b"be busy\n");
    rig.write(&mut other, b"hello\n");
    rig.until("it to be busy", |_| (values.get() > 0).then_some(()));
    for _ in 0..20 {
        let (before, turns) = (values.get(), rig.reactor_stats().turns.count());
        assert_eq!(rig.ask(&mut other, "?"), "echo: ?");
        let (came, turns) = (values.get() - before, rig.reactor_stats().turns.count() - turns);
        assert!(came <= READY_A_POLL * (turns as usize + 1), "{came} values in {turns} turns");
    }
    busy.reset();
    drop(other);
    rig.finish();
}

fn a_turn_with_busy_sessions_takes_less_than_25_ms<N: Net>(net: N) {
    let mut rig = serve(net, |mut connection| async move {
        while let Some(line) = connection.next().await? {
            if line.first() == Some(&b'?') {
                connection.send([&line]).await?;
            }
        }
        Ok(())
    });
    let mut busy: Vec<_> = (0..4).map(|_| rig.connect()).collect();
    let mut other = rig.connect();
    let flood = b"!\n".repeat(30_000);
    // Another program may have the processor for longer than that, but not each time.
    let quickest = (0..10).map(|_| {
        for client in &mut busy {
            let _ = client.write(&flood);
        }
        rig.write(&mut other, b"?\n");
        let mut longest = Duration::ZERO;
        loop {
            #[allow(clippy::disallowed_methods)] // What a turn takes of real time is what is asked.
            let began = std::time::Instant::now();
            rig.turn();
            longest = longest.max(began.elapsed());
            if rig.read_now(&mut other) > 0 {
                return longest;
            }
        }
    });
    let quickest = quickest.min().expect("ten rounds");
    assert!(quickest < Duration::from_millis(25), "a turn took {quickest:?} at best");
    drop((busy, other));
    rig.finish();
}

on_every_driver!(
    lines_split_anywhere_reach_a_session_whole,
    many_messages_in_one_chunk_are_answered_in_order_within_the_share_of_a_turn,
    a_message_larger_than_any_chunk_reaches_a_session_whole,
    what_comes_while_a_session_does_something_else_waits_and_slows_its_peer_down,
    a_session_may_answer_what_its_codec_rejects,
    a_session_that_sends_waits_for_a_peer_that_does_not_read,
    a_session_that_is_flooded_lets_others_have_their_turn,
    a_session_that_is_always_ready_lets_others_have_their_turn,
    a_turn_with_busy_sessions_takes_less_than_25_ms,
);
