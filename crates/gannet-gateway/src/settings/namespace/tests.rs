//! Namespaces as operators write them, and what is wrong with them.

use super::*;

fn options(text: &str) -> Options {
    parse(text).unwrap_or_else(|error| panic!("{text}: {error}")).options
}

fn refusal(text: &str) -> String {
    parse(text).map(|_| ()).expect_err(text).to_string()
}

#[test]
fn a_namespace_is_read_with_flags_numbers_times_and_names() {
    let text = "chat:presence,join_leave,history_size=100,history_ttl=5m,force_recovery,\
        force_recovery_mode=cache,slow=latest_only,coalesce=20ms,allow_subscribe_for_client,history_meta_ttl=30d";
    let namespace = parse(text).expect("a namespace");
    assert_eq!(namespace.name, "chat");
    let options = namespace.options;
    assert!(options.presence && options.join_leave && options.force_recovery && options.allow_subscribe_for_client);
    assert!(!options.allow_publish_for_client && !options.redis);
    assert_eq!((options.history_size, options.history_ttl), (100, Duration::from_secs(300)));
    assert_eq!(options.history_meta_ttl, Duration::from_secs(30 * 86_400));
    assert_eq!((options.recovery_mode, options.slow), (RecoveryMode::Cache, SlowPolicy::LatestOnly));
    assert_eq!(options.coalesce, Some(Duration::from_millis(20)));
}

#[test]
fn an_empty_name_is_for_channels_without_a_namespace() {
    let namespace = parse(":allow_subscribe_for_client").expect("a namespace");
    assert!(namespace.name.is_empty() && namespace.options.allow_subscribe_for_client);
    assert!(parse(":").is_ok() && parse("news:").is_ok());
}

#[test]
fn every_option_can_be_written_and_is_in_the_help() {
    let all = "x1:presence,join_leave,force_push_join_leave,history_size=1,history_ttl=1s,history_meta_ttl=1s,\
        force_positioning,allow_positioning,force_recovery,allow_recovery,force_recovery_mode=stream,slow=drop,\
        coalesce=1ms,allow_subscribe_for_client,allow_subscribe_for_anonymous,allow_publish_for_client,\
        allow_publish_for_subscriber,allow_publish_for_anonymous,allow_history_for_client,\
        allow_history_for_subscriber,allow_history_for_anonymous,allow_presence_for_client,\
        allow_presence_for_subscriber,allow_presence_for_anonymous,allow_user_limited_channels,\
        subscribe_proxy_enabled,publish_proxy_enabled,sub_refresh_proxy_enabled,redis,channel_regex=^[a-z]{1,3}$";
    let options = options(all);
    assert_eq!(all.split(',').filter(|word| !word.contains('}')).count(), WORDS.len());
    assert!(options.redis && options.sub_refresh_proxy && options.channel_pattern.is_some());
    let help = help();
    assert!(WORDS.iter().all(|word| help.contains(word.name)), "{help}");
    assert!(help.contains("slow=close|drop|latest_only"), "{help}");
}

#[test]
fn a_pattern_of_names_may_have_commas() {
    let pattern = options("x1:presence,channel_regex=^[a-z]{2,3}$").channel_pattern.expect("a pattern");
    assert!(pattern.is_match("abc") && !pattern.is_match("abcd"));
    assert!(refusal("x1:channel_regex=[").contains("not a regular expression"));
}

#[test]
fn an_unknown_word_is_named_with_the_words_there_are() {
    let error = refusal("chat:presense,history_size=1");
    assert!(error.contains("namespace 'chat'") && error.contains("'presense'"), "{error}");
    assert!(error.contains("did you mean presence?"), "{error}");
    assert!(error.contains("history_size=N") && error.contains("slow=close|drop|latest_only"), "{error}");
    assert!(!refusal("chat:colour").contains("did you mean"));
    assert!(refusal("chat:presence,,join_leave").contains("no option ''"));
}

#[test]
fn names_that_clients_could_not_use_are_refused() {
    for name in ["a", "a b", "ä1", "a.b", "a:b", "#x", "$xy"] {
        let error = refusal(&format!("{name}:presence"));
        assert!(error.contains("not the name") || error.contains("no option"), "{name}: {error}");
    }
    for name in ["ab", "A_b-1", "00", "--"] {
        assert!(parse(&format!("{name}:")).is_ok(), "{name}");
    }
    assert!(refusal("presence").contains("with a colon"));
}

#[test]
fn values_that_are_none_are_refused_with_an_example() {
    for (text, why) in [
        ("ab:history_size", "needs a value, as =100"),
        ("ab:history_size=", "a number from 1"),
        ("ab:history_size=0", "a number from 1"),
        ("ab:history_size=-1", "a number from 1"),
        ("ab:history_size=99999999999999999999", "a number from 1"),
        ("ab:history_ttl=5", "a time as 500ms"),
        ("ab:history_ttl=m", "a time as 500ms"),
        ("ab:history_ttl=0s", "longer than no time"),
        ("ab:history_ttl=99999d", "at most"),
        ("ab:presence=yes", "cannot be 'yes'"),
        ("ab:slow=wait", "close or drop or latest_only, not 'wait'"),
        ("ab:force_recovery_mode", "needs a value, as =stream"),
        ("ab:presence,presence", "presence is given twice"),
    ] {
        let error = refusal(text);
        assert!(error.contains(why) && error.contains("'ab'"), "{text}: {error}");
    }
    assert!(!options("ab:presence=false").presence);
}

#[test]
fn options_that_cannot_work_together_are_refused_with_what_is_missing() {
    for (text, why) in [
        ("ab:history_size=10", "needs history_ttl"),
        ("ab:history_ttl=1m", "needs history_size"),
        ("ab:force_recovery", "needs a history"),
        ("ab:allow_recovery,history_size=10", "needs history_ttl"),
        ("ab:force_positioning", "needs a history"),
        ("ab:allow_positioning", "needs a history"),
        ("ab:history_size=1,history_ttl=1m,force_recovery_mode=cache", "needs force_recovery or"),
        ("ab:history_size=1,history_ttl=1h,history_meta_ttl=1m", "at least history_ttl"),
        ("ab:force_push_join_leave", "needs join_leave"),
        ("ab:allow_history_for_client", "needs a history"),
        ("ab:allow_presence_for_subscriber", "needs presence"),
        ("ab:allow_subscribe_for_anonymous", "add that"),
        ("ab:allow_publish_for_anonymous", "add one of them"),
    ] {
        let error = refusal(text);
        assert!(error.contains(why), "{text}: {error}");
    }
}
