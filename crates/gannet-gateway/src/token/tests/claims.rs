//! What tokens say, and when that counts.

use bytes::Bytes;
use gannet_channels::Time;
use serde_json::json;

use super::{NOW, NOW_SECONDS, SECRET, Signer, hs256, tokens};
use crate::secret::Secret;
use crate::token::{Algorithm, Issue, ServerSubscription, TokenError, TokenOutcome};

#[test]
fn a_token_counts_until_its_end_and_not_before_its_beginning() {
    let token = hs256(&json!({"sub": "ann", "nbf": NOW_SECONDS, "exp": NOW_SECONDS + 60}));
    let verified = |milliseconds: i64| tokens().connection(&token, Time(NOW.0.saturating_add_signed(milliseconds)));
    assert!(verified(0).is_ok() && verified(59_999).is_ok());
    assert_eq!(verified(60_000), Err(TokenError::Expired));
    assert_eq!(verified(-1), Err(TokenError::NotYetValid));
    assert_eq!(TokenError::Expired.outcome(), TokenOutcome::Expired);
    assert_eq!(TokenError::NotYetValid.outcome(), TokenOutcome::Expired);
}

#[test]
fn times_may_be_fractions_and_are_never_wrapped() {
    let end = |exp: serde_json::Value| tokens().connection(&hs256(&json!({"exp": exp})), NOW);
    assert_eq!(end(json!(NOW_SECONDS as f64 + 0.5)).expect("valid").expire_at, Some(NOW_SECONDS + 1));
    assert_eq!(end(json!(1e300)).expect("valid").expire_at, Some(u64::MAX));
    assert_eq!(end(json!(u64::MAX)).expect("valid").expire_at, Some(u64::MAX));
    for past in [json!(-5), json!(0), json!(-1e300), json!(1.5)] {
        assert_eq!(end(past.clone()), Err(TokenError::Expired), "{past}");
    }
}

#[test]
fn a_connection_ends_by_expire_at_and_otherwise_with_its_token() {
    let exp = NOW_SECONDS + 60;
    for (claims, expected) in [
        (json!({}), None),
        (json!({"exp": exp}), Some(exp)),
        (json!({"exp": exp, "expire_at": exp + 5}), Some(exp + 5)),
        (json!({"exp": exp, "expire_at": 0}), None),
        (json!({"expire_at": exp}), Some(exp)),
        (json!({"exp": exp, "expire_at": null}), Some(exp)),
    ] {
        assert_eq!(tokens().connection(&hs256(&claims), NOW).expect("valid").expire_at, expected, "{claims}");
        let mut claims = claims;
        claims["channel"] = "news".into();
        assert_eq!(tokens().subscription(&hs256(&claims), NOW).expect("valid").expire_at, expected, "{claims}");
    }
}

#[test]
fn every_claim_of_a_connection_is_read() {
    let claims = json!({
        "sub": "ann", "jti": "t1", "iat": NOW_SECONDS, "info": {"name": "Ann"}, "meta": {"shard": 7}, "unknown": [1],
        "channels": ["ignored"],
        "subs": {
            "news": {},
            "chat": {"info": {"a": 1}, "data": [2], "override": {"presence": {"value": true}, "join_leave": {"value": false},
                "force_recovery": {"value": true}, "force_positioning": {}, "force_push_join_leave": {"value": true}}},
            "bin": {"b64info": "AQI=", "b64data": "AwQ="},
        },
    });
    let read = tokens().connection(&hs256(&claims), NOW).expect("valid");
    assert_eq!((&*read.user, read.id.as_deref()), ("ann", Some("t1")));
    assert_eq!(read.info.as_deref(), Some(&br#"{"name":"Ann"}"#[..]));
    assert_eq!(read.meta.as_deref(), Some(&br#"{"shard":7}"#[..]));
    let of = |channel: &str| read.subs.iter().find(|sub| sub.channel == channel).expect(channel);
    assert_eq!(read.subs.len(), 3);
    assert_eq!(*of("news"), ServerSubscription { channel: "news".to_owned(), ..ServerSubscription::default() });
    let chat = of("chat");
    assert_eq!((chat.info.as_deref(), chat.data.as_deref()), (Some(&br#"{"a":1}"#[..]), Some(&b"[2]"[..])));
    assert_eq!((chat.overrides.presence, chat.overrides.join_leave), (Some(true), Some(false)));
    assert_eq!((chat.overrides.force_recovery, chat.overrides.force_positioning), (Some(true), Some(false)));
    assert_eq!(of("news").overrides.presence, None);
    assert_eq!((of("bin").info.as_deref(), of("bin").data.as_deref()), (Some(&[1, 2][..]), Some(&[3, 4][..])));
}

#[test]
fn channels_count_where_there_are_no_subs_and_base64_wins_over_json() {
    let read = tokens().connection(&hs256(&json!({"channels": ["a", "b"], "info": 1, "b64info": "AQ=="})), NOW);
    let read = read.expect("valid");
    assert_eq!(read.subs.iter().map(|sub| &*sub.channel).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(read.info, Some(Bytes::from_static(&[1])));
    assert_eq!(tokens().connection(&hs256(&json!({"info": null})), NOW).expect("valid").info, None);
    assert_eq!(tokens().connection(&hs256(&json!({})), NOW).expect("valid").user, "");
}

#[test]
fn a_subscription_token_is_no_connection_token_and_the_reverse() {
    let subscription = hs256(&json!({"sub": "ann", "channel": "news"}));
    let connection = hs256(&json!({"sub": "ann"}));
    assert_eq!(tokens().connection(&subscription, NOW), Err(TokenError::Kind));
    for claims in [json!({"sub": "ann"}), json!({"sub": "ann", "channel": ""}), json!({"channel": null})] {
        assert_eq!(tokens().subscription(&hs256(&claims), NOW), Err(TokenError::Kind), "{claims}");
    }
    // Also where it is of a wrong kind.
    assert_eq!(tokens().connection(&hs256(&json!({"channel": 5})), NOW), Err(TokenError::Kind));
    assert!(tokens().connection(&connection, NOW).is_ok());
    let read = tokens().subscription(&subscription, NOW).expect("valid");
    assert_eq!((&*read.user, &*read.channel), ("ann", "news"));
    assert_eq!(TokenError::Kind.outcome(), TokenOutcome::Invalid);
}

#[test]
fn a_claim_of_another_kind_makes_the_token_invalid() {
    for claims in [
        json!({"sub": 42}),
        json!({"sub": ["ann"]}),
        json!({"exp": "tomorrow"}),
        json!({"nbf": true}),
        json!({"iat": {}}),
        json!({"jti": 1}),
        json!({"aud": 1}),
        json!({"aud": [1]}),
        json!({"iss": []}),
        json!({"channels": "news"}),
        json!({"channels": [1]}),
        json!({"subs": ["news"]}),
        json!({"subs": {"news": 1}}),
        json!({"subs": {"news": {"override": {"presence": true}}}}),
        json!({"subs": {"news": {"b64info": "?"}}}),
        json!({"b64info": "not base64"}),
        json!({"b64info": 1}),
        json!({"expire_at": "never"}),
    ] {
        assert_eq!(tokens().connection(&hs256(&claims), NOW), Err(TokenError::Claims), "{claims}");
    }
    let signer = Signer::Secret(SECRET);
    for text in ["[]", "1", "null", "", "{", r#"{"sub":"a","sub":"b"}"#, r#"{"subs":{"a":{},"a":{}}}"#, "\u{feff}{}"] {
        let token = signer.signed(Algorithm::HS256, r#"{"alg":"HS256"}"#, text);
        assert_eq!(tokens().connection(&token, NOW), Err(TokenError::Claims), "{text}");
    }
    for claims in [json!({"channel": 1}), json!({"channel": "a", "sub": 1}), json!({"channel": "a", "override": 1})] {
        assert_eq!(tokens().subscription(&hs256(&claims), NOW), Err(TokenError::Claims), "{claims}");
    }
}

#[test]
fn a_token_for_another_audience_or_of_another_issuer_is_invalid() {
    let verifier = tokens().audiences(vec!["push".to_owned(), "chat".to_owned()]).issuers(vec!["id".to_owned()]);
    for (claims, expected) in [
        (json!({"aud": "push", "iss": "id"}), None),
        (json!({"aud": ["x", "chat"], "iss": "id"}), None),
        (json!({"aud": "pushy", "iss": "id"}), Some(TokenError::Audience)),
        (json!({"aud": [], "iss": "id"}), Some(TokenError::Audience)),
        (json!({"iss": "id"}), Some(TokenError::Audience)),
        (json!({"aud": "push"}), Some(TokenError::Issuer)),
        (json!({"aud": "push", "iss": "other"}), Some(TokenError::Issuer)),
        // That it is for others is said before that it has expired.
        (json!({"aud": "other", "iss": "id", "exp": 1}), Some(TokenError::Audience)),
    ] {
        assert_eq!(verifier.connection(&hs256(&claims), NOW).err(), expected, "{claims}");
    }
    assert!(tokens().connection(&hs256(&json!({"aud": "anything", "iss": "anybody"})), NOW).is_ok());
}

#[test]
fn a_token_of_the_command_line_says_what_was_asked_for() {
    let info = serde_json::value::RawValue::from_string(r#"{"name":"Ann"}"#.to_owned()).expect("JSON");
    let issue = Issue {
        sub: "ann".to_owned(),
        channel: Some("news".to_owned()),
        exp: Some(NOW_SECONDS + 60),
        info: Some(info),
        ..Issue::default()
    };
    let token = issue.sign(&Secret::new(SECRET)).expect("a token");
    let read = tokens().subscription(&token, NOW).expect("valid");
    assert_eq!((&*read.user, &*read.channel, read.expire_at), ("ann", "news", Some(NOW_SECONDS + 60)));
    assert_eq!(read.info.as_deref(), Some(&br#"{"name":"Ann"}"#[..]));
    assert!(issue.sign(&Secret::new("short")).is_err());
}
