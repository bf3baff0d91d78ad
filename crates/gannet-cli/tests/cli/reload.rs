//! A configuration that is read again while the server runs: by `gannet reload`, and on SIGHUP.

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::Output;

use gannet_testing::certificates::Ca;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::server::{Folder, Server, Stream, drivers, gannet};
use crate::tls::{Client, InFiles as _, put};

/// A server with a file of its own, which a test changes.
pub(crate) struct Rig {
    pub(crate) folder: Folder,
    pub(crate) server: Server,
    base: String,
}

impl Rig {
    /// Starts with a file. `FOLDER` in it stands for the folder that it is in.
    pub(crate) fn start(driver: &str, name: &str, listeners: &str, more: &str) -> Self {
        let folder = Folder::new(&format!("reload-{name}-{driver}"));
        let base = format!("engine.driver = \"{driver}\"\nadmin.listen = \"FOLDER/admin.sock\"\n{listeners}");
        let in_folder = |text: &str| text.replace("FOLDER", &folder.path("").display().to_string());
        fs::write(folder.path("gannet.toml"), in_folder(&format!("{more}\n{base}"))).expect("our folder");
        let mut command = gannet(&["serve", "--reactors=2", "--config"]);
        command.arg(folder.path("gannet.toml")).env_remove("GANNET_ADMIN");
        let server = Server::run(command).unwrap_or_else(|ended| panic!("{ended:#?}"));
        Self { folder, server, base }
    }

    /// Replaces what the file has beside its listeners.
    pub(crate) fn write(&self, more: &str) {
        self.write_with(more, "");
    }

    /// The same, with listeners behind those that it started with.
    pub(crate) fn write_with(&self, more: &str, listeners: &str) {
        let text = format!("{more}\n{}\n{listeners}", self.base)
            .replace("FOLDER", &self.folder.path("").display().to_string());
        put(&self.folder.path("gannet.toml"), &text);
    }

    /// Asks for a reload.
    pub(crate) fn ask(&self, options: &[&str]) -> Output {
        ask(&self.folder, options)
    }

    /// Replaces what the file has beside its listeners, and reloads.
    pub(crate) fn change(&self, more: &str) -> Value {
        self.change_with(more, "")
    }

    /// The same, with listeners behind those that it started with.
    pub(crate) fn change_with(&self, more: &str, listeners: &str) -> Value {
        self.write_with(more, listeners);
        let output = self.ask(&["--json"]);
        assert!(output.status.success(), "{more}: {output:?}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// All metrics.
    pub(crate) fn metrics(&self) -> String {
        let mut stream = Stream::connect(&self.server.url("http"));
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("it reads");
        String::from_utf8(stream.rest()).expect("text")
    }

    /// The value of a metric, by its name with labels.
    pub(crate) fn metric(&self, name: &str) -> String {
        let text = self.metrics();
        let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        found.unwrap_or_else(|| panic!("no {name} in {text}"))
    }
}

fn ask(folder: &Folder, options: &[&str]) -> Output {
    let mut command = gannet(&["reload"]);
    command.args(options).arg("--admin").arg(folder.path("admin.sock"));
    command.output().expect("the binary starts")
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    (text(&output.stdout), text(&output.stderr))
}

/// The keys of a list of changes.
pub(crate) fn keys(changes: &Value) -> Vec<&str> {
    changes.as_array().expect("a list").iter().map(|change| change["key"].as_str().expect("a key")).collect()
}

const LISTENERS: &str = "[[listener]]\nname = \"lines\"\nservice = \"lines\"\nurl = \"tcp://127.0.0.1:0\"\n\
     [[listener]]\nname = \"secure\"\nservice = \"lines\"\nurl = \"tls://127.0.0.1:0\"\ntls = \"main\"\n\
     [[listener]]\nname = \"http\"\nservice = \"http\"\nurl = \"unix://FOLDER/http.sock\"\n\
     [tls.main]\ncertificates = [\"FOLDER/cert.pem\"]\nprivate_keys = [\"FOLDER/key.pem\"]\n";

/// A certificate in the files that the listeners name, before the server starts.
fn certified(driver: &str, name: &str) -> (Folder, Ca) {
    let (folder, ca) = (Folder::new(&format!("reload-{name}-{driver}")), crate::tls::authority());
    ca.server(&["localhost"]).put(&folder.path(""));
    (folder, ca)
}

#[test]
fn what_a_reload_changes_takes_effect_at_once_and_nobody_is_closed() {
    for driver in drivers() {
        let (_files, ca) = certified(driver, "effect");
        let mut rig = Rig::start(driver, "effect", LISTENERS, "log.format = \"json\"");
        let mut early = rig.server.connect("lines");
        let mut tls = Client::trusting(&ca).talk(&rig.server.urls("lines")[1], "localhost").expect("it is served");
        let ask_both = |early: &mut Stream, tls: &mut crate::tls::Connection| {
            early.ask(b"hello\n", b"echo: hello\n");
            crate::tls::ask(tls).expect("nobody is closed");
        };
        ask_both(&mut early, &mut tls);

        // Who may connect.
        let report = rig.change("log.format = \"json\"\naccess.deny = [\"127.0.0.0/8\"]");
        assert_eq!(report["changes"].as_array().map(Vec::len), Some(1), "{report}");
        let change = &report["changes"][0];
        assert_eq!((&change["key"], &change["old"]), (&json!("access.deny"), &Value::Null), "{report}");
        let origin = change["origin"].as_str().expect("an origin");
        assert!(origin.ends_with("gannet.toml:2"), "{origin}");
        assert!(rig.server.refuses("lines"), "it is denied");
        ask_both(&mut early, &mut tls);

        // The form of the log, its level, and other certificates, all at once.
        let second = ca.server(&["localhost"]);
        second.put(&rig.folder.path(""));
        let report = rig.change("log.level = \"debug\"");
        assert_eq!(keys(&report["changes"]), ["access.deny", "log.format", "log.level"], "{report}");
        assert_eq!((&report["generation"], &report["pending"]), (&json!(2), &json!([])));
        rig.server.wait_for_line(|line| line.contains(" INFO reloaded generation=2"));
        let shown = Client::trusting(&ca).talk(&rig.server.urls("lines")[1], "localhost").expect("it is allowed again");
        assert_eq!(crate::tls::shown(&shown), second.der());
        ask_both(&mut early, &mut tls);
        assert_eq!(rig.metric("gannet_config_generation"), "2");

        // A signal does the same, and the log has the report.
        rig.write("log.format = \"json\"\nlog.stats = \"20ms\"");
        rig.server.signal(Signal::HUP);
        let event = rig.server.wait_for(|event| event["message"] == "setting changed");
        assert_eq!(
            (&event["key"], &event["old"], &event["new"]),
            (&json!("log.stats"), &json!("\"off\""), &json!("\"20ms\""))
        );
        rig.server.wait_for(|event| event["message"] == "reloaded" && event["generation"] == 3);
        rig.server.wait_for(|event| event["message"] == "stats");
        ask_both(&mut early, &mut tls);
        assert!(rig.server.stop().status.success());
    }
}

#[test]
fn a_reload_prints_a_line_for_each_change_and_what_waits_for_a_restart() {
    let rig = Rig::start(
        drivers()[0],
        "printed",
        &LISTENERS[..LISTENERS.find("[[listener]]\nname = \"sec").expect("it")],
        "",
    );
    rig.write("log.level = \"warn\"\nlimits.mailbox = 1000");
    let (printed, said) = texts(&rig.ask(&[]));
    let lines: Vec<&str> = printed.lines().collect();
    assert!(
        lines[0].starts_with("log.level: \"info\" -> \"warn\" (") && lines[0].ends_with("gannet.toml:1)"),
        "{printed}"
    );
    assert!(lines[1].starts_with("limits.mailbox: 16384 -> 1000 ("), "{printed}");
    assert!(lines[1].ends_with("gannet.toml:2; needs a restart, or gannet upgrade)"), "{printed}");
    assert!(
        lines[2].starts_with("reloaded: generation 1, changed 1, pending 1, in ") && said.is_empty(),
        "{printed}{said}"
    );

    // It is still pending, and nothing else has changed.
    let report = rig.change("log.level = \"warn\"\nlimits.mailbox = 1000");
    assert_eq!((keys(&report["changes"]).len(), keys(&report["pending"])), (0, vec!["limits.mailbox"]), "{report}");
    // Where that is not accepted, nothing changes.
    rig.write("log.level = \"error\"\nlimits.mailbox = 1000");
    let output = rig.ask(&["--strict"]);
    let (printed, said) = texts(&output);
    assert_eq!((output.status.code(), &*printed), (Some(3), ""), "{output:?}");
    assert!(said.contains("nothing has changed, since these need a restart: limits.mailbox"), "{said}");
    let report = rig.change("log.level = \"warn\"");
    assert_eq!((keys(&report["changes"]).len(), keys(&report["pending"]).len()), (0, 0), "{report}");
}

#[test]
fn a_configuration_that_cannot_be_used_changes_nothing_and_all_that_is_wrong_is_said() {
    let driver = drivers()[0];
    let (_files, ca) = certified(driver, "invalid");
    let mut rig = Rig::start(driver, "invalid", LISTENERS, "log.format = \"json\"");
    let before = rig.ask(&["--json"]);
    let before: Value = serde_json::from_slice(&before.stdout).expect("JSON");
    fs::write(rig.folder.path("short"), "short").expect("our folder");
    // Of what can be wrong: words, contradictions, files, and the file itself.
    for (text, said) in [
        ("log.level = \"loud\"\nacess.deny = [\"127.0.0.1\"]", vec!["log.level: possible values", "'acess'"]),
        ("access.deny = [\"127.0.0.0/8\"]\naccess.allow = [\"127.0.0.0/8\"]", vec!["127.0.0.0/8"]),
        ("log.level = \"debug\"\nadmin.token = { file = \"FOLDER/short\" }", vec!["has at least 16 characters"]),
        ("[[listener]\n", vec!["gannet.toml:1"]),
    ] {
        rig.write(text);
        let output = rig.ask(&[]);
        let (printed, errors) = texts(&output);
        assert_eq!((output.status.code(), &*printed), (Some(2), ""), "{text}: {output:?}");
        for said in said {
            assert!(errors.contains(said), "{said}: {errors}");
        }
        assert!(errors.lines().next().is_some_and(|line| line.starts_with("gannet: ")), "{errors}");
        let json = rig.ask(&["--json"]);
        let answer: Value = serde_json::from_slice(&json.stdout).expect("JSON");
        assert!(answer["ok"] == false && answer["problems"][0]["message"].is_string(), "{answer}");
        // The same is said by the command that checks.
        if !text.contains("token") {
            let checked =
                gannet(&["check", "--config"]).arg(rig.folder.path("gannet.toml")).output().expect("it starts");
            assert_eq!(texts(&checked).1, errors);
        }
    }
    // A certificate that cannot be used beside a setting that could.
    let key = fs::read_to_string(rig.folder.path("key.pem")).expect("it is there");
    put(&rig.folder.path("key.pem"), "no key");
    rig.write("log.format = \"json\"\naccess.deny = [\"127.0.0.0/8\"]");
    assert_eq!(rig.ask(&[]).status.code(), Some(2));
    put(&rig.folder.path("key.pem"), &key);
    // The file is gone.
    fs::remove_file(rig.folder.path("gannet.toml")).expect("it is there");
    rig.server.signal(Signal::HUP);
    let not_reloaded = |event: &Value| {
        let message = event["message"].as_str().unwrap_or_default();
        message.starts_with("not reloaded, everything stays as it was") && message.contains("cannot be read")
    };
    rig.server.wait_for(not_reloaded);
    assert_eq!(rig.ask(&[]).status.code(), Some(2));
    assert_eq!(rig.metric("gannet_config_last_reload_failed"), "1");
    assert_eq!(rig.metric("gannet_config_generation"), "1");

    Client::trusting(&ca).talk(&rig.server.urls("lines")[1], "localhost").expect("nobody is denied");
    let after = rig.change("log.format = \"json\"");
    assert_eq!((&after["digest_before"], &after["digest_after"]), (&before["digest_after"], &before["digest_after"]));
    assert_eq!((keys(&after["changes"]).len(), &after["generation"]), (0, &json!(2)), "{after}");
    assert_eq!(rig.metric("gannet_config_last_reload_failed"), "0");
}

#[test]
fn reloads_that_come_together_are_done_one_after_the_other_or_refused_as_busy() {
    let rig =
        Rig::start(drivers()[0], "together", LISTENERS.split("[[listener]]\nname = \"secure").next().expect("it"), "");
    let outcomes: Vec<Output> = std::thread::scope(|scope| {
        let folder = &rig.folder;
        let asking: Vec<_> = (0..8).map(|_| scope.spawn(|| ask(folder, &["--json"]))).collect();
        for _ in 0..8 {
            rig.server.signal(Signal::HUP);
        }
        asking.into_iter().map(|one| one.join().expect("no panic")).collect()
    });
    let mut generations = Vec::new();
    for outcome in outcomes {
        match outcome.status.code() {
            Some(0) => {
                let report: Value = serde_json::from_slice(&outcome.stdout).expect("JSON");
                generations.push(report["generation"].as_u64().expect("a number"));
            }
            code => {
                assert_eq!(code, Some(3), "{outcome:?}");
                assert!(texts(&outcome).1.contains("another reload is under way"), "{outcome:?}");
            }
        }
    }
    generations.sort_unstable();
    let all = generations.len();
    generations.dedup();
    assert_eq!(generations.len(), all, "each has a number of its own: {generations:?}");
    // Those that waited for their turn come to their end.
    let last = loop {
        let output = rig.ask(&["--json"]);
        if output.status.success() {
            break serde_json::from_slice::<Value>(&output.stdout).expect("JSON")["generation"].as_u64();
        }
    };
    assert!(last > generations.last().copied(), "{last:?} after {generations:?}");
    assert!(rig.server.stop().status.success());
}

#[test]
fn the_token_of_the_admin_socket_is_replaced_and_no_report_shows_a_secret() {
    let (old, new) = ("hunter2-hunter2-old", "hunter2-hunter2-new");
    let listener = "[[listener]]\nservice = \"lines\"\nurl = \"tcp://127.0.0.1:0\"\n";
    let rig = Rig::start(drivers()[0], "token", listener, "");
    let show = |token: &str| {
        fs::write(rig.folder.path("token"), token).expect("our folder");
        rig.write("admin.token = { file = \"FOLDER/token\" }");
    };
    show(old);
    assert!(rig.ask(&[]).status.success(), "it is asked for from now on");
    let ask = |token: &str| {
        let mut command = gannet(&["reload", "--json", "--admin"]);
        command.arg(rig.folder.path("admin.sock")).env("GANNET_ADMIN_TOKEN", token);
        command.output().expect("the binary starts")
    };
    show(new);
    let (printed, _) = texts(&ask(old));
    let report: Value = serde_json::from_str(&printed).expect("JSON");
    assert_eq!(keys(&report["changes"]), ["admin.token"], "{report}");
    assert!(!printed.contains("hunter2"), "{printed}");
    assert_eq!(ask(old).status.code(), Some(1), "it counts no more");
    assert!(ask(new).status.success());
    let ended = rig.server.stop();
    assert!(!ended.stderr.iter().any(|line| line.contains("hunter2")), "{ended:#?}");
}

/// Calls the server API of the gateway; gives the status and the answer.
fn api(rig: &Rig, key: &str, method: &str, body: &Value) -> (String, Value) {
    let mut stream = Stream::connect(&rig.server.url("push"));
    let (body, head) =
        (body.to_string(), format!("POST /api/{method} HTTP/1.0\r\nHost: localhost\r\nX-API-Key: {key}"));
    write!(stream, "{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).expect("it reads");
    let text = String::from_utf8(stream.rest()).expect("text");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status").to_owned();
    (status, serde_json::from_str(body).unwrap_or_default())
}

#[test]
fn namespaces_and_keys_of_the_gateway_change_while_a_client_listens() {
    for driver in drivers() {
        let listeners = "[[listener]]\nname = \"push\"\nservice = \"push\"\nurl = \"tcp://127.0.0.1:0\"\n\
             [[listener]]\nname = \"redis\"\nservice = \"redis\"\nurl = \"tcp://127.0.0.1:0\"\n";
        let news = "push.anonymous = true\npush.api_keys = [{ file = \"FOLDER/key\" }]\n\
             push.namespace.news = { allow_subscribe_for_client = true, allow_subscribe_for_anonymous = true";
        let folder = Folder::new(&format!("reload-push-{driver}"));
        fs::write(folder.path("key"), "first").expect("our folder");
        let rig = Rig::start(driver, "push", listeners, &format!("{news} }}"));
        let mut events = Stream::connect(&rig.server.url("push"));
        write!(events, "GET /connection/uni_sse HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it reads");
        let mut head = String::new();
        while !head.ends_with("}\n\n") {
            let mut byte = [0];
            events.read_exact(&mut byte).expect("a first event");
            head.push(byte[0].into());
        }
        let client = head.split("\"client\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a client");
        let subscribed = json!({ "client": client, "user": "", "channel": "news:a" });
        assert_eq!(api(&rig, "first", "subscribe", &subscribed).0, "200");
        let publish = |key: &str, channel: &str| api(&rig, key, "publish", &json!({ "channel": channel, "data": 1 }));
        assert_eq!(publish("first", "news:a").0, "200");
        assert_eq!(publish("first", "chat:a").1["error"]["code"], 102);

        fs::write(rig.folder.path("key"), "second").expect("our folder");
        let report = rig.change(&format!(
            "{news}, history_size = 5, history_ttl = \"1m\" }}\npush.namespace.chat = {{ redis = true }}\npush.ping = \"20s\""
        ));
        let mut changed = keys(&report["changes"]);
        changed.sort_unstable();
        let expected = [
            "push.api_keys",
            "push.namespace.chat",
            "push.namespace.news.history_size",
            "push.namespace.news.history_ttl",
            "push.ping",
        ];
        assert_eq!(changed, expected, "{report}");
        assert!(!report.to_string().contains("second"), "{report}");
        assert_eq!(publish("first", "news:a").0, "401");
        assert_eq!(publish("second", "news:a").1["result"]["offset"], 1);
        assert!(publish("second", "chat:a").1["result"].is_object());
        // The channels of a namespace that was added are open to Redis clients.
        let mut redis = rig.server.connect("redis");
        redis.ask(b"SUBSCRIBE chat:a\r\n", b"*3\r\n$9\r\nsubscribe\r\n$6\r\nchat:a\r\n:1\r\n");
        assert!(publish("second", "chat:a").1["result"].is_object());
        redis.expect(b"*3\r\n$7\r\nmessage\r\n$6\r\nchat:a\r\n$1\r\n1\r\n");

        // The password of Redis clients: who was let in stays.
        fs::write(rig.folder.path("redis"), "swordfish").expect("our folder");
        let password = "redis.password = { file = \"FOLDER/redis\" }\nredis.max_memory = \"1GiB\"";
        rig.change(&format!("{news}, history_size = 5, history_ttl = \"1m\" }}\n{password}"));
        redis.ask(b"PING\r\n", b"*2\r\n$4\r\npong\r\n$0\r\n\r\n");
        let mut client = rig.server.connect("redis");
        client.ask(b"GET key\r\n", b"-NOAUTH Authentication required.\r\n");
        client.ask(b"AUTH swordfish\r\n", b"+OK\r\n");
        client.ask(b"CONFIG GET maxmemory\r\n", b"*2\r\n$9\r\nmaxmemory\r\n$10\r\n1073741824\r\n");

        // What cannot work is said with its place, and the client that listens is told of nothing.
        rig.write(&format!("{news}, history_size = 5 }}"));
        let (_, said) = texts(&rig.ask(&[]));
        assert!(said.contains("gannet.toml:3") && said.contains("history_ttl"), "{said}");
        assert_eq!(publish("second", "news:a").1["result"]["offset"], 2);
        let history = api(&rig, "second", "history", &json!({ "channel": "news:a", "limit": 0 }));
        assert_eq!(history.1["result"]["offset"], 2, "{history:?}");
        let stats = api(&rig, "second", "channels", &json!({})).1;
        assert_eq!(stats["result"]["channels"]["news:a"]["num_clients"], 1, "{stats}");
    }
}
