//! Configuration files and the commands around them, as their users meet them.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use crate::invocation::{fails, only_line};
use crate::server::{Ended, Folder, Server, drivers, gannet};

/// Runs a command that ends, with a file `gannet.toml` in a folder of its own, in which it runs.
fn with_file(name: &str, text: &str, arguments: &[&str]) -> Ended {
    let folder = Folder::new(name);
    fs::write(folder.path("gannet.toml"), text).expect("our folder");
    let mut command = gannet(arguments);
    command.current_dir(folder.path("."));
    match Server::run(command) {
        Ok(server) => panic!("{arguments:?} serves: {:#?}", server.banner()),
        Err(ended) => ended,
    }
}

#[test]
fn a_file_says_what_listens_and_how_and_flags_say_more() {
    for driver in drivers() {
        let folder = Folder::new(&format!("config-{driver}"));
        let text = format!(
            "engine.driver = \"{driver}\"\nengine.reactors = 3\n[log]\nformat = \"json\"\n\
             [[listener]]\nname = \"small\"\nservice = \"lines\"\nurl = \"tcp://127.0.0.1:0\"\nlimits.frame = \"10\"\n\
             [[listener]]\nname = \"idle\"\nservice = \"lines\"\nurl = \"tcp://127.0.0.1:0\"\ntimeouts.idle = \"3s\"\n"
        );
        fs::write(folder.path("gannet.toml"), text).expect("our folder");
        let file = folder.path("gannet.toml").display().to_string();
        let mut server = Server::run(gannet(&["serve", "--config", &file, "--reactors=2"])).expect("all of it is fine");
        assert!(server.banner().iter().any(|line| line == "reactors: 2"), "{:#?}", server.banner());
        let event = server.wait_for(|event| event["message"] == "configured");
        assert_eq!(event["file"], *file);
        let [small, idle] = &server.urls("lines")[..] else { panic!("{:#?}", server.banner()) };
        let mut connection = crate::server::Stream::connect(small);
        connection.ask(b"short\n", b"echo: short\n");
        connection.write_all(b"this is a longer line\n").expect("it reads");
        assert_eq!(connection.rest(), b"");
        let mut connection = crate::server::Stream::connect(idle);
        connection.ask(b"this is a longer line\n", b"echo: this is a longer line\n");
        assert_eq!(connection.rest(), b"");
        assert!(server.stop().status.success());
    }
}

#[test]
fn mistakes_of_a_file_are_all_said_with_their_lines_and_exit_with_2() {
    let text = "[limits]\nframee = \"64KiB\"\n\n[engine]\ndriver = \"urign\"\n";
    for command in ["serve", "check"] {
        let ended = with_file(&format!("wrong-{command}"), text, &[command, "--config", "gannet.toml"]);
        let expected = [
            "gannet: gannet.toml:2:1: there is no key 'framee' in limits; did you mean 'frame'?",
            "  2 | framee = \"64KiB\"",
            "    | ^^^^^^",
            "gannet: gannet.toml:5:10: engine.driver: possible values: auto, uring, poll; did you mean 'uring'?",
            "  5 | driver = \"urign\"",
            "    |          ^^^^^^^",
            "gannet: the configuration has 2 errors",
        ];
        assert_eq!(ended.stderr, expected);
        assert_eq!(ended.status.code(), Some(2));
    }
    let ended = with_file("wrong-json", text, &["check", "--config=gannet.toml", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&ended.stdout.join("\n")).expect("JSON");
    assert_eq!((&answer["ok"], &answer["problems"][1]["line"]), (&false.into(), &5.into()));
    let ended = fails(&["check", "--config=/nowhere/gannet.toml"]);
    assert!(only_line(&ended).contains("the configuration /nowhere/gannet.toml cannot be read"), "{ended:#?}");
    assert_eq!(ended.status.code(), Some(2));
    let mut log = gannet(&["serve", "--log=json"]);
    log.env("GANNET_MAX_FRAM", "1KiB");
    let Err(ended) = Server::run(log) else { panic!("it was taken") };
    let event: serde_json::Value = serde_json::from_str(&ended.stderr[0]).expect("an event");
    assert!(event["message"].as_str().is_some_and(|text| text.contains("did you mean GANNET_MAX_FRAME?")), "{event}");
}

#[test]
fn a_checked_configuration_has_a_digest_that_does_not_depend_on_how_it_is_written() {
    let digest = |ended: &Ended| {
        assert!(ended.status.success() && ended.stderr.is_empty(), "{ended:#?}");
        let line = ended.stdout.iter().find_map(|line| line.strip_prefix("digest: "));
        line.expect("a digest").to_owned()
    };
    let one = with_file("digest-file", "limits.frame = \"64KiB\"\n", &["check", "--config=gannet.toml"]);
    let Err(two) = Server::run(gannet(&["check", "--max-frame=65536"])) else { panic!("it ends") };
    let mut command = gannet(&["check"]);
    command.env("GANNET_LIMITS_FRAME", "64KiB");
    let Err(three) = Server::run(command) else { panic!("it ends") };
    assert_eq!((digest(&one), digest(&one).len()), (digest(&two), 64));
    assert_eq!(digest(&one), digest(&three));
    let Err(four) = Server::run(gannet(&["check"])) else { panic!("it ends") };
    assert_ne!(digest(&one), digest(&four));
}

#[test]
fn a_check_reads_certificates_and_tries_addresses() {
    let text = "[[listener]]\nservice = \"echo\"\nurl = \"tls://127.0.0.1:0\"\ntls = \"main\"\n\
                [tls.main]\ncertificates = [\"none.pem\"]\nprivate_keys = [\"none.key\"]\n";
    let ended = with_file("check-tls", text, &["check", "--config=gannet.toml"]);
    assert!(
        ended.stderr[0].starts_with("gannet: gannet.toml:6:16: ") && ended.stderr[0].contains("none.pem"),
        "{ended:#?}"
    );
    assert_eq!(ended.status.code(), Some(2));
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("tcp://{}", taken.local_addr().expect("bound"));
    let text = format!("[[listener]]\nservice = \"echo\"\nurl = \"{url}\"\n");
    let fine = with_file("check-free", &text, &["check", "--config=gannet.toml"]);
    assert!(fine.status.success(), "{fine:#?}");
    let ended = with_file("check-bind", &text, &["check", "--config=gannet.toml", "--bind"]);
    let said = format!("gannet: gannet.toml:3:7: cannot listen on {url}: the address is in use");
    assert!(ended.stderr[0].starts_with(&said), "{ended:#?}");
    assert_eq!(ended.status.code(), Some(2));
}

#[test]
fn a_check_tries_the_paths_of_unix_sockets_and_changes_none_of_them() {
    let folder = Folder::new("check-unix");
    fs::write(folder.path("file"), "precious").expect("our folder");
    drop(UnixListener::bind(folder.path("stale")).expect("our folder"));
    let _served = UnixListener::bind(folder.path("served")).expect("our folder");
    let long = "x".repeat(120);
    for (name, said) in [
        ("file", Some("a file that is not a socket is in the way")),
        ("served", Some("the address is in use")),
        ("none/socket", Some("there is no such folder")),
        (&*long, Some("has at most 107 bytes")),
        ("stale", None),
        ("new", None),
    ] {
        let listen = format!("--listen=echo=unix://{}", folder.path(name).display());
        let mut command = gannet(&["check", "--bind"]);
        command.env("GANNET_LISTEN", listen.trim_start_matches("--listen="));
        let Err(ended) = Server::run(command) else { panic!("it ends") };
        match said {
            Some(said) => assert!(only_line(&ended).contains(said), "{name}: {ended:#?}"),
            None => assert!(ended.status.success(), "{name}: {ended:#?}"),
        }
    }
    assert_eq!(fs::read_to_string(folder.path("file")).expect("it is there"), "precious");
    assert!(folder.path("stale").exists() && !folder.path("new").exists());
}

#[test]
fn what_is_in_effect_is_printed_with_origins_and_without_secrets() {
    let folder = Folder::new("effective");
    fs::write(folder.path("gannet.toml"), "[limits]\nconnections = 7\n").expect("our folder");
    let mut command = gannet(&["config", "effective", "--max-frame=1KiB"]);
    command.env("GANNET_CONFIG", folder.path("gannet.toml")).env("GANNET_REDIS_PASSWORD", "hunter2");
    let Err(ended) = Server::run(command) else { panic!("it ends") };
    assert!(ended.status.success(), "{ended:#?}");
    let line = |begin: &str| {
        let found = ended.stdout.iter().find(|line| line.starts_with(begin));
        found
            .unwrap_or_else(|| panic!("no {begin}: {ended:#?}"))
            .split_once('#')
            .expect("an origin")
            .1
            .trim()
            .to_owned()
    };
    assert!(line("connections = 7").ends_with("gannet.toml:2"));
    assert_eq!((line("frame = \"1KiB\""), line("outbox_high =")), ("--max-frame".to_owned(), "default".to_owned()));
    assert_eq!(line("password = { env = \"GANNET_REDIS_PASSWORD\" }"), "GANNET_REDIS_PASSWORD");
    assert!(!ended.stdout.join("\n").contains("hunter2"));
}

#[test]
fn two_files_are_compared_by_what_they_mean() {
    let folder = Folder::new("diff");
    fs::write(folder.path("old"), "limits.frame = \"64KiB\"\n").expect("our folder");
    fs::write(folder.path("new"), "limits.frame = 65536\nengine.pin = true\n[push.namespace.chat]\n")
        .expect("our folder");
    let (old, new) = (folder.path("old").display().to_string(), folder.path("new").display().to_string());
    let ended = fails(&["config", "diff", &old, &new]);
    assert_eq!(ended.stdout, ["engine.pin: false -> true (restart)", "push.namespace.chat: added (live)"]);
    assert!(ended.status.success());
    let ended = fails(&["config", "diff", &old, &old]);
    assert_eq!(ended.stdout, ["no differences"]);
    let ended = fails(&["config", "diff", "--json", &old, &new]);
    let answer: serde_json::Value = serde_json::from_str(&ended.stdout[0]).expect("JSON");
    assert_eq!(
        (&answer["changes"][0]["key"], &answer["changes"][0]["class"]),
        (&"engine.pin".into(), &"restart".into())
    );
    assert_ne!(answer["digest_before"], answer["digest_after"]);
}

#[test]
fn the_page_of_settings_is_what_the_command_prints() {
    let ended = fails(&["config", "doc"]);
    let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
    let page = fs::read_to_string(page).expect("a page");
    let same = page.lines().eq(ended.stdout.iter().map(String::as_str));
    assert!(same, "run: cargo run -p gannet-cli -- config doc > docs/settings.md");
    let ended = fails(&["config", "doc", "limits.frame"]);
    assert!(ended.stdout.contains(&"  default: 1MiB".to_owned()), "{ended:#?}");
    for key in ["tls.certificates", "tls.NAME.certificates"] {
        let ended = fails(&["config", "doc", key]);
        assert_eq!(ended.stdout[0], "tls.NAME.certificates", "{ended:#?}");
    }
    let ended = fails(&["config", "doc", "limits.framee"]);
    assert!(only_line(&ended).contains("did you mean limits.frame?"), "{ended:#?}");
}

#[test]
fn the_printed_defaults_are_a_configuration_without_effect() {
    let ended = fails(&["config", "default"]);
    let text = ended.stdout.join("\n");
    let folder = Folder::new("defaults");
    let (empty, defaults) = (folder.path("empty"), folder.path("defaults"));
    fs::write(&empty, "").expect("our folder");
    fs::write(&defaults, text).expect("our folder");
    let ended = fails(&["config", "diff", &empty.display().to_string(), &defaults.display().to_string()]);
    assert_eq!(ended.stdout, ["no differences"], "{ended:#?}");
}
