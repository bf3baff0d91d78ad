//! What the pages for operators name is there: commands, variables, metrics.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;

use crate::server::{Server, gannet};

const PAGES: [&str; 3] = ["docs/operations.md", "docs/containers.md", "README.md"];

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The words of a text that begin with a prefix, each once.
fn words(text: &str, prefix: &str, belongs: fn(char) -> bool) -> BTreeSet<String> {
    let starts = text.match_indices(prefix).filter(|(at, _)| !text[..*at].ends_with(belongs));
    let word = |(at, _): (usize, &str)| text[at..].chars().take_while(|character| belongs(*character)).collect();
    starts.map(word).collect()
}

fn help(arguments: &[&str]) -> Option<String> {
    let output = gannet(arguments).arg("--help").output().expect("it runs");
    output.status.success().then(|| String::from_utf8(output.stdout).expect("text"))
}

#[test]
fn every_command_that_the_pages_for_operators_name_exists() {
    let all = help(&[]).expect("a help");
    for name in PAGES {
        let text = page(name);
        // Only where it is a command: at the begin of a line of code, or of a piece of code.
        let commands = text.split("gannet ").skip(1).zip(text.split("gannet "));
        let commands = commands.filter(|(_, before)| before.ends_with(['\n', '`', '(', '"']));
        let commands: BTreeSet<&str> = commands.filter_map(|(after, _)| after.split([' ', '`', '\n']).next()).collect();
        assert!(
            commands.contains(if name == "docs/containers.md" { "probe" } else { "doctor" }),
            "{name}: {commands:?}"
        );
        for command in commands.into_iter().filter(|command| command.chars().all(|one| one.is_ascii_lowercase())) {
            assert!(all.contains(&format!("\n  {command} ")), "{name}: gannet {command}");
        }
    }
}

#[test]
fn every_variable_that_the_pages_for_operators_name_is_an_option() {
    let options = help(&["serve"]).expect("a help");
    for name in PAGES {
        for variable in words(&page(name), "GANNET_", |one| one.is_ascii_uppercase() || one == '_') {
            let option = variable.trim_start_matches("GANNET_").to_lowercase().replace('_', "-");
            assert!(
                options.contains(&format!("--{option} ")) || options.contains(&format!("--{option}\n")),
                "{name}: {variable}"
            );
        }
    }
}

#[test]
fn every_metric_that_the_pages_for_operators_name_is_there() {
    let ca = ["--listen=http=tls://127.0.0.1:0", "--tls-self-signed", "--listen=http=tcp://127.0.0.1:0"];
    let push = ["--listen=push=tcp://127.0.0.1:0", "--traces-collector=http://127.0.0.1:1", "--audit-log=/dev/null"];
    let server = Server::serve("poll", &[&ca[..], &push].concat());
    let url = server.urls("http").into_iter().find(|url| url.starts_with("tcp")).expect("one without TLS");
    let mut stream = crate::server::Stream::connect(&url);
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").expect("it is taken");
    let metrics = String::from_utf8(stream.rest()).expect("text");
    for name in ["docs/operations.md", "docs/containers.md", "docs/operating.md"] {
        for metric in
            words(&page(name), "gannet_", |one| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '_')
        {
            // Crates, and the name of a package's file.
            if ["gannet_http", "gannet_redis", "gannet_", "gannet_tls", "gannet_reactor_"].contains(&&*metric) {
                continue;
            }
            assert!(metrics.contains(&format!("\n{metric}")), "{name}: {metric}");
        }
    }
}
