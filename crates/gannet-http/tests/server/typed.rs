//! Requests read as values of the application's types, and values as responses.

use gannet_http::{Cx, Html, Json, Redirect, Rejection, Reply, Respond, Router, Routes};
use serde::{Deserialize, Serialize};

use crate::rig::{Response, Rig, drivers};

#[derive(Debug, Deserialize, Serialize)]
struct Order<'a> {
    name: &'a str,
    items: Vec<Item>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Item {
    price: f64,
}

#[derive(Debug, Deserialize, Serialize)]
struct Page {
    page: u32,
    #[serde(default)]
    tag: Vec<String>,
}

/// The error of an application.
enum Failure {
    Rejected(Rejection),
    Taken,
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl Respond for Failure {
    fn respond(self, reply: &mut Reply<'_>) {
        #[derive(Serialize)]
        struct Body {
            error: String,
        }

        let (status, error) = match self {
            Self::Rejected(rejection) => (rejection.status(), rejection.to_string()),
            Self::Taken => (409, "taken".to_owned()),
        };
        (status, Json(Body { error })).respond(reply);
    }
}

fn order(cx: &mut Cx<'_>) -> Result<(u16, Json<usize>), Failure> {
    // What was written before an error is not a part of it.
    cx.text("not sent");
    cx.header("Content-Type", "text/x-not-sent");
    let order: Order<'_> = cx.json()?;
    if order.name == "taken" {
        return Err(Failure::Taken);
    }
    cx.header("Content-Type", "application/x-own+json");
    Ok((201, Json(order.items.len())))
}

fn routes() -> Routes {
    Router::new()
        .post("/order", order)
        .post("/form", |cx| cx.form::<Page>().map(Json))
        .get("/list", |cx| cx.query_as::<Page>().map(Json))
        .get("/users/{id}", |cx| cx.params::<u32>().map(|id| format!("{id}")))
        .get("/users/{user}/posts/{post}", |cx| {
            cx.params::<(String, u8)>().map(|(user, post)| format!("{user}/{post}"))
        })
        .get("/by-name/{tag}/{page}", |cx| {
            #[derive(Deserialize)]
            struct Named<'a> {
                page: u8,
                tag: &'a str,
            }
            cx.params::<Named<'_>>().map(|Named { page, tag }| format!("{page} {tag}"))
        })
        .get("/files/{*path}", |cx| cx.params::<String>())
        .get("/html", |_| Html("<p>"))
        .get("/bytes", |_| vec![1_u8, 2])
        .get("/gone", |_| 410)
        .get("/none", |_| None::<&str>)
        .get("/away", |_| Redirect::see_other("/html"))
        .get("/smuggle", |_| Redirect::see_other("/\r\nSet-Cookie: a=b"))
        .get("/map", |_| Json(std::collections::HashMap::from([((1, 2), 3)])))
        .get("/missing", |cx| cx.extension::<String>().cloned())
        .get("/later", |cx| cx.offload(|| 6 * 7, |answer, _| (202, Json(answer))))
        .build()
        .expect("they do not conflict")
}

fn post(rig: &Rig, path: &str, kind: &str, body: &str) -> Response {
    let mut client = rig.connect();
    let length = body.len();
    let kind = if kind.is_empty() { String::new() } else { format!("Content-Type: {kind}\r\n") };
    client.send(&format!("POST {path} HTTP/1.1\r\nHost: h\r\n{kind}Content-Length: {length}\r\n\r\n{body}"));
    client.response(false)
}

#[test]
fn a_body_in_json_is_read_and_what_does_not_fit_names_its_field_line_and_column() {
    for driver in drivers() {
        let rig = Rig::start(driver, &routes());
        let ask = |kind: &str, body: &str| {
            let response = post(&rig, "/order", kind, body);
            (response.status, response.header("content-type").unwrap_or_default().to_owned(), response.body)
        };
        let fits = r#"{"name": "a", "items": [{"price": 1}, {"price": 2}]}"#;
        for kind in ["application/json", "application/JSON; charset=utf-8", "application/vnd.api+json"] {
            assert_eq!(ask(kind, fits), (201, "application/x-own+json".into(), "2".into()), "{kind}");
        }
        let json = "application/json";
        for (kind, body, status, error) in [
            (
                json,
                "{\"name\": \"a\",\n\"items\": [{\"price\": 1}, {\"price\": \"x\"}]}",
                422,
                r#"items[1].price: invalid type: string \"x\", expected f64 at line 2 column 37"#,
            ),
            (json, r#"{"name": "a"}"#, 422, "missing field `items` at line 1 column 13"),
            (json, "{\"name\": \"a\",\n oops", 400, "malformed JSON: key must be a string at line 2 column 2"),
            (json, "", 400, "malformed JSON: EOF while parsing a value at line 1 column 0"),
            (json, r#"{"name": "taken", "items": []}"#, 409, "taken"),
            (json, r#"{"name": "a", "items": []} x"#, 400, "malformed JSON: trailing characters at line 1 column 28"),
            ("text/plain", fits, 415, "the body has to be sent with Content-Type: application/json"),
            ("json", fits, 415, "the body has to be sent with Content-Type: application/json"),
            ("+json", fits, 415, "the body has to be sent with Content-Type: application/json"),
            ("", fits, 415, "the body has to be sent with Content-Type: application/json"),
        ] {
            let expected = format!("{{\"error\":\"{error}\"}}");
            assert_eq!(ask(kind, body), (status, json.into(), expected), "{kind} {body}");
        }
    }
}

#[test]
fn a_form_is_read_and_what_does_not_fit_names_its_field() {
    const FORM: &str = "application/x-www-form-urlencoded";
    let rig = Rig::start(drivers()[0], &routes());
    for (kind, body, status, answer) in [
        (FORM, "page=2&tag=a+b&tag=%c3%bc", 200, r#"{"page":2,"tag":["a b","ü"]}"#),
        (FORM, "page=two", 422, "page: invalid value: string \"two\", expected u32\n"),
        (FORM, "tag=a", 422, "missing field `page`\n"),
        (FORM, "page=%2", 400, "malformed form: its percent-encoding is no text\n"),
        (FORM, "page=1&page=2", 422, "page: given 2 times, where one is expected\n"),
        (
            "multipart/form-data; boundary=x",
            "page=2",
            415,
            "the body has to be sent with Content-Type: application/x-www-form-urlencoded\n",
        ),
    ] {
        let response = post(&rig, "/form", kind, body);
        assert_eq!((response.status, &*response.body), (status, answer), "{kind} {body}");
    }
}

#[test]
fn queries_and_paths_are_read_with_their_types() {
    let rig = Rig::start(drivers()[0], &routes());
    for (path, status, body) in [
        ("/list?page=3&tag=x", 200, r#"{"page":3,"tag":["x"]}"#),
        ("/list?page=4294967296", 400, "query: page: invalid value: string \"4294967296\", expected u32\n"),
        ("/list", 400, "query: missing field `page`\n"),
        ("/list?page=%zz", 400, "malformed query: its percent-encoding is no text\n"),
        ("/users/7", 200, "7"),
        ("/users/me", 400, "path: id: invalid value: string \"me\", expected u32\n"),
        ("/users/a%20b/posts/255", 200, "a b/255"),
        ("/users/a/posts/256", 400, "path: post: invalid value: string \"256\", expected u8\n"),
        ("/users/%ff/posts/1", 400, "malformed path: its percent-encoding is no text\n"),
        ("/by-name/x/9", 200, "9 x"),
        ("/files/a/b%2fc", 200, "a/b/c"),
    ] {
        let response = rig.ask(&format!("GET {path}"), "");
        assert_eq!((response.status, &*response.body), (status, body), "{path}");
    }
}

#[test]
fn what_a_handler_returns_is_the_response() {
    for driver in drivers() {
        let rig = Rig::start(driver, &routes());
        for (path, status, kind, body) in [
            ("/html", 200, Some("text/html; charset=utf-8"), "<p>"),
            ("/bytes", 200, Some("application/octet-stream"), "\u{1}\u{2}"),
            ("/gone", 410, None, ""),
            ("/none", 404, Some("text/plain; charset=utf-8"), "not found\n"),
            ("/away", 303, None, ""),
            ("/smuggle", 500, Some("text/plain; charset=utf-8"), "internal server error\n"),
            ("/map", 500, Some("text/plain; charset=utf-8"), "internal server error\n"),
            ("/missing", 500, Some("text/plain; charset=utf-8"), "internal server error\n"),
            ("/later", 202, Some("application/json"), "42"),
        ] {
            let response = rig.ask(&format!("GET {path}"), "");
            assert_eq!(
                (response.status, response.header("content-type"), &*response.body),
                (status, kind, body),
                "{path}"
            );
            assert_eq!(response.header("location"), (path == "/away").then_some("/html"), "{path}");
        }
    }
}

#[test]
fn a_body_over_the_limit_is_answered_with_413_before_it_is_read_as_json() {
    let routes = routes();
    let rig = Rig::with(drivers()[0], move || {
        gannet_http::HttpService::new(&routes).limits(gannet_http::Requests::new().max_body(10))
    });
    assert_eq!(post(&rig, "/order", "application/json", "{\"name\": 1}").status, 413);
}
