//! Groups: who is in one gets what is sent to it, once and in order.

use super::Net;
use super::on_every_driver;
use super::rig::{Rig, Setup};
use super::script::{Script, SharedLog, numbered};
use crate::{CloseReason, Group, SendError, proto::Lines};

fn grouped<N: Net>(net: N, log: &SharedLog) -> (Rig<N>, Group) {
    let script = Script::new(log);
    let group = script.group;
    let setup = Setup::new().limits(|limits| (limits.outbox_high, limits.outbox_hard) = (64 << 10, 256 << 10));
    (setup.listen(script).on(net), group)
}

fn a_broadcast_reaches_every_member_once_and_nobody_else<N: Net>(net: N) {
    let log = SharedLog::default();
    let (mut rig, _) = grouped(net, &log);
    let mut members: Vec<_> = (0..10).map(|_| rig.connect()).collect();
    let mut stranger = rig.connect();
    for member in &mut members {
        assert_eq!(rig.ask(member, "join"), "joined");
    }
    assert_eq!(rig.ask(&mut members[3], "join"), "joined", "joining twice is joining once");
    for index in 0..3 {
        rig.write(&mut members[index], format!("say hello {index}\n").as_bytes());
        for member in &mut members {
            assert_eq!(rig.line(member), format!("hello {index}"));
        }
    }
    // One who is no member can speak to the group, and hears nothing.
    rig.write(&mut stranger, b"say from outside\n");
    for member in &mut members {
        assert_eq!(rig.line(member), "from outside");
    }
    assert_eq!(rig.ask(&mut stranger, "echo nothing"), "nothing");
    drop((members, stranger));
    rig.finish();
}

fn who_left_a_group_or_closed_hears_nothing_of_it<N: Net>(net: N) {
    let log = SharedLog::default();
    let (mut rig, _) = grouped(net, &log);
    let (mut stays, mut leaves, mut goes) = (rig.connect(), rig.connect(), rig.connect());
    for member in [&mut stays, &mut leaves, &mut goes] {
        assert_eq!(rig.ask(member, "join"), "joined");
    }
    assert_eq!(rig.ask(&mut leaves, "leave"), "left");
    assert_eq!(rig.ask(&mut leaves, "leave"), "out!");
    assert_eq!(rig.ask(&mut leaves, "join"), "joined");
    assert_eq!(rig.ask(&mut leaves, "forget"), "forgotten");
    assert_eq!(rig.ask(&mut leaves, "leave"), "out!");
    drop(goes);
    rig.until_closed(CloseReason::Peer, 1);
    assert_eq!(rig.ask(&mut stays, "say anybody"), "anybody");
    assert_eq!(rig.ask(&mut leaves, "echo nothing"), "nothing");
    drop((stays, leaves));
    rig.finish();
}

fn another_thread_reaches_a_group<N: Net>(net: N) {
    let log = SharedLog::default();
    let (mut rig, group) = grouped(net, &log);
    let mut members: Vec<_> = (0..5).map(|_| rig.connect()).collect();
    for member in &mut members {
        assert_eq!(rig.ask(member, "join"), "joined");
    }
    let remote = rig.remote.clone();
    let thread = std::thread::spawn(move || {
        for index in 0..50 {
            remote.broadcast(group, &Lines::new(), &[format!("news {index}").as_bytes()]).expect("there is room");
        }
        remote.broadcast(group, &Lines::new(), &[b"two\nlines"])
    });
    for index in 0..50 {
        for member in &mut members {
            assert_eq!(rig.line(member), format!("news {index}"));
        }
    }
    let broken = thread.join().expect("it does not panic");
    assert_eq!(broken, Err(SendError::Encode), "nobody gets what cannot be encoded");
    drop(members);
    rig.finish();
}

fn a_member_that_does_not_read_holds_nobody_up<N: Net>(net: N) {
    let log = SharedLog::default();
    let (mut rig, group) = grouped(net, &log);
    let (mut quick, mut stuck) = (rig.connect(), rig.connect());
    assert_eq!(rig.ask(&mut quick, "join"), "joined");
    assert_eq!(rig.ask(&mut stuck, "join"), "joined");
    let mut sent = 0;
    while rig.stats(0).closed(CloseReason::Slow) == 0 {
        let line = numbered(sent, 10_000);
        rig.remote.broadcast(group, &Lines::new(), &[line.as_bytes()]).expect("there is room");
        assert!(rig.line(&mut quick) == line, "line {sent}");
        sent += 1;
    }
    assert_eq!(rig.ask(&mut quick, "say still here"), "still here");
    drop((quick, stuck));
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Slow, CloseReason::Peer]);
}

on_every_driver!(
    a_broadcast_reaches_every_member_once_and_nobody_else,
    who_left_a_group_or_closed_hears_nothing_of_it,
    another_thread_reaches_a_group,
    a_member_that_does_not_read_holds_nobody_up,
);
