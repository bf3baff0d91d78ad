//! What the space does, sentence by sentence.

mod changes;
mod delivery;
mod inboxes;
mod limits;
mod options;
mod orders;
mod presence;
mod publishing;
mod reading;
mod recovery;
mod slow;
mod windows;

use std::sync::Arc;
use std::time::Duration;

use super::Log;
use crate::*;

const NOW: Time = Time(1_000_000);

fn later(ms: u64) -> Time {
    Time(NOW.0 + ms)
}

/// Options with a history of ten publications and all that builds on it.
fn stream() -> Options {
    Options {
        presence: true,
        history_size: 10,
        history_ttl: Duration::from_secs(60),
        allow_positioning: true,
        allow_recovery: true,
        ..Options::default()
    }
}

struct World {
    space: Arc<Space>,
    rosters: Vec<Roster<&'static str>>,
    log: Log,
}

impl World {
    fn new(options: Options) -> Self {
        Self::with(options, Limits::default(), 1)
    }

    fn with(options: Options, limits: Limits, reactors: usize) -> Self {
        let settings = Settings { namespaces: vec![Namespace::new("a1", options)], limits };
        let space = Space::new(settings, reactors, 7).unwrap();
        let rosters = (0..reactors).map(|reactor| Roster::new(&space, reactor)).collect();
        Self { space, rosters, log: Log::default() }
    }

    fn connect(&mut self, reactor: usize, name: &'static str) -> ClientKey {
        let connect = Connect { user: name.into(), conn_info: None, format: 0, value: name };
        self.rosters[reactor].connect(connect).unwrap().0
    }

    fn subscribe(&mut self, reactor: usize, client: ClientKey, request: Subscribe) -> Subscribed {
        self.rosters[reactor].subscribe(client, "a1:x", &request, NOW).unwrap()
    }

    /// Connects and subscribes.
    fn join(&mut self, reactor: usize, name: &'static str, request: Subscribe) -> ClientKey {
        let client = self.connect(reactor, name);
        self.subscribe(reactor, client, request);
        client
    }

    fn publish(&self, data: &'static str) -> Position {
        self.space.publish("a1:x", Publish::new(data), NOW).unwrap()
    }

    fn deliver(&mut self, reactor: usize) -> Vec<String> {
        self.deliver_at(reactor, NOW)
    }

    fn deliver_at(&mut self, reactor: usize, now: Time) -> Vec<String> {
        while self.rosters[reactor].deliver(&mut self.log, now, 100).more {}
        self.log.take()
    }

    fn flush(&mut self, client: ClientKey) -> Vec<String> {
        self.log.full.clear();
        assert!(self.rosters[0].flush(client, &mut self.log));
        self.log.take()
    }
}

fn positioned() -> Subscribe {
    Subscribe { positioned: true, recoverable: true, ..Subscribe::default() }
}

fn recovering(since: Since) -> Subscribe {
    Subscribe { recover: Some(since), ..positioned() }
}

fn data(subscribed: &Subscribed) -> Vec<&[u8]> {
    subscribed.publications.iter().map(|publication| &publication.data[..]).collect()
}
