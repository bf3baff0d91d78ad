//! Applications that answer, that refuse, and that are ill.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{Answer, Application, ApplicationSettings, CallResult, Client, Event, EventKind, Reply, What, read};
use crate::outgoing::{OutgoingError, Trust};
use crate::test_server::{Say, Server};

fn application(server: &Server, change: impl FnOnce(&mut ApplicationSettings)) -> Arc<Application> {
    let endpoints = EventKind::ALL.map(|event| (event, server.url(&format!("/{event}")))).to_vec();
    // Other tests may have the processors for a while.
    let timeout = Duration::from_secs(20);
    let mut settings = ApplicationSettings { timeout, endpoints, ..ApplicationSettings::default() };
    change(&mut settings);
    Application::new(settings)
}

fn event(what: What) -> Event {
    let client = Client { id: "c1".to_owned(), transport: "websocket", protocol: "json" };
    Event { client, what }
}

fn publish() -> Event {
    event(What::Publish {
        user: "ann".to_owned(),
        channel: "news".to_owned(),
        data: Bytes::from_static(br#"{"a": 1}"#),
        meta: None,
    })
}

fn call(application: &Arc<Application>, event: &Event) -> Result<Answer, OutgoingError> {
    application.begin(event.kind()).expect("a place").call(event, &[])
}

fn count(application: &Application, kind: EventKind, result: CallResult) -> u64 {
    let calls = application.stats().calls;
    calls.iter().find(|(own, with, _)| (*own, *with) == (kind, result)).map_or(0, |(_, _, count)| *count)
}

/// A server that says this to everything.
fn saying(answer: Value) -> Server {
    Server::start(move |_, _| Say::Response(200, answer.to_string().into_bytes()))
}

#[test]
fn each_event_is_told_with_its_details() {
    let server = saying(json!({"result": {}}));
    let application = application(&server, |_| ());
    let (user, channel) = ("ann".to_owned(), "news".to_owned());
    let meta = Some(Bytes::from_static(br#"{"m":1}"#));
    let data = Some(Bytes::from_static(b"[1, 2]"));
    let events = [
        (
            What::Connect {
                data: data.clone(),
                name: "js".to_owned(),
                version: String::new(),
                channels: vec!["a".to_owned()],
            },
            json!({"name": "js", "channels": ["a"], "data": [1, 2]}),
        ),
        (What::Refresh { user: user.clone(), meta: meta.clone() }, json!({"user": "ann", "meta": {"m": 1}})),
        (
            What::Subscribe {
                user: user.clone(),
                channel: channel.clone(),
                token: "t".to_owned(),
                data: None,
                meta: None,
            },
            json!({"user": "ann", "channel": "news", "token": "t"}),
        ),
        (
            What::SubRefresh { user: user.clone(), channel: channel.clone(), meta: None },
            json!({"user": "ann", "channel": "news"}),
        ),
        (
            What::Publish { user: user.clone(), channel, data: Bytes::from_static(b"5"), meta },
            json!({"user": "ann", "channel": "news", "data": 5, "meta": {"m": 1}}),
        ),
        (
            What::Rpc { user: String::new(), method: "sum".to_owned(), data, meta: None },
            json!({"user": "", "method": "sum", "data": [1, 2]}),
        ),
    ];
    for (number, (what, mut expected)) in events.into_iter().enumerate() {
        let event = event(what);
        assert!(matches!(call(&application, &event), Ok(Answer::Result(_))), "{event:?}");
        for (key, value) in [("client", "c1"), ("transport", "websocket"), ("protocol", "json"), ("encoding", "json")] {
            expected[key] = value.into();
        }
        let seen = &server.seen()[number];
        assert_eq!(seen.path, format!("/{}", event.kind()));
        assert_eq!(seen.header("content-type"), Some("application/json"));
        assert_eq!(serde_json::from_str::<Value>(&seen.body).expect("JSON"), expected);
    }
    assert_eq!(server.connections.load(Ordering::SeqCst), 1, "the connection is kept");
}

#[test]
fn data_that_is_no_json_goes_along_as_base64() {
    let server = saying(json!({"result": {}}));
    let application = application(&server, |_| ());
    for data in [&b"\x00\xff"[..], b"{", b"{} {}", b"\"\xff\""] {
        let what = What::Rpc { user: String::new(), method: String::new(), data: Some(data.into()), meta: None };
        call(&application, &event(what)).expect("an answer");
        let seen = server.seen().pop().expect("a request");
        let told: Value = serde_json::from_str(&seen.body).expect("JSON");
        assert_eq!((&told["encoding"], told.get("data")), (&json!("binary"), None), "{told}");
        assert!(told["b64data"].is_string());
    }
}

#[test]
fn every_detail_of_a_result_is_read() {
    let connect = json!({"result": {"user": "ann", "expire_at": 17, "info": {"a": 1}, "b64data": "AQI=", "meta": [1],
        "channels": ["a", "b"], "subs": {"a": {"override": {"presence": {"value": true}}}}}});
    let Ok(Answer::Result(Reply::Connect(result))) = read(EventKind::Connect, connect.to_string().as_bytes()) else {
        panic!("a result");
    };
    assert_eq!((&*result.user, result.expire_at), ("ann", Some(17)));
    assert_eq!(result.info.as_deref(), Some(&br#"{"a":1}"#[..]));
    assert_eq!((result.data.as_deref(), result.meta.as_deref()), (Some(&[1, 2][..]), Some(&b"[1]"[..])));
    assert_eq!(result.subs.iter().map(|sub| &*sub.channel).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(result.subs[0].overrides.presence, Some(true));

    let refresh = read(EventKind::SubRefresh, br#"{"result":{"expired":true,"expire_at":0,"info":null}}"#);
    let Ok(Answer::Result(Reply::Refresh(result))) = refresh else { panic!("a result") };
    assert!(result.expired && result.expire_at.is_none() && result.info.is_none());

    let publish = read(EventKind::Publish, br#"{"result":{"data":{"b":2},"skip_history":true,"idempotency_key":"k"}}"#);
    let Ok(Answer::Result(Reply::Publish(result))) = publish else { panic!("a result") };
    assert_eq!(result.data.as_deref(), Some(&br#"{"b":2}"#[..]));
    assert!(result.skip_history && result.idempotency_key.as_deref() == Some("k"));

    let subscribe = br#"{"result":{"info":1,"data":2,"expire_at":3,"override":{"join_leave":{"value":false}}}}"#;
    let Ok(Answer::Result(Reply::Subscribe(result))) = read(EventKind::Subscribe, subscribe) else {
        panic!("a result");
    };
    assert_eq!((result.info.as_deref(), result.data.as_deref()), (Some(&b"1"[..]), Some(&b"2"[..])));
    assert_eq!((result.expire_at, result.overrides.join_leave), (Some(3), Some(false)));
}

#[test]
fn an_application_may_refuse_and_may_close_within_its_codes() {
    for (answer, expected) in [
        (
            json!({"error": {"code": 400, "message": "no", "temporary": true}}),
            Answer::Error { code: 400, message: "no".to_owned(), temporary: true },
        ),
        (json!({"error": {"code": 1999}}), Answer::Error { code: 1999, message: String::new(), temporary: false }),
        (
            json!({"disconnect": {"code": 4000, "reason": "r".repeat(32)}}),
            Answer::Disconnect { code: 4000, reason: "r".repeat(32) },
        ),
        (
            json!({"result": {}, "error": {"code": 500}, "disconnect": {"code": 4999}}),
            Answer::Disconnect { code: 4999, reason: String::new() },
        ),
        (
            json!({"result": {}, "error": {"code": 500, "message": "both"}}),
            Answer::Error { code: 500, message: "both".to_owned(), temporary: false },
        ),
    ] {
        assert_eq!(read(EventKind::Publish, answer.to_string().as_bytes()), Ok(expected), "{answer}");
    }
}

#[test]
fn an_answer_outside_of_its_codes_or_of_another_kind_counts_as_none() {
    for (answer, why) in [
        (json!({"error": {"code": 399}}), "400 to 1999"),
        (json!({"error": {"code": 2000}}), "400 to 1999"),
        (json!({"error": {"code": 103}}), "400 to 1999"),
        (json!({"disconnect": {"code": 3999}}), "4000 to 4999"),
        (json!({"disconnect": {"code": 5000}}), "4000 to 4999"),
        (json!({"disconnect": {"code": 4000, "reason": "r".repeat(33)}}), "33 bytes"),
        (json!({"disconnect": {"code": 70000}}), "not JSON of an answer"),
        (json!({"error": {}}), "not JSON of an answer"),
        (json!({}), "none of result"),
        (json!({"result": null}), "none of result"),
        (json!({"result": []}), "not one of publish"),
        (json!({"result": {"skip_history": "yes"}}), "not one of publish"),
        (json!({"result": {"b64data": "?"}}), "base64"),
        (json!([]), "not JSON of an answer"),
        (json!("ok"), "not JSON of an answer (invalid type: string \"ok\", expected an object"),
    ] {
        let error = read(EventKind::Publish, answer.to_string().as_bytes()).expect_err("none");
        assert!(error.contains(why), "{answer}: {error}");
    }
    for body in ["", "OK", "<html>", "{\"result\":{}", "{\"result\":{}} {}"] {
        assert!(read(EventKind::Publish, body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn an_application_that_is_ill_is_no_answer_and_each_illness_is_counted() {
    let ill: [(fn() -> Say, CallResult); 9] = [
        (|| Say::Response(500, b"{}".to_vec()), CallResult::Status),
        (|| Say::Response(204, Vec::new()), CallResult::Status),
        (|| Say::Response(302, Vec::new()), CallResult::Status),
        (|| Say::Response(200, b"<html>".to_vec()), CallResult::Malformed),
        (|| Say::Response(200, vec![b' '; 4_000]), CallResult::Large),
        (|| Say::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"result\":".to_vec()), CallResult::Closed),
        (|| Say::Bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"r".to_vec()), CallResult::Closed),
        (|| Say::Bytes(Vec::new()), CallResult::Closed),
        (|| Say::Bytes(b"\0\x01garbage\r\n\r\n".to_vec()), CallResult::Malformed),
    ];
    for (say, expected) in ill {
        let server = Server::start(move |_, _| say());
        let application = application(&server, |settings| settings.largest = 2_000);
        let error = call(&application, &publish()).expect_err("no answer");
        assert_eq!(CallResult::from(&error), expected, "{error}");
        assert_eq!(count(&application, EventKind::Publish, expected), 1, "{error}");
        assert_eq!(application.stats().running, 0);
    }
}

#[test]
fn an_application_that_is_slow_is_given_up_and_one_that_is_down_is_unreachable() {
    let server = Server::start(|_, _| Say::Nothing);
    let slow = application(&server, |settings| settings.timeout = Duration::from_millis(30));
    assert_eq!(call(&slow, &publish()), Err(OutgoingError::Timeout));
    let port = gannet_testing::free_ports(1)[0];
    let endpoints = vec![(EventKind::Publish, format!("http://{port}/").parse().expect("a URL"))];
    let down = Application::new(ApplicationSettings { endpoints, ..ApplicationSettings::default() });
    assert!(matches!(call(&down, &publish()), Err(OutgoingError::Unreachable(_))));
    assert_eq!(count(&down, EventKind::Publish, CallResult::Unreachable), 1);
}

#[test]
fn an_application_that_closes_kept_connections_costs_no_event() {
    // It answers, and closes without having said that it would.
    let server =
        Server::start(|_, _| Say::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{\"result\":{}}".to_vec()));
    let application = application(&server, |_| ());
    for number in 1..=5 {
        call(&application, &publish()).expect("an answer");
        assert_eq!(server.connections.load(Ordering::SeqCst), number);
        gannet_testing::until("the connection is closed", || server.closed.load(Ordering::SeqCst) == number);
    }
}

#[test]
fn beyond_the_limit_a_request_is_refused_at_once_and_a_place_that_is_free_is_taken_again() {
    let (release, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let server = Server::start(move |_, _| {
        wait.lock().expect("not poisoned").recv().expect("released");
        Say::Response(200, br#"{"result":{}}"#.to_vec())
    });
    let application = application(&server, |settings| settings.concurrent = 1);
    let permit = application.begin(EventKind::Publish).expect("a place");
    let running = std::thread::spawn(move || permit.call(&publish(), &[]));
    gannet_testing::until("the request is there", || server.seen().len() == 1);
    for _ in 0..3 {
        assert!(application.begin(EventKind::Rpc).is_err());
    }
    assert_eq!((application.stats().running, count(&application, EventKind::Rpc, CallResult::Full)), (1, 3));
    release.send(()).expect("the server waits");
    assert!(running.join().expect("no panic").is_ok());
    // A place that nobody used is free again too.
    drop(application.begin(EventKind::Publish).expect("a place"));
    assert!(application.begin(EventKind::Publish).is_ok());
}

#[test]
fn only_listed_headers_go_along_and_none_that_would_split_the_request() {
    let server = saying(json!({"result": {}}));
    let application = application(&server, |settings| {
        settings.forward("Cookie").expect("a header");
        settings.forward("X-Real-IP").expect("a header");
    });
    let headers = [
        ("cookie", "session=1"),
        ("X-REAL-IP", "192.0.2.1"),
        ("Authorization", "Bearer secret"),
        ("x-real-ip", "a\r\nx-evil: 1"),
        ("host", "evil.example"),
    ];
    let picked = application.pick(headers);
    assert_eq!(picked.len(), 2);
    application.begin(EventKind::Publish).expect("a place").call(&publish(), &picked).expect("an answer");
    let seen = &server.seen()[0];
    assert_eq!((seen.header("cookie"), seen.header("x-real-ip")), (Some("session=1"), Some("192.0.2.1")));
    assert_eq!((seen.header("authorization"), seen.header("x-evil")), (None, None));
    assert_eq!(seen.header("host"), Some(&*server.address.to_string()));
}

#[test]
fn an_event_without_a_url_is_not_the_applications() {
    let application = Application::new(ApplicationSettings::default());
    assert!(EventKind::ALL.iter().all(|event| !application.decides(*event)));
    assert!(application.stats().calls.is_empty());
}

#[test]
fn an_application_over_tls_has_to_show_a_certificate_of_a_trusted_authority() {
    let authority = gannet_testing::certificates::Ca::new("tests");
    let issued = authority.server(&["localhost"]);
    let address = tls_server(&issued.certificate, &issued.key);
    let folder = std::env::temp_dir().join(format!("gannet-application-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("ca.pem");
    std::fs::write(&file, authority.pem()).expect("written");
    let ask = |trust: Trust, host: &str| {
        let url = format!("https://{host}:{}/hook", address.port()).parse().expect("a URL");
        let (timeout, endpoints) = (Duration::from_secs(20), vec![(EventKind::Publish, url)]);
        let settings = ApplicationSettings { timeout, endpoints, trust, ..ApplicationSettings::default() };
        call(&Application::new(settings), &publish())
    };
    let trusted = Trust::file(&file).expect("an authority");
    assert!(matches!(ask(trusted.clone(), "localhost"), Ok(Answer::Result(_))));
    assert!(matches!(ask(trusted, "127.0.0.1"), Err(OutgoingError::Tls(_))));
    assert!(matches!(ask(Trust::System, "localhost"), Err(OutgoingError::Tls(_))));
    let error = Trust::file(&folder.join("none.pem")).expect_err("none");
    assert!(error.contains("none.pem"), "{error}");
    std::fs::remove_dir_all(&folder).expect("removed");
}

/// A server of TLS that allows everything.
fn tls_server(certificate: &str, key: &str) -> std::net::SocketAddr {
    use std::io::{Read as _, Write as _};

    use rustls_pki_types::pem::PemObject as _;
    use rustls_pki_types::{CertificateDer, PrivateKeyDer};

    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a certificate");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut connection = rustls::ServerConnection::new(config.clone()).expect("a connection");
            let mut stream = rustls::Stream::new(&mut connection, &mut stream);
            let mut head = [0; 4_096];
            if stream.read(&mut head).is_ok_and(|length| length > 0) {
                let _ = stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 13\r\nconnection: close\r\n\r\n{\"result\":{}}");
            }
        }
    });
    address
}
