//! The space against a model of it: seeded schedules of publishers, reactors whose inboxes are drained at any time, slow
//! readers, clients that vanish and come back with recovery, orders, and a shutdown.
//!
//! The model knows all publications of every channel in their order. Each person (a client with its memory) checks what
//! it gets against that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::hash::Draw;
use crate::*;

/// One publication of a channel, as the model keeps it.
#[derive(Debug, Clone)]
struct Logged {
    id: u64,
    /// 0 if no history has it.
    offset: u64,
    time: Time,
}

/// A channel, as the model keeps it.
#[derive(Debug, Default)]
struct Model {
    /// All publications, over all lives of the channel.
    log: Vec<Logged>,
    /// Where in the log the retained part may begin: what came before was removed, or belongs to an earlier life.
    kept_from: usize,
    top: u64,
    epoch: String,
    published: Time,
    subscribers: BTreeSet<usize>,
}

/// What a person remembers of a subscription.
#[derive(Debug, Clone)]
struct Sub {
    /// Everything before this place of the log was received, or came before the subscription.
    cursor: usize,
    since: Since,
    subscribed: Subscribed,
    wants: bool,
    view: BTreeSet<ClientId>,
    /// A push was refused for want of room.
    full: bool,
    /// The person was told that something is missing.
    told: bool,
}

#[derive(Debug, Default)]
struct Person {
    user: String,
    reactor: usize,
    key: Option<ClientKey>,
    id: Option<ClientId>,
    /// Pushes that it takes before it is full.
    room: u32,
    subs: BTreeMap<String, Sub>,
    /// What it remembers of subscriptions that ended, to recover from.
    past: BTreeMap<String, Sub>,
    /// Numbers up to this one were given before it connected.
    since_number: u64,
    /// It has to be closed.
    doomed: bool,
    slow: bool,
}

/// What all people see: the sink of all rosters.
struct Crowd {
    people: Vec<Person>,
    models: BTreeMap<String, Model>,
    settings: Settings,
    taken_events: u64,
    taken_frames: u64,
    gaps: u64,
    slow: u64,
}

fn id_of(publication: &Publication) -> u64 {
    String::from_utf8_lossy(&publication.data).parse().unwrap()
}

impl Crowd {
    fn options(&self, channel: &str) -> &Options {
        let (namespace, _) = split_name(channel);
        &self.settings.namespaces.iter().find(|there| there.name == namespace).unwrap().options
    }

    fn event(&mut self, who: usize, delivery: &Delivery, lossy: bool) {
        let channel = delivery.channel();
        let strict_mode = self.options(channel).recovery_mode == RecoveryMode::Stream;
        let model = &self.models[channel];
        let person = &mut self.people[who];
        let sub = person.subs.get_mut(channel).unwrap_or_else(|| panic!("{who} is not subscribed to {channel}"));
        assert!(!sub.told, "{who} was told that its subscription to {channel} is over");
        match delivery.event() {
            Event::Publication(publication) => {
                let id = id_of(publication);
                let rest = &model.log[sub.cursor..];
                let skipped = rest.iter().position(|logged| logged.id == id).unwrap_or_else(|| {
                    panic!("{who} got publication {id} of {channel} twice, or out of order, or from before it came")
                });
                assert_eq!(rest[skipped].offset, publication.offset);
                let stored = rest[..skipped].iter().any(|logged| logged.offset > 0);
                let positioned = sub.subscribed.positioned || sub.subscribed.recoverable;
                if stored && positioned {
                    assert!(!strict_mode && sub.full, "{who} missed something of {channel} and was not told");
                }
                assert!(skipped == 0 || lossy || sub.full, "{who} missed something of {channel}");
                sub.cursor += skipped + 1;
                if publication.offset > 0 {
                    sub.since.offset = publication.offset;
                }
            }
            Event::Join(info) => {
                assert!(sub.wants, "{who} did not ask for joins");
                let new = sub.view.insert(info.client());
                assert!(new || lossy || sub.full, "a join of {channel} came twice to {who}");
            }
            Event::Leave(info) => {
                assert!(sub.wants, "{who} did not ask for leaves");
                let known = sub.view.remove(&info.client());
                assert!(known || lossy || sub.full, "a leave of {channel} came to {who} without its join");
            }
            Event::Batch(_) => panic!("a batch in a batch"),
        }
    }
}

/// One reactor's view of the crowd.
struct Reactor<'a> {
    crowd: &'a mut Crowd,
    lossy: bool,
}

impl Sink<usize> for Reactor<'_> {
    fn push(&mut self, key: ClientKey, who: &mut usize, format: u8, delivery: &Arc<Delivery>) -> Pushed {
        let person = &mut self.crowd.people[*who];
        assert_eq!(person.key, Some(key));
        assert_eq!(usize::from(format), *who % 3);
        assert!(!person.slow, "{who} was called slow already");
        if person.room == 0 {
            person.subs.get_mut(delivery.channel()).unwrap().full = true;
            return Pushed::Full;
        }
        person.room -= 1;
        self.crowd.taken_frames += 1;
        let encode = |delivery: &Delivery| bytes::Bytes::from(delivery.channel().to_owned());
        assert_eq!(delivery.wire(format, encode), delivery.channel().as_bytes());
        if let Event::Batch(all) = delivery.event() {
            assert!(all.len() > 1);
            for delivery in all {
                self.crowd.taken_events += 1;
                self.crowd.event(*who, delivery, self.lossy);
            }
        } else {
            self.crowd.taken_events += 1;
            self.crowd.event(*who, delivery, self.lossy);
        }
        Pushed::Taken
    }

    fn gap(&mut self, key: ClientKey, who: &mut usize, channel: &str, server_side: bool) {
        self.crowd.gaps += 1;
        let person = &mut self.crowd.people[*who];
        assert_eq!(person.key, Some(key));
        let sub = person.subs.get_mut(channel).unwrap();
        assert!(sub.subscribed.positioned || sub.subscribed.recoverable);
        assert!(!std::mem::replace(&mut sub.told, true), "{who} was told twice");
        assert_eq!(server_side, is_server_side(*who, channel));
        person.doomed |= server_side;
    }

    fn slow(&mut self, key: ClientKey, who: &mut usize) {
        self.crowd.slow += 1;
        let person = &mut self.crowd.people[*who];
        assert_eq!((person.key, person.slow), (Some(key), false));
        (person.slow, person.doomed) = (true, true);
    }
}

fn is_server_side(who: usize, channel: &str) -> bool {
    (who + channel.len()).is_multiple_of(5)
}

struct World {
    space: Arc<Space>,
    rosters: Vec<Roster<usize>>,
    crowd: Crowd,
    draw: Draw,
    now: Time,
    next_id: u64,
    /// Ticks come with every step of time, so that the model knows what is forgotten.
    exact: bool,
    forgotten: u64,
    /// Orders on their way: who is to get it from which number of a private message.
    orders: BTreeMap<u64, (BTreeSet<usize>, BTreeMap<String, usize>)>,
    published: u64,
}

const NAMESPACES: [&str; 9] = ["plain", "stream", "cache", "drop", "latest", "newest", "joined", "joint", "short"];

fn settings(draw: &mut Draw) -> Settings {
    let stream = Options {
        presence: true,
        join_leave: true,
        history_size: 6,
        history_ttl: Duration::from_millis(400),
        history_meta_ttl: Duration::from_millis(900),
        allow_positioning: true,
        allow_recovery: true,
        ..Options::default()
    };
    let options = |name: &str| match name {
        "plain" => Options { presence: true, join_leave: true, slow: SlowPolicy::Drop, ..Options::default() },
        "cache" => Options { recovery_mode: RecoveryMode::Cache, force_recovery: true, ..stream.clone() },
        "drop" => Options { slow: SlowPolicy::Drop, force_positioning: true, ..stream.clone() },
        "latest" => Options { slow: SlowPolicy::LatestOnly, force_recovery: true, ..stream.clone() },
        "newest" => Options {
            slow: SlowPolicy::LatestOnly,
            recovery_mode: RecoveryMode::Cache,
            force_recovery: true,
            ..stream.clone()
        },
        "joined" => Options {
            coalesce: Some(Duration::from_millis(20)),
            force_recovery: true,
            slow: SlowPolicy::LatestOnly,
            ..stream.clone()
        },
        "joint" => Options {
            coalesce: Some(Duration::from_millis(50)),
            force_push_join_leave: true,
            presence: true,
            join_leave: true,
            slow: SlowPolicy::Drop,
            ..Options::default()
        },
        "short" => Options { history_size: 2, force_recovery: true, presence: false, ..stream.clone() },
        _ => stream.clone(),
    };
    let mut limits = Limits { recovery: 4, channels_per_client: 12, ..Limits::default() };
    if draw.next().is_multiple_of(3) {
        limits.inbox_items = 1 + (draw.next() % 6) as usize;
    }
    if draw.next().is_multiple_of(4) {
        limits.batch_events = 3;
    }
    Settings { namespaces: NAMESPACES.iter().map(|name| Namespace::new(*name, options(name))).collect(), limits }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let settings = settings(&mut draw);
        let reactors = 1 + (draw.next() % 3) as usize;
        let space = Space::new(settings.clone(), reactors, draw.next()).unwrap();
        let channels = NAMESPACES.iter().flat_map(|name| [format!("{name}:1"), format!("{name}:22")]);
        let people =
            (0..9).map(|who| Person { user: ["", "ada", "bob", "eve"][who % 4].into(), ..Person::default() }).collect();
        Self {
            rosters: (0..reactors).map(|reactor| Roster::new(&space, reactor)).collect(),
            crowd: Crowd {
                people,
                models: channels.map(|name| (name, Model::default())).collect(),
                settings,
                taken_events: 0,
                taken_frames: 0,
                gaps: 0,
                slow: 0,
            },
            space,
            exact: draw.next().is_multiple_of(2),
            draw,
            now: Time(1_000),
            next_id: 1,
            forgotten: 0,
            orders: BTreeMap::new(),
            published: 0,
        }
    }

    fn below(&mut self, end: usize) -> usize {
        (self.draw.next() % end as u64) as usize
    }

    fn channel(&mut self) -> String {
        let at = self.below(self.crowd.models.len());
        self.crowd.models.keys().nth(at).unwrap().clone()
    }

    fn lossy(&self) -> bool {
        self.space.stats().inbox_lost > 0
    }

    fn step(&mut self) {
        match self.below(22) {
            0..=5 => self.publish(),
            6..=9 => self.subscribe(),
            10 => self.unsubscribe(),
            11..=12 => self.connect(),
            13 => self.disconnect(),
            14..=17 => {
                let (reactor, budget) = (self.below(self.rosters.len()), 1 + self.below(9));
                self.deliver(reactor, budget);
            }
            18 => self.make_room(),
            19 => self.order(),
            20 => {
                let reactor = self.below(self.rosters.len());
                self.rosters[reactor].check_positions(7);
            }
            _ => self.pass_time(),
        }
        self.check();
    }

    fn publish(&mut self) {
        let channel = self.channel();
        let (id, now) = (self.next_id, self.now);
        self.next_id += 1;
        let mut publish = Publish::new(id.to_string());
        publish.skip_history = self.below(8) == 0;
        let twice = self.below(10) == 0;
        if twice {
            publish.idempotency_key = Some(id.to_string());
        }
        let keep = self.crowd.options(&channel).has_history() && !publish.skip_history;
        let position = self.space.publish(&channel, publish, now).unwrap();
        let model = self.crowd.models.get_mut(&channel).unwrap();
        let mut offset = 0;
        if keep {
            if model.epoch.is_empty() || model.top == 0 {
                model.epoch = position.epoch.to_string();
            }
            model.top += 1;
            offset = model.top;
            assert_eq!((position.offset, position.epoch.to_string()), (offset, model.epoch.clone()));
            model.published = now;
        } else {
            assert_eq!(position, Position::default());
        }
        model.log.push(Logged { id, offset, time: now });
        self.published += 1;
        if twice {
            let again =
                Publish { idempotency_key: Some(id.to_string()), ..Publish::new("must not be seen by anybody") };
            assert_eq!(self.space.publish(&channel, again, now), Ok(position));
        }
        if keep && self.below(40) == 0 {
            self.space.history_remove(&channel, now).unwrap();
            let model = self.crowd.models.get_mut(&channel).unwrap();
            model.kept_from = model.log.len();
        }
    }

    /// What the history has, by the model: publications in their order.
    fn retained(&self, channel: &str) -> Vec<Logged> {
        let options = self.crowd.options(channel);
        let model = &self.crowd.models[channel];
        let stored: Vec<_> = model.log[model.kept_from..].iter().filter(|logged| logged.offset > 0).cloned().collect();
        let from = stored.len().saturating_sub(options.history_size);
        stored[from..].iter().filter(|logged| logged.time + options.history_ttl > self.now).cloned().collect()
    }

    fn connected(&mut self) -> Option<usize> {
        let all: Vec<_> = (0..self.crowd.people.len()).filter(|who| self.crowd.people[*who].key.is_some()).collect();
        (!all.is_empty()).then(|| all[self.below(all.len())])
    }

    fn connect(&mut self) {
        let (who, reactor) = (self.below(self.crowd.people.len()), self.below(self.rosters.len()));
        let person = &mut self.crowd.people[who];
        if person.key.is_some() {
            return;
        }
        let connect =
            Connect { user: person.user.as_str().into(), conn_info: None, format: (who % 3) as u8, value: who };
        let (key, id) = self.rosters[reactor].connect(connect).unwrap();
        (person.key, person.id, person.reactor, person.room) = (Some(key), Some(id), reactor, 1 << 20);
        (person.doomed, person.slow, person.since_number) = (false, false, self.next_id);
        if who % 3 == 0 {
            person.room = 3;
        }
        assert_eq!(self.rosters[reactor].find(id), Some(key));
    }

    fn disconnect(&mut self) {
        if let Some(who) = self.connected() {
            self.close(who);
        }
    }

    fn close(&mut self, who: usize) {
        let now = self.now;
        let person = &mut self.crowd.people[who];
        assert_eq!(self.rosters[person.reactor].disconnect(person.key.take().unwrap(), now), Some(who));
        for (channel, sub) in std::mem::take(&mut person.subs) {
            self.crowd.models.get_mut(&channel).unwrap().subscribers.remove(&who);
            self.crowd.people[who].past.insert(channel, sub);
        }
        self.forget();
    }

    /// Subscriptions that the roster ended after a gap.
    fn settle_told(&mut self) {
        for (who, person) in self.crowd.people.iter_mut().enumerate() {
            let told: Vec<_> =
                person.subs.iter().filter(|(_, sub)| sub.told).map(|(channel, _)| channel.clone()).collect();
            for channel in told {
                let sub = person.subs.remove(&channel).unwrap();
                self.crowd.models.get_mut(&channel).unwrap().subscribers.remove(&who);
                person.past.insert(channel, sub);
            }
        }
        self.forget();
    }

    fn subscribe(&mut self) {
        let Some(who) = self.connected() else { return };
        let channel = self.channel();
        self.subscribe_to(who, &channel);
    }

    fn subscribe_to(&mut self, who: usize, channel: &str) {
        let now = self.now;
        // One without a position has nothing to recover from.
        let past = self.crowd.people[who].past.get(channel).filter(|past| past.subscribed.position.is_some());
        let past = past.cloned().filter(|_| self.below(5) > 0);
        let recover = past.as_ref().map(|past| past.since.clone());
        let wants = self.below(2) == 0;
        let request = Subscribe {
            recover: recover.clone(),
            recover_bytes: None,
            positioned: self.below(2) == 0,
            recoverable: self.below(2) == 0,
            join_leave: wants,
            chan_info: (self.below(4) == 0).then(|| "here".into()),
            server_side: is_server_side(who, channel),
            overrides: Overrides::default(),
        };
        let options = self.crowd.options(channel).clone();
        let retained = self.retained(channel);
        let person = &self.crowd.people[who];
        let result = self.rosters[person.reactor].subscribe(person.key.unwrap(), channel, &request, now);
        if person.subs.contains_key(channel) {
            assert_eq!(result.unwrap_err(), SubscribeError::AlreadySubscribed);
            return;
        }
        if person.subs.len() == 12 {
            assert_eq!(result.unwrap_err(), SubscribeError::TooManyChannels { limit: 12 });
            return;
        }
        let subscribed = result.unwrap();
        let model = self.crowd.models.get_mut(channel).unwrap();
        assert_eq!(
            subscribed.recoverable,
            options.force_recovery || options.allow_recovery && request.recoverable && options.has_history()
        );
        let mut since = Since::default();
        if let Some(position) = subscribed.position {
            if model.epoch.is_empty() {
                model.epoch = position.epoch.to_string();
            }
            assert_eq!(position.epoch.to_string(), model.epoch, "the model knows this life of {channel}");
            since = Since::new(model.top, model.epoch.as_str());
            let recovered = subscribed.recovered == Some(true) && options.recovery_mode == RecoveryMode::Stream;
            let offset = if recovered { recover.as_ref().unwrap().offset } else { model.top };
            assert_eq!(position.offset, offset);
        }
        assert_eq!(subscribed.recovered.is_some(), subscribed.recoverable && recover.is_some());
        let got: Vec<u64> = subscribed.publications.iter().map(|publication| id_of(publication)).collect();
        if let (Some(recovered), Some(past)) = (subscribed.recovered, &past) {
            let missed = &model.log[past.cursor..];
            let missed: Vec<u64> = missed.iter().filter(|logged| logged.offset > 0).map(|logged| logged.id).collect();
            let newest = retained.last().filter(|last| last.offset == model.top);
            let same = past.since.epoch.is_empty() || *past.since.epoch == *model.epoch;
            match (options.recovery_mode, recovered) {
                (RecoveryMode::Stream, true) => {
                    assert_eq!(got, missed, "{who} recovered {channel}, but not all: {past:?} {model:?} {retained:?}");
                }
                (RecoveryMode::Stream, false) => {
                    assert!(got.is_empty());
                    let complete = past.since.offset <= model.top
                        && (model.top - past.since.offset) as usize <= retained.len().min(4);
                    assert!(!(self.exact && same && complete), "{who} could have recovered {channel}");
                    let nothing = past.since.offset == 0 && missed.is_empty() && model.top == 0;
                    assert!(
                        !(nothing && self.forgotten == 0),
                        "nothing was ever published to {channel}, and recovery was refused"
                    );
                }
                (RecoveryMode::Cache, true) => {
                    let newest = newest.expect("there is a newest publication");
                    let has_it = same && past.since.offset == model.top;
                    assert_eq!(got, if has_it { vec![] } else { vec![newest.id] });
                }
                (_, _) => assert!(got.is_empty() && newest.is_none()),
            }
        } else {
            assert!(got.is_empty());
        }
        let wants = wants || options.force_push_join_leave;
        let view = model.subscribers.iter().filter_map(|other| self.crowd.people[*other].id).collect();
        model.subscribers.insert(who);
        let cursor = model.log.len();
        let sub = Sub { cursor, since, subscribed, wants, view, full: false, told: false };
        self.crowd.people[who].subs.insert(channel.into(), sub);
        self.crowd.people[who].past.remove(channel);
    }

    fn unsubscribe(&mut self) {
        let Some(who) = self.connected() else { return };
        let (channel, now) = (self.channel(), self.now);
        self.unsubscribe_from(who, &channel, now);
    }

    fn unsubscribe_from(&mut self, who: usize, channel: &str, now: Time) {
        let person = &mut self.crowd.people[who];
        let there = self.rosters[person.reactor].unsubscribe(person.key.unwrap(), channel, now);
        let sub = person.subs.remove(channel);
        assert_eq!(there, sub.is_some());
        if let Some(sub) = sub {
            person.past.insert(channel.into(), sub);
            self.crowd.models.get_mut(channel).unwrap().subscribers.remove(&who);
        }
        self.forget();
    }

    fn deliver(&mut self, reactor: usize, budget: usize) -> bool {
        let lossy = self.lossy();
        let mut sink = Reactor { crowd: &mut self.crowd, lossy };
        let delivered = self.rosters[reactor].deliver(&mut sink, self.now, budget);
        // Who came in the middle of a window gets its events one by one.
        assert!(delivered.pushed <= budget || self.crowd.settings.limits.batch_events > 0 && delivered.pushed < 100);
        self.settle_told();
        if let Some(ordered) = &delivered.order {
            self.carry_out(reactor, ordered);
        }
        for who in 0..self.crowd.people.len() {
            if self.crowd.people[who].key.is_some() && self.crowd.people[who].doomed && self.below(3) == 0 {
                self.close(who);
            }
        }
        delivered.more
    }

    fn order(&mut self) {
        let Some(who) = self.connected() else { return };
        let channel = self.channel();
        let user = self.crowd.people[who].user.clone();
        let number = self.next_id;
        self.next_id += 1;
        let reason: Arc<str> = number.to_string().into();
        let order = match self.below(3) {
            0 => Order::Unsubscribe { channel: channel.as_str().into(), code: 2000, reason },
            1 => Order::Disconnect { code: 3503, reason, except: Vec::new() },
            _ => Order::Custom(Arc::new(number)),
        };
        let all = self.below(2) == 0;
        let target = if all {
            Target::User { user: user.as_str().into(), client: None, session: None }
        } else {
            Target::Client(self.crowd.people[who].id.unwrap())
        };
        let meant: BTreeSet<_> = (0..self.crowd.people.len())
            .filter(|other| {
                let person = &self.crowd.people[*other];
                person.key.is_some() && (*other == who || all && person.user == user)
            })
            .collect();
        assert_eq!(self.space.order(target, order), Ok(meant.len()));
        let at = self.crowd.models.iter().map(|(name, model)| (name.clone(), model.log.len())).collect();
        self.orders.insert(number, (meant, at));
    }

    fn carry_out(&mut self, reactor: usize, ordered: &Ordered) {
        let number = match ordered.order() {
            Order::Unsubscribe { reason, .. } | Order::Disconnect { reason, .. } => reason.parse().unwrap(),
            Order::Custom(number) => *number.downcast_ref::<u64>().unwrap(),
            _ => unreachable!("no other order is given"),
        };
        let lossy = self.lossy();
        for key in ordered.clients() {
            let who = *self.rosters[reactor].value(*key).unwrap();
            let (meant, at) = self.orders.get_mut(&number).unwrap();
            assert!(meant.remove(&who), "order {number} came to {who} twice, or was not meant for it");
            for (channel, sub) in &self.crowd.people[who].subs {
                if !lossy && !sub.full && !self.crowd.people[who].slow {
                    assert!(sub.cursor >= at[channel], "{who} got order {number} before a publication of {channel}");
                }
            }
            match ordered.order() {
                Order::Unsubscribe { channel, .. } => self.unsubscribe_from(who, channel, self.now),
                Order::Disconnect { .. } => self.close(who),
                _ => {}
            }
        }
    }

    fn make_room(&mut self) {
        let Some(who) = self.connected() else { return };
        let room = 1 + self.below(9) as u32;
        self.flush(who, room);
    }

    fn flush(&mut self, who: usize, room: u32) {
        let lossy = self.lossy();
        let person = &mut self.crowd.people[who];
        if person.slow {
            return;
        }
        person.room = person.room.max(room);
        let (reactor, key) = (person.reactor, person.key.unwrap());
        let mut sink = Reactor { crowd: &mut self.crowd, lossy };
        self.rosters[reactor].flush(key, &mut sink);
        self.settle_told();
    }

    fn pass_time(&mut self) {
        let longest = if self.below(6) == 0 { 700 } else { 60 };
        self.now = self.now + Duration::from_millis(self.below(longest) as u64);
        if self.exact || self.below(4) == 0 {
            while self.space.tick(self.now) {}
            self.forget();
        }
    }

    /// Forgets channels in the model, as the space does.
    fn forget(&mut self) {
        for name in self.crowd.models.keys().cloned().collect::<Vec<_>>() {
            let (meta, retained) = (self.crowd.options(&name).history_meta_ttl, self.retained(&name));
            let remembers = self.crowd.options(&name).has_history();
            let model = self.crowd.models.get_mut(&name).unwrap();
            if !remembers || !model.subscribers.is_empty() || !retained.is_empty() {
                continue;
            }
            let over = model.top == 0 || model.published + meta <= self.now;
            if over && !model.epoch.is_empty() {
                if model.top > 0 {
                    // The space does this with the next tick that looks at the channel. Ask it to.
                    while self.space.tick(self.now) {}
                }
                self.forgotten += u64::from(model.top > 0);
                (model.top, model.epoch, model.kept_from) = (0, String::new(), model.log.len());
            }
        }
    }

    fn check(&self) {
        let people = &self.crowd.people;
        for (channel, model) in &self.crowd.models {
            assert_eq!(self.space.subscribers(channel).unwrap() as usize, model.subscribers.len(), "{channel}");
            if !self.crowd.options(channel).presence {
                assert!(matches!(self.space.presence_stats(channel), Err(PresenceError::Off)));
                continue;
            }
            let present: BTreeSet<_> = self.space.presence(channel).unwrap().iter().map(|info| info.client()).collect();
            let expected: BTreeSet<_> = model.subscribers.iter().map(|who| people[*who].id.unwrap()).collect();
            assert_eq!(present, expected, "presence of {channel}");
            let users: BTreeSet<_> = model.subscribers.iter().map(|who| &people[*who].user).collect();
            let stats = self.space.presence_stats(channel).unwrap();
            assert_eq!((stats.clients as usize, stats.users as usize), (expected.len(), users.len()), "{channel}");
        }
    }

    /// Delivers everything, makes room for everybody, and checks that nobody misses anything without knowing.
    fn settle(&mut self) {
        let mut quiet = 0;
        while quiet < 3 {
            quiet += 1;
            self.now = self.now + Duration::from_millis(60);
            for reactor in 0..self.rosters.len() {
                while self.deliver(reactor, 100) {}
                if self.rosters[reactor].next_due().is_some() {
                    quiet = 0;
                }
            }
            for who in 0..self.crowd.people.len() {
                if self.crowd.people[who].key.is_some() && self.crowd.people[who].doomed {
                    self.close(who);
                } else if self.crowd.people[who].key.is_some() {
                    self.flush(who, 1 << 20);
                }
            }
        }
        let lossy = self.lossy();
        for reactor in 0..self.rosters.len() {
            assert_eq!(self.rosters[reactor].waiting(), 0);
        }
        for (who, person) in self.crowd.people.iter().enumerate() {
            for (channel, sub) in &person.subs {
                let model = &self.crowd.models[channel];
                let options = self.crowd.options(channel);
                let missed = &model.log[sub.cursor..];
                let stored = missed.iter().any(|logged| logged.offset > 0);
                let positioned = sub.subscribed.positioned || sub.subscribed.recoverable;
                assert!(!(stored && positioned), "{who} misses the end of {channel} and was not told");
                let drops = sub.full && options.slow == SlowPolicy::Drop;
                assert!(missed.is_empty() || lossy || drops || sub.full, "{who} misses the end of {channel}");
                if sub.wants && !lossy && !sub.full {
                    let ids: BTreeSet<_> =
                        model.subscribers.iter().map(|other| self.crowd.people[*other].id.unwrap()).collect();
                    assert_eq!(sub.view, ids, "{who}'s view of {channel} by joins and leaves");
                }
            }
        }
        for (number, (meant, _)) in std::mem::take(&mut self.orders) {
            let missing = meant.iter().find(|who| self.crowd.people[**who].since_number < number);
            let missing = missing.filter(|who| self.crowd.people[**who].key.is_some());
            assert!(missing.is_none(), "{missing:?} was there all the time, and order {number} did not come");
        }
        self.check();
        self.check_counters();
    }

    fn check_counters(&self) {
        let stats = self.space.stats();
        let sum = |of: fn(&NamespaceStats) -> u64| stats.namespaces.iter().map(of).sum::<u64>();
        let people = &self.crowd.people;
        let connected = people.iter().filter(|person| person.key.is_some());
        assert_eq!(stats.clients, connected.clone().count() as u64);
        assert_eq!(stats.users, connected.map(|person| &person.user).collect::<BTreeSet<_>>().len() as u64);
        assert_eq!(sum(|of| of.publications), self.published);
        assert_eq!(sum(|of| of.deliveries), self.crowd.taken_events);
        assert_eq!(sum(|of| of.frames), self.crowd.taken_frames);
        assert_eq!(sum(|of| of.gaps), self.crowd.gaps);
        assert_eq!(sum(|of| of.slow), self.crowd.slow);
        let subscriptions: usize = people.iter().map(|person| person.subs.len()).sum();
        assert_eq!(sum(|of| of.subscriptions), subscriptions as u64);
        assert_eq!(sum(|of| of.channels), stats.channels);
        if self.exact {
            let retained: usize = self.crowd.models.keys().map(|channel| self.retained(channel).len()).sum();
            assert!(stats.history_publications >= retained as u64);
        }
        assert_eq!(stats.inbox_items, 0);
    }

    fn end(mut self) {
        if self.below(2) == 0 {
            self.settle();
            for who in 0..self.crowd.people.len() {
                if self.crowd.people[who].key.is_some() {
                    self.close(who);
                }
            }
            self.check();
        }
        // Reactors end one after the other, with or without clients and with whatever is on its way.
        self.rosters.clear();
        let late = self.now + Duration::from_secs(3600);
        while self.space.tick(late) {}
        assert!(self.space.is_empty(), "{:#?}", self.space.stats());
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    let steps = 100 + world.below(300);
    for step in 0..steps {
        world.step();
        if step % 97 == 96 {
            world.settle();
        }
    }
    world.end();
}

#[test]
fn in_every_schedule_subscribers_get_everything_in_order_or_are_told() {
    let seed = std::env::var("GANNET_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
    let count = std::env::var("GANNET_SEEDS").ok().and_then(|count| count.parse::<u64>().ok()).unwrap_or(1_000);
    let seeds = seed.map_or(0..count, |seed| seed..seed + 1);
    for seed in seeds {
        let failed = std::panic::catch_unwind(|| run(seed)).is_err();
        assert!(
            !failed,
            "seed {seed} failed; GANNET_SEED={seed} cargo test -p gannet-channels --lib in_every_schedule runs it again"
        );
    }
}
