//! Small runs against servers in this process, on every driver that this machine has.

mod ends;
mod http;
mod push;
mod rig;
mod silence;
mod tls;
mod wire;
mod ws;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gannet::proto::resp::{Args, Commands};
use gannet::proto::{LengthPrefixed, Lines, Raw};
use gannet::{Address, Context, DriverChoice, Service};
use gannet_load::draw::Distribution;
use gannet_load::login::Login;
use gannet_load::plan::Phase;
use gannet_load::results::Second;
use gannet_load::run::{Config, Kind, run};
use gannet_load::scenario::redis::Workload;
use gannet_redis::{Options, Redis, Server};
use gannet_testing::free_ports;

use self::rig::{assert_clean, config, drivers, go, serve};

pub(crate) struct Echo;

impl Service for Echo {
    type Codec = Raw;
    type Session = ();

    fn message(&mut self, (): &mut (), bytes: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[bytes]);
    }
}

pub(crate) struct EchoLines;

impl Service for EchoLines {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[b"echo: ", line]);
    }
}

/// Echoes frames; after so many on a connection it answers wrongly, or closes.
pub(crate) struct EchoFrames {
    pub(crate) wrong_after: u32,
    pub(crate) closes_after: u32,
}

impl Service for EchoFrames {
    type Codec = LengthPrefixed;
    type Session = u32;

    fn message(&mut self, answered: &mut u32, frame: &[u8], cx: &mut Context<'_, Self>) {
        *answered += 1;
        if *answered > self.closes_after {
            return cx.close();
        }
        if *answered > self.wrong_after {
            cx.send(&[b"something else"]);
        } else {
            cx.send(&[frame]);
        }
    }
}

#[test]
fn a_closed_loop_counts_every_answer_and_has_no_response_times() {
    for driver in drivers() {
        let (_echo, echo) = serve(driver, || Echo);
        let (_lines, lines) = serve(driver, || EchoLines);
        let (_frames, frames) = serve(driver, || EchoFrames { wrong_after: u32::MAX, closes_after: u32::MAX });
        for (kind, target) in [(Kind::Echo, echo), (Kind::Lines, lines), (Kind::Frames, frames)] {
            let results = go(&config(kind, target, driver));
            assert_clean(&results, kind.name());
            assert!(results.times.response_ns.is_empty() && results.times.late_ns.is_empty());
        }
    }
}

/// A server stops reading while its answers are not read: then the client has to read first.
#[test]
fn requests_that_fill_every_buffer_on_the_way_are_answered() {
    for driver in drivers() {
        let (_server, target) = serve(driver, || Echo);
        let mut config = config(Kind::Echo, target, driver);
        (config.connections, config.depth, config.size) = (1, 100, 1 << 20);
        (config.warmup, config.duration) = (Duration::ZERO, Duration::from_secs(2));
        let results = go(&config);
        let requests = &results.requests;
        assert!(requests.answered >= 100 && requests.unanswered == 0, "{driver:?}: {}", rig::shown(&results));
        assert!(requests.errors.is_empty() && results.connections.lost.is_empty(), "{}", rig::shown(&results));
    }
}

#[test]
fn where_the_first_address_of_a_host_does_not_answer_the_others_are_tried() {
    for driver in drivers() {
        let (_server, target) = serve(driver, || Echo);
        let refusing = Address::Tcp(([127, 0, 0, 2], free_ports(1)[0].port()).into());
        let mut config = config(Kind::Echo, refusing, driver);
        assert_eq!(go(&config).connections.failed, [("refused".to_owned(), 20)]);
        config.other_addresses = vec![target];
        assert_clean(&go(&config), "the second address");
    }
}

#[test]
fn an_open_loop_sends_what_its_schedule_says() {
    for driver in drivers() {
        let (_server, target) = serve(driver, || Echo);
        let mut config = config(Kind::Echo, target, driver);
        config.rate_per_second = Some(2_000.0);
        config.duration = Duration::from_secs(2);
        let results = go(&config);
        assert_clean(&results, "open loop");
        let wanted = 2_000.0 * results.measured.as_secs_f64();
        let sent = results.requests.sent as f64;
        assert!((wanted * 0.97..=wanted * 1.03).contains(&sent), "{sent} requests, {wanted} intended");
        assert_eq!(results.times.response_ns.len(), results.requests.answered);
        assert_eq!(results.times.late_ns.len(), results.requests.sent);
    }
}

/// One run of 50 is enough: others may be late because of what else the machine does. Timers that are kept to whole
/// milliseconds make half of all requests late by half a millisecond in every run, and a quarter by three quarters of one.
#[test]
fn on_a_machine_with_time_a_schedule_does_not_wait_for_whole_milliseconds() {
    for driver in drivers() {
        let (_server, target) = serve(driver, || Echo);
        let mut config = config(Kind::Echo, target, driver);
        (config.rate_per_second, config.duration) = (Some(1_000.0), Duration::from_millis(300));
        let late_us = |_| {
            let late = go(&config).times.late_ns;
            [0.5, 0.75].map(|quantile| late.value_at_quantile(quantile) / 1_000)
        };
        let is_late = |late_us: &[u64; 2]| late_us[0] > 200 || late_us[1] > 400;
        let late: Vec<[u64; 2]> = (0..50).map(late_us).take_while(is_late).collect();
        assert!(
            late.len() < 50,
            "{driver:?}: no run had half of its requests within 200 µs, and three quarters within 400: {late:?}"
        );
    }
}

#[test]
fn bytes_and_the_rate_are_those_of_the_measured_time() {
    for driver in drivers() {
        let (_server, target) = serve(driver, || Echo);
        let mut config = config(Kind::Echo, target, driver);
        config.rate_per_second = Some(1_000.0);
        (config.warmup, config.duration) = (Duration::from_secs(2), Duration::from_millis(500));
        let results = go(&config);
        let requests = &results.requests;
        // What came late in the warm-up may be added.
        let bytes = requests.sent * 48;
        for measured in [requests.bytes_out, requests.bytes_in] {
            assert!((bytes / 2..bytes * 2).contains(&measured), "{bytes}: {}", rig::shown(&results));
        }
        let rate = requests.in_time as f64 / results.measured.as_secs_f64();
        assert!((results.rate_per_second() - rate).abs() < 1.0 && requests.in_time > 0, "{}", rig::shown(&results));
    }
}

#[test]
fn a_schedule_that_nobody_could_keep_is_no_valid_run_and_ends_in_time() {
    for driver in drivers() {
        let (_server, target) = serve(driver, || Echo);
        for connections in [1, 20] {
            let mut config = config(Kind::Echo, target.clone(), driver);
            (config.rate_per_second, config.connections) = (Some(4e9), connections);
            (config.duration, config.warmup) = (Duration::from_millis(300), Duration::ZERO);
            let results = go(&config);
            // A turn may be long, but not as long as the schedule is.
            assert!(results.measured < Duration::from_secs(10), "{}", rig::shown(&results));
            assert!(results.requests.never_sent > 1_000_000, "{}", rig::shown(&results));
            assert!(results.invalid.iter().any(|why| why.contains("never sent")), "{}", rig::shown(&results));
        }
    }
}

#[test]
fn a_rate_may_be_below_one_request_a_second() {
    let (_server, target) = serve(DriverChoice::Poll, || Echo);
    let mut config = config(Kind::Echo, target, DriverChoice::Poll);
    // Each of the two has a request at its beginning, or after some seconds.
    (config.rate_per_second, config.connections, config.warmup) = (Some(0.5), 2, Duration::ZERO);
    config.duration = Duration::from_secs(4);
    let results = go(&config);
    assert!((1..=3).contains(&results.requests.answered), "{}", rig::shown(&results));
    // Of so few, each that waits for a processor is one too many.
    assert!(results.invalid.iter().all(|why| why.contains("written late")), "{}", rig::shown(&results));
    assert_eq!(results.asked.rate_per_second, Some(0.5));
}

#[test]
fn idle_connections_are_heard_from_at_each_heartbeat() {
    for driver in drivers() {
        let (_server, target) = serve(driver, || EchoFrames { wrong_after: u32::MAX, closes_after: u32::MAX });
        let config = Config { duration: Duration::from_secs(1), ..config(Kind::Idle, target, driver) };
        let results = go(&config);
        assert_clean(&results, "idle");
        // Ten heartbeats of each in a second, give or take one at either end, and fewer where the machine is busy.
        assert!((100..=240).contains(&results.requests.answered), "{results:?}");
    }
}

#[test]
fn connections_are_opened_and_closed_again_and_again() {
    for driver in drivers() {
        let (_server, target) = serve(driver, || EchoFrames { wrong_after: u32::MAX, closes_after: u32::MAX });
        let results = go(&config(Kind::Connect, target, driver));
        assert!(results.connections.opened > 20, "{results:?}");
        assert!(results.connections.lost.is_empty() && results.requests.errors.is_empty(), "{results:?}");
        assert!(results.times.connect_ns.len() == results.connections.opened);
    }
}

#[test]
fn wrong_bytes_and_lost_connections_are_counted_by_kind_and_the_run_ends() {
    for driver in drivers() {
        let (_server, target) = serve(driver, || EchoFrames { wrong_after: 10, closes_after: u32::MAX });
        let results = go(&config(Kind::Frames, target, driver));
        let wrong = results.requests.errors.iter().find(|(kind, _)| kind == "wrong_bytes");
        assert_eq!(wrong.map(|(_, count)| *count), Some(20), "{results:?}");

        let (_server, target) = serve(driver, || EchoFrames { wrong_after: u32::MAX, closes_after: 10 });
        let results = go(&config(Kind::Frames, target, driver));
        assert_eq!(results.connections.lost.iter().map(|(_, count)| count).sum::<u64>(), 20, "{results:?}");
        assert_eq!(results.connections.up, 0);
    }
}

pub(crate) struct Silence;

impl Service for Silence {
    type Codec = Raw;
    type Session = ();

    fn message(&mut self, (): &mut (), _: &[u8], _: &mut Context<'_, Self>) {}
}

#[test]
fn a_server_that_never_answers_is_an_error_and_the_run_ends() {
    let (_server, target) = serve(DriverChoice::Poll, || Silence);
    let mut config = config(Kind::Echo, target, DriverChoice::Poll);
    (config.rate_per_second, config.answer_patience) = (Some(200.0), Duration::from_secs(1));
    let results = go(&config);
    assert_eq!(results.requests.answered, 0);
    assert!(results.requests.sent > 0);
    assert_eq!(results.requests.errors, vec![("unanswered".to_owned(), results.requests.sent)], "{results:?}");
}

#[test]
fn a_target_that_is_not_there_is_counted_and_the_run_ends() {
    for driver in drivers() {
        // One that somebody has had may still accept a moment after it was closed.
        let nobody = Address::Tcp(free_ports(1)[0]);
        let results = go(&config(Kind::Echo, nobody, driver));
        assert_eq!(results.connections.failed, vec![("refused".to_owned(), 20)], "{results:?}");
        assert_eq!(results.connections.opened, 0);
    }
}

#[test]
fn a_ramp_opens_as_many_connections_in_a_second_as_it_was_told_to() {
    let (_server, target) = serve(DriverChoice::Poll, || Echo);
    let mut config = config(Kind::Echo, target, DriverChoice::Poll);
    (config.connections, config.ramp_per_second) = (100, Some(100.0));
    let results = go(&config);
    assert_eq!(results.connections.opened, 100);
    let seconds = results.ramped.as_secs_f64();
    assert!((0.9..4.0).contains(&seconds), "100 connections at 100 a second took {seconds} s");
}

/// Notes where its connections come from.
struct Guests(Arc<Mutex<BTreeSet<IpAddr>>>);

impl Service for Guests {
    type Codec = Raw;
    type Session = ();

    fn message(&mut self, (): &mut (), bytes: &[u8], cx: &mut Context<'_, Self>) {
        self.0.lock().expect("nobody panicked").extend(cx.peer().ip());
        cx.send(&[bytes]);
    }
}

#[test]
fn connections_come_from_the_given_addresses_in_turn() {
    for driver in drivers() {
        let guests = Arc::new(Mutex::new(BTreeSet::new()));
        let noted = guests.clone();
        let (_server, target) = serve(driver, move || Guests(noted.clone()));
        let mut config = config(Kind::Echo, target, driver);
        config.sources = ["127.0.3.1", "127.0.3.2", "127.0.3.3"].map(|ip| ip.parse().unwrap()).to_vec();
        assert_clean(&go(&config), "three sources");
        assert_eq!(guests.lock().unwrap().iter().copied().collect::<Vec<_>>(), config.sources);
    }
}

#[test]
fn clients_log_in_before_they_count_as_up() {
    for driver in drivers() {
        let (_echo, echo) = serve(driver, || Echo);
        let (_lines, lines) = serve(driver, || EchoLines);
        let (_frames, frames) = serve(driver, || EchoFrames { wrong_after: u32::MAX, closes_after: u32::MAX });
        for (kind, target) in [(Kind::Echo, echo), (Kind::Lines, lines), (Kind::Frames, frames)] {
            let mut config = config(kind, target, driver);
            // Longer than a payload: the codec's limit has to allow for it.
            config.login = Some(Login::text(&format!("I am {{n}}{}", "!".repeat(500))).unwrap());
            let results = go(&config);
            assert_clean(&results, kind.name());
            assert_eq!(results.times.connect_ns.len(), 20);
        }
    }
}

#[test]
fn a_login_takes_no_room_in_a_client() {
    use gannet_load::client::Session;
    use gannet_load::scenario::{Echo, Frames};
    assert!(size_of::<Session<Frames>>() <= 40 && size_of::<Session<Echo>>() <= 48);
}

#[test]
fn a_login_that_is_not_answered_or_wrongly_is_a_failed_connection() {
    for driver in drivers() {
        let (_silent, silent) = serve(driver, || Silence);
        let (_wrong, wrong) = serve(driver, || EchoFrames { wrong_after: 0, closes_after: u32::MAX });
        let (_closing, closing) = serve(driver, || EchoFrames { wrong_after: 0, closes_after: 0 });
        for (kind, target) in [(Kind::Echo, silent), (Kind::Frames, wrong), (Kind::Frames, closing)] {
            let mut config = config(kind, target, driver);
            config.login = Some(Login::text("{n}").unwrap());
            // Longer than a busy machine takes to connect.
            config.patience = Duration::from_secs(1);
            let results = go(&config);
            assert_eq!(results.connections.failed, vec![("login".to_owned(), 20)], "{results:?}");
            assert_eq!((results.connections.opened, results.connections.up), (0, 0));
            assert!(results.connections.lost.is_empty() && results.requests.errors.is_empty(), "{results:?}");
        }
    }
}

#[test]
fn every_connection_of_the_connect_scenario_logs_in() {
    let (_server, target) = serve(DriverChoice::Poll, || EchoFrames { wrong_after: u32::MAX, closes_after: 2 });
    let mut config = config(Kind::Connect, target, DriverChoice::Poll);
    (config.login, config.duration) = (Some(Login::text("{n}").unwrap()), Duration::from_secs(1));
    let results = go(&config);
    assert!(results.connections.opened > 20, "{results:?}");
    assert!(results.connections.failed.is_empty() && results.requests.errors.is_empty(), "{results:?}");
}

/// Echoes, until it is told to close every connection at the next message or after a while.
struct Ends(Arc<AtomicBool>);

impl Service for Ends {
    type Codec = Raw;
    type Session = ();

    fn message(&mut self, (): &mut (), bytes: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[bytes]);
        cx.set_timer(Duration::from_millis(10));
    }

    fn timer(&mut self, (): &mut (), cx: &mut Context<'_, Self>) {
        if self.0.load(Ordering::Relaxed) {
            return cx.close();
        }
        cx.set_timer(Duration::from_millis(10));
    }
}

#[test]
fn connections_are_held_without_requests_after_the_measurement_and_lost_ones_are_counted() {
    for driver in drivers() {
        let end = Arc::new(AtomicBool::new(false));
        let told = end.clone();
        let (_server, target) = serve(driver, move || Ends(told.clone()));
        let mut config = config(Kind::Echo, target, driver);
        config.hold = Duration::from_secs(2);
        let mut held = 0;
        let results = run(&config, &AtomicBool::new(false), &mut |moment| {
            if moment.phase == Phase::Hold {
                held += 1;
                end.store(true, Ordering::Relaxed);
            }
        });
        let results = results.expect("the load generator starts");
        assert!(held > 0);
        let hold = results.hold.expect("it was held");
        assert_eq!((hold.up, hold.lost), (0, 20), "{results:?}");
        assert_eq!(results.connections.up, 20, "at the end of the measurement: {results:?}");
        assert_eq!(results.connections.lost.iter().map(|(_, count)| count).sum::<u64>(), 20, "{results:?}");
        assert!(results.requests.errors.is_empty(), "{results:?}");
    }
}

/// The best of several runs: a second ends late on a busy machine.
#[test]
fn every_second_is_either_in_the_measured_time_or_out_of_it() {
    let (_server, target) = serve(DriverChoice::Poll, || Echo);
    let mut config = config(Kind::Echo, target, DriverChoice::Poll);
    (config.rate_per_second, config.warmup) = (Some(200.0), Duration::from_millis(300));
    config.duration = Duration::from_secs(1);
    let one_half_in = || {
        let results = go(&config);
        let (from, to) = (results.measured_from, results.measured_from + results.measured);
        assert!(from >= config.warmup && !results.seconds.is_empty());
        let is_half_in = |second: &Second| {
            let began = second.at.saturating_sub(second.lasted);
            // Less than the warm-up, so that a second that is half in and half out shows.
            let slack = Duration::from_millis(250);
            let is_in = began + slack >= from && second.at <= to + slack;
            !is_in && second.at > from + slack && began + slack < to
        };
        let found = results.seconds.iter().find(|second| is_half_in(second));
        found.map(|second| format!("{second:?} and {from:?} to {to:?}"))
    };
    let found: Vec<String> = (0..5).map_while(|_| one_half_in()).collect();
    assert!(found.len() < 5, "{found:#?}");
}

fn workload(mix: &str, distribution: Distribution) -> Workload {
    Workload { mix: mix.parse().expect(mix), keys: 500, distribution }
}

#[test]
fn commands_on_a_store_are_all_answered_rightly() {
    for driver in drivers() {
        for distribution in [Distribution::Uniform, Distribution::Zipf] {
            let store = Server::new(Options::default());
            let (_server, target) = serve(driver, move || Redis::new(store.clone()));
            let mut config = config(Kind::Redis, target, driver);
            config.redis = workload("get=5,set=2,ping=1", distribution);
            let results = go(&config);
            assert_clean(&results, distribution.name());
            let asked = format!("get=5,set=2,ping=1 of 500 keys, {}", distribution.name());
            assert_eq!(results.asked.workload, Some(asked));
        }
    }
}

#[test]
fn clients_of_a_store_with_a_password_log_in_and_without_are_refused_by_kind() {
    for driver in drivers() {
        let mut options = Options::default();
        options.password = Some("open sesame".replace(' ', "-"));
        let store = Server::new(options);
        let (_server, target) = serve(driver, move || Redis::new(store.clone()));
        let mut config = config(Kind::Redis, target, driver);
        let results = go(&config);
        assert_eq!(results.requests.answered, 0, "{results:?}");
        assert_eq!(results.requests.errors, vec![("NOAUTH".to_owned(), results.requests.sent)], "{results:?}");
        assert_eq!(results.connections.up, 20, "a refusal ends no connection: {results:?}");
        config.login = Some(Login::text("AUTH open-sesame").unwrap());
        assert_clean(&go(&config), "logged in");
        config.login = Some(Login::text("AUTH {n}").unwrap());
        assert_eq!(go(&config).connections.failed, vec![("login".to_owned(), 20)]);
    }
}

/// Keeps nothing, and answers every GET with the same value.
struct Forgetful;

impl Service for Forgetful {
    type Codec = Commands;
    type Session = ();

    fn message(&mut self, (): &mut (), args: Args<'_>, cx: &mut Context<'_, Self>) {
        match *args {
            [b"GET", _] => cx.write(b"$5\r\nhello\r\n"),
            [b"SET", _, _] => cx.write(b"+OK\r\n"),
            _ => cx.write(b"-ERR what?\r\n"),
        };
    }
}

#[test]
fn a_value_that_nobody_wrote_is_wrong_and_an_error_is_no_answer() {
    let (_server, target) = serve(DriverChoice::Poll, || Forgetful);
    let mut config = config(Kind::Redis, target, DriverChoice::Poll);
    config.redis = workload("get", Distribution::Zipf);
    let results = go(&config);
    assert_eq!(results.requests.answered, 0);
    assert!(results.requests.errors.contains(&("wrong_bytes".to_owned(), 20)), "{results:?}");
    config.redis = workload("set=1,incr=1", Distribution::Uniform);
    let results = go(&config);
    let [(kind, refused)] = &results.requests.errors[..] else { panic!("{results:?}") };
    assert_eq!((kind.as_str(), results.requests.sent), ("ERR", results.requests.answered + refused), "{results:?}");
    assert!(
        results.requests.answered > 0 && results.times.service_ns.len() == results.requests.answered,
        "{results:?}"
    );
}
