//! What operators see and do: pages of connections, kicks, those that have closed, traces.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc;
use std::time::Duration;

use super::Net;
use super::on_every_driver;
use super::rig::{Ending, Rig, Setup};
use super::script::{Script, SharedLog};
use super::simulated::on_network;
use crate::address::Peer;
use crate::connection::State;
use crate::driver::sim::{Faults, Random};
use crate::inspect::{MOST_TRACES, SLOTS_A_TURN};
use crate::{
    CloseReason, ClosedConnection, ConnectionState, Direction, InspectError, Kicked, Page, Query, Selection, Sort,
    TraceEvent, TraceOptions, TraceRefusal,
};

const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn scripted<N: Net>(net: N, log: &SharedLog) -> Rig<N> {
    Setup::new().listen(Script::new(log)).on(net)
}

pub(super) fn page<N: Net>(rig: &mut Rig<N>, query: Query) -> Page {
    let (sender, receiver) = mpsc::channel();
    rig.remote.connections(query, move |page| sender.send(page).expect("the test waits")).expect("it runs");
    rig.until("a page", |_| receiver.try_recv().ok())
}

pub(super) fn kick<N: Net>(rig: &mut Rig<N>, select: Selection) -> Kicked {
    let (sender, receiver) = mpsc::channel();
    rig.remote.kick(select, move |kicked| sender.send(kicked).expect("the test waits")).expect("it runs");
    rig.until("the kicks", |_| receiver.try_recv().ok())
}

fn closed<N: Net>(rig: &mut Rig<N>, select: Selection) -> Vec<ClosedConnection> {
    let (sender, receiver) = mpsc::channel();
    let done = move |closed| sender.send(closed).expect("the test waits");
    rig.remote.closed_connections(select, 100, done).expect("it runs");
    rig.until("those that have closed", |_| receiver.try_recv().ok())
}

fn named<N: Net>(rig: &mut Rig<N>, names: &[&str]) -> Vec<N::Client> {
    let mut clients = Vec::new();
    for name in names {
        let mut client = rig.connect();
        rig.write(&mut client, format!("name {name}\n").as_bytes());
        assert_eq!(rig.ask(&mut client, "echo here"), "here");
        clients.push(client);
    }
    clients
}

fn pages_show_every_connection_once_in_the_order_that_was_asked_for<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log);
    let clients = named(&mut rig, &["a", "b", "c", "d", "e"]);
    for sort in [Sort::Pending, Sort::Idle, Sort::Age] {
        let mut query = Query::new(sort, Selection::default());
        query.limit = 2;
        let mut seen = Vec::new();
        loop {
            let page = page(&mut rig, query.clone());
            assert_eq!(page.selected, 5, "{sort:?}");
            assert!(page.connections.len() <= 2);
            seen.extend(page.connections);
            query.after = page.next;
            if query.after.is_none() {
                break;
            }
        }
        let handles: HashSet<_> = seen.iter().map(|one| one.handle).collect();
        let opened: HashSet<_> = log.borrow().opened.iter().copied().collect();
        assert_eq!((seen.len(), handles), (5, opened), "{sort:?}");
        assert!(seen.iter().all(|one| one.state == ConnectionState::Open && one.service == 0 && one.pending == 0));
        let names: HashSet<_> = seen.iter().filter_map(|one| one.description.user_name()).collect();
        assert_eq!(names, HashSet::from(["a", "b", "c", "d", "e"]), "{sort:?}");
    }
    drop(clients);
    rig.finish();
}

fn the_one_that_reads_nothing_comes_first_and_silence_is_told<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log);
    let mut clients = named(&mut rig, &["slow", "silent"]);
    rig.pass(Duration::from_millis(20));
    let pending = |rig: &mut Rig<N>| page(rig, Query::new(Sort::Pending, Selection::default()));
    // The kernel takes some of it, and how much is its own affair.
    rig.write(&mut clients[0], b"flood 3900 1000\n");
    let mut shown = pending(&mut rig).connections;
    while shown[0].pending == 0 {
        rig.turn();
        shown = pending(&mut rig).connections;
    }
    assert!(shown[0].pending > 0 && shown[1].pending == 0);
    assert_eq!(shown[0].description.user_name(), Some("slow"));
    let idle = page(&mut rig, Query::new(Sort::Idle, Selection::default())).connections;
    assert_eq!(idle[0].description.user_name(), Some("silent"));
    assert!(idle[0].idle >= Duration::from_millis(20), "{:?}", idle[0].idle);
    drop(clients);
    rig.finish();
}

fn a_kick_closes_whom_it_selects_and_nobody_else<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log);
    let mut clients = named(&mut rig, &["a", "b", "c", "d"]);
    let mut far = rig.connect_from(OTHER);
    assert_eq!(rig.ask(&mut far, "echo here"), "here");

    let by_handle = Selection { handle: Some(log.borrow().opened[0]), ..Selection::default() };
    let by_user = Selection { user: Some("b".into()), ..Selection::default() };
    let by_channel = Selection { channel: Some("of c".into()), ..Selection::default() };
    let by_network = Selection { network: Some("127.0.0.2/32".parse().expect("a range")), ..Selection::default() };
    let by_other_service = Selection { services: Some(vec![1]), ..Selection::default() };
    for (select, count) in
        [(by_handle.clone(), 1), (by_user, 1), (by_channel, 1), (by_network, 1), (by_other_service, 0), (by_handle, 0)]
    {
        assert_eq!(kick(&mut rig, select.clone()).connections, count, "{select:?}");
    }
    let mut last = clients.pop().expect("four clients");
    for client in clients.iter_mut().chain([&mut far]) {
        assert_eq!(rig.read_to_end(client), (Vec::new(), Ending::Finished));
    }
    assert_eq!(rig.ask(&mut last, "echo unharmed"), "unharmed");
    drop((clients, far));
    rig.until_closed(CloseReason::Other("kicked"), 4);
    assert_eq!(rig.remote.stats()[0].kicked, 4);

    drop(last);
    rig.until_closed(CloseReason::Peer, 1);
    let all = closed(&mut rig, Selection::default());
    let reasons: Vec<_> = all.iter().map(|one| one.reason.name()).collect();
    assert_eq!(reasons, ["peer", "kicked", "kicked", "kicked", "kicked"], "the last one comes first");
    let handles: HashSet<_> = all.iter().map(|one| one.handle).collect();
    assert_eq!(handles, log.borrow().opened.iter().copied().collect());
    let network = Some("127.0.0.2".parse().expect("a range"));
    assert_eq!(closed(&mut rig, Selection { network, ..Selection::default() }).len(), 1);
    rig.finish();
}

fn a_trace_shows_what_passes_both_ways_until_its_connection_closes<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "echo before"), "before");
    let handle = log.borrow().opened[0];
    assert_eq!(rig.remote.handle(&handle.to_string()), Some(handle));
    let trace = rig.remote.trace(handle, TraceOptions { bytes: 8, ..TraceOptions::default() }).expect("it lives");
    rig.turn();
    assert_eq!(rig.ask(&mut client, "echo one"), "one");
    assert_eq!(rig.ask(&mut client, "echo two and more"), "two and more");
    drop(client);
    rig.until_closed(CloseReason::Peer, 1);

    let (mut received, mut sent, mut lengths) = (Vec::new(), Vec::new(), (0, 0));
    let mut events = trace.take();
    assert_eq!(events.pop(), Some(TraceEvent::Closed(CloseReason::Peer)));
    for event in events {
        let TraceEvent::Piece { direction, length, bytes, .. } = event else { panic!("{event:?}") };
        assert!(bytes.len() <= 8);
        match direction {
            Direction::Received => {
                lengths.0 += length;
                received.extend(bytes);
            }
            Direction::Sent => {
                lengths.1 += length;
                sent.extend(bytes);
            }
        }
    }
    assert_eq!(lengths, (27, 17), "all that passed, and once");
    assert!(received.starts_with(b"e"), "{received:?}");
    assert!(sent.starts_with(b"one\n") && !sent.windows(6).any(|window| window == b"before"), "{sent:?}");
    assert!(matches!(rig.remote.trace(handle, TraceOptions::default()), Err(InspectError::Gone)));
    rig.finish();
}

fn a_trace_that_nobody_reads_ends_and_its_connection_goes_on<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "echo before"), "before");
    let handle = log.borrow().opened[0];
    let trace = rig.remote.trace(handle, TraceOptions { pieces: 1, ..TraceOptions::default() }).expect("it lives");
    let second = rig.remote.trace(handle, TraceOptions::default()).expect("it lives");
    rig.turn();
    assert_eq!(second.take(), [TraceEvent::Refused(TraceRefusal::Traced)], "one trace at a time");
    assert_eq!(rig.ask(&mut client, "echo after"), "after");
    rig.turn();
    assert_eq!(trace.take().last(), Some(&TraceEvent::Over), "one piece was all");
    let third = rig.remote.trace(handle, TraceOptions::default()).expect("it lives");
    rig.turn();
    drop(third);
    assert_eq!(rig.ask(&mut client, "echo still here"), "still here");
    assert!(rig.reactor.core().traces.is_empty());
    drop(client);
    rig.finish();
}

fn a_trace_beyond_the_limit_is_told_so_until_another_one_ends<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log);
    let mut clients: Vec<_> = (0..=MOST_TRACES).map(|_| rig.connect()).collect();
    for client in &mut clients {
        assert_eq!(rig.ask(client, "echo here"), "here");
    }
    let handles = log.borrow().opened.clone();
    let trace = |rig: &Rig<N>, handle| rig.remote.trace(handle, TraceOptions::default()).expect("it lives");
    let mut traces: Vec<_> = handles.iter().map(|handle| trace(&rig, *handle)).collect();
    rig.turn();
    let last = traces.pop().expect("one more than there can be");
    assert_eq!(last.take(), [TraceEvent::Refused(TraceRefusal::Full)]);
    assert!(traces.iter().all(|trace| trace.take().is_empty()), "the others go on");
    drop(traces.pop());
    let again = trace(&rig, handles[MOST_TRACES]);
    rig.turn();
    assert_eq!(again.take(), [], "there is room at once");
    drop((traces, clients));
    rig.finish();
}

on_every_driver!(
    a_trace_beyond_the_limit_is_told_so_until_another_one_ends,
    pages_show_every_connection_once_in_the_order_that_was_asked_for,
    the_one_that_reads_nothing_comes_first_and_silence_is_told,
    a_kick_closes_whom_it_selects_and_nobody_else,
    a_trace_shows_what_passes_both_ways_until_its_connection_closes,
    a_trace_that_nobody_reads_ends_and_its_connection_goes_on,
);

#[test]
fn a_walk_over_100_000_connections_looks_at_a_bounded_number_in_each_turn() {
    let log = SharedLog::default();
    let net = on_network(1, Faults::gentle(&mut Random::new(1)).roomy());
    let mut rig = scripted(net, &log);
    let core = rig.reactor.core();
    for _ in 0..100_000 {
        core.insert(0, Peer::UNIX, State::Open).expect("there is room");
    }
    let (sender, receiver) = mpsc::channel();
    let done = move |page| sender.send(page).expect("the test waits");
    rig.remote.connections(Query::new(Sort::Age, Selection::default()), done).expect("it runs");
    let (mut turns, mut at) = (0, 0);
    let page: Page = loop {
        rig.turn();
        turns += 1;
        if let Ok(page) = receiver.try_recv() {
            break page;
        }
        let next = rig.reactor.walk_is_at().expect("the walk goes on");
        assert!(next - at <= SLOTS_A_TURN, "{} slots in one turn", next - at);
        at = next;
    };
    assert_eq!((page.connections.len(), page.selected), (100, 100_000));
    assert!(turns >= 100_000 / SLOTS_A_TURN, "{turns} turns");
}

#[test]
fn an_engine_that_has_ended_answers_with_what_there_is() {
    let log = SharedLog::default();
    let net = on_network(1, Faults::gentle(&mut Random::new(1)).roomy());
    let rig = scripted(net, &log);
    let (sender, receiver) = mpsc::channel();
    let done = move |kicked| sender.send(kicked).expect("the test waits");
    rig.remote.kick(Selection::default(), done).expect("it runs");
    let Rig { reactor, remote, .. } = rig;
    drop(reactor);
    assert_eq!(receiver.try_recv(), Ok(Kicked::default()));
    let refused = remote.kick(Selection::default(), |_| panic!("an order that was refused has no answer"));
    assert_eq!(refused, Err(InspectError::NotRunning));
}
