//! Connections that end before the run does: who comes back, and what a run says that nobody is left in.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use gannet::{Address, DriverChoice, Engine, Running, Service};
use gannet_load::plan::Phase;
use gannet_load::results::Results;
use gannet_load::run::{Config, Kind, run};
use gannet_testing::free_ports;

use crate::rig::{config, drivers, errors_of, go, lost, serve, shown};
use crate::{Echo, EchoFrames, http};

fn frames() -> EchoFrames {
    EchoFrames { wrong_after: u32::MAX, closes_after: u32::MAX }
}

#[test]
fn a_run_in_which_no_connection_is_left_is_not_valid() {
    for driver in drivers() {
        let (_server, target) = serve(driver, || EchoFrames { closes_after: 10, ..frames() });
        // It is over when none is left.
        let results = go(&Config { duration: Duration::from_secs(5), ..config(Kind::Frames, target, driver) });
        assert_eq!((lost(&results), results.connections.up), (20, 0), "{}", shown(&results));
        assert!(results.invalid.iter().any(|why| why.contains("no connection was left")), "{}", shown(&results));
    }
}

#[test]
fn clients_that_come_back_do_so_as_long_as_the_run_lasts_and_each_lost_connection_counts() {
    for driver in drivers() {
        let (_server, target) = serve(driver, || EchoFrames { closes_after: 10, ..frames() });
        for rate in [None, Some(1_000.0)] {
            let mut config = config(Kind::Frames, target.clone(), driver);
            (config.reconnect, config.rate_per_second, config.duration) = (true, rate, Duration::from_secs(1));
            let results = go(&config);
            let what = shown(&results);
            assert!(results.measured >= config.duration && results.requests.answered > 0, "{what}");
            assert!(lost(&results) > 40 && results.connections.opened == 20, "{what}");
            assert!(results.connections.reopened + 20 >= lost(&results), "{what}");
            // A machine that is busy may be late.
            let is_late = |why: &String| why.contains("keep its schedule") || why.contains("never sent");
            assert!(results.invalid.iter().all(is_late), "{what}");
        }
    }
}

/// A server at this address, which may be that of one that has just ended.
fn serve_at<S: Service>(
    address: SocketAddr,
    driver: DriverChoice,
    factory: impl Fn() -> S + Send + Sync + 'static,
) -> Running {
    let engine = Engine::new().driver(driver).reactors(1).listen(format!("tcp://{address}"), factory);
    engine.expect("an address").start().expect("the address is free again")
}

/// Runs against a server that is another one after a second or so.
fn restarted<S: Service>(config: &Config, driver: DriverChoice, factory: fn() -> S) -> Results {
    // A port that the kernel chose is anybody's between the two.
    let address = free_ports(1)[0];
    let config = Config { target: Address::Tcp(address), ..config.clone() };
    let mut server = Some(serve_at(address, driver, factory));
    let mut is_another = false;
    let results = run(&config, &AtomicBool::new(false), &mut |moment| {
        if moment.phase == Phase::Measure && !is_another {
            drop(server.take());
            server = Some(serve_at(address, driver, factory));
            is_another = true;
        }
    });
    assert!(is_another, "the run was too short");
    results.expect("the load generator starts")
}

#[test]
fn a_server_that_restarts_is_asked_again_by_clients_that_come_back() {
    for driver in drivers() {
        let nowhere: Address = "tcp://127.0.0.1:1".parse().expect("an address");
        let lasting = |kind| Config {
            duration: Duration::from_secs(4),
            rate_per_second: (kind != Kind::Connect).then_some(500.0),
            ..config(kind, nowhere.clone(), driver)
        };
        // Each waits for a second most of the time.
        let results = std::thread::scope(|scope| {
            let http = scope.spawn(|| restarted(&lasting(Kind::Http), driver, http::paths));
            let connect = scope.spawn(|| restarted(&lasting(Kind::Connect), driver, frames));
            let echo = restarted(&Config { reconnect: true, ..lasting(Kind::Echo) }, driver, || Echo);
            let ended = "the run ends";
            [("http", http.join().expect(ended)), ("connect", connect.join().expect(ended)), ("echo", echo)]
        });
        for (what, results) in results {
            let what = format!("{what}: {}", shown(&results));
            assert!(results.measured >= Duration::from_secs(4), "{what}");
            let last = results.seconds.iter().rfind(|second| second.lasted > Duration::from_millis(500));
            assert!(last.is_some_and(|second| second.answered > 0), "{what}");
            let was_up = results.asked.scenario == "connect" || results.connections.up == 20;
            assert!(was_up, "{what}");
            assert!(errors_of(&results, "wrong_bytes") == 0, "{what}");
        }
    }
}

#[test]
fn a_ramp_of_short_connections_opens_all_clients_however_often_the_first_come_again() {
    let (_server, target) = serve(DriverChoice::Poll, frames);
    let mut config = config(Kind::Connect, target, DriverChoice::Poll);
    (config.connections, config.ramp_per_second) = (20, Some(40.0));
    (config.warmup, config.duration) = (Duration::ZERO, Duration::from_millis(100));
    let results = go(&config);
    assert!(results.ramped >= Duration::from_millis(450), "{:?}: {}", results.ramped, shown(&results));
}
