//! CONFIG: what can be set while the server runs, and what was set at its start.

use gannet::Address;

use super::{help, info};
use crate::command::Flags;
use crate::command::error::{Error, Outcome};
use crate::glob;
use crate::service::memory::Policy;
use crate::service::server::Server;
use crate::service::table::{Command, entry};
use crate::service::turn::Turn;
use crate::store::DATABASES;

pub(super) static SUBCOMMANDS: &[Command] = &[
    entry("config|get", -3, Flags::ADMIN, get),
    entry("config|set", -4, Flags::ADMIN, set),
    entry("config|resetstat", 2, Flags::ADMIN, resetstat),
    entry("config|rewrite", 2, Flags::ADMIN, rewrite),
    entry("config|help", 2, Flags::NONE, help_text),
];

/// Something that CONFIG knows.
struct Parameter {
    name: &'static str,
    value: fn(&Server) -> String,
    /// `None` where it was set at the start and stays.
    change: Option<Check>,
}

/// Says what to do for a new value, or what is wrong with it.
type Check = fn(&[u8]) -> Result<Change, &'static str>;

/// What is to be set.
enum Change {
    Nothing,
    MaxMemory(usize),
    Policy(Policy),
    Password(String),
    Protected(bool),
}

static PARAMETERS: [Parameter; 14] = [
    Parameter {
        name: "maxmemory",
        value: |server| server.memory.limit().to_string(),
        change: Some(|text| memory(text).map(Change::MaxMemory).ok_or("argument must be a memory value")),
    },
    Parameter {
        name: "maxmemory-policy",
        value: |server| server.memory.policy().name().to_owned(),
        change: Some(|text| {
            Policy::named(text)
                .map(Change::Policy)
                .ok_or("argument(s) must be one of the following: noeviction, allkeys-lru, volatile-ttl")
        }),
    },
    Parameter {
        name: "requirepass",
        value: |server| server.password.text(),
        change: Some(|text| match str::from_utf8(text) {
            Ok(text) => Ok(Change::Password(text.to_owned())),
            Err(_) => Err("argument must be UTF-8"),
        }),
    },
    Parameter {
        name: "protected-mode",
        value: |server| if server.guards.protects() { "yes" } else { "no" }.to_owned(),
        change: Some(|text| match text.to_ascii_lowercase().as_slice() {
            b"yes" => Ok(Change::Protected(true)),
            b"no" => Ok(Change::Protected(false)),
            _ => Err("argument must be 'yes' or 'no'"),
        }),
    },
    Parameter { name: "proto-max-bulk-len", value: |server| server.max_bulk().to_string(), change: None },
    Parameter { name: "databases", value: |_| DATABASES.to_string(), change: None },
    Parameter { name: "maxclients", value: |server| server.max_clients().to_string(), change: None },
    Parameter { name: "port", value: |server| port(server).to_string(), change: None },
    Parameter { name: "tls-port", value: |server| tls_port(server).to_string(), change: None },
    Parameter { name: "bind", value: bind, change: None },
    Parameter { name: "unixsocket", value: unix_socket, change: None },
    Parameter {
        name: "timeout",
        value: |_| "0".to_owned(),
        change: Some(|text| only(text, "0", "it is set when the server starts, for all of its services")),
    },
    Parameter {
        name: "save",
        value: |_| String::new(),
        change: Some(|text| only(text, "", "this store is memory only: nothing is saved")),
    },
    Parameter {
        name: "appendonly",
        value: |_| "no".to_owned(),
        change: Some(|text| only(text, "no", "this store is memory only: nothing is saved")),
    },
];

/// A value that stays what it is.
fn only(text: &[u8], value: &str, why_not: &'static str) -> Result<Change, &'static str> {
    if text.eq_ignore_ascii_case(value.as_bytes()) { Ok(Change::Nothing) } else { Err(why_not) }
}

/// A number of bytes as Redis reads it: `1k` is 1,000 of them and `1kb` 1,024.
fn memory(text: &[u8]) -> Option<usize> {
    let (number, unit) = text.split_at(text.iter().take_while(|byte| byte.is_ascii_digit()).count());
    let factor: usize = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1_000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    str::from_utf8(number).ok()?.parse::<usize>().ok()?.checked_mul(factor)
}

/// The first port that it listens on without TLS; 0 where there is none.
pub(super) fn port(server: &Server) -> u16 {
    let bound = server.bound();
    let mut ports = bound.iter().filter_map(|bound| match &bound.address {
        Address::Tcp(address) => Some(address.port()),
        _ => None,
    });
    ports.next().unwrap_or(0)
}

/// The first port that it listens on with TLS; 0 where there is none.
pub(super) fn tls_port(server: &Server) -> u16 {
    let bound = server.bound();
    let mut ports = bound.iter().filter_map(|bound| match &bound.address {
        Address::Tls(address) => Some(address.port()),
        _ => None,
    });
    ports.next().unwrap_or(0)
}

fn bind(server: &Server) -> String {
    let bound = server.bound();
    let hosts = bound.iter().filter_map(|bound| match &bound.address {
        Address::Tcp(address) | Address::Tls(address) => Some(address.ip().to_string()),
        _ => None,
    });
    hosts.collect::<Vec<_>>().join(" ")
}

fn unix_socket(server: &Server) -> String {
    let bound = server.bound();
    let mut paths = bound.iter().filter_map(|bound| match &bound.address {
        Address::Unix(path) => Some(path.display().to_string()),
        _ => None,
    });
    paths.next().unwrap_or_default()
}

fn get(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let patterns: Vec<Vec<u8>> = turn.args[2..].iter().map(|pattern| pattern.to_ascii_lowercase()).collect();
    let fits = |name: &str| patterns.iter().any(|pattern| glob::matches(pattern, name.as_bytes()));
    let found: Vec<_> = PARAMETERS.iter().filter(|parameter| fits(parameter.name)).collect();
    turn.reply().map(found.len());
    for parameter in found {
        let value = (parameter.value)(turn.server());
        turn.reply().bulk(parameter.name.as_bytes());
        turn.reply().bulk(value.as_bytes());
    }
    Ok(())
}

fn set(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let pairs = &turn.args[2..];
    if !pairs.len().is_multiple_of(2) {
        return Err(Error::SYNTAX);
    }
    // All are known before any is looked at, and all are looked at before any is set.
    let mut wanted: Vec<(&Parameter, _, &[u8])> = Vec::new();
    for pair in pairs.chunks_exact(2) {
        let (name, value) = (pair[0], pair[1]);
        let Some(parameter) = PARAMETERS.iter().find(|known| known.name.as_bytes().eq_ignore_ascii_case(name)) else {
            let name = String::from_utf8_lossy(name);
            return Err(Error::of(format!("ERR Unknown option or number of arguments for CONFIG SET - '{name}'")));
        };
        let change = parameter.change.ok_or_else(|| failed(parameter, "can't set immutable config"))?;
        if wanted.iter().any(|(other, ..)| other.name == parameter.name) {
            return Err(failed(parameter, "duplicate parameter"));
        }
        wanted.push((parameter, change, value));
    }
    let mut changes = Vec::new();
    for (parameter, change, value) in wanted {
        changes.push(change(value).map_err(|why| failed(parameter, why))?);
    }
    let server = turn.server();
    for change in changes {
        match change {
            Change::Nothing => {}
            Change::MaxMemory(bytes) => server.memory.set_limit(bytes),
            Change::Policy(policy) => server.memory.set_policy(policy),
            Change::Password(text) => server.password.set(text),
            Change::Protected(on) => server.guards.protect(on),
        }
    }
    turn.reply().ok();
    Ok(())
}

fn failed(parameter: &Parameter, why: &str) -> Error {
    Error::of(format!("ERR CONFIG SET failed (possibly related to argument '{}') - {why}", parameter.name))
}

fn resetstat(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let totals = info::totals(turn);
    turn.server().instances.reset(totals);
    turn.reply().ok();
    Ok(())
}

fn rewrite(_: &mut Turn<'_, '_, '_>) -> Outcome {
    Err(Error::new("ERR The server is running without a config file"))
}

fn help_text(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    help(
        turn,
        &[
            "GET <pattern>",
            "    Return parameters matching the glob-like <pattern> and their values.",
            "SET <directive> <value>",
            "    Set the configuration <directive> to <value>.",
            "RESETSTAT",
            "    Reset statistics reported by the INFO command.",
            "REWRITE",
            "    Refused: there is no configuration file.",
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_of_memory_may_have_a_unit() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("100", Some(100)),
            ("1k", Some(1_000)),
            ("1KB", Some(1_024)),
            ("2mb", Some(2 << 20)),
            ("3g", Some(3_000_000_000)),
            ("1Gb", Some(1 << 30)),
            ("7b", Some(7)),
            ("", None),
            ("mb", None),
            ("-1", None),
            ("1t", None),
            ("1 mb", None),
            ("99999999999999999999", None),
            ("18446744073709551615gb", None),
        ] {
            assert_eq!(memory(text.as_bytes()), bytes, "{text}");
        }
    }
}
