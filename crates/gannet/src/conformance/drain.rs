//! Shutting down: what was accepted is delivered, and everything ends in time.

use std::time::Duration;

use super::on_every_driver;
use super::rig::{Ending, Rig, Setup};
use super::script::{Script, SharedLog, numbered};
use super::{Client, Net};
use crate::CloseReason;

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
    let mut setup = Setup::new();
    // Longer than the client takes to be told, and to ask once more.
    setup.drain_timeout = Duration::from_millis(500);
    let mut rig = setup.listen(Script { stays: true, ..Script::new(&log) }).on(net);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "echo here"), "here");
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
);
