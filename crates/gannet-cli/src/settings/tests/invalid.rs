//! What is wrong with a configuration, as its operator reads it.

use super::*;

/// The one problem of a configuration in a file.
fn file(text: &str) -> String {
    match read(text) {
        Ok(_) => panic!("it was taken:\n{text}"),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn each_mistake_is_said_with_its_place_its_line_and_what_to_do() {
    let mut wrong = Vec::new();
    for (text, expected) in FILES {
        let said = file(text);
        let expected = expected.trim_matches('\n').to_owned();
        if said != expected {
            wrong.push(format!("--- of\n{text}\n--- is\n{said}\n--- and not\n{expected}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(FILES.len() >= 30);
}

/// Files with one mistake each, and what is said of it.
const FILES: &[(&str, &str)] = &[
    ("[limits]\nframee = \"64KiB\"\n", "
gannet.toml:2:1: there is no key 'framee' in limits; did you mean 'frame'?
  2 | framee = \"64KiB\"
    | ^^^^^^"),
    ("[limit]\nframe = \"64KiB\"\n", "
gannet.toml:1:2: there is no key 'limit' at the top; did you mean 'limits'?
  1 | [limit]
    |  ^^^^^"),
    ("[engine]\nframe = \"64KiB\"\n", "
gannet.toml:2:1: there is no key 'frame' in engine; there is limits.frame at the top
  2 | frame = \"64KiB\"
    | ^^^^^"),
    ("[limits]\nframe = true\n", "
gannet.toml:2:9: limits.frame: it is a size up to 1GiB, such as \"64KiB\", and not true
  2 | frame = true
    |         ^^^^"),
    ("[limits]\nframe = \"64K\"\n", "
gannet.toml:2:9: limits.frame: not a size: write bytes as 512, or 64KiB, 1MiB, 64KB, 1MB
  2 | frame = \"64K\"
    |         ^^^^^"),
    ("limits.frame = \"2GiB\"\n", "
gannet.toml:1:16: limits.frame: it is at most 1GiB
  1 | limits.frame = \"2GiB\"
    |                ^^^^^^"),
    ("limits.frame = -5\n", "
gannet.toml:1:16: limits.frame: not a size up to 1GiB
  1 | limits.frame = -5
    |                ^^"),
    ("limits.connections = \"many\"\n", "
gannet.toml:1:22: limits.connections: it is a whole number from 0, such as 1, and not a text
  1 | limits.connections = \"many\"
    |                      ^^^^^^"),
    ("limits.connections = 1.5\n", "
gannet.toml:1:22: limits.connections: it is a whole number from 0, such as 1, and not a fraction
  1 | limits.connections = 1.5
    |                      ^^^"),
    ("engine.reactors = 0\n", "
gannet.toml:1:19: engine.reactors: not a whole number from 1 to 1024
  1 | engine.reactors = 0
    |                   ^"),
    ("engine.driver = \"urign\"\n", "
gannet.toml:1:17: engine.driver: possible values: auto, uring, poll; did you mean 'uring'?
  1 | engine.driver = \"urign\"
    |                 ^^^^^^^"),
    ("engine.pin = \"yes\"\n", "
gannet.toml:1:14: engine.pin: it is a true or false, such as true, and not a text
  1 | engine.pin = \"yes\"
    |              ^^^^^"),
    ("engine = \"fast\"\n", "
gannet.toml:1:10: engine is written [engine], and not as a text
  1 | engine = \"fast\"
    |          ^^^^^^"),
    ("timeouts.idle = 30\n", "
gannet.toml:1:17: timeouts.idle: a duration needs a unit, and is a text: \"500ms\", \"30s\", \"2m\", \"1h\"
  1 | timeouts.idle = 30
    |                 ^^"),
    ("timeouts.idle = \"soon\"\n", "
gannet.toml:1:17: timeouts.idle: not a duration: write 500ms, 30s, 2m, 1h, or off
  1 | timeouts.idle = \"soon\"
    |                 ^^^^^^"),
    ("timeouts.handshake = \"off\"\n", "
gannet.toml:1:22: timeouts.handshake: it cannot be off: give a time, such as \"30s\"
  1 | timeouts.handshake = \"off\"
    |                      ^^^^^"),
    ("timeouts.keepalive = \"1ms\"\n", "
gannet.toml:1:22: timeouts.keepalive: the time is 1s to 32767s, or off
  1 | timeouts.keepalive = \"1ms\"
    |                      ^^^^^"),
    ("limits.accepts = \"10/m\"\n", "
gannet.toml:1:18: limits.accepts: not a rate: write 1000/s or 1000, which is the same; 0 is no limit
  1 | limits.accepts = \"10/m\"
    |                  ^^^^^^"),
    ("redis.max_value = \"1KiB\"\n", "
gannet.toml:1:19: redis.max_value: it is at least 1MiB and at most 512MiB
  1 | redis.max_value = \"1KiB\"
    |                   ^^^^^^"),
    ("limits.outbox_hard = \"1KiB\"\n", "
gannet.toml:1:22: limits.outbox_hard is lower than limits.outbox_high; raise limits.outbox_hard, or lower limits.outbox_high
  1 | limits.outbox_hard = \"1KiB\"
    |                      ^^^^^^"),
    ("[limits]\nframe = \"8MiB\"\noutbox_hard = \"1MiB\"\n", "
gannet.toml:3:15: limits.outbox_hard is lower than one reply of limits.frame (and 64 bytes); raise limits.outbox_hard, or lower limits.frame
  3 | outbox_hard = \"1MiB\"
    |               ^^^^^^
gannet.toml:2:9: limits.frame is here
  2 | frame = \"8MiB\"
    |         ^^^^^^"),
    ("[tls]\ncertificates = [\"a.pem\"]\n", "
gannet.toml:2:16: [tls.certificates] is a table, and not a list; a name is missing: write 'certificates' below [tls.NAME]
  2 | certificates = [\"a.pem\"]
    |                ^^^^^^^^^"),
    ("redis.password = \"hunter2\"\n", "
gannet.toml:1:18: redis.password: a secret is not written here, where others may read it: name its place, { file = \"…\" } or { env = \"…\" }
  1 | redis.password =…
    |                 ^"),
    ("redis.password = { file = \"/etc/none\" }\n", "
gannet.toml:1:18: redis.password: the file /etc/none cannot be read: entity not found
  1 | redis.password =…
    |                 ^"),
    ("redis.password = { env = \"NONE\" }\n", "
gannet.toml:1:18: redis.password: the environment has no variable NONE
  1 | redis.password =…
    |                 ^"),
    ("redis.password = { fil = \"a\" }\n", "
gannet.toml:1:20: redis.password: a secret has no 'fil'; did you mean 'file'?
  1 | redis.password =…
    |                 ^"),
    ("redis.password = { file = \"a\", env = \"B\" }\n", "
gannet.toml:1:18: redis.password: a secret is read from one place, { file = \"…\" } or { env = \"…\" }
  1 | redis.password =…
    |                 ^"),
    ("push.api_keys = [{ file = \"empty\" }]\n", "
gannet.toml:1:18: push.api_keys: the file empty: the secret is empty, and would protect nothing
  1 | push.api_keys =…
    |                ^"),
    ("push.jwks = \"http://h.example/?key=hunter2\"\n", "
gannet.toml:1:13: push.jwks: it has a password or a query, which may be secret: name its place, { file = \"…\" } or { env = \"…\" }
  1 | push.jwks =…
    |            ^"),
    ("push.origins = [\"example.com\", 5]\n", "
gannet.toml:1:17: push.origins: 'example.com' is not an origin: it has no scheme; write https://example.com, https://*.example.com:8443, or * for all
  1 | push.origins = [\"example.com\", 5]
    |                 ^^^^^^^^^^^^^
gannet.toml:1:32: push.origins: it is a origin, such as \"https://example.com\", and not a number
  1 | push.origins = [\"example.com\", 5]
    |                                ^"),
    ("[push.namespace.chat]\nhistory_size = 5\n", "
gannet.toml:2:16: namespace 'chat': history_size needs history_ttl as well: without a time nothing is kept
  2 | history_size = 5
    |                ^"),
    ("[push.namespace.c]\npresence = true\n", "
gannet.toml:1:17: 'c' is not the name of a namespace: two or more of a to z, A to Z, 0 to 9, - and _
  1 | [push.namespace.c]
    |                 ^"),
    ("[push.namespace.chat]\npublish_proxy_enabled = true\n", "
gannet.toml:2:25: the namespace 'chat' has publish_proxy_enabled, but the application has no URL for the event publish
  2 | publish_proxy_enabled = true
    |                         ^^^^"),
    ("push.pong = \"25s\"\n", "
gannet.toml:1:13: the time for an answer to a ping (25s) has to be shorter than the time between pings (25s)
  1 | push.pong = \"25s\"
    |             ^^^^^"),
    ("push.token_key_files = [\"/nowhere/key.pem\"]\n", "
gannet.toml:1:24: the key file /nowhere/key.pem cannot be read: No such file or directory (os error 2)
  1 | push.token_key_files = [\"/nowhere/key.pem\"]
    |                        ^^^^^^^^^^^^^^^^^^^^"),
    ("[[listener]]\nname = \"a\"\nurl = \"tcp://h:1\"\n", "
gannet.toml:2:8: a listener needs a service, such as service = \"http\"
  2 | name = \"a\"
    |        ^^^"),
    ("[[listener]]\nservice = \"mail\"\nurl = \"tcp://h:1\"\n", "
gannet.toml:2:11: listener.\"tcp://h:1\".service: there is no service 'mail'; there are echo, lines, frames, discard, redis, push, push-stream, push-api and http
  2 | service = \"mail\"
    |           ^^^^^^"),
    ("[[listener]]\nservice = \"lines\"\nurl = \"udp://h:1\"\n", "
gannet.toml:3:7: listener.\"udp://h:1\".url: lines is served on tcp://, tls:// and unix:// only
  3 | url = \"udp://h:1\"
    |       ^^^^^^^^^^^"),
    ("[[listener]]\nname = \"a\"\nservice = \"echo\"\nurl = \"tcp://h:1\"\nmode = \"0660\"\n", "
gannet.toml:5:8: listener.a.mode: it is not for tcp://
  5 | mode = \"0660\"
    |        ^^^^^^"),
    ("[listener]\nservice = \"echo\"\n", "
gannet.toml:1:2: listener is written [[listener]], and not as a table
  1 | [listener]
    |  ^^^^^^^^"),
    (
        "[[listener]]\nname = \"a\"\nservice = \"echo\"\nurl = \"tcp://h:1\"\n\
         [[listener]]\nname = \"a\"\nservice = \"echo\"\nurl = \"tcp://h:2\"\n",
        "
gannet.toml:6:8: 'a': two members of listener have the same name; rename one
  6 | name = \"a\"
    |        ^^^
gannet.toml:2:8: the first one is here
  2 | name = \"a\"
    |        ^^^",
    ),
    (
        "[[listener]]\nname = \"a\"\nservice = \"echo\"\nurl = \"tcp://h:1\"\n\
         [[listener]]\nname = \"b\"\nservice = \"http\"\nurl = \"tls://h:1\"\n[tls.default]\nself_signed = true\n",
        "
gannet.toml:8:7: two listeners have the address tls://h:1; leave one of them
  8 | url = \"tls://h:1\"
    |       ^^^^^^^^^^^
gannet.toml:4:7: the other one is here
  4 | url = \"tcp://h:1\"
    |       ^^^^^^^^^^^",
    ),
    ("[[listener]]\nservice = \"echo\"\nurl = \"tls://h:1\"\ntls = \"mian\"\n[tls.main]\nself_signed = true\n", "
gannet.toml:4:7: there is no profile [tls.mian]; did you mean 'main'?
  4 | tls = \"mian\"
    |       ^^^^^^"),
    ("[[listener]]\nservice = \"echo\"\nurl = \"tls://h:1\"\n", "
gannet.toml:3:7: tls:// needs a profile: add tls = \"NAME\", and [tls.NAME] with certificates and private_keys
  3 | url = \"tls://h:1\"
    |       ^^^^^^^^^^^"),
    ("[tls.main]\ncertificates = [\"a.pem\"]\n", "
gannet.toml:2:16: tls.main.certificates a.pem has no tls.main.private_keys; give one for each, in the same order
  2 | certificates = [\"a.pem\"]
    |                ^^^^^^^^^"),
    ("[tls.main]\nself_signed = true\ncertificates = [\"a\"]\nprivate_keys = [\"b\"]\n", "
gannet.toml:2:15: tls.main.self_signed makes a certificate of its own; leave it out, or tls.main.certificates and tls.main.private_keys
  2 | self_signed = true
    |               ^^^^
gannet.toml:3:16: tls.main.certificates is here
  3 | certificates = [\"a\"]
    |                ^^^^^"),
    ("[tls.main]\nmin_version = \"1.3\"\n", "
gannet.toml:1:6: the profile has no certificate: add certificates = [\"FILE\"] and private_keys = [\"FILE\"], or self_signed = true to try it
  1 | [tls.main]
    |      ^^^^"),
    ("[limits]\nframe = \"1KiB\"\nframe = \"2KiB\"\n", "
gannet.toml:3:1: duplicate key
  3 | frame = \"2KiB\"
    | ^^^^^"),
    ("[limits\nframe = \"1KiB\"\n", "
gannet.toml:1:8: unclosed table, expected `]`
  1 | [limits
    |        ^
gannet.toml:2:1: there is no key 'frame' at the top; there is limits.frame
  2 | frame = \"1KiB\"
    | ^^^^^"),
    ("[redis]\npassword = hunter2\n", "
gannet.toml:2:12: string values must be quoted, expected literal string
  2 | password =…
    |           ^"),
];

#[test]
fn all_mistakes_are_said_at_once_in_the_order_of_the_file() {
    let said = file(
        "[limits]\nframee = 1\nconnections = \"many\"\n[engine]\ndriver = \"urign\"\npin = \n[[listener]]\nurl = \"tcp://h:1\"\n",
    );
    let heads: Vec<&str> = said.lines().filter(|line| line.starts_with("gannet.toml")).collect();
    let places: Vec<&str> = heads.iter().map(|line| line.split(": ").next().expect("a place")).collect();
    assert_eq!(
        places,
        ["gannet.toml:2:1", "gannet.toml:3:15", "gannet.toml:5:10", "gannet.toml:6:7", "gannet.toml:8:7"],
        "{said}"
    );
}

#[test]
fn what_is_wrong_with_the_environment_is_said_by_variable() {
    for (variables, expected) in [
        (
            &[("GANNET_LIMITS_FRAM", "1KiB")][..],
            "GANNET_LIMITS_FRAM in the environment: no setting has this variable; did you mean GANNET_LIMITS_FRAME?",
        ),
        (
            &[("GANNET_MAX_FRAMES", "1KiB")],
            "GANNET_MAX_FRAMES in the environment: no setting has this variable; did you mean GANNET_MAX_FRAME?",
        ),
        (
            &[("GANNET_COLOUR_OF_BIRDS", "grey")],
            "GANNET_COLOUR_OF_BIRDS in the environment: no setting has this variable",
        ),
        (
            &[("GANNET_MAX_FRAME", "64Q")],
            "GANNET_MAX_FRAME in the environment: invalid value '64Q': not a size: write bytes as 512, or 64KiB, 1MiB, 64KB, 1MB",
        ),
        (
            &[("GANNET_MAX_FRAME", "1KiB"), ("GANNET_LIMITS_FRAME", "1KiB")],
            "GANNET_LIMITS_FRAME in the environment: GANNET_MAX_FRAME sets the same setting, limits.frame; leave one of them",
        ),
        (
            &[("GANNET_OUTBOX_HARD", "1KiB")],
            "GANNET_OUTBOX_HARD in the environment: GANNET_OUTBOX_HARD is lower than --outbox-high; raise GANNET_OUTBOX_HARD, or lower --outbox-high",
        ),
        (
            &[("GANNET_PUSH_TOKEN_SECRET", "short")],
            "GANNET_PUSH_TOKEN_SECRET in the environment: the secret for tokens has 5 bytes; it needs at least 8, better 32",
        ),
        (
            &[("GANNET_TLS_CERT", "")],
            "GANNET_TLS_CERT in the environment: invalid value '': a list needs an entry, such as \"/etc/gannet/file.pem\"",
        ),
    ] {
        let problems = in_environment(variables).map(drop).expect_err("it was taken");
        assert_eq!(problems.to_string(), expected);
    }
    // What others set there is no mistake.
    in_environment(&[("GANNET_SERVICE_HOST", "10.0.0.1"), ("GANNET_PORT_8000_TCP", "tcp://10.0.0.1:8000")])
        .expect("fine");
    in_environment(&[("GANNET_REDIS_PASSWORD", ""), ("GANNET_PUSH_API_KEY", "")]).expect("an empty secret is none");
}

#[test]
fn what_is_wrong_with_flags_is_said_by_flag() {
    for (arguments, why) in [
        (
            &["--outbox-hard=1KiB"][..],
            "--outbox-hard is lower than --outbox-high; raise --outbox-hard, or lower --outbox-high",
        ),
        (&["--outbox-hard=1MiB"], "--outbox-hard is lower than one reply of --max-frame (and 64 bytes)"),
        (&["--redis-password="], "--redis-password is empty; give one"),
        (&["--push-api-key="], "--push-api-key is empty; give one"),
        (
            &["--push-namespace=ab:", "--push-namespace=ab:"],
            "--push-namespace: two members of push.namespace have the same name",
        ),
        (&["--push-proxy=rpc=http://a/", "--push-proxy=rpc=http://b/"], "--push-proxy: rpc is given twice; give one"),
        (&["--push-namespace=ab:subscribe_proxy_enabled"], "no URL for the event subscribe"),
        (&["--push-personal-channels"], "personal channels (#user) have no namespace"),
        (&["--push-pong=25s"], "shorter than the time between pings"),
        (&["--push-token-secret=short"], "has 5 bytes"),
        (&["--push-token-key=/nowhere/key.pem"], "/nowhere/key.pem cannot be read"),
        (&["--push-ca=/nowhere/ca.pem"], "--push-ca: the file of authorities /nowhere/ca.pem"),
        (&["--tls-cert=a"], "--tls-cert is of no use without a tls:// listener"),
        (&["--listen=echo=tls://127.0.0.1:0"], "tls:// needs a certificate: --tls-cert FILE"),
        (&["--listen=echo=tls://127.0.0.1:0", "--tls-cert=a"], "--tls-cert a has no --tls-key"),
        (
            &["--listen=echo=tls://127.0.0.1:0", "--tls-self-signed", "--tls-client-auth=optional"],
            "add --tls-client-ca",
        ),
        (&["--listen=echo=tls://127.0.0.1:0,tls=other", "--tls-self-signed"], "there is no profile [tls.other]"),
    ] {
        let problems = by_flags(arguments).map(drop).expect_err("it was taken");
        assert!(problems.to_string().contains(why), "{arguments:?}: {problems}");
    }
}
