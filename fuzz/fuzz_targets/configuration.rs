//! Any text is a configuration or a list of mistakes, each with its place; no secret is in what is shown; what is in effect is
//! read again from its own output; and a configuration differs from itself in nothing.

#![no_main]

use std::time::Duration;

use gannet_config::{Choice, Class, Flag, Kind, Loader, Member, Problems, Schema, Section, Setting, Split, Values};
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "hunter2-is-the-secret";

fn not_empty(text: &str) -> Result<(), String> {
    if text.is_empty() { Err("it is empty".to_owned()) } else { Ok(()) }
}

fn has_query(text: &str) -> bool {
    text.contains('?')
}

fn expand(text: &str) -> Result<Vec<Member>, String> {
    let members =
        text.split_ascii_whitespace().map(|url| Member { name: None, entries: vec![("url", url.to_owned())] });
    Ok(members.collect())
}

static CHOICES: [Choice; 2] = [Choice { name: "fast", doc: "" }, Choice { name: "safe", doc: "" }];
static SECTIONS: [Section; 4] = [
    Section::table("limits", "Limits."),
    Section::named("tls", "Profiles."),
    Section::array("listener", "url", "Listeners.").flag(
        Flag { name: "listen", value: "URL", heading: "" },
        expand,
        ("", ""),
    ),
    Section::table("keys", "Secrets."),
];
static SETTINGS: [Setting; 12] = [
    Setting::new("limits.frame", Kind::size(1, 1 << 30), "Size.").default("1MiB").class(Class::Live),
    Setting::new("limits.count", Kind::Number(0, 1_000), "Number.").default("5"),
    Setting::new("limits.rate", Kind::Rate, "Rate.").default("0"),
    Setting::new("limits.idle", Kind::Time(Duration::ZERO, Duration::from_secs(86_400), true), "Time.").default("off"),
    Setting::new("limits.mode", Kind::Choice(&CHOICES), "Choice.").default("fast"),
    Setting::new("limits.on", Kind::Switch, "Switch.").default("false"),
    Setting::new("tls.*.files", Kind::List(&Kind::Path, Split::Lines), "Paths."),
    Setting::new("listener.*.url", Kind::Text("URL", "tcp://h:1", not_empty), "URL."),
    Setting::new("listener.*.limits.count", Kind::Number(0, 9), "Number."),
    Setting::new("keys.password", Kind::Secret, "Secret."),
    Setting::new("keys.all", Kind::Secrets, "Secrets."),
    Setting::new("keys.hook", Kind::Sensitive("URL", "http://h/", not_empty, has_query), "URL."),
];
static SCHEMA: Schema = Schema { prefix: "GANNET_", sections: &SECTIONS, settings: &SETTINGS };

fn read(text: &str, variables: Vec<(String, String)>) -> (Values, Problems) {
    let mut loader = Loader::new(&SCHEMA).secrets(
        |path| if path.ends_with("none") { Err(std::io::ErrorKind::NotFound.into()) } else { Ok(SECRET.to_owned()) },
        |name| (name != "NONE").then(|| SECRET.to_owned()),
    );
    loader.file("/etc/c.toml", text);
    loader.environment(variables);
    loader.finish()
}

/// A file, and variables by a word each.
type Input<'a> = (&'a str, Vec<(u8, &'a str)>);

fuzz_target!(|input: Input<'_>| {
    let (text, words) = input;
    // What a variable has as a secret is not what it is read as again below.
    let names: Vec<String> = SCHEMA.variables().into_iter().filter(|name| !name.contains("KEYS")).collect();
    let named = |(name, text): (u8, &str)| (names[usize::from(name) % names.len()].clone(), text.to_owned());
    let variables: Vec<(String, String)> = words.into_iter().map(named).collect();
    let (values, problems) = read(text, variables);
    assert!(!problems.to_string().contains(SECRET));
    for problem in problems.iter() {
        assert!(!problem.line().contains('\n'));
        if let Some((_, line, column)) = problem.position() {
            assert!((1..=text.matches('\n').count() + 1).contains(&line) && column >= 1);
        }
    }
    assert!(values.changes(&values).is_empty());
    let effective = values.to_toml();
    assert!(!effective.contains(SECRET));
    // Without a name and what it is derived from, a member has none: users of the crate refuse it.
    if values.members("listener").iter().any(|(name, _)| name.is_empty()) {
        return;
    }
    let (again, problems) = read(&effective, Vec::new());
    assert!(problems.is_empty(), "{problems}\n{effective}");
    assert!(values.changes(&again).is_empty(), "{:?}\n{effective}", values.changes(&again));
    assert_eq!(values.digest(), again.digest());
});
