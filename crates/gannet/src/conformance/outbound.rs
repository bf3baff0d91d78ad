//! Connections that the reactor makes itself.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::on_every_driver;
use super::rig::{Ending, Rig, Setup};
use super::script::{Script, SharedLog};
use super::{Client, Net};
use crate::driver::Driver;
use crate::driver::sim::Answer;
use crate::{Address, CloseReason, Connect, Outbound};

fn calling<N: Net>(net: N, log: &SharedLog) -> (Rig<N>, Outbound<Script>) {
    let mut setup = Setup::new();
    let outbound = setup.outbound(Script::new(log));
    (setup.on(net), outbound)
}

fn call<N: Net>(rig: &mut Rig<N>, outbound: Outbound<Script>, connect: &Connect) {
    rig.remote.connect(0, outbound, connect, "hello".to_owned()).expect("the mailbox has room");
}

fn an_outbound_connection_is_served_like_any_other<N: Net>(net: N) {
    let log = SharedLog::default();
    let (mut rig, outbound) = calling(net, &log);
    let remote = rig.net.remote(Answer::Accept);
    call(&mut rig, outbound, &Connect::to(Address::Tcp(remote)));
    let (mut server, _) = rig.until("the connection", |rig| rig.net.accept(remote));
    assert_eq!(rig.line(&mut server), "hello", "connected is called with the session that was given");
    assert_eq!(rig.ask(&mut server, "echo back"), "back");
    server.shutdown();
    assert_eq!(rig.read_to_end(&mut server), (Vec::new(), Ending::Finished));
    let rig = rig.finish();
    assert_eq!((rig.stats(0).connected, rig.stats(0).accepted), (1, 0));
    assert_eq!(log.borrow().closed, [CloseReason::Peer]);
}

fn a_refused_connect_is_reported_once<N: Net>(net: N) {
    let log = SharedLog::default();
    let (mut rig, outbound) = calling(net, &log);
    let remote = rig.net.remote(Answer::Refuse);
    call(&mut rig, outbound, &Connect::to(Address::Tcp(remote)));
    rig.until("the failure", |_| (!log.borrow().connect_failed.is_empty()).then_some(()));
    rig.finish();
    assert_eq!(log.borrow().connect_failed, [io::ErrorKind::ConnectionRefused]);
    assert!(log.borrow().closed.is_empty(), "what was never up is not closed");
}

fn a_connect_without_an_answer_fails_when_its_time_is_over<N: Net>(net: N) {
    let log = SharedLog::default();
    let (mut rig, outbound) = calling(net, &log);
    let remote = rig.net.remote(Answer::Silence);
    call(&mut rig, outbound, &Connect::to(Address::Tcp(remote)).timeout(Duration::from_millis(40)));
    rig.until("the failure", |_| (!log.borrow().connect_failed.is_empty()).then_some(()));
    rig.finish();
    assert_eq!(log.borrow().connect_failed, [io::ErrorKind::TimedOut]);
}

fn a_connection_comes_from_the_address_it_was_told_to<N: Net>(net: N) {
    let log = SharedLog::default();
    let (mut rig, outbound) = calling(net, &log);
    let remote = rig.net.remote(Answer::Accept);
    let source: SocketAddr = "127.0.0.3:0".parse().expect("an address");
    call(&mut rig, outbound, &Connect::to(Address::Tcp(remote)).from(source));
    let (mut server, from) = rig.until("the connection", |rig| rig.net.accept(remote));
    assert_eq!(from.ip(), source.ip());
    assert_eq!(rig.line(&mut server), "hello");
    drop(server);
    rig.finish();
}

fn many_outbound_connections_come_up_side_by_side<N: Net>(net: N) {
    let log = SharedLog::default();
    let (mut rig, outbound) = calling(net, &log);
    let (open, closed) = (rig.net.remote(Answer::Accept), rig.net.remote(Answer::Refuse));
    for _ in 0..20 {
        call(&mut rig, outbound, &Connect::to(Address::Tcp(open)));
        call(&mut rig, outbound, &Connect::to(Address::Tcp(closed)));
    }
    let mut servers = Vec::new();
    rig.until("all of them", |rig| {
        servers.extend(rig.net.accept(open));
        (servers.len() == 20 && log.borrow().connect_failed.len() == 20).then_some(())
    });
    for (server, _) in &mut servers {
        assert_eq!(rig.line(server), "hello");
    }
    rig.remote.stop();
    for (server, _) in &mut servers {
        assert_eq!(rig.read_to_end(server), (Vec::new(), Ending::Finished));
    }
    drop(servers);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Shutdown; 20]);
}

fn a_connect_after_the_stop_fails_and_one_under_way_is_given_up<N: Net>(net: N) {
    let log = SharedLog::default();
    let (mut rig, outbound) = calling(net, &log);
    let (silent, open) = (rig.net.remote(Answer::Silence), rig.net.remote(Answer::Accept));
    call(&mut rig, outbound, &Connect::to(Address::Tcp(silent)));
    rig.until("the connect to begin", |rig| (rig.reactor.core().slab.len() == 1).then_some(()));
    rig.remote.stop();
    call(&mut rig, outbound, &Connect::to(Address::Tcp(open)));
    rig.until("both failures", |_| (log.borrow().connect_failed.len() == 2).then_some(()));
    rig.finish();
    assert_eq!(log.borrow().connect_failed, [io::ErrorKind::ConnectionAborted; 2]);
}

/// Connects to whichever of some addresses answers.
fn call_any<N: Net>(rig: &mut Rig<N>, outbound: Outbound<Script>, addresses: &[SocketAddr], timeout: Duration) {
    let connect = Connect::to_any(addresses.iter().map(|address| Address::Tcp(*address))).timeout(timeout);
    call(rig, outbound, &connect);
}

fn an_address_that_fails_or_is_silent_is_followed_by_the_next<N: Net>(net: N) {
    let log = SharedLog::default();
    let (mut rig, outbound) = calling(net, &log);
    let (refusing, silent) = (rig.net.remote(Answer::Refuse), rig.net.remote(Answer::Silence));
    let open = rig.net.remote(Answer::Accept);
    for (before, shortest, longest) in [
        (&[refusing, refusing][..], Duration::ZERO, Duration::from_secs(8)),
        (&[silent], Duration::from_millis(240), Duration::from_secs(8)),
        (&[silent, refusing, silent], Duration::from_millis(490), Duration::from_secs(8)),
    ] {
        let began = rig.reactor.driver().now();
        call_any(&mut rig, outbound, &[before, &[open]].concat(), Duration::from_secs(10));
        let (mut server, _) = rig.until("the connection", |rig| rig.net.accept(open));
        let took = rig.reactor.driver().now() - began;
        assert!((shortest..longest).contains(&took), "{before:?} took {took:?}");
        assert_eq!(rig.line(&mut server), "hello", "the session is the one that was given");
        assert_eq!(rig.ask(&mut server, "echo back"), "back");
        assert!(!rig.reactor.is_racing());
        drop(server);
        rig.until("it to be gone", |rig| rig.reactor.core().slab.is_empty().then_some(()));
    }
    let rig = rig.finish();
    assert_eq!((rig.stats(0).connected, rig.stats(0).connections), (3, 0));
    assert_eq!(
        (log.borrow().connect_failed.len(), log.borrow().closed.len()),
        (0, 3),
        "of the others nothing is heard"
    );
}

fn where_no_address_answers_that_is_said_once<N: Net>(net: N) {
    let log = SharedLog::default();
    let (mut rig, outbound) = calling(net, &log);
    let (refusing, silent) = (rig.net.remote(Answer::Refuse), rig.net.remote(Answer::Silence));
    // Where a refusal has to come before the time is over, there is time for it.
    for (addresses, timeout_ms, kind) in [
        (&[refusing, refusing, refusing][..], 10_000, io::ErrorKind::ConnectionRefused),
        (&[silent, silent], 40, io::ErrorKind::TimedOut),
        (&[silent, silent, silent], 600, io::ErrorKind::TimedOut),
        (&[refusing, silent], 2_000, io::ErrorKind::ConnectionRefused),
        (&[silent, refusing], 2_000, io::ErrorKind::ConnectionRefused),
    ] {
        let began = rig.reactor.driver().now();
        call_any(&mut rig, outbound, addresses, Duration::from_millis(timeout_ms));
        rig.until("the failure", |_| (!log.borrow().connect_failed.is_empty()).then_some(()));
        rig.until("all to be gone", |rig| rig.reactor.core().slab.is_empty().then_some(()));
        assert!(!rig.reactor.is_racing());
        assert_eq!(std::mem::take(&mut log.borrow_mut().connect_failed), [kind], "{addresses:?}");
        let took = rig.reactor.driver().now() - began;
        assert!(took < Duration::from_secs(8), "{addresses:?} took {took:?}");
    }
    let rig = rig.finish();
    assert_eq!(rig.stats(0).closed(CloseReason::ConnectFailed(io::ErrorKind::Other)), 5);
}

fn attempts_that_are_under_way_when_the_engine_stops_are_given_up_as_one<N: Net>(net: N) {
    let log = SharedLog::default();
    let (mut rig, outbound) = calling(net, &log);
    let silent = rig.net.remote(Answer::Silence);
    call_any(&mut rig, outbound, &[silent, silent, silent, silent], Duration::from_secs(20));
    rig.until("two attempts", |rig| (rig.reactor.core().slab.len() >= 2).then_some(()));
    rig.remote.stop();
    rig.until("the failure", |_| (!log.borrow().connect_failed.is_empty()).then_some(()));
    rig.finish();
    assert_eq!(log.borrow().connect_failed, [io::ErrorKind::ConnectionAborted]);
}

fn without_a_slot_for_another_attempt_the_failure_is_reported<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut setup = Setup::new();
    setup.slots = 1;
    let outbound = setup.outbound(Script::new(&log));
    let mut rig = setup.on(net);
    let (refusing, open) = (rig.net.remote(Answer::Refuse), rig.net.remote(Answer::Accept));
    call_any(&mut rig, outbound, &[refusing, open], Duration::from_secs(10));
    rig.until("the failure", |_| (!log.borrow().connect_failed.is_empty()).then_some(()));
    rig.finish();
    assert_eq!(log.borrow().connect_failed, [io::ErrorKind::ConnectionRefused]);
}

on_every_driver!(
    an_address_that_fails_or_is_silent_is_followed_by_the_next,
    where_no_address_answers_that_is_said_once,
    attempts_that_are_under_way_when_the_engine_stops_are_given_up_as_one,
    without_a_slot_for_another_attempt_the_failure_is_reported,
    an_outbound_connection_is_served_like_any_other,
    a_refused_connect_is_reported_once,
    a_connect_without_an_answer_fails_when_its_time_is_over,
    a_connection_comes_from_the_address_it_was_told_to,
    many_outbound_connections_come_up_side_by_side,
    a_connect_after_the_stop_fails_and_one_under_way_is_given_up,
);
