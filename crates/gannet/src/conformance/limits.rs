//! Limits: what is over one is refused, counted, and has its place again when somebody leaves.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::Net;
use super::on_every_driver;
use super::rig::{Ending, Rig, Setup};
use super::script::{Script, SharedLog};
use crate::driver::Driver;
use crate::driver::sim::Answer;
use crate::proto::Lines;
use crate::quota::Quota;
use crate::{Address, CloseReason, Connect, Context, Group, JoinError, RefusalReason, Service};

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
    assert_eq!(rig.stats(0).refused(RefusalReason::Connections), 2);
    clients.pop();
    rig.until("its slot to be free", |rig| (rig.reactor.core().slab.len() == 2).then_some(()));
    let mut next = rig.connect();
    assert_eq!(rig.ask(&mut next, "echo in"), "in");
    drop((clients, next));
    rig.until_closed(CloseReason::Peer, 4);
    rig.finish();
}

/// Joins a new group for each message, and says what came of it.
struct Joiner;

impl Service for Joiner {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), _: &[u8], cx: &mut Context<'_, Self>) {
        let said: &[u8] = match cx.join(Group::new()) {
            Ok(()) => b"joined",
            Err(JoinError::TooManyOfConnection) => b"too many of the connection",
            Err(JoinError::TooManyOfReactor) => b"too many of the reactor",
            Err(_) => b"closed",
        };
        cx.send(&[said]);
    }
}

fn a_join_over_a_limit_on_groups_is_refused_and_counted<N: Net>(net: N) {
    let setup = Setup::new().limits(|limits| (limits.groups_per_connection, limits.groups) = (2, 3));
    let mut rig = setup.listen(Joiner).on(net);
    let (mut one, mut other) = (rig.connect(), rig.connect());
    for said in ["joined", "joined", "too many of the connection"] {
        assert_eq!(rig.ask(&mut one, "join"), said);
    }
    for said in ["joined", "too many of the reactor"] {
        assert_eq!(rig.ask(&mut other, "join"), said);
    }
    assert_eq!(rig.remote.stats()[0].joins_refused, 2);
    drop((one, other));
    rig.until_closed(CloseReason::Peer, 2);
    rig.finish();
}

/// Says why it takes no more connections.
struct Polite;

impl Service for Polite {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[line]);
    }

    fn refusal(&self, why: RefusalReason) -> &'static [u8] {
        match why {
            RefusalReason::Connections => b"no: all of us are busy\n",
            RefusalReason::Peer => b"no: there are enough of you\n",
            _ => b"",
        }
    }
}

fn a_connection_over_a_limit_is_told_what_its_service_has_to_say<N: Net>(net: N) {
    let setup = Setup::new().limits(|limits| (limits.connections, limits.connections_per_peer) = (3, 2));
    let mut rig = setup.listen(Polite).on(net);
    let ask = |rig: &mut Rig<N>, client: &mut N::Client| {
        rig.write(client, b"hello\n");
        assert_eq!(rig.line(client), "hello");
    };
    let (mut one, mut two) = (rig.connect(), rig.connect());
    ask(&mut rig, &mut one);
    ask(&mut rig, &mut two);
    for _ in 0..3 {
        let mut refused = rig.connect();
        assert_eq!(rig.read_to_end(&mut refused), (b"no: there are enough of you\n".to_vec(), Ending::Finished));
    }
    let mut other = rig.connect_from(IpAddr::from(Ipv4Addr::new(127, 0, 0, 2)));
    ask(&mut rig, &mut other);
    let mut refused = rig.connect_from(IpAddr::from(Ipv4Addr::new(127, 0, 0, 3)));
    assert_eq!(rig.read_to_end(&mut refused), (b"no: all of us are busy\n".to_vec(), Ending::Finished));
    assert_eq!((rig.stats(0).refused(RefusalReason::Peer), rig.stats(0).refused(RefusalReason::Connections)), (3, 1));
    drop((one, two, other));
    rig.until_closed(CloseReason::Peer, 3);
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
    assert_eq!(rig.stats(0).refused(RefusalReason::Peer), 1);
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

fn without_a_free_slot_who_comes_waits_and_who_is_to_be_called_is_refused<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut setup = Setup::new().listen(Script::new(&log));
    setup.slots = 1;
    let outbound = setup.outbound(Script::new(&log));
    let mut rig = setup.on(net);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "echo in"), "in");
    let mut others: Vec<_> = (0..3).map(|_| rig.connect()).collect();
    for other in &mut others {
        rig.write(other, b"echo waited\n");
    }
    rig.until("a pause", |rig| (rig.stats(0).accept_pauses > 0).then_some(()));
    let connect = Connect::to(Address::Tcp(rig.net.remote(Answer::Accept)));
    rig.remote.connect(0, outbound, &connect, String::new()).expect("the mailbox has room");
    rig.until("the refusal", |rig| (rig.stats(1).refused(RefusalReason::Room) == 1).then_some(()));
    assert_eq!(rig.ask(&mut client, "echo still in"), "still in");
    drop(client);
    for mut other in others {
        assert_eq!(rig.line(&mut other), "waited", "they come in by the order in which they came");
    }
    rig.until_closed(CloseReason::Peer, 4);
    let rig = rig.finish();
    assert_eq!(rig.stats(0).refusals().map(|(_, count)| count).sum::<u64>(), 0);
    assert_eq!(rig.remote.stats()[0].waiting, 0);
}

fn who_waits_for_a_slot_when_the_engine_ends_is_refused<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut setup = Setup::new().listen(Script::new(&log));
    setup.slots = 1;
    let mut rig = setup.on(net);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "echo in"), "in");
    let mut other = rig.connect();
    rig.until("it to wait", |rig| (rig.remote.stats()[0].waiting == 1).then_some(()));
    rig.remote.stop();
    assert_eq!(rig.read_to_end(&mut other), (Vec::new(), Ending::Reset));
    drop((client, other));
    rig.finish();
}

/// A client of the second listener.
fn connect_to_second<N: Net>(rig: &mut Rig<N>) -> N::Client {
    rig.net.connect_from(1, Ipv4Addr::LOCALHOST.into())
}

fn over_the_engines_limits_an_operational_listener_still_serves<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().limits(|limits| {
        (limits.connections, limits.connections_per_peer, limits.operational_reserve) = (4, 2, 1);
    });
    let setup = setup.listen(Script::new(&log)).listen(Script::new(&log)).quota(Quota::new(true, 0, 0));
    let mut rig = setup.on(net);
    // All that this peer may have; then all that the engine may have.
    for refusal in [RefusalReason::Peer, RefusalReason::Connections] {
        let mut clients: Vec<_> = (0..2).map(|_| rig.connect()).collect();
        if refusal == RefusalReason::Connections {
            clients.extend((0..2).map(|_| rig.connect_from(Ipv4Addr::new(127, 0, 0, 2).into())));
        }
        for client in &mut clients {
            assert_eq!(rig.ask(client, "echo in"), "in");
        }
        let from = if refusal == RefusalReason::Peer { [127, 0, 0, 1] } else { [127, 0, 0, 3] };
        let mut refused = rig.connect_from(Ipv4Addr::from(from).into());
        assert_eq!(rig.read_to_end(&mut refused), (Vec::new(), Ending::Reset));
        assert_eq!(rig.stats(0).refused(refusal), 1);
        let mut check = connect_to_second(&mut rig);
        assert_eq!(rig.ask(&mut check, "echo well"), "well");
        let mut one_more = connect_to_second(&mut rig);
        assert_eq!(rig.read_to_end(&mut one_more), (Vec::new(), Ending::Reset), "the reserve has an end");
        drop((clients, check));
        rig.until("all to be gone", |rig| rig.reactor.core().slab.is_empty().then_some(()));
    }
    rig.finish();
}

fn a_listener_has_limits_of_its_own<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().listen(Script::new(&log)).quota(Quota::new(false, 2, 1)).listen(Script::new(&log));
    let mut rig = setup.on(net);
    let other = IpAddr::from(Ipv4Addr::new(127, 0, 0, 2));
    let (mut one, mut refused) = (rig.connect(), rig.connect());
    assert_eq!(rig.ask(&mut one, "echo in"), "in");
    assert_eq!(rig.read_to_end(&mut refused), (Vec::new(), Ending::Reset));
    assert_eq!(rig.stats(0).refused(RefusalReason::ListenerPeer), 1);
    let mut two = rig.connect_from(other);
    assert_eq!(rig.ask(&mut two, "echo in"), "in");
    let mut refused = rig.connect_from(Ipv4Addr::new(127, 0, 0, 3).into());
    assert_eq!(rig.read_to_end(&mut refused), (Vec::new(), Ending::Reset));
    assert_eq!(rig.stats(0).refused(RefusalReason::Listener), 1);
    let mut elsewhere: Vec<_> = (0..3).map(|_| connect_to_second(&mut rig)).collect();
    for client in &mut elsewhere {
        assert_eq!(rig.ask(client, "echo in"), "in", "the other listener has none");
    }
    drop((one, two));
    rig.until("their places to be free", |rig| (rig.reactor.core().slab.len() == 3).then_some(()));
    let mut next = rig.connect();
    assert_eq!(rig.ask(&mut next, "echo in"), "in");
    drop((elsewhere, next));
    rig.finish();
}

fn where_slots_are_short_some_are_left_for_an_operational_listener<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut setup = Setup::new().limits(|limits| limits.operational_reserve = 2);
    setup.slots = 16;
    let setup = setup.listen(Script::new(&log)).listen(Script::new(&log)).quota(Quota::new(true, 0, 0));
    let mut rig = setup.on(net);
    let mut clients: Vec<_> = (0..14).map(|_| rig.connect()).collect();
    for client in &mut clients {
        assert_eq!(rig.ask(client, "echo in"), "in");
    }
    let mut late = rig.connect();
    rig.write(&mut late, b"echo waited\n");
    rig.until("a pause", |rig| (rig.stats(0).accept_pauses > 0).then_some(()));
    for _ in 0..5 {
        let mut checks = [connect_to_second(&mut rig), connect_to_second(&mut rig)];
        for check in &mut checks {
            assert_eq!(rig.ask(check, "echo well"), "well");
        }
        drop(checks);
        rig.until("the reserve to be free", |rig| (rig.reactor.core().slab.len() == 14).then_some(()));
    }
    assert_eq!(rig.read_now(&mut late), 0, "it is not for others");
    clients.pop();
    assert_eq!(rig.line(&mut late), "waited");
    drop((clients, late));
    rig.finish();
}

fn the_limit_on_accepts_a_second_is_not_for_an_operational_listener<N: Net>(net: N) {
    let log = SharedLog::default();
    // One of ten in a second, and then one each second.
    let setup = Setup::new().limits(|limits| limits.accepts_per_second = 1);
    let setup = setup.listen(Script::new(&log)).listen(Script::new(&log)).quota(Quota::new(true, 0, 0));
    let mut rig = setup.on(net);
    let began = rig.reactor.driver().now();
    let mut first = rig.connect();
    assert_eq!(rig.ask(&mut first, "echo in"), "in");
    let mut later: Vec<_> = (0..60).map(|_| rig.connect()).collect();
    rig.until("a pause", |rig| (rig.stats(0).accept_pauses > 0).then_some(()));
    let mut checks: Vec<_> = (0..60).map(|_| connect_to_second(&mut rig)).collect();
    for check in &mut checks {
        assert_eq!(rig.ask(check, "echo well"), "well");
    }
    let took = rig.reactor.driver().now() - began;
    assert!(took < Duration::from_secs(30), "60 connections at one a second would be a minute, and it was {took:?}");
    later.clear();
    drop((first, checks));
    rig.remote.stop();
    rig.finish();
}

on_every_driver!(
    without_a_free_slot_who_comes_waits_and_who_is_to_be_called_is_refused,
    who_waits_for_a_slot_when_the_engine_ends_is_refused,
    over_the_engines_limits_an_operational_listener_still_serves,
    a_listener_has_limits_of_its_own,
    where_slots_are_short_some_are_left_for_an_operational_listener,
    the_limit_on_accepts_a_second_is_not_for_an_operational_listener,
    a_connection_over_the_limit_is_reset_and_one_more_fits_when_another_left,
    one_address_cannot_take_all_the_room,
    a_join_over_a_limit_on_groups_is_refused_and_counted,
    a_connection_over_a_limit_is_told_what_its_service_has_to_say,
    more_accepts_than_a_second_may_have_wait_for_the_next,
);
