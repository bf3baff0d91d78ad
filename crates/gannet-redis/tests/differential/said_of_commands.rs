//! What both servers say of commands: where their keys are, categories, tips, and how often they were called.

use crate::Peer;
use crate::command_lines::words;
use crate::reply::Reply;
use crate::wire::Wire;

fn connect(peer: &dyn Peer) -> Wire {
    let mut wire = peer.connect();
    ask(&mut wire, "HELLO 3");
    wire
}

fn ask(wire: &mut Wire, line: &str) -> Reply {
    wire.send(&words(line));
    wire.read()
}

/// The replies inside one.
fn inside(reply: Reply) -> Vec<Reply> {
    match reply {
        Reply::Many(_, replies) => replies,
        other => panic!("one reply where there should be several: {other}"),
    }
}

fn text(reply: &Reply) -> String {
    match reply {
        Reply::Text(_, text) => String::from_utf8_lossy(text).into_owned(),
        other => panic!("no text: {other}"),
    }
}

/// What a simple string says.
fn word(reply: &Reply) -> String {
    match reply {
        Reply::Line(line) => String::from_utf8_lossy(line).trim_start_matches('+').to_owned(),
        other => panic!("no simple string: {other}"),
    }
}

/// The flags that Gannet knows of; of the others only Redis has what they are about.
const FLAGS: [&str; 8] = ["write", "readonly", "denyoom", "admin", "pubsub", "fast", "no_auth", "no_multi"];

/// COMMAND INFO, but for flags that Gannet does not know, subcommands, which are those of each server's own commands, and
/// notes.
fn described(wire: &mut Wire, name: &str) -> Option<String> {
    let mut info = inside(ask(wire, &format!("COMMAND INFO {name}")));
    let Some(Reply::Many(_, parts)) = info.pop() else { return None };
    let kept = [0, 1, 3, 4, 5, 6, 7].map(|at| parts[at].to_string());
    let Reply::Many(_, flags) = &parts[2] else { panic!("these are no flags: {}", parts[2]) };
    let mut flags: Vec<String> = flags.iter().map(word).filter(|flag| FLAGS.contains(&flag.as_str())).collect();
    flags.sort();
    let specs = inside(parts.into_iter().nth(8)?).into_iter().map(|spec| {
        let mut fields = inside(spec);
        if text(&fields[0]) == "notes" {
            fields.drain(..2);
        }
        fields.iter().map(Reply::to_string).collect::<Vec<_>>().join(" ")
    });
    Some(format!("{} {flags:?} {}", kept.join(" "), specs.collect::<Vec<_>>().join(" ")))
}

/// Holds what Gannet says of each command that both have to what Redis says.
pub(crate) fn compare_descriptions(gannet: &dyn Peer, redis: &dyn Peer) {
    let (mut gannet, mut redis) = (connect(gannet), connect(redis));
    let names = inside(ask(&mut gannet, "COMMAND LIST"));
    let (mut wrong, mut compared) = (Vec::new(), 0);
    for name in names.iter().map(text) {
        let Some(expected) = described(&mut redis, &name) else { continue };
        compared += 1;
        let got = described(&mut gannet, &name).unwrap_or_default();
        if got != expected {
            wrong.push(format!("{name}\n    Gannet: {got}\n    Redis:  {expected}"));
        }
    }
    assert!(compared > 100, "only {compared} of {} commands are Redis's too", names.len());
    assert!(wrong.is_empty(), "{} commands differ\n{}", wrong.len(), wrong.join("\n"));
}

/// Lines of INFO without times.
fn counted(wire: &mut Wire, section: &str) -> Vec<String> {
    let text = text(&ask(wire, &format!("INFO {section}")));
    let line = |line: &str| line.split(',').filter(|field| !field.starts_with("usec")).collect::<Vec<_>>().join(",");
    // In RESP3 its type stands in front.
    let mut lines: Vec<String> = text.lines().filter(|line| !line.contains('#')).map(line).collect();
    lines.sort();
    lines
}

/// Holds what Gannet counts of commands and errors to what Redis counts.
pub(crate) fn compare_counts(gannet: &dyn Peer, redis: &dyn Peer) {
    let asked = [
        "SET k v",
        "GET k",
        "GET",
        "get k",
        "HGET k f",
        "HSET k f v",
        "FOO",
        "CONFIG FOO",
        "CONFIG",
        "CONFIG GET save",
        "CLIENT ID",
        "AUTH x",
        "MULTI",
        "GET k",
        "HGET k f",
        "SELECT 99",
        "EXEC",
        "MULTI",
        "FOO",
        "GET",
        "EXEC",
        "EXEC",
        "DISCARD",
        "MULTI",
        "PING",
        "DISCARD",
        "OBJECT ENCODING k",
        "OBJECT ENCODING",
        "OBJECT",
        "INCR k",
        "SUBSCRIBE",
    ];
    let counts = [gannet, redis].map(|peer| {
        let mut wire = connect(peer);
        ask(&mut wire, "FLUSHALL");
        ask(&mut wire, "CONFIG RESETSTAT");
        for line in asked {
            ask(&mut wire, line);
        }
        [counted(&mut wire, "commandstats"), counted(&mut wire, "errorstats")]
    });
    assert_eq!(counts[0], counts[1]);
    assert!(counts[0][0].len() > 10, "{:?}", counts[0]);
}
