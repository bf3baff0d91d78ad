//! Keys that change while clients are connected.

mod rig;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gannet_gateway::settings::{Settings, namespace};
use gannet_gateway::token::JwksSettings;
use rig::feed::{Feed, emulate};
use rig::{PATIENCE, Rig, drivers};
use serde_json::{Value, json};

/// A key with its name.
struct Key {
    name: &'static str,
    pair: Ed25519KeyPair,
}

impl Key {
    fn new(name: &'static str) -> Self {
        Self { name, pair: Ed25519KeyPair::generate().expect("a key") }
    }

    /// The public half, as a server of keys tells it.
    fn public(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key());
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": self.name, "x": x})
    }

    /// A token with these claims, for ten minutes.
    fn token(&self, mut claims: Value) -> String {
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
        claims["sub"] = json!("ann");
        claims["exp"] = json!(now + 600);
        let header = json!({"alg": "EdDSA", "typ": "JWT", "kid": self.name});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(&header), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }
}

/// Serves a set of keys, which the test changes.
fn serve(keys: &[&Key]) -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    let set = Arc::new(Mutex::new(keys.iter().map(|key| key.public()).collect::<Vec<_>>()));
    let served = set.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|count| count > 2) {
                line.clear();
            }
            let body = json!({ "keys": *served.lock().expect("not poisoned") }).to_string();
            let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
            // A client that has gone needs none.
            let _ = stream.get_mut().write_all((head + &body).as_bytes());
        }
    });
    (url, set)
}

/// Connects until the key of a token is known: after a fetch the gateway rests before another one.
#[expect(clippy::disallowed_methods, reason = "patience is real time")]
fn until_known(rig: &Rig, connect: &str) {
    let started = Instant::now();
    while !rig.websocket().is_taken(connect) {
        assert!(started.elapsed() < PATIENCE, "the key is never known");
    }
}

#[test]
fn clients_stay_while_keys_are_rotated_and_refresh_and_subscribe_with_tokens_of_the_new_one() {
    for driver in drivers() {
        let [old, new, newest] = ["old", "new", "newest"].map(Key::new);
        let (url, served) = serve(&[&old]);
        let mut keys = JwksSettings::new(url.parse().expect("a URL"));
        keys.refresh = 10 * PATIENCE;
        // Long enough for a token to be read again after the fetch that it has waited for.
        keys.pause = Duration::from_millis(250);
        let mut settings = Settings::default();
        settings.tokens.jwks = Some(keys);
        settings.channels.namespaces.push(namespace::parse("closed:presence").expect("a namespace"));
        let rig = Rig::start(driver, settings);
        let connect = |key: &Key| format!(r#""connect":{{"token":"{}"}}"#, key.token(json!({})));

        let mut socket = rig.websocket();
        assert!(socket.ask(&connect(&old))["connect"]["expires"] == true);
        let mut lines = Feed::post(&rig, "/connection/http_stream", &format!("{{\"id\":1,{}}}", connect(&old)));
        let session = lines.line_message()["connect"].clone();

        *served.lock().expect("not poisoned") = vec![new.public()];
        until_known(&rig, &connect(&new));
        let refresh = |key: &Key| format!(r#""refresh":{{"token":"{}"}}"#, key.token(json!({})));
        let reply = socket.ask(&refresh(&new));
        assert!(reply["refresh"]["ttl"].as_u64().is_some_and(|ttl| ttl > 500), "{reply}");
        assert_eq!(emulate(&rig, &session, &format!("{{\"id\":2,{}}}", refresh(&new))), 204);
        assert!(lines.line_message()["refresh"]["expires"] == true);

        *served.lock().expect("not poisoned") = vec![newest.public()];
        until_known(&rig, &connect(&newest));
        let subscribe = format!(
            r#""subscribe":{{"channel":"closed:a","token":"{}"}}"#,
            newest.token(json!({"channel": "closed:a"}))
        );
        assert_eq!(emulate(&rig, &session, &format!("{{\"id\":3,{subscribe}}}")), 204);
        assert!(lines.line_message()["subscribe"].is_object());
        assert!(socket.ask(&subscribe)["subscribe"].is_object());

        // Who is connected stays; with a key that is gone nobody connects any more, and nobody refreshes.
        let mut late = rig.websocket();
        late.command(&connect(&old));
        assert_eq!(late.closed().0, 3500);
        assert!(socket.ask(r#""ping":{}"#)["ping"].is_object());
        socket.command(&refresh(&old));
        assert_eq!(socket.closed().0, 3500);
        gannet_testing::until("one client", || rig.gateway.space().stats().clients == 1);
    }
}
