//! Requests without a socket; and what is easiest tried so: forms with files, cookies, sessions, traces.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use gannet::SendStatus;
use gannet_http::middleware::{Recover, SessionError, Sessions, TraceContext};
use gannet_http::multipart::{PartHead, ReceiveParts};
use gannet_http::testing::{Request, Response};
use gannet_http::{Cookie, Cx, Json, Receiving, Rejection, RouteError, Router, Routes, Source, Stream, Trace};

fn build(router: Result<Routes, RouteError>) -> Routes {
    router.expect("they do not conflict")
}

/// Sends numbers up to this.
struct Count(u32, u32);

impl Source for Count {
    fn pull(&mut self, out: &mut Stream<'_, '_>) {
        while self.0 < self.1 {
            self.0 += 1;
            if out.send(format!("{}\n", self.0).as_bytes()) != SendStatus::Queued {
                return;
            }
        }
        out.end();
    }
}

#[test]
fn a_call_answers_as_a_server_would() {
    let routes = build(
        Router::new()
            .layer(Recover)
            .get("/hello/{name}", |cx| format!("hello {}\n", cx.param("name")))
            .post("/double", |cx| cx.json::<u32>().map(|number| Json(2 * number)))
            .post("/length", |cx| Json(cx.request_body().len()))
            .get("/later", |cx| cx.offload(|| 6 * 7, |answer, _| Json(answer)))
            .get("/stream", |cx| cx.stream(Count(0, 20_000)))
            .get("/overdue", |cx| {
                cx.deadline(Duration::from_millis(10));
                std::mem::forget(cx.defer(Duration::from_secs(5)));
            })
            .build(),
    );
    let text = |request: Request| {
        let response = routes.call(request);
        (response.status, response.text().to_owned())
    };
    assert_eq!(text(Request::get("/hello/you")), (200, "hello you\n".to_owned()));
    assert_eq!(text(Request::new("HEAD", "/hello/you")), (200, String::new()));
    assert_eq!(text(Request::post("/double").json(&21)), (200, "42".to_owned()));
    assert_eq!(text(Request::get("/nowhere")), (404, "not found\n".to_owned()));
    assert_eq!(text(Request::delete("/double")), (405, "method not allowed\n".to_owned()));
    // More than is there at once, in both directions.
    assert_eq!(text(Request::post("/length").body(vec![0; 1 << 20])), (200, (1 << 20).to_string()));
    assert_eq!(routes.call(Request::post("/length").body(vec![0; (1 << 20) + 1])).status, 413);
    assert_eq!(routes.call(Request::get("/stream")).text().lines().count(), 20_000);
    assert_eq!(text(Request::get("/later")), (200, "42".to_owned()));
    assert_eq!(text(Request::get("/overdue")), (503, "no response in time\n".to_owned()));
}

#[test]
fn cookies_are_read_in_their_order_and_set_with_their_attributes() {
    let routes = build(
        Router::new()
            .get("/", |cx| {
                let all = cx.cookies().map(|cookie| format!("{}={}", cookie.name(), cookie.value()));
                all.collect::<Vec<_>>().join("|")
            })
            .get("/first", |cx| cx.cookie("a").map(|cookie| cookie.value().to_owned()))
            .get("/set", |cx| {
                cx.set_cookie(Cookie::build(("a", "1")).path("/").http_only(true));
                cx.set_cookie(("b", "2"));
                cx.remove_cookie(Cookie::build("c").path("/"));
            })
            .get("/smuggle", |cx| cx.set_cookie(("a", "1\r\nX: y")))
            .build(),
    );
    let get = |path: &str, fields: &[&str]| {
        routes.call(fields.iter().fold(Request::get(path), |request, value| request.header("Cookie", value)))
    };
    assert_eq!(get("/", &["a=1; b=x%20y", "a=2;c=\"q\"; =; junk; d="]).text(), "a=1|b=x%20y|a=2|c=\"q\"|d=");
    assert_eq!(get("/", &[]).text(), "");
    // The first of two.
    assert_eq!(get("/first", &["b=0; a=1", "a=2"]).text(), "1");
    assert_eq!(get("/first", &["A=1"]).status, 404);
    let response = get("/set", &[]);
    let set: Vec<_> = response.headers.iter().filter(|(name, _)| name == "Set-Cookie").collect();
    let set: Vec<_> = set.iter().map(|(_, value)| String::from_utf8_lossy(value)).collect();
    assert_eq!(set[..2], ["a=1; HttpOnly; Path=/", "b=2"]);
    assert!(set[2].starts_with("c=; Path=/; Max-Age=0; Expires="), "{}", set[2]);
    assert_eq!(get("/smuggle", &[]).status, 500);
}

fn count(cx: &mut Cx<'_>) -> Result<String, SessionError> {
    let visits = cx.session::<u32>().unwrap_or(0) + 1;
    cx.set_session(&visits)?;
    Ok(visits.to_string())
}

fn session_routes(sessions: Sessions) -> Routes {
    let large = |cx: &mut Cx<'_>| cx.set_session(&"x".repeat(5_000));
    let later = |cx: &mut Cx<'_>| cx.offload(|| (), |(), reply| reply.set_session(&41_u32));
    let router = Router::new().get("/none", count).layer(sessions).get("/", count).get("/large", large);
    let router =
        router.get("/later", later).get("/end", |cx| cx.end_session()).get("/text", |cx| cx.session::<String>());
    build(router.build())
}

/// The cookie that a response sets, as a client sends it back.
fn cookie_of(response: &Response) -> String {
    let set = response.header("set-cookie").expect("a cookie");
    set.split(';').next().expect("its value").to_owned()
}

#[test]
fn a_session_comes_back_signed_and_what_was_changed_is_nobodys() {
    let routes = session_routes(Sessions::new(&[7; 64]));
    let get = |path: &str, cookie: &str| routes.call(Request::get(path).header("Cookie", cookie));
    let first = get("/", "");
    assert_eq!(first.text(), "1");
    let set = first.header("set-cookie").expect("a cookie");
    for attribute in ["; HttpOnly", "; SameSite=Lax", "; Secure", "; Path=/", "; Max-Age=86400"] {
        assert!(set.contains(attribute), "{attribute} in {set}");
    }
    let cookie = cookie_of(&first);
    let second = get("/", &cookie);
    assert_eq!(second.text(), "2");
    assert_eq!(get("/", &cookie_of(&second)).text(), "3");
    assert_eq!(get("/", &format!("session=junk; {cookie}")).text(), "2");
    assert_eq!(get("/", &cookie_of(&get("/later", ""))).text(), "42");
    // Another type, a changed value, another key, another name.
    assert_eq!(get("/text", &cookie).status, 404);
    assert_eq!(get("/", &cookie.replace("1]", "12]")).text(), "1", "{cookie}");
    for changed in [format!("{cookie}x"), cookie.replace("session=", "session=A"), cookie.replace("session", "other")] {
        assert_eq!(get("/", &changed).text(), "1", "{changed}");
    }
    let others = session_routes(Sessions::new(&[8; 64]));
    assert_eq!(others.call(Request::get("/").header("Cookie", &cookie)).text(), "1");
    assert!(get("/end", &cookie).header("set-cookie").expect("a cookie").contains("Max-Age=0"));
    // Over the limit, and without the layer.
    for path in ["/large", "/none"] {
        let response = get(path, "");
        assert_eq!((response.status, response.header("set-cookie")), (500, None), "{path}");
    }
}

#[test]
fn a_session_whose_time_is_over_is_none() {
    let routes = session_routes(Sessions::new(&[7; 64]).lasting(Duration::ZERO).insecure().named("own"));
    let first = routes.call(Request::get("/"));
    assert!(!first.header("set-cookie").expect("a cookie").contains("Secure"));
    let cookie = cookie_of(&first);
    assert!(cookie.starts_with("own="), "{cookie}");
    assert_eq!(routes.call(Request::get("/").header("Cookie", cookie)).text(), "1");
}

#[test]
fn a_trace_goes_on_or_begins_and_is_passed_on() {
    fn pass_on(cx: &mut Cx<'_>) -> Result<String, Rejection> {
        let trace: &Trace = cx.extension()?;
        Ok(trace.to_string())
    }

    let router = Router::new().layer(TraceContext::new()).get("/", pass_on);
    let routes = build(router.get("/later", |cx| cx.offload(|| (), |(), _| 204)).build());
    let came = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let trace_id = &came[3..35];
    let response = routes.call(Request::get("/").header("traceparent", came));
    let passed_on = response.text();
    assert!(passed_on.starts_with(&format!("00-{trace_id}-")) && passed_on.ends_with("-01"), "{passed_on}");
    assert_ne!(passed_on, came, "this server is a step of its own");
    assert_eq!(response.header("traceresponse"), Some(passed_on));
    let later = routes.call(Request::get("/later").header("traceparent", came));
    assert!(later.header("traceresponse").is_some_and(|value| value.contains(trace_id)));
    // None, a malformed one, two.
    let none = routes.call(Request::get("/"));
    let malformed = routes.call(Request::get("/").header("traceparent", &came[..54]));
    let two = routes.call(Request::get("/").header("traceparent", came).header("traceparent", came));
    for response in [none, malformed, two] {
        let text = response.text();
        assert!(text.len() == came.len() && text.ends_with("-00") && !text.contains(trace_id), "{text}");
    }
}

fn form(body: &str) -> Request {
    let body = body.replace('\n', "\r\n");
    Request::post("/").header("Content-Type", "multipart/form-data; boundary=\"b\"").body(body)
}

const FORM: &str = "--b\nContent-Disposition: form-data; name=\"text\"\n\none\n--b\nContent-Disposition: form-data; \
    name=\"file\"; filename=\"a.txt\"\nContent-Type: text/plain\n\ntwo\nlines\n--b--\n";

#[test]
fn a_form_with_files_is_read_part_by_part_and_what_is_none_is_refused() {
    fn show(cx: &mut Cx<'_>) -> Result<String, Rejection> {
        let mut shown = String::new();
        for part in cx.multipart()? {
            let part = part?;
            let data = String::from_utf8_lossy(part.bytes);
            shown += &format!("{} {:?} {:?} {data:?}\n", part.name, part.filename, part.content_type);
        }
        Ok(shown)
    }

    let routes = build(Router::new().post("/", show).build());
    let response = routes.call(form(FORM));
    let expected = "text None None \"one\"\nfile Some(\"a.txt\") Some(\"text/plain\") \"two\\r\\nlines\"\n";
    assert_eq!((response.status, response.text()), (200, expected));
    assert_eq!(routes.call(form("--b--")).text(), "");
    for (request, status, why) in [
        (form(&FORM[..FORM.len() - 10]), 400, "malformed form: it is cut off\n"),
        (form("x"), 400, "malformed form: no boundary where one has to be\n"),
        (form(&format!("{FORM}x")), 400, "malformed form: bytes behind the last boundary\n"),
        (form(""), 400, "malformed form: it is cut off\n"),
        (
            Request::post("/").form("a=b"),
            415,
            "the body has to be sent with Content-Type: multipart/form-data with a boundary\n",
        ),
        (
            Request::post("/").header("Content-Type", "multipart/form-data").body("--b--"),
            415,
            "the body has to be sent with Content-Type: multipart/form-data with a boundary\n",
        ),
    ] {
        let response = routes.call(request);
        assert_eq!((response.status, response.text()), (status, why));
    }
}

/// Notes everything, the data by work on the pool.
#[derive(Default)]
struct Note(Arc<Mutex<String>>);

impl Note {
    fn note(&self, text: &str) {
        *self.0.lock().expect("no panic") += text;
    }
}

impl ReceiveParts for Note {
    fn part(&mut self, head: &PartHead<'_>, _: &mut Receiving<'_, '_>) {
        self.note(&format!("[{} {:?}: ", head.name, head.filename));
    }

    fn data(&mut self, bytes: &[u8], body: &mut Receiving<'_, '_>) {
        let (note, text) = (Self(Arc::clone(&self.0)), String::from_utf8_lossy(bytes).into_owned());
        body.offload_blocking(move || note.note(&text), |(), _| {});
    }

    fn part_end(&mut self, _: &mut Receiving<'_, '_>) {
        self.note("]");
    }

    fn whole(&mut self, body: &mut Receiving<'_, '_>) {
        body.answer(self.0.lock().expect("no panic").clone());
    }
}

#[test]
fn a_form_with_files_is_taken_as_it_comes_in_order_whatever_work_it_makes() {
    let routes = build(Router::new().upload("POST", "/", |cx| cx.receive_multipart(10 << 20, Note::default())).build());
    assert_eq!(routes.call(form(FORM)).text(), "[text None: one][file Some(\"a.txt\"): two\r\nlines]");
    // More than comes at once, with many parts in a piece.
    let part =
        |number: usize| format!("--b\nContent-Disposition: form-data; name={number}\n\n{}\n", "x".repeat(number * 50));
    let body: String = (0..200).map(part).chain(["--b--".to_owned()]).collect();
    let expected: String = (0..200).map(|number| format!("[{number} None: {}]", "x".repeat(number * 50))).collect();
    assert_eq!(routes.call(form(&body)).text(), expected);
    for (request, status) in [
        (form(&FORM[..FORM.len() - 10]), 400),
        (form("x"), 400),
        (form(&format!("{FORM}behind")), 400),
        (form(&"x".repeat((10 << 20) + 1)), 413),
        (Request::post("/").form("a=b"), 415),
    ] {
        assert_eq!(routes.call(request).status, status);
    }
}
