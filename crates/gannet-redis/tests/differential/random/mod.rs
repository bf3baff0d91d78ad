//! Sequences of commands made by chance, sent to both servers by two connections each, one by one or in pipelines.

mod generator;

use std::collections::BTreeSet;

use self::generator::Generator;
use crate::Peer;
use crate::command_lines::words;
use crate::reply::{Reply, Sameness};
use crate::wire::Wire;

/// Commands of one sequence.
const COMMANDS: usize = 500;

/// A command, and which of the connections sends it.
#[derive(Clone, Debug)]
struct Command {
    connection: usize,
    words: Vec<Vec<u8>>,
}

/// Sends the sequence of a seed to both, and fails with the shortest part of it that is still answered differently.
pub(crate) fn compare(seed: u64, gannet: &dyn Peer, redis: &dyn Peer) {
    let mut generator = Generator::new(seed);
    let commands: Vec<Command> = (0..COMMANDS).map(|_| generator.command()).collect();
    let Some((at, _)) = first_difference(seed, &commands, gannet, redis) else { return };

    // What was not needed for it is left out, in smaller and smaller parts. Times pass, so it may not come again.
    let mut kept = commands[..COMMANDS.min(at + 1)].to_vec();
    let mut part = kept.len() / 2;
    while part > 0 {
        let mut start = 0;
        while start < kept.len() {
            let without = [&kept[..start], &kept[(start + part).min(kept.len())..]].concat();
            if first_difference(seed, &without, gannet, redis).is_some() {
                kept = without;
            } else {
                start += part;
            }
        }
        part /= 2;
    }
    let difference = first_difference(seed, &kept, gannet, redis).map(|(_, text)| text);
    let lines: Vec<String> = kept.iter().map(shown).collect();
    panic!(
        "with GANNET_SEED={seed}, command {at} of the sequence is answered differently; so is what comes of these:\n{}\n{}",
        lines.join("\n"),
        difference.unwrap_or_else(|| "(not this time)".to_owned())
    );
}

fn shown(command: &Command) -> String {
    let words: Vec<String> = command.words.iter().map(|word| format!("\"{}\"", word.escape_ascii())).collect();
    format!("{}> {}", ["a", "b"][command.connection], words.join(" "))
}

/// The first command, by its index, to which the replies differ, or in the end what the databases hold.
fn first_difference(seed: u64, commands: &[Command], gannet: &dyn Peer, redis: &dyn Peer) -> Option<(usize, String)> {
    let version = 2 + seed % 2;
    let mut both = [gannet, redis].map(|peer| [peer.connect(), peer.connect()]);
    let greetings = ["FLUSHALL".to_owned(), format!("HELLO {version}")];
    for wire in both.iter_mut().flatten() {
        for greeting in &greetings {
            wire.send(&words(greeting));
            wire.read();
        }
    }
    let mut queued: [Option<Vec<Sameness>>; 2] = [None, None];
    // Half of the sequences send what comes from one connection without waiting for the replies.
    let pipelines = seed / 2 % 2 == 1;
    let mut index = 0;
    for batch in commands.chunk_by(|one, next| pipelines && one.connection == next.connection) {
        for wires in &mut both {
            batch.iter().for_each(|command| wires[command.connection].send(&command.words));
        }
        for command in batch {
            let name = command.words[0].to_ascii_uppercase();
            let sameness = match (&*name, &mut queued[command.connection]) {
                (b"EXEC", queued) => Sameness::Each(queued.take().unwrap_or_default()),
                (b"DISCARD", queued) => {
                    *queued = None;
                    Sameness::Exact
                }
                _ => generator::sameness(&name),
            };
            let [ours, theirs] = &mut both;
            let [ours, theirs] = [ours, theirs].map(|wires| wires[command.connection].read().reduced(&sameness));
            if !ours.agrees(&theirs, &sameness) {
                return Some((index, difference(&shown(command), &ours, &theirs)));
            }
            if theirs == Reply::Line(b"+QUEUED".to_vec()) {
                queued[command.connection].get_or_insert_default().push(sameness);
            }
            index += 1;
        }
    }
    let [[ours, _], [theirs, _]] = &mut both;
    contents_differ(ours, theirs).map(|text| (commands.len(), text))
}

fn difference(what: &str, ours: &Reply, theirs: &Reply) -> String {
    format!("{what}\n    Gannet says: {ours}\n    Redis says:  {theirs}")
}

/// Compares all keys of all databases.
fn contents_differ(ours: &mut Wire, theirs: &mut Wire) -> Option<String> {
    let mut ask = |line: Vec<Vec<u8>>, sameness: Sameness| {
        let [one, other] = [&mut *ours, &mut *theirs].map(|wire| {
            wire.send(&line);
            wire.read().reduced(&sameness)
        });
        let shown = shown(&Command { connection: 0, words: line });
        if one.agrees(&other, &sameness) { Ok(other) } else { Err(difference(&shown, &one, &other)) }
    };
    let mut compare = || {
        // It may be in the middle of a transaction.
        let _ = ask(words("DISCARD"), Sameness::Exact);
        for db in 0..16 {
            ask(words(&format!("SELECT {db}")), Sameness::Exact)?;
            ask(words("DBSIZE"), Sameness::Exact)?;
            let Reply::Many(_, keys) = ask(words("KEYS *"), Sameness::Sorted)? else { continue };
            for key in keys.into_iter().collect::<BTreeSet<_>>() {
                let Reply::Text(_, key) = key else { continue };
                let of = |command: &str| vec![command.as_bytes().to_vec(), key.clone()];
                let reads = match ask(of("TYPE"), Sameness::Exact)?.to_string().as_str() {
                    "+hash" => ("HGETALL", Sameness::Pairs),
                    _ => ("GET", Sameness::Exact),
                };
                ask(of(reads.0), reads.1)?;
                ask(of("PTTL"), Sameness::Near)?;
            }
        }
        Ok(())
    };
    compare().err()
}
