//! What sessions wait for beside their peer: time, values of others, long work.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::super::rig::Ending as StreamEnding;
use super::super::{Client, Net, on_every_driver};
use super::serve;
use crate::session::{self, Either, Error, channel, first, sleep, spawn, within};
use crate::{CloseReason, Group};

fn silence_ends_a_wait_and_a_message_in_time_does_not<N: Net>(net: N) {
    // Longer than a line takes to come, on a machine that is busy.
    let patience = Duration::from_millis(if N::TIME_IS_FREE { 30 } else { 500 });
    let mut rig = serve(net, move |mut connection| async move {
        connection.send([b"hello"]).await?;
        loop {
            match within(patience, connection.next()).await {
                Ok(Ok(Some(line))) => connection.send([&line]).await?,
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(error)) => return Err(error),
                Err(elapsed) => {
                    connection.send([b"too slow"]).await?;
                    return Err(elapsed.into());
                }
            }
        }
    });
    let mut client = rig.connect();
    assert_eq!(rig.line(&mut client), "hello");
    rig.write(&mut client, b"in time\n");
    assert_eq!(rig.read_to_end(&mut client).0, b"in time\ntoo slow\n");
    drop(client);
    let rig = rig.finish();
    assert_eq!(rig.stats(0).closed(CloseReason::Other("session_failed")), 1);
}

pub(super) fn many_timers_of_a_session_fire_in_the_order_of_their_moments<N: Net>(net: N) {
    let mut rig = serve(net, |mut connection| async move {
        let (sender, mut receiver) = channel(16);
        for ms in [9u64, 3, 12, 6, 3] {
            let sender = sender.clone();
            spawn(async move {
                sleep(Duration::from_millis(ms)).await;
                let _ = sender.send(ms).await;
            });
        }
        // One that is dropped does not fire, nor disturb the others.
        let _ = first(sleep(Duration::from_millis(1)), sleep(Duration::from_millis(20))).await;
        drop(sender);
        while let Some(ms) = receiver.recv().await {
            connection.send([ms.to_string().as_bytes()]).await?;
        }
        Ok(())
    });
    let mut client = rig.connect();
    assert_eq!(rig.read_to_end(&mut client).0, b"3\n3\n6\n9\n12\n");
    drop(client);
    rig.finish();
}

fn values_of_other_threads_and_of_the_peer_reach_a_session_that_waits_for_both<N: Net>(net: N) {
    let mut rig = serve(net, |mut connection| async move {
        let (sender, mut orders) = channel::<u32>(4);
        let remote = sender.remote();
        drop(sender);
        let thread = std::thread::spawn(move || {
            for value in 0..200 {
                let mut value = value;
                while let Err(refused) = remote.try_send(value) {
                    value = refused.value;
                    std::thread::yield_now();
                }
            }
        });
        let (mut next_order, mut lines) = (0, 0);
        while next_order < 200 || lines < 200 {
            match first(connection.next(), orders.recv()).await {
                Either::Left(line) => {
                    let Some(line) = line? else { break };
                    assert_eq!(*line, *lines.to_string().as_bytes(), "lines come in order and none is lost");
                    lines += 1;
                }
                Either::Right(Some(order)) => {
                    assert_eq!(order, next_order, "values come in order and none is lost");
                    next_order += 1;
                }
                Either::Right(None) => {
                    // All orders came.
                    let Some(line) = connection.next().await? else { break };
                    assert_eq!(*line, *lines.to_string().as_bytes());
                    lines += 1;
                }
            }
        }
        thread.join().expect("it does not panic");
        connection.send([format!("{next_order} and {lines}").as_bytes()]).await
    });
    let mut client = rig.connect();
    for line in 0..200 {
        rig.write(&mut client, format!("{line}\n").as_bytes());
        if line % 7 == 0 {
            rig.turn();
        }
    }
    assert_eq!(rig.line(&mut client), "200 and 200");
    drop(client);
    rig.finish();
}

pub(super) fn sessions_of_a_reactor_hand_each_other_values_and_join_a_group<N: Net>(net: N) {
    let group = Group::new();
    let (sender, receiver) = channel::<Vec<u8>>(2);
    let waiting = Rc::new(RefCell::new(Some(receiver)));
    let mut rig = serve(net, move |mut connection| {
        let (sender, waiting) = (sender.clone(), waiting.clone());
        async move {
            connection.join(group)?;
            let mine = waiting.borrow_mut().take();
            if let Some(mut receiver) = mine {
                connection.send([b"first"]).await?;
                while let Some(value) = receiver.recv().await {
                    if value == b"end" {
                        break;
                    }
                    connection.broadcast(group, [b"all: ", &value])?;
                }
                return Ok(());
            }
            connection.send([b"other"]).await?;
            while let Some(line) = connection.next().await? {
                sender.send(line.into_vec()).await.map_err(Error::other)?;
            }
            Ok(())
        }
    });
    let mut one = rig.connect();
    assert_eq!(rig.line(&mut one), "first");
    let mut other = rig.connect();
    assert_eq!(rig.line(&mut other), "other");
    rig.write(&mut other, b"a\nb\nc\nd\nend\n");
    for letter in ["a", "b", "c", "d"] {
        assert_eq!(rig.line(&mut one), format!("all: {letter}"));
        assert_eq!(rig.line(&mut other), format!("all: {letter}"));
    }
    assert_eq!(rig.read_to_end(&mut one), (Vec::new(), StreamEnding::Finished));
    drop((one, other));
    rig.finish();
}

fn work_that_is_offloaded_comes_back_while_messages_wait<N: Net>(net: N) {
    let mut rig = serve(net, |mut connection| async move {
        while let Some(line) = connection.next().await? {
            let upper = connection.offload(move || line.to_ascii_uppercase()).await?;
            connection.send([&upper]).await?;
        }
        Ok(())
    });
    let mut client = rig.connect();
    rig.write(&mut client, b"one\ntwo\nthree\n");
    client.shutdown();
    assert_eq!(rig.read_to_end(&mut client), (b"ONE\nTWO\nTHREE\n".to_vec(), StreamEnding::Finished));
    drop(client);
    rig.finish();
}

fn wakes_of_other_threads_race_with_the_end_of_sessions<N: Net>(net: N) {
    let mut rig = serve(net, move |mut connection| async move {
        let (sender, mut receiver) = channel::<u32>(8);
        let remote = sender.remote();
        let thread = std::thread::spawn(move || {
            // Ends when the receiver is gone with its session.
            let mut value = 0;
            loop {
                match remote.try_send(value) {
                    Ok(()) => value += 1,
                    Err(refused) if refused.reason == session::ChannelError::Closed => return,
                    Err(_) => std::thread::yield_now(),
                }
            }
        });
        // Whoever looks at the thread again finds it ended.
        let _ = thread;
        drop(sender);
        let mut next = 0;
        while let Either::Right(Some(value)) = first(connection.next(), receiver.recv()).await {
            assert_eq!(value, next);
            next += 1;
        }
        Ok(())
    });
    for round in 0..20 {
        let mut clients: Vec<_> = (0..3).map(|_| rig.connect()).collect();
        (0..3).for_each(|_| rig.turn());
        let last = clients.pop().expect("three");
        last.reset();
        if round % 2 == 0 {
            for client in &mut clients {
                rig.write_some(client, b"end\n");
            }
        }
        drop(clients);
    }
    rig.finish();
}

on_every_driver!(
    silence_ends_a_wait_and_a_message_in_time_does_not,
    many_timers_of_a_session_fire_in_the_order_of_their_moments,
    values_of_other_threads_and_of_the_peer_reach_a_session_that_waits_for_both,
    sessions_of_a_reactor_hand_each_other_values_and_join_a_group,
    work_that_is_offloaded_comes_back_while_messages_wait,
    wakes_of_other_threads_race_with_the_end_of_sessions,
);
