//! The scenarios over TLS.

use std::time::Duration;

use gannet::{Address, DriverChoice};
use gannet_load::results::Results;
use gannet_load::run::Kind;
use gannet_redis::{Options, Redis, Server};
use gannet_tls::{TlsClientConfig, self_signed};

use crate::rig::{assert_clean, config, drivers, go, serve, serve_tls};
use crate::{Echo, EchoFrames, EchoLines};

fn over_tls(kind: Kind, target: Address, client: &TlsClientConfig, driver: DriverChoice) -> Results {
    let mut config = config(kind, target, driver);
    config.duration = Duration::from_millis(if kind == Kind::Connect { 1_000 } else { 200 });
    config.tls = Some(client.build("localhost").expect("a client"));
    go(&config)
}

#[test]
fn every_scenario_goes_over_tls_and_its_handshakes_are_timed() {
    for driver in drivers() {
        let (_echo, echo, echo_tls) = serve_tls(driver, || Echo);
        let (_lines, lines, lines_tls) = serve_tls(driver, || EchoLines);
        let frames = || EchoFrames { wrong_after: u32::MAX, closes_after: u32::MAX };
        let (_frames, frames, frames_tls) = serve_tls(driver, frames);
        let store = Server::new(Options::default());
        let (_redis, redis, redis_tls) = serve_tls(driver, move || Redis::new(store.clone()));
        let (_http, http, http_tls) = serve_tls(driver, crate::http::paths);
        let (_ws, ws, ws_tls) = serve_tls(driver, crate::ws::paths);
        for (kind, target, client) in [
            (Kind::Echo, echo, echo_tls),
            (Kind::Lines, lines, lines_tls),
            (Kind::Frames, frames.clone(), frames_tls.clone()),
            (Kind::Idle, frames, frames_tls),
            (Kind::Redis, redis, redis_tls),
            (Kind::Http, http, http_tls),
            (Kind::Ws, ws, ws_tls),
        ] {
            let results = over_tls(kind, target, &client, driver);
            assert_clean(&results, kind.name());
            assert_eq!((results.times.connect_ns.len(), results.times.handshake_ns.len()), (20, 20), "{results:?}");
            assert!(results.times.handshake_ns.min() > 0 && results.asked.url.starts_with("tls://"), "{results:?}");
        }
    }
}

#[test]
fn sessions_are_taken_up_again_unless_nobody_keeps_them() {
    for driver in drivers() {
        let frames = || EchoFrames { wrong_after: u32::MAX, closes_after: u32::MAX };
        let (_server, target, client) = serve_tls(driver, frames);
        let results = over_tls(Kind::Connect, target.clone(), &client, driver);
        // All but the first of each client.
        assert!(results.connections.resumed > 0 && results.connections.failed.is_empty(), "{results:?}");
        let results = over_tls(Kind::Connect, target, &client.sessions(0), driver);
        assert!(results.connections.opened > 0 && results.connections.resumed == 0, "{results:?}");
    }
}

#[test]
fn a_handshake_that_fails_is_a_failed_connection_of_the_kind_tls() {
    for driver in drivers() {
        let other = self_signed(&["localhost".to_owned()]).expect("a certificate");
        let stranger = TlsClientConfig::new().ca(other.certificate_pem.as_bytes()).expect("the certificate");
        let (_server, target, client) = serve_tls(driver, || Echo);
        let (_plain, plain) = serve(driver, || Echo);
        for (target, client, why) in [
            (
                target.clone(),
                &stranger,
                "a signature of the server's certificates is wrong: it may be of another CA of the same name",
            ),
            (plain, &client, "the server speaks no TLS: it sends back what it is sent"),
        ] {
            let results = over_tls(Kind::Echo, target, client, driver);
            assert_eq!(results.connections.failed, vec![("tls".to_owned(), 20)], "{results:?}");
            assert_eq!((results.connections.opened, results.times.handshake_ns.len()), (0, 0), "{results:?}");
            let first = results.connections.first_failure.as_deref().unwrap_or_default();
            assert!(first.starts_with(why), "{first:?}");
        }
        let any = stranger.dangerous_accept_any_certificate();
        assert_clean(&over_tls(Kind::Echo, target, &any, driver), "whoever it is");
    }
}
