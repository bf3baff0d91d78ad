//! Plans on a running reactor: listeners come and go, limits and deadlines change, and nobody notices who need not.

use std::time::Duration;

use super::rig::Setup;
use super::script::{Script, SharedLog};
use super::{Net, on_every_driver};
use crate::counters::RefusalReason;
use crate::host::{HostOf, Served};
use crate::ids::ServiceId;
use crate::limits::{Limits, Timeouts};
use crate::steps::Commit;
use crate::{CloseReason, Context, Drain, Service, proto::Lines};

/// Answers each line with its own name.
struct Named(&'static str);

impl Service for Named {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), _: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[self.0.as_bytes()]);
    }
}

fn named(name: &'static str) -> impl Fn(Timeouts) -> Served + Send + Sync + 'static {
    move |timeouts| Served::Connections(Box::new(HostOf::new(Named(name), timeouts)))
}

fn removal(service: ServiceId) -> Commit {
    Commit { removed: vec![service], ..Commit::default() }
}

fn an_added_listener_serves_when_the_plan_is_in_effect_and_not_before<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Named("old")).on(net);
    let mut old = rig.connect();
    assert_eq!(rig.ask(&mut old, "?"), "old");
    rig.prepare(1, named("new")).expect("it can start");
    let mut new = rig.net.connect_from(1, [127, 0, 0, 1].into());
    rig.write_some(&mut new, b"?\n");
    for _ in 0..20 {
        rig.turn();
        assert_eq!(rig.read_now(&mut new), 0, "nothing is accepted before the plan is in effect");
    }
    rig.commit(Commit { added: vec![1], ..Commit::default() });
    assert_eq!(rig.line(&mut new), "new", "who waited is served");
    assert_eq!(rig.ask(&mut old, "?"), "old");
    assert_eq!((rig.stats(0).accepted, rig.stats(1).accepted), (1, 1));
    drop((old, new));
    rig.finish();
}

fn a_removed_listener_serves_who_waited_and_keeps_its_connections<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Named("kept")).listen(Named("removed")).on(net);
    let mut stays = rig.net.connect_from(1, [127, 0, 0, 1].into());
    assert_eq!(rig.ask(&mut stays, "?"), "removed");
    // More than any driver accepts at once, and nobody has accepted them yet.
    let mut queued: Vec<_> = (0..40).map(|_| rig.net.connect_from(1, [127, 0, 0, 1].into())).collect();
    rig.commit(removal(1));
    for client in &mut queued {
        assert_eq!(rig.ask(client, "?"), "removed", "who was in the queue is served");
    }
    rig.until("the listener to close", |rig| (!rig.reactor.is_listening(1)).then_some(()));
    assert_eq!(rig.ask(&mut stays, "?"), "removed", "who was connected stays");
    let mut other = rig.connect();
    assert_eq!(rig.ask(&mut other, "?"), "kept");
    assert!(rig.reactor.is_served(1), "its connections need it");
    drop((stays, queued, other));
    rig.until("its connections to be gone", |rig| rig.reactor.core().slab.is_empty().then_some(()));
    rig.turn();
    assert!(!rig.reactor.is_served(1), "the service goes with its last connection");
    assert_eq!(rig.stats(1).accepted, 41, "its counters stay");
    rig.finish();
}

fn a_listener_whose_socket_goes_to_a_new_service_refuses_nobody<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Named("old")).on(net);
    let mut stays = rig.connect();
    assert_eq!(rig.ask(&mut stays, "?"), "old");
    rig.prepare_without_socket(1, named("new")).expect("it can start");
    let mut queued: Vec<_> = (0..20).map(|_| rig.connect()).collect();
    rig.commit(Commit { added: vec![1], moved: vec![(0, 1)], ..Commit::default() });
    for client in &mut queued {
        let answer = rig.ask(client, "?");
        assert!(answer == "old" || answer == "new", "{answer}");
    }
    rig.until("the old one to have accepted all that it will", |rig| (!rig.reactor.is_listening(0)).then_some(()));
    let mut later: Vec<_> = (0..20).map(|_| rig.connect()).collect();
    for client in &mut later {
        assert_eq!(rig.ask(client, "?"), "new");
    }
    assert_eq!(rig.ask(&mut stays, "?"), "old");
    drop((stays, queued, later));
    rig.finish();
}

fn lower_limits_close_nobody_and_higher_ones_let_in_more<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = Setup::new().listen(Script::new(&log)).on(net);
    let mut both: Vec<_> = (0..2).map(|_| rig.connect()).collect();
    both.iter_mut().for_each(|client| assert_eq!(rig.ask(client, "echo here"), "here"));
    let limits =
        |connections, per_peer| Some(Limits { connections, connections_per_peer: per_peer, ..Limits::default() });
    rig.commit(Commit { limits: limits(1, 0), ..Commit::default() });
    both.iter_mut().for_each(|client| assert_eq!(rig.ask(client, "echo still"), "still"));
    let mut third = rig.connect();
    rig.read_to_end(&mut third);
    assert_eq!(rig.stats(0).refused(RefusalReason::Connections), 1);
    rig.commit(Commit { limits: limits(3, 1), ..Commit::default() });
    // Who came before there was a limit for each peer does not count towards it.
    let mut third = rig.connect();
    assert_eq!(rig.ask(&mut third, "echo in"), "in");
    rig.commit(Commit { limits: limits(0, 1), ..Commit::default() });
    let mut fourth = rig.connect();
    rig.read_to_end(&mut fourth);
    assert_eq!(rig.stats(0).refused(RefusalReason::Peer), 1);
    rig.commit(Commit { limits: limits(0, 0), ..Commit::default() });
    let mut fourth = rig.connect();
    assert_eq!(rig.ask(&mut fourth, "echo in"), "in");
    drop((both, third, fourth));
    // Asserts that nothing stays counted of those who came and went under other limits.
    rig.finish();
}

fn new_deadlines_hold_for_connections_that_had_none<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().timeouts(|timeouts| (timeouts.idle, timeouts.heartbeat) = (None, None));
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let mut silent: Vec<_> = (0..3).map(|_| rig.connect()).collect();
    silent.iter_mut().for_each(|client| assert_eq!(rig.ask(client, "echo here"), "here"));
    rig.pass(Duration::from_millis(60));
    assert!(log.borrow().closed.is_empty(), "there is no deadline yet");
    let timeouts = Timeouts { idle: Some(Duration::from_millis(50)), heartbeat: None, ..Timeouts::default() };
    rig.commit(Commit { timeouts: Some(timeouts), ..Commit::default() });
    rig.until_closed(CloseReason::Idle, 3);
    let mut later = rig.connect();
    assert_eq!(rig.ask(&mut later, "echo here"), "here");
    rig.until_closed(CloseReason::Idle, 4);
    drop((silent, later));
    rig.finish();
}

fn what_cannot_start_leaves_no_trace<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Named("old")).on(net);
    let error = rig.prepare(1, |_| panic!("no luck")).expect_err("it panics");
    assert!(error.to_string().contains("no luck"), "{error}");
    rig.undo(1);
    assert!(!rig.reactor.is_served(1) && !rig.reactor.is_listening(1));
    // The number is free for another one.
    rig.prepare(1, named("new")).expect("it can start");
    rig.undo(1);
    rig.prepare(1, named("newer")).expect("it can start");
    rig.commit(Commit { added: vec![1], ..Commit::default() });
    let mut client = rig.net.connect_from(1, [127, 0, 0, 1].into());
    assert_eq!(rig.ask(&mut client, "?"), "newer");
    drop(client);
    rig.finish();
}

fn a_plan_that_comes_while_the_engine_drains_changes_nothing<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = Setup::new().listen(Script { stays: true, ..Script::new(&log) }).on(net);
    let mut stays = rig.connect();
    assert_eq!(rig.ask(&mut stays, "echo here"), "here");
    // It is prepared already when the engine is told to stop.
    rig.prepare(1, named("late")).expect("it can start");
    rig.remote.stop();
    assert_eq!(rig.line(&mut stays), "bye");
    rig.commit(Commit { added: vec![1], ..Commit::default() });
    assert!(!rig.reactor.is_listening(1) && !rig.reactor.is_served(1));
    assert!(rig.prepare(2, named("later")).is_err(), "nothing starts any more");
    drop(stays);
    rig.until("the engine to end", |rig| rig.reactor.is_done().then_some(()));
    rig.finish();
}

fn a_listener_that_drains_goes_on_to_refuse_with_its_new_service<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Named("old")).on(net);
    rig.remote.drain(&Drain::new().listener("listener 0")).expect("there is one");
    rig.until("the drain to begin", |rig| rig.is_refused(0).then_some(()));
    rig.prepare_without_socket(1, named("new")).expect("it can start");
    rig.commit(Commit { added: vec![1], moved: vec![(0, 1)], ..Commit::default() });
    assert!(rig.is_refused(0), "the new one drains too");
    assert!(rig.remote.cancel_drain(Some("listener 0")).expect("there is one"));
    rig.until("it to accept again", |rig| (!rig.is_refused(0)).then_some(()));
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "?"), "new");
    drop(client);
    rig.finish();
}

fn a_listener_that_drains_can_be_removed<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Named("kept")).listen(Named("removed")).on(net);
    rig.remote.drain(&Drain::new().listener("listener 1")).expect("there is one");
    rig.turn();
    rig.commit(removal(1));
    rig.until("the listener to close", |rig| (!rig.reactor.is_listening(1)).then_some(()));
    rig.until("its service to go", |rig| (!rig.reactor.is_served(1)).then_some(()));
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "?"), "kept");
    drop(client);
    rig.finish();
}

fn what_is_added_while_all_drains_waits_for_the_end_of_the_drain<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = Setup::new().listen(Script { stays: true, ..Script::new(&log) }).on(net);
    let mut stays = rig.connect();
    assert_eq!(rig.ask(&mut stays, "echo here"), "here");
    rig.remote.drain(&Drain::new()).expect("nothing drains yet");
    assert_eq!(rig.line(&mut stays), "bye");
    rig.prepare(1, named("new")).expect("it can start");
    rig.commit(Commit { added: vec![1], ..Commit::default() });
    assert!(rig.is_refused(1), "nothing is accepted while all drains");
    assert!(rig.remote.cancel_drain(None).expect("it is the whole engine"));
    rig.turn();
    let mut client = rig.net.connect_from(1, [127, 0, 0, 1].into());
    assert_eq!(rig.ask(&mut client, "?"), "new");
    drop((stays, client));
    rig.finish();
}

on_every_driver!(
    a_listener_that_drains_goes_on_to_refuse_with_its_new_service,
    a_listener_that_drains_can_be_removed,
    what_is_added_while_all_drains_waits_for_the_end_of_the_drain,
    an_added_listener_serves_when_the_plan_is_in_effect_and_not_before,
    a_removed_listener_serves_who_waited_and_keeps_its_connections,
    a_listener_whose_socket_goes_to_a_new_service_refuses_nobody,
    lower_limits_close_nobody_and_higher_ones_let_in_more,
    new_deadlines_hold_for_connections_that_had_none,
    what_cannot_start_leaves_no_trace,
    a_plan_that_comes_while_the_engine_drains_changes_nothing,
);
