//! How sessions end.

use std::time::Duration;

use super::super::rig::{Ending as StreamEnding, Setup};
use super::super::{Client, Net, on_every_driver};
use super::{Gone, Notes, dialogues, serve};
use crate::CloseReason;
use crate::session::{Ending, Error, sleep, spawn, within};

fn the_peers_end_is_none_and_the_session_may_finish<N: Net>(net: N) {
    let mut rig = serve(net, |mut connection| async move {
        let mut count = 0;
        while let Some(line) = connection.next().await? {
            count += line.len();
        }
        assert_eq!(connection.ending(), Some(Ending::Peer));
        sleep(Duration::from_millis(2)).await;
        assert!(connection.next().await?.is_none(), "it stays so");
        connection.send([format!("{count} bytes").as_bytes()]).await
    });
    let mut client = rig.connect();
    // The last line has no end.
    rig.write(&mut client, b"abc\nde");
    client.shutdown();
    assert_eq!(rig.read_to_end(&mut client), (b"5 bytes\n".to_vec(), StreamEnding::Finished));
    drop(client);
    let rig = rig.finish();
    assert_eq!(rig.stats(0).closed(CloseReason::Peer), 1);
}

pub(super) fn the_peers_end_waits_for_a_session_that_does_something_else<N: Net>(net: N) {
    let mut rig = serve(net, |mut connection| async move {
        sleep(Duration::from_millis(10)).await;
        let mut said = Vec::new();
        while let Some(line) = connection.next().await? {
            sleep(Duration::from_millis(2)).await;
            said.extend_from_slice(&line);
        }
        connection.send([&said]).await
    });
    let mut client = rig.connect();
    rig.write(&mut client, b"one\ntwo\nthree");
    client.shutdown();
    assert_eq!(rig.read_to_end(&mut client), (b"onetwothree\n".to_vec(), StreamEnding::Finished));
    drop(client);
    rig.finish();
}

fn a_drain_is_none_after_the_messages_that_wait<N: Net>(net: N) {
    let mut rig = serve(net, |mut connection| async move {
        connection.send([b"hello"]).await?;
        while let Some(line) = connection.next().await? {
            connection.send([&line]).await?;
        }
        assert_eq!(connection.ending(), Some(Ending::Drain));
        connection.send([b"good-bye"]).await
    });
    let mut client = rig.connect();
    assert_eq!(rig.line(&mut client), "hello");
    rig.remote.stop();
    assert_eq!(rig.read_to_end(&mut client), (b"good-bye\n".to_vec(), StreamEnding::Finished));
    drop(client);
    let rig = rig.finish();
    assert_eq!(rig.stats(0).closed(CloseReason::Shutdown), 1);
}

fn a_session_that_does_not_end_is_dropped_when_the_drain_is_over<N: Net>(net: N) {
    let notes = Notes::default();
    let mut setup = Setup::new();
    setup.drain_timeout = Duration::from_millis(20);
    let mut rig = dialogues(setup, {
        let notes = notes.clone();
        move |mut connection| {
            let gone = Gone(notes.clone());
            async move {
                let _gone = gone;
                connection.send([b"hello"]).await?;
                std::future::pending().await
            }
        }
    })
    .on(net);
    let mut client = rig.connect();
    assert_eq!(rig.line(&mut client), "hello");
    rig.remote.stop();
    rig.until_closed(CloseReason::Shutdown, 1);
    assert_eq!(*notes.borrow(), ["gone"]);
    drop(client);
    rig.finish();
}

pub(super) fn a_reset_drops_the_session_where_it_waits_with_what_it_spawned<N: Net>(net: N) {
    let notes = Notes::default();
    let mut rig = serve(net, {
        let notes = notes.clone();
        move |mut connection| {
            let (gone, spawned) = (Gone(notes.clone()), Gone(notes.clone()));
            async move {
                let _gone = gone;
                spawn(async move {
                    let _spawned = spawned;
                    std::future::pending::<()>().await;
                });
                connection.send([b"hello"]).await?;
                let _ = within(Duration::from_secs(3_600), connection.next()).await;
                unreachable!("it is dropped before");
            }
        }
    });
    let mut client = rig.connect();
    assert_eq!(rig.line(&mut client), "hello");
    client.reset();
    rig.until("the session to be dropped", |_| (notes.borrow().len() == 2).then_some(()));
    rig.finish();
}

pub(super) fn a_session_that_panics_is_closed_alone<N: Net>(net: N) {
    let mut rig = serve(net, |mut connection| async move {
        while let Some(line) = connection.next().await? {
            assert!(*line != *b"panic", "told to");
            connection.send([&line]).await?;
        }
        Ok(())
    });
    let (mut one, mut other) = (rig.connect(), rig.connect());
    assert_eq!(rig.ask(&mut other, "still here"), "still here");
    rig.write(&mut one, b"panic\n");
    rig.until_closed(CloseReason::Panicked, 1);
    assert_eq!(rig.ask(&mut other, "still here"), "still here");
    drop((one, other));
    rig.finish();
}

fn a_session_that_fails_closes_with_that_as_the_reason<N: Net>(net: N) {
    let mut rig = serve(net, |mut connection| async move {
        connection.send([b"last words"]).await?;
        Err(Error::other("nothing works"))
    });
    let mut client = rig.connect();
    assert_eq!(rig.read_to_end(&mut client), (b"last words\n".to_vec(), StreamEnding::Finished));
    drop(client);
    let rig = rig.finish();
    assert_eq!(rig.stats(0).closed(CloseReason::Other("session_failed")), 1);
}

fn a_session_that_goes_on_after_the_peers_end_is_dropped_when_its_time_is_over<N: Net>(net: N) {
    let notes = Notes::default();
    let setup = Setup::new().timeouts(|timeouts| timeouts.half_close = Duration::from_millis(20));
    let mut rig = dialogues(setup, {
        let notes = notes.clone();
        move |mut connection| {
            let gone = Gone(notes.clone());
            async move {
                let _gone = gone;
                while connection.next().await?.is_some() {}
                std::future::pending().await
            }
        }
    })
    .on(net);
    let mut client = rig.connect();
    rig.write(&mut client, b"the last\n");
    client.shutdown();
    rig.until_closed(CloseReason::Peer, 1);
    assert_eq!(*notes.borrow(), ["gone"]);
    drop(client);
    rig.finish();
}

on_every_driver!(
    the_peers_end_is_none_and_the_session_may_finish,
    the_peers_end_waits_for_a_session_that_does_something_else,
    a_drain_is_none_after_the_messages_that_wait,
    a_session_that_does_not_end_is_dropped_when_the_drain_is_over,
    a_reset_drops_the_session_where_it_waits_with_what_it_spawned,
    a_session_that_panics_is_closed_alone,
    a_session_that_fails_closes_with_that_as_the_reason,
    a_session_that_goes_on_after_the_peers_end_is_dropped_when_its_time_is_over,
);
