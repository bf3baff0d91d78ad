//! Bodies that are written piece by piece.

use std::io::Read as _;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gannet::{CloseMode, Engine, Group, SendStatus};
use gannet_http::middleware::Timeout;
use gannet_http::{Cx, Ended, JoinStreamError, Router, Source, Stream};

use crate::rig::{PATIENCE, Rig, drivers};

/// A piece of what is read on the pool, in bytes.
const PIECE: u64 = 256 << 10;

/// Sends lines with numbers, and says how it ended.
struct Numbers {
    next: u64,
    end: u64,
    /// Waits after each for so long.
    pace: Option<Duration>,
    ended: Option<Sender<Ended>>,
}

impl Numbers {
    fn to(end: u64) -> Self {
        Self { next: 0, end, pace: None, ended: None }
    }

    fn text(end: u64) -> String {
        (0..end).map(|number| format!("{number}\n")).collect()
    }
}

impl Source for Numbers {
    fn pull(&mut self, out: &mut Stream<'_, '_>) {
        while self.next < self.end {
            let status = out.send(format!("{}\n", self.next).as_bytes());
            self.next += 1;
            if let Some(pace) = self.pace {
                return out.again_in(pace);
            }
            if status != SendStatus::Queued {
                return;
            }
        }
        out.end();
    }

    fn ended(&mut self, how: Ended) {
        if let Some(ended) = &self.ended {
            // A test may not care any more.
            let _ = ended.send(how);
        }
    }
}

/// Bytes that are made on the pool, as those of a file would be.
struct Pieces {
    at: u64,
    length: u64,
}

fn byte(at: u64) -> u8 {
    b'a' + (at % 26) as u8
}

impl Source for Pieces {
    fn pull(&mut self, out: &mut Stream<'_, '_>) {
        if self.at == self.length {
            return out.end();
        }
        let (from, to) = (self.at, self.length.min(self.at + PIECE));
        let work = move || (from..to).map(byte).collect::<Vec<u8>>();
        let sent = |bytes: Vec<u8>, out: &mut Stream<'_, '_>| {
            out.send_shared(bytes.into());
        };
        match out.offload(work, sent) {
            Ok(()) => self.at = to,
            Err(_) => out.again_in(Duration::from_millis(1)),
        }
    }
}

/// A handler whose streams say how they ended.
fn endless() -> (impl Fn(&mut Cx<'_>) + Clone + Send + Sync + 'static, Receiver<Ended>) {
    let (sender, receiver): (Sender<Ended>, _) = channel();
    let sender = Arc::new(Mutex::new(sender));
    let handler = move |cx: &mut Cx<'_>| {
        let ended = Some(sender.lock().expect("no panic").clone());
        cx.stream(Numbers { next: 0, end: u64::MAX, pace: Some(Duration::from_millis(1)), ended });
    };
    (handler, receiver)
}

fn routes() -> Router {
    Router::new()
        .get("/now", |cx| cx.text("now"))
        .get("/numbers/{n}", |cx| {
            cx.header("X-Own", "value");
            cx.stream(Numbers::to(cx.param("n").parse().unwrap_or_default()));
        })
        .get("/sized/{length}/{n}", |cx| {
            let length = cx.param("length").parse().unwrap_or_default();
            cx.stream_sized(length, Numbers::to(cx.param("n").parse().unwrap_or_default()));
        })
        .get("/pieces/{length}", |cx| {
            let length = cx.param("length").parse().unwrap_or_default();
            cx.stream_sized(length, Pieces { at: 0, length });
        })
        .get("/opened/{length}", |cx| {
            let length: u64 = cx.param("length").parse().unwrap_or_default();
            cx.offload(move || length, |length, reply| reply.stream_sized(length, Pieces { at: 0, length }));
        })
        .get("/fault", |cx| {
            cx.header("X-A", "a\r\nb");
            cx.stream(Numbers::to(1));
        })
}

#[test]
fn a_stream_of_open_length_comes_in_chunks_and_the_connection_goes_on() {
    for driver in drivers() {
        let rig = Rig::start(driver, &routes().build().expect("no conflict"));
        let mut client = rig.connect();
        client.send(
            "GET /numbers/3 HTTP/1.1\r\nHost: h\r\n\r\nGET /now HTTP/1.1\r\nHost: h\r\n\r\n\
             GET /numbers/200000 HTTP/1.1\r\nHost: h\r\n\r\nGET /now HTTP/1.1\r\nHost: h\r\n\r\n",
        );
        let head = client.head();
        assert_eq!((head.header("transfer-encoding"), head.header("x-own")), (Some("chunked"), Some("value")));
        let pieces: Vec<_> = std::iter::from_fn(|| client.chunk()).collect();
        assert_eq!(pieces, ["0\n", "1\n", "2\n"], "a chunk for each piece");
        assert_eq!(client.response(false).body, "now");
        assert_eq!(client.response(false).body, Numbers::text(200_000));
        assert_eq!(client.response(false).body, "now");
        assert_eq!(client.get("/numbers/0").body, "");
        assert_eq!(client.get("/fault").status, 500);
        assert_eq!(client.get("/now").body, "now");
    }
}

#[test]
fn an_old_client_gets_the_stream_until_the_end_of_the_connection() {
    for driver in drivers() {
        let rig = Rig::start(driver, &routes().build().expect("no conflict"));
        let mut client = rig.connect();
        client.send("GET /numbers/100000 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        let head = client.head();
        assert_eq!((head.header("transfer-encoding"), head.header("connection")), (None, Some("close")));
        assert_eq!(client.rest(), Numbers::text(100_000));
    }
}

#[test]
fn head_gets_no_body_of_a_stream() {
    for driver in drivers() {
        let rig = Rig::start(driver, &routes().build().expect("no conflict"));
        let mut client = rig.connect();
        client.send("HEAD /numbers/3 HTTP/1.1\r\nHost: h\r\n\r\nHEAD /pieces/1000000 HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(client.head().header("transfer-encoding"), Some("chunked"));
        assert_eq!(client.head().header("content-length"), Some("1000000"));
        assert_eq!(client.get("/now").body, "now");
    }
}

#[test]
fn a_stream_of_known_length_has_exactly_that() {
    for driver in drivers() {
        let rig = Rig::start(driver, &routes().build().expect("no conflict"));
        let mut client = rig.connect();
        let response = client.get("/sized/6/3");
        assert_eq!((response.header("content-length"), response.body.as_str()), (Some("6"), "0\n1\n2\n"));
        assert_eq!(client.get("/sized/5/9").body, "0\n1\n2", "what is more is left out");
        assert_eq!(client.get("/sized/0/0").body, "");
        client.send("GET /sized/7/3 HTTP/1.1\r\nHost: h\r\n\r\nGET /now HTTP/1.1\r\nHost: h\r\n\r\n");
        let mut rest = Vec::new();
        let broken = client.stream.read_to_end(&mut rest);
        assert!(broken.is_err(), "too few bytes end by a reset: {}", String::from_utf8_lossy(&rest));
    }
}

#[test]
fn what_is_read_on_the_pool_in_pieces_comes_whole_to_a_slow_reader() {
    for driver in drivers() {
        let rig = Rig::start(driver, &routes().build().expect("no conflict"));
        for path in ["/pieces/5000000", "/opened/5000000"] {
            let mut client = rig.connect();
            client.send(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\nGET /pieces/1 HTTP/1.1\r\nHost: h\r\n\r\n"));
            client.stream.shutdown(std::net::Shutdown::Write).expect("it is open");
            assert_eq!(client.head().header("content-length"), Some("5000000"));
            let mut bytes = vec![0; 5_000_000];
            client.stream.read_exact(&mut bytes).expect("all of it");
            assert!(bytes.iter().zip(0..).all(|(own, at)| *own == byte(at)), "in order");
            assert_eq!(client.response(false).body, "a");
            client.expect_end();
        }
    }
}

#[test]
fn who_does_not_read_holds_a_bounded_part_of_a_stream() {
    let (sender, sizes) = channel();
    let sender = Mutex::new(sender);
    struct Greedy(Sender<usize>);
    impl Source for Greedy {
        fn pull(&mut self, out: &mut Stream<'_, '_>) {
            while out.send(&[b'x'; 10_000]) == SendStatus::Queued {}
            let _ = self.0.send(out.outbox_len());
        }
    }
    let greedy = move |cx: &mut Cx<'_>| cx.stream(Greedy(sender.lock().expect("no panic").clone()));
    let routes = Router::new().get("/greedy", greedy).get("/now", |cx| cx.text("now")).build().expect("no conflict");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes);
        let mut client = rig.connect();
        client.send("GET /greedy HTTP/1.1\r\nHost: h\r\n\r\n");
        let first = sizes.recv_timeout(PATIENCE).expect("it is asked");
        assert!(first > 256 << 10, "{first}");
        // It is asked again while the kernel takes more, and then no more.
        while let Ok(size) = sizes.recv_timeout(Duration::from_millis(300)) {
            assert!(size < 280 << 10, "{size} bytes wait");
        }
        assert_eq!(rig.connect().get("/now").body, "now");
    }
}

#[test]
fn a_source_is_told_when_its_client_has_gone() {
    for driver in drivers() {
        let (handler, ended) = endless();
        let rig = Rig::start(driver, &routes().get("/endless", handler).build().expect("no conflict"));
        let mut client = rig.connect();
        client.send("GET /endless HTTP/1.1\r\nHost: h\r\n\r\n");
        client.head();
        assert_eq!(client.chunk().as_deref(), Some("0\n"));
        drop(client);
        assert_eq!(ended.recv_timeout(PATIENCE), Ok(Ended::Gone));
    }
}

#[test]
fn who_sends_much_ahead_of_a_stream_is_cut_off_without_a_second_response() {
    for driver in drivers() {
        let (handler, ended) = endless();
        let rig = Rig::start(driver, &routes().get("/endless", handler).build().expect("no conflict"));
        let mut client = rig.connect();
        client.send("GET /endless HTTP/1.1\r\nHost: h\r\n\r\n");
        client.head();
        // The connection may be broken before all of it was taken.
        let _ = std::io::Write::write_all(&mut client.stream, &[b'x'; 100_000]);
        assert_eq!(ended.recv_timeout(PATIENCE), Ok(Ended::Gone));
        let mut rest = Vec::new();
        let _ = client.stream.read_to_end(&mut rest);
        assert!(!String::from_utf8_lossy(&rest).contains("HTTP/1.1"));
    }
}

#[test]
fn a_stream_that_takes_too_long_is_broken_off() {
    for driver in drivers() {
        let (handler, ended) = endless();
        let layered = |group: Router| group.layer(Timeout(Duration::from_millis(50))).get("/endless", handler);
        let rig = Rig::start(driver, &Router::new().group("/short", layered).build().expect("one route"));
        let mut client = rig.connect();
        client.send("GET /short/endless HTTP/1.1\r\nHost: h\r\n\r\n");
        client.head();
        let mut rest = Vec::new();
        assert!(client.stream.read_to_end(&mut rest).is_err(), "it ends by a reset");
        assert!(rest.starts_with(b"2\r\n0\n\r\n"));
        assert_eq!(ended.recv_timeout(PATIENCE), Ok(Ended::Cut));
    }
}

#[test]
fn a_stream_goes_on_while_the_server_shuts_down_and_is_the_last() {
    struct UntilDrained(Numbers);
    impl Source for UntilDrained {
        fn pull(&mut self, out: &mut Stream<'_, '_>) {
            self.0.pull(out);
        }

        fn shutdown(&mut self, out: &mut Stream<'_, '_>) {
            out.send(b"bye\n");
            out.end();
        }
    }
    for driver in drivers() {
        let slow = |end| Numbers { pace: Some(Duration::from_millis(1)), ..Numbers::to(end) };
        let routes = Router::new()
            .get("/until", move |cx| cx.stream(UntilDrained(slow(u64::MAX))))
            .get("/whole", move |cx| cx.stream(slow(500)))
            .build()
            .expect("no conflict");
        let rig = Rig::start(driver, &routes);
        let (mut until, mut whole) = (rig.connect(), rig.connect());
        until.send("GET /until HTTP/1.1\r\nHost: h\r\n\r\nGET /until HTTP/1.1\r\nHost: h\r\n\r\n");
        whole.send("GET /whole HTTP/1.1\r\nHost: h\r\n\r\n");
        until.head();
        whole.head();
        rig.running.remote().stop();
        let pieces: Vec<_> = std::iter::from_fn(|| until.chunk()).collect();
        assert_eq!(pieces.last().map(String::as_str), Some("bye\n"));
        until.expect_end();
        let pieces: Vec<_> = std::iter::from_fn(|| whole.chunk()).collect();
        assert_eq!(pieces.concat(), Numbers::text(500));
        whole.expect_end();
    }
}

#[test]
fn a_stream_leaves_its_groups_and_only_chunks_may_join() {
    struct Member(Group, Sender<Result<(), JoinStreamError>>);
    impl Source for Member {
        fn pull(&mut self, out: &mut Stream<'_, '_>) {
            let _ = self.1.send(out.join(self.0));
            out.send(b"x");
            out.end();
        }
    }
    let group = Group::new();
    let (sender, joined) = channel();
    let sender = Mutex::new(sender);
    let sized = |cx: &Cx<'_>| cx.path() == "/sized";
    let member = move |cx: &mut Cx<'_>| {
        let member = Member(group, sender.lock().expect("no panic").clone());
        if sized(cx) { cx.stream_sized(1, member) } else { cx.stream(member) }
    };
    let routes = Router::new().get("/{kind}", member).build().expect("one route");
    let rig = Rig::of(Engine::new().reactors(1), move || gannet_http::HttpService::new(&routes));
    let mut client = rig.connect();
    assert_eq!(client.get("/open").body, "x");
    assert_eq!(joined.recv_timeout(PATIENCE), Ok(Ok(())));
    rig.running.remote().broadcast(group, &gannet::proto::Raw, &[b"stray"]).expect("the mailbox has room");
    assert_eq!(client.get("/sized").body, "x", "nothing of the group comes between");
    assert_eq!(joined.recv_timeout(PATIENCE), Ok(Err(JoinStreamError::NotChunked)));
    let mut old = rig.connect();
    old.send("GET /open HTTP/1.0\r\n\r\n");
    old.head();
    assert_eq!(joined.recv_timeout(PATIENCE), Ok(Err(JoinStreamError::NotChunked)));
}

#[test]
fn a_time_that_never_comes_ends_no_stream() {
    struct Patient;
    impl Source for Patient {
        fn pull(&mut self, out: &mut Stream<'_, '_>) {
            out.again_in(Duration::MAX);
            out.comment_every(Duration::MAX);
            out.send(b"x");
            out.end();
        }
    }
    let routes = Router::new()
        .layer(Timeout(Duration::MAX))
        .get("/stream", |cx| cx.stream(Numbers::to(2)))
        .get("/paced", |cx| cx.stream(Numbers { pace: Some(Duration::from_millis(1)), ..Numbers::to(2) }))
        .get("/later", |cx| cx.offload(|| (), |(), reply| reply.stream(Numbers::to(2))))
        .get("/events", |cx| cx.events(Patient))
        .build()
        .expect("they do not conflict");
    let rig = Rig::start(drivers()[0], &routes);
    let mut client = rig.connect();
    for (path, body) in [("/stream", "0\n1\n"), ("/paced", "0\n1\n"), ("/later", "0\n1\n"), ("/events", "x")] {
        assert_eq!(client.get(path).body, body, "{path}");
    }
}

#[test]
fn a_source_whose_client_was_cut_off_is_not_told_that_the_response_is_whole() {
    struct Heedless(Sender<Ended>);
    impl Source for Heedless {
        fn pull(&mut self, out: &mut Stream<'_, '_>) {
            while out.send(&[b'x'; 100_000]) != SendStatus::Closed {}
            out.end();
        }

        fn ended(&mut self, how: Ended) {
            let _ = self.0.send(how);
        }
    }
    for driver in drivers() {
        let (sender, ended) = channel();
        let sender = Mutex::new(sender);
        let heedless = move |cx: &mut Cx<'_>| cx.stream(Heedless(sender.lock().expect("no panic").clone()));
        let rig = Rig::start(driver, &Router::new().get("/", heedless).build().expect("one route"));
        let mut client = rig.connect();
        client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert_eq!(ended.recv_timeout(PATIENCE), Ok(Ended::Gone));
        let mut rest = Vec::new();
        assert!(client.stream.read_to_end(&mut rest).is_err(), "{} bytes ended as if they were all", rest.len());
    }
}

#[test]
fn what_ends_with_the_connection_never_looks_whole_where_it_is_not() {
    for driver in drivers() {
        let (handler, ended) = endless();
        let (handles, handles_here) = channel();
        let handles = Mutex::new(handles);
        let handler = move |cx: &mut Cx<'_>| {
            handles.lock().expect("no panic").send(cx.handle()).expect("the test lives");
            handler(cx);
        };
        let rig = Rig::start(driver, &Router::new().get("/endless", handler).build().expect("one route"));
        let mut old = rig.connect();
        old.send("GET /endless HTTP/1.0\r\n\r\n");
        old.head();
        assert_eq!(old.read(2), "0\n");
        old.stream.shutdown(std::net::Shutdown::Write).expect("it is open");
        assert_eq!(old.read(2), "1\n", "who has ended their side still gets the rest");
        let handle = handles_here.recv_timeout(PATIENCE).expect("the handler ran");
        rig.running.remote().close(handle, CloseMode::Flushed).expect("it lives");
        assert_eq!(ended.recv_timeout(PATIENCE), Ok(Ended::Gone));
        let mut rest = Vec::new();
        assert!(old.stream.read_to_end(&mut rest).is_err(), "{} bytes ended as if they were all", rest.len());
    }
}
