//! Tables: files of commands with the replies that they get.
//!
//! ```text
//! == A section begins with empty databases and new connections.
//! SET key value
//!     +OK
//! b> HGETALL hash
//!     2 *["field", "value"]
//!     3 %["field", "value"]
//! b<
//!     >["message", "channel", "text"]
//! ```
//!
//! A line without an indentation is a command; what stands behind it, indented, is its reply: for both versions of the
//! protocol, or for each. `b> ` in front sends it on another connection than `a`; `b<` only reads what comes. `raw: `
//! sends the bytes in quotes. `sorted: `, `pairs: `, `near: ` and `shape: ` say how much of the reply has to be the same:
//! see [`Sameness`]. A reply that begins with `gannet` is Gannet's own, where it differs on purpose.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::Peer;
use crate::command_lines::{quoted, words};
use crate::reply::{Reply, Sameness, texts_agree};
use crate::wire::Wire;

/// Whose replies are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Redis,
    Gannet,
}

/// See the module.
pub(crate) struct Table {
    lines: Vec<Line>,
}

enum Line {
    /// A comment, or nothing.
    Other(String),
    Section(String),
    Step(Step),
}

struct Step {
    text: String,
    /// Counted from 1.
    number: usize,
    connection: char,
    sameness: Sameness,
    send: Option<Vec<u8>>,
    words: Vec<Vec<u8>>,
    /// Redis's replies in each version.
    replies: [Option<String>; 2],
    /// Gannet's, where they differ on purpose.
    own: [Option<String>; 2],
}

impl Table {
    pub(crate) fn read(file: &Path) -> Self {
        let mut lines = Vec::new();
        for (index, text) in fs::read_to_string(file).expect("a table").lines().enumerate() {
            if let Some(reply) = text.strip_prefix("    ") {
                let Some(Line::Step(step)) = lines.last_mut() else { panic!("a reply to nothing: {text}") };
                step.add(reply);
            } else if text.starts_with("== ") {
                lines.push(Line::Section(text.to_owned()));
            } else if text.is_empty() || text.starts_with('#') {
                lines.push(Line::Other(text.to_owned()));
            } else {
                lines.push(Line::Step(Step::new(text, index + 1)));
            }
        }
        Self { lines }
    }

    pub(crate) fn write(&self, file: &Path) {
        let mut text = String::new();
        for line in &self.lines {
            match line {
                Line::Other(line) | Line::Section(line) => text += &format!("{line}\n"),
                Line::Step(step) => step.write(&mut text),
            }
        }
        fs::write(file, text).expect("the table is written");
    }

    /// Sends everything, and says which replies differ from those that are written down.
    pub(crate) fn replay(&self, peer: &dyn Peer, who: Who, version: usize) -> Vec<String> {
        let (mut wrong, mut connections) = (Vec::new(), Connections::new(peer, version));
        for line in &self.lines {
            match line {
                Line::Other(_) => {}
                Line::Section(_) => connections = Connections::new(peer, version),
                Line::Step(step) => {
                    let got = connections.run(step);
                    let expected = step.expected(who, version);
                    if !texts_agree(&got, expected, &step.sameness) {
                        let (number, text) = (step.number, &step.text);
                        wrong.push(format!(
                            "{number}: RESP{version}: {text}\n    {who:?} says: {got}\n    expected:    {expected}"
                        ));
                    }
                }
            }
        }
        wrong
    }

    /// Writes down the replies.
    pub(crate) fn record(&mut self, peer: &dyn Peer) {
        for version in [2, 3] {
            let mut connections = Connections::new(peer, version);
            for line in &mut self.lines {
                match line {
                    Line::Other(_) => {}
                    Line::Section(_) => connections = Connections::new(peer, version),
                    Line::Step(step) => {
                        let got = connections.run(step);
                        let known = &mut step.replies[version - 2];
                        if !known.as_ref().is_some_and(|known| texts_agree(known, &got, &step.sameness)) {
                            *known = Some(got);
                        }
                    }
                }
            }
        }
    }
}

impl Step {
    fn new(line: &str, number: usize) -> Self {
        let (mut connection, mut rest) = ('a', line);
        let mut chars = line.chars();
        if let (Some(name @ 'a'..='z'), Some(way @ ('<' | '>'))) = (chars.next(), chars.next()) {
            connection = name;
            rest = line[2..].trim_start();
            assert!(way == '>' || rest.is_empty() || rest.ends_with(':'), "{line}");
        }
        let mut sameness = Sameness::Exact;
        let kinds = [
            ("sorted:", Sameness::Sorted),
            ("pairs:", Sameness::Pairs),
            ("near:", Sameness::Near),
            ("shape:", Sameness::Shape),
        ];
        for (name, kind) in kinds {
            if let Some(behind) = rest.strip_prefix(name) {
                (sameness, rest) = (kind, behind.trim_start());
            }
        }
        let send = rest.strip_prefix("raw: \"").map(|raw| quoted(raw).0);
        let words = if send.is_some() { Vec::new() } else { words(rest) };
        let (text, replies, own) = (line.to_owned(), [None, None], [None, None]);
        Self { text, number, connection, sameness, send, words, replies, own }
    }

    fn add(&mut self, reply: &str) {
        let (replies, reply) = match reply.strip_prefix("gannet ") {
            Some(reply) => (&mut self.own, reply),
            None => (&mut self.replies, reply),
        };
        if let Some(reply) = reply.strip_prefix("2 ") {
            replies[0] = Some(reply.to_owned());
        } else if let Some(reply) = reply.strip_prefix("3 ") {
            replies[1] = Some(reply.to_owned());
        } else {
            *replies = [Some(reply.to_owned()), Some(reply.to_owned())];
        }
    }

    fn expected(&self, who: Who, version: usize) -> &str {
        let own = self.own[version - 2].as_deref().filter(|_| who == Who::Gannet);
        own.or(self.replies[version - 2].as_deref()).unwrap_or("(nothing is written down)")
    }

    fn write(&self, text: &mut String) {
        *text += &format!("{}\n", self.text);
        for (prefix, replies) in [("", &self.replies), ("gannet ", &self.own)] {
            match replies {
                [Some(two), Some(three)] if two == three => *text += &format!("    {prefix}{two}\n"),
                replies => {
                    for (version, reply) in [2, 3].iter().zip(replies) {
                        if let Some(reply) = reply {
                            *text += &format!("    {prefix}{version} {reply}\n");
                        }
                    }
                }
            }
        }
    }
}

/// The connections of one section.
struct Connections<'p> {
    peer: &'p dyn Peer,
    version: usize,
    open: BTreeMap<char, Wire>,
}

impl<'p> Connections<'p> {
    fn new(peer: &'p dyn Peer, version: usize) -> Self {
        let mut fresh = peer.connect();
        fresh.send(&words("FLUSHALL"));
        assert_eq!(fresh.read().to_string(), "+OK");
        Self { peer, version, open: BTreeMap::new() }
    }

    fn run(&mut self, step: &Step) -> String {
        let Self { peer, version, .. } = *self;
        let wire = self.open.entry(step.connection).or_insert_with(|| {
            let mut wire = peer.connect();
            wire.send(&words(&format!("HELLO {version}")));
            assert!(matches!(wire.read(), Reply::Many(..)));
            wire
        });
        match &step.send {
            Some(bytes) => wire.send_raw(bytes),
            None if step.words.is_empty() => {}
            None => wire.send(&step.words),
        }
        wire.read().reduced(&step.sameness).to_string()
    }
}
