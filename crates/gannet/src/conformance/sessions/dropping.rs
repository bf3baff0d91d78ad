//! Futures that are dropped at every await: nothing is lost.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use super::super::rig::{Ending as StreamEnding, Setup};
use super::super::script::numbered;
use super::super::{Client, Net, on_every_driver};
use super::requests::{frame, read_frame};
use super::{Gone, Notes, dialogues, serve};
use crate::driver::sim::{Answer, Random};
use crate::proto::multiplexed::Kind;
use crate::proto::{Lines, Multiplexed};
use crate::session::requests::{self, Options, Request};
use crate::session::{self, Connection, Either, Upstreams, both, channel, connect, first, sleep, spawn, within};
use crate::{Address, Connect, Outbound};

/// Polls a future so many times, and drops it at the next poll, whatever has come by then.
pub(super) struct Cut<F> {
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

pub(super) fn cut<F: Future>(polls: usize, future: F) -> Cut<F> {
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

fn values_of_futures_that_are_dropped_come_once_or_not_at_all<N: Net>(net: N) {
    const VALUES: usize = 300;
    let mut rig = serve(net, |mut connection| async move {
        let (sender, mut receiver) = channel::<usize>(2);
        let remote = sender.remote();
        // Even ones from here, odd ones by the queue of other threads.
        let sent = Rc::new(RefCell::new([Vec::new(), Vec::new()]));
        for (index, seed) in [(0, 3), (1, 4)] {
            let (sender, remote, sent) = (sender.clone(), remote.clone(), sent.clone());
            spawn(async move {
                let mut random = Random::new(seed);
                for value in 0..VALUES {
                    let polls = random.below(3);
                    let value = 2 * value + index;
                    let is_sent = if index == 0 {
                        matches!(cut(polls, sender.send(value)).await, Some(Ok(())))
                    } else {
                        matches!(cut(polls, remote.send(value)).await, Some(Ok(())))
                    };
                    if is_sent {
                        sent.borrow_mut()[index].push(value);
                    }
                }
            });
        }
        drop((sender, remote));
        let mut came = [Vec::new(), Vec::new()];
        let mut random = Random::new(5);
        loop {
            match cut(random.below(3), receiver.recv()).await {
                Some(Some(value)) => came[value % 2].push(value),
                Some(None) => break,
                None => sleep(Duration::from_millis(random.below(2) as u64)).await,
            }
        }
        assert_eq!(came, *sent.borrow());
        assert!(came.iter().all(|came| (1..VALUES).contains(&came.len())), "some were dropped, and not all");
        connection.send([b"all of it"]).await
    });
    let mut client = rig.connect();
    assert_eq!(rig.read_to_end(&mut client).0, b"all of it\n");
    drop(client);
    rig.finish();
}

fn a_result_that_nobody_waits_for_disturbs_no_other<N: Net>(net: N) {
    let mut rig = serve(net, |mut connection| async move {
        for value in 0..20_u32 {
            let dropped = cut(value as usize % 3, connection.offload(move || 1_000 + value)).await;
            assert!(dropped.is_none_or(|result| matches!(result, Ok(result) if result == 1_000 + value)));
            assert_eq!(connection.offload(move || value).await?, value);
        }
        connection.send([b"all of it"]).await
    });
    let mut client = rig.connect();
    assert_eq!(rig.read_to_end(&mut client).0, b"all of it\n");
    drop(client);
    rig.finish();
}

fn an_outbound_connection_loses_nothing_to_futures_that_are_dropped<N: Net>(mut net: N) {
    const LINES: usize = 200;
    let address = net.remote(Answer::Accept);
    let setup = Setup::new().limits(|limits| {
        limits.outbox_high = 400;
        limits.outbox_hard = 100_000;
    });
    let mut setup = dialogues(setup, move |mut connection| async move {
        let to = Connect::to(Address::Tcp(address));
        // Given up before it is up.
        for polls in 0..2 {
            assert!(cut(polls, connect(Lines::new(), &to)).await.is_none());
        }
        let mut upstream = connect(Lines::new(), &to).await?;
        let _ = cut(0, upstream.send([b"this one"])).await;
        let mut random = Random::new(9);
        let mut came = 0;
        while came < LINES {
            let polls = 1 + random.below(3);
            let (mut reader, mut writer) = upstream.split();
            let line = if random.below(2) == 0 {
                cut(polls, reader.next_with(<[u8]>::to_vec)).await
            } else {
                let waits = within(Duration::from_millis(1 + random.below(2) as u64), reader.next());
                cut(polls, waits).await.and_then(Result::ok).map(|line| Ok(line?.map(session::Message::into_vec)))
            };
            if let Some(line) = line {
                assert_eq!(line?.as_deref(), Some(numbered(came, 40).as_bytes()), "no line is lost, none comes twice");
                let _ = cut(polls - 1, writer.send([numbered(came, 40).as_bytes()])).await;
                came += 1;
            }
        }
        upstream.shutdown_write();
        connection.send([b"all of it"]).await?;
        connection.next().await.map(|_| ())
    });
    let _: Outbound<Upstreams> = setup.outbound(Upstreams);
    let mut rig = setup.on(net);
    let mut client = rig.connect();
    let expected: Vec<u8> = (0..LINES).flat_map(|index| (numbered(index, 40) + "\n").into_bytes()).collect();
    // Those that were given up may be seen, and are closed.
    let mut server = loop {
        let (mut server, _) = rig.until("a connection", |rig| rig.net.accept(address));
        let mut byte = [0];
        let is_it = rig.until("the first byte, or the end", |_| match server.read(&mut byte) {
            Ok(count) => Some(count == 1),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(_) => Some(false),
        });
        if is_it {
            assert_eq!(rig.line(&mut server), "his one");
            break server;
        }
    };
    for line in expected.chunks(33) {
        rig.write(&mut server, line);
        rig.turn();
    }
    let (said, ending) = rig.read_to_end(&mut server);
    assert!(said == expected && ending == StreamEnding::Finished, "{} of {} bytes", said.len(), expected.len());
    assert_eq!(rig.line(&mut client), "all of it");
    drop((client, server));
    rig.finish();
}

fn halves_that_are_dropped_at_every_await_lose_nothing<N: Net>(net: N) {
    const LINES: usize = 300;
    let setup = Setup::new().limits(|limits| {
        limits.outbox_high = 400;
        limits.outbox_hard = 100_000;
    });
    let mut rig = dialogues(setup, |mut connection| async move {
        let mut random = Random::new(7);
        let (mut heard, mut sent) = (0, 0);
        while heard < LINES || sent < LINES {
            let (mut reader, mut writer) = connection.split();
            let receives = async {
                while heard < LINES {
                    let Some(line) = reader.next().await? else { break };
                    assert_eq!(*line, *numbered(heard, 40).as_bytes(), "no line is lost, none comes twice");
                    heard += 1;
                }
                Ok::<_, session::Error>(())
            };
            let sends = async {
                while sent < LINES {
                    let sending = writer.send([numbered(sent, 40).as_bytes()]);
                    // It is queued: whatever becomes of the future, the line leaves.
                    sent += 1;
                    sending.await?;
                    writer.flush().await?;
                }
                Ok(())
            };
            cut(1 + random.below(4), both(receives, sends)).await.transpose()?;
        }
        connection.send([b"all of it"]).await
    })
    .on(net);
    let mut client = rig.connect();
    let all: Vec<u8> = (0..LINES).flat_map(|index| (numbered(index, 40) + "\n").into_bytes()).collect();
    for piece in all.chunks(700) {
        rig.write(&mut client, piece);
        rig.turn();
    }
    let (said, ending) = rig.read_to_end(&mut client);
    assert!(said == [&all[..], b"all of it\n"].concat() && ending == StreamEnding::Finished, "{} bytes", said.len());
    drop(client);
    rig.finish();
}

fn requests_that_were_not_read_survive_the_end_of_serving<N: Net>(net: N) {
    let notes = Notes::default();
    let codec = || Multiplexed::new();
    let mut rig = Setup::new()
        .listen(session::service(codec, {
            let notes = notes.clone();
            move |connection: Connection<Multiplexed>| {
                let notes = notes.clone();
                async move {
                    // Another view of the same connection, for what comes after.
                    let mut rest = connection.again();
                    let answer = |request: Request| {
                        let gone = Gone(notes.clone());
                        async move {
                            let _gone = gone;
                            if *request == *b"hold" {
                                std::future::pending::<()>().await;
                            }
                            Ok::<_, &str>(request.into_body())
                        }
                    };
                    let serving = requests::serve(connection, Options::new().in_flight(1), answer);
                    let _ = within(Duration::from_millis(20), serving).await;
                    let next = rest.next_with(|frame| frame.id).await?;
                    rest.write(format!("next {next:?}").as_bytes()).await
                }
            }
        }))
        .on(net);
    let mut client = rig.connect();
    for (id, body) in [(1, "x"), (2, "hold"), (3, "waits"), (4, "is not read")] {
        rig.write(&mut client, &frame(Kind::Request, id, body.as_bytes()));
    }
    assert_eq!(read_frame(&mut rig, &mut client), (Kind::Reply, 1, b"x".to_vec()));
    assert_eq!(rig.read_to_end(&mut client).0, b"next Some(4)");
    assert_eq!(notes.borrow().len(), 2, "what was in flight is gone, and what waited for its turn never ran");
    drop(client);
    rig.finish();
}

on_every_driver!(
    a_session_whose_futures_are_dropped_at_every_await_loses_nothing,
    values_of_futures_that_are_dropped_come_once_or_not_at_all,
    a_result_that_nobody_waits_for_disturbs_no_other,
    an_outbound_connection_loses_nothing_to_futures_that_are_dropped,
    halves_that_are_dropped_at_every_await_lose_nothing,
    requests_that_were_not_read_survive_the_end_of_serving,
);
