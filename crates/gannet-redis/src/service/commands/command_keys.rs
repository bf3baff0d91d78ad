//! What COMMAND says of the keys of each command, and its tips for clients and proxies.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::service::table::Command;

/// Where some of a command's words are keys, and what is done with those (Redis's "key specification").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeySpec {
    /// The first key's place among the words.
    pub(super) first: usize,
    /// How many places behind it the last one is; negative counts from the end of the command.
    pub(super) last: i64,
    /// From one key to the next.
    pub(super) step: usize,
    /// Words of Redis, between blanks.
    flags: &'static str,
}

impl KeySpec {
    /// What is done with the keys, in Redis's words.
    pub(super) fn flags(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.flags.split(' ')
    }

    /// Whether these are channels, which nodes of a cluster are chosen by as they are by keys.
    pub(super) fn are_no_keys(&self) -> bool {
        self.flags == "not_key"
    }

    /// The places of its keys among so many words.
    pub(super) fn places(&self, words: usize) -> impl Iterator<Item = usize> + use<> {
        let last = if self.last < 0 { words as i64 + self.last } else { self.first as i64 + self.last };
        let end = usize::try_from(last + 1).unwrap_or(0).min(words);
        (self.first..end).step_by(self.step)
    }

    /// Reads one as it stands in the table.
    fn parse(text: &'static str) -> Option<Self> {
        let mut parts = text.trim_start().splitn(4, ' ');
        Some(Self {
            first: parts.next()?.parse().ok()?,
            last: parts.next()?.parse().ok()?,
            step: parts.next()?.parse().ok()?,
            flags: parts.next()?,
        })
    }
}

/// The specifications of a command's keys.
pub(super) fn specs(command: &Command) -> Vec<KeySpec> {
    static ALL: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| by_name(KEYS));
    let text = ALL.get(command.name).copied().unwrap_or_default();
    text.split(',').filter_map(KeySpec::parse).collect()
}

/// The tips on a command.
pub(super) fn tips(command: &Command) -> impl Iterator<Item = &'static str> + Clone + use<> {
    static ALL: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| by_name(TIPS));
    ALL.get(command.name).copied().unwrap_or_default().split_whitespace()
}

/// What is done with the keys of these words. It depends on the words where the specification says that its flags vary.
pub(super) fn access(command: &Command, spec: &KeySpec, words: &[&[u8]]) -> &'static str {
    let is = |at: usize, word: &str| words.get(at).is_some_and(|it| it.eq_ignore_ascii_case(word.as_bytes()));
    match command.name {
        "set" if (3..words.len()).any(|at| is(at, "get")) => "RW access update",
        "set" => "OW update",
        "bitfield" => {
            let mut at = 2;
            while at < words.len() {
                let left = words.len() - at - 1;
                at += match () {
                    () if is(at, "get") && left >= 2 => 3,
                    () if is(at, "overflow") && left >= 1 => 2,
                    () => return "RW access update",
                };
            }
            "RO access"
        }
        _ => spec.flags,
    }
}

fn by_name(rows: &[(&'static str, &'static str)]) -> HashMap<&'static str, &'static str> {
    rows.iter().flat_map(|(text, names)| names.split(' ').map(|name| (name, *text))).collect()
}

/// Each is the first key's place, that of the last one behind it, the step between keys, and what is done with them.
static KEYS: &[(&str, &str)] = &[
    (
        "1 0 1 RO access",
        "bitcount bitfield_ro bitpos expiretime get getbit getrange hget hgetall hkeys hmget hrandfield hscan hvals \
         pexpiretime pttl substr ttl",
    ),
    ("1 0 1 RW access update", "decr decrby getex getset hincrby hincrbyfloat incr incrby incrbyfloat move setbit"),
    ("1 0 1 RW access update variable_flags", "bitfield set"),
    ("1 0 1 RW access delete", "getdel"),
    ("1 0 1 RW access delete, 2 0 1 OW insert", "renamenx"),
    ("1 0 1 RW access delete, 2 0 1 OW update", "rename"),
    ("1 0 1 RW update", "expire expireat hmset hset persist pexpire pexpireat setrange"),
    ("1 0 1 RW delete", "hdel"),
    ("1 0 1 RW insert", "append hsetnx"),
    ("1 0 1 RO", "hexists hlen hstrlen strlen type"),
    ("1 0 1 RO access, 2 0 1 OW update", "copy"),
    ("1 0 1 OW insert", "setnx"),
    ("1 0 1 OW update", "psetex setex"),
    ("1 0 1 not_key", "spublish"),
    ("1 1 1 RO access", "lcs"),
    ("1 -1 1 RO", "exists touch watch"),
    ("1 -1 1 RO access", "mget"),
    ("1 -1 1 RM delete", "del unlink"),
    ("1 -1 1 not_key", "ssubscribe sunsubscribe"),
    ("1 -1 2 OW insert", "msetnx"),
    ("1 -1 2 OW update", "mset"),
    ("2 0 1 RO", "memory|usage object|encoding object|freq object|idletime object|refcount"),
    ("2 0 1 OW update, 3 -1 1 RO access", "bitop"),
];

static TIPS: &[(&str, &str)] = &[
    (
        "nondeterministic_output",
        "client|info client|list hrandfield hscan lastsave object|encoding object|freq object|idletime object|refcount \
         pttl time ttl",
    ),
    ("nondeterministic_output_order", "command command|docs command|info command|list hgetall hkeys hvals"),
    ("nondeterministic_output request_policy:all_shards response_policy:special", "info"),
    ("nondeterministic_output request_policy:special", "scan"),
    ("request_policy:all_nodes response_policy:all_succeeded", "config|set"),
    ("request_policy:all_shards nondeterministic_output", "randomkey"),
    ("request_policy:all_shards nondeterministic_output_order", "keys"),
    ("request_policy:all_shards response_policy:agg_sum", "dbsize"),
    ("request_policy:all_shards response_policy:all_succeeded", "flushall flushdb function|flush ping"),
    ("request_policy:multi_shard", "mget"),
    ("request_policy:multi_shard response_policy:agg_min", "msetnx"),
    ("request_policy:multi_shard response_policy:agg_sum", "del exists touch unlink"),
    ("request_policy:multi_shard response_policy:all_succeeded", "mset"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::table::{self, with_subcommands};

    #[test]
    fn what_is_said_of_keys_agrees_with_what_is_locked() {
        for command in with_subcommands() {
            for words in [command.arity.unsigned_abs().into(), 8, 9] {
                let locked: Vec<usize> = command.positions(words).collect();
                let said: Vec<usize> = specs(command).iter().flat_map(|spec| spec.places(words)).collect();
                assert_eq!(said, locked, "{} of {words} words", command.name);
            }
        }
    }

    #[test]
    fn everything_in_the_tables_is_about_a_command() {
        for name in [KEYS, TIPS].iter().flat_map(|rows| by_name(rows).into_keys()) {
            assert!(table::find_either(name.as_bytes()).is_some(), "{name}");
        }
    }
}
