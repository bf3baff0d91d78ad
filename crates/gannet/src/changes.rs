//! Applies plans to a running engine, on the thread that asks for it: [`Changes`].
//!
//! All that may fail comes first and changes nothing for anybody: settings are checked, sockets are bound, and every reactor
//! makes its instances of the new services. Then the plan is put into effect: by the reactors, each between two turns, and by
//! the acceptor.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use crate::acceptor::{Acceptor, Central, Change};
use crate::address::Address;
use crate::adoption::Estate;
use crate::binding::{Bound, Spread, binding_order};
use crate::error::{Error, Result};
use crate::ids::{ListenerId, ServiceId};
use crate::keepalive;
use crate::limits::{Limits, Timeouts};
use crate::listen_options::UnixAccess;
use crate::listener::{FormerAccess, SocketFile, set_access};
use crate::plan::{Applied, Plan};
use crate::quota::Quota;
use crate::remote::{Listening, Shared};
use crate::service_plan::{MOST_SERVICES, ServicePlan, too_many};
use crate::steps::{Addition, Commit, Own, Step};

/// How long a plan waits for each reactor, and for the acceptor.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is known of one service of a running engine, by its number.
pub(crate) struct Entry {
    pub(crate) name: String,
    /// The URL that was asked for.
    pub(crate) url: String,
    /// The address that was asked for, and the one that it listens on.
    asked: Option<Address>,
    bound: Option<Address>,
    pub(crate) file: Option<SocketFile>,
    /// Who accepts for it.
    accepts: Accepts,
    /// Its sockets came from another process.
    is_adopted: bool,
    /// They belong to the service manager.
    pub(crate) is_lent: bool,
    keepalive: Option<Option<Duration>>,
    unix: UnixAccess,
    quota: Option<Arc<Quota>>,
    /// It was not removed.
    pub(crate) is_open: bool,
}

/// Who has sockets of a listener: the reactors, the acceptor, or both where more were adopted than there are reactors.
#[derive(Clone, Copy, Debug, Default)]
struct Accepts {
    by_reactors: bool,
    by_acceptor: bool,
}

impl Entry {
    pub(crate) fn new(service: &ServicePlan) -> Self {
        Self {
            name: service.name.clone(),
            url: service.url.clone(),
            asked: service.address.clone(),
            bound: None,
            file: None,
            accepts: Accepts::default(),
            is_adopted: false,
            is_lent: false,
            keepalive: service.keepalive,
            unix: service.unix,
            quota: service.quota.clone(),
            is_open: service.address.is_some(),
        }
    }

    /// Notes where it listens; says which sockets are whose.
    pub(crate) fn listen(&mut self, bound: Bound) -> (Vec<Option<Own>>, Vec<Central>) {
        let Bound { address, file, own, central, is_shared, is_lent } = bound;
        self.accepts = Accepts { by_reactors: own.iter().any(Option::is_some), by_acceptor: !central.is_empty() };
        (self.bound, self.file, self.is_adopted, self.is_lent) = (Some(address), file, is_shared, is_lent);
        let own = own.into_iter().map(|socket| socket.map(|socket| Own { socket, is_shared }));
        (own.collect(), central)
    }

    /// Makes the file of an adopted Unix socket its own. Not before the other process has let go of it: whoever fails until
    /// then leaves the file. That of the service manager's socket stays when this process ends.
    pub(crate) fn adopt_file(&mut self) {
        if let (Some(Address::Unix(path)), true) = (&self.bound, self.is_adopted && !self.is_lent) {
            self.file = SocketFile::adopt(path);
        }
    }

    /// Whether it may go beyond limits.
    fn is_operational(&self) -> bool {
        self.quota.as_ref().is_some_and(|quota| quota.operational)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> Option<&Address> {
        self.bound.as_ref()
    }

    /// Whether a service of the same name that wants to listen here can have its socket. Where the system has chosen the
    /// port, that asks for what there is.
    fn is_at(&self, address: &Address) -> bool {
        self.is_bound_to(address) || self.asked.as_ref().is_some_and(|asked| is_same_socket(asked, address))
    }

    /// Whether a service that wants to listen here can have its socket.
    fn is_bound_to(&self, address: &Address) -> bool {
        self.bound.as_ref().is_some_and(|bound| is_same_socket(bound, address))
    }
}

/// Whether two addresses are those of one socket: TLS makes no other of it.
fn is_same_socket(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (Address::Tcp(one) | Address::Tls(one), Address::Tcp(other) | Address::Tls(other)) => one == other,
        (one, other) => one == other,
    }
}

/// What a running engine has, and what changes it. One plan at a time.
pub(crate) struct Control {
    shared: Arc<Shared>,
    spread: Spread,
    /// Whether connections have descriptors of the process.
    #[cfg_attr(not(target_os = "linux"), allow(dead_code))]
    takes_descriptors: bool,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) entries: Vec<Entry>,
    /// The service of the outbound connections of sessions, if there are sessions.
    pub(crate) upstreams: Option<ServiceId>,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) acceptor: Option<Acceptor>,
    pub(crate) generation: u64,
    /// Another process has the sockets, or is about to.
    pub(crate) is_withdrawn: bool,
}

impl State {
    /// What other threads are told of the listeners.
    fn listening(&self) -> Vec<Listening> {
        let all = self.entries.iter().enumerate();
        all.filter_map(|(service, entry)| {
            let address = entry.bound.clone()?;
            let (name, url) = (entry.name.clone(), entry.url.clone());
            Some(Listening { service, name, url, address, is_open: entry.is_open })
        })
        .collect()
    }

    /// The open listeners of a name.
    fn named<'s>(&'s self, name: &'s str) -> impl Iterator<Item = ServiceId> + 's {
        let all = self.entries.iter().enumerate().filter(move |(_, entry)| entry.is_open && entry.name == name);
        all.map(|(index, _)| index as ServiceId)
    }
}

impl Control {
    pub(crate) fn new(shared: Arc<Shared>, spread: Spread, takes_descriptors: bool, state: State) -> Self {
        shared.set_listening(state.listening());
        Self { shared, spread, takes_descriptors, state: Mutex::new(state) }
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The engine has ended.
    pub(crate) fn ended(&self) {
        let mut state = self.lock();
        if let Some(acceptor) = state.acceptor.take() {
            acceptor.join();
        }
        state.entries.iter_mut().for_each(|entry| entry.file = None);
    }

    /// Nobody waits for the end of the acceptor.
    pub(crate) fn leave_acceptor(&self) {
        match self.state.try_lock() {
            Ok(mut state) => state.acceptor = None,
            Err(TryLockError::Poisoned(state)) => state.into_inner().acceptor = None,
            // A plan is being applied; what it waits for goes on.
            Err(TryLockError::WouldBlock) => {}
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        // What a panic leaves is as good as what a failed plan leaves.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn apply(&self, mut plan: Plan) -> Result<Applied> {
        #[allow(clippy::disallowed_methods)] // This thread has no driver.
        let began = Instant::now();
        let mut state = self.lock();
        if self.shared.drains.is_final() {
            return Err(Error::Stopping);
        }
        if state.is_withdrawn {
            let why = "another process takes over the listening sockets; apply the plan there, or when this engine accepts again";
            return Err(Error::Setting(why.to_owned()));
        }
        let first = state.entries.len();
        let upstreams = plan.added.connect_sessions(first, state.upstreams)?;
        let mut work = Work::new(&state, &plan)?;
        for (place, numbered) in plan.outbound.drain(..) {
            // They are numbers of services: there is room for all of them.
            numbered(self.shared.id, first as ServiceId + place);
        }
        work.bind(&mut state, &plan, self)?;
        self.prepare(&mut work, &plan)?;
        let late = self.commit(&mut state, &mut work, plan);
        (state.generation, state.upstreams) = (state.generation + 1, upstreams);
        self.shared.set_listening(state.listening());
        let address = |service: &ServiceId| state.entries[usize::from(*service)].bound.clone();
        Ok(Applied {
            generation: state.generation,
            took: began.elapsed(),
            added: work.commit_added.iter().filter_map(address).collect(),
            removed: work.removed.iter().filter_map(address).collect(),
            late,
            pending: work.pending,
        })
    }

    /// Has every reactor make its instances.
    fn prepare(&self, work: &mut Work, plan: &Plan) -> Result<()> {
        if work.additions.is_empty() && plan.timeouts.is_none() {
            return Ok(());
        }
        let added = std::mem::take(&mut work.additions);
        self.publish(Step::Prepare { added, timeouts: plan.timeouts });
        let failed = match self.shared.steps.wait(PATIENCE) {
            Ok(late) if late.is_empty() => return Ok(()),
            Ok(late) => Error::Late { threads: late.into_iter().map(name_of).collect() },
            Err(error) => error,
        };
        // Until then its sockets are open: whoever tries again would find the addresses in use.
        self.take(Step::Undo(work.commit_added.clone()));
        Err(failed)
    }

    /// Puts everything into effect; says who was late.
    fn commit(&self, state: &mut State, work: &mut Work, plan: Plan) -> Vec<String> {
        work.accesses.drain(..).for_each(FormerAccess::forget);
        for (service, connections, per_peer) in &work.quotas {
            if let Some(quota) = &state.entries[usize::from(*service)].quota {
                quota.set(*connections, *per_peer);
            }
        }
        if let Some(limits) = &plan.limits {
            #[cfg(target_os = "linux")]
            if self.takes_descriptors && limits.connections != state.limits.connections {
                crate::descriptors::make_room(limits.connections);
            }
            state.limits = limits.clone();
        }
        state.keepalive = work.keepalive;
        state.timeouts = plan.timeouts.unwrap_or(state.timeouts);
        let mut entries = std::mem::take(&mut work.entries);
        state.entries.append(&mut entries);
        let operational = state.entries.iter().any(|entry| entry.is_open && entry.is_operational());
        self.shared.spares.want(if operational { state.limits.operational_reserve } else { 0 });
        let mut central = Change {
            added: std::mem::take(&mut work.central),
            pace: plan.limits.as_ref().map(|limits| limits.accepts_per_second),
            ..Change::default()
        };
        let mut commit = Commit {
            added: work.commit_added.clone(),
            limits: plan.limits,
            timeouts: plan.timeouts,
            keepalive: plan.keepalive.map(|_| work.keepalive),
            ..Commit::default()
        };
        for (index, entry) in state.entries.iter().enumerate() {
            let is_tcp = matches!(entry.bound, Some(Address::Tcp(_) | Address::Tls(_)));
            let is_changed =
                plan.keepalive.is_some() && entry.keepalive.is_none() || work.rekeyed.contains(&(index as u16));
            if is_tcp && is_changed {
                let after = (index as ListenerId, entry.keepalive.unwrap_or(work.keepalive));
                central.keepalives.extend(Some(after).filter(|_| entry.accepts.by_acceptor));
                commit.keepalives.extend(Some(after).filter(|_| entry.accepts.by_reactors));
            }
        }
        let entry = |service: ServiceId| &state.entries[usize::from(service)];
        let by_acceptor = |service: &ServiceId| entry(*service).accepts.by_acceptor;
        let moved = work.moved.iter().filter(|(from, _)| by_acceptor(from));
        central.moved = moved.map(|&(from, to)| (from, to, entry(to).is_operational())).collect();
        central.removed = work.removed.iter().copied().filter(by_acceptor).collect();
        let gone = central.moved.iter().map(|(from, ..)| *from);
        let gone: Vec<ServiceId> = gone.chain(central.removed.iter().copied()).collect();
        commit.moved = work.moved.iter().copied().filter(|(from, _)| entry(*from).accepts.by_reactors).collect();
        let by_reactors = |service: &ServiceId| entry(*service).accepts.by_reactors;
        commit.removed = work.removed.iter().copied().filter(by_reactors).collect();
        commit.kept.clone_from(&gone);
        // Drains of a listener go on with the one that gets its socket.
        self.shared.drains.extend(&work.moved);
        let mut late = self.take(Step::Commit(Box::new(commit)));
        if let Some(acceptor) = &state.acceptor
            && !acceptor.change(central, PATIENCE)
        {
            late.push(Acceptor::NAME.to_owned());
        }
        if !gone.is_empty() {
            late.extend(self.take(Step::Retire(gone)));
        }
        late.sort();
        late.dedup();
        for &(from, to) in &work.moved {
            // The file goes with the socket.
            let old = &mut state.entries[usize::from(from)];
            let file = old.file.take();
            old.is_open = false;
            state.entries[usize::from(to)].file = file;
        }
        for service in &work.removed {
            let entry = &mut state.entries[usize::from(*service)];
            (entry.is_open, entry.file) = (false, None);
        }
        late
    }

    /// Gives a step that cannot fail to the reactors, and says which have not taken it in time.
    fn take(&self, step: Step) -> Vec<String> {
        self.publish(step);
        match self.shared.steps.wait(PATIENCE) {
            Ok(late) => late.into_iter().map(name_of).collect(),
            Err(error) => {
                tracing::error!(%error, "a part of a plan failed; this is a bug");
                Vec::new()
            }
        }
    }

    fn publish(&self, step: Step) {
        self.shared.steps.publish(step, self.shared.gates().len());
        self.shared.ring();
    }
}

/// The name of a reactor's thread.
fn name_of(reactor: usize) -> String {
    format!("gannet-{reactor}")
}

/// A plan on its way.
struct Work {
    keepalive: Option<Duration>,
    /// The services that are added, which follow those that there are.
    commit_added: Vec<ServiceId>,
    entries: Vec<Entry>,
    additions: Vec<Addition>,
    central: Vec<Central>,
    moved: Vec<(ListenerId, ListenerId)>,
    /// Listeners that go with their sockets.
    removed: Vec<ServiceId>,
    /// Listeners that have got a socket with another keepalive.
    rekeyed: Vec<ServiceId>,
    quotas: Vec<(ServiceId, u32, u32)>,
    /// Of files whose mode or group has changed, until the plan cannot fail any more.
    accesses: Vec<FormerAccess>,
    pending: Vec<&'static str>,
}

impl Work {
    /// Checks what can be without asking the system.
    fn new(state: &State, plan: &Plan) -> Result<Self> {
        if let Some(limits) = &plan.limits {
            limits.check()?;
        }
        if let Some(timeouts) = &plan.timeouts {
            timeouts.check("the engine")?;
        }
        let keepalive = plan.keepalive.map(keepalive::checked).transpose()?.unwrap_or(state.keepalive);
        let of_name = |name: &String| -> Result<Vec<ServiceId>> {
            let found: Vec<_> = state.named(name).collect();
            if found.is_empty() {
                let mut all: Vec<_> =
                    state.entries.iter().filter(|entry| entry.is_open).map(|entry| &*entry.name).collect();
                all.dedup();
                let all = all.join(", ");
                return Err(Error::Setting(format!("there is no listener named {name:?}; there are: {all}")));
            }
            Ok(found)
        };
        let mut removed = Vec::new();
        for name in &plan.removed {
            removed.extend(of_name(name)?);
        }
        removed.sort_unstable();
        removed.dedup();
        let mut quotas = Vec::new();
        for (name, connections, per_peer) in &plan.quotas {
            quotas.extend(of_name(name)?.into_iter().map(|service| (service, *connections, *per_peer)));
        }
        if state.entries.len() + plan.added.all.len() > MOST_SERVICES {
            return Err(Error::Setting(too_many()));
        }
        Ok(Self {
            keepalive,
            commit_added: Vec::new(),
            entries: Vec::new(),
            additions: Vec::new(),
            central: Vec::new(),
            moved: Vec::new(),
            removed,
            rekeyed: Vec::new(),
            quotas,
            accesses: Vec::new(),
            pending: plan.limits.as_ref().map(|limits| limits.pending_after(&state.limits)).unwrap_or_default(),
        })
    }

    /// Binds what is added, or finds a listener whose socket it gets.
    fn bind(&mut self, state: &mut State, plan: &Plan, control: &Control) -> Result<()> {
        let first = state.entries.len();
        let mut made: Vec<Option<(Entry, Addition)>> = plan.added.all.iter().map(|_| None).collect();
        let mut central = Vec::new();
        for (index, service) in binding_order(&plan.added.all) {
            let id = (first + index) as ServiceId;
            let (factory, filters) = (service.factory.clone(), service.filters.clone());
            let mut entry = Entry::new(service);
            let (Some(address), Some(quota)) = (&service.address, &service.quota) else {
                let addition = Addition { service: id, factory, filters, quota: None, sockets: Vec::new() };
                made[index] = Some((entry, addition));
                continue;
            };
            let mut quota = quota.clone();
            let mut own: Vec<Option<Own>> = Vec::new();
            let mut all = self.removed.iter().map(|old| &state.entries[usize::from(*old)]);
            let at = all.clone().position(|old| old.name == service.name && old.is_at(address));
            let at = at.or_else(|| all.position(|old| old.is_bound_to(address)));
            if let Some(at) = at {
                let from = self.removed.remove(at);
                let old = &state.entries[usize::from(from)];
                if let (Address::Unix(path), true) = (address, old.unix != service.unix) {
                    let failed = |error| Error::Listen { url: address.to_string(), error };
                    self.accesses.push(FormerAccess::of(path).map_err(failed)?);
                    set_access(path, service.unix).map_err(failed)?;
                }
                if old.keepalive.unwrap_or(state.keepalive) != service.keepalive.unwrap_or(self.keepalive) {
                    self.rekeyed.push(id);
                }
                // Its limits count those who are in already.
                if let (Some(former), true) = (&old.quota, old.name == service.name) {
                    quota = Arc::new(quota.going_on(former));
                }
                self.moved.push((from, id));
                (entry.accepts, entry.is_lent) = (old.accepts, old.is_lent);
                entry.bound = old.bound.as_ref().map(|bound| match (bound, address) {
                    (Address::Tcp(bound), Address::Tls(_)) => Address::Tls(*bound),
                    (Address::Tls(bound), Address::Tcp(_)) => Address::Tcp(*bound),
                    _ => bound.clone(),
                });
            } else {
                let nothing = &mut Estate::default();
                let bound = Bound::new(id, service, address, control.spread, self.keepalive, nothing)?;
                let others;
                (own, others) = entry.listen(bound);
                central.extend(others);
            }
            let sockets = own.into_iter().map(Mutex::new).collect();
            entry.quota = Some(quota.clone());
            let addition = Addition { service: id, factory, filters, quota: Some(quota), sockets };
            made[index] = Some((entry, addition));
        }
        if !central.is_empty() && state.acceptor.is_none() {
            let (pace, balance) = (state.limits.accepts_per_second, control.spread.balance);
            state.acceptor = Some(Acceptor::start(Vec::new(), balance, pace, &control.shared)?);
        }
        self.central = central;
        for (entry, addition) in made.into_iter().flatten() {
            self.commit_added.push(addition.service);
            self.entries.push(entry);
            self.additions.push(addition);
        }
        Ok(())
    }
}

/// Changes a running engine from any thread; [`Running::changes`](crate::Running::changes) returns it.
///
/// It is cheap to clone, and does not keep the engine running.
#[derive(Clone)]
pub struct Changes {
    pub(crate) control: Arc<Control>,
}

impl Changes {
    /// Applies a plan, and returns when all reactors have applied it.
    ///
    /// Everything that may fail happens first: settings are checked, addresses are bound, and every reactor makes and starts
    /// its instances of new services. If one of these steps fails, nothing has changed. After that, each reactor applies the
    /// plan between two turns, for the most part within a millisecond. Instances are made for at most about 5 ms in a turn.
    ///
    /// This call blocks: up to a second for each address that is in use, and up to five seconds for reactors that are held up
    /// by a callback. Do not call it in a callback. Plans of several threads are applied one after the other.
    ///
    /// Each added listener takes one of the 65,536 numbers for services, and a removed one keeps its number and its counters,
    /// some 500 bytes for each reactor. Its service is dropped when its last connection has ended.
    ///
    /// # Errors
    ///
    /// - [`Error::Stopping`]: the engine shuts down, or has ended.
    /// - [`Error::Setting`]: a limit or deadline is out of range or contradicts another one, no listener has a name that the
    ///   plan mentions, or there would be more than 65,536 services.
    /// - [`Error::Listen`]: an address cannot be listened on.
    /// - [`Error::Service`]: a service could not start on one of the reactors.
    /// - [`Error::Reactor`]: a reactor could not make a service or take its listener.
    /// - [`Error::Late`]: a reactor had not made its instances after five seconds.
    pub fn apply(&self, plan: Plan) -> Result<Applied> {
        self.control.apply(plan)
    }

    /// Returns the number of plans that were applied so far.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.control.lock().generation
    }
}

impl std::fmt::Debug for Changes {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Changes").finish_non_exhaustive()
    }
}
