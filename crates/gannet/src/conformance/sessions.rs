//! Sequential sessions: what a dialogue notices of its peer, its reactor, and its end.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use super::on_every_driver;
use super::rig::{Ending as StreamEnding, Rig, Setup};
use super::script::numbered;
use super::{Client, Net};
use crate::driver::sim::{Answer, Random};
use crate::proto::{LengthPrefixed, Lines};
use crate::session::{
    self, Connection, Either, Ending, Error, Upstreams, channel, connect, first, sleep, spawn, within,
};
use crate::{Address, CloseReason, Connect, Group, Outbound};

/// What sessions note for their test.
type Notes = Rc<RefCell<Vec<String>>>;

fn lines() -> Lines {
    Lines::new()
}

/// A service of sessions of lines.
fn dialogues<M, F>(setup: Setup, session: M) -> Setup
where
    M: Fn(Connection<Lines>) -> F + 'static,
    F: Future<Output = session::Result> + 'static,
{
    setup.listen(session::service(lines, session))
}

fn serve<N: Net, M, F>(net: N, session: M) -> Rig<N>
where
    M: Fn(Connection<Lines>) -> F + 'static,
    F: Future<Output = session::Result> + 'static,
{
    dialogues(Setup::new(), session).on(net)
}

async fn echo(mut connection: Connection<Lines>) -> session::Result {
    while let Some(line) = connection.next().await? {
        connection.send([b"echo: ", &line]).await?;
    }
    Ok(())
}

/// Notes when the session that holds it is dropped.
struct Gone(Notes);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.borrow_mut().push("gone".to_owned());
    }
}

fn a_dialogue_greets_asks_and_answers_in_turn<N: Net>(net: N) {
    let mut rig = serve(net, |mut connection| async move {
        for attempt in 1..=3 {
            connection.send([b"password?"]).await?;
            match connection.next().await? {
                Some(line) if *line == *b"secret" => return connection.send([b"welcome"]).await,
                Some(_) => connection.send([format!("wrong {attempt}").as_bytes()]).await?,
                None => return Ok(()),
            }
        }
        connection.close_because("three wrong passwords");
        Ok(())
    });
    let mut client = rig.connect();
    assert_eq!(rig.line(&mut client), "password?");
    assert_eq!(rig.ask(&mut client, "guess"), "wrong 1");
    assert_eq!(rig.line(&mut client), "password?");
    assert_eq!(rig.ask(&mut client, "secret"), "welcome");
    assert_eq!(rig.read_to_end(&mut client), (Vec::new(), StreamEnding::Finished));
    let mut other = rig.connect();
    rig.write(&mut other, b"a\nb\nc\n");
    let (said, _) = rig.read_to_end(&mut other);
    assert_eq!(said, b"password?\nwrong 1\npassword?\nwrong 2\npassword?\nwrong 3\n");
    drop((client, other));
    let rig = rig.finish();
    assert_eq!(rig.stats(0).closed(CloseReason::Other("three wrong passwords")), 1);
}

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

fn the_peers_end_waits_for_a_session_that_does_something_else<N: Net>(net: N) {
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

fn a_reset_drops_the_session_where_it_waits_with_what_it_spawned<N: Net>(net: N) {
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

fn a_session_that_panics_is_closed_alone<N: Net>(net: N) {
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

fn a_session_may_answer_what_its_codec_rejects<N: Net>(net: N) {
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

fn silence_ends_a_wait_and_a_message_in_time_does_not<N: Net>(net: N) {
    let mut rig = serve(net, |mut connection| async move {
        connection.send([b"hello"]).await?;
        loop {
            match within(Duration::from_millis(30), connection.next()).await {
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

fn many_timers_of_a_session_fire_in_the_order_of_their_moments<N: Net>(net: N) {
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

fn sessions_of_a_reactor_hand_each_other_values_and_join_a_group<N: Net>(net: N) {
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

fn a_session_has_a_heartbeat_if_it_says_what_that_is<N: Net>(net: N) {
    let setup = Setup::new().timeouts(|timeouts| {
        timeouts.heartbeat = Some(Duration::from_millis(20));
        timeouts.heartbeats_missed = 1;
    });
    let mut rig = dialogues(setup, |mut connection| async move {
        connection.set_heartbeat(b"ping\n");
        while connection.next().await?.is_some() {}
        Ok(())
    })
    .on(net);
    let mut client = rig.connect();
    assert_eq!(rig.line(&mut client), "ping");
    rig.write(&mut client, b"pong\n");
    assert_eq!(rig.line(&mut client), "ping");
    rig.until_closed(CloseReason::HeartbeatMissed, 1);
    drop(client);
    rig.finish();
}

fn a_session_is_reached_by_its_handle_and_closed_by_others<N: Net>(net: N) {
    let handles = Rc::new(RefCell::new(Vec::new()));
    let mut rig = serve(net, {
        let handles = handles.clone();
        move |mut connection| {
            let handles = handles.clone();
            async move {
                handles.borrow_mut().push(connection.handle());
                connection.send([b"hello"]).await?;
                std::future::pending().await
            }
        }
    });
    let mut client = rig.connect();
    assert_eq!(rig.line(&mut client), "hello");
    let handle = handles.borrow()[0];
    rig.remote.send(handle, &b"from elsewhere"[..]).expect("it is there");
    assert_eq!(rig.line(&mut client), "from elsewhere");
    rig.remote.close(handle, crate::CloseMode::Flushed).expect("it is there");
    assert_eq!(rig.read_to_end(&mut client), (Vec::new(), StreamEnding::Finished));
    drop(client);
    rig.finish();
}

fn a_session_reads_and_writes_an_outbound_connection_beside_its_own<N: Net>(mut net: N) {
    let address = net.remote(Answer::Accept);
    let mut setup = dialogues(Setup::new(), move |mut connection| async move {
        let to = Connect::to(Address::Tcp(address));
        let mut upstream = connect(Lines::new(), &to).await?;
        upstream.send([b"hello from here"]).await?;
        loop {
            match first(connection.next(), upstream.next()).await {
                Either::Left(line) => match line? {
                    Some(line) => upstream.send([b"> ", &line]).await?,
                    None => upstream.shutdown_write(),
                },
                Either::Right(line) => match line? {
                    Some(line) => connection.send([b"< ", &line]).await?,
                    None => return connection.send([b"over"]).await,
                },
            }
            if connection.ending().is_some() {
                while let Some(line) = upstream.next().await? {
                    connection.send([b"< ", &line]).await?;
                }
                return connection.send([b"over"]).await;
            }
        }
    });
    let _: Outbound<Upstreams> = setup.outbound(Upstreams);
    let mut rig = setup.on(net);
    let mut client = rig.connect();
    let (mut server, _) = rig.until("the session to connect", |rig| rig.net.accept(address));
    assert_eq!(rig.line(&mut server), "hello from here");
    for index in 0..200 {
        rig.write(&mut client, format!("{index}\n").as_bytes());
        assert_eq!(rig.line(&mut server), format!("> {index}"));
        rig.write(&mut server, format!("{index}\n{index}\n").as_bytes());
        assert_eq!(rig.line(&mut client), format!("< {index}"));
        assert_eq!(rig.line(&mut client), format!("< {index}"));
    }
    client.shutdown();
    assert_eq!(rig.read_to_end(&mut server), (Vec::new(), StreamEnding::Finished));
    rig.write(&mut server, b"last\nwithout an end");
    server.shutdown();
    assert_eq!(rig.read_to_end(&mut client).0, b"< last\n< without an end\nover\n");
    drop((client, server));
    rig.finish();
}

fn a_session_hears_that_its_outbound_connection_was_refused<N: Net>(mut net: N) {
    let address = net.remote(Answer::Refuse);
    let mut setup = dialogues(Setup::new(), move |mut connection| async move {
        let to = Connect::to(Address::Tcp(address));
        match connect(Lines::new(), &to).await {
            Err(Error::Io(error)) => connection.send([format!("{:?}", error.kind()).as_bytes()]).await,
            other => panic!("{other:?}"),
        }
    });
    let _: Outbound<Upstreams> = setup.outbound(Upstreams);
    let mut rig = setup.on(net);
    let mut client = rig.connect();
    assert_eq!(rig.read_to_end(&mut client).0, b"ConnectionRefused\n");
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

/// Polls a future so many times, and drops it at the next poll, whatever has come by then.
struct Cut<F> {
    future: Option<Pin<Box<F>>>,
    polls: usize,
}

impl<F: Future> Future for Cut<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            self.future = None;
        }
        self.polls = self.polls.saturating_sub(1);
        match &mut self.future {
            None => Poll::Ready(None),
            Some(future) => future.as_mut().poll(cx).map(Some),
        }
    }
}

fn cut<F: Future>(polls: usize, future: F) -> Cut<F> {
    Cut { future: Some(Box::pin(future)), polls }
}

fn a_session_whose_futures_are_dropped_at_every_await_loses_nothing<N: Net>(net: N) {
    const LINES: usize = 300;
    let seed = Rc::new(Cell::new(1));
    let mut rig = dialogues(
        Setup::new().limits(|limits| {
            limits.outbox_high = 400;
            limits.outbox_hard = 100_000;
        }),
        move |mut connection| {
            seed.set(seed.get() + 1);
            let mut random = Random::new(seed.get());
            async move {
                let (sender, mut receiver) = channel::<usize>(3);
                let remote = sender.remote();
                spawn(async move {
                    for value in 0..LINES {
                        if remote.send(value).await.is_err() {
                            return;
                        }
                        if value % 5 == 0 {
                            sleep(Duration::from_millis(1)).await;
                        }
                    }
                });
                drop(sender);
                let (mut lines, mut values) = (0, 0);
                while lines < LINES || values < LINES {
                    let polls = 1 + random.below(3);
                    if lines < LINES && random.below(2) == 0 {
                        // Even with a time-out around it that is dropped as well.
                        let waits = within(Duration::from_millis(1 + random.below(3) as u64), connection.next());
                        if let Some(Ok(line)) = cut(polls, waits).await {
                            let Some(line) = line? else { break };
                            assert_eq!(*line, *numbered(lines, 40).as_bytes(), "no line is lost, none comes twice");
                            lines += 1;
                            let _ = cut(polls, connection.send([&line])).await;
                            let _ = cut(polls, connection.flush()).await;
                        }
                    } else if values < LINES {
                        let waits = first(sleep(Duration::from_millis(2)), receiver.recv());
                        if let Some(Either::Right(value)) = cut(polls, waits).await {
                            assert_eq!(value, Some(values), "no value is lost, none comes twice");
                            values += 1;
                        }
                    }
                }
                connection.send([b"all of it"]).await
            }
        },
    )
    .on(net);
    let mut client = rig.connect();
    let mut expected = Vec::new();
    for index in 0..LINES {
        let line = numbered(index, 40) + "\n";
        rig.write(&mut client, line.as_bytes());
        expected.extend_from_slice(line.as_bytes());
    }
    expected.extend_from_slice(b"all of it\n");
    let (said, ending) = rig.read_to_end(&mut client);
    assert!(said == expected && ending == StreamEnding::Finished, "{} of {} bytes", said.len(), expected.len());
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
    a_dialogue_greets_asks_and_answers_in_turn,
    lines_split_anywhere_reach_a_session_whole,
    many_messages_in_one_chunk_are_answered_in_order_within_the_share_of_a_turn,
    a_message_larger_than_any_chunk_reaches_a_session_whole,
    what_comes_while_a_session_does_something_else_waits_and_slows_its_peer_down,
    the_peers_end_is_none_and_the_session_may_finish,
    the_peers_end_waits_for_a_session_that_does_something_else,
    a_drain_is_none_after_the_messages_that_wait,
    a_session_that_does_not_end_is_dropped_when_the_drain_is_over,
    a_reset_drops_the_session_where_it_waits_with_what_it_spawned,
    a_session_that_panics_is_closed_alone,
    a_session_may_answer_what_its_codec_rejects,
    a_session_that_fails_closes_with_that_as_the_reason,
    a_session_that_sends_waits_for_a_peer_that_does_not_read,
    silence_ends_a_wait_and_a_message_in_time_does_not,
    many_timers_of_a_session_fire_in_the_order_of_their_moments,
    values_of_other_threads_and_of_the_peer_reach_a_session_that_waits_for_both,
    sessions_of_a_reactor_hand_each_other_values_and_join_a_group,
    work_that_is_offloaded_comes_back_while_messages_wait,
    a_session_has_a_heartbeat_if_it_says_what_that_is,
    a_session_is_reached_by_its_handle_and_closed_by_others,
    a_session_whose_futures_are_dropped_at_every_await_loses_nothing,
    a_session_reads_and_writes_an_outbound_connection_beside_its_own,
    a_session_hears_that_its_outbound_connection_was_refused,
    a_session_that_is_flooded_lets_others_have_their_turn,
    wakes_of_other_threads_race_with_the_end_of_sessions,
);

/// On one network that does nothing of its own: what Miri has time for.
mod calm {
    use std::time::Duration;

    use super::super::simulated::{Simulated, on_network};
    use crate::driver::sim::Faults;
    use crate::session::within;

    fn net() -> Simulated {
        on_network(0, Faults::none())
    }

    #[test]
    fn a_message_that_came_in_time_wins_over_a_deadline_that_the_reactor_is_late_for() {
        let mut rig = super::serve(net(), |mut connection| async move {
            connection.send([b"hello"]).await?;
            let line = within(Duration::from_millis(10), connection.next()).await;
            connection.send([if line.is_ok() { b"in time" } else { b"too late" }]).await
        });
        let mut client = rig.connect();
        assert_eq!(rig.line(&mut client), "hello");
        rig.write(&mut client, b"x\n");
        rig.net.stall(Duration::from_millis(50));
        assert_eq!(rig.line(&mut client), "in time");
        drop(client);
        rig.finish();
    }

    #[test]
    fn a_future_is_polled_and_dropped_where_it_lies() {
        super::a_dialogue_greets_asks_and_answers_in_turn(net());
        super::the_peers_end_waits_for_a_session_that_does_something_else(net());
        super::a_reset_drops_the_session_where_it_waits_with_what_it_spawned(net());
        super::a_session_that_panics_is_closed_alone(net());
        super::a_session_may_answer_what_its_codec_rejects(net());
        super::many_timers_of_a_session_fire_in_the_order_of_their_moments(net());
        super::sessions_of_a_reactor_hand_each_other_values_and_join_a_group(net());
    }
}
