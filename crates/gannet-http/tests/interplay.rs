//! Requests of all kinds behind each other on one connection, in whatever pieces they come.

mod rig;

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use gannet::SendStatus;
use gannet_http::{Router, Routes, Source, Stream};
use rig::{Client, Rig, drivers};

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
}

impl Source for Lines {
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

fn routes() -> Routes {
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
            cx.stream(Lines { next: 0, end: number(cx.param("n")), slowly: false });
        })
        .get("/slowly/{n}", move |cx| {
            cx.stream(Lines { next: 0, end: number(cx.param("n")), slowly: true });
        })
        .get("/sized/{n}", move |cx| {
            let end = number(cx.param("n"));
            cx.stream_sized(5 * end as u64, Lines { next: 0, end, slowly: end % 2 == 1 });
        })
        .get("/opened/{n}", move |cx| {
            let end = number(cx.param("n"));
            cx.offload(move || end, |end, reply| reply.stream(Lines { next: 0, end, slowly: false }));
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

/// Sends it in pieces, and ends the client's side behind it where that is wanted.
fn write(mut stream: TcpStream, bytes: &[u8], dice: &mut Dice, ends: bool) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let most = [3, 40, 400, 4_000][dice.below(4)];
        let (piece, after) = rest.split_at(rest.len().min(1 + dice.below(most)));
        stream.write_all(piece).expect("it is taken");
        if dice.below(3) == 0 {
            thread::yield_now();
        }
        rest = after;
    }
    if ends {
        stream.shutdown(Shutdown::Write).expect("it is open");
    }
}

fn run(rig: &Rig, seed: u64) {
    let mut dice = Dice(seed);
    let mut client: Client = rig.connect();
    let (requests, expected): (Vec<_>, Vec<_>) = (0..1 + dice.below(12)).map(|_| request(&mut dice)).unzip();
    // A stream of open length ends early where the client ends its side.
    let ends = !expected.iter().any(|one| ["/stream", "/slowly", "/opened"].iter().any(|path| one.what.contains(path)));
    let stream = client.stream.try_clone().expect("a descriptor");
    let bytes = requests.concat().into_bytes();
    let writer = thread::spawn(move || write(stream, &bytes, &mut dice, ends));
    for (at, one) in expected.iter().enumerate() {
        let what = format!("seed {seed}, request {at}: {}", one.what);
        if one.asks {
            assert_eq!(client.read(25), "HTTP/1.1 100 Continue\r\n\r\n", "{what}");
        }
        let response = client.response(one.to_head);
        assert_eq!(response.status, one.status, "{what}");
        if !one.to_head {
            assert!(response.body == one.body, "{what}: {} bytes for {}", response.body.len(), one.body.len());
        }
    }
    writer.join().expect("all was sent");
    if ends {
        client.expect_end();
    }
}

#[test]
fn whatever_is_asked_behind_each_other_is_answered_in_order_in_whatever_pieces_it_comes() {
    for driver in drivers() {
        let rig = Rig::start(driver, &routes());
        for seed in 0..SCHEDULES {
            run(&rig, seed);
        }
    }
}
