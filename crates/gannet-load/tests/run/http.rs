//! Requests of HTTP against a server that answers as its paths say.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use gannet::proto::http::{Event, Requests};
use gannet::{Address, Context, DriverChoice, Running, Service};
use gannet_load::run::{Config, Kind};
use gannet_load::scenario::http::{Header, Method, Path, Request, Statuses};

use crate::rig::{assert_clean, config, drivers, errors_of, go, lost, serve, shown};

/// Answers as a path says. What it has got last is kept.
pub struct Paths(Arc<Mutex<String>>);

impl Service for Paths {
    type Codec = Requests;
    /// Requests on this connection.
    type Session = u32;

    fn message(&mut self, requests: &mut u32, event: Event<'_>, cx: &mut Context<'_, Self>) {
        let request = match event {
            Event::Request(request) => request,
            other => panic!("{other:?}"),
        };
        *requests += 1;
        let headers: Vec<_> =
            request.headers().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value))).collect();
        let path = request.path();
        *self.0.lock().expect("nobody panicked") =
            format!("{:?} {} [{}] {}", request.method, request.target, headers.join(", "), request.body.len());
        let answer: &[u8] = match path {
            "/" => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "/chunked" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
            "/head" => b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
            "/204" => b"HTTP/1.1 204 No Content\r\n\r\n",
            "/304" => b"HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n",
            "/interim" => {
                b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
                  HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
            }
            "/404" => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "/503-close" => b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            "/close" | "/until-end" | "/http10" => {
                cx.write(match path {
                    "/close" => b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
                    "/http10" => b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
                    _ => b"HTTP/1.1 200 OK\r\nX-No: length\r\n\r\nuntil the end",
                });
                return cx.close_flushed();
            }
            "/every-third" if *requests == 3 => {
                cx.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
                return cx.close_flushed();
            }
            "/every-third" => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "/five-then-fin" if *requests < 5 => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "/five-then-fin" => {
                cx.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
                return cx.close_flushed();
            }
            "/five-then-reset" if *requests <= 5 => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "/five-then-reset" => return cx.reset(),
            "/five-then-half" if *requests <= 5 => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "/five-then-half" => {
                cx.write(b"HTTP/1.1 200 OK\r\nConte");
                return cx.close_flushed();
            }
            "/short" => {
                cx.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nonly this");
                return cx.close_flushed();
            }
            "/garbage" => b"SSH-2.0-OpenSSH_9.6\r\n",
            "/switch" => b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
            "/two" => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "/nothing" => return cx.close(),
            "/large" => b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            _ => panic!("{path}"),
        };
        cx.write(answer);
        if path == "/503-close" {
            cx.close_flushed();
        }
    }
}

/// A service whose last request nobody asks for.
pub fn paths() -> Paths {
    Paths(Arc::default())
}

fn server(driver: DriverChoice) -> (Running, Address, Arc<Mutex<String>>) {
    let last = Arc::new(Mutex::new(String::new()));
    let given = last.clone();
    let (running, address) = serve(driver, move || Paths(given.clone()));
    (running, address, last)
}

fn asking(path: &str, target: &Address, driver: DriverChoice) -> Config {
    let mut config = config(Kind::Http, target.clone(), driver);
    config.duration = Duration::from_millis(250);
    config.http.path = path.parse::<Path>().expect(path);
    config
}

#[test]
fn answers_of_every_framing_are_counted_in_both_loops() {
    for driver in drivers() {
        let (_server, target, _) = server(driver);
        for (path, status) in
            [("/", 200), ("/chunked", 200), ("/204", 204), ("/304", 304), ("/interim", 200), ("/head", 200)]
        {
            for rate in [None, Some(2_000.0)] {
                let mut config = asking(path, &target, driver);
                config.rate_per_second = rate;
                if path == "/head" {
                    config.http.method = "HEAD".parse::<Method>().expect("a method");
                }
                let results = go(&config);
                assert_clean(&results, path);
                assert_eq!(results.requests.statuses, vec![(status, results.requests.answered)], "{results:?}");
                assert_eq!(results.connections.reopened, 0, "{results:?}");
                assert_eq!(results.times.response_ns.is_empty(), rate.is_none(), "{results:?}");
            }
        }
    }
}

#[test]
fn a_request_arrives_as_it_was_asked_for() {
    let (_server, target, last) = server(DriverChoice::Poll);
    let mut config = asking("/?a=b", &target, DriverChoice::Poll);
    config.http = Request {
        method: Method::post(),
        headers: vec!["X-Load: yes".parse::<Header>().expect("a header")],
        body: vec![b'x'; 100_000],
        ..config.http
    };
    (config.connections, config.depth) = (2, 1);
    let results = go(&config);
    assert!(results.requests.answered > 0 && results.requests.errors.is_empty(), "{results:?}");
    let Address::Tcp(address) = target else { panic!("{target}") };
    let wanted = format!("/?a=b [Host: {address}, X-Load: yes, Content-Length: 100000] 100000");
    let last = last.lock().expect("nobody panicked");
    assert!(last.ends_with(&wanted), "{last}");
    assert_eq!(results.asked.size, 100_000);
}

#[test]
fn a_server_that_closes_after_its_answers_is_asked_again_on_another_connection() {
    for driver in drivers() {
        let (_server, target, _) = server(driver);
        for path in ["/close", "/until-end", "/http10", "/every-third"] {
            for (depth, rate) in [(1, None), (4, None), (1, Some(1_000.0))] {
                let mut config = asking(path, &target, driver);
                (config.depth, config.rate_per_second) = (depth, rate);
                let results = go(&config);
                assert_clean(&results, path);
                assert!(results.connections.reopened > 0, "{path}: {results:?}");
                assert_eq!(results.requests.statuses, vec![(200, results.requests.answered)], "{results:?}");
            }
        }
    }
}

/// As browsers do it: the server may end a connection that has answered, and a request that it has not begun to answer is
/// asked again.
#[test]
fn a_server_that_ends_connections_between_answers_is_asked_again_for_as_long_as_the_run_lasts() {
    for driver in drivers() {
        let (_server, target, _) = server(driver);
        for path in ["/five-then-fin", "/five-then-reset"] {
            for (depth, rate) in [(1, None), (4, None), (1, Some(1_000.0))] {
                let mut config = asking(path, &target, driver);
                (config.depth, config.rate_per_second) = (depth, rate);
                let results = go(&config);
                assert_clean(&results, path);
                assert!(results.connections.reopened > 0, "{path}: {}", shown(&results));
                assert!(results.measured >= config.duration, "{path}: {}", shown(&results));
            }
        }
    }
}

#[test]
fn a_request_that_may_have_been_carried_out_is_not_sent_again_and_its_client_goes_on() {
    for driver in drivers() {
        let (_server, target, _) = server(driver);
        let mut config = asking("/five-then-reset", &target, driver);
        (config.http.method, config.depth) = (Method::post(), 1);
        let results = go(&config);
        let given_up = errors_of(&results, "lost_with_connection");
        // Each connection gives five answers, and loses the sixth request.
        assert!(given_up >= results.requests.answered / 5 && given_up > 0, "{}", shown(&results));
        // The last ones may be under way when the time is over.
        assert!(results.connections.reopened + 20 >= given_up, "{}", shown(&results));
        assert_eq!(results.requests.sent, results.requests.answered + given_up, "{}", shown(&results));
        assert_eq!((results.connections.up, lost(&results)), (20, 0), "{}", shown(&results));
        assert!(results.measured >= config.duration, "{}", shown(&results));
    }
}

#[test]
fn an_answer_that_is_cut_off_loses_its_connection_however_many_came_before() {
    for driver in drivers() {
        let (_server, target, _) = server(driver);
        let mut config = asking("/five-then-half", &target, driver);
        // It is over when none is left.
        (config.depth, config.warmup, config.duration) = (1, Duration::ZERO, Duration::from_secs(5));
        let results = go(&config);
        assert_eq!(results.connections.lost, vec![("peer".to_owned(), 20)], "{}", shown(&results));
        assert_eq!(errors_of(&results, "lost_with_connection"), 20, "{}", shown(&results));
        assert!(results.invalid.iter().any(|why| why.contains("no connection was left")), "{}", shown(&results));
    }
}

#[test]
fn without_keep_alive_each_request_has_a_connection_of_its_own() {
    for driver in drivers() {
        let (_server, target, last) = server(driver);
        for rate in [None, Some(500.0)] {
            let mut config = asking("/", &target, driver);
            (config.depth, config.rate_per_second, config.http.keep_alive) = (1, rate, false);
            let results = go(&config);
            assert_clean(&results, "no keep-alive");
            assert!(last.lock().expect("nobody panicked").contains("Connection: close"));
            // All of them and those of the warm-up; at the end each waits on a new one.
            assert!(results.connections.reopened >= results.requests.answered, "{results:?}");
            assert_eq!(results.times.connect_ns.len(), 20 + results.connections.reopened, "{results:?}");
        }
    }
}

#[test]
fn a_status_that_is_not_accepted_is_an_error_and_the_connection_goes_on() {
    for driver in drivers() {
        let (_server, target, _) = server(driver);
        let mut config = asking("/404", &target, driver);
        let results = go(&config);
        assert_eq!((results.requests.answered, results.connections.up, lost(&results)), (0, 20, 0), "{results:?}");
        assert_eq!(results.requests.errors, vec![("status".to_owned(), results.requests.sent)], "{results:?}");
        assert_eq!(results.requests.statuses, vec![(404, results.requests.sent)], "{results:?}");
        assert!(results.seconds.iter().map(|second| second.classes[2]).sum::<u64>() >= results.requests.sent);
        config.http.accepted = "2xx,404".parse::<Statuses>().expect("a list");
        assert_clean(&go(&config), "404 is accepted");
        let results = go(&asking("/503-close", &target, driver));
        assert!(errors_of(&results, "status") > 0 && results.connections.reopened > 0, "{results:?}");
        assert_eq!((results.connections.up, lost(&results)), (20, 0), "{results:?}");
    }
}

#[test]
fn a_server_that_lies_is_found_out() {
    for driver in drivers() {
        let (_server, target, _) = server(driver);
        for (path, kind, reason) in [
            ("/short", "lost_with_connection", Some("peer")),
            ("/nothing", "lost_with_connection", Some("peer")),
            ("/garbage", "wrong_bytes", Some("protocol")),
            ("/large", "too_large", Some("protocol")),
            ("/switch", "wrong_bytes", None),
            ("/two", "wrong_bytes", None),
        ] {
            let mut config = asking(path, &target, driver);
            (config.depth, config.warmup) = (1, Duration::ZERO);
            // It is over when all have asked.
            (config.rate_per_second, config.duration) = (Some(200.0), Duration::from_secs(5));
            let results = go(&config);
            assert!(errors_of(&results, kind) > 0, "{path}: {results:?}");
            assert_eq!(results.connections.up, 0, "{path}: {results:?}");
            if let Some(reason) = reason {
                assert_eq!(results.connections.lost, vec![(reason.to_owned(), 20)], "{path}: {results:?}");
            }
        }
    }
}

#[test]
fn a_request_that_the_server_never_answers_is_an_error() {
    struct Silence;
    impl Service for Silence {
        type Codec = Requests;
        type Session = ();
        fn message(&mut self, (): &mut (), _: Event<'_>, _: &mut Context<'_, Self>) {}
    }
    let (_server, target) = serve(DriverChoice::Poll, || Silence);
    let mut config = asking("/", &target, DriverChoice::Poll);
    config.answer_patience = Duration::from_secs(1);
    let results = go(&config);
    assert_eq!((results.requests.answered, results.requests.sent), (0, results.requests.unanswered), "{results:?}");
}
