//! Connections that the reactor makes itself.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::on_every_driver;
use super::rig::{Ending, Rig, Setup};
use super::script::{Script, SharedLog};
use super::{Client, Net};
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

on_every_driver!(
    an_outbound_connection_is_served_like_any_other,
    a_refused_connect_is_reported_once,
    a_connect_without_an_answer_fails_when_its_time_is_over,
    a_connection_comes_from_the_address_it_was_told_to,
    many_outbound_connections_come_up_side_by_side,
    a_connect_after_the_stop_fails_and_one_under_way_is_given_up,
);
