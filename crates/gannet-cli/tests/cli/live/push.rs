//! The gateway: who may connect, limits, and the application that it asks.

use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gannet_gateway::Secret;
use gannet_gateway::token::Issue;
use gannet_testing::{PATIENCE, until};
use serde_json::{Value, json};

use super::Walk;
use super::socket::Socket;

/// What tokens are signed with.
pub(super) const SECRET: &str = "a secret of the tests for tokens";

const OTHER_SECRET: &str = "another secret of the tests for tokens";

/// So many seconds from now.
#[expect(clippy::disallowed_methods, reason = "the server under test looks at the same clock")]
pub(super) fn now_s(more: u64) -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs() + more
}

/// A token for the user `ann`, with other claims too.
fn token(secret: &str, more: impl FnOnce(&mut Issue)) -> String {
    let mut issue = Issue { sub: "ann".to_owned(), ..Issue::default() };
    more(&mut issue);
    issue.sign(&Secret::new(secret)).expect("a secret that is long enough")
}

/// A token for the user `ann`.
pub(super) fn ann() -> String {
    token(SECRET, |_| ())
}

/// Whether whoever has this token may connect.
fn admits(walk: &Walk, token: Option<&str>) -> bool {
    Socket::connect(walk, token).1["connect"].is_object()
}

/// Calls the server API; gives the status and the answer.
pub(super) fn api(walk: &Walk, method: &str, what: &Value) -> (String, Value) {
    let answer = walk.http("push", &format!("POST /api/{method}"), "", &what.to_string());
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.split(' ').nth(1).expect("a status").to_owned(), serde_json::from_str(body).unwrap_or_default())
}

pub(super) fn publish(walk: &Walk, channel: &str, data: &Value) -> Value {
    api(walk, "publish", &json!({ "channel": channel, "data": data })).1
}

/// An application that answers each path with what was set for it, or hangs.
pub(super) struct Application {
    pub(super) address: SocketAddr,
    answers: Arc<Mutex<Vec<(&'static str, Value)>>>,
    pub(super) came: Receiver<(String, String)>,
}

impl Application {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (sender, came) = mpsc::channel();
        let answers: Arc<Mutex<Vec<(&'static str, Value)>>> = Arc::default();
        let own = answers.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (sender, answers) = (sender.clone(), own.clone());
                std::thread::spawn(move || {
                    let mut stream = BufReader::new(stream.expect("a connection"));
                    while let Some((head, body)) = request(&mut stream) {
                        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                        let _ = sender.send((head, body));
                        let answers = answers.lock().expect("no panic").clone();
                        let Some((_, answer)) = answers.iter().rev().find(|(own, _)| *own == path) else {
                            // It hangs until the client goes.
                            let _ = stream.read(&mut [0]);
                            return;
                        };
                        let answer = answer.to_string();
                        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", answer.len());
                        if stream.get_mut().write_all((head + &answer).as_bytes()).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, answers, came }
    }

    pub(super) fn answers(&self, path: &'static str, answer: Value) {
        self.answers.lock().expect("no panic").push((path, answer));
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("\"http://{}{path}\"", self.address)
    }

    /// Waits until it was asked at a path, and gives the request.
    pub(super) fn asked(&self, path: &str) -> (String, String) {
        loop {
            let (head, body) = self.came.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("nothing came to {path}"));
            if head.split(' ').nth(1) == Some(path) {
                return (head, body);
            }
        }
    }
}

/// The head of a request in lowercase letters but for its first line, and the body.
fn request(stream: &mut impl BufRead) -> Option<(String, String)> {
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|count| *count > 0)?;
        if line == "\r\n" {
            break;
        }
        if !head.is_empty() {
            line.make_ascii_lowercase();
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        head += &line;
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8_lossy(&body).into_owned()))
}

pub(super) fn steps(walk: &mut Walk) {
    keys(walk);
    admission(walk);
    times(walk);
    limits(walk);
    application(walk);
}

fn keys(walk: &mut Walk) {
    walk.set(&[("push.api_keys", "[{ file = \"FOLDER/password\" }]")], &[]);
    assert_eq!(api(walk, "info", &json!({})).0, "401");
    walk.set(&[("push.api", "\"own\"")], &[]);
    assert_eq!(api(walk, "info", &json!({})).0, "404");
    assert!(walk.http("api", "POST /api/info", "", "{}").starts_with("HTTP/1.1 200"));

    std::fs::write(walk.folder.path("more"), OTHER_SECRET).expect("our folder");
    let other = token(OTHER_SECRET, |_| ());
    assert!(!admits(walk, Some(&other)));
    walk.set(&[("push.token_secrets", "[{ file = \"FOLDER/secret\" }, { file = \"FOLDER/more\" }]")], &[]);
    assert!(admits(walk, Some(&other)) && admits(walk, Some(&ann())));

    // A public key in a file, and the same one from a server of keys.
    let pair = Ed25519KeyPair::generate().expect("a key");
    let public = pair.public_key().as_ref();
    // The form of such a key as `SubjectPublicKeyInfo` (RFC 8410 §4).
    let info = [&[0x30_u8, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00][..], public].concat();
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(info));
    std::fs::write(walk.folder.path("public.pem"), pem).expect("our folder");
    let parts = [json!({ "alg": "EdDSA", "typ": "JWT", "kid": "k" }), json!({ "sub": "ann" })];
    let signed = parts.map(|part| URL_SAFE_NO_PAD.encode(part.to_string())).join(".");
    let with_key = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes())));
    walk.set(&[("push.token_key_files", "[\"FOLDER/public.pem\"]")], &[]);
    assert!(admits(walk, Some(&with_key)));
    let server = Application::start();
    let key = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "k", "x": URL_SAFE_NO_PAD.encode(public) });
    server.answers("/keys", json!({ "keys": [key] }));
    walk.set(&[("push.jwks", &server.url("/keys"))], &[]);
    assert!(admits(walk, Some(&with_key)), "the server has it");

    walk.set(&[("push.token_audiences", "[\"chat\"]")], &[]);
    let with_audience = token(SECRET, |issue| issue.aud = Some("chat".to_owned()));
    assert!(admits(walk, Some(&with_audience)) && !admits(walk, Some(&ann())));
    walk.set(&[("push.token_issuers", "[\"me\"]")], &[]);
    let with_issuer = token(SECRET, |issue| issue.iss = Some("me".to_owned()));
    assert!(admits(walk, Some(&with_issuer)) && !admits(walk, Some(&ann())));
}

fn admission(walk: &mut Walk) {
    let page = "Origin: https://a.example\r\n";
    assert!(Socket::open(walk, page).is_err());
    walk.set(&[("push.origins", "[\"https://a.example\"]")], &[]);
    assert!(Socket::open(walk, page).is_ok());

    walk.set(&[("push.anonymous", "false")], &[]);
    assert!(!admits(walk, None) && admits(walk, Some(&ann())));
    walk.set(&[("push.insecure", "true")], &[]);
    let (mut nobody, _) = Socket::connect(walk, None);
    assert!(nobody.ask("publish", json!({ "channel": "news:a", "data": 1 }))["publish"].is_object());

    let personal = ("push.namespace.\"\".allow_user_limited_channels", "true");
    walk.set(&[("push.personal_channels", "true")], &[personal]);
    let (_, reply) = Socket::connect(walk, Some(&ann()));
    assert!(reply["connect"]["subs"]["#ann"].is_object(), "{reply}");

    let login = json!({ "password": "swordfish" }).to_string();
    let log_in = |walk: &Walk| walk.http("push", "POST /admin/login", "Content-Type: application/json\r\n", &login);
    assert!(log_in(walk).starts_with("HTTP/1.1 403"));
    walk.set(&[("push.admin_password", "{ file = \"FOLDER/password\" }")], &[]);
    assert!(log_in(walk).starts_with("HTTP/1.1 204"));
}

fn times(walk: &mut Walk) {
    walk.set(&[("push.ping", "\"9s\"")], &[]);
    assert_eq!(Socket::connect(walk, None).1["connect"]["ping"], 9);
    // Nobody answers: the server closes, and it need not wait for the 8 s of the default.
    walk.set(&[("push.pong", "\"30ms\"")], &[("push.ping", "\"1s\"")]);
    let (mut socket, _) = Socket::connect(walk, None);
    socket.until_pinged();
    #[expect(clippy::disallowed_methods, reason = "the other deadline would be met, too, if much later")]
    let pinged = std::time::Instant::now();
    socket.end();
    assert!(socket.code.is_some() && pinged.elapsed().as_secs() < 8);
    walk.set(&[("push.connect_timeout", "\"30ms\"")], &[]);
    Socket::open(walk, "").expect("it is upgraded").end();
    walk.set(&[("push.refresh_grace", "\"30ms\"")], &[]);
    let brief = token(SECRET, |issue| issue.exp = Some(now_s(2)));
    Socket::connect(walk, Some(&brief)).0.end();
}

fn limits(walk: &mut Walk) {
    let long = json!("a".repeat(2_000));
    walk.set(&[("push.max_message", "\"1KiB\"")], &[]);
    assert!(publish(walk, "news:a", &long)["error"].is_object());
    // More than a request has room for by default.
    walk.set(&[("push.max_message", "\"4MiB\"")], &[]);
    assert!(publish(walk, "news:a", &json!("a".repeat(3 << 20)))["result"].is_object());
    let (mut socket, _) = Socket::connect(walk, None);
    walk.set(&[], &[("push.insecure", "true"), ("push.max_message", "\"4MiB\"")]);
    let (mut other, _) = Socket::connect(walk, None);
    let large = json!({ "channel": "news:a", "data": "a".repeat(3 << 20) });
    assert!(other.ask("publish", large.clone())["publish"].is_object());
    assert!(socket.ask("publish", large)["publish"].is_object());

    let history = [("push.namespace.news.history_size", "100"), ("push.namespace.news.history_ttl", "\"1m\"")];
    walk.set(&[("push.max_history", "\"8KiB\"")], &history);
    (0..10).for_each(|_| drop(publish(walk, "news:a", &long)));
    let kept = api(walk, "history", &json!({ "channel": "news:a", "limit": -1 })).1;
    let kept = kept["result"]["publications"].as_array().expect("a list").len();
    assert!((1..10).contains(&kept), "{kept}");

    walk.set(&[("push.max_user_connections", "1")], &[]);
    let (first, _) = Socket::connect(walk, Some(&ann()));
    let (mut second, _) = Socket::connect(walk, Some(&ann()));
    second.end();
    assert_eq!(second.code, Some(3_504));
    drop(first);

    for (key, command) in [("push.max_commands", "presence"), ("push.max_publications", "publish")] {
        walk.set(&[(key, "1")], &[("push.insecure", "true")]);
        let (mut socket, _) = Socket::connect(walk, None);
        let what = json!({ "channel": "news:a", "data": 1 });
        let codes: Vec<Value> = (0..5).map(|_| socket.ask(command, what.clone())["error"]["code"].clone()).collect();
        assert!(codes.contains(&json!(111)), "{key}: {codes:?}");
    }
}

fn application(walk: &mut Walk) {
    let own = Application::start();
    let proxy = |path: &str| own.url(path);
    own.answers("/connect", json!({ "result": { "user": "bob" } }));
    walk.set(&[("push.proxy.connect", &proxy("/connect"))], &[]);
    assert!(admits(walk, None));
    own.asked("/connect");
    walk.set(&[("push.calls.headers", "[\"X-Tenant\"]")], &[("push.proxy.connect", &proxy("/connect"))]);
    let mut socket = Socket::open(walk, "X-Tenant: blue\r\n").expect("it is upgraded");
    socket.ask("connect", json!({}));
    assert!(own.asked("/connect").0.contains("x-tenant: blue"));

    own.answers("/connect", json!({ "result": { "user": "bob", "expire_at": now_s(2) } }));
    own.answers("/refresh", json!({ "result": { "expire_at": now_s(3_600) } }));
    walk.set(&[("push.proxy.refresh", &proxy("/refresh"))], &[("push.proxy.connect", &proxy("/connect"))]);
    let (socket, _) = Socket::connect(walk, None);
    own.asked("/refresh");
    drop(socket);

    let asks = |option: &str| format!("push.namespace.news.{option}");
    own.answers("/subscribe", json!({ "result": { "expire_at": now_s(2) } }));
    own.answers("/sub_refresh", json!({ "result": { "expire_at": now_s(3_600) } }));
    let subscribe = proxy("/subscribe");
    walk.set(&[("push.proxy.subscribe", &subscribe), (&asks("subscribe_proxy_enabled"), "true")], &[]);
    let (mut socket, _) = Socket::connect(walk, None);
    assert!(socket.ask("subscribe", json!({ "channel": "news:a" }))["subscribe"].is_object());
    own.asked("/subscribe");
    own.answers("/subscribe", json!({ "result": { "expire_at": now_s(2) } }));
    walk.set(
        &[("push.proxy.sub_refresh", &proxy("/sub_refresh")), (&asks("sub_refresh_proxy_enabled"), "true")],
        &[("push.proxy.subscribe", &subscribe), (&asks("subscribe_proxy_enabled"), "true")],
    );
    assert!(socket.ask("subscribe", json!({ "channel": "news:b" }))["subscribe"].is_object());
    own.asked("/sub_refresh");

    own.answers("/publish", json!({ "result": {} }));
    walk.set(&[("push.proxy.publish", &proxy("/publish")), (&asks("publish_proxy_enabled"), "true")], &[]);
    let (mut socket, _) = Socket::connect(walk, None);
    socket.ask("publish", json!({ "channel": "news:a", "data": 1 }));
    own.asked("/publish");
    own.answers("/rpc", json!({ "result": { "data": { "a": 1 } } }));
    walk.set(&[("push.proxy.rpc", &proxy("/rpc"))], &[]);
    assert_eq!(socket.ask("rpc", json!({ "method": "m" }))["rpc"]["data"]["a"], 1);

    // Nothing is answered there: one request waits, and the next has no room.
    let hangs = proxy("/hangs");
    walk.set(&[("push.calls.requests", "1")], &[("push.proxy.rpc", &hangs)]);
    let (mut other, _) = Socket::connect(walk, None);
    other.send(&json!({ "id": 99, "rpc": { "method": "m" } }).to_string());
    own.asked("/hangs");
    assert_eq!(socket.ask("rpc", json!({ "method": "m" }))["error"]["code"], 100);
    drop(other);
    walk.set(&[("push.calls.timeout", "\"30ms\"")], &[("push.proxy.rpc", &hangs)]);
    let (mut socket, _) = Socket::connect(walk, None);
    assert_eq!(socket.ask("rpc", json!({ "method": "m" }))["error"]["code"], 100);

    // A server of TLS that this authority vouches for: its answer is a 404, and no failure of TLS.
    let spare = format!("\"https://localhost:{}/rpc\"", walk.address("spare").port());
    walk.set(&[("push.calls.ca", "\"FOLDER/ca.pem\"")], &[("push.proxy.rpc", &spare)]);
    let (mut socket, _) = Socket::connect(walk, None);
    socket.ask("rpc", json!({ "method": "m" }));
    until("its answer", || walk.metric("gannet_push_proxy_calls_total", "event=\"rpc\",result=\"status\"") > 0);
    walk.set(&[], &[]);
}
