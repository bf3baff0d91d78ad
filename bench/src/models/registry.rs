//! `registry`: who is connected, and by which connection: looked up by user from several threads while connections come
//! and go; behind a lock, a read-write lock, sharded, and owned by reactors that are reached by letters.

mod owned;
mod shared;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Options;
use super::table::{Comparison, Measured, Table};
use super::task::{self, both_cpus};
use super::workers::{COLUMNS, CPU_NS, Outcome, Times};
use shared::{Locked, ReadWrite, Sharded};

/// How the registry is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// A `std::sync::Mutex` around one table.
    Mutex,
    /// A `std::sync::RwLock` around one table.
    ReadWrite,
    /// Tables with a lock each.
    Sharded,
    /// Tables of reactors: a letter for each look-up, whose result the owner uses.
    Told,
    /// Tables of reactors: a letter for each look-up, which is answered.
    Asked,
    /// Tables of reactors: a letter for 64 look-ups, which is answered.
    AskedMany,
}

const MUTEX: &str = "mutex";
const KINDS: [(&str, Kind); 6] = [
    (MUTEX, Kind::Mutex),
    ("read-write lock", Kind::ReadWrite),
    ("64 shards", Kind::Sharded),
    ("reactors, told", Kind::Told),
    ("reactors, asked", Kind::Asked),
    ("reactors, asked for 64 at a time", Kind::AskedMany),
];

/// A measurement that a process is started for.
#[derive(Serialize, Deserialize)]
pub struct Task {
    kind: Kind,
    threads: u32,
    users: u32,
    changes_per_second: u32,
    times: Times,
}

/// An entry: the user, so that a look-up can be checked, and the number of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Connection {
    user: u32,
    number: u64,
}

/// Measures all kinds with each number of threads.
pub fn measure(options: &Options) -> io::Result<Vec<Table>> {
    let &Options { ref plan, users, changes: changes_per_second, .. } = options;
    let times = task::times(plan)?;
    let table = |&threads: &u32| {
        let title = format!(
            "Look-ups among {users} users by {threads} thread{}, {changes_per_second} changes a second",
            if threads == 1 { "" } else { "s" }
        );
        let comparison = Comparison { plan, title, columns: COLUMNS, compared: CPU_NS, against: MUTEX };
        comparison.of(KINDS.map(|(name, kind)| (name.to_owned(), kind)), |&kind| {
            let task = task::Task::Registry(Task { kind, threads, users, changes_per_second, times });
            Ok(Measured::Figures(task::ask::<Outcome>(&task, &both_cpus(plan))?.figures()))
        })
    };
    options.threads.iter().map(table).collect()
}

/// Measures one kind in this process. Fails if a look-up had somebody else's connection, or if at the end others are
/// registered than have come and not gone.
pub fn perform(task: &Task, cpus: &[usize]) -> io::Result<Outcome> {
    match task.kind {
        Kind::Mutex => shared::perform::<Locked>(task, cpus),
        Kind::ReadWrite => shared::perform::<ReadWrite>(task, cpus),
        Kind::Sharded => shared::perform::<Sharded>(task, cpus),
        Kind::Told | Kind::Asked | Kind::AskedMany => owned::perform(task, cpus),
    }
}

/// Users in an order that looks like chance, the same in each run.
struct Users {
    state: u32,
    count: u32,
}

impl Users {
    fn new(seed: u32, count: u32) -> Self {
        // The state of xorshift must not be zero.
        Self { state: (0x9e37_79b9 ^ (seed + 1).wrapping_mul(0x85eb_ca6b)) | 1, count }
    }

    fn next(&mut self) -> u32 {
        // xorshift32
        self.state ^= self.state << 13;
        self.state ^= self.state >> 17;
        self.state ^= self.state << 5;
        // The upper bits of a product, in place of a division.
        ((u64::from(self.state) * u64::from(self.count)) >> 32) as u32
    }
}

/// Connections that come and go, and who is connected by that.
struct Changes {
    users: Users,
    connected: Vec<bool>,
    /// The number of the last connection.
    last: u64,
}

impl Changes {
    /// Every second user is connected at the start.
    fn new(users: u32) -> Self {
        Self {
            users: Users::new(u32::MAX - 1, users),
            connected: (0..users).map(|user| user % 2 == 0).collect(),
            last: 0,
        }
    }

    /// The users that are connected, each with its connection.
    fn first(&self) -> impl Iterator<Item = Connection> {
        let connected = self.connected.iter().enumerate().filter(|(_, is_connected)| **is_connected);
        connected.map(|(user, _)| Connection { user: user as u32, number: 0 })
    }

    /// The next to come or to go.
    fn next(&mut self) -> (u32, Option<Connection>) {
        let user = self.users.next();
        self.last += 1;
        let is_connected = &mut self.connected[user as usize];
        *is_connected = !*is_connected;
        (user, is_connected.then_some(Connection { user, number: self.last }))
    }

    fn count(&self) -> usize {
        self.connected.iter().filter(|is_connected| **is_connected).count()
    }
}

/// Connections come and go on a thread of its own until `stop` is set: as many a second as were asked for.
fn come_and_go(
    mut changes: Changes,
    per_second: u32,
    stop: &Arc<AtomicBool>,
    mut change: impl FnMut(u32, Option<Connection>) -> io::Result<()> + Send + 'static,
) -> thread::JoinHandle<io::Result<Changes>> {
    /// The time between two looks at the clock.
    const PAUSE: Duration = Duration::from_millis(1);
    let stop = stop.clone();
    thread::spawn(move || {
        let started = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let due = (started.elapsed().as_secs_f64() * f64::from(per_second)) as u64;
            while changes.last < due {
                let (user, connection) = changes.next();
                change(user, connection)?;
            }
            // The schedule of the changes: until the next ones are due.
            thread::sleep(PAUSE);
        }
        Ok(changes)
    })
}

/// Ends what [`come_and_go`] started, and returns who is connected.
fn end(changing: thread::JoinHandle<io::Result<Changes>>, stop: &AtomicBool) -> io::Result<usize> {
    stop.store(true, Ordering::Relaxed);
    let changes = changing.join().map_err(|_| io::Error::other("the thread that changes the registry panicked"))??;
    Ok(changes.count())
}

/// Fails unless as many are registered as are connected.
fn same(registered: usize, connected: usize) -> io::Result<()> {
    if registered != connected {
        return Err(io::Error::other(format!("{connected} are connected, and {registered} registered")));
    }
    Ok(())
}

/// Fails where a look-up for a user has another's connection.
fn right(user: u32, found: Option<Connection>) -> io::Result<()> {
    match found {
        Some(connection) if connection.user != user => {
            Err(io::Error::other(format!("user {user} was looked up, and {connection:?} found")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_come_and_not_gone_is_connected() {
        let mut changes = Changes::new(10);
        let mut connected: Vec<u32> = changes.first().map(|connection| connection.user).collect();
        assert_eq!(connected, [0, 2, 4, 6, 8]);
        for _ in 0..1_000 {
            match changes.next() {
                (user, Some(connection)) => {
                    assert_eq!(connection.user, user);
                    assert!(!connected.contains(&user));
                    connected.push(user);
                }
                (user, None) => {
                    assert!(connected.contains(&user));
                    connected.retain(|one| *one != user);
                }
            }
        }
        assert_eq!(changes.count(), connected.len());
    }

    #[test]
    fn every_user_is_looked_up_sooner_or_later() {
        let mut users = Users::new(0, 100);
        let mut seen = [false; 100];
        (0..10_000).for_each(|_| seen[users.next() as usize] = true);
        assert!(seen.iter().all(|seen| *seen));
    }
}
