//! Any text is a configuration of `gannet serve` or a list of mistakes, each with its place; no secret is in what is shown; what
//! is in effect is read again from its own output; and a configuration differs from itself in nothing.
//!
//! An input is a file. Behind a NUL there may be lines that are variables of the environment: the code of the first character is
//! the variable's number, and the rest is its value. `deploy/examples` are inputs.

#![no_main]

use std::io::ErrorKind;

use gannet_cli::trial::{schema, settings};
use gannet_config::{Loader, Problems, Values};
use libfuzzer_sys::fuzz_target;

/// Long enough for each purpose that secrets have.
const SECRET: &str = "hunter2-is-the-secret-of-all-of-them";

/// Settings that name files which are read when all others are typed: of an input, they could be devices without an end.
const FILES: [&str; 3] = ["push.token_key_files", "push.calls.ca", "traces.ca"];

fn loader(text: &str, variables: &[(String, String)]) -> Loader {
    let mut loader = Loader::new(schema()).secrets(
        |path| if path.ends_with("none") { Err(ErrorKind::NotFound.into()) } else { Ok(SECRET.to_owned()) },
        |name| (name != "NONE").then(|| SECRET.to_owned()),
    );
    loader.file("/etc/c.toml", text);
    loader.environment(variables.iter().cloned());
    loader
}

/// Each mistake has a place in the text, and shows no secret.
fn check(problems: &Problems, text: &str) {
    assert!(!problems.to_string().contains(SECRET));
    for problem in problems.iter() {
        assert!(!problem.line().contains('\n'));
        if let Some((_, line, column)) = problem.position() {
            assert!((1..=text.matches('\n').count() + 1).contains(&line) && column >= 1);
        }
    }
}

/// What is in effect is read again from its own output.
fn check_again(values: &Values, again: &Values, effective: &str) {
    assert!(values.changes(again).is_empty(), "{:?}\n{effective}", values.changes(again));
    assert_eq!(values.digest(), again.digest());
}

fuzz_target!(|input: &str| {
    let (text, words) = input.split_once('\0').unwrap_or((input, ""));
    // What a variable has as a secret is not what it is read as again below.
    let is_secret = |name: &str| ["KEY", "SECRET", "TOKEN", "PASSWORD", "JWKS", "PROXY", "HEADERS", "COLLECTOR"].iter().any(|word| name.contains(word));
    let names: Vec<String> = schema().variables().into_iter().filter(|name| !is_secret(name)).collect();
    let variables: Vec<(String, String)> = words
        .lines()
        .filter_map(|line| {
            let number = line.chars().next()?;
            Some((names[number as usize % names.len()].clone(), line[number.len_utf8()..].to_owned()))
        })
        .collect();
    let (values, problems) = loader(text, &variables).finish();
    check(&problems, text);
    assert!(values.changes(&values).is_empty());
    let effective = values.to_toml();
    assert!(!effective.contains(SECRET));
    // Without a name and what it is derived from, a member has none: typing refuses it.
    if values.members("listener").iter().all(|(name, _)| !name.is_empty()) {
        let (again, problems) = loader(&effective, &[]).finish();
        assert!(problems.is_empty(), "{problems}\n{effective}");
        check_again(&values, &again, &effective);
    }
    if FILES.iter().any(|key| values.root().entry(key).is_some()) {
        return;
    }
    match settings(loader(text, &variables)) {
        Err(problems) => check(&problems, text),
        Ok(values) => {
            let effective = values.to_toml();
            let again = settings(loader(&effective, &[])).unwrap_or_else(|problems| panic!("{problems}\n{effective}"));
            check_again(&values, &again, &effective);
        }
    }
});
