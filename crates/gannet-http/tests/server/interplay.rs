//! Requests of all kinds behind each other on one connection, in whatever pieces they come.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use gannet::SendStatus;
use gannet_http::{Ended, Router, Routes, Source, Stream};

use gannet_testing::{is_end, until};

use crate::rig::{Client, Rig, drivers};

/// Schedules for each driver.
const SCHEDULES: u64 = 40;

/// Random numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// Lines with numbers, at once or one after the other.
struct Lines {
    next: usize,
    end: usize,
    slowly: bool,
    under_way: UnderWay,
}

/// Streams that have begun and were not told that they are over.
#[derive(Clone, Default)]
struct UnderWay(Arc<AtomicIsize>);

impl UnderWay {
    fn lines(&self, end: usize, slowly: bool) -> Lines {
        self.0.fetch_add(1, Ordering::SeqCst);
        Lines { next: 0, end, slowly, under_way: self.clone() }
    }
}

impl Source for Lines {
    fn ended(&mut self, _: Ended) {
        self.under_way.0.fetch_sub(1, Ordering::SeqCst);
    }

    fn pull(&mut self, out: &mut Stream<'_, '_>) {
        while self.next < self.end {
            let status = out.send(b"line\n");
            self.next += 1;
            if self.slowly {
                return out.again_in(Duration::from_millis(1));
            }
            if status != SendStatus::Queued {
                return;
            }
        }
        out.end();
    }
}

fn routes(under_way: &UnderWay) -> Routes {
    let [stream, slowly, sized, opened] = [0; 4].map(|_| under_way.clone());
    let number = |text: &str| text.parse::<usize>().unwrap_or_default();
    Router::new()
        .get("/now/{n}", |cx| cx.text(cx.param("n")))
        .get("/large/{n}", move |cx| (0..number(cx.param("n"))).for_each(|_| cx.text("line\n")))
        .get("/pool/{n}", |cx| {
            let text = cx.param("n").to_owned();
            cx.offload(|| text, |text, reply| reply.text(&text));
        })
        .get("/thread/{n}", |cx| {
            let (later, text) = (cx.defer(Duration::from_secs(60)), cx.param("n").to_owned());
            thread::spawn(move || later.complete(move |reply| reply.text(&text)));
        })
        .get("/dropped", |cx| drop(cx.defer(Duration::from_secs(60))))
        .get("/stream/{n}", move |cx| {
            let lines = stream.lines(number(cx.param("n")), false);
            cx.stream(lines);
        })
        .get("/slowly/{n}", move |cx| {
            let lines = slowly.lines(number(cx.param("n")), true);
            cx.stream(lines);
        })
        .get("/sized/{n}", move |cx| {
            let end = number(cx.param("n"));
            cx.stream_sized(5 * end as u64, sized.lines(end, end % 2 == 1));
        })
        .get("/opened/{n}", move |cx| {
            let (end, opened) = (number(cx.param("n")), opened.clone());
            cx.offload(move || end, move |end, reply| reply.stream(opened.lines(end, false)));
        })
        .post("/echo", |cx| cx.bytes(cx.request_body()))
        .post("/echo/later", |cx| {
            let body = cx.request_body().to_vec();
            cx.offload(|| body, |body, reply| reply.bytes(&body));
        })
        .build()
        .expect("they do not conflict")
}

/// What a request is to be answered with.
struct Expected {
    what: String,
    to_head: bool,
    asks: bool,
    status: u16,
    body: String,
}

/// A request, and what it is to be answered with.
fn request(dice: &mut Dice) -> (String, Expected) {
    let number = dice.below(30);
    let lines = |count: usize| "line\n".repeat(count);
    let (path, status, body) = match dice.below(12) {
        0 => (format!("/now/{number}"), 200, number.to_string()),
        1 => (format!("/pool/{number}"), 200, number.to_string()),
        2 => (format!("/thread/{number}"), 200, number.to_string()),
        3 => ("/dropped".to_owned(), 500, "internal server error\n".to_owned()),
        4 => (format!("/stream/{number}"), 200, lines(number)),
        5 => (format!("/slowly/{number}"), 200, lines(number)),
        6 => (format!("/sized/{number}"), 200, lines(number)),
        7 => (format!("/opened/{number}"), 200, lines(number)),
        8 => (format!("/large/{}", 2_500 * number), 200, lines(2_500 * number)),
        9 => (format!("/stream/{}", 100 * number), 200, lines(100 * number)),
        10 => ("/none".to_owned(), 404, "not found\n".to_owned()),
        _ => return upload(dice, number),
    };
    let to_head = dice.below(5) == 0;
    let what = format!("{} {path}", if to_head { "HEAD" } else { "GET" });
    let request = format!("{what} HTTP/1.1\r\nHost: h\r\n\r\n");
    (request, Expected { what, to_head, asks: false, status, body })
}

fn upload(dice: &mut Dice, number: usize) -> (String, Expected) {
    let body = "x".repeat(50 * number + 1);
    let path = ["/echo", "/echo/later"][dice.below(2)];
    let asks = dice.below(2) == 0;
    let expect = if asks { "Expect: 100-continue\r\n" } else { "" };
    let framed = match dice.below(2) {
        0 => format!("Content-Length: {}\r\n\r\n{body}", body.len()),
        _ => {
            let chunks: String = body
                .as_bytes()
                .chunks(30)
                .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), "x".repeat(chunk.len())))
                .collect();
            format!("Transfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n")
        }
    };
    let request = format!("POST {path} HTTP/1.1\r\nHost: h\r\n{expect}{framed}");
    (request, Expected { what: format!("POST {path}"), to_head: false, asks, status: 200, body })
}

/// Sends it in pieces, and ends the client's side behind it where that is wanted. Says whether all was taken.
fn write(mut stream: TcpStream, bytes: &[u8], dice: &mut Dice, ends: bool) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        let most = [3, 40, 400, 4_000][dice.below(4)];
        let (piece, after) = rest.split_at(rest.len().min(1 + dice.below(most)));
        if stream.write_all(piece).is_err() {
            return false;
        }
        if dice.below(3) == 0 {
            thread::yield_now();
        }
        rest = after;
    }
    !ends || stream.shutdown(Shutdown::Write).is_ok()
}

/// A client that has asked for a number of things, and what it is to get.
struct Asked {
    client: Client,
    expected: Vec<Expected>,
    ends: bool,
    writer: JoinHandle<bool>,
    seed: u64,
}

impl Asked {
    fn new(rig: &Rig, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let mut client = rig.connect();
        // One that is not accepted yet when the server shuts down is refused.
        assert_eq!(client.get("/now/0").body, "0");
        let (requests, expected): (Vec<_>, Vec<_>) = (0..1 + dice.below(12)).map(|_| request(&mut dice)).unzip();
        // A stream of open length ends early where the client ends its side.
        let open = |one: &Expected| ["/stream", "/slowly", "/opened"].iter().any(|path| one.what.contains(path));
        let ends = !expected.iter().any(open);
        let stream = client.stream.try_clone().expect("a descriptor");
        let bytes = requests.concat().into_bytes();
        let writer = thread::spawn(move || write(stream, &bytes, &mut dice, ends));
        Self { client, expected, ends, writer, seed }
    }

    /// Reads what the request at this place is to get; says whether more may come.
    fn read(&mut self, at: usize) -> bool {
        let Self { client, expected, seed, .. } = self;
        let one = &expected[at];
        let what = format!("seed {seed}, request {at}: {}", one.what);
        if one.asks {
            assert_eq!(client.read(25), "HTTP/1.1 100 Continue\r\n\r\n", "{what}");
        }
        let response = client.response(one.to_head);
        assert_eq!(response.status, one.status, "{what}");
        if !one.to_head {
            assert!(response.body == one.body, "{what}: {} bytes for {}", response.body.len(), one.body.len());
        }
        response.header("connection") != Some("close")
    }
}

#[test]
fn whatever_is_asked_behind_each_other_is_answered_in_order_in_whatever_pieces_it_comes() {
    for driver in drivers() {
        let under_way = UnderWay::default();
        let rig = Rig::start(driver, &routes(&under_way));
        for seed in 0..SCHEDULES {
            let mut asked = Asked::new(&rig, seed);
            for at in 0..asked.expected.len() {
                assert!(asked.read(at), "seed {seed}: the connection goes on");
            }
            assert!(asked.writer.join().expect("no panic"), "all was taken");
            if asked.ends {
                asked.client.expect_end();
            }
        }
        // The last one may end a moment after its client has all of it.
        until("each stream to have ended once", || under_way.0.load(Ordering::SeqCst) == 0);
    }
}

#[test]
fn what_is_answered_while_the_server_shuts_down_is_whole_and_in_order() {
    for driver in drivers() {
        let under_way = UnderWay::default();
        let rig = Rig::start(driver, &routes(&under_way));
        let (answered, answers) = channel();
        let asked: Vec<_> = (0..SCHEDULES).map(|seed| Asked::new(&rig, seed)).collect();
        thread::scope(|scope| {
            for mut asked in asked {
                let answered = answered.clone();
                scope.spawn(move || {
                    for at in 0..asked.expected.len() {
                        // A request of which too little had come is not answered.
                        let over = is_end(&asked.client.stream.peek(&mut [0]));
                        if over || !asked.read(at) {
                            break;
                        }
                        answered.send(()).expect("the test waits for all");
                    }
                    asked.client.expect_end();
                });
            }
            drop(answered);
            // In the midst of it, and then until the last client has seen its end.
            assert!(answers.iter().take(SCHEDULES as usize).count() > 0);
            rig.running.remote().stop();
            answers.iter().for_each(drop);
        });
        rig.running.join().expect("it has shut down");
        assert_eq!(under_way.0.load(Ordering::SeqCst), 0, "each stream has ended once");
    }
}

#[test]
fn nothing_is_left_of_clients_that_vanish_at_any_moment() {
    for driver in drivers() {
        let under_way = UnderWay::default();
        let rig = Rig::start(driver, &routes(&under_way));
        for seed in 0..4 * SCHEDULES {
            let mut dice = Dice(seed ^ 0xabcd);
            let mut asked = Asked::new(&rig, seed);
            for at in 0..dice.below(1 + asked.expected.len()) {
                asked.read(at);
            }
            // With something unread it ends by a reset, otherwise as one that was closed.
            let _ = asked.client.stream.shutdown(Shutdown::Both);
            drop(asked.client);
            asked.writer.join().expect("no panic");
        }
        let left = || {
            let reactors = rig.running.remote().stats();
            let listeners = reactors.iter().flat_map(|reactor| &reactor.services);
            let connections: u64 = listeners.map(|listener| listener.connections).sum();
            (connections, rig.running.remote().offloads(), under_way.0.load(Ordering::SeqCst))
        };
        let mut other = rig.connect();
        until("all connections but one, all jobs and all streams to be gone", || {
            assert_eq!(other.get("/now/1").body, "1");
            left() == (1, 0, 0)
        });
    }
}
