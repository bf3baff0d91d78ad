//! Which keys verify which tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::json;

use super::{NOW, SECRET, Signer, hs256, signers, tokens};
use crate::secret::Secret;
use crate::token::{Algorithm, Issue, Key, KeyError, LARGEST_TOKEN_BYTES, TokenError, TokenOutcome, Tokens};

#[test]
fn a_token_of_each_algorithm_is_verified_by_its_key_and_by_no_other() {
    let claims = json!({"sub": "ann"});
    for (algorithm, signer) in signers() {
        let token = signer.token(*algorithm, None, &claims);
        for (other, key) in signers() {
            let verified = Tokens::new(vec![key.key()]).connection(&token, NOW);
            let is_same_secret = matches!((signer, key), (Signer::Secret(_), Signer::Secret(_)));
            if algorithm == other || is_same_secret {
                assert_eq!(verified.as_ref().map(|claims| &*claims.user), Ok("ann"), "{algorithm:?} by {other:?}");
            } else {
                assert_eq!(verified, Err(TokenError::Signature), "{algorithm:?} by {other:?}");
            }
        }
    }
}

#[test]
fn tokens_of_another_implementation_are_verified() {
    use jsonwebtoken::{Algorithm as Theirs, EncodingKey, Header, encode};

    let claims = json!({"sub": "ann", "exp": super::NOW_SECONDS + 60});
    let secret = EncodingKey::from_secret(SECRET.as_bytes()).expect("a key");
    for algorithm in [Theirs::HS256, Theirs::HS384, Theirs::HS512] {
        let token = encode(&Header::new(algorithm), &claims, &secret).expect("a token");
        assert_eq!(tokens().connection(&token, NOW).map(|claims| claims.user), Ok("ann".to_owned()), "{algorithm:?}");
    }
    for (algorithm, curve) in [
        (Theirs::ES256, &aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING),
        (Theirs::ES384, &aws_lc_rs::signature::ECDSA_P384_SHA384_FIXED_SIGNING),
    ] {
        let random = aws_lc_rs::rand::SystemRandom::new();
        let private = aws_lc_rs::signature::EcdsaKeyPair::generate_pkcs8(curve, &random).expect("a key");
        let public = aws_lc_rs::signature::EcdsaKeyPair::from_pkcs8(curve, private.as_ref()).expect("a key");
        let token = encode(&Header::new(algorithm), &claims, &EncodingKey::from_ec_der(private.as_ref()));
        let verifier = Tokens::new(vec![Signer::Ecdsa(public).key()]);
        assert!(verifier.connection(&token.expect("a token"), NOW).is_ok(), "{algorithm:?}");
    }
}

#[test]
fn another_implementation_verifies_the_tokens_that_are_made_here() {
    use jsonwebtoken::{DecodingKey, Validation, decode};

    let issue = Issue { sub: "ann".to_owned(), exp: Some(u64::MAX >> 12), ..Issue::default() };
    let token = issue.sign(&Secret::new(SECRET)).expect("a token");
    let key = DecodingKey::from_secret(SECRET.as_bytes()).expect("a key");
    let decoded = decode::<serde_json::Value>(&token, &key, &Validation::new(jsonwebtoken::Algorithm::HS256));
    assert_eq!(decoded.expect("verified").claims["sub"], "ann");
    assert_eq!(tokens().connection(&token, NOW).expect("verified").user, "ann");
}

#[test]
fn a_token_of_another_secret_is_invalid() {
    let token = Signer::Secret("another secret").token(Algorithm::HS256, None, &json!({"sub": "ann"}));
    let error = tokens().connection(&token, NOW).expect_err("another key");
    assert_eq!((error, error.outcome()), (TokenError::Signature, TokenOutcome::Invalid));
}

#[test]
fn a_token_without_a_signature_is_invalid_however_it_writes_none() {
    let claims = URL_SAFE_NO_PAD.encode(r#"{"sub":"ann"}"#);
    for alg in ["none", "None", "NONE", "nOnE", "", "HS256 ", "hs256", "HS1", "PS256", "dir"] {
        let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg, "typ": "JWT"}).to_string());
        for token in [format!("{header}.{claims}."), format!("{header}.{claims}.AAAA")] {
            assert_eq!(tokens().connection(&token, NOW), Err(TokenError::Header), "{alg}");
        }
    }
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
    assert_eq!(tokens().connection(&format!("{header}.{claims}."), NOW), Err(TokenError::Signature));
    assert_eq!(Tokens::default().connection(&hs256(&json!({})), NOW), Err(TokenError::Signature));
}

#[test]
fn tokens_are_counted_by_what_became_of_them() {
    let tokens = tokens();
    let expired = hs256(&json!({"exp": 1}));
    for token in [&hs256(&json!({})), &expired, &expired, "no token"] {
        let _ = tokens.connection(token, NOW);
    }
    let stats = tokens.stats();
    assert_eq!((stats.accepted, stats.jwks), (1, None));
    for (error, count) in stats.refused {
        let expected = match error {
            TokenError::Expired => 2,
            TokenError::Malformed => 1,
            _ => 0,
        };
        assert_eq!(count, expected, "{error:?}");
    }
}

#[test]
fn a_public_key_is_never_taken_as_a_secret() {
    let (_, rsa) = signers().iter().find(|(algorithm, _)| *algorithm == Algorithm::RS256).expect("one");
    // What a thief of nothing can do: sign by HMAC with the key that everybody knows.
    let pem: &'static str = rsa.pem().leak();
    for text in [pem, pem.trim_end()] {
        let token = Signer::Secret(text).token(Algorithm::HS256, None, &json!({"sub": "root"}));
        let verifier = Tokens::new(vec![rsa.key()]);
        assert_eq!(verifier.connection(&token, NOW), Err(TokenError::Signature));
    }
}

#[test]
fn while_keys_are_rotated_tokens_of_both_count() {
    let (old, new) = (Signer::Secret("the old secret"), Signer::Secret("the new secret"));
    let claims = json!({"sub": "ann"});
    let both = Tokens::new(vec![new.key(), old.key()]);
    for signer in [&old, &new] {
        assert!(both.connection(&signer.token(Algorithm::HS256, None, &claims), NOW).is_ok());
        // The name of a key says nothing where our keys have none.
        assert!(both.connection(&signer.token(Algorithm::HS256, Some("7"), &claims), NOW).is_ok());
    }
    let after = Tokens::new(vec![new.key()]);
    assert_eq!(after.connection(&old.token(Algorithm::HS256, None, &claims), NOW), Err(TokenError::Signature));
    assert!(after.connection(&new.token(Algorithm::HS256, None, &claims), NOW).is_ok());
}

#[test]
fn a_token_that_names_a_key_is_verified_by_that_key_only() {
    let (a, b) = (Signer::Secret("the secret a"), Signer::Secret("the secret b"));
    let verifier = Tokens::new(vec![a.key().with_id("a"), b.key().with_id("b")]);
    let claims = json!({"sub": "ann"});
    for (signer, kid, counts) in [
        (&a, Some("a"), true),
        (&b, Some("b"), true),
        (&a, None, true),
        (&b, None, true),
        (&a, Some("b"), false),
        (&b, Some("c"), false),
    ] {
        let token = signer.token(Algorithm::HS256, kid, &claims);
        assert_eq!(verifier.connection(&token, NOW).is_ok(), counts, "{kid:?}");
    }
}

#[test]
fn what_is_no_token_is_malformed() {
    let good = hs256(&json!({"sub": "ann"}));
    for end in 0..good.len() {
        assert!(tokens().connection(&good[..end], NOW).is_err(), "{end}");
    }
    for text in [
        "",
        ".",
        "..",
        "...",
        "a.b",
        &format!("{good}.x"),
        &format!("x.{good}"),
        &good.replace('.', ","),
        &format!("{good}="),
        &format!(" {good}"),
        &format!("{good}\n"),
        "🦀.🦀.🦀",
    ] {
        let error = tokens().connection(text, NOW).expect_err(text);
        assert_eq!(error.outcome(), TokenOutcome::Invalid, "{text}: {error}");
    }
    let huge = "a".repeat(LARGEST_TOKEN_BYTES + 1);
    assert_eq!(tokens().connection(&huge, NOW), Err(TokenError::Malformed));
}

#[test]
fn a_header_that_demands_an_extension_is_refused() {
    let signer = Signer::Secret(SECRET);
    let header = r#"{"alg":"HS256","crit":["b64"],"b64":false}"#;
    assert_eq!(tokens().connection(&signer.signed(Algorithm::HS256, header, "{}"), NOW), Err(TokenError::Header));
    let without = r#"{"alg":"HS256"}"#;
    assert!(tokens().connection(&signer.signed(Algorithm::HS256, without, "{}"), NOW).is_ok());
    for header in [r#"{"alg":["HS256"]}"#, "[]", r#"{"typ":"JWT"}"#, r#"{"alg":"HS256","alg":"HS256"}"#, "null"] {
        let token = signer.signed(Algorithm::HS256, header, "{}");
        assert_eq!(tokens().connection(&token, NOW), Err(TokenError::Header), "{header}");
    }
}

#[test]
fn keys_that_protect_nothing_or_are_private_are_refused_without_being_shown() {
    let error = Key::secret(&Secret::new("short")).expect_err("short");
    assert!(matches!(error, KeyError::Short { length: 5 }) && !error.to_string().contains("short'"), "{error}");
    let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIOC6\n-----END PRIVATE KEY-----\n";
    let error = Key::pem(private.as_bytes(), "key.pem").expect_err("private").to_string();
    assert!(error.contains("key.pem has a private key") && !error.contains("MC4C"), "{error}");
    for pem in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(matches!(Key::pem(pem.as_bytes(), "key.pem"), Err(KeyError::Missing { .. })), "{pem}");
    }
    let unknown = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    assert!(matches!(Key::pem(unknown.as_bytes(), "key.pem"), Err(KeyError::Unknown(_))));
    let shown = format!("{:?}", tokens());
    assert!(shown.contains("HMAC") && !shown.contains(SECRET), "{shown}");
}

#[test]
fn a_key_file_is_read_and_one_that_is_missing_or_large_is_refused_by_name() {
    let folder = std::env::temp_dir().join(format!("gannet-keys-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let (_, signer) = signers().iter().find(|(algorithm, _)| *algorithm == Algorithm::ES256).expect("one");
    let path = folder.join("public.pem");
    std::fs::write(&path, signer.pem()).expect("written");
    assert!(Key::file(&path).expect("a key").is_for(Algorithm::ES256));
    std::fs::write(&path, vec![b'-'; 65 << 10]).expect("written");
    assert!(matches!(Key::file(&path), Err(KeyError::Large { .. })));
    // A device has no length that could be looked at before.
    assert!(matches!(Key::file(std::path::Path::new("/dev/zero")), Err(KeyError::Large { .. })));
    let error = Key::file(&folder.join("none.pem")).expect_err("none").to_string();
    assert!(error.contains("none.pem cannot be read"), "{error}");
    std::fs::remove_dir_all(&folder).expect("removed");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_token_with_any_byte_changed_does_not_count(place in any::<prop::sample::Index>(), to in "[ -~]") {
        let good = hs256(&json!({"sub": "ann", "info": {"name": "Ann"}}));
        let place = place.index(good.len());
        let mut changed = good.clone();
        changed.replace_range(place..=place, &to);
        prop_assume!(changed != good);
        let verified = tokens().connection(&changed, NOW);
        prop_assert!(verified.is_err(), "{changed}");
    }

    #[test]
    fn no_text_makes_the_verifier_panic(text in "\\PC{0,200}") {
        let _ = tokens().connection(&text, NOW);
        let _ = tokens().subscription(&text, NOW);
    }
}
