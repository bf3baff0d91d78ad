//! The space under real threads: reactors that deliver, subscribe and disconnect while others publish.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::hash::Draw;
use crate::*;

const NOW: Time = Time(1_000_000);
const REACTORS: usize = 3;
const PUBLISHERS: usize = 3;
const PUBLICATIONS: u64 = 150_000;

/// A client's last offset of each channel.
type Seen = BTreeMap<String, u64>;

#[derive(Default)]
struct Check {
    got: u64,
    told: Vec<(ClientKey, String)>,
}

impl Sink<Seen> for Check {
    fn push(&mut self, client: ClientKey, seen: &mut Seen, _: u8, delivery: &Arc<Delivery>) -> Pushed {
        if let Event::Publication(publication) = delivery.event() {
            let last = seen.get_mut(delivery.channel()).expect("a subscription");
            assert_eq!(publication.offset, *last + 1, "{client:?} in {}", delivery.channel());
            *last += 1;
            self.got += 1;
        }
        Pushed::Taken
    }

    fn gap(&mut self, client: ClientKey, _: &mut Seen, channel: &str, _: bool) {
        self.told.push((client, channel.into()));
    }

    fn slow(&mut self, _: ClientKey, _: &mut Seen) {
        unreachable!("all is taken");
    }
}

/// Subscribes from where the client stands, and notes where that is; what was missed comes in order.
fn subscribe(roster: &mut Roster<Seen>, client: ClientKey, channel: &str, since: Option<Since>) -> Option<String> {
    let request = Subscribe { recover: since, recoverable: true, join_leave: true, ..Subscribe::default() };
    let subscribed = match roster.subscribe(client, channel, &request, NOW) {
        Ok(subscribed) => subscribed,
        Err(error) => {
            assert_eq!(error, SubscribeError::AlreadySubscribed);
            return None;
        }
    };
    let position = subscribed.position.expect("a position");
    let mut last = position.offset;
    for publication in &subscribed.publications {
        assert_eq!(publication.offset, last + 1, "recovered in order and without a gap");
        last += 1;
    }
    roster.value(client).expect("a client").insert(channel.into(), last);
    Some(position.epoch.to_string())
}

fn react(space: &Arc<Space>, reactor: usize, done: &AtomicBool) -> u64 {
    let mut roster = Roster::new(space, reactor);
    let me = thread::current();
    space.set_waker(reactor, Box::new(move || me.unpark()));
    let mut draw = Draw::new(reactor as u64);
    let mut check = Check::default();
    let mut clients = Vec::new();
    loop {
        // First: what is published before `done` is in the inbox by then.
        let last = done.load(Ordering::SeqCst);
        let channel = format!("a1:{}", draw.next() % 4);
        match draw.next() % 8 {
            0 if clients.len() < 40 => {
                let connect = Connect { user: "u".into(), conn_info: None, format: 0, value: Seen::new() };
                clients.push(roster.connect(connect).expect("room").0);
            }
            1 if !clients.is_empty() => {
                let client = clients.swap_remove(draw.next() as usize % clients.len());
                roster.disconnect(client, NOW);
            }
            2..=3 if !clients.is_empty() => {
                let client = clients[draw.next() as usize % clients.len()];
                subscribe(&mut roster, client, &channel, None);
            }
            4 if !clients.is_empty() => {
                // Away and back: nothing may be missing.
                let client = clients[draw.next() as usize % clients.len()];
                let offset = roster.value(client).and_then(|seen| seen.get(&channel).copied());
                if roster.unsubscribe(client, &channel, NOW) {
                    let since = Since::new(offset.expect("an offset"), "");
                    subscribe(&mut roster, client, &channel, Some(since));
                }
            }
            _ => {}
        }
        let budget = 1 + draw.next() as usize % 200;
        let delivered = roster.deliver(&mut check, NOW, budget);
        for (client, channel) in check.told.drain(..) {
            assert!(!roster.is_subscribed(client, &channel));
            subscribe(&mut roster, client, &channel, None);
        }
        roster.check_positions(2);
        if !delivered.more {
            if last {
                break;
            }
            thread::park_timeout(Duration::from_millis(1));
        }
    }
    // All is delivered: everybody stands where the space stands.
    for client in &clients {
        let channels: Vec<String> = roster.channels(*client).map(|(channel, _)| channel.to_owned()).collect();
        for channel in channels {
            let position = space.history(&channel, &HistoryRequest { limit: Some(0), ..Default::default() }, NOW);
            let seen = roster.value(*client).expect("a client")[&channel];
            assert_eq!(seen, position.expect("a history").position.offset, "{channel}");
        }
    }
    check.got
}

#[test]
fn threads_that_publish_subscribe_and_deliver_at_once_keep_every_stream_whole() {
    let options = Options {
        presence: true,
        join_leave: true,
        history_size: 500,
        history_ttl: Duration::from_secs(3600),
        allow_recovery: true,
        ..Options::default()
    };
    let limits = Limits { inbox_items: 2_000, ..Limits::default() };
    let settings = Settings { namespaces: vec![Namespace::new("a1", options)], limits };
    let space = Space::new(settings, REACTORS, 3).expect("settings");
    let done = AtomicBool::new(false);
    let published = AtomicU64::new(0);
    let got: u64 = thread::scope(|scope| {
        let reactors: Vec<_> = (0..REACTORS)
            .map(|reactor| {
                let (space, done) = (&space, &done);
                scope.spawn(move || react(space, reactor, done))
            })
            .collect();
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                let (space, published) = (&space, &published);
                scope.spawn(move || {
                    let mut draw = Draw::new(100 + publisher as u64);
                    for _ in 0..PUBLICATIONS {
                        let channel = format!("a1:{}", draw.next() % 4);
                        space.publish(&channel, Publish::new("x"), NOW).expect("room");
                        published.fetch_add(1, Ordering::Relaxed);
                        if draw.next().is_multiple_of(64) {
                            space.presence(&channel).expect("presence");
                            space.tick(NOW);
                        }
                    }
                })
            })
            .collect();
        for publisher in publishers {
            publisher.join().expect("a publisher");
        }
        done.store(true, Ordering::SeqCst);
        reactors.into_iter().map(|reactor| reactor.join().expect("a reactor")).sum()
    });
    let stats = space.stats();
    assert_eq!(stats.namespaces[0].publications, published.load(Ordering::Relaxed));
    assert!(got > 0 && stats.namespaces[0].deliveries >= got);
    assert_eq!((stats.clients, stats.users, stats.namespaces[0].subscriptions), (0, 0, 0), "rosters are gone");
    while space.tick(Time(u64::MAX)) {}
    assert!(space.is_empty());
}
