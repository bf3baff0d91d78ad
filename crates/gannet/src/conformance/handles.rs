//! Handles, letters from other threads, and offloaded work.

use super::Net;
use super::on_every_driver;
use super::rig::{Ending, Rig, Setup};
use super::script::{Echo, Script, SharedLog, lines};
use crate::{CloseMode, CloseReason, NotifyError, SendError};

fn scripted<N: Net>(net: N, log: &SharedLog) -> Rig<N> {
    Setup::new().listen(Script::new(log)).on(net)
}

fn a_handle_outlives_its_connection_and_reaches_no_other<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log);
    let first = rig.connect();
    rig.until("the first to be open", |_| (!log.borrow().opened.is_empty()).then_some(()));
    let stale = log.borrow().opened[0];
    drop(first);
    rig.until_closed(CloseReason::Peer, 1);
    assert_eq!(rig.remote.send(stale, b"hello".as_slice()), Err(SendError::Gone), "also while it is still closing");
    rig.until("its slot to be free", |rig| rig.reactor.core().slab.is_empty().then_some(()));
    let mut second = rig.connect();
    assert_eq!(rig.ask(&mut second, "echo here"), "here");
    assert_eq!(log.borrow().opened[1].token, stale.token, "the slot is used again");
    assert_eq!(rig.remote.send(stale, b"hello".as_slice()), Err(SendError::Gone));
    assert_eq!(rig.remote.close(stale, CloseMode::AtOnce), Err(SendError::Gone));
    assert_eq!(rig.remote.notify::<Script, u32>(stale, 7), Err(NotifyError { value: 7, reason: SendError::Gone }));
    assert_eq!(rig.ask(&mut second, "tell 0 hello"), "told");
    rig.write(&mut second, b"kick 0\n");
    assert_eq!(rig.ask(&mut second, "echo unharmed"), "unharmed");
    assert_eq!(log.borrow().answers, ["Err(Gone)", "Err(Gone)"]);
    drop(second);
    rig.finish();
}

fn a_letter_that_comes_too_late_is_dropped_and_counted<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log);
    let mut client = rig.connect();
    rig.until("it to be open", |_| (!log.borrow().opened.is_empty()).then_some(()));
    let handle = log.borrow().opened[0];
    // Both are posted while the connection lives; the first ends it.
    rig.remote.close(handle, CloseMode::AtOnce).expect("it lives");
    rig.remote.send(handle, b"too late".as_slice()).expect("it lives");
    rig.remote.notify::<Script, u32>(handle, 7).expect("it lives");
    assert_eq!(rig.read_to_end(&mut client), (Vec::new(), Ending::Finished));
    let rig = rig.finish();
    assert_eq!(rig.remote.stats()[0].stale_handles, 2);
    assert_eq!(log.borrow().closed, [CloseReason::Service]);
}

fn letters_of_another_thread_arrive_in_order<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "echo here"), "here");
    let (handle, remote) = (log.borrow().opened[0], rig.remote.clone());
    let thread = std::thread::spawn(move || {
        for index in 0..100u32 {
            remote.send(handle, format!("letter {index}")).expect("it lives and the mailbox has room");
            remote.notify::<Script, u32>(handle, index).expect("it lives and the mailbox has room");
        }
        remote.close(handle, CloseMode::Flushed).expect("it lives and the mailbox has room");
    });
    let expected: String = (0..100).map(|index| format!("letter {index}\nnotice {index}\n")).collect();
    let (read, ending) = rig.read_to_end(&mut client);
    assert!(read == expected.as_bytes(), "{} of {} bytes came", read.len(), expected.len());
    assert_eq!(ending, Ending::Finished);
    thread.join().expect("it posted everything");
    drop(client);
    let rig = rig.finish();
    assert_eq!(rig.remote.stats()[0].letters, 201);
    assert_eq!(log.borrow().closed, [CloseReason::Service]);
}

fn a_letter_wakes_a_reactor_that_waits_for_ever<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "echo here"), "here");
    let (handle, remote) = (log.borrow().opened[0], rig.remote.clone());
    let thread = std::thread::spawn(move || remote.send(handle, b"wake up".as_slice()));
    while rig.remote.stats()[0].letters == 0 {
        rig.reactor.turn(None).expect("the driver waits");
    }
    thread.join().expect("it does not panic").expect("it lives");
    assert_eq!(rig.line(&mut client), "wake up");
    drop(client);
    rig.finish();
}

fn a_notice_for_a_session_of_another_service_is_dropped<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log);
    let mut client = rig.connect();
    rig.until("it to be open", |_| (!log.borrow().opened.is_empty()).then_some(()));
    let handle = log.borrow().opened[0];
    rig.remote.notify::<Other, u32>(handle, 7).expect("it lives");
    rig.until("the letter", |rig| (rig.remote.stats()[0].stale_handles == 1).then_some(()));
    assert_eq!(rig.ask(&mut client, "echo fine"), "fine");
    drop(client);
    rig.finish();
}

/// A service that is not the one of the test's connections.
struct Other;

impl crate::Service for Other {
    type Codec = crate::proto::Raw;
    type Session = ();

    fn message(&mut self, (): &mut (), _: &[u8], _: &mut crate::Context<'_, Self>) {}
}

impl crate::Notice<u32> for Other {
    fn notice(&mut self, (): &mut (), _: u32, _: &mut crate::Context<'_, Self>) {
        unreachable!("it has no session");
    }
}

fn one_connection_reaches_another_by_its_handle<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log);
    let mut one = rig.connect();
    assert_eq!(rig.ask(&mut one, "echo here"), "here");
    let mut two = rig.connect();
    assert_eq!(rig.ask(&mut two, "tell 0 from two"), "told");
    assert_eq!(rig.line(&mut one), "from two");
    assert_eq!(rig.ask(&mut two, "tell 1 to myself"), "to myself");
    assert_eq!(rig.line(&mut two), "told");
    rig.write(&mut two, b"kick 0\n");
    assert_eq!(rig.read_to_end(&mut one), (Vec::new(), Ending::Finished));
    assert_eq!(rig.ask(&mut two, "tell 0 nobody"), "told");
    drop((one, two));
    rig.finish();
    assert_eq!(log.borrow().answers, ["Ok(Queued)", "Ok(Queued)", "Ok(())", "Err(Gone)"]);
    assert_eq!(log.borrow().closed, [CloseReason::Service, CloseReason::Peer]);
}

fn the_result_of_offloaded_work_comes_back_to_its_connection<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "offload shout"), "SHOUT");
    // Where the connection is gone when the work is done, the result goes nowhere.
    rig.write(&mut client, b"offload nobody hears\nclose\n");
    rig.read_to_end(&mut client);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Service]);
}

fn a_panic_of_offloaded_work_closes_the_connection_that_asked<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log);
    let (mut client, mut other) = (rig.connect(), rig.connect());
    assert_eq!(rig.ask(&mut other, "echo here"), "here");
    rig.write(&mut client, b"offload_panic\n");
    rig.read_to_end(&mut client);
    assert_eq!(rig.ask(&mut other, "offload go on"), "GO ON");
    assert_eq!(log.borrow().closed, [CloseReason::Panicked]);
    drop((client, other));
    rig.finish();
}

fn a_full_mailbox_is_answered_with_an_error_and_counted<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().limits(|limits| limits.mailbox = 4);
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "echo here"), "here");
    let handle = log.borrow().opened[0];
    for _ in 0..4 {
        rig.remote.send(handle, b"fits".as_slice()).expect("there is room");
    }
    assert_eq!(rig.remote.send(handle, b"does not".as_slice()), Err(SendError::MailboxFull));
    let stats = &rig.remote.stats()[0];
    assert_eq!((stats.mailbox_letters, stats.mailbox_full), (4, 1));
    assert_eq!(rig.read(&mut client, 20), b"fits\nfits\nfits\nfits\n");
    rig.remote.send(handle, b"fits".as_slice()).expect("there is room again");
    assert_eq!(rig.line(&mut client), "fits");
    let stats = &rig.remote.stats()[0];
    assert_eq!((stats.mailbox_letters, stats.mailbox_full), (0, 1));
    drop(client);
    rig.finish();
}

fn a_handle_of_another_engine_is_refused<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "echo here"), "here");
    let mut handle = log.borrow().opened[0];
    handle.engine = handle.engine.wrapping_add(1);
    assert_eq!(rig.remote.send(handle, b"hello".as_slice()), Err(SendError::OtherEngine));
    drop(client);
    rig.finish();
}

fn two_services_on_one_reactor_keep_their_connections_apart<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().listen(Script::new(&log)).listen(Echo::new(lines, &log));
    let mut rig = setup.on(net);
    let mut scripted = rig.connect();
    let mut echoed = rig.net.connect_from(1, std::net::Ipv4Addr::LOCALHOST.into());
    assert_eq!(rig.ask(&mut scripted, "echo one"), "one");
    assert_eq!(rig.ask(&mut echoed, "echo one"), "echo one");
    drop((scripted, echoed));
    let rig = rig.finish();
    assert_eq!((rig.stats(0).accepted, rig.stats(1).accepted), (1, 1));
}

on_every_driver!(
    a_handle_outlives_its_connection_and_reaches_no_other,
    a_letter_that_comes_too_late_is_dropped_and_counted,
    letters_of_another_thread_arrive_in_order,
    a_letter_wakes_a_reactor_that_waits_for_ever,
    a_notice_for_a_session_of_another_service_is_dropped,
    one_connection_reaches_another_by_its_handle,
    the_result_of_offloaded_work_comes_back_to_its_connection,
    a_panic_of_offloaded_work_closes_the_connection_that_asked,
    a_full_mailbox_is_answered_with_an_error_and_counted,
    a_handle_of_another_engine_is_refused,
    two_services_on_one_reactor_keep_their_connections_apart,
);
