//! What happens by time alone.

use std::time::Duration;

use super::Net;
use super::on_every_driver;
use super::rig::{Ending, Setup};
use super::script::{Script, SharedLog};
use super::simulated::{on_network, on_some_seeds};
use crate::driver::Driver;
use crate::driver::sim::{Faults, Random};
use crate::proto::Lines;
use crate::{CloseReason, Context, Idle, Refused, Service, Timeouts};

const SHORT: Duration = Duration::from_millis(30);

/// A limit within which a peer has to act: longer where the test's thread may have to wait for a processor.
const fn limit<N: Net>() -> Duration {
    Duration::from_millis(if N::TIME_IS_FREE { 30 } else { 300 })
}

fn a_peer_that_is_silent_for_too_long_is_closed<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().timeouts(|timeouts| timeouts.read_idle = Some(limit::<N>()));
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "echo here"), "here");
    let (took, end) = rig.timed(|rig| rig.read_to_end(&mut client));
    assert_eq!(end, (Vec::new(), Ending::Finished));
    assert!(took >= limit::<N>() / 2, "closed after {took:?}");
    drop(client);
    rig.finish();
    assert_eq!((&log.borrow().idle[..], &log.borrow().closed[..]), (&[Idle::Read][..], &[CloseReason::Idle][..]));
}

fn a_connection_that_only_receives_or_only_sends_is_not_idle<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().timeouts(|timeouts| timeouts.idle = Some(limit::<N>()));
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let (mut listens, mut speaks) = (rig.connect(), rig.connect());
    rig.until("both to be open", |_| (log.borrow().opened.len() == 2).then_some(()));
    let handles = log.borrow().opened.clone();
    assert_eq!(rig.ask(&mut listens, "echo here"), "here");
    let listener = handles.into_iter().find(|handle| {
        rig.remote.send(*handle, "you".as_bytes()).expect("both live");
        rig.until("one of both to hear it", |rig| match (rig.read_now(&mut listens), rig.read_now(&mut speaks)) {
            (0, 0) => None,
            (heard, _) => Some(heard > 0),
        })
    });
    let listener = listener.expect("one of both is it");
    let until = rig.reactor.driver().now() + limit::<N>() * 4;
    while rig.reactor.driver().now() < until {
        rig.remote.send(listener, "news".as_bytes()).expect("it lives");
        rig.write(&mut speaks, b"timer 20000\n");
        rig.pass(limit::<N>() / 8);
    }
    assert!(log.borrow().closed.is_empty(), "{:?}", log.borrow().closed);
    let (took, _) = rig.timed(|rig| rig.read_to_end(&mut listens));
    assert!(took >= limit::<N>() / 2, "closed after {took:?}");
    rig.read_to_end(&mut speaks);
    drop((listens, speaks));
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Idle, CloseReason::Idle]);
    assert_eq!(log.borrow().idle, [Idle::Both, Idle::Both]);
}

fn a_service_that_does_not_close_an_idle_connection_is_asked_again<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().timeouts(|timeouts| timeouts.write_idle = Some(SHORT));
    let mut rig = setup.listen(Script { patient: true, ..Script::new(&log) }).on(net);
    let client = rig.connect();
    rig.until("two calls of idle", |_| (log.borrow().idle.len() >= 2).then_some(()));
    assert_eq!(log.borrow().idle[..2], [Idle::Write, Idle::Write]);
    drop(client);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Peer]);
}

fn a_peer_that_answers_its_heartbeats_lives_and_one_that_does_not_is_closed<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().timeouts(|timeouts| timeouts.heartbeat = Some(limit::<N>()));
    let mut rig = setup.listen(Script { beats: true, ..Script::new(&log) }).on(net);
    let mut client = rig.connect();
    for _ in 0..4 {
        assert_eq!(rig.line(&mut client), "beat");
        assert_eq!(rig.ask(&mut client, "echo alive"), "alive");
    }
    assert_eq!(log.borrow().heartbeats, 4);
    let (took, (read, _)) = rig.timed(|rig| rig.read_to_end(&mut client));
    assert_eq!(read, b"beat\nbeat\n", "two may go unanswered");
    assert!(took >= limit::<N>() * 2, "closed after {took:?}");
    let stats = rig.finish().reactor_stats();
    assert_eq!(log.borrow().closed, [CloseReason::HeartbeatMissed]);
    assert_eq!((stats.heartbeats, stats.heartbeats_missed, stats.round_trips.count()), (6, 2, 4));
}

fn a_round_trip_is_the_time_from_a_heartbeat_to_the_answer<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().timeouts(|timeouts| timeouts.heartbeat = Some(limit::<N>()));
    let mut rig = setup.listen(Script { beats: true, ..Script::new(&log) }).on(net);
    let mut client = rig.connect();
    assert_eq!(rig.line(&mut client), "beat");
    let waits = limit::<N>() / 2;
    rig.pass(waits);
    assert_eq!(rig.ask(&mut client, "echo late"), "late");
    assert_eq!(rig.ask(&mut client, "echo again"), "again");
    let trips = rig.reactor_stats().round_trips;
    // To the millisecond, at both ends.
    assert_eq!(trips.count(), 1, "what comes unasked is no answer");
    assert!(trips.sum() + Duration::from_millis(2) >= waits, "{trips:?}");
    drop(client);
    rig.finish();
}

fn silence_alone_closes_nothing_where_the_service_has_no_heartbeat<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().timeouts(|timeouts| timeouts.heartbeat = Some(Duration::from_millis(5)));
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "echo here"), "here");
    rig.pass(Duration::from_millis(50));
    assert_eq!(rig.ask(&mut client, "echo still"), "still");
    drop(client);
    rig.finish();
}

fn a_connection_may_come_to_have_a_heartbeat<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().timeouts(|timeouts| timeouts.heartbeat = Some(SHORT));
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let mut client = rig.connect();
    // So long that the service was asked, and said that it has none.
    rig.pass(SHORT * 3);
    assert_eq!(log.borrow().heartbeats, 0);
    assert_eq!(rig.ask(&mut client, "beat"), "beating");
    let (took, (read, _)) = rig.timed(|rig| rig.read_to_end(&mut client));
    assert_eq!(read, b"beat\nbeat\n");
    assert!(took >= SHORT * 2, "closed after {took:?}");
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::HeartbeatMissed]);
}

fn the_first_message_has_to_come_in_time<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().timeouts(|timeouts| timeouts.first_message = Some(limit::<N>()));
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let (mut slow, mut quick) = (rig.connect(), rig.connect());
    // Half a message does not count.
    rig.write(&mut slow, b"echo al");
    assert_eq!(rig.ask(&mut quick, "echo quick"), "quick");
    rig.read_to_end(&mut slow);
    rig.pass(limit::<N>());
    assert_eq!(rig.ask(&mut quick, "echo still"), "still");
    drop((slow, quick));
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::OpeningTimeout, CloseReason::Peer]);
}

fn a_peer_that_reads_nothing_is_closed_when_its_time_is_over<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().timeouts(|timeouts| timeouts.slow_write = Some(SHORT));
    let setup = setup.limits(|limits| limits.outbox_hard = 64 << 20);
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let mut client = rig.connect();
    rig.write(&mut client, b"flood 32 1000000\n");
    rig.until_closed(CloseReason::SlowWrite, 1);
    let (_, ending) = rig.read_to_end(&mut client);
    assert_eq!(ending, Ending::Reset);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::SlowWrite]);
}

fn a_slow_peer_is_not_forgiven_because_its_connection_was_to_close_anyway<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().timeouts(|timeouts| timeouts.slow_write = Some(SHORT));
    let setup = setup.limits(|limits| (limits.outbox_high, limits.outbox_hard) = (64 << 20, 64 << 20));
    let mut rig = setup.listen(Script::new(&log)).on(net);
    let mut client = rig.connect();
    rig.write(&mut client, b"flood 32 1000000\nclose_flushed\n");
    rig.until("the close", |_| (!log.borrow().closed.is_empty()).then_some(()));
    let (_, ending) = rig.read_to_end(&mut client);
    assert_eq!(ending, Ending::Reset);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::SlowWrite], "bytes that were accepted are lost");
}

fn a_timer_fires_once_at_its_time_and_not_when_it_was_taken_back<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = Setup::new().listen(Script::new(&log)).on(net);
    let mut client = rig.connect();
    let (took, line) = rig.timed(|rig| rig.ask(&mut client, "timer 30"));
    assert_eq!(line, "timer");
    // The reactor's clock has whole milliseconds, and its turn began before the answer was asked for.
    assert!(took >= Duration::from_millis(29), "fired after {took:?}");
    rig.write(&mut client, b"timer 10\n");
    assert_eq!(rig.ask(&mut client, "cancel"), "cancelled");
    rig.pass(Duration::from_millis(30));
    assert_eq!(rig.read_now(&mut client), 0);
    // A later timer takes the place of an earlier one.
    rig.write(&mut client, b"timer 10\ntimer 40\n");
    let (took, line) = rig.timed(|rig| rig.line(&mut client));
    assert_eq!(line, "timer");
    assert!(took >= Duration::from_millis(20), "fired after {took:?}");
    drop(client);
    rig.finish();
}

fn an_exact_timer_fires_within_its_millisecond_and_never_before_its_time<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = Setup::new().listen(Script::new(&log)).on(net);
    let mut client = rig.connect();
    // On a machine that is busy some are late; a timer that is kept to the millisecond would hardly be in time ten times on
    // end.
    let in_time = |late: &Duration| *late < Duration::from_micros(250);
    let mut after = 100;
    rig.until("ten exact timers on end", |rig| {
        assert_eq!(rig.ask(&mut client, &format!("precise {after}")), "timer");
        after = 100 + (after * 7) % 2_900;
        let late = &log.borrow().late;
        (late.len() >= 10 && late[late.len() - 10..].iter().all(in_time)).then_some(())
    });
    // One that was taken back, or set again, does not fire, in whatever millisecond it was to.
    for after in [0, 1, 700, 1_000, 5_500] {
        assert_eq!(rig.ask(&mut client, &format!("undo {after}")), "undone");
        let (took, line) = rig.timed(|rig| rig.ask(&mut client, &format!("redo {after}")));
        assert_eq!(line, "timer");
        assert!(took >= Duration::from_millis(29), "after {took:?} in place of {after} µs");
    }
    rig.write(&mut client, b"timer 20\nprecise 30500\n");
    let (took, line) = rig.timed(|rig| rig.line(&mut client));
    assert_eq!(line, "timer");
    assert!(took >= Duration::from_millis(30), "fired after {took:?}");
    assert_eq!(rig.read_now(&mut client), 0);
    drop(client);
    rig.finish();
}

/// Pauses that end in the same look as a deadline, or around it.
fn after_pauses<N: Net>(net: N, limit: fn(&mut Timeouts)) {
    let log = SharedLog::default();
    let mut rig = Setup::new().timeouts(limit).listen(Script { beats: true, ..Script::new(&log) }).on(net);
    for pause in [29, 30, 31, 45, 59, 60, 61, 62, 90] {
        let mut client = rig.connect();
        rig.write(&mut client, format!("pause {pause}\necho waited\n").as_bytes());
        assert_eq!(rig.line(&mut client), "waited", "after {pause} ms");
        let (took, _) = rig.timed(|rig| rig.read_to_end(&mut client));
        assert!(took >= SHORT / 2, "closed {took:?} after the end of a pause of {pause} ms");
    }
    rig.finish();
}

fn what_waited_for_the_end_of_a_pause_is_answered_and_idle_begins_then<N: Net>(net: N) {
    after_pauses(net, |timeouts| timeouts.idle = Some(SHORT));
}

fn what_waited_for_the_end_of_a_pause_is_answered_and_silence_begins_then<N: Net>(net: N) {
    after_pauses(net, |timeouts| timeouts.read_idle = Some(SHORT));
}

fn what_waited_for_the_end_of_a_pause_is_answered_and_the_heartbeat_begins_then<N: Net>(net: N) {
    after_pauses(net, |timeouts| (timeouts.heartbeat, timeouts.heartbeats_missed) = (Some(SHORT), 0));
}

/// Takes messages only some time after the connection was opened.
struct Late;

impl Service for Late {
    type Codec = Lines;
    type Session = ();

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<(), Refused> {
        cx.pause();
        cx.set_timer(SHORT * 3);
        Ok(())
    }

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[line]);
    }

    fn timer(&mut self, (): &mut (), cx: &mut Context<'_, Self>) {
        cx.resume();
    }
}

fn a_first_message_that_waits_for_the_end_of_a_pause_is_in_time<N: Net>(net: N) {
    let setup = Setup::new().timeouts(|timeouts| timeouts.first_message = Some(SHORT));
    let mut rig = setup.listen(Late).on(net);
    let (mut speaks, mut silent) = (rig.connect(), rig.connect());
    rig.write(&mut speaks, b"first\n");
    assert_eq!(rig.line(&mut speaks), "first");
    rig.read_to_end(&mut silent);
    drop((speaks, silent));
    let rig = rig.finish();
    assert_eq!(rig.stats(0).closed(CloseReason::OpeningTimeout), 1, "who said nothing after the pause either");
}

/// One buffer for many: it takes longer than the time for silence until it has gone round.
#[test]
fn while_no_buffer_is_free_for_what_a_peer_has_sent_it_is_not_idle() {
    for seed in 0..20 {
        let gentle = Faults::gentle(&mut Random::new(seed)).roomy();
        let batch = Duration::from_millis(2);
        let faults = Faults { buffers: 1, batch, latency: Duration::ZERO, spurious_wakeups: 0, ..gentle };
        let log = SharedLog::default();
        let setup = Setup::new().timeouts(|timeouts| {
            (timeouts.idle, timeouts.read_idle, timeouts.first_message) = (Some(SHORT), Some(SHORT), Some(SHORT));
        });
        let mut rig = setup.listen(Script::new(&log)).on(on_network(seed, faults));
        let (mut asking, mut floods) = (rig.connect(), (0..90).map(|_| rig.connect()).collect::<Vec<_>>());
        let piece = b"echo \n".repeat(1_000);
        let (mut buffer, mut longest) = (vec![0; 64 << 10], Duration::ZERO);
        for _ in 0..5 {
            rig.write(&mut asking, b"echo there\n");
            let (took, ()) = rig.timed(|rig| {
                rig.until("the answer", |_| {
                    for flood in &mut floods {
                        while flood.write(&piece).is_ok() {}
                        while flood.read(&mut buffer).is_ok_and(|count| count > 0) {}
                    }
                    assert!(log.borrow().closed.is_empty(), "seed {seed}: {:?}", log.borrow().closed);
                    asking.read(&mut buffer).is_ok_and(|count| count > 0).then_some(())
                });
            });
            longest = longest.max(took);
        }
        assert!(longest > SHORT, "seed {seed}: an answer took {longest:?} at most, which tests nothing");
    }
}

/// A peer that only answers heartbeats has its time for that, also where the reactor stood still for longer.
#[test]
fn after_a_stall_a_peer_still_has_its_time_to_answer_a_heartbeat() {
    on_some_seeds(|net| {
        let log = SharedLog::default();
        let setup = Setup::new().timeouts(|timeouts| timeouts.heartbeat = Some(SHORT));
        let mut rig = setup.listen(Script { beats: true, ..Script::new(&log) }).on(net);
        let mut client = rig.connect();
        assert_eq!(rig.ask(&mut client, "echo here"), "here");
        for _ in 0..3 {
            rig.net.stall(SHORT * 10);
            assert_eq!(rig.line(&mut client), "beat");
            assert_eq!(rig.ask(&mut client, "echo alive"), "alive");
        }
        drop(client);
        rig.finish();
        assert_eq!(log.borrow().closed, [CloseReason::Peer]);
    });
}

/// What came while the reactor stood still counts, however late it is read.
#[test]
fn after_a_stall_who_spoke_meanwhile_is_not_idle_and_who_was_silent_is() {
    for only_reads in [false, true] {
        on_some_seeds(|net| {
            let log = SharedLog::default();
            let setup = Setup::new().timeouts(|timeouts| {
                let idle = if only_reads { &mut timeouts.read_idle } else { &mut timeouts.idle };
                *idle = Some(SHORT * 10);
            });
            let mut rig = setup.listen(Script::new(&log)).on(net);
            let (mut speaks, mut silent) = (rig.connect(), rig.connect());
            for client in [&mut speaks, &mut silent] {
                assert_eq!(rig.ask(client, "echo here"), "here");
            }
            for stall in 0..3 {
                let line = b"echo alive\n";
                assert_eq!(speaks.write(line).expect("there is room"), line.len());
                rig.net.stall(SHORT * 40);
                assert_eq!(rig.line(&mut speaks), "alive");
                if stall == 0 {
                    assert_eq!(rig.read_to_end(&mut silent), (Vec::new(), Ending::Finished));
                }
            }
            drop((speaks, silent));
            rig.finish();
            assert_eq!(log.borrow().closed, [CloseReason::Idle, CloseReason::Peer]);
        });
    }
}

on_every_driver!(
    what_waited_for_the_end_of_a_pause_is_answered_and_idle_begins_then,
    what_waited_for_the_end_of_a_pause_is_answered_and_silence_begins_then,
    what_waited_for_the_end_of_a_pause_is_answered_and_the_heartbeat_begins_then,
    a_first_message_that_waits_for_the_end_of_a_pause_is_in_time,
    an_exact_timer_fires_within_its_millisecond_and_never_before_its_time,
    a_peer_that_is_silent_for_too_long_is_closed,
    a_connection_that_only_receives_or_only_sends_is_not_idle,
    a_service_that_does_not_close_an_idle_connection_is_asked_again,
    a_peer_that_answers_its_heartbeats_lives_and_one_that_does_not_is_closed,
    a_round_trip_is_the_time_from_a_heartbeat_to_the_answer,
    silence_alone_closes_nothing_where_the_service_has_no_heartbeat,
    a_connection_may_come_to_have_a_heartbeat,
    the_first_message_has_to_come_in_time,
    a_peer_that_reads_nothing_is_closed_when_its_time_is_over,
    a_slow_peer_is_not_forgiven_because_its_connection_was_to_close_anyway,
    a_timer_fires_once_at_its_time_and_not_when_it_was_taken_back,
);
