//! `push`: gateways beside one another, and beside bare loops of sends: deliveries, connects, recovery, memory.

mod slow;
mod table;

use std::io;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::Serialize;

use self::table::{Figures, Table};
use super::memory;
use super::plan::{Head, Plan};
use crate::child::Server;
use crate::client::broadcast::{Form, Members};
use crate::client::channels::{Audience, DATA_BYTES, OverTls};
use crate::measure::Usage;
use crate::push::{FULL, JOINED, PLAIN, install_centrifugo};
use crate::subject::{Role, SUBJECTS, Subject};

/// Publications before counting starts.
const WARM_UP: u32 = 3;

/// Publications to many channels, and of the case of history, that are under way at once.
const UNDER_WAY: u64 = 16;

/// Clients of the case of history, each with a channel of its own.
const PUBLISHED_TO: usize = 100;

/// Channels of a client of the case of many channels.
const CHANNELS_EACH: usize = 10;

/// Clients that connect before counting starts, where connects are counted.
const CONNECTED_BEFORE: usize = 200;

/// Clients that are held before memory is read first. They connect 256 at a time: by then all buffers were used.
const HELD_BEFORE: usize = 1_024;

/// Publications while all clients are cut off.
const MISSED: u64 = 10;

/// Options of `push`.
#[derive(clap::Args, Debug)]
#[command(mut_arg("rounds", |rounds| rounds.default_value("3")))]
#[command(mut_arg("seconds", |seconds| seconds.default_value("6")))]
pub struct Options {
    /// Cases to measure.
    #[arg(long, value_enum, num_args = 1.., default_values = ["one", "many", "joined", "connect", "history", "recover", "memory"])]
    case: Vec<Case>,
    /// Clients of the cases one, many and recover. Each takes a descriptor in both processes.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..))]
    clients: u32,
    /// Clients of the case joined.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    joined_clients: u32,
    /// Connects that are counted.
    #[arg(long, default_value_t = 3_000, value_parser = clap::value_parser!(u32).range(1..))]
    connects: u32,
    /// Clients whose memory is measured, once.
    #[arg(long, default_value_t = 9_000, value_parser = clap::value_parser!(u32).range(1..))]
    memory_clients: u32,
    /// Clients of the case slow, of which a tenth never reads.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(10..))]
    slow_clients: u32,
    /// Publications per second of the case one.
    #[arg(long, default_value_t = 5.0)]
    rate: f64,
    /// Publications per second of the case joined.
    #[arg(long, default_value_t = 200.0)]
    joined_rate: f64,
    #[command(flatten)]
    plan: Plan,
}

/// Cases of the benchmark of gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Case {
    /// One channel with all clients, a few publications a second.
    One,
    /// As many channels as clients, ten subscribers each, as fast as deliveries come.
    Many,
    /// One channel with many publications a second, which may go out together.
    Joined,
    /// Connect with a token, and subscribe.
    Connect,
    /// Publish with history and recovery, and without.
    History,
    /// All clients are cut off at once, and come back.
    Recover,
    /// Memory of idle clients with one channel, with ten, and with one over TLS.
    Memory,
    /// One channel, a tenth of whose subscribers never reads. Fails if the others or the memory feel it too much.
    Slow,
}

#[derive(Serialize)]
struct Report {
    #[serde(flatten)]
    head: Head,
    centrifugo: String,
    tables: Vec<Table>,
    memory: Vec<Memory>,
    slow: Vec<slow::Row>,
}

#[derive(Serialize)]
struct Memory {
    channels: usize,
    over_tls: bool,
    rows: Vec<memory::Row>,
}

/// Runs and prints.
pub fn run(options: &Options) -> io::Result<()> {
    let centrifugo = install_centrifugo()?;
    let plan = &options.plan;
    let mut report = Report {
        head: plan.begin(Some(&centrifugo))?,
        centrifugo,
        tables: Vec::new(),
        memory: Vec::new(),
        slow: Vec::new(),
    };
    let all = plan.setup.subjects(Role::Push)?;
    let gateways: Vec<_> = all.iter().copied().filter(|subject| subject.role == Role::Push).collect();
    for &case in &options.case {
        let table = match case {
            Case::One => one(options, &all)?,
            Case::Many => many(options, &gateways)?,
            Case::Joined => joined(options, &gateways)?,
            Case::Connect => connects(options, &gateways)?,
            Case::History => history(options, &gateways)?,
            Case::Recover => recovery(options, &gateways)?,
            Case::Slow => {
                report.slow = slow::run(options, &gateways, !plan.setup.prints_tables())?;
                continue;
            }
            Case::Memory => {
                for (channels, over_tls) in [(1, false), (CHANNELS_EACH, false), (1, true)] {
                    let rows = match over_tls {
                        true => memory_over_tls(options, channels)?,
                        false => memory_of(options, &gateways, channels)?,
                    };
                    if plan.setup.prints_tables() {
                        let by = if over_tls { " by TLS 1.3" } else { "" };
                        let did = format!("subscribing to {channels} channels with presence{by}");
                        memory::print(options.memory_clients, &did, &rows);
                    }
                    report.memory.push(Memory { channels, over_tls, rows });
                }
                continue;
            }
        };
        if plan.setup.prints_tables() {
            table.print();
        }
        report.tables.push(table);
    }
    plan.setup.end(&report)
}

/// The name of one channel for all.
fn channel(namespace: &str) -> String {
    format!("{namespace}:one")
}

/// Measures the CPU time of a server during some work, which says how many operations it was.
fn cost(server: &Server, work: impl FnOnce() -> io::Result<u64>) -> io::Result<Figures> {
    let before = Usage::of(server.pid())?;
    let started = Instant::now();
    let operations = work()?;
    let elapsed = started.elapsed();
    let used = Usage::of(server.pid())? - before;
    Ok(Figures { operations, elapsed, cpu_ns: used.cpu_ns, each: Vec::new() })
}

/// Does something at a rate: each time when it is due, or at once where the last took longer.
fn paced(times: u32, rate: f64, mut each: impl FnMut() -> io::Result<Duration>) -> io::Result<Vec<Duration>> {
    let started = Instant::now();
    let mut took = Vec::new();
    for number in 0..times {
        let due = started + Duration::from_secs_f64(f64::from(number) / rate);
        // The schedule itself: until this one is due.
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        took.push(each()?);
    }
    Ok(took)
}

fn one(options: &Options, subjects: &[&'static Subject]) -> io::Result<Table> {
    let clients = options.clients as usize;
    let [_, measured] = options.plan.times()?;
    let times = (measured.as_secs_f64() * options.rate).ceil() as u32;
    let outcomes = options.plan.setup.side_by_side(subjects, options.plan.rounds, |subject, server| {
        let mut each: Box<dyn FnMut() -> io::Result<Duration>> = if subject.role == Role::Push {
            let mut audience = Audience::new(server.port, |_| vec![channel(FULL)])?;
            audience.open_until(clients)?;
            Box::new(move || audience.publish_to_all())
        } else {
            let mut members = Members::join(server.port, Form::raw(), clients)?;
            Box::new(move || members.broadcast())
        };
        for _ in 0..WARM_UP {
            each()?;
        }
        let mut took = Vec::new();
        let cost = cost(server, || {
            took = paced(times, options.rate, each)?;
            Ok(u64::from(times) * clients as u64)
        })?;
        Ok(Figures { each: took, ..cost })
    })?;
    Ok(Table {
        title: format!(
            "{} publications a second of {DATA_BYTES} bytes to {clients} subscribers of one channel",
            options.rate
        ),
        operation: "delivery",
        asked: "CPU at most 1.15 of a bare loop and 0.55 of Centrifugo; p99 at most 1.3 and 0.6",
        rows: table::rows(subjects, &outcomes),
    })
}

fn many(options: &Options, subjects: &[&'static Subject]) -> io::Result<Table> {
    let clients = options.clients as usize;
    let times = options.plan.times()?;
    // As many channels as clients: each has ten, and each channel ten clients.
    let of = move |client: usize| {
        let group = client / CHANNELS_EACH * CHANNELS_EACH;
        (group..group + CHANNELS_EACH).map(|channel| format!("{FULL}:{channel}")).collect::<Vec<_>>()
    };
    let outcomes = options.plan.setup.side_by_side(subjects, options.plan.rounds, |_, server| {
        let mut audience = Audience::new(server.port, of)?;
        audience.open_until(clients / CHANNELS_EACH * CHANNELS_EACH)?;
        let channels = clients / CHANNELS_EACH * CHANNELS_EACH;
        let mut next = 0;
        let mut publish_for = |audience: &mut Audience, time: Duration| -> io::Result<u64> {
            let before = audience.received();
            let end = Instant::now() + time;
            while Instant::now() < end {
                while audience.published().0 < audience.received() / CHANNELS_EACH as u64 + UNDER_WAY {
                    // A prime: neighbours are of different groups.
                    next = (next + 7_919) % channels;
                    audience.publish(&format!("{FULL}:{next}"))?;
                }
                audience.step(Duration::from_secs(5))?;
            }
            Ok(audience.received() - before)
        };
        publish_for(&mut audience, times[0])?;
        cost(server, || publish_for(&mut audience, times[1]))
    })?;
    Ok(Table {
        title: format!(
            "{DATA_BYTES} bytes to {clients} channels with {CHANNELS_EACH} subscribers each, {UNDER_WAY} under way"
        ),
        operation: "delivery",
        asked: "CPU at most 0.55 of Centrifugo",
        rows: table::rows(subjects, &outcomes),
    })
}

fn joined(options: &Options, subjects: &[&'static Subject]) -> io::Result<Table> {
    let (clients, rate) = (options.joined_clients as usize, options.joined_rate);
    let [warm_up, measured] = options.plan.times()?;
    let outcomes = options.plan.setup.side_by_side(subjects, options.plan.rounds, |_, server| {
        let mut audience = Audience::new(server.port, |_| vec![channel(JOINED)])?;
        audience.open_until(clients)?;
        let mut publish_for = |time: Duration| -> io::Result<u64> {
            let (started, before) = (Instant::now(), audience.received());
            let mut published = 0_u32;
            while started.elapsed() < time {
                while f64::from(published) < started.elapsed().as_secs_f64() * rate {
                    audience.publish(&channel(JOINED))?;
                    published += 1;
                }
                audience.step(Duration::from_millis(1))?;
            }
            let until = before + u64::from(published) * clients as u64;
            while audience.received() < until {
                audience.step(Duration::from_secs(5))?;
            }
            Ok(audience.received() - before)
        };
        publish_for(warm_up)?;
        cost(server, || publish_for(measured))
    })?;
    Ok(Table {
        title: format!(
            "{rate} publications a second of {DATA_BYTES} bytes to {clients} subscribers, joined for 20 ms where that is possible"
        ),
        operation: "delivery",
        asked: "CPU at most 0.25 of Centrifugo",
        rows: table::rows(subjects, &outcomes),
    })
}

fn connects(options: &Options, subjects: &[&'static Subject]) -> io::Result<Table> {
    let connects = options.connects as usize;
    let outcomes = options.plan.setup.side_by_side(subjects, options.plan.rounds, |_, server| {
        let mut audience = Audience::new(server.port, |_| vec![channel(FULL)])?;
        audience.open_until(CONNECTED_BEFORE)?;
        cost(server, || {
            audience.open_until(CONNECTED_BEFORE + connects)?;
            Ok(connects as u64)
        })
    })?;
    Ok(Table {
        title: format!("{connects} connects with a token (HS256) and one subscription each"),
        operation: "connect",
        asked: "CPU at most 0.4 of Centrifugo",
        rows: table::rows(subjects, &outcomes),
    })
}

fn history(options: &Options, subjects: &[&'static Subject]) -> io::Result<Table> {
    let times = options.plan.times()?;
    let measure = |namespace: &'static str, server: &Server| -> io::Result<Figures> {
        let mut audience = Audience::new(server.port, move |client| vec![format!("{namespace}:{client}")])?;
        audience.open_until(PUBLISHED_TO)?;
        let mut next = 0;
        let mut publish_for = |audience: &mut Audience, time: Duration| -> io::Result<u64> {
            let before = audience.received();
            let end = Instant::now() + time;
            while Instant::now() < end {
                while audience.published().0 < audience.received() + UNDER_WAY {
                    next = (next + 1) % PUBLISHED_TO;
                    audience.publish(&format!("{namespace}:{next}"))?;
                }
                audience.step(Duration::from_secs(5))?;
            }
            Ok(audience.received() - before)
        };
        publish_for(&mut audience, times[0])?;
        cost(server, || publish_for(&mut audience, times[1] / 2))
    };
    // Both in one run of a server, so that what is compared is as near in time as can be.
    let outcomes = options.plan.setup.side_by_side(subjects, options.plan.rounds, |_, server| {
        Ok([measure(FULL, server)?, measure(PLAIN, server)?])
    })?;
    Ok(Table {
        title: format!(
            "Publish {DATA_BYTES} bytes to a channel of one subscriber, with history and recovery, and without"
        ),
        operation: "publication",
        asked: "with history at most 1.25 of without",
        rows: table::pairs(subjects, &outcomes, ["with history", "without"]),
    })
}

fn recovery(options: &Options, subjects: &[&'static Subject]) -> io::Result<Table> {
    let clients = options.clients as usize;
    let outcomes = options.plan.setup.side_by_side(subjects, options.plan.rounds, |_, server| {
        let mut audience = Audience::new(server.port, |_| vec![channel(FULL)])?;
        audience.open_until(clients)?;
        audience.publish_to_all()?;
        let mut took = Duration::ZERO;
        let cost = cost(server, || {
            took = audience.cut(MISSED)?;
            Ok(clients as u64)
        })?;
        // Everybody is there again, and has all that was published.
        audience.publish_to_all()?;
        Ok(Figures { each: vec![took], ..cost })
    })?;
    Ok(Table {
        title: format!(
            "{clients} clients cut off at once, {MISSED} publications meanwhile, until all are back and have them"
        ),
        operation: "client",
        asked: "half of Centrifugo's time",
        rows: table::rows(subjects, &outcomes),
    })
}

/// Ten clients have the same channels.
fn idle_in(channels: usize) -> impl Fn(usize) -> Vec<String> {
    move |client| {
        let group = client / CHANNELS_EACH * CHANNELS_EACH;
        (group..group + channels).map(|channel| format!("{FULL}:{channel}")).collect()
    }
}

fn memory_of(options: &Options, subjects: &[&'static Subject], channels: usize) -> io::Result<Vec<memory::Row>> {
    let measure = |subject: &&'static Subject| {
        let cpu = options.plan.setup.server_cpu;
        memory::measure_opened(subject, cpu, [HELD_BEFORE, options.memory_clients as usize], |port| {
            let mut audience = Audience::new(port, idle_in(channels))?;
            Ok(move |total| audience.open_until(total))
        })
    };
    Ok(subjects.iter().map(measure).collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// Of Gannet alone.
fn memory_over_tls(options: &Options, channels: usize) -> io::Result<Vec<memory::Row>> {
    let subjects = SUBJECTS.iter().filter(|subject| subject.role == Role::PushTls);
    let measure = |subject: &Subject| {
        let cpu = options.plan.setup.server_cpu;
        memory::measure_opened(subject, cpu, [HELD_BEFORE, options.memory_clients as usize], |port| {
            let mut clients = OverTls::new(port, idle_in(channels))?;
            Ok(move |total| clients.open_until(total))
        })
    };
    Ok(subjects.map(measure).collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
}
