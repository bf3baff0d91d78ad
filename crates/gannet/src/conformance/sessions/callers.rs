//! Many requests in flight on a connection: what a session that asks sees of the side that answers.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::super::rig::{Rig, Setup};
use super::super::{Client, Net, on_every_driver};
use super::dialogues;
use super::dropping::cut;
use super::requests::{frame, read_frame};
use crate::driver::sim::{Answer, Random};
use crate::proto::Multiplexed;
use crate::proto::multiplexed::Kind;
use crate::session::requests::{CallError, Caller};
use crate::session::{self, Connection, Either, Error, Upstreams, channel, connect, first, sleep, spawn, within};
use crate::{Address, Connect, Outbound};

/// What a call came to, in words.
fn told(answer: Result<session::Message, CallError>) -> String {
    match answer {
        Ok(reply) => String::from_utf8_lossy(&reply).into_owned(),
        Err(error) => error.to_string(),
    }
}

/// Calls with each line of its peer, all at a time, and tells what came of each. `patience` is for lines that begin with `!`.
async fn front(
    mut connection: Connection<crate::proto::Lines>,
    to: Connect,
    in_flight: usize,
    seen: Rc<RefCell<Option<Caller>>>,
) -> session::Result {
    let caller = Caller::new(connect(Multiplexed::new(), &to).await?, in_flight);
    *seen.borrow_mut() = Some(caller.clone());
    let (sender, mut told_by_calls) = channel(64);
    loop {
        match first(connection.next(), told_by_calls.recv()).await {
            Either::Left(line) => {
                let Some(line) = line? else { return Ok(()) };
                let (caller, sender) = (caller.clone(), sender.clone());
                spawn(async move {
                    let call = caller.call([b"ask ", &line]);
                    let patience = Duration::from_millis(if line.first() == Some(&b'!') { 10 } else { 3_600_000 });
                    let answer = match within(patience, call).await {
                        Ok(answer) => told(answer),
                        Err(_) => "too slow".to_owned(),
                    };
                    let _ = sender.send(format!("{}: {answer}", String::from_utf8_lossy(&line))).await;
                });
            }
            Either::Right(Some(text)) => connection.send([text.as_bytes()]).await?,
            Either::Right(None) => unreachable!("there is a sender here"),
        }
    }
}

struct Pair<N: Net> {
    rig: Rig<N>,
    client: N::Client,
    server: N::Client,
    caller: Caller,
}

fn paired<N: Net>(mut net: N, in_flight: usize) -> Pair<N> {
    let address = net.remote(Answer::Accept);
    let to = Connect::to(Address::Tcp(address));
    let seen = Rc::new(RefCell::new(None));
    let mut setup = dialogues(Setup::new(), {
        let seen = seen.clone();
        move |connection| front(connection, to.clone(), in_flight, seen.clone())
    });
    let _: Outbound<Upstreams> = setup.outbound(Upstreams);
    let mut rig = setup.on(net);
    let client = rig.connect();
    let server = accept(&mut rig, address);
    let caller = rig.until("a caller", |_| seen.borrow_mut().take());
    Pair { rig, client, server, caller }
}

fn accept<N: Net>(rig: &mut Rig<N>, address: SocketAddr) -> N::Client {
    rig.until("the session to connect", |rig| rig.net.accept(address)).0
}

impl<N: Net> Pair<N> {
    /// The next request that came, with its body.
    fn asked(&mut self) -> (u32, String) {
        let (kind, id, body) = read_frame(&mut self.rig, &mut self.server);
        assert_eq!(kind, Kind::Request);
        (id, String::from_utf8(body).expect("text"))
    }

    fn answer(&mut self, kind: Kind, id: u32, body: &[u8]) {
        self.rig.write(&mut self.server, &frame(kind, id, body));
    }

    fn until_in_flight(&mut self, count: usize) {
        let caller = &self.caller;
        self.rig.until("so many to be in flight", |_| (caller.in_flight() == count).then_some(()));
    }

    fn finish(self) {
        let Self { rig, client, server, caller } = self;
        drop((client, server, caller));
        rig.finish();
    }
}

fn each_reply_reaches_its_caller_whatever_the_order<N: Net>(net: N) {
    let mut pair = paired(net, 8);
    pair.rig.write(&mut pair.client, b"a\nb\nc\nd\n");
    let asked: Vec<_> = (0..4).map(|_| pair.asked()).collect();
    assert!(asked.iter().map(|(_, body)| &body[..]).eq(["ask a", "ask b", "ask c", "ask d"]));
    let [a, b, c, d] = [0, 1, 2, 3].map(|index| asked[index].0);
    for (kind, id, body, line) in [
        (Kind::Reply, c, "see", "c: see"),
        (Kind::Failed, a, "no such thing", "a: the request failed: no such thing"),
        (Kind::TimedOut, d, "", "d: the request took too long on the other side"),
        (Kind::Cancelled, b, "", "b: the request was cancelled"),
    ] {
        pair.answer(kind, id, body.as_bytes());
        assert_eq!(pair.rig.line(&mut pair.client), line);
    }
    pair.until_in_flight(0);
    pair.finish();
}

fn calls_over_the_bound_wait_for_their_turn_in_order<N: Net>(net: N) {
    let mut pair = paired(net, 2);
    pair.rig.write(&mut pair.client, b"a\nb\n!c\nd\ne\n");
    let (a, b) = (pair.asked(), pair.asked());
    // One that gives up in the line lets the others move up.
    assert_eq!(pair.rig.line(&mut pair.client), "!c: too slow");
    assert_eq!((pair.caller.in_flight(), pair.caller.waiting()), (2, 2));
    pair.answer(Kind::Reply, b.0, b"bee");
    assert_eq!(pair.rig.line(&mut pair.client), "b: bee");
    let d = pair.asked();
    assert_eq!(d.1, "ask d");
    pair.answer(Kind::Reply, a.0, b"ay");
    assert_eq!(pair.rig.line(&mut pair.client), "a: ay");
    assert_eq!(pair.asked().1, "ask e");
    pair.finish();
}

fn a_late_or_second_reply_reaches_nobody<N: Net>(net: N) {
    let mut pair = paired(net, 1);
    pair.rig.write(&mut pair.client, b"!slow\n");
    let (slow, _) = pair.asked();
    assert_eq!(pair.rig.line(&mut pair.client), "!slow: too slow");
    assert_eq!(read_frame(&mut pair.rig, &mut pair.server), (Kind::Cancel, slow, Vec::new()));
    // It keeps its place until it was answered: nobody else is sent meanwhile.
    pair.rig.write(&mut pair.client, b"next\n");
    let caller = pair.caller.clone();
    pair.rig.until("the next to wait", |_| (caller.waiting() == 1).then_some(()));
    assert_eq!(pair.caller.in_flight(), 1);
    pair.answer(Kind::Reply, slow, b"late");
    let (next, body) = pair.asked();
    assert_eq!(body, "ask next");
    assert_ne!(next, slow);
    pair.answer(Kind::Reply, slow, b"and again");
    pair.answer(Kind::Reply, next, b"right");
    assert_eq!(pair.rig.line(&mut pair.client), "next: right");
    pair.answer(Kind::Reply, next, b"and again");
    pair.answer(Kind::Request, 7, b"what is this");
    pair.rig.until("what nobody asked for to be counted", |_| (caller.strays() == 3).then_some(()));
    assert_eq!(pair.caller.in_flight(), 0);
    drop(caller);
    pair.finish();
}

fn the_end_of_the_connection_ends_all_calls<N: Net>(net: N) {
    let mut pair = paired(net, 2);
    pair.rig.write(&mut pair.client, b"a\nb\nc\n");
    let (a, _) = pair.asked();
    pair.asked();
    pair.answer(Kind::Reply, a, b"ay");
    assert_eq!(pair.rig.line(&mut pair.client), "a: ay");
    pair.asked();
    pair.rig.write(&mut pair.client, b"d\n");
    let caller = pair.caller.clone();
    pair.rig.until("the last to wait", |_| (caller.waiting() == 1).then_some(()));
    pair.server.shutdown();
    let mut lines: Vec<_> = (0..3).map(|_| pair.rig.line(&mut pair.client)).collect();
    lines.sort_unstable();
    assert_eq!(lines, ["b", "c", "d"].map(|line| format!("{line}: the connection is gone")));
    assert_eq!(pair.rig.ask(&mut pair.client, "later"), "later: the connection is gone");
    drop(caller);
    pair.finish();
}

fn a_call_from_another_session_ends_with_the_session_that_connected<N: Net>(mut net: N) {
    let address = net.remote(Answer::Accept);
    let shared = Rc::new(RefCell::new(None::<Caller>));
    let mut setup = dialogues(Setup::new(), move |mut connection| {
        let (shared, to) = (shared.clone(), Connect::to(Address::Tcp(address)));
        async move {
            let known = shared.borrow().clone();
            if let Some(caller) = known {
                let answer = caller.call([b"from another"]).await;
                connection.send([told(answer).as_bytes()]).await?;
                let answer = caller.call([b"once more"]).await;
                return connection.send([told(answer).as_bytes()]).await;
            }
            *shared.borrow_mut() = Some(Caller::new(connect(Multiplexed::new(), &to).await?, 4));
            connection.send([b"ready"]).await?;
            connection.next().await.map(|_| ())
        }
    });
    let _: Outbound<Upstreams> = setup.outbound(Upstreams);
    let mut rig = setup.on(net);
    let mut owner = rig.connect();
    let mut server = accept(&mut rig, address);
    assert_eq!(rig.line(&mut owner), "ready");
    let mut other = rig.connect();
    let (_, id, body) = read_frame(&mut rig, &mut server);
    assert_eq!(body, b"from another");
    rig.write(&mut server, &frame(Kind::Reply, id, b"it works"));
    assert_eq!(rig.line(&mut other), "it works");
    assert_eq!(read_frame(&mut rig, &mut server).2, b"once more");
    drop(owner);
    assert_eq!(rig.read_to_end(&mut other).0, b"the connection is gone\n");
    assert!(rig.read_to_end(&mut server).0.is_empty());
    drop((other, server));
    rig.finish();
}

/// The answers of a server that is late, answers twice, or not at all.
fn whatever_the_server_does_no_caller_gets_the_reply_of_another<N: Net>(mut net: N) {
    const CALLS: usize = 200;
    let address = net.remote(Answer::Accept);
    let (done, ok, given_up) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let mut setup = dialogues(Setup::new(), {
        let counts = (done.clone(), ok.clone(), given_up.clone());
        move |mut connection| {
            let (done, ok, given_up) = counts.clone();
            let to = Connect::to(Address::Tcp(address));
            async move {
                let caller = Caller::new(connect(Multiplexed::new(), &to).await?, 7);
                let mut random = Random::new(11);
                for index in 0..CALLS {
                    let (caller, done, ok, given_up) = (caller.clone(), done.clone(), ok.clone(), given_up.clone());
                    let (polls, ms) = (1 + random.below(4), 1 + random.below(12) as u64);
                    spawn(async move {
                        let body = format!("call {index}");
                        let call = within(Duration::from_millis(ms), caller.call([body.as_bytes()]));
                        // Some are dropped after so many polls, whatever has come by then.
                        let polls = if polls == 4 { usize::MAX } else { polls };
                        match cut(polls, call).await {
                            Some(Ok(Ok(reply))) => {
                                assert_eq!(*reply, *body.as_bytes(), "the reply of another");
                                ok.set(ok.get() + 1);
                            }
                            Some(Ok(Err(error))) => panic!("{error}"),
                            Some(Err(_)) | None => given_up.set(given_up.get() + 1),
                        }
                        done.set(done.get() + 1);
                    });
                    sleep(Duration::from_millis(random.below(2) as u64)).await;
                }
                while done.get() < CALLS {
                    sleep(Duration::from_millis(1)).await;
                }
                // What was given up is still answered some day, and then the places are free.
                while caller.in_flight() > 0 {
                    sleep(Duration::from_millis(1)).await;
                }
                connection.send([b"all done"]).await.map_err(Error::other)
            }
        }
    });
    let _: Outbound<Upstreams> = setup.outbound(Upstreams);
    let mut rig = setup.on(net);
    let mut client = rig.connect();
    let mut server = accept(&mut rig, address);
    let mut random = Random::new(5);
    let (mut came, mut open): (Vec<u8>, VecDeque<(u32, Vec<u8>)>) = Default::default();
    let mut last = Vec::new();
    rig.until("all calls", |rig| {
        let mut buffer = [0; 4_096];
        while let Ok(count @ 1..) = server.read(&mut buffer) {
            came.extend_from_slice(&buffer[..count]);
        }
        while let Some(length) = came.first_chunk().map(|bytes| u32::from_be_bytes(*bytes) as usize)
            && came.len() >= 4 + length
        {
            let whole: Vec<u8> = came.drain(..4 + length).collect();
            // Cancellations are ignored: this server is a bad one.
            if whole[4] == Kind::Request as u8 {
                let id = u32::from_be_bytes(whole[5..9].try_into().expect("four bytes"));
                open.push_back((id, whole[9..].to_vec()));
            }
        }
        if open.len() > 3 || random.below(3) == 0 {
            let index = random.below(open.len().max(1));
            if let Some((id, body)) = open.remove(index) {
                last = frame(Kind::Reply, id, &body);
                rig.write(&mut server, &last);
            }
        }
        if random.below(4) == 0 {
            rig.write(&mut server, &last);
        }
        (rig.read_now(&mut client) > 0).then_some(())
    });
    assert_eq!((done.get(), ok.get() + given_up.get()), (CALLS, CALLS));
    drop((client, server));
    rig.finish();
}

on_every_driver!(
    each_reply_reaches_its_caller_whatever_the_order,
    calls_over_the_bound_wait_for_their_turn_in_order,
    a_late_or_second_reply_reaches_nobody,
    the_end_of_the_connection_ends_all_calls,
    a_call_from_another_session_ends_with_the_session_that_connected,
    whatever_the_server_does_no_caller_gets_the_reply_of_another,
);
