//! Configurations as they are written: what is wrong with them, word by word, and what they come to.

mod invalid;

use std::io;
use std::time::Duration;

use gannet::{Limits, Timeouts};
use gannet_config::{Class, Kind, Loader, SecretSource, Setting, Split, Value};
use gannet_redis::LARGEST_COMMAND_BYTES;
use proptest::prelude::*;

use super::*;

/// A loader whose secrets come from nowhere: every file and variable has one, but those named `none`.
fn loader() -> Loader {
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    Loader::new(&SCHEMA).secrets(
        move |path| match path.file_name().and_then(|name| name.to_str()) {
            Some("none") => Err(missing()),
            Some("empty") => Ok("\n".to_owned()),
            Some("url") => Ok("http://127.0.0.1:3000/hook?key=hunter2\n".to_owned()),
            _ => Ok("a secret that is long enough\n".to_owned()),
        },
        |name| match name {
            "NONE" => None,
            name if name.contains("URL") => Some("http://ann:hunter2@h.example/".to_owned()),
            _ => Some("another secret that is long".to_owned()),
        },
    )
}

fn read(text: &str) -> Result<Configuration, Problems> {
    let mut loader = loader();
    loader.file("gannet.toml", text);
    Configuration::of(loader)
}

fn fine(text: &str) -> Configuration {
    read(text).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

fn in_environment(variables: &[(&str, &str)]) -> Result<Configuration, Problems> {
    let mut loader = loader();
    loader.environment(variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    Configuration::of(loader)
}

/// What the command line `gannet serve ARGUMENTS` gives.
fn flags(arguments: &[&str]) -> Flags {
    use clap::{Args as _, Command, FromArgMatches as _};
    let command = Flags::augment_args(Command::new("serve"));
    let matches = command.try_get_matches_from([&["serve"], arguments].concat());
    Flags::from_arg_matches(&matches.unwrap_or_else(|error| panic!("{error}"))).expect("flags")
}

/// Such as a log that was given as a configuration.
#[test]
fn a_file_with_an_error_in_every_line_is_not_read_to_its_end() {
    let text: String = (0..3_000).map(|number| format!("key{number} = 1\n")).collect();
    let problems = read(&text).expect_err("there are no such keys");
    assert_eq!(problems.len(), 1_001);
    assert!(problems.to_string().ends_with("there are more errors than these 1000; is it another file?"));
}

#[test]
fn listeners_at_one_address_are_told_apart_by_numbers_that_nobody_has_taken() {
    let listener = |name: &str| format!("[[listener]]\n{name}service = \"echo\"\nurl = \"tcp://h:0\"\n");
    let taken = listener("name = \"tcp://h:0#3\"\n");
    let text = [listener(""), taken, listener(""), listener("")].concat();
    let names: Vec<String> = fine(&text).listeners.into_iter().map(|listener| listener.name).collect();
    assert_eq!(names, ["tcp://h:0", "tcp://h:0#3", "tcp://h:0#2", "tcp://h:0#4"]);
}

fn by_flags(arguments: &[&str]) -> Result<Configuration, Problems> {
    let mut loader = loader();
    flags(arguments).apply(&mut loader);
    Configuration::of(loader)
}

#[test]
fn without_settings_there_are_the_engines_own_limits_and_the_default_listeners() {
    let configuration = fine("");
    let (limits, expected) = (&configuration.limits, Limits::default());
    assert_eq!((limits.outbox_high, limits.outbox_hard), (expected.outbox_high, expected.outbox_hard));
    assert_eq!((limits.carry, limits.carries), (LARGEST_COMMAND_BYTES, expected.carries));
    assert_eq!((limits.mailbox, limits.blocking_threads), (expected.mailbox, expected.blocking_threads));
    assert_eq!((limits.operational_reserve, limits.overflow), (expected.operational_reserve, expected.overflow));
    assert_eq!(configuration.timeouts, Timeouts::default());
    assert_eq!(configuration.keepalive, Some(Duration::from_secs(300)));
    assert_eq!(configuration.engine.balance, gannet::Balance::default());
    assert!(configuration.listeners.len() >= 4);
    let push = configuration.push.as_ref().expect("a default listener");
    let default = gannet_gateway::settings::ClientSettings::default();
    assert_eq!((push.client.ping, push.client.pong), (default.ping, default.pong));
    assert_eq!((push.client.commands, push.client.publications), (default.commands, default.publications));
    assert_eq!((push.client.stale, push.client.refresh_grace), (default.stale, default.refresh_grace));
    assert_eq!(push.client.frame, default.frame);
    assert_eq!(push.channels.namespaces[0].name, "demo");
}

#[test]
fn later_layers_count_more() {
    let mut loader = loader();
    loader.file("f.toml", "[limits]\nframe = \"1KiB\"\naccepts = 5\nconnections = 1\n[engine]\npin = true\n");
    let variables = [("GANNET_MAX_FRAME", "2KiB"), ("GANNET_LIMITS_ACCEPTS", "6/s"), ("OTHER", "x")];
    loader.environment(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
    flags(&["--max-frame", "3KiB"]).apply(&mut loader);
    let configuration = Configuration::of(loader).expect("fine");
    let root = configuration.values().root();
    assert_eq!(root.read::<usize>("limits.frame"), 3 << 10);
    assert_eq!((configuration.limits.accepts_per_second, configuration.limits.connections), (6, 1));
    assert!(configuration.engine.pin);
    let origin = |key: &str| root.place(key).map(ToString::to_string);
    assert_eq!(origin("limits.frame").as_deref(), Some("--max-frame"));
    assert_eq!(origin("limits.accepts").as_deref(), Some("GANNET_LIMITS_ACCEPTS"));
    assert_eq!(origin("limits.connections").as_deref(), Some("f.toml:4"));
    assert_eq!(origin("limits.overflow"), None);
}

#[test]
fn listeners_of_the_command_line_replace_those_of_the_file() {
    let text = "[[listener]]\nname = \"a\"\nservice = \"echo\"\nurl = \"tcp://127.0.0.1:1\"\n";
    let mut loader = loader();
    loader.file("f.toml", text);
    flags(&["--listen=lines=tcp://127.0.0.1:0,max-connections=5", "--listen=lines=tcp://127.0.0.1:0"])
        .apply(&mut loader);
    let configuration = Configuration::of(loader).expect("fine");
    let names: Vec<&str> = configuration.listeners.iter().map(|listener| &*listener.name).collect();
    assert_eq!(names, ["tcp://127.0.0.1:0", "tcp://127.0.0.1:0#2"]);
    assert_eq!(configuration.values().of("listener", names[0]).read::<u32>("limits.connections"), 5);
    assert_eq!(fine(text).listeners.len(), 1);
}

#[test]
fn a_listener_has_limits_deadlines_and_tls_of_its_own() {
    let configuration = fine(
        "limits.frame = \"1MiB\"\n[[listener]]\nservice = \"lines\"\nurl = \"tls://127.0.0.1:0\"\ntls = \"main\"\nlimits.frame = \"2MiB\"\n\
         timeouts.idle = \"5s\"\ntimeouts.handshake = \"1s\"\n[tls.main]\nself_signed = true\n[tls.unused]\nself_signed = true\n",
    );
    let [listener] = &configuration.listeners[..] else { panic!("{:?}", configuration.listeners) };
    assert_eq!((listener.frame(), listener.tls(), &*listener.name), (2 << 20, Some("main"), "tls://127.0.0.1:0"));
    assert!(configuration.limits.outbox_hard > (2 << 20) + configuration.limits.outbox_high);
    assert_eq!(configuration.tls.keys().collect::<Vec<_>>(), ["main"]);
    assert!(format!("{listener:?}").contains("idle: Some(5s)") && format!("{listener:?}").contains("handshake: 1s"));
}

#[test]
fn who_may_connect_comes_from_the_file_and_from_flags() {
    let file = "[access]\nallow = [\"10.0.0.0/8\", \"::1\"]\ndeny = [\"10.1.0.0/16\"]\nconnections_per_prefix = 3\n\
                connections_per_network = 5\nconnection_rate = \"10/s\"\n";
    let arguments = ["--allow", "10.0.0.0/8", "--allow=::1", "--deny=10.1.0.0/16", "--max-connections-per-prefix=3"];
    let more = ["--max-connections-per-network=5", "--max-connection-rate-per-peer=10/s"];
    let by_flags = by_flags(&[&arguments[..], &more].concat()).expect("fine");
    let rules = &fine(file).access;
    assert_eq!(*rules, by_flags.access);
    assert_eq!((rules.allow.len(), rules.deny.len(), rules.connections_per_prefix), (2, 1, 3));
    assert_eq!((rules.connections_per_network, rules.connection_rate), (5, 10.0));
    assert_eq!(fine("").access, gannet::AccessRules::default());
    for (text, why) in [
        ("access.deny = [\"10.1.2.3/8\"]", "write 10.0.0.0/8 for the network, or 10.1.2.3 for the address"),
        ("access.allow = [\"here\"]", "\"here\" is not a network"),
        ("access.allow = [\"::1\"]\naccess.deny = [\"::1\"]", "gannet.toml:2:15: ::1/128 is both allowed and denied"),
    ] {
        let problems = read(text).expect_err(text).to_string();
        assert!(problems.contains(why), "{problems}");
    }
}

#[test]
fn a_listener_behind_load_balancers_is_not_only_for_this_machine() {
    let file = |url: &str, proxy: &str| {
        format!(
            "[[listener]]\nservice = \"push\"\nurl = \"{url}\"\n{proxy}\n[push]\ntoken_secrets = [{{ env = \"X\" }}]\n"
        )
    };
    let (tcp, unix) = ("tcp://127.0.0.1:0", "unix:///run/gannet/some.sock");
    for (url, proxy, is_proxied) in [
        (tcp, "", false),
        (tcp, "proxy = [\"10.0.0.0/24\", \"2001:db8::/32\"]", true),
        (unix, "", false),
        (unix, "proxy = [\"unix\"]", true),
    ] {
        let configuration = fine(&file(url, proxy));
        let [listener] = &configuration.listeners[..] else { panic!("{:?}", configuration.listeners) };
        assert_eq!((listener.is_proxied(), listener.is_local()), (is_proxied, !is_proxied), "{url} {proxy}");
    }
    let by_flags = by_flags(&["--listen", "echo=tcp://127.0.0.1:0,proxy=10.0.0.0/24+::1"]).expect("fine");
    assert!(by_flags.listeners[0].is_proxied());
    for (url, proxy, why) in [
        (tcp, "proxy = [\"unix\"]", "is not a network"),
        (tcp, "proxy = []", "the networks of the load balancers are missing"),
        (unix, "proxy = [\"10.0.0.0/24\"]", "write unix, and no networks"),
        ("udp://127.0.0.1:0", "proxy = [\"10.0.0.0/24\"]", "push is served on"),
    ] {
        let problems = read(&file(url, proxy)).expect_err(proxy).to_string();
        assert!(problems.contains(why), "{problems}");
    }
}

#[test]
fn only_where_redis_listens_may_a_connection_hold_its_largest_command() {
    let echo = by_flags(&["--listen=echo=tcp://127.0.0.1:0"]).expect("fine");
    assert_eq!(echo.limits.carry, Limits::default().carry);
    assert_eq!((echo.limits.groups_per_connection, echo.limits.groups), (65_536, 1_048_576));
    let frame = by_flags(&["--max-frame=64MiB", "--listen=echo=tcp://127.0.0.1:0"]).expect("fine");
    assert!(frame.limits.carry > 64 << 20 && frame.limits.outbox_hard > frame.limits.outbox_high + (64 << 20));
}

#[test]
fn options_of_the_gateway_come_to_settings() {
    let configuration = by_flags(&[
        "--listen=push=tcp://0.0.0.0:0",
        "--push-api-key=key one",
        "--push-api-key=two",
        "--push-api=own",
        "--push-token-secret=first secret\nsecond secret",
        "--push-token-audience=push",
        "--push-token-issuer=id",
        "--push-namespace=:presence chat:history_size=10,history_ttl=1m,publish_proxy_enabled,channel_regex=^a{1,2}$",
        "--push-namespace=news:redis",
        "--push-origin=https://a.example https://b.example",
        "--push-anonymous",
        "--push-personal-channels",
        "--push-proxy=connect=http://app.example/connect publish=http://app.example/publish?key=1",
        "--push-proxy-header=Cookie",
        "--push-proxy-timeout=500ms",
        "--push-proxy-requests=7",
        "--push-ping=10s",
        "--push-pong=3s",
        "--push-max-message=1MiB",
        "--push-max-history=2GiB",
        "--push-max-user-connections=5",
        "--push-admin-password=correct horse",
    ]);
    let configuration = configuration.unwrap_or_else(|problems| panic!("{problems}"));
    let settings = configuration.push.as_ref().expect("it listens");
    assert!(settings.api.allows(Some(b"key one"), None) && settings.api.allows(Some(b"two"), None));
    assert!(settings.api.own_listener);
    assert_eq!((settings.tokens.secrets.len(), settings.tokens.audiences.len()), (2, 1));
    let names: Vec<_> = settings.channels.namespaces.iter().map(|namespace| &*namespace.name).collect();
    assert_eq!(names, ["", "chat", "news"]);
    assert!(settings.channels.namespaces[1].options.channel_pattern.is_some());
    assert!(settings.origins.allows(Some(b"https://b.example")));
    assert!(settings.client.anonymous && settings.client.personal_channel && !settings.client.insecure);
    let publish = settings.application.endpoint(gannet_gateway::settings::EventKind::Publish).expect("a URL");
    assert_eq!(publish.to_string(), "http://app.example/publish");
    assert_eq!((settings.application.timeout, settings.application.concurrent), (Duration::from_millis(500), 7));
    assert_eq!((settings.client.ping, settings.client.pong), (Duration::from_secs(10), Duration::from_secs(3)));
    assert_eq!((settings.channels.limits.publication, settings.client.frame), (1 << 20, 2 << 20));
    assert_eq!(settings.channels.limits.history_bytes, 2 << 30);
    assert_eq!(settings.channels.limits.connections_per_user, Some(5));
    assert!(settings.admin.password.as_ref().is_some_and(|password| password.is(b"correct horse")));
    let shown = format!("{configuration:?} {}", configuration.values().to_toml());
    for secret in ["key one", "first secret", "correct horse", "key=1"] {
        assert!(!shown.contains(secret), "{secret}");
    }
}

#[test]
fn what_decides_who_may_do_what_ends_the_demo() {
    for flag in [
        "--push-namespace=chat:presence",
        "--push-token-secret=a long secret",
        "--push-origin=https://example.com",
        "--push-proxy=connect=http://127.0.0.1:3000/",
        "--push-jwks=http://127.0.0.1:3000/",
    ] {
        let configuration = by_flags(&[flag]).unwrap_or_else(|problems| panic!("{flag}: {problems}"));
        let settings = configuration.push.expect("a default listener");
        assert!(settings.channels.namespaces.iter().all(|namespace| namespace.name != "demo"), "{flag}");
        assert!(!settings.client.anonymous && !settings.origins.allows(Some(b"http://localhost")), "{flag}");
    }
    // A key of the API restricts, and opens nothing.
    assert!(by_flags(&["--push-api-key=k"]).expect("fine").push.expect("it listens").client.anonymous);
    let elsewhere = by_flags(&["--listen=push=tcp://0.0.0.0:0"]).expect("fine").push.expect("it listens");
    assert!(elsewhere.channels.namespaces.is_empty() && !elsewhere.client.anonymous);
}

#[test]
fn secrets_come_from_files_and_variables_and_are_never_shown() {
    let configuration = fine(
        "redis.password = { file = \"secrets/redis\" }\n[push]\ntoken_secrets = [{ env = \"TOKENS\" }, { file = \"/run/old\" }]\n\
         jwks = { file = \"url\" }\nproxy.connect = { env = \"HOOK_URL\" }\n",
    );
    assert_eq!(configuration.redis.password.as_deref(), Some("a secret that is long enough"));
    let push = configuration.push.as_ref().expect("a default listener");
    assert_eq!(push.tokens.secrets.len(), 2);
    assert_eq!(push.tokens.jwks.as_ref().expect("a URL").url.to_string(), "http://127.0.0.1:3000/hook");
    let effective = configuration.values().to_toml();
    let shown = format!("{configuration:?}{effective}{:?}", fine("").diff(&configuration));
    for secret in ["hunter2", "long enough", "that is long"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
    assert!(effective.contains("{ env = \"HOOK_URL\" }") && effective.contains("secrets/redis\" }"), "{effective}");
    let variable = in_environment(&[("GANNET_REDIS_PASSWORD", "hunter2")]).expect("fine").values().to_toml();
    assert!(variable.contains("password = { env = \"GANNET_REDIS_PASSWORD\" }"), "{variable}");
    let flag = by_flags(&["--redis-password=hunter2"]).expect("fine").values().to_toml();
    assert!(!flag.contains("hunter2") && flag.contains("# --redis-password, not shown"), "{flag}");
}

#[test]
fn a_change_is_listed_by_value_and_with_its_class() {
    let before = fine("[limits]\nframe = \"64KiB\"\n[redis]\npassword = { file = \"a\" }\n");
    let same = fine("redis.password = { file = \"b\" }\nlimits.frame = 65536 # another way\n");
    assert_eq!(before.diff(&same), []);
    assert_eq!(before.digest(), same.digest());
    let after = fine(
        "engine.pin = true\n[redis]\npassword = { env = \"B\" }\n[push.namespace.chat]\npresence = true\n\
         [[listener]]\nname = \"a\"\nservice = \"http\"\nurl = \"tcp://127.0.0.1:0\"\n",
    );
    assert_ne!(before.digest(), after.digest());
    let changes = before.diff(&after);
    let change =
        |key: &str| changes.iter().find(|change| change.key == key).unwrap_or_else(|| panic!("{key}: {changes:#?}"));
    let frame = change("limits.frame");
    assert_eq!((frame.old.as_deref(), frame.new.as_deref()), (Some("\"64KiB\""), Some("\"1MiB\"")));
    assert_eq!((change("redis.password").class, change("engine.pin").class), (Class::Live, Class::Restart));
    assert_eq!(change("redis.password").new.as_deref(), Some("(secret)"));
    assert!(change("push.namespace.chat").is_member && change("listener.a").is_member);
    assert_eq!(change("listener.a").member.as_deref(), Some("a"));
    let removed = change("listener.\"tcp://127.0.0.1:8080\"");
    assert!(removed.is_member && removed.new.is_none());
}

#[test]
fn the_examples_and_the_defaults_are_fine() {
    for (name, text) in [
        ("small", include_str!("../../../../deploy/examples/small.toml")),
        ("large", include_str!("../../../../deploy/examples/large.toml")),
    ] {
        let configuration = read(text).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        assert!(configuration.listeners.len() >= 2 && configuration.push.is_some(), "{name}");
        again(&configuration);
        // What a comment says of a restart is what the table says.
        for line in text.lines().filter(|line| line.contains("(restart)") && line.contains(" = ")) {
            let key = line.split(' ').next().expect("a key");
            let setting = SCHEMA.settings.iter().find(|setting| setting.key.ends_with(&format!(".{key}")));
            assert_eq!(setting.map(|setting| setting.class), Some(Class::Restart), "{name}: {key}");
        }
    }
    let configuration = fine(&SCHEMA.defaults());
    assert_eq!((configuration.diff(&fine("")), configuration.digest()), (Vec::new(), fine("").digest()));
}

/// What is in effect is read from what is written of it.
fn again(configuration: &Configuration) {
    let text = configuration.values().to_toml();
    let mut loader = loader();
    loader.file("effective.toml", &text);
    let again = Configuration::of(loader).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    assert_eq!(configuration.diff(&again), [], "{text}");
    assert_eq!(configuration.digest(), again.digest(), "{text}");
    assert_eq!(again.values().to_toml().lines().count(), text.lines().count());
}

/// A value of a kind, chosen by a number, as the environment would have it.
fn some_text(kind: &Kind, number: u64) -> String {
    match kind {
        Kind::Switch => number.is_multiple_of(2).to_string(),
        Kind::Number(least, most) => (least + number % (most - least + 1).min(500)).to_string(),
        Kind::Size(least, most) => (least + number % (most - least + 1)).max(1).to_string(),
        Kind::Time(least, most, _) => {
            let most = u64::try_from((*most - *least).as_millis()).expect("some years");
            format!("{}ms", u64::try_from(least.as_millis()).expect("some years").max(1) + number % most.min(1_000_000))
        }
        Kind::Rate => format!("{}/s", number % 10_000),
        Kind::Choice(choices) => choices[usize::try_from(number).expect("small") % choices.len()].name.to_owned(),
        Kind::Text(_, example, _) | Kind::Sensitive(_, example, ..) => (*example).to_owned(),
        Kind::Path => format!("/some/{number}/ü \"quoted\" \\path"),
        Kind::List(item, Split::Words) => format!("{} {}", some_text(item, number), some_text(item, number + 1)),
        Kind::List(item, Split::Lines) => format!("{}\n{}", some_text(item, number), some_text(item, number + 1)),
        Kind::Secret | Kind::Secrets => unreachable!("they are set from files"),
    }
}

/// A setting of the whole server with a value, as a line of a file.
fn line() -> impl Strategy<Value = (&'static str, String)> {
    // Those that need files or others, and those of members.
    let skipped = [
        "traces.headers",
        "traces.ca",
        "push.token_key_files",
        "push.calls.ca",
        "push.personal_channels",
        "push.pong",
        "push.ping",
    ];
    let settings: Vec<&'static Setting> = SCHEMA
        .settings
        .iter()
        .filter(|setting| !setting.key.contains('*') && !skipped.contains(&setting.key))
        .filter(|setting| !setting.key.starts_with("limits.outbox") && setting.key != "limits.frame")
        .collect();
    (prop::sample::select(settings), 0..u64::MAX / 4).prop_map(|(setting, number)| {
        if matches!(setting.kind, Kind::Secret | Kind::Secrets) {
            let place = if number % 2 == 0 { "{ file = \"/run/x\" }" } else { "{ env = \"X\" }" };
            let is_list = matches!(setting.kind, Kind::Secrets);
            return (setting.key, if is_list { format!("[{place}]") } else { place.to_owned() });
        }
        let value = setting.kind.read(&some_text(&setting.kind, number), &SecretSource::Unnamed);
        let value: Value = value.unwrap_or_else(|why| panic!("{}: {why}", setting.key));
        (setting.key, value.to_toml(&setting.kind).expect("no secret"))
    })
}

/// A listener with some of its settings.
fn listener() -> impl Strategy<Value = String> {
    let service =
        prop::sample::select(vec!["echo", "lines", "frames", "http", "redis", "push", "push-stream", "push-api"]);
    let more = prop::collection::vec(
        prop::sample::select(vec![
            "operational = true",
            "keepalive = \"off\"",
            "limits.connections = 7",
            "limits.connections_per_peer = 3",
            "limits.frame = \"1234\"",
            "timeouts.idle = \"90s\"",
            "timeouts.first_message = \"1s\"",
            "timeouts.heartbeats_missed = 1",
            "timeouts.linger = \"off\"",
        ]),
        0..5,
    );
    (service, prop::option::of("[a-z .\"\\\\#=ü]{1,8}"), more).prop_map(|(service, name, mut more)| {
        more.sort_unstable();
        more.dedup();
        let name = name.map(|name| format!("name = '''{name}'''\n")).unwrap_or_default();
        format!("[[listener]]\n{name}service = \"{service}\"\nurl = \"tcp://127.0.0.1:0\"\n{}\n", more.join("\n"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_in_effect_is_read_from_its_own_output(
        lines in prop::collection::vec(line(), 0..30),
        listeners in prop::collection::vec(listener(), 0..6),
        namespaces in prop::collection::btree_map("[a-zA-Z0-9_-]{2,6}", 0..4_u8, 0..4),
    ) {
        let mut text = String::new();
        let distinct: std::collections::BTreeMap<&str, String> = lines.into_iter().collect();
        for (key, value) in distinct {
            text += &format!("{key} = {value}\n");
        }
        for (name, kind) in namespaces {
            text += &format!("[push.namespace.{name}]\n");
            text += ["", "presence = true\nslow = \"drop\"\n", "history_size = 5\nhistory_ttl = \"90s\"\n",
                "channel_regex = \"^a,b=\\\\d$\"\ncoalesce = \"20ms\"\n"][usize::from(kind)];
        }
        listeners.iter().for_each(|listener| text += listener);
        // Two names may be the same, which is refused.
        if let Ok(configuration) = read(&text) {
            again(&configuration);
        } else if listeners.is_empty() {
            prop_assert!(false, "{}\n{text}", read(&text).expect_err("it was"));
        }
    }
}
