//! Who may connect: lists, limits of prefixes and rates, which can be replaced while connections are open.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::rig::{Ending, Rig, Setup};
use super::script::{Script, SharedLog};
use super::{Net, on_every_driver};
use crate::driver::Driver;
use crate::proto::Lines;
use crate::quota::Quota;
use crate::{Access, AccessRules, CloseReason, Context, RefusalReason, Service};

fn machine(last: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, last).into()
}

fn rules(change: impl FnOnce(&mut AccessRules)) -> AccessRules {
    let mut rules = AccessRules::default();
    change(&mut rules);
    rules
}

fn replace(access: &Access, change: impl FnOnce(&mut AccessRules)) {
    access.replace(&rules(change)).expect("no contradiction");
}

/// Asserts that a connection from there is reset.
fn assert_refused<N: Net>(rig: &mut Rig<N>, from: IpAddr) {
    let mut client = rig.connect_from(from);
    assert_eq!(rig.read_to_end(&mut client), (Vec::new(), Ending::Reset), "from {from}");
}

/// A client from there that was let in.
fn let_in<N: Net>(rig: &mut Rig<N>, from: IpAddr) -> N::Client {
    let mut client = rig.connect_from(from);
    assert_eq!(rig.ask(&mut client, "echo in"), "in", "from {from}");
    client
}

fn who_is_on_a_list_is_refused_and_a_new_list_closes_nobody<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().listen(Script::new(&log));
    let setup = setup.access(&rules(|rules| rules.deny = vec!["127.0.0.2/32".parse().expect("a network")]));
    let access = setup.access.clone().expect("it was just set");
    let mut rig = setup.on(net);
    let mut one = let_in(&mut rig, machine(1));
    assert_refused(&mut rig, machine(2));
    // Only the second now: the first is on no list of who may.
    replace(&access, |rules| rules.allow = vec!["127.0.0.2/31".parse().expect("a network")]);
    assert_refused(&mut rig, machine(1));
    let mut two = let_in(&mut rig, machine(2));
    assert_eq!(rig.ask(&mut one, "echo still in"), "still in");
    replace(&access, |_| {});
    let three = let_in(&mut rig, machine(1));
    assert_eq!(rig.ask(&mut two, "echo still in"), "still in");
    assert_eq!(rig.stats(0).refused(RefusalReason::Denied), 2);
    assert_eq!(rig.stats(0).accepted, 3, "nobody that was refused was opened");
    drop((one, two, three));
    rig.until_closed(CloseReason::Peer, 3);
    rig.finish();
}

fn a_prefix_and_the_network_around_it_have_limits_that_can_be_set_at_any_time<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().listen(Script::new(&log)).access(&AccessRules::default());
    let access = setup.access.clone().expect("it was just set");
    let mut rig = setup.on(net);
    // Nothing is counted without a limit: this one stays uncounted, and its end takes nobody's place away.
    let before = let_in(&mut rig, machine(1));
    replace(&access, |rules| (rules.connections_per_prefix, rules.connections_per_network) = (1, 2));
    let one = let_in(&mut rig, machine(1));
    assert_refused(&mut rig, machine(1));
    let two = let_in(&mut rig, machine(2));
    assert_refused(&mut rig, machine(3));
    let stats = rig.stats(0);
    assert_eq!((stats.refused(RefusalReason::Prefix), stats.refused(RefusalReason::Network)), (1, 1));
    drop(before);
    rig.until_closed(CloseReason::Peer, 1);
    assert_refused(&mut rig, machine(1));
    drop(one);
    rig.until_closed(CloseReason::Peer, 2);
    rig.until("its slot to be free", |rig| (rig.reactor.core().slab.len() == 1).then_some(()));
    let three = let_in(&mut rig, machine(3));
    // Without limits, those that are counted leave as they came.
    replace(&access, |_| {});
    let four = let_in(&mut rig, machine(3));
    drop((two, three, four));
    rig.finish();
}

fn an_address_connects_no_more_often_than_its_rate_says<N: Net>(net: N) {
    let log = SharedLog::default();
    // Longer than three connections take on a machine that is busy.
    let every = Duration::from_secs(2);
    let rate = 1.0 / every.as_secs_f64();
    let setup = Setup::new().listen(Script::new(&log)).access(&rules(|rules| rules.connection_rate = rate));
    let mut rig = setup.on(net);
    let began = rig.reactor.driver().now();
    let mut clients = vec![let_in(&mut rig, machine(1))];
    assert_refused(&mut rig, machine(1));
    clients.push(let_in(&mut rig, machine(2)));
    // Whoever tries again and again comes in when its time has come, and not before.
    let mut refused = 1;
    loop {
        let mut client = rig.connect();
        let came_in = rig.until("an answer", |rig| {
            let stats = rig.stats(0);
            if stats.refused(RefusalReason::Rate) > refused {
                return Some(false);
            }
            (stats.accepted == 3).then_some(true)
        });
        if came_in {
            assert_eq!(rig.ask(&mut client, "echo in"), "in");
            clients.push(client);
            break;
        }
        refused += 1;
        rig.pass(Duration::from_millis(20));
    }
    let took = rig.reactor.driver().now() - began;
    assert!(took >= every, "{took:?}");
    drop(clients);
    rig.finish();
}

fn an_operational_listener_keeps_the_lists_and_has_neither_rate_nor_the_same_limits<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().limits(|limits| limits.operational_reserve = 1);
    let setup = setup.listen(Script::new(&log)).quota(Quota::new(true, 0, 0));
    let setup = setup.access(&rules(|rules| {
        rules.deny = vec!["127.0.0.2".parse::<IpAddr>().expect("an address").into()];
        rules.connection_rate = 1.0;
        rules.connections_per_prefix = 2;
    }));
    let mut rig = setup.on(net);
    let clients: Vec<_> = (0..3).map(|_| let_in(&mut rig, machine(1))).collect();
    assert_refused(&mut rig, machine(1));
    assert_refused(&mut rig, machine(2));
    let stats = rig.stats(0);
    assert_eq!((stats.refused(RefusalReason::Prefix), stats.refused(RefusalReason::Denied)), (1, 1));
    drop(clients);
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
            RefusalReason::Denied => b"no: not you\n",
            RefusalReason::Prefix => b"no: there are enough of yours\n",
            _ => b"",
        }
    }
}

fn who_is_refused_is_told_what_its_service_has_to_say<N: Net>(net: N) {
    let mut setup = Setup::new().listen(Polite);
    setup.access = Some(Arc::new(
        Access::new(&rules(|rules| {
            rules.deny = vec!["127.0.0.2/32".parse().expect("a network")];
            rules.connections_per_prefix = 1;
        }))
        .expect("no contradiction"),
    ));
    let mut rig = setup.on(net);
    let mut denied = rig.connect_from(machine(2));
    assert_eq!(rig.read_to_end(&mut denied), (b"no: not you\n".to_vec(), Ending::Finished));
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "hello"), "hello");
    let mut more = rig.connect();
    assert_eq!(rig.read_to_end(&mut more), (b"no: there are enough of yours\n".to_vec(), Ending::Finished));
    drop(client);
    rig.finish();
}

fn who_is_denied_does_not_wait_for_room_either<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut setup = Setup::new().listen(Script::new(&log));
    setup = setup.access(&rules(|rules| rules.deny = vec!["127.0.0.2/32".parse().expect("a network")]));
    setup.slots = 1;
    let mut rig = setup.on(net);
    let client = let_in(&mut rig, machine(1));
    assert_refused(&mut rig, machine(2));
    assert_eq!(rig.remote.stats()[0].waiting, 0);
    drop(client);
    rig.finish();
}

on_every_driver!(
    who_is_on_a_list_is_refused_and_a_new_list_closes_nobody,
    a_prefix_and_the_network_around_it_have_limits_that_can_be_set_at_any_time,
    an_address_connects_no_more_often_than_its_rate_says,
    an_operational_listener_keeps_the_lists_and_has_neither_rate_nor_the_same_limits,
    who_is_refused_is_told_what_its_service_has_to_say,
    who_is_denied_does_not_wait_for_room_either,
);
