//! Shutting down: what was accepted is delivered, clients leave at an even pace, and everything ends in time.

use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use super::on_every_driver;
use super::rig::{Ending, Rig, Setup};
use super::script::{Script, SharedLog, numbered};
use super::simulated::on_network;
use super::{Client, Net};
use crate::driver::sim::{Answer, Faults};
use crate::proto::Lines;
use crate::quota::Quota;
use crate::{Address, CloseReason, Connect, Context, Drain, Service, Shutdown};

/// When each client was told to leave, by its number.
type Told = Rc<RefCell<Vec<(Duration, usize)>>>;

/// Notes when each of its clients is told to leave; they are gone at once.
struct Leaving {
    told: Told,
    came: usize,
}

impl Service for Leaving {
    type Codec = Lines;
    type Session = usize;

    fn open(&mut self, _: &mut Context<'_, Self>) -> Result<usize, crate::Refused> {
        self.came += 1;
        Ok(self.came - 1)
    }

    fn message(&mut self, _: &mut usize, line: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[if cx.is_draining() { b"leaving" } else { line }]);
    }

    fn shutdown(&mut self, number: &mut usize, cx: &mut Context<'_, Self>) -> Shutdown {
        assert!(cx.is_draining(), "it knows that this client leaves");
        self.told.borrow_mut().push((cx.now(), *number));
        Shutdown::Reset
    }
}

/// A reactor with so many clients, which are all in.
fn crowded<N: Net>(net: N, clients: usize, spread: Duration) -> (Rig<N>, Vec<N::Client>, Told) {
    let told = Told::default();
    let mut setup = Setup::new().listen(Leaving { told: told.clone(), came: 0 });
    setup.drain_spread = spread;
    let mut rig = setup.on(net);
    let clients = (0..clients).map(|_| {
        let mut client = rig.connect();
        assert_eq!(rig.ask(&mut client, "in"), "in");
        client
    });
    let clients = clients.collect();
    (rig, clients, told)
}

fn clients_are_told_to_leave_evenly_over_the_spread<N: Net>(net: N) {
    let (count, spread) =
        if N::TIME_IS_FREE { (300, Duration::from_secs(60)) } else { (50, Duration::from_millis(500)) };
    let (mut rig, clients, told) = crowded(net, count, spread);
    rig.remote.stop();
    until_done(&mut rig);
    let told = told.borrow();
    assert_eq!(told.len(), count, "each is told once");
    let began = told[0].0;
    for (index, (at, _)) in told.iter().enumerate() {
        // Never ahead of the pace by more than a tenth of all; behind it only where the machine is.
        let allowed = (at.saturating_sub(began) + Duration::from_millis(20)).as_secs_f64() / spread.as_secs_f64();
        let part = index as f64 / count as f64;
        assert!(part <= allowed + 0.1, "{index} of {count} were told after {:?}", at.saturating_sub(began));
        assert!(!N::TIME_IS_FREE || part >= allowed - 0.12, "only {index} of {count} by {at:?}");
    }
    let in_turn = told.windows(2).filter(|pair| pair[0].1.abs_diff(pair[1].1) == 1).count();
    assert!(in_turn < count / 4, "{in_turn} of {count} left right after who came before or after them");
    drop(clients);
    rig.finish();
}

fn a_drain_without_clients_ends_at_once_however_long_its_spread<N: Net>(net: N) {
    let (mut rig, clients, _) = crowded(net, 3, Duration::from_secs(3_600));
    rig.remote.stop();
    // They leave by themselves, long before their time.
    drop(clients);
    until_done(&mut rig);
    rig.finish();
}

fn a_cancelled_drain_keeps_those_who_were_not_told_and_accepts_again<N: Net>(net: N) {
    let (mut rig, mut clients, told) = crowded(net, 40, Duration::from_secs(2));
    rig.remote.drain(&Drain::new()).expect("nothing drains yet");
    assert!(rig.remote.is_stopping());
    rig.until("some to be told", |_| (told.borrow().len() >= 4).then_some(()));
    assert!(rig.remote.cancel_drain(None).expect("it is the whole engine"));
    assert!(!rig.remote.is_stopping());
    rig.turn();
    let gone: Vec<usize> = told.borrow().iter().map(|(_, number)| *number).collect();
    assert!(gone.len() < 40, "not all had their turn");
    for (number, client) in clients.iter_mut().enumerate() {
        if !gone.contains(&number) {
            assert_eq!(rig.ask(client, "still"), "still", "who was not told stays, and is not told that it leaves");
        }
    }
    let mut new = rig.connect();
    assert_eq!(rig.ask(&mut new, "again"), "again", "it accepts again");
    assert!(!rig.remote.cancel_drain(None).expect("it is the whole engine"), "there is none any more");
    assert_eq!(told.borrow().len(), gone.len(), "nobody else is told");
    rig.remote.stop();
    assert!(!rig.remote.cancel_drain(None).expect("it is the whole engine"), "the end is the end");
    drop((clients, new));
    until_done(&mut rig);
    rig.finish();
}

fn nothing_happens_in_the_delay_of_a_drain_that_is_cancelled<N: Net>(net: N) {
    let (mut rig, mut clients, told) = crowded(net, 2, Duration::ZERO);
    rig.remote.drain(&Drain::new().delay(Duration::from_secs(5))).expect("nothing drains yet");
    let mut late = rig.connect();
    assert_eq!(rig.ask(&mut late, "in"), "in", "the delay is for those who look at the health check");
    assert!(rig.remote.cancel_drain(None).expect("it is the whole engine"));
    // Longer than the delay, where that costs nothing.
    rig.pass(Duration::from_millis(if N::TIME_IS_FREE { 10_000 } else { 50 }));
    assert!(told.borrow().is_empty());
    assert_eq!(rig.ask(&mut clients[0], "still"), "still");
    rig.remote.drain(&Drain::new().delay(Duration::from_millis(20))).expect("nothing drains now");
    until_done(&mut rig);
    assert_eq!(told.borrow().len(), 3);
    drop((clients, late));
    rig.finish();
}

fn a_drain_of_one_listener_leaves_the_others_alone<N: Net>(net: N) {
    let (told, others) = (Told::default(), Told::default());
    let setup = Setup::new().listen(Leaving { told: told.clone(), came: 0 });
    let mut rig = setup.listen(Leaving { told: others.clone(), came: 0 }).on(net);
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let mut clients: Vec<_> = (0..6).map(|index| rig.net.connect_from(index % 2, localhost)).collect();
    for client in &mut clients {
        assert_eq!(rig.ask(client, "in"), "in");
    }
    assert!(rig.remote.drain(&Drain::new().listener("nobody")).is_err(), "a name that nobody has is an error");
    rig.remote.drain(&Drain::new().listener("listener 0")).expect("there is one");
    rig.until("its clients to be told", |_| (told.borrow().len() == 3).then_some(()));
    assert!(!rig.remote.is_stopping(), "the engine goes on");
    for client in clients.iter_mut().skip(1).step_by(2) {
        assert_eq!(rig.ask(client, "still"), "still");
    }
    let mut new = rig.net.connect_from(1, localhost);
    assert_eq!(rig.ask(&mut new, "new"), "new");
    assert!(rig.remote.cancel_drain(Some("listener 0")).expect("there is one"));
    rig.turn();
    let mut back = rig.connect();
    assert_eq!(rig.ask(&mut back, "back"), "back", "it accepts again");
    assert!(others.borrow().is_empty());
    rig.remote.stop();
    until_done(&mut rig);
    drop((clients, new, back));
    rig.finish();
}

fn operators_are_served_until_the_last_client_has_left<N: Net>(net: N) {
    let (told, operators_told) = (Told::default(), Told::default());
    let mut setup = Setup::new().listen(Leaving { told: told.clone(), came: 0 });
    setup.drain_spread = Duration::from_secs(3_600);
    let setup = setup.listen(Leaving { told: operators_told.clone(), came: 0 });
    let mut rig = setup.quota(Quota::new(true, 0, 0)).on(net);
    let mut client = rig.connect();
    let mut operator = rig.net.connect_from(1, Ipv4Addr::LOCALHOST.into());
    assert_eq!(rig.ask(&mut client, "in"), "in");
    assert_eq!(rig.ask(&mut operator, "in"), "in");
    // A drain that is taken back, and the end.
    for is_final in [false, true] {
        match is_final {
            false => rig.remote.drain(&Drain::new()).expect("nothing drains yet"),
            true => rig.remote.stop(),
        }
        rig.until("clients to be refused", |rig| rig.is_refused(0).then_some(()));
        let mut next = rig.net.connect_from(1, Ipv4Addr::LOCALHOST.into());
        assert_eq!(rig.ask(&mut next, "who is left?"), "who is left?");
        assert_eq!(rig.ask(&mut operator, "and now?"), "and now?");
        if !is_final {
            assert!(rig.remote.cancel_drain(None).expect("it is the whole engine"));
            rig.turn();
            let mut new = rig.connect();
            assert_eq!(rig.ask(&mut new, "again"), "again");
        }
    }
    assert!(operators_told.borrow().is_empty(), "they are not told before the clients have left");
    drop(client);
    assert_eq!(rig.read_to_end(&mut operator).1, Ending::Reset, "then they are");
    until_done(&mut rig);
    rig.finish();
    assert!(!operators_told.borrow().is_empty());
}

fn an_operator_who_stays_cannot_hold_up_the_end<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut setup = Setup::new().listen(Script::new(&log)).listen(Script { stays: true, ..Script::new(&log) });
    setup.drain_timeout = Duration::from_millis(40);
    let mut rig = setup.quota(Quota::new(true, 0, 0)).on(net);
    let mut operator = rig.net.connect_from(1, Ipv4Addr::LOCALHOST.into());
    assert_eq!(rig.ask(&mut operator, "echo in"), "in");
    rig.remote.stop();
    until_done(&mut rig);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Shutdown]);
    drop(operator);
}

fn operators_who_come_at_the_last_moment_hold_up_nothing<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut setup = Setup::new().listen(Script { stays: true, ..Script::new(&log) }).listen(Script::new(&log));
    setup.drain_timeout = Duration::ZERO;
    let mut rig = setup.quota(Quota::new(true, 0, 0)).on(net);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "echo in"), "in");
    rig.remote.stop();
    let mut operators = Vec::new();
    rig.until("the engine to end", |rig| {
        // One before each turn.
        operators.extend(rig.net.try_connect_from(1, Ipv4Addr::LOCALHOST.into()));
        rig.reactor.is_done().then_some(())
    });
    rig.finish();
    drop((client, operators));
}

fn outbound_connections_serve_those_who_stay_and_leave_last<N: Net>(net: N) {
    let (log, told) = (SharedLog::default(), Told::default());
    let mut setup = Setup::new().listen(Leaving { told: told.clone(), came: 0 });
    setup.drain_spread = Duration::from_millis(if N::TIME_IS_FREE { 10_000 } else { 300 });
    let outbound = setup.outbound(Script { stays: true, ..Script::new(&log) });
    let mut rig = setup.on(net);
    let mut clients: Vec<_> = (0..10).map(|_| rig.connect()).collect();
    for client in &mut clients {
        assert_eq!(rig.ask(client, "in"), "in");
    }
    let remote = rig.net.remote(Answer::Accept);
    let connect = Connect::to(Address::Tcp(remote));
    rig.remote.connect(0, outbound, &connect, "hello".to_owned()).expect("there is room");
    let (mut server, _) = rig.until("the connection", |rig| rig.net.accept(remote));
    assert_eq!(rig.line(&mut server), "hello");
    rig.remote.stop();
    rig.until("half of the clients to be told", |_| (told.borrow().len() >= 5).then_some(()));
    if N::TIME_IS_FREE {
        rig.remote.connect(0, outbound, &connect, "more".to_owned()).expect("there is room");
        let (mut other, _) = rig.until("another connection", |rig| rig.net.accept(remote));
        assert_eq!(rig.line(&mut other), "more", "those who are left may need new ones");
    }
    assert_eq!(rig.line(&mut server), "bye");
    assert_eq!(told.borrow().len(), 10, "all others were told before");
    drop((server, clients));
    until_done(&mut rig);
    rig.finish();
}

/// The pace does not depend on how many they are.
#[test]
fn a_hundred_thousand_clients_leave_within_a_tenth_of_the_pace() {
    let (count, spread) = (100_000, Duration::from_secs(60));
    let told = Told::default();
    let mut setup = Setup::new().listen(Leaving { told: told.clone(), came: 0 });
    setup.drain_spread = spread;
    let mut rig = setup.on(on_network(0, Faults::none()));
    let address = |index: u32| IpAddr::V4(Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 0).to_bits() + index / 100));
    let mut clients: Vec<_> = (0..count).map(|index| Some(rig.connect_from(address(index)))).collect();
    rig.until("all to be in", |rig| (rig.stats(0).accepted == u64::from(count)).then_some(()));
    // Every third leaves before: the slots that are in use have gaps.
    clients.iter_mut().step_by(3).for_each(|client| drop(client.take()));
    let left = clients.iter().flatten().count();
    rig.until("a third to be gone", |rig| (rig.stats(0).connections == left as u64).then_some(()));
    rig.remote.stop();
    until_done(&mut rig);
    let told = told.borrow();
    assert_eq!(told.len(), left);
    let (began, pace) = (told[0].0, left as f64 / spread.as_secs_f64());
    let mut seconds = vec![0u32; spread.as_secs() as usize];
    for (at, _) in &*told {
        let second = (at.saturating_sub(began).as_secs() as usize).min(seconds.len() - 1);
        seconds[second] += 1;
    }
    for (second, count) in seconds.iter().enumerate() {
        let ratio = f64::from(*count) / pace;
        assert!((0.9..=1.1).contains(&ratio), "{count} in second {second} where {pace} were asked for");
    }
    drop(clients);
}

fn until_done<N: Net>(rig: &mut Rig<N>) {
    rig.until("the engine to end", |rig| rig.reactor.is_done().then_some(()));
}

fn a_stop_delivers_what_was_accepted_and_closes_everything<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().limits(|limits| (limits.outbox_high, limits.outbox_hard) = (64 << 20, 64 << 20));
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let (mut idle, mut busy) = (rig.connect(), rig.connect());
    assert_eq!(rig.ask(&mut idle, "echo here"), "here");
    rig.write(&mut busy, b"flood 300 20000\n");
    rig.until("the flood", |_| (log.borrow().messages == 2).then_some(()));
    rig.remote.stop();
    assert_eq!(rig.read_to_end(&mut idle), (Vec::new(), Ending::Finished));
    let (read, ending) = rig.read_to_end(&mut busy);
    assert_eq!((read.len(), ending), (300 * 20_001, Ending::Finished));
    let last = numbered(299, 20_000) + "\n";
    assert!(read.ends_with(last.as_bytes()));
    drop((idle, busy));
    until_done(&mut rig);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Shutdown; 2]);
}

fn nobody_is_accepted_while_the_engine_drains<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = Setup::new().listen(Script { stays: true, ..Script::new(&log) }).on(net);
    let mut stays = rig.connect();
    assert_eq!(rig.ask(&mut stays, "echo here"), "here");
    // They are in the backlog when the listener closes.
    let mut late: Vec<_> = (0..3).map(|_| rig.connect()).collect();
    rig.remote.stop();
    assert_eq!(rig.line(&mut stays), "bye");
    for client in &mut late {
        client.shutdown();
        let (read, _) = rig.read_to_end(client);
        assert!(read.is_empty() || read == b"bye\n", "it was accepted before the stop or not at all");
    }
    assert_eq!(rig.ask(&mut stays, "echo still"), "still", "who stays is still served");
    drop((stays, late));
    until_done(&mut rig);
    rig.finish();
}

fn what_is_left_when_the_drain_timeout_is_over_is_closed<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = Setup::new().listen(Script { stays: true, ..Script::new(&log) }).on(net);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "echo here"), "here");
    // The engine started with another one. Longer than the client takes to be told, and to ask once more.
    rig.remote.set_drain_times(&Drain::new().timeout(Duration::from_millis(500)));
    rig.remote.stop();
    assert_eq!(rig.line(&mut client), "bye");
    assert_eq!(rig.ask(&mut client, "echo still"), "still");
    let (read, _) = rig.read_to_end(&mut client);
    assert!(read.is_empty());
    until_done(&mut rig);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Shutdown]);
}

fn a_peer_that_reads_nothing_cannot_hold_up_the_end<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut setup = Setup::new().limits(|limits| limits.outbox_hard = 64 << 20);
    setup.drain_timeout = Duration::from_millis(40);
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let mut client = rig.connect();
    rig.write(&mut client, b"flood 32 1000000\n");
    rig.until("the flood", |_| (log.borrow().messages == 1).then_some(()));
    rig.remote.stop();
    until_done(&mut rig);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Shutdown]);
    drop(client);
}

on_every_driver!(
    a_stop_delivers_what_was_accepted_and_closes_everything,
    nobody_is_accepted_while_the_engine_drains,
    what_is_left_when_the_drain_timeout_is_over_is_closed,
    a_peer_that_reads_nothing_cannot_hold_up_the_end,
    clients_are_told_to_leave_evenly_over_the_spread,
    a_drain_without_clients_ends_at_once_however_long_its_spread,
    a_cancelled_drain_keeps_those_who_were_not_told_and_accepts_again,
    nothing_happens_in_the_delay_of_a_drain_that_is_cancelled,
    a_drain_of_one_listener_leaves_the_others_alone,
    operators_are_served_until_the_last_client_has_left,
    an_operator_who_stays_cannot_hold_up_the_end,
    operators_who_come_at_the_last_moment_hold_up_nothing,
    outbound_connections_serve_those_who_stay_and_leave_last,
);
