//! The listeners' part of a reload: from two configurations to a plan for the engine, and what came of it.
//!
//! A listener whose recipe has changed is made anew: its socket goes to the new one, and its connections keep the old one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use gannet::{Address, Plan};
use gannet_config::{Problem, Problems};
use serde_json::{Value, json};

use super::Parts;
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
    /// Those of the push gateway, where the server has started without one: they need a restart.
    waiting: Vec<String>,
    /// Threads that have not followed yet.
    pub(super) late: Vec<String>,
    /// The plan's number in the engine.
    plan: u64,
}

/// Push listeners, where the server has started without the gateway: they need a restart.
pub(super) fn waiting(parts: &Parts, new: &Configuration) -> Vec<String> {
    let has_gateway = parts.services.push.is_some();
    let all = new.listeners.iter().filter(|listener| !has_gateway && listener.is_push());
    all.map(|listener| listener.name.clone()).collect()
}

impl Listeners {
    /// What programs get.
    pub(super) fn to_json(&self) -> Value {
        let Self { added, removed, replaced, kept, waiting, late, .. } = self;
        json!({
            "added": added,
            "removed": removed,
            "replaced": replaced,
            "kept": kept,
            "waiting": waiting,
            "late": late,
        })
    }

    /// Says it in the log.
    pub(super) fn log(&self) {
        let Self { added, removed, replaced, kept, waiting, late, plan } = self;
        if !(added.is_empty() && removed.is_empty() && replaced.is_empty()) {
            let (added, removed, replaced) = (added.join(", "), removed.join(", "), replaced.join(", "));
            tracing::info!(added, removed, replaced, kept, plan, "listeners changed");
        }
        for listener in waiting {
            tracing::warn!(listener, "the server has started without the push gateway: this listener needs a restart");
        }
        if !late.is_empty() {
            let threads = late.join(", ");
            tracing::warn!(threads, "callbacks hold these threads up; they follow when these have returned");
        }
    }
}

/// What the service of a listener is made of, and that of all listeners.
fn recipe(listener: &Listener, of: &Configuration) -> String {
    let site = (listener.service.name == "http").then_some((of.websocket_deflate, of.drain.websocket_code));
    format!("{} {site:?}", listener.recipe())
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
    old: &Configuration,
    new: &Configuration,
) -> Result<Listeners, Problems> {
    let mut settings = parts.services.clone();
    settings.profiles.extend(added.clone());
    (settings.websocket_deflate, settings.websocket_shutdown_code) = (new.websocket_deflate, new.drain.websocket_code);
    let push = settings.push.as_deref();
    let mut plan = Plan::new();
    let (limits, former) = (new.limits_with(push), old.limits_with(push));
    if differ(&limits, &former) {
        plan = plan.limits(limits.clone());
    }
    if differ(&new.timeouts, &old.timeouts) {
        plan = plan.timeouts(new.timeouts);
    }
    if new.keepalive != old.keepalive {
        plan = plan.keepalive(new.keepalive);
    }
    let mut listeners = Listeners { waiting: waiting(parts, new), ..Listeners::default() };
    // A push listener may be in the configuration and wait for a restart.
    let open: BTreeSet<String> =
        parts.remote.listeners().into_iter().filter(|one| one.is_open).map(|one| one.name).collect();
    let formers = || old.listeners.iter().filter(|former| open.contains(&former.name));
    for former in formers().filter(|former| new.listeners.iter().all(|listener| listener.name != former.name)) {
        plan = plan.remove(&former.name);
        listeners.removed.push(former.name.clone());
    }
    let mut problems = Problems::default();
    for listener in &new.listeners {
        let name = &listener.name;
        let former = formers().find(|former| former.name == *name);
        if listeners.waiting.contains(name) {
            continue;
        }
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
        let site = &self.services.site;
        site.reloaded(&new.listeners, &self.remote);
        site.status.limits_are(limits, &new.timeouts);
        let kind = |name: &str| new.listeners.iter().find(|one| one.name == name).map_or("", |one| one.service.name);
        self.control.changed(&self.remote, kind);
        let kinds = self.control.listening();
        let all = self.remote.listeners().into_iter();
        let of_redis = all.filter(|one| kinds.get(one.service).is_some_and(|known| known.service == "redis"));
        let bound = of_redis.map(|one| gannet_redis::Bound::new(one.address, one.service));
        self.services.redis.listening(bound.collect());
    }
}
