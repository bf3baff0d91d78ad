//! Keys by URL, from servers that are as they should be, and from others.

use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gannet_testing::until;
use serde_json::{Value, json};

use super::{NOW, Signer};
use crate::test_server::{Say, Server};
use crate::token::{Algorithm, Jwks, JwksSettings, TokenError, TokenOutcome, Tokens};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(3_600);

/// A set that a test changes while it is served.
type Served = Arc<Mutex<Vec<Value>>>;

fn serve(keys: Vec<Value>) -> (Server, Served) {
    let served = Arc::new(Mutex::new(keys));
    let set = served.clone();
    let server = Server::start(move |_, _| {
        Say::Response(200, json!({"keys": *set.lock().expect("not poisoned")}).to_string().into_bytes())
    });
    (server, served)
}

fn settings(server: &Server) -> JwksSettings {
    let mut settings = JwksSettings::new(server.url("/keys"));
    settings.refresh = LONG;
    settings.pause = Duration::from_millis(1);
    settings
}

fn start(settings: JwksSettings) -> Tokens {
    Tokens::default().jwks(Arc::new(Jwks::start(settings).expect("a thread")))
}

/// As a session does: where keys are wanted, it waits for them elsewhere and tries once more.
fn verify(tokens: &Tokens, token: &str) -> Result<String, TokenError> {
    let mut verified = tokens.connection(token, NOW);
    if verified == Err(TokenError::KeysWanted) {
        tokens.wait_for_keys();
        verified = tokens.connection(token, NOW);
    }
    verified.map(|claims| claims.user)
}

fn claims() -> Value {
    json!({"sub": "ann"})
}

#[test]
fn keys_of_every_kind_are_fetched_and_verify() {
    let kinds = [Algorithm::RS256, Algorithm::ES256, Algorithm::ES384, Algorithm::ES512, Algorithm::EdDSA];
    let signers: Vec<_> = kinds.iter().map(|kind| (*kind, Signer::new(*kind))).collect();
    let (server, _) = serve(signers.iter().map(|(kind, signer)| signer.jwk(kind.name())).collect());
    let mut settings = settings(&server);
    settings.pause = LONG;
    let tokens = start(settings);
    for (kind, signer) in &signers {
        let named = signer.token(*kind, Some(kind.name()), &claims());
        assert_eq!(verify(&tokens, &named), Ok("ann".to_owned()), "{kind:?}");
        assert_eq!(verify(&tokens, &signer.token(*kind, None, &claims())), Ok("ann".to_owned()), "{kind:?}");
        // A key is only what it says that it is.
        let other = signer.token(*kind, Some("another"), &claims());
        assert_eq!(verify(&tokens, &other), Err(TokenError::Signature), "{kind:?}");
    }
    assert_eq!(tokens.stats().jwks.map(|stats| (stats.keys, stats.failed)), Some((5, 0)));
}

#[test]
fn a_key_that_has_been_added_counts_with_the_first_token_that_names_it() {
    let (old, new) = (Signer::new(Algorithm::ES256), Signer::new(Algorithm::ES256));
    let (server, served) = serve(vec![old.jwk("old")]);
    let tokens = start(settings(&server));
    assert!(verify(&tokens, &old.token(Algorithm::ES256, Some("old"), &claims())).is_ok());
    *served.lock().expect("not poisoned") = vec![new.jwk("new")];
    let token = new.token(Algorithm::ES256, Some("new"), &claims());
    // The pause after the first fetch may still last.
    until("the new key counts", || verify(&tokens, &token).is_ok());
    // And one that has gone does not count any more.
    assert_eq!(verify(&tokens, &old.token(Algorithm::ES256, Some("old"), &claims())), Err(TokenError::Signature));
}

#[test]
fn tokens_of_unknown_keys_cost_one_request_in_a_pause_however_many_come() {
    let signer = Signer::new(Algorithm::ES256);
    let (server, _) = serve(vec![signer.jwk("a")]);
    let mut settings = settings(&server);
    settings.pause = LONG;
    let tokens = start(settings);
    assert!(verify(&tokens, &signer.token(Algorithm::ES256, Some("a"), &claims())).is_ok());
    for number in 0..100 {
        let token = signer.token(Algorithm::ES256, Some(&format!("unknown {number}")), &claims());
        assert_eq!(tokens.connection(&token, NOW), Err(TokenError::Signature));
    }
    assert_eq!(server.seen().len(), 1);
}

#[test]
fn keys_are_fetched_again_when_they_are_old_without_any_token() {
    let signer = Signer::new(Algorithm::ES256);
    let (server, _) = serve(vec![signer.jwk("a")]);
    let mut settings = settings(&server);
    settings.refresh = Duration::from_millis(5);
    let _tokens = start(settings);
    until("a few fetches", || server.seen().len() >= 3);
}

#[test]
fn while_the_server_of_the_keys_fails_the_known_ones_count_and_others_are_told_to_come_again() {
    let signer = Signer::new(Algorithm::ES256);
    let jwk = signer.jwk("a");
    let is_ill = Arc::new(AtomicUsize::new(0));
    let ill = is_ill.clone();
    let server = Server::start(move |_, _| match ill.load(Ordering::SeqCst) {
        0 => Say::Response(200, json!({"keys": [jwk]}).to_string().into_bytes()),
        1 => Say::Response(500, b"{}".to_vec()),
        2 => Say::Response(200, b"<html>".to_vec()),
        3 => Say::Response(200, br#"{"keys":[]}"#.to_vec()),
        4 => Say::Response(200, format!(r#"{{"keys":[{}]}}"#, " ".repeat(300 << 10)).into_bytes()),
        5 => Say::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"keys\":".to_vec()),
        6 => Say::Bytes(b"\0\0\0\0".to_vec()),
        _ => Say::Response(302, Vec::new()),
    });
    let tokens = start(settings(&server));
    let known = signer.token(Algorithm::ES256, Some("a"), &claims());
    let unknown = signer.token(Algorithm::ES256, Some("b"), &claims());
    assert!(verify(&tokens, &known).is_ok());
    for illness in 1..=7 {
        is_ill.store(illness, Ordering::SeqCst);
        let failed = tokens.stats().jwks.expect("there are").failed;
        until("a fetch that fails", || {
            let _ = verify(&tokens, &unknown);
            tokens.stats().jwks.expect("there are").failed > failed
        });
        let refused = verify(&tokens, &unknown).expect_err("no key");
        assert_eq!(refused.outcome(), TokenOutcome::Unavailable, "{illness}: {refused}");
        assert!(verify(&tokens, &known).is_ok(), "{illness}");
    }
    is_ill.store(0, Ordering::SeqCst);
    until("the server is well again", || verify(&tokens, &unknown) == Err(TokenError::Signature));
}

#[test]
fn where_the_server_of_the_keys_was_down_at_the_start_tokens_count_once_it_is_up() {
    let signer = Signer::new(Algorithm::EdDSA);
    let token = signer.token(Algorithm::EdDSA, None, &claims());
    let address = gannet_testing::free_ports(1)[0];
    let mut settings = JwksSettings::new(format!("http://{address}/keys").parse().expect("a URL"));
    settings.pause = Duration::from_millis(1);
    let tokens = start(settings);
    until("a fetch that fails", || tokens.stats().jwks.is_some_and(|stats| stats.failed > 0));
    assert_eq!(verify(&tokens, &token).expect_err("no key").outcome(), TokenOutcome::Unavailable);
    let listener = TcpListener::bind(address).expect("the same port");
    let set = json!({"keys": [signer.jwk("a")]}).to_string();
    std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _ = stream.read(&mut [0; 4_096]);
            let _ =
                write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{set}", set.len());
        }
    });
    until("the token counts", || verify(&tokens, &token).is_ok());
}

#[test]
fn a_server_that_says_nothing_holds_up_no_verification_and_a_wait_only_for_its_time() {
    let server = Server::start(|_, _| Say::Nothing);
    let mut settings = settings(&server);
    settings.timeout = Duration::from_millis(50);
    let tokens = start(settings);
    let token = Signer::new(Algorithm::ES256).token(Algorithm::ES256, Some("a"), &claims());
    // This one returns at once, whatever the server does.
    assert_eq!(tokens.connection(&token, NOW).expect_err("no key").outcome(), TokenOutcome::Unavailable);
    tokens.wait_for_keys();
    until("the fetch was given up", || tokens.stats().jwks.is_some_and(|stats| stats.failed > 0));
    assert_eq!(verify(&tokens, &token).expect_err("no key").outcome(), TokenOutcome::Unavailable);
}

#[test]
fn keys_that_are_not_for_tokens_are_skipped() {
    let signer = Signer::new(Algorithm::ES256);
    let with = |name: &str, value: Value| {
        let mut jwk = signer.jwk("x");
        jwk[name] = value;
        jwk
    };
    let without = |name: &str| {
        let mut jwk = signer.jwk("x");
        jwk.as_object_mut().expect("an object").remove(name);
        jwk
    };
    let mut good = signer.jwk("good");
    good["key_ops"] = json!(["verify"]);
    let keys = vec![
        good,
        with("use", json!("enc")),
        with("key_ops", json!(["sign"])),
        with("alg", json!("RS256")),
        with("alg", json!("ES384")),
        with("alg", json!("none")),
        with("crv", json!("secp256k1")),
        with("crv", json!("P-384")),
        with("x", json!("AAAA")),
        with("y", json!("!")),
        with("kty", json!("RSA")),
        without("x"),
        // A secret by URL is none.
        Signer::Secret("a secret by URL").jwk("oct"),
        json!({"kty": "RSA", "n": "AQAB", "e": "AQAB"}),
        json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}),
        json!({"kty": "future"}),
    ];
    let count = keys.len() as u64;
    let (server, _) = serve(keys);
    let tokens = start(settings(&server));
    assert!(verify(&tokens, &signer.token(Algorithm::ES256, Some("good"), &claims())).is_ok());
    assert_eq!(tokens.stats().jwks.map(|stats| (stats.keys, stats.skipped)), Some((1, count - 1)));
    let forged = Signer::Secret("a secret by URL").token(Algorithm::HS256, Some("oct"), &claims());
    assert!(verify(&tokens, &forged).is_err());
}

#[test]
fn more_keys_than_the_limit_are_refused_as_a_whole() {
    let signer = Signer::new(Algorithm::EdDSA);
    let (server, _) = serve((0..5).map(|number| signer.jwk(&number.to_string())).collect());
    let mut settings = settings(&server);
    settings.keys = 4;
    let tokens = start(settings);
    until("a fetch that fails", || tokens.stats().jwks.is_some_and(|stats| stats.failed > 0 && stats.keys == 0));
}
