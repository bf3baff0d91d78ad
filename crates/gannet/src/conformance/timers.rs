//! Timers beside the one of each connection: several with identifiers, and one for each service.

use std::time::Duration;

use super::Net;
use super::on_every_driver;
use super::rig::{Rig, Setup};
use crate::driver::Driver;
use crate::proto::Lines;
use crate::{Context, Group, Refused, Service, ServiceContext, TimerId};

/// Repeats of [`REPEATS`].
const TIMES: usize = 3;

/// A timer that sets itself again for at once.
const REPEATS: TimerId = TimerId(200);

/// Sets timers as lines say, and writes a line for each that fires.
struct Timed {
    all: Group,
    repeated: usize,
    beats: usize,
}

impl Timed {
    fn new() -> Self {
        Self { all: Group::new(), repeated: 0, beats: 0 }
    }
}

impl Service for Timed {
    type Codec = Lines;
    type Session = ();

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<(), Refused> {
        cx.join(self.all).map_err(|_| Refused)
    }

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        let line = std::str::from_utf8(line).expect("lines here are text");
        let mut words = line.split(' ');
        let (verb, numbers) = (words.next(), words.map(|word| word.parse().expect("a number")).collect::<Vec<u64>>());
        let id = TimerId(numbers.first().copied().unwrap_or(0) as u8);
        match verb {
            Some("set") => cx.set_named_timer(id, Duration::from_millis(numbers[1])),
            Some("cancel") => cx.cancel_named_timer(id),
            Some("timer") => cx.set_timer(Duration::from_millis(numbers[0])),
            Some("service") => cx.set_service_timer(Duration::from_millis(numbers[0])),
            Some("no-service") => cx.cancel_service_timer(),
            _ => {
                cx.send(&[line.as_bytes()]);
            }
        }
    }

    fn timer(&mut self, (): &mut (), cx: &mut Context<'_, Self>) {
        cx.send(&[b"timer"]);
    }

    fn named_timer(&mut self, (): &mut (), id: TimerId, cx: &mut Context<'_, Self>) {
        cx.send(&[format!("timer {}", id.0).as_bytes()]);
        if id == REPEATS && self.repeated < TIMES {
            self.repeated += 1;
            cx.set_named_timer(id, Duration::ZERO);
        }
        if id == TimerId(13) {
            cx.cancel_named_timer(TimerId(14));
            cx.close_flushed();
        }
    }

    fn service_timer(&mut self, cx: &mut ServiceContext<'_, Self>) {
        self.beats += 1;
        cx.set_service_timer(Duration::from_millis(2));
        assert!(self.beats != 2, "a service whose timer panics is called again");
        let said = format!("beat {}", self.beats);
        cx.broadcast(self.all, &[said.as_bytes()]).expect("a text is a line");
    }
}

fn each_timer_of_a_connection_fires_once_with_its_identifier<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Timed::new()).on(net);
    let mut client = rig.connect();
    let began = rig.reactor.driver().now();
    rig.write(&mut client, b"set 3 40\nset 1 20\ntimer 30\nset 2 10\n");
    let mut fired: Vec<_> = (0..4).map(|_| rig.line(&mut client)).collect();
    let took = rig.reactor.driver().now() - began;
    // Those that a turn finds overdue together, as on a busy machine, fire in any order.
    if !N::TIME_IS_FREE {
        fired.sort_by_key(|line| ["timer 2", "timer 1", "timer", "timer 3"].iter().position(|wanted| wanted == line));
    }
    assert_eq!(fired, ["timer 2", "timer 1", "timer", "timer 3"]);
    assert!(took >= Duration::from_millis(39), "the last fired after {took:?}");
    // Each is gone now, also where it would have been due again.
    rig.pass(Duration::from_millis(50));
    assert_eq!((rig.read_now(&mut client), rig.reactor.core().timers.len()), (0, 0));
    drop(client);
    rig.finish();
}

fn a_named_timer_that_was_cancelled_or_set_again_does_not_fire_at_its_old_time<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Timed::new()).on(net);
    let mut client = rig.connect();
    let began = rig.reactor.driver().now();
    rig.write(&mut client, b"set 5 10\nset 6 10\nset 7 10\ncancel 5\nset 6 40\n");
    // A turn that finds both overdue, as on a busy machine, has them fire in any order.
    let mut fired = [rig.line(&mut client), rig.line(&mut client)];
    let took = rig.reactor.driver().now() - began;
    fired.sort();
    assert_eq!(fired, ["timer 6", "timer 7"]);
    assert!(took >= Duration::from_millis(39), "both have fired after {took:?}");
    assert_eq!(rig.ask(&mut client, "there"), "there", "timer 5 did not fire");
    // A timer that sets itself again fires in a later turn: it keeps no one waiting.
    rig.write(&mut client, b"set 200 0\n");
    for _ in 0..=TIMES {
        assert_eq!(rig.line(&mut client), "timer 200");
    }
    assert_eq!(rig.ask(&mut client, "there"), "there");
    drop(client);
    rig.finish();
}

fn timers_of_a_connection_that_closes_do_not_fire<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Timed::new()).on(net);
    let (mut first, mut second) = (rig.connect(), rig.connect());
    // Timer 13 cancels 14 and closes; 15 is due in the same turn, or later.
    rig.write(&mut first, b"set 13 10\nset 14 10\nset 15 10\nset 16 1000000\n");
    rig.write(&mut second, b"set 16 1000000\n");
    assert_eq!(rig.ask(&mut second, "there"), "there");
    let (read, _) = rig.read_to_end(&mut first);
    assert_eq!(read, b"timer 13\n");
    drop(first);
    rig.until("the timers of the first to be gone", |rig| (rig.reactor.core().timers.len() == 1).then_some(()));
    rig.turn();
    assert_eq!(rig.remote.stats()[0].named_timers, 1);
    drop(second);
    rig.finish();
}

fn the_timer_of_a_service_outlives_the_connection_that_set_it_and_a_panic<N: Net>(net: N) {
    let mut rig: Rig<N> = Setup::new().listen(Timed::new()).on(net);
    let (mut first, mut second) = (rig.connect(), rig.connect());
    assert_eq!(rig.ask(&mut second, "there"), "there");
    // The later time counts.
    rig.write(&mut first, b"service 1\nservice 25\n");
    assert_eq!(rig.ask(&mut first, "armed"), "armed");
    drop(first);
    let (took, line) = rig.timed(|rig| rig.line(&mut second));
    assert_eq!(line, "beat 1");
    assert!(took >= Duration::from_millis(10), "fired after {took:?}");
    assert_eq!(rig.line(&mut second), "beat 3", "the second panicked");
    rig.write(&mut second, b"no-service\n");
    let mut last = 3;
    loop {
        rig.write(&mut second, b"quiet\n");
        let line = rig.line(&mut second);
        if line == "quiet" {
            break;
        }
        last += 1;
        assert_eq!(line, format!("beat {last}"));
    }
    drop(second);
    rig.finish();
}

on_every_driver!(
    each_timer_of_a_connection_fires_once_with_its_identifier,
    a_named_timer_that_was_cancelled_or_set_again_does_not_fire_at_its_old_time,
    timers_of_a_connection_that_closes_do_not_fire,
    the_timer_of_a_service_outlives_the_connection_that_set_it_and_a_panic,
);
