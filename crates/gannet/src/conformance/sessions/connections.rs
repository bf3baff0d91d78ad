//! What connections have, sessions have too: deadlines, limits, groups, handles, filters, access rules, inspection.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::super::filters::{DATA, END, Units, greeted, read_data, unit};
use super::super::inspection::{kick, page};
use super::super::rig::{Ending as StreamEnding, Rig, Setup};
use super::super::{Client, Net, on_every_driver};
use super::dropping::cut;
use super::{Gone, Notes, dialogues, echo, serve};
use crate::proto::Lines;
use crate::session::{Connection, sleep};
use crate::{
    AccessRules, CloseMode, CloseReason, ConnectionState, Group, Query, RefusalReason, Selection, SendError, Sort,
};

/// Sessions that say hello, and then wait for what does not come; it is noted when they are dropped.
fn waiting(setup: Setup, notes: &Notes) -> Setup {
    let notes = notes.clone();
    dialogues(setup, move |mut connection| {
        let gone = Gone(notes.clone());
        async move {
            let _gone = gone;
            connection.send([b"hello"]).await?;
            std::future::pending().await
        }
    })
}

fn a_session_has_a_heartbeat_if_it_says_what_that_is<N: Net>(net: N) {
    let setup = Setup::new().timeouts(|timeouts| {
        timeouts.heartbeat = Some(Duration::from_millis(20));
        timeouts.heartbeats_missed = 1;
    });
    let mut rig = dialogues(setup, |mut connection| async move {
        connection.set_heartbeat(b"ping\n");
        while connection.next().await?.is_some() {}
        Ok(())
    })
    .on(net);
    let mut client = rig.connect();
    assert_eq!(rig.line(&mut client), "ping");
    rig.write(&mut client, b"pong\n");
    assert_eq!(rig.line(&mut client), "ping");
    rig.until_closed(CloseReason::HeartbeatMissed, 1);
    drop(client);
    rig.finish();
}

fn a_session_is_reached_by_its_handle_and_closed_by_others<N: Net>(net: N) {
    let handles = Rc::new(RefCell::new(Vec::new()));
    let mut rig = serve(net, {
        let handles = handles.clone();
        move |mut connection| {
            let handles = handles.clone();
            async move {
                handles.borrow_mut().push(connection.handle());
                connection.send([b"hello"]).await?;
                std::future::pending().await
            }
        }
    });
    let mut client = rig.connect();
    assert_eq!(rig.line(&mut client), "hello");
    let handle = handles.borrow()[0];
    rig.remote.send(handle, &b"from elsewhere"[..]).expect("it is there");
    assert_eq!(rig.line(&mut client), "from elsewhere");
    rig.remote.close(handle, CloseMode::Flushed).expect("it is there");
    assert_eq!(rig.read_to_end(&mut client), (Vec::new(), StreamEnding::Finished));
    drop(client);
    let rig = rig.finish();
    assert!(matches!(rig.remote.send(handle, &b"too late"[..]), Err(SendError::Gone)));
}

fn a_session_speaks_through_a_filter_and_so_does_the_end_of_its_stream<N: Net>(net: N) {
    let setup = dialogues(Setup::new(), echo).filtered(Arc::new(Units::default()));
    let mut rig: Rig<N> = setup.on(net);
    let mut client = greeted(&mut rig);
    let mut expected = Vec::new();
    for size in [0usize, 1, 500, 20_000] {
        let line = vec![b'a'; size];
        for piece in [&line[..], b"\n"].concat().chunks(701) {
            rig.write(&mut client, &unit(DATA, piece));
        }
        expected.extend_from_slice(&[b"echo: ", &line[..], b"\n"].concat());
    }
    assert!(read_data(&mut rig, &mut client, expected.len()) == expected);
    // The last line has no end, and is answered behind the peer's good-bye.
    rig.write(&mut client, &unit(DATA, b"last"));
    rig.write(&mut client, &unit(END, b""));
    assert_eq!(read_data(&mut rig, &mut client, 11), b"echo: last\n");
    let (rest, ending) = rig.read_to_end(&mut client);
    assert_eq!((rest, ending), (unit(END, b""), StreamEnding::Finished));
    drop(client);
    let rig = rig.finish();
    assert_eq!(rig.stats(0).closed(CloseReason::Peer), 1);
}

fn what_the_filter_knows_is_told_to_the_session<N: Net>(net: N) {
    let setup = dialogues(Setup::new(), |mut connection: Connection<Lines>| async move {
        let said = connection.filter_info(String::clone).unwrap_or_default();
        connection.send([said.as_bytes()]).await
    });
    let mut rig: Rig<N> = setup.filtered(Arc::new(Units::default())).on(net);
    let mut client = greeted(&mut rig);
    assert_eq!(read_data(&mut rig, &mut client, 9), b"a client\n");
    drop(client);
    rig.finish();
}

fn a_silent_peer_is_closed_as_idle_and_its_session_dropped<N: Net>(net: N) {
    let notes = Notes::default();
    let setup = Setup::new().timeouts(|timeouts| timeouts.idle = Some(Duration::from_millis(20)));
    let mut rig = waiting(setup, &notes).on(net);
    let mut client = rig.connect();
    assert_eq!(rig.line(&mut client), "hello");
    rig.until_closed(CloseReason::Idle, 1);
    assert_eq!(*notes.borrow(), ["gone"]);
    drop(client);
    rig.finish();
}

fn a_first_message_that_does_not_come_in_time_closes<N: Net>(net: N) {
    let time = Duration::from_millis(if N::TIME_IS_FREE { 20_000 } else { 40 });
    let setup = Setup::new().timeouts(|timeouts| timeouts.first_message = Some(time));
    let mut rig = dialogues(setup, echo).on(net);
    let mut silent = rig.connect();
    let mut half = rig.connect();
    rig.write(&mut half, b"half a li");
    rig.until_closed(CloseReason::OpeningTimeout, 2);
    let mut prompt = rig.connect();
    assert_eq!(rig.ask(&mut prompt, "in time"), "echo: in time");
    rig.pass(time * 2);
    assert_eq!(rig.ask(&mut prompt, "later"), "echo: later");
    assert!(rig.read_to_end(&mut silent).0.is_empty());
    drop((silent, half, prompt));
    rig.finish();
}

fn a_session_that_sends_more_than_its_outbox_holds_is_closed_as_slow<N: Net>(net: N) {
    let notes = Notes::default();
    let setup = Setup::new().limits(|limits| {
        limits.outbox_high = 20_000;
        limits.outbox_hard = 40_000;
    });
    let mut rig = dialogues(setup, {
        let notes = notes.clone();
        move |mut connection| {
            let gone = Gone(notes.clone());
            async move {
                let _gone = gone;
                loop {
                    // It does not wait for room, and so is told when it is too late.
                    for _ in 0..10 {
                        let _ = cut(0, connection.send([&[b'x'; 999]])).await;
                    }
                    sleep(Duration::from_millis(1)).await;
                }
            }
        }
    })
    .on(net);
    let client = rig.connect();
    rig.until_closed(CloseReason::Slow, 1);
    assert_eq!(*notes.borrow(), ["gone"]);
    drop(client);
    rig.finish();
}

fn sessions_are_shown_and_kicked_as_connections_are<N: Net>(net: N) {
    let notes = Notes::default();
    let mut rig = waiting(Setup::new(), &notes).on(net);
    let (mut one, mut other) = (rig.connect(), rig.connect());
    assert_eq!(rig.line(&mut one), "hello");
    assert_eq!(rig.line(&mut other), "hello");
    let shown = page(&mut rig, Query::new(Sort::Age, Selection::default()));
    assert_eq!((shown.selected, shown.connections.len()), (2, 2));
    let is_whole = |state, service, pending| (state, service, pending) == (ConnectionState::Open, 0, 0);
    assert!(shown.connections.iter().all(|shown| is_whole(shown.state, shown.service, shown.pending)));
    let oldest = Selection { handle: Some(shown.connections[0].handle), ..Selection::default() };
    assert_eq!(kick(&mut rig, oldest).connections, 1);
    rig.until_closed(CloseReason::Other("kicked"), 1);
    assert_eq!(*notes.borrow(), ["gone"], "that one alone");
    // They hear nothing, not even that their peers end the stream.
    one.reset();
    other.reset();
    rig.finish();
}

fn who_may_not_connect_has_no_session<N: Net>(net: N) {
    let notes = Notes::default();
    let setup = waiting(Setup::new().limits(|limits| limits.connections = 1), &notes);
    let deny = vec!["127.0.0.2/32".parse().expect("a network")];
    let rules = AccessRules { deny, ..AccessRules::default() };
    let mut rig = setup.access(&rules).on(net);
    let mut denied = rig.connect_from([127, 0, 0, 2].into());
    assert_eq!(rig.read_to_end(&mut denied), (Vec::new(), StreamEnding::Reset));
    let mut client = rig.connect();
    assert_eq!(rig.line(&mut client), "hello");
    let mut second = rig.connect();
    assert_eq!(rig.read_to_end(&mut second), (Vec::new(), StreamEnding::Reset));
    let stats = rig.stats(0);
    assert_eq!((stats.refused(RefusalReason::Denied), stats.refused(RefusalReason::Connections)), (1, 1));
    assert_eq!((stats.accepted, notes.borrow().len()), (1, 0));
    client.reset();
    drop((denied, second));
    rig.finish();
}

fn a_group_of_sessions_hears_what_one_of_them_says_and_what_others_send<N: Net>(net: N) {
    let room = Group::new();
    let setup = Setup::new().limits(|limits| limits.groups_per_connection = 1);
    let mut rig = dialogues(setup, move |mut connection| async move {
        connection.join(room)?;
        assert!(connection.join(Group::new()).is_err(), "it is in as many as it may");
        connection.send([b"in"]).await?;
        while let Some(line) = connection.next().await? {
            if *line == *b"leave" {
                assert!(connection.leave(room));
            }
            connection.broadcast(room, [b"all: ", &line])?;
        }
        Ok(())
    })
    .on(net);
    let (mut one, mut other) = (rig.connect(), rig.connect());
    assert_eq!(rig.line(&mut one), "in");
    assert_eq!(rig.line(&mut other), "in");
    rig.write(&mut one, b"hi\nleave\n");
    assert_eq!(rig.line(&mut one), "all: hi");
    assert_eq!(rig.line(&mut other), "all: hi");
    assert_eq!(rig.line(&mut other), "all: leave");
    rig.remote.broadcast(room, &Lines::new(), &[b"from elsewhere"]).expect("it runs");
    assert_eq!(rig.line(&mut other), "from elsewhere");
    rig.write(&mut other, b"bye\n");
    assert_eq!(rig.line(&mut other), "all: bye");
    drop(other);
    one.shutdown();
    assert_eq!(rig.read_to_end(&mut one), (Vec::new(), StreamEnding::Finished), "it had left");
    drop(one);
    rig.finish();
}

fn a_session_knows_its_peer_and_closes_when_all_was_sent<N: Net>(net: N) {
    let mut rig = serve(net, |mut connection| async move {
        while connection.next().await?.is_some() {
            let peer = connection.peer().ip().map(|ip| ip.to_string()).unwrap_or_default();
            connection.send([peer.as_bytes()]).await?;
            connection.close();
        }
        Ok(())
    });
    let mut client = rig.connect();
    rig.write(&mut client, b"who\nnobody reads this\n");
    assert_eq!(rig.read_to_end(&mut client), (b"127.0.0.1\n".to_vec(), StreamEnding::Finished));
    drop(client);
    let rig = rig.finish();
    assert_eq!(rig.stats(0).closed(CloseReason::Service), 1);
}

on_every_driver!(
    a_session_has_a_heartbeat_if_it_says_what_that_is,
    a_session_is_reached_by_its_handle_and_closed_by_others,
    a_session_knows_its_peer_and_closes_when_all_was_sent,
    a_session_speaks_through_a_filter_and_so_does_the_end_of_its_stream,
    what_the_filter_knows_is_told_to_the_session,
    a_silent_peer_is_closed_as_idle_and_its_session_dropped,
    a_first_message_that_does_not_come_in_time_closes,
    a_session_that_sends_more_than_its_outbox_holds_is_closed_as_slow,
    sessions_are_shown_and_kicked_as_connections_are,
    who_may_not_connect_has_no_session,
    a_group_of_sessions_hears_what_one_of_them_says_and_what_others_send,
);
