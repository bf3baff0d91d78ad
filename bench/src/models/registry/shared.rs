//! Registries that all threads share.

use std::collections::HashMap;
use std::hint::black_box;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use super::{Changes, Connection, Task, Users, come_and_go, end, right, same};
use crate::models::workers::{self, BATCH, Outcome, Samples, Worker};

/// Tables of a registry in shards: many more than threads, so that two of them seldom meet.
const SHARDS: usize = 64;

type Table = HashMap<u32, Connection>;

/// A registry that any thread may use.
pub trait Registry: Default + Send + Sync + 'static {
    /// Returns a copy of the entry of a user.
    fn look_up(&self, user: u32) -> Option<Connection>;

    /// Puts an entry in, or takes it out.
    fn set(&self, user: u32, connection: Option<Connection>);

    /// The number of entries.
    fn len(&self) -> usize;
}

fn set(table: &mut Table, user: u32, connection: Option<Connection>) {
    match connection {
        Some(connection) => table.insert(user, connection),
        None => table.remove(&user),
    };
}

/// One lock for one table.
#[derive(Default)]
pub struct Locked(Mutex<Table>);

impl Registry for Locked {
    fn look_up(&self, user: u32) -> Option<Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&user).copied()
    }

    fn set(&self, user: u32, connection: Option<Connection>) {
        set(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), user, connection);
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// One lock that many readers may hold at once.
#[derive(Default)]
pub struct ReadWrite(RwLock<Table>);

impl Registry for ReadWrite {
    fn look_up(&self, user: u32) -> Option<Connection> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&user).copied()
    }

    fn set(&self, user: u32, connection: Option<Connection>) {
        set(&mut self.0.write().unwrap_or_else(PoisonError::into_inner), user, connection);
    }

    fn len(&self) -> usize {
        self.0.read().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Many tables, each with its lock on cache lines of its own.
pub struct Sharded(Box<[Shard]>);

#[derive(Default)]
#[repr(align(128))]
struct Shard(Locked);

impl Default for Sharded {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Shard::default()).collect())
    }
}

impl Sharded {
    fn of(&self, user: u32) -> &Locked {
        &self.0[user as usize % SHARDS].0
    }
}

impl Registry for Sharded {
    fn look_up(&self, user: u32) -> Option<Connection> {
        self.of(user).look_up(user)
    }

    fn set(&self, user: u32, connection: Option<Connection>) {
        self.of(user).set(user, connection);
    }

    fn len(&self) -> usize {
        self.0.iter().map(|shard| shard.0.len()).sum()
    }
}

struct LookingUp<R> {
    registry: Arc<R>,
    users: Users,
}

impl<R: Registry> LookingUp<R> {
    fn one(&mut self) -> io::Result<()> {
        let user = self.users.next();
        right(user, black_box(self.registry.look_up(user)))
    }
}

impl<R: Registry> Worker for LookingUp<R> {
    fn step(&mut self, samples: &Samples) -> io::Result<u64> {
        let started = Instant::now();
        self.one()?;
        samples.record(started.elapsed());
        for _ in 1..BATCH {
            self.one()?;
        }
        Ok(BATCH)
    }
}

/// Measures one.
pub fn perform<R: Registry>(task: &Task, cpus: &[usize]) -> io::Result<Outcome> {
    let registry = Arc::<R>::default();
    let changes = Changes::new(task.users);
    changes.first().for_each(|connection| registry.set(connection.user, Some(connection)));
    let stop = Arc::<AtomicBool>::default();
    let changed = registry.clone();
    let changing = come_and_go(changes, task.changes_per_second, &stop, move |user, connection| {
        changed.set(user, connection);
        Ok(())
    });
    let worker = |thread| -> Box<dyn Worker> {
        Box::new(LookingUp { registry: registry.clone(), users: Users::new(thread, task.users) })
    };
    let outcome = workers::run((0..task.threads).map(worker).collect(), cpus, task.times, None);
    let connected = end(changing, &stop)?;
    same(registry.len(), connected)?;
    outcome.map(|(outcome, _)| outcome)
}
