//! Files of a directory, over real sockets.

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, SystemTime};
use std::{env, process};

use gannet::{Engine, Limits};
use gannet_http::{Files, HttpService, Router, Routes};

use gannet_testing::until;

use crate::rig::{Response, Rig, drivers};

/// A directory that is gone when the test is.
struct Place(PathBuf);

impl Place {
    /// With `www` to be served in it, and a secret beside that.
    fn new(name: &str) -> Self {
        let place = Self(env::temp_dir().join(format!("gannet-files-{name}-{}", process::id())));
        let _ = fs::remove_dir_all(&place.0);
        for directory in ["www/docs/deep", "www/empty", "www/.git"] {
            fs::create_dir_all(place.0.join(directory)).expect("a directory");
        }
        for (path, text) in [
            ("secret", "secret"),
            ("www/index.html", "<p>home"),
            ("www/a.txt", "0123456789"),
            ("www/none", ""),
            ("www/docs/index.html", "<p>docs"),
            ("www/docs/deep/gr\u{fc}n %41.css", "p {}"),
            ("www/.git/config", "secret"),
            ("www/.htaccess", "secret"),
        ] {
            fs::write(place.0.join(path), text).expect("a file");
        }
        place
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.join("www").join(path)
    }

    fn files(&self) -> Files {
        Files::new(self.path("")).expect("it is there")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn routes(files: Files) -> Routes {
    Router::new().files("/static", files).get("/", |cx| cx.text("root")).build().expect("they do not conflict")
}

fn headers<const N: usize>(response: &Response, names: [&str; N]) -> [Option<String>; N] {
    names.map(|name| response.header(name).map(str::to_owned))
}

/// Bytes that tell where they are from.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at / 251 + at) as u8).collect()
}

#[test]
fn a_file_is_served_with_what_is_known_of_it() {
    for driver in drivers() {
        let place = Place::new("served");
        let rig = Rig::start(driver, &routes(place.files().cache_control("max-age=60")));
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        File::options().write(true).open(place.path("a.txt")).and_then(|file| file.set_modified(time)).expect("a time");
        let get = rig.ask("GET /static/a.txt", "");
        assert_eq!((get.status, get.body.as_str()), (200, "0123456789"));
        let names = ["content-type", "content-length", "last-modified", "accept-ranges", "cache-control", "etag"];
        let said = headers(&get, names);
        let expected = ["text/plain; charset=utf-8", "10", "Sun, 06 Nov 1994 08:49:37 GMT", "bytes", "max-age=60"];
        assert_eq!(said[..5].iter().map(|said| said.as_deref().unwrap_or("none")).collect::<Vec<_>>(), expected);
        assert!(said[5].as_deref().is_some_and(|tag| tag.starts_with('"') && tag.ends_with('"')), "{said:?}");
        let head = rig.ask("HEAD /static/a.txt", "");
        assert_eq!((head.status, headers(&head, names)), (200, said));
        for (path, kind, body) in [
            ("/static/", "text/html; charset=utf-8", "<p>home"),
            ("/static/?a=b", "text/html; charset=utf-8", "<p>home"),
            ("/static/docs/", "text/html; charset=utf-8", "<p>docs"),
            ("/static/docs/deep/gr%C3%BCn%20%2541.css", "text/css; charset=utf-8", "p {}"),
            ("/static/none", "application/octet-stream", ""),
        ] {
            let response = rig.ask(&format!("GET {path}"), "");
            assert_eq!((response.status, response.body.as_str()), (200, body), "{path}");
            assert_eq!(response.header("content-type"), Some(kind), "{path}");
        }
    }
}

#[test]
fn nothing_else_is_served_whatever_is_asked() {
    let place = Place::new("attacked");
    symlink("../secret", place.path("up.txt")).expect("a link");
    symlink("..", place.path("above")).expect("a link");
    symlink("a.txt", place.path("beside.txt")).expect("a link");
    assert!(Command::new("mkfifo").arg(place.path("pipe")).status().expect("it runs").success());
    for driver in drivers() {
        let rig = Rig::start(driver, &routes(place.files()));
        let mut client = rig.connect();
        for path in [
            "../secret",
            "..%2fsecret",
            "%2e%2e/secret",
            "%2e%2e%2fsecret",
            "docs/../../secret",
            "docs/..",
            "docs/../a.txt",
            "./a.txt",
            "/a.txt",
            "/etc/passwd",
            "%2fetc/passwd",
            "docs//index.html",
            "..\\secret",
            "..%5csecret",
            "a.txt%00",
            "a.txt%00.html",
            "a.txt/",
            "a.txt/x",
            "%",
            "%ff",
            ".git/config",
            "%2egit/config",
            ".htaccess",
            "up.txt",
            "above/secret",
            "above/www/a.txt",
            "above",
            "pipe",
            "empty",
            "empty/",
            "docs/deep",
            "nothing",
            &"x".repeat(300),
            &"x/".repeat(2_500),
        ] {
            let response = client.get(&format!("/static/{path}"));
            assert_eq!((response.status, response.body.as_str()), (404, "not found\n"), "{path}");
        }
        assert_eq!(client.get("/static/a.txt").status, 200);
    }
    let rig = Rig::start(drivers()[0], &routes(place.files().hidden(true)));
    assert_eq!(rig.ask("GET /static/.htaccess", "").body, "secret");
    for path in ["/static/../secret", "/static/%2e%2e/secret", "/static/.."] {
        assert_eq!(rig.ask(&format!("GET {path}"), "").status, 404, "{path}");
    }
}

#[test]
fn a_directory_without_its_slash_is_sent_there() {
    let place = Place::new("directory");
    let rig = Rig::start(drivers()[0], &routes(place.files()));
    for (path, location) in [
        ("/static", Some("/static/")),
        ("/static/docs", Some("/static/docs/")),
        ("/static/docs?a=b&c", Some("/static/docs/?a=b&c")),
        ("/static/empty", None),
    ] {
        let response = rig.ask(&format!("GET {path}"), "");
        assert_eq!(response.header("location"), location, "{path}");
        assert_eq!(response.status, if location.is_some() { 301 } else { 404 }, "{path}");
    }
    let rig = Rig::start(drivers()[0], &routes(place.files().index(None)));
    for path in ["/static/", "/static/docs", "/static/docs/"] {
        assert_eq!(rig.ask(&format!("GET {path}"), "").status, 404, "{path}");
    }
    let grouped = Router::new().group("/static", |group| group.files("", place.files())).build();
    let rig = Rig::start(drivers()[0], &grouped.expect("they do not conflict"));
    assert_eq!(rig.ask("GET /static", "").header("location"), Some("/static/"));
    // At the root of a server, no path becomes the name of another host.
    let everything = Router::new().files("", place.files()).build().expect("they do not conflict");
    fs::create_dir(place.path("host")).and_then(|()| fs::write(place.path("host/index.html"), "")).expect("a file");
    let rig = Rig::start(drivers()[0], &everything);
    assert_eq!(rig.ask("GET /host", "").header("location"), Some("/host/"));
    assert_eq!(rig.ask("GET //host", "").status, 404);
    assert_eq!(rig.ask("GET /", "").body, "<p>home");
    // Nor by a backslash, which browsers take for a slash.
    let tenants = Router::new().files("/{tenant}", place.files()).build().expect("they do not conflict");
    let rig = Rig::start(drivers()[0], &tenants);
    assert_eq!(rig.ask("GET /\\host", "").header("location"), Some("/%5Chost/"));
    assert_eq!(rig.ask("GET /\\host/docs?a\\b", "").header("location"), Some("/%5Chost/docs/?a\\b"));
}

#[test]
fn who_has_the_file_already_is_told_so() {
    for driver in drivers() {
        let place = Place::new("conditions");
        let rig = Rig::start(driver, &routes(place.files().cache_control("no-cache")));
        let first = rig.ask("GET /static/a.txt", "");
        let (tag, date) = (first.header("etag").expect("a tag"), first.header("last-modified").expect("a date"));
        for (fields, status) in [
            (format!("If-None-Match: {tag}\r\n"), 304),
            (format!("If-None-Match: \"x\"\r\nIf-None-Match: W/{tag}\r\n"), 304),
            (format!("If-Modified-Since: {date}\r\n"), 304),
            (format!("If-None-Match: \"x\"\r\nIf-Modified-Since: {date}\r\n"), 200),
            (format!("If-Match: {tag}\r\n"), 200),
            ("If-Match: \"x\"\r\n".to_owned(), 412),
            ("If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n".to_owned(), 412),
        ] {
            for method in ["GET", "HEAD"] {
                let response = rig.ask(&format!("{method} /static/a.txt"), &fields);
                assert_eq!(response.status, status, "{method} {fields}");
                if status == 304 {
                    assert_eq!(
                        headers(&response, ["etag", "cache-control"]),
                        headers(&first, ["etag", "cache-control"])
                    );
                    assert_eq!(headers(&response, ["content-type", "content-length"]), [None, None]);
                }
            }
        }
        fs::write(place.path("a.txt"), "9876543210").expect("a file");
        let changed = rig.ask("GET /static/a.txt", &format!("If-None-Match: {tag}\r\n"));
        assert_eq!((changed.status, changed.body.as_str()), (200, "9876543210"));
        assert_ne!(changed.header("etag"), Some(tag));
    }
}

#[test]
fn a_range_of_a_small_and_of_a_large_file_is_served() {
    let place = Place::new("ranges");
    let bytes = pattern(3_000_000);
    fs::write(place.path("large.bin"), &bytes).expect("a file");
    fs::write(place.path("small.bin"), &bytes[..1_000]).expect("a file");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes(place.files()));
        let mut client = rig.connect();
        for (name, bytes) in [("large.bin", &bytes[..]), ("small.bin", &bytes[..1_000])] {
            let size = bytes.len();
            for (range, expected) in [
                ("bytes=0-0".to_owned(), Some(0..1)),
                ("bytes=1-9".to_owned(), Some(1..10)),
                ("bytes=-7".to_owned(), Some(size - 7..size)),
                ("bytes=5-".to_owned(), Some(5..size)),
                (format!("bytes=500-{}", size * 2), Some(500..size)),
                (format!("bytes=3-{}", size - 2), Some(3..size - 1)),
                (format!("bytes={size}-"), None),
            ] {
                client.send(&format!("GET /static/{name} HTTP/1.1\r\nHost: h\r\nRange: {range}\r\n\r\n"));
                let response = client.response(false);
                let said = response.header("content-range");
                match expected {
                    Some(part) => {
                        assert_eq!(response.status, 206, "{range}");
                        let expected = format!("bytes {}-{}/{size}", part.start, part.end - 1);
                        assert_eq!(said, Some(&expected[..]), "{range}");
                        assert!(response.bytes == bytes[part], "{range} of {name}");
                    }
                    None => assert_eq!((response.status, said), (416, Some(&format!("bytes */{size}")[..]))),
                }
            }
            for fields in
                ["", "Range: bytes=0-1,5-6\r\n", "Range: bytes=9-5\r\n", "Range: bytes=0-1\r\nIf-Range: \"x\"\r\n"]
            {
                client.send(&format!("GET /static/{name} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
                let response = client.response(false);
                assert!(response.status == 200 && response.bytes == bytes, "{fields}: {}", response.status);
            }
            client.send(&format!("HEAD /static/{name} HTTP/1.1\r\nHost: h\r\nRange: bytes=0-1\r\n\r\n"));
            let head = client.response(true);
            assert_eq!((head.status, head.header("content-length")), (200, Some(&size.to_string()[..])));
        }
    }
}

#[test]
fn a_file_is_read_as_its_client_reads_and_others_go_on() {
    let place = Place::new("pressure");
    let bytes = pattern(24 << 20);
    fs::write(place.path("large.bin"), &bytes).expect("a file");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes(place.files()));
        let waiting = || rig.running.remote().stats().iter().map(|stats| stats.outbox_bytes).sum::<u64>();
        let mut slow = rig.connect();
        slow.send("GET /static/large.bin HTTP/1.1\r\nHost: h\r\n\r\n");
        // Until its outbox was full once; the kernel may take some of it after that.
        let filled = || rig.running.remote().stats().iter().any(|stats| stats.outbox_high > 0);
        let mut other = rig.connect();
        until("an outbox to be full", || {
            assert_eq!(other.get("/static/a.txt").status, 200);
            filled()
        });
        for _ in 0..100 {
            assert_eq!(rig.ask("GET /static/a.txt", "").body, "0123456789");
            assert!(waiting() < 512 << 10, "{} bytes wait", waiting());
        }
        assert!(slow.response(false).bytes == bytes);
    }
}

#[test]
fn a_file_that_becomes_shorter_breaks_the_connection_instead_of_being_filled() {
    for driver in drivers() {
        let place = Place::new("shorter");
        let length = 24 << 20;
        fs::write(place.path("large.bin"), vec![b'x'; length]).expect("a file");
        let rig = Rig::start(driver, &routes(place.files()));
        let mut client = rig.connect();
        client.send("GET /static/large.bin HTTP/1.1\r\nHost: h\r\n\r\n");
        client.read_bytes(1_000);
        File::options().write(true).open(place.path("large.bin")).and_then(|file| file.set_len(1 << 20)).expect("cut");
        let mut rest = Vec::new();
        let end = client.stream.read_to_end(&mut rest);
        assert!(end.is_err() || rest.len() < length - 1_000, "it came whole: {} bytes", rest.len());
        assert!(rest.iter().rev().take(1_000).all(|&byte| byte == b'x'), "something else was sent");
        assert_eq!(rig.ask("GET /static/a.txt", "").status, 200);
    }
}

#[test]
fn over_the_limit_of_streams_there_is_a_503_until_one_is_over() {
    let place = Place::new("limit");
    fs::write(place.path("large.bin"), pattern(24 << 20)).expect("a file");
    let rig = Rig::start(drivers()[0], &routes(place.files().streams(1)));
    let mut first = rig.connect();
    first.send("GET /static/large.bin HTTP/1.1\r\nHost: h\r\n\r\n");
    first.read_bytes(1_000);
    let second = rig.ask("GET /static/large.bin", "");
    assert_eq!((second.status, second.header("retry-after")), (503, Some("1")));
    assert_eq!(rig.ask("GET /static/large.bin", "Range: bytes=0-9\r\n").status, 206, "small parts need no permit");
    drop(first);
    assert!((0..10_000).any(|_| rig.ask("HEAD /static/large.bin", "").status == 200), "it was not given back");
}

#[test]
fn files_come_whole_where_the_pool_has_too_much_to_do() {
    let place = Place::new("busy");
    let bytes = pattern(2_000_000);
    fs::write(place.path("large.bin"), &bytes).expect("a file");
    let mut limits = Limits::default();
    limits.file_offloads = 1;
    for driver in drivers() {
        let routes = routes(place.files());
        let engine = Engine::new().driver(driver).reactors(2).limits(limits.clone());
        let rig = Rig::of(engine, move || HttpService::new(&routes));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut whole = 0;
                    while whole < 3 {
                        let response = rig.ask("GET /static/large.bin", "");
                        match response.status {
                            200 => assert!(response.bytes == bytes),
                            status => assert_eq!((status, response.header("retry-after")), (503, Some("1"))),
                        }
                        whole += usize::from(response.status == 200);
                    }
                });
            }
        });
    }
}

/// Ten handlers that slept 300 ms delayed a small file by 1.4 s.
#[test]
fn a_file_does_not_wait_behind_handlers_that_sleep_on_either_pool() {
    let place = Place::new("sleepers");
    let mut limits = Limits::default();
    (limits.offload_threads, limits.blocking_threads) = (2, 2);
    for driver in drivers() {
        let (awake, asleep) = std::sync::mpsc::channel::<()>();
        let asleep = std::sync::Arc::new(std::sync::Mutex::new(asleep));
        let sleep = move || {
            let asleep = asleep.clone();
            // They sleep until the test has ended.
            move || _ = asleep.lock().expect("nobody panics with it").recv()
        };
        let sleep_too = sleep.clone();
        let routes = Router::new()
            .get("/compute", move |cx| cx.offload(sleep(), |(), reply| reply.text("awake")))
            .get("/block", move |cx| cx.offload_blocking(sleep_too(), |(), reply| reply.text("awake")))
            .files("/static", place.files())
            .build()
            .expect("they do not conflict");
        let engine = Engine::new().driver(driver).reactors(1).limits(limits.clone());
        let rig = Rig::of(engine, move || HttpService::new(&routes));
        let mut sleepers = Vec::new();
        for path in ["/compute", "/block"].into_iter().cycle().take(20) {
            let mut client = rig.connect();
            client.send(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
            sleepers.push(client);
        }
        while rig.running.remote().offloads() < 20 {
            std::thread::yield_now();
        }
        assert_eq!(rig.ask("GET /static/a.txt", "").body, "0123456789");
        drop(awake);
        sleepers.iter_mut().for_each(|client| assert_eq!(client.response(false).body, "awake"));
    }
}

#[test]
fn requests_that_do_not_wait_get_their_files_in_order() {
    let place = Place::new("pipeline");
    let bytes = pattern(600_000);
    fs::write(place.path("large.bin"), &bytes).expect("a file");
    for driver in drivers() {
        let rig = Rig::start(driver, &routes(place.files()));
        let mut client = rig.connect();
        let paths = ["static/a.txt", "static/large.bin", "", "static/nothing", "static/docs/", "static/large.bin"];
        let requests: String = paths.iter().map(|path| format!("GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n")).collect();
        client.stream.write_all(requests.as_bytes()).expect("it is taken");
        for expected in [&b"0123456789"[..], &bytes, b"root", b"not found\n", b"<p>docs", &bytes] {
            assert!(client.response(false).bytes == expected);
        }
    }
}

#[cfg(feature = "gzip")]
#[test]
fn a_small_file_is_compressed_and_a_range_of_it_is_not() {
    use gannet_http::middleware::Gzip;

    let place = Place::new("gzip");
    let text = "it flies over the sea. ".repeat(500);
    fs::write(place.path("page.html"), &text).expect("a file");
    let routes = Router::new().layer(Gzip::new()).files("/", place.files()).build().expect("they do not conflict");
    let rig = Rig::start(drivers()[0], &routes);
    let packed = rig.ask("GET /page.html", "Accept-Encoding: gzip\r\n");
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&packed.bytes[..]).read_to_string(&mut unpacked).expect("it is gzip");
    assert_eq!(unpacked, text);
    let tag = packed.header("etag").expect("a tag");
    assert!(tag.starts_with("W/\""), "{tag}");
    let head = rig.ask("HEAD /page.html", "Accept-Encoding: gzip\r\n");
    let names = ["content-length", "content-encoding", "etag", "vary", "content-type"];
    assert_eq!(headers(&head, names), headers(&packed, names));
    let again = rig.ask("GET /page.html", &format!("Accept-Encoding: gzip\r\nIf-None-Match: {tag}\r\n"));
    assert_eq!((again.status, again.header("vary"), again.header("etag")), (304, Some("Accept-Encoding"), Some(tag)));
    let part = rig.ask("GET /page.html", "Accept-Encoding: gzip\r\nRange: bytes=0-1999\r\n");
    assert_eq!((part.status, part.body.as_str(), part.header("content-encoding")), (206, &text[..2_000], None));
}
