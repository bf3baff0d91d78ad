//! What all clients and publishers of a run share: the channels, what was published to each, and the names of epochs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::client::Client;
use super::positions::Positions;
use super::session::{Publishing, Session};
use crate::config::Config;
use crate::plan::{Course, Crowd, Mode};
use crate::record::Record;
use crate::scenario::push::{Channels, Workload};
use crate::scenario::{Ws, ws};

/// The largest message of a server: a recovery has many publications.
const LARGEST_MESSAGE_BYTES: usize = 16 << 20;

/// The subprotocol of messages in Protobuf.
const PROTOBUF: &str = "centrifuge-protobuf";

/// See the module.
pub struct Plan {
    /// Where they connect, and how far the run has come.
    pub course: Course<Client>,
    pub(super) workload: Workload,
    pub(super) channels: Channels,
    /// Number of clients; publishers have the numbers from there on.
    pub(super) clients: u32,
    /// Publishers of each channel, at the most.
    pub(super) publishers_each: usize,
    /// Bytes of a publication's data.
    pub(super) size: usize,
    /// Tells the publications of this run from those of others.
    pub(super) run: u32,
    /// The handshake.
    pub(super) ws: Ws,
    /// Publications by channel and its publisher: how many numbers were given.
    given: Box<[AtomicU32]>,
    /// The same: the number after the last that the server has accepted.
    accepted: Box<[AtomicU32]>,
    /// Those that the server has refused, and those of which nobody knows: nobody misses them.
    unsure: Mutex<Unsure>,
    epochs: Mutex<Epochs>,
}

/// Publications by the place of their publisher and their number.
#[derive(Default)]
struct Unsure {
    numbers: BTreeSet<(u32, u32)>,
    /// How many clients have missed those to which the server has not answered yet.
    missed: BTreeMap<(u32, u32), u64>,
}

/// The names of epochs, each once.
#[derive(Default)]
struct Epochs {
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
}

impl Unsure {
    fn among(&self, index: u32, from: u32, end: u32) -> u64 {
        self.numbers.range((index, from)..(index, end)).count() as u64
    }
}

impl Plan {
    /// Makes a plan for a run that begins now; nothing where its clients have more than 2^32 channels.
    #[must_use]
    pub fn new(config: &Config) -> Option<Self> {
        let workload = config.push.clone();
        let (clients, publishers) = (config.connections, workload.publishers);
        let channels = Channels::new(&workload.channels, clients)?;
        let publishers_each = publishers.div_ceil(channels.count().max(1)) as usize;
        let counters = || (0..channels.count() as usize * publishers_each).map(|_| AtomicU32::new(0)).collect();
        let course = Course::new(config);
        let protocols = match workload.format {
            gannet::proto::centrifuge::Format::Protobuf => PROTOBUF.parse().into_iter().collect(),
            _ => Vec::new(),
        };
        let handshake = ws::Workload {
            path: workload.path.clone(),
            protocols,
            headers: workload.headers.clone(),
            ..ws::Workload::new(workload.host.clone())
        };
        Some(Self {
            ws: Ws::new(&handshake, LARGEST_MESSAGE_BYTES),
            given: counters(),
            accepted: counters(),
            unsure: Mutex::default(),
            epochs: Mutex::default(),
            // Another one in each run, as the moment of its begin.
            run: (course.unix_ns() >> 10) as u32 ^ std::process::id(),
            size: config.size,
            course,
            workload,
            channels,
            clients,
            publishers_each,
        })
    }

    /// Whether the client with this number publishes.
    pub(super) fn publishes(&self, number: u32) -> bool {
        number >= self.clients
    }

    /// The channel of a publication of a publisher: it goes through its channels in turn. Where there are fewer channels
    /// than publishers, each has one.
    pub(super) fn channel(&self, publisher: u32, publication: u64) -> u32 {
        let (channels, publishers) = (self.channels.count().max(1), self.workload.publishers.max(1));
        if publishers >= channels {
            return publisher % channels;
        }
        let own = u64::from((channels - publisher).div_ceil(publishers));
        publisher + (publication % own) as u32 * publishers
    }

    /// Which of a channel's publishers a publisher is.
    pub(super) fn place(&self, publisher: u32) -> usize {
        (publisher / self.channels.count().max(1)) as usize
    }

    fn index(&self, channel: u32, publisher: u32) -> u32 {
        channel * self.publishers_each as u32 + self.place(publisher) as u32
    }

    /// Gives a publication of a channel its number.
    pub(super) fn give(&self, channel: u32, publisher: u32) -> u32 {
        let given = self.given.get(self.index(channel, publisher) as usize);
        given.map_or(0, |given| given.fetch_add(1, Ordering::Relaxed))
    }

    /// Notes that the server has accepted a publication.
    pub(super) fn accept(&self, channel: u32, publisher: u32, number: u32) {
        if let Some(accepted) = self.accepted.get(self.index(channel, publisher) as usize) {
            accepted.fetch_max(number + 1, Ordering::Relaxed);
        }
    }

    /// Notes that nobody can know whether a publication is delivered. Returns how many clients have missed it wrongly.
    pub(super) fn doubt(&self, channel: u32, publisher: u32, number: u32) -> u64 {
        let key = (self.index(channel, publisher), number);
        let mut unsure = self.unsure();
        unsure.numbers.insert(key);
        unsure.missed.remove(&key).unwrap_or(0)
    }

    /// How many publications of a channel's publisher a client misses, which has skipped so many offsets, and numbers from
    /// one to before another. On a reactor of its own the publisher may hear later than clients do that one was refused.
    pub(super) fn skipped(&self, channel: u32, place: usize, offsets: u64, (from, end): (u32, u32)) -> u64 {
        if from >= end {
            return offsets;
        }
        let index = channel * self.publishers_each as u32 + place as u32;
        let mut unsure = self.unsure();
        let certain = u64::from(end - from) - unsure.among(index, from, end);
        let answered = self.accepted.get(index as usize).map_or(0, |accepted| accepted.load(Ordering::Relaxed));
        let open = (from.max(answered)..end).filter(|number| !unsure.numbers.contains(&(index, *number)));
        let open: Vec<u32> = open.take(certain.saturating_sub(offsets) as usize).collect();
        // What was accepted meanwhile is missed rightly.
        let before: Vec<_> = unsure.missed.range((index, 0)..(index, answered)).map(|(key, _)| *key).collect();
        before.iter().for_each(|key| _ = unsure.missed.remove(key));
        open.into_iter().for_each(|number| *unsure.missed.entry((index, number)).or_default() += 1);
        offsets.max(certain)
    }

    /// How many publications that the server has accepted are missing where this number is the next.
    pub(super) fn missing(&self, channel: u32, place: usize, next: u32) -> u64 {
        let index = channel as usize * self.publishers_each + place;
        let end = self.accepted.get(index).map_or(0, |accepted| accepted.load(Ordering::Relaxed));
        if next >= end {
            return 0;
        }
        u64::from(end - next) - self.unsure().among(index as u32, next, end)
    }

    fn unsure(&self) -> std::sync::MutexGuard<'_, Unsure> {
        self.unsure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of an epoch.
    pub(super) fn epoch_number(&self, name: &str) -> u32 {
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = epochs.numbers.get(name) {
            return *number;
        }
        let (name, number) = (Arc::<str>::from(name), epochs.names.len() as u32);
        epochs.names.push(name.clone());
        epochs.numbers.insert(name, number);
        number
    }

    /// The name of an epoch.
    pub(super) fn epoch_name(&self, number: u32) -> Arc<str> {
        let epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        epochs.names.get(number as usize).cloned().unwrap_or_default()
    }

    /// When a client cuts its connection next, if clients do: each at moments of its own, spread evenly.
    pub(super) fn next_cut(&self, client: u32) -> Option<Duration> {
        let share = self.workload.storm_per_second;
        if share <= 0.0 || self.publishes(client) {
            return None;
        }
        let every = 1.0 / share;
        let phase = (f64::from(client) * 0.618_033_988_749_894_9).fract() * every;
        let now = self.course.elapsed().as_secs_f64();
        // The timer is kept to the millisecond: a moment that is this near has just been used.
        let next = phase + ((now + 0.01 - phase) / every).ceil().max(0.0) * every;
        Some(Duration::from_secs_f64((next - now).max(0.001)))
    }
}

impl Crowd for Plan {
    type Clients = Client;

    fn course(&self) -> &Course<Client> {
        &self.course
    }

    fn clients(self: &Arc<Self>, record: Arc<Mutex<Record>>) -> Client {
        Client::new(self.clone(), record)
    }

    fn client(&self, number: u32) -> Session {
        let publishes = self.publishes(number);
        let positions = match publishes {
            true => Positions::default(),
            false => Positions::new(self.channels.each(), self.publishers_each),
        };
        let publishing = publishes.then(Box::<Publishing>::default);
        Session {
            number,
            positions,
            publishing,
            began_ns: self.course.elapsed().as_nanos() as u64,
            ..Session::default()
        }
    }

    fn largest_message(&self) -> usize {
        LARGEST_MESSAGE_BYTES
    }

    fn keeps_time(&self) -> bool {
        matches!(self.course.mode, Mode::Open { .. })
    }
}

#[cfg(test)]
mod tests {
    use gannet::Address;

    use super::*;
    use crate::config::Kind;
    use crate::scenario::push::Pattern;

    fn plan(clients: u32, publishers: u32, pattern: &str) -> Plan {
        let target: Address = "tcp://127.0.0.1:1".parse().expect("an address");
        let mut config = Config { connections: clients, ..Config::new(Kind::Push, target) };
        config.push.channels = vec![pattern.parse::<Pattern>().expect(pattern)];
        config.push.publishers = publishers;
        Plan::new(&config).expect("few channels")
    }

    #[test]
    fn publishers_share_out_all_channels_and_a_channel_has_as_few_publishers_as_can_be() {
        for (publishers, channels) in [(1, 1), (1, 7), (3, 7), (7, 7), (4, 1), (10, 3)] {
            let plan = plan(channels, publishers, "c{n}");
            let mut by_channel = vec![BTreeSet::new(); channels as usize];
            for publisher in 0..publishers {
                for publication in 0..u64::from(channels) {
                    by_channel[plan.channel(publisher, publication) as usize].insert(publisher);
                    assert!(plan.place(publisher) < plan.publishers_each, "{publishers} {channels}");
                }
            }
            assert!(
                by_channel.iter().all(|publishers| !publishers.is_empty()),
                "{publishers} {channels}: {by_channel:?}"
            );
            let most = by_channel.iter().map(BTreeSet::len).max();
            assert_eq!(most, Some(plan.publishers_each), "{publishers} {channels}: {by_channel:?}");
        }
    }

    #[test]
    fn what_the_server_has_refused_is_missed_by_nobody() {
        let plan = plan(4, 1, "c{n%2}");
        for number in 0..5 {
            assert_eq!(plan.give(1, 0), number);
        }
        plan.accept(1, 0, 4);
        assert_eq!((plan.missing(1, 0, 1), plan.missing(1, 0, 5), plan.missing(0, 0, 0)), (4, 0, 0));
        assert_eq!(plan.doubt(1, 0, 2), 0);
        let skipped = |range| plan.skipped(1, 0, 0, range);
        assert_eq!((plan.missing(1, 0, 1), skipped((2, 3)), skipped((3, 3)), skipped((1, 4))), (3, 0, 0, 2));
    }

    #[test]
    fn what_is_refused_after_clients_have_missed_it_is_given_back() {
        let plan = plan(4, 1, "c{n%2}");
        plan.accept(1, 0, 1);
        // One that was accepted, and two of which the publisher knows nothing yet, for two clients.
        assert_eq!((plan.skipped(1, 0, 0, (1, 4)), plan.skipped(1, 0, 0, (1, 4))), (3, 3));
        assert_eq!((plan.doubt(1, 0, 1), plan.doubt(1, 0, 2), plan.doubt(1, 0, 2)), (0, 2, 0));
        plan.accept(1, 0, 3);
        // An offset that was skipped was given to a publication.
        assert_eq!((plan.skipped(1, 0, 1, (4, 5)), plan.doubt(1, 0, 4)), (1, 0));
        assert_eq!((plan.skipped(1, 0, 1, (5, 7)), plan.doubt(1, 0, 5), plan.doubt(1, 0, 6)), (2, 1, 0));
        assert_eq!(plan.skipped(1, 0, 2, (7, 7)), 2);
    }

    #[test]
    fn an_epoch_has_one_number() {
        let plan = plan(1, 0, "c");
        let numbers = ["a", "b", "a", ""].map(|name| plan.epoch_number(name));
        assert_eq!(numbers, [0, 1, 0, 2]);
        assert_eq!(&*plan.epoch_name(1), "b");
    }

    #[test]
    fn the_cuts_of_a_storm_are_spread_evenly() {
        let mut storm = plan(1_000, 1, "c");
        assert_eq!(storm.next_cut(3), None);
        storm.workload.storm_per_second = 0.1;
        let soon = (0..1_000).filter(|client| storm.next_cut(*client).is_some_and(|next| next.as_secs_f64() < 1.0));
        assert!((95..=105).contains(&soon.count()));
        assert_eq!(storm.next_cut(1_000), None, "a publisher stays");
    }
}
