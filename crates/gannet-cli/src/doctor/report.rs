//! What was found: as text, as JSON, and as a script that changes what is bad.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::json;

use super::check::{Amount, Check, Verdict};
use super::checks::Question;
use super::machine::Subject;

/// A line for each check, and below what is bad what changes it.
pub(super) fn text(checks: &[Check]) -> String {
    let mut out = String::new();
    let shown = |amount: &Option<Amount>| amount.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    let name = checks.iter().map(|check| check.name.len()).max().unwrap_or_default();
    // A string takes everything.
    let _ = writeln!(out, "{:4}  {:name$}  {:>14}  {:>14}  why", "", "check", "have", "need");
    for check in checks {
        let Check { name: own, verdict, have, need, why, fix } = check;
        let _ = writeln!(out, "{:4}  {own:name$}  {:>14}  {:>14}  {why}", verdict.name(), shown(have), shown(need));
        if let Some(now) = &fix.now {
            let _ = writeln!(out, "      now: {now}");
        }
        if let (Some(file), Some(line)) = (&fix.file, &fix.line) {
            let _ = writeln!(out, "      for good, in {file}: {}", line.replace('\n', "; "));
        }
    }
    out
}

/// Everything, as one object.
pub(super) fn json(question: &Question, subject: &Subject, checks: &[Check]) -> String {
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let all = json!({
        "connections": question.connections,
        "reactors": question.reactors,
        "pid": subject.pid,
        "ok": count(Verdict::Ok),
        "bad": count(Verdict::Bad),
        "skipped": count(Verdict::Skip),
        "checks": checks,
    });
    format!("{all}\n")
}

/// The commands for now, and the files for good.
pub(super) fn script(question: &Question, checks: &[Check]) -> String {
    let bad = || checks.iter().filter(|check| check.verdict == Verdict::Bad);
    let mut out = format!(
        "#!/bin/sh\n# Prepares this machine for {} connections of gannet. Run it as root.\nset -eu\n",
        question.connections
    );
    for check in bad() {
        let _ = match &check.fix.now {
            // What one machine refuses, a container's for example, must not keep the rest from being set.
            Some(now) => writeln!(out, "{now} || echo 'not changed: {}' >&2", check.name),
            None => writeln!(out, "# {}: {}", check.name, check.why),
        };
    }
    let mut files: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for fix in bad().map(|check| &check.fix) {
        if let (Some(file), Some(line)) = (&fix.file, &fix.line) {
            files.entry(file).or_default().push(line);
        }
    }
    for (file, lines) in files {
        let _ = writeln!(out, "mkdir -p \"$(dirname {file})\"\ncat > {file} <<'END'\n{}\nEND", lines.join("\n"));
    }
    out
}
