//! Targets that do not answer, or not in the protocol that they are asked in: no run against them passes.

use std::time::Duration;

use gannet::proto::Raw;
use gannet::{Address, Context, DriverChoice, Service};
use gannet_load::login::Login;
use gannet_load::results::Results;
use gannet_load::run::{Config, Kind};
use gannet_load::scenario::ws::Mode;

use crate::rig::{config, drivers, errors_of, go, lost, serve, shown};
use crate::{Echo, EchoLines, Silence, http, ws};

const KINDS: [Kind; 7] = [Kind::Echo, Kind::Lines, Kind::Frames, Kind::Connect, Kind::Idle, Kind::Http, Kind::Redis];

/// Runs some at the same time: each waits for answers that do not come. All at once would take much memory for rings.
fn all(configs: Vec<Config>) -> Vec<(Config, Results)> {
    let some = |configs: &[Config]| {
        std::thread::scope(|scope| {
            let runs: Vec<_> = configs.iter().map(|config| scope.spawn(|| go(config))).collect();
            runs.into_iter().map(|run| run.join().expect("it ends")).collect::<Vec<_>>()
        })
    };
    let results: Vec<_> = configs.chunks(5).flat_map(some).collect();
    configs.into_iter().zip(results).collect()
}

fn of(kind: Kind, target: &Address, driver: DriverChoice) -> Config {
    let mut config = config(kind, target.clone(), driver);
    (config.connections, config.reactors, config.duration) = (3, 1, Duration::from_millis(200));
    // No answer comes.
    config.answer_patience = Duration::from_secs(1);
    config
}

fn says(results: &Results, what: &str) -> bool {
    results.invalid.iter().any(|why| why.contains(what))
}

#[test]
fn requests_that_are_never_answered_are_counted_whenever_they_were_sent() {
    let mut configs = Vec::new();
    let mut servers = Vec::new();
    for driver in drivers() {
        let (server, target) = serve(driver, || Silence);
        servers.push(server);
        // All of a closed loop are sent in the warm-up.
        configs.extend(KINDS.map(|kind| of(kind, &target, driver)));
        // With a connection for each request, those that wait for one are not sent.
        let mut each = of(Kind::Http, &target, driver);
        (each.http.keep_alive, each.rate_per_second, each.depth) = (false, Some(100.0), 1);
        configs.push(each);
        let (server, target) = serve(driver, ws::paths);
        servers.push(server);
        let mut mute = of(Kind::Ws, &target, driver);
        mute.ws.path = "/mute".parse().expect("a path");
        configs.push(mute.clone());
        mute.ws.mode = Mode::Hold;
        configs.push(mute);
    }
    for (config, results) in all(configs) {
        let what = format!("{} {:?} {:?}: {}", config.kind.name(), config.ws.mode, config.driver, shown(&results));
        let requests = &results.requests;
        assert!(requests.sent >= 3 && requests.answered == 0, "{what}");
        assert_eq!(
            (requests.unanswered, &requests.errors[..]),
            (requests.sent, &[("unanswered".to_owned(), requests.sent)][..]),
            "{what}"
        );
        assert!(says(&results, "nothing was answered"), "{what}");
        let waits_for_its_turn = config.kind == Kind::Http && !config.http.keep_alive;
        // Others are only where the machine was too busy for the schedule.
        let is_late = says(&results, "keep its schedule");
        assert!(
            if waits_for_its_turn { requests.never_sent > 0 } else { requests.never_sent == 0 || is_late },
            "{what}"
        );
    }
}

#[test]
fn receivers_that_receive_nothing_have_measured_nothing_and_those_that_only_stay_expect_nothing() {
    for driver in drivers() {
        let (_server, target) = serve(driver, ws::paths);
        let mut config = of(Kind::Ws, &target, driver);
        (config.ws.mode, config.heartbeat) = (Mode::Receive, Duration::ZERO);
        config.ws.path = "/mute".parse().expect("a path");
        let results = go(&config);
        assert!(says(&results, "nothing was received") && results.connections.up == 3, "{}", shown(&results));
        config.ws.mode = Mode::Hold;
        let results = go(&config);
        assert!(results.invalid.is_empty() && results.connections.up == 3, "{}", shown(&results));
    }
}

/// Ends a connection at its first byte.
struct HangsUp;

impl Service for HangsUp {
    type Codec = Raw;
    type Session = ();

    fn message(&mut self, (): &mut (), _: &[u8], cx: &mut Context<'_, Self>) {
        cx.close();
    }
}

#[test]
fn requests_that_are_lost_in_the_warm_up_are_errors_too() {
    for driver in drivers() {
        let (_server, target) = serve(driver, || HangsUp);
        for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Connect) {
            let mut config = of(kind, &target, driver);
            // So that all of them have sent something by its end.
            config.warmup = Duration::from_secs(5);
            let results = go(&config);
            let what = format!("{}: {}", kind.name(), shown(&results));
            assert_eq!((lost(&results), results.connections.up), (3, 0), "{what}");
            assert_eq!(errors_of(&results, "lost_with_connection"), results.requests.sent, "{what}");
            assert!(results.requests.sent >= 3 && says(&results, "nothing was answered rightly"), "{what}");
            assert!(says(&results, "no connection was left"), "{what}");
        }
    }
}

#[test]
fn a_server_of_another_protocol_answers_nothing() {
    for driver in drivers() {
        let (_echo, echo) = serve(driver, || Echo);
        let (_lines, lines) = serve(driver, || EchoLines);
        let (_http, http) = serve(driver, http::paths);
        let pairs = [
            (Kind::Lines, &echo),
            (Kind::Http, &echo),
            (Kind::Redis, &echo),
            (Kind::Redis, &lines),
            (Kind::Http, &lines),
            (Kind::Echo, &http),
            (Kind::Lines, &http),
            (Kind::Frames, &http),
            (Kind::Idle, &http),
            (Kind::Redis, &http),
        ];
        for (config, results) in all(pairs.map(|(kind, target)| of(kind, target, driver)).to_vec()) {
            let what = format!("{} to {}: {}", config.kind.name(), config.target, shown(&results));
            assert!(results.connections.opened == 3 && results.requests.answered == 0, "{what}");
            assert!(says(&results, "nothing was answered"), "{what}");
            assert!(!results.requests.errors.is_empty(), "{what}");
        }
        let results = go(&of(Kind::Ws, &echo, driver));
        assert_eq!(results.connections.failed, vec![("upgrade_wrong".to_owned(), 3)], "{}", shown(&results));
    }
}

/// Says the same again and again, whether it is asked or not.
struct Flood(&'static [u8]);

impl Service for Flood {
    type Codec = Raw;
    type Session = ();

    fn message(&mut self, (): &mut (), _: &[u8], cx: &mut Context<'_, Self>) {
        for _ in 0..100 {
            cx.send(&[self.0]);
        }
    }
}

#[test]
fn what_comes_before_its_request_has_left_is_no_answer_and_each_wrong_answer_is_one_error() {
    for driver in drivers() {
        let (_server, target) = serve(driver, || Flood(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"));
        let mut config = of(Kind::Http, &target, driver);
        (config.depth, config.warmup) = (2, Duration::ZERO);
        let results = go(&config);
        // Two are asked for, and the third that comes belongs to a request that was not sent yet.
        let requests = &results.requests;
        assert_eq!(errors_of(&results, "wrong_bytes"), 3, "{}", shown(&results));
        assert_eq!(requests.sent, requests.answered + results.errors(), "{}", shown(&results));
        assert!(requests.answered <= 6 && results.connections.up == 0, "{}", shown(&results));
    }
}

/// Answers each message after a while.
struct Late;

impl Service for Late {
    type Codec = Raw;
    type Session = Vec<u8>;

    fn message(&mut self, waiting: &mut Vec<u8>, bytes: &[u8], cx: &mut Context<'_, Self>) {
        waiting.extend_from_slice(bytes);
        cx.set_timer(Duration::from_millis(1_500));
    }

    fn timer(&mut self, waiting: &mut Vec<u8>, cx: &mut Context<'_, Self>) {
        cx.send(&[&std::mem::take(waiting)[..]]);
    }
}

#[test]
fn answers_to_requests_that_were_under_way_all_the_time_count_with_the_time_they_took() {
    for driver in drivers() {
        let (_server, target) = serve(driver, || Late);
        let mut config = of(Kind::Echo, &target, driver);
        (config.login, config.answer_patience) = (None, Duration::from_secs(20));
        let results = go(&config);
        // They were sent in the warm-up, and answered when the measured time was over.
        assert_eq!((results.requests.sent, results.requests.answered), (12, 12), "{}", shown(&results));
        assert!(results.requests.errors.is_empty() && results.rate_per_second() == 0.0, "{}", shown(&results));
        let fastest = results.times.service_ns.min();
        assert!(fastest > 1_000_000_000, "{fastest} ns: {}", shown(&results));
    }
}

#[test]
fn a_login_that_nobody_answers_is_a_failed_connection_and_nothing_else() {
    let mut configs = Vec::new();
    let (_server, target) = serve(DriverChoice::Poll, || Silence);
    for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Http) {
        let mut config = of(kind, &target, DriverChoice::Poll);
        (config.login, config.patience) = (Some(Login::text("hello").expect("a login")), Duration::from_secs(1));
        configs.push(config);
    }
    for (config, results) in all(configs) {
        let what = format!("{}: {}", config.kind.name(), shown(&results));
        assert_eq!((results.connections.opened, results.requests.sent), (0, 0), "{what}");
        assert!(results.connections.failed.iter().all(|(reason, count)| reason == "login" && *count >= 3), "{what}");
    }
}
