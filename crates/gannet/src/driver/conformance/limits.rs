//! Limits: what is over one is refused, counted, and has its place again when somebody leaves.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::Net;
use super::on_every_driver;
use super::rig::{Ending, Setup};
use super::script::{Script, SharedLog};
use crate::driver::Driver;
use crate::driver::sim::Answer;
use crate::{Address, CloseReason, Connect, Refusal};

fn a_connection_over_the_limit_is_reset_and_one_more_fits_when_another_left<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().limits(|limits| limits.connections = 3);
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let mut clients: Vec<_> = (0..3).map(|_| rig.connect()).collect();
    for client in &mut clients {
        assert_eq!(rig.ask(client, "echo in"), "in");
    }
    for _ in 0..2 {
        let mut refused = rig.connect();
        assert_eq!(rig.read_to_end(&mut refused), (Vec::new(), Ending::Reset));
    }
    assert_eq!(rig.stats(0).refused(Refusal::Connections), 2);
    clients.pop();
    rig.until("its slot to be free", |rig| (rig.reactor.core().slab.len() == 2).then_some(()));
    let mut next = rig.connect();
    assert_eq!(rig.ask(&mut next, "echo in"), "in");
    drop((clients, next));
    rig.until_closed(CloseReason::Peer, 4);
    rig.finish();
}

fn one_address_cannot_take_all_the_room<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().limits(|limits| limits.connections_per_peer = 2);
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let other = IpAddr::from(Ipv4Addr::new(127, 0, 0, 2));
    let (mut one, mut two) = (rig.connect(), rig.connect());
    assert_eq!(rig.ask(&mut one, "echo in"), "in");
    assert_eq!(rig.ask(&mut two, "echo in"), "in");
    let mut refused = rig.connect();
    assert_eq!(rig.read_to_end(&mut refused), (Vec::new(), Ending::Reset));
    let mut elsewhere = rig.connect_from(other);
    assert_eq!(rig.ask(&mut elsewhere, "echo in"), "in");
    assert_eq!(rig.stats(0).refused(Refusal::Peer), 1);
    drop(one);
    rig.until("its slot to be free", |rig| (rig.reactor.core().slab.len() == 2).then_some(()));
    let mut next = rig.connect();
    assert_eq!(rig.ask(&mut next, "echo in"), "in");
    drop((two, elsewhere, next));
    rig.finish();
}

fn more_accepts_than_a_second_may_have_wait_for_the_next<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().limits(|limits| limits.accepts_per_second = 100);
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let began = rig.reactor.driver().now();
    let mut clients: Vec<_> = (0..30).map(|_| rig.connect()).collect();
    rig.until("all to be accepted", |_| (log.borrow().opened.len() == 30).then_some(()));
    let took = rig.reactor.driver().now() - began;
    // Ten at once, the others 10 ms each; a few may come in after accepting was turned off.
    assert!(took >= Duration::from_millis(100), "30 accepted in {took:?}");
    assert!(rig.stats(0).accept_pauses > 0);
    for client in &mut clients {
        assert_eq!(rig.ask(client, "echo in"), "in", "nobody is turned away");
    }
    drop(clients);
    rig.finish();
}

fn a_reactor_without_a_free_slot_refuses_and_keeps_nothing<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut setup = Setup::new().listen(Script::new(&log));
    setup.slots = 1;
    let outbound = setup.outbound(Script::new(&log));
    let mut rig = setup.on(net);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "echo in"), "in");
    let mut refused = rig.connect();
    assert_eq!(rig.read_to_end(&mut refused), (Vec::new(), Ending::Reset));
    assert_eq!(rig.stats(0).refused(Refusal::Room), 1);
    let connect = Connect::to(Address::Tcp(rig.net.remote(Answer::Accept)));
    rig.remote.connect(0, outbound, &connect, String::new()).expect("the mailbox has room");
    rig.until("the refusal", |rig| (rig.stats(1).refused(Refusal::Room) == 1).then_some(()));
    drop(client);
    rig.finish();
}

on_every_driver!(
    a_reactor_without_a_free_slot_refuses_and_keeps_nothing,
    a_connection_over_the_limit_is_reset_and_one_more_fits_when_another_left,
    one_address_cannot_take_all_the_room,
    more_accepts_than_a_second_may_have_wait_for_the_next,
);
