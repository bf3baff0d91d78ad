//! Clients and publishers of channels, against a small gateway that does what the names of its channels say.

mod double;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gannet::proto::centrifuge::Format;
use gannet::{Address, DriverChoice, Running};
use gannet_load::results::{Deliveries, Results};
use gannet_load::run::{Config, Kind};
use gannet_load::scenario::push::Secret;

use self::double::{Double, World};
use crate::rig::{self, config, drivers, errors_of, go, serve};

struct Served {
    _running: Running,
    target: Address,
    world: Arc<Mutex<World>>,
}

fn server(driver: DriverChoice) -> Served {
    let world = Arc::<Mutex<World>>::default();
    let given = world.clone();
    let (_running, target) = serve(driver, move || Double(given.clone()));
    Served { _running, target, world }
}

/// Twenty clients of these channels, and a publisher.
fn subscribing(channels: &[&str], served: &Served, driver: DriverChoice) -> Config {
    let mut config = config(Kind::Push, served.target.clone(), driver);
    config.push.channels = channels.iter().map(|text| text.parse().expect(text)).collect();
    config.push.publishers = 1;
    config.rate_per_second = Some(100.0);
    (config.size, config.duration) = (100, Duration::from_millis(400));
    config.answer_patience = Duration::from_secs(2);
    config
}

fn deliveries(results: &Results) -> Deliveries {
    results.deliveries.expect("it is push")
}

fn assert_right(results: &Results, what: &str) {
    let (shown, got) = (rig::shown(results), deliveries(results));
    assert!(results.connections.failed.is_empty() && results.connections.lost.is_empty(), "{what}: {shown}");
    assert!(results.requests.errors.is_empty(), "{what}: {shown} {got:?}");
    assert_eq!((got.gaps, got.duplicates, got.misplaced, got.missing), (0, 0, 0, 0), "{what}: {got:?}");
    assert!(got.measured > 0 && results.requests.answered > 0, "{what}: {shown} {got:?}");
    assert_eq!(got.received, got.expected, "{what}: {got:?}");
}

#[test]
fn every_publication_is_delivered_to_each_subscriber_of_its_channel_in_both_formats() {
    for driver in drivers() {
        for (format, publishers, channels) in [
            (Format::Json, 1, &["news"][..]),
            (Format::Protobuf, 3, &["news:{n%4}", "plain:{n/5}"]),
            (Format::Json, 5, &["room:{n%2}-{0..3}", "plain-{n}"]),
        ] {
            let served = server(driver);
            let mut config = subscribing(channels, &served, driver);
            (config.push.format, config.push.publishers) = (format, publishers);
            let results = go(&config);
            let what = format!("{driver:?} {format:?} {channels:?}");
            assert_right(&results, &what);
            assert_eq!(results.connections.up, 20 + u64::from(publishers), "{what}");
            assert_eq!(results.times.response_ns.len(), deliveries(&results).measured, "{what}");
            assert_eq!(results.times.ready_ns.len(), 20 + u64::from(publishers), "{what}");
            assert!(served.world.lock().expect("nobody panicked").pongs > 0, "{what}: pings were answered");
        }
    }
}

/// The server API has no Protobuf, and needs no session.
#[test]
fn publications_go_by_the_server_api_where_there_is_a_key() {
    for driver in drivers() {
        let served = server(driver);
        let mut config = subscribing(&["news \"{n%2}\""], &served, driver);
        config.push.api_key = Some("key".to_owned());
        assert_right(&go(&config), "server API");
        let (key, body) = served.world.lock().expect("nobody panicked").requests[0].clone();
        assert!(key == "key" && body.contains(r#""channel":"news \"0\"""#), "{key}: {body}");
        config.push.api_key = Some("another".to_owned());
        let results = go(&config);
        assert!(errors_of(&results, "refused_401") > 0, "{}", rig::shown(&results));
        assert!(
            results.invalid.iter().any(|why| why.contains("nothing was answered rightly")),
            "{:?}",
            results.invalid
        );
    }
}

#[test]
fn latency_counts_from_the_moment_a_publication_was_due() {
    let driver = DriverChoice::Poll;
    let served = server(driver);
    let results = go(&subscribing(&["news"], &served, driver));
    let (response, service) = (&results.times.response_ns, &results.times.service_ns);
    assert_eq!(response.len(), service.len());
    assert!(response.max() >= service.max() && response.mean() >= service.mean(), "{}", rig::shown(&results));
}

#[test]
fn a_publication_that_is_skipped_is_a_gap() {
    for driver in drivers() {
        for channel in ["skip:a", "swallow:a", "plain-skip:a"] {
            let served = server(driver);
            let results = go(&subscribing(&[channel], &served, driver));
            let got = deliveries(&results);
            assert!(got.gaps >= 20 && errors_of(&results, "gap") == got.gaps, "{channel}: {got:?}");
            assert_eq!((got.duplicates, got.misplaced), (0, 0), "{channel}: {got:?}");
        }
    }
}

#[test]
fn a_publication_that_comes_twice_is_a_duplicate() {
    for driver in drivers() {
        for channel in ["twice:a", "plain-twice:a"] {
            let served = server(driver);
            let results = go(&subscribing(&[channel], &served, driver));
            let got = deliveries(&results);
            assert!(got.duplicates >= 20 && errors_of(&results, "duplicate") == got.duplicates, "{channel}: {got:?}");
            assert_eq!((got.gaps, got.missing, got.received), (0, 0, got.expected), "{channel}: {got:?}");
        }
    }
}

#[test]
fn a_new_publication_with_an_old_offset_is_told() {
    for driver in drivers() {
        let served = server(driver);
        let results = go(&subscribing(&["stuck:a"], &served, driver));
        let got = deliveries(&results);
        assert!(got.misplaced >= 20 && errors_of(&results, "wrong_offset") == got.misplaced, "{got:?}");
        assert_eq!(got.duplicates, 0, "{got:?}");
    }
}

#[test]
fn publications_that_never_come_are_missing_at_the_end() {
    for driver in drivers() {
        let served = server(driver);
        let mut config = subscribing(&["lose-last:a"], &served, driver);
        config.answer_patience = Duration::from_secs(1);
        let results = go(&config);
        let got = deliveries(&results);
        assert!(got.missing > 0 && got.missing == got.expected - 3 * 20, "{got:?}");
        assert_eq!((errors_of(&results, "missing"), got.gaps), (got.missing, 0), "{got:?}");
    }
}

#[test]
fn a_publication_of_a_channel_that_a_client_has_not_is_told() {
    for driver in drivers() {
        let served = server(driver);
        let results = go(&subscribing(&["misnamed:a"], &served, driver));
        assert!(errors_of(&results, "wrong_channel") > 0, "{}", rig::shown(&results));
    }
}

#[test]
fn publications_of_others_have_their_offsets_checked_and_are_counted_apart() {
    for driver in drivers() {
        let served = server(driver);
        let mut config = subscribing(&["strange:a"], &served, driver);
        config.answer_patience = Duration::from_millis(50);
        let results = go(&config);
        let got = deliveries(&results);
        assert!(got.others >= 20, "{got:?}");
        // What it says of itself was replaced: that one never came.
        assert!(got.gaps > 0 && got.duplicates == 0 && got.misplaced == 0, "{got:?}");
    }
}

#[test]
fn nobody_misses_a_publication_that_the_server_has_refused() {
    for driver in drivers() {
        let served = server(driver);
        let results = go(&subscribing(&["picky:a"], &served, driver));
        let got = deliveries(&results);
        assert_eq!(errors_of(&results, "refused_403"), 1, "{}", rig::shown(&results));
        assert_eq!((got.gaps, got.missing, got.received), (0, 0, got.expected), "{got:?}");
    }
}

#[test]
fn clients_of_a_storm_come_back_and_have_what_they_missed() {
    for driver in drivers() {
        let served = server(driver);
        let mut config = subscribing(&["news:{n%2}", "news2"], &served, driver);
        (config.push.storm_per_second, config.reconnect) = (1.0, true);
        (config.rate_per_second, config.duration) = (Some(1_000.0), Duration::from_millis(900));
        // A busy machine may have no time for a publisher, or for a storm.
        let is_one = |results: &Results| results.requests.answered > 0 && deliveries(results).cuts > 0;
        let results = (0..5).map(|_| go(&config)).find(is_one).expect("one of five has both");
        assert_right(&results, "storm");
        let got = deliveries(&results);
        assert!(got.recoveries == 2 * got.cuts && got.not_recovered == 0, "{got:?}");
        assert_eq!((results.connections.reopened, results.connections.up), (got.cuts, 21), "{}", rig::shown(&results));
    }
}

#[test]
fn a_recovery_that_is_refused_incomplete_or_of_another_epoch_is_told() {
    for driver in drivers() {
        for (channel, kind) in [("refuse:a", "not_recovered"), ("forget:a", "gap"), ("reborn:a", "wrong_epoch")] {
            let served = server(driver);
            let mut config = subscribing(&[channel], &served, driver);
            (config.push.storm_per_second, config.reconnect) = (1.0, true);
            (config.rate_per_second, config.duration) = (Some(2_000.0), Duration::from_millis(900));
            config.answer_patience = Duration::from_millis(200);
            // A busy machine has no time for a storm.
            let runs: Vec<_> =
                (0..10).map(|_| go(&config)).take_while(|results| errors_of(results, kind) == 0).collect();
            let shown = || runs.iter().map(rig::shown).collect::<Vec<_>>();
            assert!(runs.len() < 10, "{driver:?} {channel}: {:#?}", shown());
        }
    }
}

#[test]
fn a_subscription_that_the_server_ends_for_a_while_is_made_again_and_recovers() {
    for driver in drivers() {
        let served = server(driver);
        let results = go(&subscribing(&["evict:a"], &served, driver));
        let got = deliveries(&results);
        let ended = errors_of(&results, "unsubscribed_2500");
        assert!(ended >= 20 && got.recoveries >= 20, "{got:?}");
        // The last ones may be under way when all publications are there.
        assert_eq!(ended, got.recoveries + (20 - got.subscriptions), "{got:?}");
        assert_eq!((got.gaps, got.duplicates, got.missing), (0, 0, 0), "{got:?}");
    }
}

#[test]
fn a_client_that_is_not_let_in_has_failed_with_the_code() {
    for driver in drivers() {
        let served = server(driver);
        let mut config = subscribing(&["secret:a"], &served, driver);
        assert_eq!(go(&config).connections.failed, [("subscribe_103".to_owned(), 20)]);
        config.push.token = Some("bad".to_owned());
        assert_eq!(go(&config).connections.failed, [("connect_closed_3500".to_owned(), 21)]);
    }
}

#[test]
fn each_client_has_a_token_of_its_own() {
    let driver = DriverChoice::Poll;
    let served = server(driver);
    let mut config = subscribing(&["news"], &served, driver);
    let secret = Secret::new(b"a secret");
    config.push.secret = Some(secret.clone());
    config.push.user = "user-{n}".parse().expect("a pattern");
    assert_right(&go(&config), "tokens");
    let mut tokens = served.world.lock().expect("nobody panicked").tokens.clone();
    tokens.sort_unstable();
    let mut wanted: Vec<_> = (0..20).map(|client| secret.token(&format!("user-{client}"))).collect();
    wanted.push(secret.token("publisher-0"));
    wanted.sort_unstable();
    assert_eq!(tokens, wanted);
}

#[test]
fn clients_without_a_publisher_hold_their_subscriptions() {
    for driver in drivers() {
        let served = server(driver);
        let mut config = subscribing(&["news"], &served, driver);
        (config.push.publishers, config.rate_per_second) = (0, None);
        let results = go(&config);
        assert!(results.is_valid(), "{:?}", results.invalid);
        assert_eq!((deliveries(&results).subscriptions, results.connections.up), (20, 20));
    }
}
