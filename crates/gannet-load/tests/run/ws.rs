//! Conversations of WebSocket with a server that does what its paths say.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use gannet::proto::http::Event;
use gannet::proto::ws::{self, Close, CloseCode, Handshake, Message};
use gannet::{Address, Context, DriverChoice, Running, Service};
use gannet_load::login::Login;
use gannet_load::results::Results;
use gannet_load::run::{Config, Kind};
use gannet_load::scenario::ws::Mode;

use crate::rig::{assert_clean, config, drivers, go, serve};
use crate::wire::{Incoming, Protocol, Wire};

/// Does what a path says.
struct Paths {
    pongs: Arc<AtomicU64>,
    heads: Arc<Mutex<String>>,
}

#[derive(Default)]
struct Session {
    path: String,
    messages: u32,
}

fn unix_ns() -> u128 {
    #[allow(clippy::disallowed_methods)] // The server of a broadcast says when it sent.
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos()
}

impl Paths {
    fn upgrade(&self, session: &mut Session, event: &Event<'_>, cx: &mut Context<'_, Self>) {
        let Event::Request(request) = event else { panic!("{event:?}") };
        session.path = request.path().to_owned();
        let heads: Vec<_> =
            request.headers().map(|(name, value)| format!("{name}: {}", value.escape_ascii())).collect();
        *self.heads.lock().expect("nobody panicked") = heads.join(", ");
        match session.path.as_str() {
            "/403" => {
                cx.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
            }
            "/200" => {
                cx.write(b"HTTP/1.1 200 OK\r\n\r\nwithout a length");
                cx.close_flushed();
            }
            "/wrong-accept" => {
                cx.write(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
                );
            }
            "/garbage" => {
                cx.write(b"220 mail.example.org ESMTP\r\n");
            }
            "/nothing" => cx.close(),
            "/silence" => {}
            _ => {
                let handshake = Handshake::new().protocols(["chat"]);
                let accept = handshake.check("GET", (1, 1), request.headers()).expect("a handshake");
                let mut response = b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec();
                accept.write(&mut response);
                // What the server says first may come in one piece with its answer.
                ws::ping(&mut response, b"hello?", None).expect("it is short");
                cx.write(&response);
                *cx.codec_state() = Protocol::WebSocket(ws::State::default());
                cx.set_timer(Duration::from_millis(10));
            }
        }
    }
}

impl Service for Paths {
    type Codec = Wire;
    type Session = Session;

    fn message(&mut self, session: &mut Session, incoming: Incoming<'_>, cx: &mut Context<'_, Self>) {
        let message = match incoming {
            Incoming::Http(event) => return self.upgrade(session, &event, cx),
            Incoming::WebSocket(message) => message,
        };
        let mut out = Vec::new();
        session.messages += 1;
        match (session.path.as_str(), message) {
            (_, Message::Pong(payload)) => {
                assert_eq!(payload, b"hello?");
                self.pongs.fetch_add(1, Ordering::Relaxed);
            }
            (_, Message::Close(_)) => cx.close(),
            ("/closes", _) if session.messages > 5 => {
                let close = Close { code: CloseCode::GOING_AWAY, reason: "good-bye" };
                ws::close(&mut out, Some(close), None).expect("it is short");
            }
            ("/closes-without-code", _) if session.messages > 5 => {
                ws::close(&mut out, None, None).expect("it is empty")
            }
            ("/mute", _) => return,
            ("/masked", Message::Binary(bytes)) => ws::binary(&mut out, &bytes, Some([1, 2, 3, 4])),
            ("/wrong", Message::Binary(_)) => ws::binary(&mut out, b"something else", None),
            ("/text-for-binary", Message::Binary(bytes)) => {
                ws::text(&mut out, std::str::from_utf8(&bytes).expect("letters"), None);
            }
            (_, Message::Ping(payload)) => ws::pong(&mut out, payload, None).expect("it is short"),
            (_, Message::Text(text)) => ws::text(&mut out, &text, None),
            (_, Message::Binary(bytes)) => ws::binary(&mut out, &bytes, None),
        }
        cx.write(&out);
    }

    fn timer(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        let mut out = Vec::new();
        match session.path.as_str() {
            "/news" => ws::text(&mut out, &format!("{} news", unix_ns()), None),
            "/old-news" => ws::binary(&mut out, b"something happened", None),
            _ => return,
        }
        cx.write(&out);
        cx.set_timer(Duration::from_millis(10));
    }
}

/// A service whose counts nobody asks for.
pub fn paths() -> impl Service {
    Paths { pongs: Arc::default(), heads: Arc::default() }
}

struct Served {
    _running: Running,
    target: Address,
    pongs: Arc<AtomicU64>,
    heads: Arc<Mutex<String>>,
}

fn server(driver: DriverChoice) -> Served {
    let (pongs, heads) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(String::new())));
    let (given, taken) = (pongs.clone(), heads.clone());
    let (running, target) = serve(driver, move || Paths { pongs: given.clone(), heads: taken.clone() });
    Served { _running: running, target, pongs, heads }
}

fn talking(path: &str, served: &Served, driver: DriverChoice) -> Config {
    let mut config = config(Kind::Ws, served.target.clone(), driver);
    config.duration = Duration::from_millis(300);
    config.ws.path = path.parse().expect(path);
    config
}

fn assert_upgraded(results: &Results, what: &str) {
    assert_clean(results, what);
    assert_eq!((results.times.connect_ns.len(), results.times.upgrade_ns.len()), (20, 20), "{what}: {results:?}");
}

#[test]
fn messages_are_echoed_in_both_kinds_and_both_loops_and_the_servers_pings_answered() {
    for driver in drivers() {
        let served = server(driver);
        for (text, size, rate) in
            [(false, 48, None), (true, 300, None), (false, 70_000, None), (true, 48, Some(1_000.0))]
        {
            let mut config = talking("/", &served, driver);
            (config.ws.text, config.size, config.rate_per_second) = (text, size, rate);
            assert_upgraded(&go(&config), "echo");
        }
        assert_eq!(served.pongs.load(Ordering::Relaxed), 80);
    }
}

#[test]
fn a_handshake_says_what_it_was_told_to() {
    let served = server(DriverChoice::Poll);
    let mut config = talking("/", &served, DriverChoice::Poll);
    config.ws.protocols = vec!["chat".parse().expect("a token")];
    config.ws.headers = vec!["Origin: https://example.org".parse().expect("a header")];
    config.ws.host = "example.org".to_owned();
    assert_upgraded(&go(&config), "subprotocol");
    let heads = served.heads.lock().expect("nobody panicked").clone();
    for said in ["Host: example.org,", "Origin: https://example.org", "Sec-WebSocket-Protocol: chat"] {
        assert!(heads.contains(said), "{heads}");
    }
    config.ws.protocols = vec!["dance".parse().expect("a token")];
    assert_eq!(go(&config).connections.failed, vec![("upgrade_subprotocol".to_owned(), 20)]);
}

#[test]
fn a_handshake_that_fails_is_a_failed_connection_with_its_reason() {
    for driver in drivers() {
        let served = server(driver);
        for (path, reason) in [
            ("/403", "upgrade_403"),
            ("/200", "upgrade_200"),
            ("/wrong-accept", "upgrade_wrong"),
            ("/garbage", "upgrade_wrong"),
            ("/nothing", "upgrade_closed"),
            ("/silence", "upgrade_timed_out"),
        ] {
            let mut config = talking(path, &served, driver);
            if reason == "upgrade_timed_out" {
                // Longer than a busy machine takes to connect.
                config.patience = Duration::from_secs(1);
            }
            let results = go(&config);
            assert_eq!(results.connections.failed, vec![(reason.to_owned(), 20)], "{path}: {results:?}");
            assert_eq!((results.connections.opened, results.connections.up), (0, 0), "{path}: {results:?}");
            assert!(results.connections.lost.is_empty() && results.times.upgrade_ns.is_empty(), "{path}: {results:?}");
            assert!(results.requests.errors.is_empty(), "{path}: {results:?}");
        }
    }
}

#[test]
fn a_server_that_closes_is_counted_with_its_code() {
    for driver in drivers() {
        let served = server(driver);
        for (path, reason) in [("/closes", "closed_1001"), ("/closes-without-code", "closed")] {
            let mut config = talking(path, &served, driver);
            // It is over when none is left.
            (config.depth, config.duration) = (1, Duration::from_secs(5));
            let results = go(&config);
            assert_eq!(results.connections.lost, vec![(reason.to_owned(), 20)], "{path}: {results:?}");
            assert_eq!((results.connections.opened, results.connections.up), (20, 0), "{path}: {results:?}");
        }
    }
}

#[test]
fn a_server_that_lies_is_found_out() {
    for driver in drivers() {
        let served = server(driver);
        for (path, is_malformed) in [("/masked", true), ("/wrong", false), ("/text-for-binary", false)] {
            let mut config = talking(path, &served, driver);
            (config.depth, config.warmup) = (1, Duration::ZERO);
            config.rate_per_second = Some(200.0);
            let results = go(&config);
            let wrong = results.requests.errors.iter().find(|(kind, _)| kind == "wrong_bytes");
            assert_eq!(wrong.map(|(_, count)| *count), Some(20), "{path}: {results:?}");
            let lost = if is_malformed { vec![("protocol".to_owned(), 20)] } else { Vec::new() };
            assert_eq!(results.connections.lost, lost, "{path}: {results:?}");
            assert_eq!((results.connections.up, results.requests.answered), (0, 0), "{path}: {results:?}");
        }
    }
}

#[test]
fn connections_that_hold_are_heard_from_at_each_ping_or_not_at_all() {
    for driver in drivers() {
        let served = server(driver);
        let mut config = talking("/news", &served, driver);
        (config.ws.mode, config.duration) = (Mode::Hold, Duration::from_secs(1));
        let results = go(&config);
        assert_upgraded(&results, "pings");
        // Ten of each in a second, give or take one at either end, whatever else the server says; fewer where the machine
        // is busy.
        assert!((100..=240).contains(&results.requests.answered), "{results:?}");
        assert_eq!(results.times.response_ns.len(), results.requests.answered);
        config.heartbeat = Duration::ZERO;
        let results = go(&config);
        assert_eq!(
            (results.connections.up, results.requests.sent, results.requests.answered),
            (20, 0, 0),
            "{results:?}"
        );
        assert_eq!(served.pongs.load(Ordering::Relaxed), 40, "the server's own were answered");
        served.pongs.store(0, Ordering::Relaxed);
    }
}

#[test]
fn messages_that_nobody_asked_for_are_counted_with_the_time_they_took_where_they_say_when_they_were_sent() {
    for driver in drivers() {
        let served = server(driver);
        for (path, says_when) in [("/news", true), ("/old-news", false)] {
            let mut config = talking(path, &served, driver);
            (config.ws.mode, config.duration) = (Mode::Receive, Duration::from_secs(1));
            let results = go(&config);
            let received = results.requests.answered;
            // A hundred on each in a second, less by what a busy machine is late.
            assert!((20..=2_200).contains(&received), "{path}: {results:?}");
            assert_eq!((results.connections.up, results.requests.sent), (20, 0), "{path}: {results:?}");
            assert!(results.requests.errors.is_empty() && results.times.response_ns.is_empty(), "{path}: {results:?}");
            assert_eq!(results.times.service_ns.len(), if says_when { received } else { 0 }, "{path}: {results:?}");
            assert!(results.times.service_ns.value_at_quantile(0.5) < 1_000_000_000, "{path}: {results:?}");
        }
    }
}

#[test]
fn a_login_is_answered_by_whatever_the_server_says_first() {
    for driver in drivers() {
        let served = server(driver);
        for mode in [Mode::Echo, Mode::Hold] {
            let mut config = talking("/", &served, driver);
            (config.ws.mode, config.login) = (mode, Some(Login::text("I am {n}").expect("a login")));
            assert_upgraded(&go(&config), "login");
        }
    }
}
