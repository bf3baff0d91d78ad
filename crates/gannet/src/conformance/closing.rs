//! The end of a connection: who ends it, what still arrives, and which reason is given, once.

use std::io;

use super::on_every_driver;
use super::rig::{Ending, Rig, Setup};
use super::script::{Echo, Script, SharedLog, lines, numbered, raw};
use super::{Client, Net};
use crate::{CloseReason, RefusalReason};

fn scripted<N: Net>(net: N, log: &SharedLog) -> Rig<N> {
    Setup::new().listen(Script::new(log)).on(net)
}

fn a_peer_that_ends_its_stream_still_gets_its_answers<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = Setup::new().listen(Echo::new(lines, &log)).on(net);
    let mut client = rig.connect();
    let sent: Vec<u8> = (0..2_000).flat_map(|index| format!("question {index}\n").into_bytes()).collect();
    rig.write(&mut client, &sent);
    client.shutdown();
    let (read, ending) = rig.read_to_end(&mut client);
    assert!(read == sent, "{} of {} bytes came back", read.len(), sent.len());
    assert_eq!(ending, Ending::Finished);
    drop(client);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Peer]);
}

fn a_peer_that_leaves_without_a_word_is_noticed<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = Setup::new().listen(Echo::new(raw, &log)).on(net);
    for _ in 0..20 {
        drop(rig.connect());
    }
    rig.until_closed(CloseReason::Peer, 20);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Peer; 20]);
}

fn a_service_closes_for_a_reason_of_its_own<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log);
    for (order, said) in [("leave_because", "goodbye\n"), ("quit_because", ""), ("leave_because", "goodbye\n")] {
        let mut client = rig.connect();
        rig.write(&mut client, format!("{order}\n").as_bytes());
        let (read, ending) = rig.read_to_end(&mut client);
        assert_eq!((read.as_slice(), ending), (said.as_bytes(), Ending::Finished));
        drop(client);
        rig.until("its end", |rig| rig.reactor.core().slab.is_empty().then_some(()));
    }
    let rig = rig.finish();
    let (asked, told) = (CloseReason::Other("asked to"), CloseReason::Other("told to"));
    assert_eq!(log.borrow().closed, [asked, told, asked]);
    let stats = rig.stats(0);
    assert_eq!((stats.closed(asked), stats.closed(told), stats.closed(CloseReason::Service)), (2, 1, 0));
    let named: Vec<_> = stats.closings().filter(|(_, count)| *count > 0).collect();
    assert_eq!(named, [("asked to", 2), ("told to", 1)]);
}

fn a_reset_by_the_peer_closes_once_and_says_so<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "echo here"), "here");
    client.reset();
    rig.until("the close", |_| (!log.borrow().closed.is_empty()).then_some(()));
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Io(io::ErrorKind::ConnectionReset)]);
}

fn a_reset_in_the_middle_of_a_write_closes_with_the_error<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().limits(|limits| limits.outbox_hard = 64 << 20);
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let mut client = rig.connect();
    rig.write(&mut client, b"flood 32 1000000\n");
    rig.read(&mut client, 1_000);
    client.reset();
    rig.until("the close", |_| (!log.borrow().closed.is_empty()).then_some(()));
    rig.finish();
    assert!(matches!(log.borrow().closed[..], [CloseReason::Io(_)]), "{:?}", log.borrow().closed);
}

fn what_was_accepted_and_lost_after_a_graceful_close_is_not_called_a_clean_end<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().limits(|limits| (limits.outbox_high, limits.outbox_hard) = (64 << 20, 64 << 20));
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let mut client = rig.connect();
    rig.write(&mut client, b"flood 32 1000000\nclose_flushed\n");
    rig.until("both lines to be taken", |_| (log.borrow().messages == 2).then_some(()));
    rig.read(&mut client, 1_000);
    client.reset();
    rig.until("the close", |_| (!log.borrow().closed.is_empty()).then_some(()));
    rig.finish();
    assert!(matches!(log.borrow().closed[..], [CloseReason::Io(_)]), "{:?}", log.borrow().closed);
}

fn a_service_that_closes_is_told_once_and_nothing_more_is_delivered<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "echo here"), "here");
    rig.write_some(&mut client, b"close\necho too late\n");
    let (read, _) = rig.read_to_end(&mut client);
    assert!(read.is_empty(), "{read:?}");
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Service]);
    assert_eq!(log.borrow().messages, 2, "the line behind the close is not taken");
}

fn close_flushed_delivers_every_byte_before_the_end_of_the_stream<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().limits(|limits| limits.outbox_hard = 64 << 20);
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let mut client = rig.connect();
    // More goes the client's way than any kernel holds, and the client says more than anybody reads.
    rig.write(&mut client, b"flood 300 20000\nclose_flushed\n");
    rig.write_some(&mut client, &b"echo nobody takes this\n".repeat(20));
    let (read, ending) = rig.read_to_end(&mut client);
    assert_eq!(read.len(), 300 * 20_001);
    assert!(
        read.chunks(20_001)
            .enumerate()
            .all(|(index, line)| line == format!("{}\n", numbered(index, 20_000)).as_bytes())
    );
    assert_eq!(ending, Ending::Finished);
    drop(client);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Service]);
    assert_eq!(log.borrow().answers, ["Closed"], "a send behind close_flushed is refused");
}

fn a_client_that_never_ends_its_side_is_closed_after_a_while<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().timeouts(|timeouts| timeouts.linger = std::time::Duration::from_millis(30));
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let mut client = rig.connect();
    rig.write(&mut client, b"close_flushed\n");
    assert_eq!(rig.read_to_end(&mut client), (Vec::new(), Ending::Finished));
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Service]);
    drop(client);
}

fn a_client_that_has_said_all_is_not_waited_for<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().timeouts(|timeouts| timeouts.linger = std::time::Duration::from_secs(3_600));
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let mut client = rig.connect();
    rig.write(&mut client, b"last\n");
    assert_eq!(rig.read_to_end(&mut client), (b"goodbye\n".to_vec(), Ending::Finished));
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Service]);
    drop(client);
}

fn a_refused_connection_is_reset_and_gets_nothing<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = Setup::new().listen(Script { refuses: true, ..Script::new(&log) }).on(net);
    let mut client = rig.connect();
    assert_eq!(rig.read_to_end(&mut client), (Vec::new(), Ending::Reset));
    let rig = rig.finish();
    assert_eq!(rig.stats(0).refused(RefusalReason::Service), 1);
    assert_eq!(rig.stats(0).closed(CloseReason::Refused), 1);
    assert!(log.borrow().closed.is_empty(), "what was never open is not closed");
}

fn a_panic_in_a_service_closes_only_the_connection_it_happened_for<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log);
    let (mut bystander, mut one, mut other) = (rig.connect(), rig.connect(), rig.connect());
    assert_eq!(rig.ask(&mut bystander, "echo before"), "before");
    rig.write_some(&mut one, b"panic\n");
    rig.read_to_end(&mut one);
    rig.write_some(&mut other, b"panic_later\n");
    rig.read_to_end(&mut other);
    assert_eq!(rig.ask(&mut bystander, "echo after"), "after");
    drop(bystander);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Panicked, CloseReason::Panicked, CloseReason::Peer]);
}

on_every_driver!(
    a_peer_that_ends_its_stream_still_gets_its_answers,
    a_peer_that_leaves_without_a_word_is_noticed,
    a_service_closes_for_a_reason_of_its_own,
    a_reset_by_the_peer_closes_once_and_says_so,
    a_reset_in_the_middle_of_a_write_closes_with_the_error,
    what_was_accepted_and_lost_after_a_graceful_close_is_not_called_a_clean_end,
    a_service_that_closes_is_told_once_and_nothing_more_is_delivered,
    close_flushed_delivers_every_byte_before_the_end_of_the_stream,
    a_client_that_never_ends_its_side_is_closed_after_a_while,
    a_client_that_has_said_all_is_not_waited_for,
    a_refused_connection_is_reset_and_gets_nothing,
    a_panic_in_a_service_closes_only_the_connection_it_happened_for,
);
