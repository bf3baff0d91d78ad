//! Many requests in flight on a connection: what the side that asks sees of a session that answers.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::super::rig::{Ending as StreamEnding, Rig, Setup};
use super::super::{Client, Net, on_every_driver};
use super::{Gone, Notes};
use crate::CloseReason;
use crate::driver::sim::Random;
use crate::proto::multiplexed::{Kind, Outgoing};
use crate::proto::{Codec, Multiplexed};
use crate::session::requests::{self, Options, Request};
use crate::session::{self, sleep};

/// What requests wait for that hold; and what tests see of them.
#[derive(Clone, Default)]
struct Gate {
    is_open: Rc<Cell<bool>>,
    waiting: Rc<RefCell<Vec<Waker>>>,
    running: Rc<Cell<usize>>,
    most: Rc<Cell<usize>>,
    gone: Notes,
}

impl Gate {
    fn open(&self) {
        self.is_open.set(true);
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }

    async fn pass(&self) {
        poll_fn(|cx| {
            if self.is_open.get() {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Does what a request says.
    async fn answer(self, request: Request) -> Result<Vec<u8>, &'static str> {
        let _gone = Gone(self.gone.clone());
        self.running.set(self.running.get() + 1);
        self.most.set(self.most.get().max(self.running.get()));
        match &*request {
            b"hold" => self.pass().await,
            b"open" => self.open(),
            b"fail" => return Err("it was told to"),
            b"large" => return Ok(vec![b'l'; 10_000]),
            ms => {
                let ms = std::str::from_utf8(ms).ok().and_then(|ms| ms.parse().ok());
                sleep(Duration::from_millis(ms.expect("a time"))).await;
            }
        }
        self.running.set(self.running.get() - 1);
        Ok(request.to_ascii_uppercase())
    }
}

fn answering(setup: Setup, gate: &Gate, options: Options) -> Setup {
    let gate = gate.clone();
    setup.listen(session::service(Multiplexed::new, move |connection| {
        let gate = gate.clone();
        requests::serve(connection, options, move |request| gate.clone().answer(request))
    }))
}

fn serve<N: Net>(net: N, gate: &Gate, options: Options) -> Rig<N> {
    answering(Setup::new(), gate, options).on(net)
}

pub(super) fn frame(kind: Kind, id: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Multiplexed::new().encode(Outgoing { kind, id, parts: &[body] }, &mut out).expect("it is small");
    out
}

/// Reads one frame.
pub(super) fn read_frame<N: Net>(rig: &mut Rig<N>, client: &mut N::Client) -> (Kind, u32, Vec<u8>) {
    let mut bytes = rig.read(client, 4);
    let length = u32::from_be_bytes(bytes[..].try_into().expect("four bytes"));
    bytes.extend(rig.read(client, length as usize));
    match Multiplexed::new().decode(&mut (), &mut bytes) {
        Ok(crate::proto::Decoded::Message { message, .. }) => (message.kind, message.id, message.body.to_vec()),
        other => panic!("{other:?}"),
    }
}

fn ask<N: Net>(rig: &mut Rig<N>, client: &mut N::Client, id: u32, body: &str) {
    rig.write(client, &frame(Kind::Request, id, body.as_bytes()));
}

fn reply(id: u32, body: &str) -> (Kind, u32, Vec<u8>) {
    (Kind::Reply, id, body.as_bytes().to_vec())
}

fn a_request_that_takes_longer_is_overtaken_by_others<N: Net>(net: N) {
    let gate = Gate::default();
    let mut rig = serve(net, &gate, Options::new());
    let mut client = rig.connect();
    ask(&mut rig, &mut client, 1, "hold");
    ask(&mut rig, &mut client, 2, "0");
    assert_eq!(read_frame(&mut rig, &mut client), reply(2, "0"));
    ask(&mut rig, &mut client, 3, "fail");
    assert_eq!(read_frame(&mut rig, &mut client), (Kind::Failed, 3, b"it was told to".to_vec()));
    // An identifier may be used again once it was answered.
    ask(&mut rig, &mut client, 2, "open");
    assert_eq!(read_frame(&mut rig, &mut client), reply(2, "OPEN"));
    assert_eq!(read_frame(&mut rig, &mut client), reply(1, "HOLD"));
    drop(client);
    rig.finish();
}

fn replies_come_in_the_order_of_the_requests_if_that_is_asked<N: Net>(net: N) {
    let gate = Gate::default();
    let mut rig = serve(net, &gate, Options::new().in_order());
    let mut client = rig.connect();
    for (id, body) in [(9, "hold"), (2, "0"), (7, "fail"), (4, "hold"), (1, "0"), (3, "open")] {
        ask(&mut rig, &mut client, id, body);
    }
    let ids: Vec<u32> = (0..6).map(|_| read_frame(&mut rig, &mut client).1).collect();
    assert_eq!(ids, [9, 2, 7, 4, 1, 3]);
    drop(client);
    rig.finish();
}

fn as_many_requests_run_as_the_bound_says_and_the_others_wait<N: Net>(net: N) {
    let gate = Gate::default();
    let mut rig = serve(net, &gate, Options::new().in_flight(3));
    let mut client = rig.connect();
    for id in 0..10 {
        ask(&mut rig, &mut client, id, "hold");
    }
    rig.until("three to run", |_| (gate.running.get() == 3).then_some(()));
    (0..5).for_each(|_| rig.turn());
    assert_eq!(gate.running.get(), 3);
    gate.open();
    let mut ids: Vec<u32> = (0..10).map(|_| read_frame(&mut rig, &mut client).1).collect();
    ids.sort_unstable();
    assert_eq!((ids, gate.most.get()), ((0..10).collect(), 3));
    drop(client);
    rig.finish();
}

fn a_request_that_takes_too_long_is_dropped_and_its_peer_is_told<N: Net>(net: N) {
    let gate = Gate::default();
    // Longer than a request takes that does nothing, on a machine that is busy.
    let patience = Duration::from_millis(if N::TIME_IS_FREE { 20 } else { 500 });
    let mut rig = serve(net, &gate, Options::new().timeout(patience));
    let mut client = rig.connect();
    ask(&mut rig, &mut client, 1, "hold");
    assert_eq!(read_frame(&mut rig, &mut client), (Kind::TimedOut, 1, Vec::new()));
    assert_eq!(gate.gone.borrow().len(), 1, "its future is gone");
    // Each has a time of its own.
    ask(&mut rig, &mut client, 2, "hold");
    ask(&mut rig, &mut client, 3, "0");
    assert_eq!(read_frame(&mut rig, &mut client), reply(3, "0"));
    assert_eq!(read_frame(&mut rig, &mut client), (Kind::TimedOut, 2, Vec::new()));
    drop(client);
    rig.finish();
}

fn a_cancelled_request_is_dropped_and_answered_once<N: Net>(net: N) {
    let gate = Gate::default();
    let mut rig = serve(net, &gate, Options::new().in_flight(2));
    let mut client = rig.connect();
    for id in [1, 2] {
        ask(&mut rig, &mut client, id, "hold");
    }
    rig.until("two to run", |_| (gate.running.get() == 2).then_some(()));
    // A peer that keeps to the bound is heard while as many run as may.
    for id in [1, 2] {
        rig.write(&mut client, &frame(Kind::Cancel, id, b""));
        assert_eq!(read_frame(&mut rig, &mut client), (Kind::Cancelled, id, Vec::new()));
    }
    // It was answered: nothing comes of that.
    rig.write(&mut client, &frame(Kind::Cancel, 2, b""));
    ask(&mut rig, &mut client, 2, "0");
    assert_eq!(read_frame(&mut rig, &mut client), reply(2, "0"));
    assert_eq!(gate.gone.borrow().len(), 3, "three futures are gone");
    drop(client);
    rig.finish();
}

fn what_breaks_the_protocol_closes_the_connection<N: Net>(net: N) {
    let gate = Gate::default();
    let mut rig = serve(net, &gate, Options::new());
    let twice = [frame(Kind::Request, 5, b"hold"), frame(Kind::Request, 5, b"hold")].concat();
    for wrong in [twice, frame(Kind::Reply, 1, b"what for"), b"\0\0\0\x05\x07\0\0\0\0".to_vec()] {
        let mut client = rig.connect();
        rig.write(&mut client, &wrong);
        assert_eq!(rig.read_to_end(&mut client), (Vec::new(), StreamEnding::Finished));
        drop(client);
    }
    assert_eq!(gate.gone.borrow().len(), 1, "what was in flight is gone");
    let rig = rig.finish();
    assert_eq!(rig.stats(0).closed(CloseReason::Protocol), 3);
}

fn the_peers_end_and_a_drain_wait_for_the_requests_in_flight<N: Net>(net: N) {
    let gate = Gate::default();
    let mut rig = serve(net, &gate, Options::new().in_flight(2));
    let (mut ended, mut other) = (rig.connect(), rig.connect());
    for client in [&mut ended, &mut other] {
        for id in 1..=3 {
            ask(&mut rig, client, id, "hold");
        }
    }
    ended.shutdown();
    rig.until("all to be read", |rig| (gate.running.get() == 4 && rig.stats(0).messages_in == 6).then_some(()));
    rig.remote.stop();
    rig.turn();
    gate.open();
    for client in [&mut ended, &mut other] {
        let mut answers: Vec<_> = (0..3).map(|_| read_frame(&mut rig, client)).collect();
        answers.sort_unstable_by_key(|(_, id, _)| *id);
        assert_eq!(answers, [reply(1, "HOLD"), reply(2, "HOLD"), reply(3, "HOLD")]);
        assert_eq!(rig.read_to_end(client), (Vec::new(), StreamEnding::Finished));
    }
    drop((ended, other));
    rig.finish();
}

fn a_connection_that_breaks_takes_its_requests_with_it<N: Net>(net: N) {
    let gate = Gate::default();
    let mut rig = serve(net, &gate, Options::new());
    let mut client = rig.connect();
    for id in 0..20 {
        ask(&mut rig, &mut client, id, if id % 2 == 0 { "hold" } else { "3600000" });
    }
    rig.until("all to run", |_| (gate.running.get() == 20).then_some(()));
    client.reset();
    rig.until("all to be dropped", |_| (gate.gone.borrow().len() == 20).then_some(()));
    gate.open();
    rig.finish();
}

fn answers_wait_for_a_peer_that_reads_slowly_and_so_do_its_requests<N: Net>(net: N) {
    const REQUESTS: u32 = 120;
    let gate = Gate::default();
    let setup = Setup::new().limits(|limits| {
        limits.outbox_high = 20_000;
        limits.outbox_hard = 40_000;
    });
    let mut rig = answering(setup, &gate, Options::new().in_flight(8)).on(net);
    let mut client = rig.connect();
    for id in 0..REQUESTS {
        ask(&mut rig, &mut client, id, "large");
    }
    let mut seen: Vec<u32> = (0..REQUESTS)
        .map(|_| {
            let (kind, id, body) = read_frame(&mut rig, &mut client);
            assert_eq!((kind, body.len()), (Kind::Reply, 10_000));
            id
        })
        .collect();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(0..REQUESTS));
    drop(client);
    rig.finish();
}

fn every_request_is_answered_once_whatever_is_cancelled_and_whenever<N: Net>(net: N) {
    const REQUESTS: u32 = 400;
    let gate = Gate::default();
    let options = Options::new().in_flight(5).timeout(Duration::from_millis(4));
    let mut rig = serve(net, &gate, options);
    let mut client = rig.connect();
    let mut random = Random::new(1);
    let mut stream = Vec::new();
    for id in 0..REQUESTS {
        let ms = [0, 1, 3, 3_600_000][random.below(4)].to_string();
        stream.extend(frame(Kind::Request, id, ms.as_bytes()));
        if random.below(3) == 0 {
            let old = id.saturating_sub(random.below(8) as u32);
            stream.extend(frame(Kind::Cancel, old, b""));
        }
    }
    rig.write(&mut client, &stream);
    client.shutdown();
    let mut answers = HashMap::new();
    for _ in 0..REQUESTS {
        let (kind, id, _) = read_frame(&mut rig, &mut client);
        assert!(answers.insert(id, kind).is_none(), "{id} was answered twice");
        assert!(matches!(kind, Kind::Reply | Kind::TimedOut | Kind::Cancelled), "{kind:?}");
    }
    assert_eq!(rig.read_to_end(&mut client), (Vec::new(), StreamEnding::Finished));
    assert!((0..REQUESTS).all(|id| answers.contains_key(&id)));
    for kind in [Kind::Reply, Kind::TimedOut, Kind::Cancelled] {
        assert!(answers.values().any(|seen| *seen == kind), "no {kind:?} among them");
    }
    drop(client);
    rig.finish();
}

on_every_driver!(
    a_request_that_takes_longer_is_overtaken_by_others,
    replies_come_in_the_order_of_the_requests_if_that_is_asked,
    as_many_requests_run_as_the_bound_says_and_the_others_wait,
    a_request_that_takes_too_long_is_dropped_and_its_peer_is_told,
    a_cancelled_request_is_dropped_and_answered_once,
    what_breaks_the_protocol_closes_the_connection,
    the_peers_end_and_a_drain_wait_for_the_requests_in_flight,
    a_connection_that_breaks_takes_its_requests_with_it,
    answers_wait_for_a_peer_that_reads_slowly_and_so_do_its_requests,
    every_request_is_answered_once_whatever_is_cancelled_and_whenever,
);
