//! The listeners' part of a reload: from two configurations to a plan for the engine, and what came of it.
//!
//! A listener whose recipe has changed is made anew: its socket goes to the new one, and its connections keep the old one.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;

use gannet::{Address, Plan, Remote};
use gannet_config::{Problem, Problems};
use serde_json::{Value, json};

use super::{Parts, ReadyGateway};
use crate::control::Control;
use crate::services::push::bridge;
use crate::services::{Listener, Settings};
use crate::settings::Configuration;
use crate::tls::Tls;

/// What a reload does with the listeners, by their names.
#[derive(Clone, Debug, Default)]
pub(super) struct Listeners {
    added: Vec<String>,
    removed: Vec<String>,
    /// Their service or its settings are others now; connections that were open stay as they were.
    replaced: Vec<String>,
    /// Nothing but limits may have changed.
    kept: usize,
    /// Threads that have not followed yet.
    pub(super) late: Vec<String>,
    /// The plan's number in the engine.
    plan: u64,
}

impl Listeners {
    /// What programs get.
    pub(super) fn to_json(&self) -> Value {
        let Self { added, removed, replaced, kept, late, .. } = self;
        json!({
            "added": added,
            "removed": removed,
            "replaced": replaced,
            "kept": kept,
            "late": late,
        })
    }

    /// Says it in the log.
    pub(super) fn log(&self) {
        let Self { added, removed, replaced, kept, late, plan } = self;
        if !(added.is_empty() && removed.is_empty() && replaced.is_empty()) {
            let (added, removed, replaced) = (added.join(", "), removed.join(", "), replaced.join(", "));
            tracing::info!(added, removed, replaced, kept, plan, "listeners changed");
        }
        if !late.is_empty() {
            let threads = late.join(", ");
            tracing::warn!(threads, "callbacks hold these threads up; they follow when these have returned");
        }
    }
}

/// What the service of a listener is made of, and that of all listeners.
fn recipe(listener: &Listener, of: &Configuration) -> String {
    let shared = match listener.service.name {
        "http" => format!("{:?} {:?}", of.websocket_deflate, of.drain.websocket_code),
        _ if listener.is_push() => format!("{:?}", of.push_frame()),
        _ if listener.is_redis() => of.redis.max_bulk.to_string(),
        _ => String::new(),
    };
    format!("{} {shared}", listener.recipe())
}

/// Whether two settings have other values.
fn differ(one: &impl Debug, other: &impl Debug) -> bool {
    format!("{one:?}") != format!("{other:?}")
}

/// Changes the engine; `added` are the profiles of TLS that are new. Where that fails, nothing has changed.
///
/// # Errors
///
/// An address cannot be listened on, or a limit cannot be had.
pub(super) fn apply(
    parts: &mut Parts,
    added: &BTreeMap<String, Tls>,
    gateway: &mut ReadyGateway,
    old: &Configuration,
    new: &Configuration,
) -> Result<Listeners, Problems> {
    let mut settings = parts.services.clone();
    settings.profiles.extend(added.clone());
    (settings.websocket_deflate, settings.websocket_shutdown_code) = (new.websocket_deflate, new.drain.websocket_code);
    (settings.max_value, settings.push_frame) = (new.redis.max_bulk, new.push_frame().unwrap_or(settings.push_frame));
    let push = settings.push.as_deref();
    let (limits, former) = (new.limits_with(push), old.limits_with(push));
    let mut plan = Plan::new();
    let mut problems = Problems::default();
    if let ReadyGateway::Added(gateway) = gateway {
        match gateway.install_in(std::mem::take(&mut plan)) {
            Ok(with_gateway) => plan = with_gateway,
            Err(error) => problems.push(Problem::general(error.to_string())),
        }
        settings.push = Some(gateway.clone());
    }
    if differ(&limits, &former) {
        plan = plan.limits(limits.clone());
    }
    if differ(&new.timeouts, &old.timeouts) {
        plan = plan.timeouts(new.timeouts);
    }
    if new.keepalive != old.keepalive {
        plan = plan.keepalive(new.keepalive);
    }
    let mut listeners = Listeners::default();
    let formers: HashMap<&str, &Listener> = old.listeners.iter().map(|former| (&*former.name, former)).collect();
    let names: HashSet<&str> = new.listeners.iter().map(|listener| &*listener.name).collect();
    for former in old.listeners.iter().filter(|former| !names.contains(&*former.name)) {
        plan = plan.remove(&former.name);
        listeners.removed.push(former.name.clone());
    }
    for listener in &new.listeners {
        let name = &listener.name;
        let former = formers.get(&**name).copied();
        if let Some(former) = former
            && recipe(former, old) == recipe(listener, new)
        {
            if former.quota() != listener.quota() {
                let (connections, per_peer) = listener.quota();
                plan = plan.quota(name, connections, per_peer);
            }
            listeners.kept += 1;
            continue;
        }
        if former.is_some() {
            plan = plan.remove(name);
            listeners.replaced.push(name.clone());
        } else {
            listeners.added.push(name.clone());
        }
        let added = listener
            .resolve()
            .and_then(|all| all.iter().try_fold(std::mem::take(&mut plan), |plan, one| one.plan(plan, &settings)));
        match added {
            Ok(added) => plan = added,
            Err(error) => problems.push(at(new, listener, error.to_string())),
        }
    }
    problems.check()?;
    if !plan.is_empty() {
        let applied = parts.changes.apply(plan).map_err(|error| {
            let own = new.listeners.iter().find(|listener| is_of(&error, listener));
            let text = error.to_string();
            let mut problems = Problems::default();
            problems.push(own.map_or_else(|| Problem::general(text.clone()), |own| at(new, own, text.clone())));
            problems
        })?;
        (listeners.plan, listeners.late) = (applied.generation, applied.late);
    }
    parts.services = Settings { profiles: std::mem::take(&mut parts.services.profiles), ..settings };
    parts.show(new, &limits);
    Ok(listeners)
}

/// Whether an error is about the address of a listener.
fn is_of(error: &gannet::Error, listener: &Listener) -> bool {
    let gannet::Error::Listen { url, .. } = error else { return false };
    let is_it = |one: &Listener| one.url().parse::<Address>().is_ok_and(|address| address.to_string() == *url);
    listener.resolve().is_ok_and(|all| all.iter().any(is_it))
}

/// A problem where the configuration has the listener.
fn at(of: &Configuration, listener: &Listener, message: String) -> Problem {
    match of.values().of("listener", &listener.name).place("url") {
        Some(place) => Problem::at(place, message),
        None => Problem::general(message),
    }
}

impl Parts {
    /// Tells everybody who shows the listeners and the limits.
    fn show(&self, new: &Configuration, limits: &gannet::Limits) {
        show(&new.listeners, &self.remote, &self.control, &self.services);
        self.services.site.status.limits_are(limits, &new.timeouts);
    }
}

/// Tells everybody who shows the listeners which there are, at the start and after each reload.
pub(crate) fn show(listeners: &[Listener], remote: &Remote, control: &Control, services: &Settings) {
    services.site.listens(listeners, remote);
    // Only the admin socket is not one of the configuration's listeners.
    let own: HashMap<&str, &'static str> = listeners.iter().map(|one| (&*one.name, one.service.name)).collect();
    control.listens(remote, |name| own.get(name).copied().unwrap_or("admin"));
    let kinds = control.listening();
    let is_store = |service: usize| {
        kinds.get(service).is_some_and(|kind| kind.as_ref().is_some_and(|kind| kind.service == "redis"))
    };
    let stores = remote.listeners().into_iter().filter(|one| is_store(one.service));
    let bound: Vec<_> = stores.map(|one| gannet_redis::Bound::new(one.address, one.service)).collect();
    if let Some(push) = &services.push {
        bridge::show(push, bound.iter().map(|bound| &bound.address));
    }
    services.redis.listening(bound);
}
