//! What all clients and publishers of a run share: the channels, what was published to each, and the names of epochs.

use std::collections::{BTreeSet, HashMap};
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
    unsure: Mutex<BTreeSet<(u32, u32)>>,
    epochs: Mutex<Epochs>,
}

/// The names of epochs, each once.
#[derive(Default)]
struct Epochs {
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u32>,
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

    /// Notes that nobody can know whether a publication is delivered.
    pub(super) fn doubt(&self, channel: u32, publisher: u32, number: u32) {
        self.unsure().insert((self.index(channel, publisher), number));
    }

    /// How many publications of a channel's publisher, with numbers from one to before another, should have come.
    pub(super) fn certain(&self, channel: u32, place: usize, (from, end): (u32, u32)) -> u64 {
        if from >= end {
            return 0;
        }
        let index = channel * self.publishers_each as u32 + place as u32;
        u64::from(end - from) - self.unsure().range((index, from)..(index, end)).count() as u64
    }

    /// How many publications that the server has accepted are missing where this number is the next.
    pub(super) fn missing(&self, channel: u32, place: usize, next: u32) -> u64 {
        let index = channel as usize * self.publishers_each + place;
        let end = self.accepted.get(index).map_or(0, |accepted| accepted.load(Ordering::Relaxed));
        self.certain(channel, place, (next, end))
    }

    fn unsure(&self) -> std::sync::MutexGuard<'_, BTreeSet<(u32, u32)>> {
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
        plan.doubt(1, 0, 2);
        assert_eq!((plan.missing(1, 0, 1), plan.certain(1, 0, (2, 3)), plan.certain(1, 0, (3, 3))), (3, 0, 0));
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
