//! A registry whose tables belong to reactors: a letter asks the reactor that owns a user's entry.

use std::collections::HashMap;
use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use gannet::proto::Raw;
use gannet::{Context, Notice, Refused, Service};

use super::{Changes, Connection, Kind, Task, Users, come_and_go, end, right, same};
use crate::models::owner::{Opened, Owners, Way};
use crate::models::task::PATIENCE;
use crate::models::workers::{self, Answer, BATCH, Outcome, Samples, Worker};

/// Users, each with the connection that was found.
type LookUps = Vec<(u32, Option<Connection>)>;

enum Letter {
    /// A connection has come, or gone.
    Set(u32, Option<Connection>),
    /// A look-up whose result the owner uses; where the letter says when it was posted, the time is recorded.
    LookUp { user: u32, posted: Option<Instant> },
    /// A look-up that is answered.
    Ask { user: u32, answer: Arc<Answer<Option<Connection>>> },
    /// Look-ups that are answered together, in the vector that they came in.
    AskMany { users: LookUps, answer: Arc<Answer<LookUps>> },
    /// How many entries there are.
    Count(Arc<Answer<usize>>),
}

/// State that owners and threads share.
struct Shared {
    /// Look-ups that were done for nobody to hear of, by all owners.
    done: AtomicU64,
    /// Those that found somebody else's connection.
    wrong: AtomicU64,
    samples: Samples,
}

struct Owner {
    table: HashMap<u32, Connection>,
    shared: Arc<Shared>,
    opened: Opened,
}

impl Service for Owner {
    type Codec = Raw;
    type Session = ();

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<(), Refused> {
        self.opened.send((cx.reactor(), cx.handle())).map_err(|_| Refused)
    }

    fn message(&mut self, (): &mut (), _: &[u8], _: &mut Context<'_, Self>) {}
}

impl Notice<Letter> for Owner {
    fn notice(&mut self, (): &mut (), letter: Letter, _: &mut Context<'_, Self>) {
        match letter {
            Letter::Set(user, Some(connection)) => drop(self.table.insert(user, connection)),
            Letter::Set(user, None) => drop(self.table.remove(&user)),
            Letter::LookUp { user, posted } => {
                if right(user, black_box(self.table.get(&user).copied())).is_err() {
                    self.shared.wrong.fetch_add(1, Ordering::Relaxed);
                }
                // Owners share it; a second reactor adds as well.
                self.shared.done.fetch_add(1, Ordering::Relaxed);
                if let Some(posted) = posted {
                    self.shared.samples.record(posted.elapsed());
                }
            }
            Letter::Ask { user, answer } => answer.give(self.table.get(&user).copied()),
            Letter::AskMany { mut users, answer } => {
                users.iter_mut().for_each(|(user, found)| *found = self.table.get(user).copied());
                answer.give(users);
            }
            Letter::Count(answer) => answer.give(self.table.len()),
        }
    }
}

/// The owner of a user's entry.
fn owner(way: &Way<Owner>, user: u32) -> usize {
    user as usize % way.owners()
}

struct Telling {
    way: Way<Owner>,
    users: Users,
}

impl Worker for Telling {
    fn step(&mut self, _: &Samples) -> io::Result<u64> {
        for index in 0..BATCH {
            let user = self.users.next();
            let posted = (index == 0).then(Instant::now);
            self.way.post(owner(&self.way, user), Letter::LookUp { user, posted })?;
        }
        Ok(BATCH)
    }
}

struct Asking {
    way: Way<Owner>,
    users: Users,
    answer: Arc<Answer<Option<Connection>>>,
}

impl Worker for Asking {
    fn step(&mut self, samples: &Samples) -> io::Result<u64> {
        let user = self.users.next();
        let started = Instant::now();
        self.way.post(owner(&self.way, user), Letter::Ask { user, answer: self.answer.clone() })?;
        let found = self.answer.wait()?;
        samples.record(started.elapsed());
        right(user, found)?;
        Ok(1)
    }
}

struct AskingMany {
    way: Way<Owner>,
    users: Users,
    answer: Arc<Answer<LookUps>>,
    /// Users to look up, by their owner; a letter takes them when there are enough.
    gathered: Vec<LookUps>,
}

impl Worker for AskingMany {
    fn step(&mut self, samples: &Samples) -> io::Result<u64> {
        let owner = loop {
            let user = self.users.next();
            let owner = owner(&self.way, user);
            self.gathered[owner].push((user, None));
            if self.gathered[owner].len() as u64 == BATCH {
                break owner;
            }
        };
        let started = Instant::now();
        let users = std::mem::take(&mut self.gathered[owner]);
        self.way.post(owner, Letter::AskMany { users, answer: self.answer.clone() })?;
        let mut found = self.answer.wait()?;
        samples.record(started.elapsed());
        found.iter().try_for_each(|&(user, found)| right(user, found))?;
        let done = found.len() as u64;
        found.clear();
        self.gathered[owner] = found;
        Ok(done)
    }
}

/// Measures one: as many reactors as processors.
pub fn perform(task: &Task, cpus: &[usize]) -> io::Result<Outcome> {
    let (done, wrong) = (AtomicU64::new(0), AtomicU64::new(0));
    let shared = Arc::new(Shared { done, wrong, samples: Samples::new()? });
    let of_owners = shared.clone();
    let owners =
        Owners::start(cpus.len(), move |opened| Owner { table: HashMap::new(), shared: of_owners.clone(), opened })?;
    let way = || owners.way::<Owner>();
    let changes = Changes::new(task.users);
    let set = {
        let way = way();
        move |user, connection| way.post(owner(&way, user), Letter::Set(user, connection))
    };
    changes.first().try_for_each(|connection| set(connection.user, Some(connection)))?;
    let stop = Arc::<AtomicBool>::default();
    let changing = come_and_go(changes, task.changes_per_second, &stop, set);

    let worker = |thread| -> Box<dyn Worker> {
        let (way, users) = (way(), Users::new(thread, task.users));
        match task.kind {
            Kind::Asked => Box::new(Asking { way, users, answer: Arc::default() }),
            Kind::AskedMany => {
                let gathered = vec![Vec::new(); way.owners()];
                Box::new(AskingMany { way, users, answer: Arc::default(), gathered })
            }
            _ => Box::new(Telling { way, users }),
        }
    };
    let is_told = task.kind == Kind::Told;
    let done = is_told.then_some((&shared.done, &shared.samples));
    let outcome = workers::run((0..task.threads).map(worker).collect(), cpus, task.times, done);
    let connected = end(changing, &stop)?;
    let (outcome, total) = outcome?;

    // The count comes after all letters that this thread's owner had before: those of other threads are in the same mailbox.
    let count = |owner| {
        let answer = Arc::<Answer<usize>>::default();
        way().post(owner, Letter::Count(answer.clone()))?;
        answer.wait()
    };
    same((0..cpus.len()).map(count).sum::<io::Result<usize>>()?, connected)?;
    let end = Instant::now() + PATIENCE;
    while is_told && shared.done.load(Ordering::Relaxed) < total && Instant::now() < end {
        thread::yield_now();
    }
    let (done, wrong) = (shared.done.load(Ordering::Relaxed), shared.wrong.load(Ordering::Relaxed));
    if wrong > 0 || is_told && done != total {
        return Err(io::Error::other(format!("of {total} look-ups {done} were done, {wrong} of them wrong")));
    }
    Ok(outcome)
}
