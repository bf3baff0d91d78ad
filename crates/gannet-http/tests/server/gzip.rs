//! Responses in gzip, to those who want them.

use std::io::Read as _;

use gannet_http::middleware::{Cors, Gzip};
use gannet_http::{Cx, Router, Routes, Source, Stream};

use crate::rig::{Rig, drivers};

const GZIP: &str = "Accept-Encoding: br, gzip\r\n";

/// A text that compresses well.
fn text(bytes: usize) -> String {
    "it flies over the sea. ".chars().cycle().take(bytes).collect()
}

fn routes() -> Routes {
    let typed = |kind: &'static str, bytes: usize| {
        move |cx: &mut Cx<'_>| {
            cx.header("Content-Type", kind);
            cx.text(&text(bytes));
        }
    };
    Router::new()
        .layer(Cors::origins(["https://example.org"]))
        .layer(Gzip::new().largest(64 << 10))
        .get("/page", |cx| {
            cx.header("ETag", "\"one\"");
            cx.header("Accept-Ranges", "bytes");
            cx.header("Vary", "Cookie");
            cx.text(&text(20_000));
        })
        .get("/weak", |cx| {
            cx.header("ETag", "W/\"one\"");
            cx.text(&text(20_000));
        })
        .get("/missing", |cx| cx.refuse(404, &text(2_000)))
        .get("/small", typed("text/html", 1_023))
        .get("/just", typed("text/html", 1_024))
        .get("/large", typed("text/html", (64 << 10) + 1))
        .get("/json", typed("application/json", 2_000))
        .get("/picture", typed("image/png", 2_000))
        .get("/encoded", |cx| {
            cx.header("Content-Encoding", "br");
            cx.text(&text(2_000));
        })
        .get("/kept", |cx| {
            cx.header("Cache-Control", "no-transform, max-age=5");
            cx.text(&text(2_000));
        })
        .get("/kept-in-two", |cx| {
            cx.header("Cache-Control", "max-age=5");
            cx.add_header("Cache-Control", "no-transform").expect("it can be sent");
            cx.text(&text(2_000));
        })
        .get("/part", |cx| {
            cx.status(206);
            cx.header("Content-Range", "bytes 0-1999/5000");
            cx.text(&text(2_000));
        })
        .get("/part-of-picture", |cx| {
            cx.status(206);
            cx.header("Content-Range", "bytes 0-1999/5000");
            cx.header("Content-Type", "image/png");
            cx.text(&text(2_000));
        })
        .get("/same", |cx| {
            cx.status(304);
            cx.header("ETag", "\"one\"");
        })
        .get("/noise", |cx| {
            let mut state = 1_u32;
            for _ in 0..2_000 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                cx.bytes(&[(state >> 24) as u8]);
            }
        })
        .build()
        .expect("they do not conflict")
}

fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).expect("it is gzip");
    text
}

#[test]
fn who_wants_gzip_gets_it_and_others_get_the_same_text() {
    for driver in drivers() {
        let rig = Rig::start(driver, &routes());
        // One compressor serves many responses.
        for _ in 0..3 {
            let packed = rig.ask("GET /page", GZIP);
            assert!(packed.bytes.len() < 500, "{} bytes", packed.bytes.len());
            assert_eq!(unpacked(&packed.bytes), text(20_000));
            let fields =
                ["content-encoding", "etag", "vary", "accept-ranges", "content-type"].map(|f| packed.header(f));
            let kind = Some("text/plain; charset=utf-8");
            assert_eq!(fields, [Some("gzip"), Some("W/\"one\""), Some("Cookie, Accept-Encoding"), None, kind]);
            for fields in ["", "Accept-Encoding: br\r\n", "Accept-Encoding: gzip;q=0, *\r\n"] {
                let plain = rig.ask("GET /page", fields);
                assert_eq!(plain.body, text(20_000));
                let fields = ["content-encoding", "etag", "vary", "accept-ranges"].map(|field| plain.header(field));
                assert_eq!(fields, [None, Some("\"one\""), Some("Cookie, Accept-Encoding"), Some("bytes")]);
            }
        }
    }
}

#[test]
fn what_comes_later_is_compressed_when_it_is_there_and_what_is_streamed_is_not() {
    struct Once;

    impl Source for Once {
        fn pull(&mut self, out: &mut Stream<'_, '_>) {
            let _ = out.send(text(5_000).as_bytes());
            out.end();
        }
    }

    let routes = Router::new()
        .layer(Gzip::new())
        .get("/later", |cx| cx.offload(|| text(5_000), |text, reply| reply.text(&text)))
        .get("/stream", |cx| cx.stream_sized(5_000, Once));
    let rig = Rig::start(drivers()[0], &routes.build().expect("they do not conflict"));
    let later = rig.ask("GET /later", GZIP);
    assert_eq!(unpacked(&later.bytes), text(5_000));
    assert_eq!(rig.ask("GET /later", "").body, text(5_000));
    let stream = rig.ask("GET /stream", GZIP);
    assert_eq!((stream.header("content-encoding"), stream.body.len()), (None, 5_000));
}

#[test]
fn who_has_the_page_in_gzip_is_told_that_it_is_the_same_by_the_tag_it_has() {
    let rig = Rig::start(drivers()[0], &routes());
    for (known, said) in [("W/\"one\"", "W/\"one\""), ("\"x\", W/\"one\"", "W/\"one\""), ("\"one\"", "\"one\"")] {
        let response = rig.ask("GET /same", &format!("{GZIP}If-None-Match: {known}\r\n"));
        assert_eq!((response.status, response.header("etag")), (304, Some(said)), "{known}");
    }
}

#[test]
fn head_says_what_get_would_say() {
    let rig = Rig::start(drivers()[0], &routes());
    for fields in [GZIP, ""] {
        let (get, head) = (rig.ask("GET /page", fields), rig.ask("HEAD /page", fields));
        for field in ["content-length", "content-encoding", "etag", "vary"] {
            assert_eq!(get.header(field), head.header(field), "{field} {fields}");
        }
    }
}

#[test]
fn only_what_gains_by_it_is_compressed() {
    let rig = Rig::start(drivers()[0], &routes());
    let only = "Accept-Encoding: gzip, identity;q=0\r\n";
    for (path, fields, encoding, vary) in [
        ("/weak", GZIP, Some("gzip"), true),
        ("/missing", GZIP, Some("gzip"), true),
        ("/json", GZIP, Some("gzip"), true),
        ("/just", GZIP, Some("gzip"), true),
        ("/small", GZIP, None, true),
        ("/small", only, Some("gzip"), true),
        ("/large", GZIP, None, true),
        ("/noise", GZIP, None, true),
        ("/same", GZIP, None, true),
        ("/picture", GZIP, None, false),
        ("/encoded", GZIP, Some("br"), false),
        ("/kept", GZIP, None, false),
        ("/kept-in-two", GZIP, None, false),
        ("/part", GZIP, None, true),
        ("/part-of-picture", GZIP, None, false),
    ] {
        let response = rig.ask(&format!("GET {path}"), fields);
        assert_eq!(response.header("content-encoding"), encoding, "{path} {fields}");
        let said = response.header("vary").is_some_and(|vary| vary.contains("Accept-Encoding"));
        assert_eq!(said, vary, "{path} {fields}: {response:?}");
        if path == "/weak" {
            assert_eq!(response.header("etag"), Some("W/\"one\""));
        }
    }
}

#[test]
fn all_that_a_response_depends_on_is_still_said() {
    let routes = Router::new()
        .layer(Gzip::new())
        .layer(Cors::origins(["https://example.org"]))
        .get("/mine", |cx| {
            cx.header("Vary", "Cookie");
            cx.text(&text(5_000));
        })
        .get("/later", |cx| {
            let later = |text: String, reply: &mut gannet_http::Reply<'_>| {
                reply.header("Vary", "Cookie");
                reply.text(&text);
            };
            cx.offload(|| text(5_000), later);
        })
        .build()
        .expect("they do not conflict");
    let rig = Rig::start(drivers()[0], &routes);
    for (path, encoding) in [("/mine", GZIP), ("/mine", ""), ("/later", GZIP), ("/later", "")] {
        let response = rig.ask(&format!("GET {path}"), &format!("Origin: https://example.org\r\n{encoding}"));
        let vary: Vec<_> = response.header_all("vary").flat_map(|list| list.split(", ")).collect();
        for said in ["Cookie", "Origin", "Accept-Encoding"] {
            assert_eq!(vary.iter().filter(|own| **own == said).count(), 1, "{path} {encoding}: {said} in {vary:?}");
        }
        assert_eq!(response.header("access-control-allow-origin"), Some("https://example.org"), "{path}");
    }
}
