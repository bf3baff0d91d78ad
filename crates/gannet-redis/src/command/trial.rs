//! Runs commands on a store without a connection, for the tests of each family.

use gannet::proto::resp::{Commands, Version, Writer};
use gannet::proto::{Codec as _, Decoded};

use super::call::Call;
use super::{Run, asked};
use crate::service::statistics::Statistics;
use crate::store::Store;
use crate::store::random::Random;

/// A store with somebody who asks it.
pub(crate) struct Trial {
    pub(crate) store: Store,
    pub(crate) db: u8,
    /// The time, which only tests move.
    pub(crate) now_ms: u64,
    pub(crate) version: Version,
    pub(crate) random: Random,
}

impl Default for Trial {
    fn default() -> Self {
        Self {
            store: Store::default(),
            db: 0,
            now_ms: 1_700_000_000_000,
            version: Version::Resp2,
            random: Random::new(0),
        }
    }
}

impl Trial {
    /// Runs a command, written as one would type it into `redis-cli`, and gives the bytes of its reply as text.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        let mut line = format!("{line}\r\n").into_bytes();
        let decoded = Commands::default().decode(&mut Default::default(), &mut line).expect("a command");
        let Decoded::Message { message: args, .. } = decoded else { panic!("a whole command") };
        self.run(&args)
    }

    /// The same, with its words given one by one.
    pub(crate) fn run(&mut self, args: &[&[u8]]) -> String {
        let mut reply = Writer::new(Vec::new(), self.version);
        let outcome = asked(args).and_then(|command| {
            let Run::Keys(run) = command.run else { panic!("a command that needs no connection") };
            let keys = &mut command.lock(&self.store, args);
            let (reply, garbage) = (&mut reply, &mut Vec::new());
            run(&mut Call {
                command,
                args,
                keys,
                db: self.db,
                now_ms: self.now_ms,
                max_bulk: 512 << 20,
                reply,
                garbage,
                statistics: &Statistics::default(),
                random: &mut self.random,
            })
        });
        if let Err(error) = outcome {
            assert!(reply.get_ref().is_empty(), "nothing is written before an error");
            reply.error(&error.0);
        }
        String::from_utf8_lossy(reply.get_ref()).into_owned()
    }

    /// Asks several things, and compares each answer.
    #[track_caller]
    pub(crate) fn expect(&mut self, exchanges: &[(&str, &str)]) {
        for (line, reply) in exchanges {
            assert_eq!(self.ask(line), *reply, "{line}");
        }
    }
}
