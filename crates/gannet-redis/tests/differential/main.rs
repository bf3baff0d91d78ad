//! Gannet against Redis itself: the same commands to both, and every reply compared byte for byte.
//!
//! `tables/` has commands with the replies that redis-server 7.0.15 gave to them, in RESP2 and in RESP3 (see [`table`]
//! for how they are written). They are replayed against Gannet always, and against Redis where it is installed, which
//! shows that the files say what Redis does. `GANNET_RECORD=1 cargo test -p gannet-redis --test differential` writes
//! the replies into the files anew. Then there are sequences made by chance, sent to both: `GANNET_SEEDS=5000` tries so
//! many instead of a few, and `GANNET_SEED=17` only the one with this number.

#[path = "../rig/mod.rs"]
mod rig;

mod chance;
mod command_lines;
mod random;
mod redis_server;
mod reply;
mod said_of_commands;
mod table;
mod wire;

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use gannet::DriverChoice;

use self::redis_server::RedisServer;
use self::rig::Rig;
use self::table::{Table, Who};
use self::wire::Wire;

/// A server to speak to.
trait Peer {
    fn connect(&self) -> Wire;
}

impl Peer for Rig {
    fn connect(&self) -> Wire {
        Wire::new(Self::connect(self).stream)
    }
}

fn tables() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential/tables");
    let mut files: Vec<PathBuf> =
        folder.read_dir().expect("tables").map(|file| file.expect("a table").path()).collect();
    files.sort();
    assert!(!files.is_empty());
    files
}

/// Redis, or a line that says that there is none: written past what the test runner keeps to itself.
fn redis(test: &str) -> Option<RedisServer> {
    let server = RedisServer::start();
    if let Err(why) = &server {
        let line = format!("\nSKIPPED: {test}: {why}\n");
        // Not by `eprintln!`, which is shown only where a test has failed.
        std::io::stderr().write_all(line.as_bytes()).expect("standard error");
    }
    server.ok()
}

fn replay(peer: &dyn Peer, who: Who) {
    let mut wrong = Vec::new();
    for file in tables() {
        let table = Table::read(&file);
        for version in [2, 3] {
            wrong.extend(table.replay(peer, who, version).into_iter().map(|line| format!("{}:{line}", file.display())));
        }
    }
    assert!(wrong.is_empty(), "{} replies differ\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_reply_in_the_tables_is_what_gannet_says() {
    replay(&Rig::start(DriverChoice::Poll), Who::Gannet);
}

#[test]
fn every_reply_in_the_tables_is_what_redis_says() {
    let Some(redis) = redis("the tables are not compared with Redis itself") else { return };
    if env::var_os("GANNET_RECORD").is_none() {
        return replay(&redis, Who::Redis);
    }
    for file in tables() {
        let mut table = Table::read(&file);
        table.record(&redis);
        table.write(&file);
    }
}

#[test]
fn whatever_is_asked_by_chance_is_answered_as_redis_answers_it() {
    let Some(redis) = redis("no sequences of commands are tried on both Gannet and Redis") else { return };
    let number = |name| env::var(name).ok().map(|text| text.parse::<u64>().expect("a number of seeds"));
    let seeds = match (number("GANNET_SEED"), number("GANNET_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, seeds) => 0..seeds.unwrap_or(20),
    };
    let gannet = Rig::start(DriverChoice::Poll);
    for seed in seeds {
        random::compare(seed, &gannet, &redis);
    }
}

#[test]
fn what_is_said_of_commands_is_what_redis_says_of_them() {
    let Some(redis) = redis("what COMMAND and INFO say is not compared with Redis itself") else { return };
    let gannet = Rig::start(DriverChoice::Poll);
    said_of_commands::compare_descriptions(&gannet, &redis);
    said_of_commands::compare_counts(&gannet, &redis);
}
