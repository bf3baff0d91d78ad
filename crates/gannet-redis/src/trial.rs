//! Runs commands on a store without a connection: for the tests of each family, and for fuzzing.

use gannet::proto::resp::{Commands, Replies, Version, Writer};
use gannet::proto::{Codec as _, Decoded};

use crate::command::call::Call;
use crate::command::parts::{Part, Parts};
use crate::counter::Lookups;
use crate::service::table::{Run, asked};
use crate::store::random::Random;
use crate::store::{DATABASES, SHARDS, Store};

pub use crate::service::table::all;

/// Fields that a reply may show: with more, the reply is not looked at.
const MOST_FIELDS: usize = 1 << 20;

/// What a shard may keep for itself of a change in bytes.
const UNREPORTED_BYTES: usize = 1024;

/// A store with somebody who asks it.
#[derive(Debug)]
pub struct Trial {
    /// The store.
    pub store: Store,
    /// The database that is asked.
    pub db: u8,
    /// The time, which only tests move.
    pub now_ms: u64,
    /// The version of the protocol.
    pub version: Version,
    /// The largest string, in bytes.
    pub max_bulk: usize,
    /// For what is chosen by chance.
    pub random: Random,
    /// Bytes of work that commands have counted.
    pub work: usize,
}

impl Default for Trial {
    fn default() -> Self {
        Self {
            store: Store::default(),
            db: 0,
            now_ms: 1_700_000_000_000,
            version: Version::Resp2,
            max_bulk: 512 << 20,
            random: Random::new(0),
            work: 0,
        }
    }
}

impl Trial {
    /// Runs a command, written as one would type it into `redis-cli`, and gives the bytes of its reply as text.
    pub fn ask(&mut self, line: &str) -> String {
        let mut line = format!("{line}\r\n").into_bytes();
        let decoded = Commands::default().decode(&mut Default::default(), &mut line).expect("a command");
        let Decoded::Message { message: args, .. } = decoded else { panic!("a whole command") };
        self.run(&args)
    }

    /// The same, with its words given one by one.
    pub fn run(&mut self, args: &[&[u8]]) -> String {
        let reply = self.answer(args).expect("a command that needs no connection");
        String::from_utf8_lossy(&reply).into_owned()
    }

    /// The bytes of its reply, unless it needs a connection or shows very many fields.
    pub fn answer(&mut self, args: &[&[u8]]) -> Option<Vec<u8>> {
        let (mut reply, mut parts) = (Writer::new(Vec::new(), self.version), Parts::default());
        let outcome = match asked(args) {
            Ok(command) => {
                let Run::Keys(run) = command.run else { return None };
                let keys = &mut command.lock(&self.store, args);
                run(&mut Call {
                    command: &command.signature,
                    args,
                    keys,
                    db: self.db,
                    now_ms: self.now_ms,
                    max_bulk: self.max_bulk,
                    received: None,
                    reply: &mut reply,
                    parts: &mut parts,
                    garbage: &mut Vec::new(),
                    work: &mut self.work,
                    lookups: &Lookups::default(),
                    random: &mut self.random,
                })
            }
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            assert!(reply.get_ref().is_empty(), "nothing is written before an error");
            reply.error(&error.0);
        }
        let mut whole = Vec::new();
        for part in parts.drain(reply.into_inner()) {
            match part {
                Part::Bytes(bytes) => whole.extend_from_slice(&bytes),
                // Who sends them to a client sends a few at a time, and never has all of them.
                Part::Fields(fields) if fields.left() > MOST_FIELDS => return None,
                Part::Fields(mut fields) => {
                    while fields.left() > 0 {
                        whole.append(&mut fields.write(self.version, Vec::new()));
                    }
                }
            }
        }
        Some(whole)
    }

    /// Asks several things, and compares each answer.
    #[track_caller]
    pub fn expect(&mut self, exchanges: &[(&str, &str)]) {
        for (line, reply) in exchanges {
            assert_eq!(self.ask(line), *reply, "{line}");
        }
    }

    /// Runs whatever commands are in these bytes, up to where they are none, and holds each answer to what every answer
    /// has to be.
    pub fn feed(&mut self, stream: &[u8]) {
        let (mut stream, mut start, mut state) = (stream.to_vec(), 0, Default::default());
        let codec = Commands::default();
        while let Ok(Decoded::Message { message, consumed }) = codec.decode(&mut state, &mut stream[start..]) {
            if !message.is_empty() {
                self.question(&message);
            }
            start += consumed;
        }
    }

    /// Runs a command, and holds its answer to what every answer has to be: one whole reply, and an error has its code
    /// in front.
    pub fn question(&mut self, args: &[&[u8]]) {
        let Some(mut reply) = self.answer(args) else { return };
        if let [b'-', error @ ..] = &reply[..] {
            let code = error.split(|byte| *byte == b' ').next().unwrap_or_default();
            assert!(code.len() > 1 && code.iter().all(u8::is_ascii_uppercase), "{}", error.escape_ascii());
        }
        let (len, codec) = (reply.len(), Replies::new().max_bulk(usize::MAX).max_elements(usize::MAX));
        match codec.decode(&mut Default::default(), &mut reply) {
            Ok(Decoded::Message { consumed, .. }) => assert_eq!(consumed, len, "more than one reply"),
            other => panic!("no whole reply: {other:?}"),
        }
    }

    /// Looks at each key of all databases, and holds what is counted to what there is.
    pub fn check_counts(&self) {
        let (mut bytes, counts) = (0, self.store.counts());
        for db in 0..DATABASES as u8 {
            let sums = self.recount(db);
            assert_eq!((counts.keys(db), counts.expiring(db)), (sums.0, sums.1));
            bytes += sums.2;
        }
        assert!(bytes.abs_diff(counts.bytes()) <= SHARDS * UNREPORTED_BYTES);
    }

    /// Keys, keys that expire, and bytes, of one database.
    fn recount(&self, db: u8) -> (usize, usize, usize) {
        let mut sums = (0, 0, 0);
        for number in 0..SHARDS {
            let mut locked = self.store.lock_shard(number);
            let Some(space) = locked.shard(number).existing(db) else { continue };
            let mut bytes = 0;
            for entry in (0..space.places()).filter_map(|place| space.at(place, 0)) {
                sums = (sums.0 + 1, sums.1 + usize::from(entry.deadline_ms().is_some()), sums.2);
                bytes += entry.cost();
            }
            assert_eq!((space.bytes(), space.is_empty()), (bytes, bytes == 0));
            sums.2 += bytes;
        }
        sums
    }
}
