//! A reload: the configuration is read again, and what differs takes effect in the running server.
//!
//! Everything that can fail comes first: reading, checking, loading certificates and keys, binding addresses. If any of it
//! fails, nothing has changed. What follows cannot fail. A reload runs on the thread that asks for it, which may be that of
//! SIGHUP or one of the admin socket, and never on a reactor.

mod hangup;
mod listeners;
mod report;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::time::Instant;

use gannet::{Access, Changes, Drain, Remote};
use gannet_config::{Problem, Problems};
use gannet_gateway::Gateway;
use gannet_redis::Expiry;
use serde_json::json;

pub(crate) use self::hangup::Hangups;
pub(crate) use self::listeners::show;
use self::report::Report;
use crate::admin::{Admin, Token};
use crate::audit::Audit;
use crate::control::{Control, Outcome, Refused, ReloadOrder};
use crate::failure::{Failure, problem_as_json};
use crate::logs::LogControl;
use crate::options::SettingsOptions;
use crate::otlp::{self, Otlp};
use crate::services::push::bridge;
use crate::services::{self, Listener, Settings};
use crate::settings::Configuration;
use crate::stats::StatsLines;
use crate::tls::{Prepared, Renewals, Tls};

/// What a running server is made of, as far as a reload changes it.
pub(crate) struct Parts {
    pub(crate) remote: Remote,
    /// What changes the engine.
    pub(crate) changes: Changes,
    pub(crate) control: Control,
    pub(crate) log: LogControl,
    pub(crate) access: Arc<Access>,
    /// What services are told.
    pub(crate) services: Settings,
    pub(crate) admin: Option<Admin>,
    /// The counters in the log.
    pub(crate) stats: Option<StatsLines>,
    /// What renews the certificates of profiles, by their names.
    pub(crate) renewals: BTreeMap<String, Renewals>,
    /// Where orders are recorded.
    pub(crate) audit: Audit,
    /// What makes spans, and exports them.
    pub(crate) traces: Otlp,
    /// What removes expired keys of the store, from when something listens for its clients.
    pub(crate) expiry: Option<Expiry>,
}

/// Reloads a running server.
pub(crate) struct Reloader {
    options: SettingsOptions,
    state: Mutex<State>,
}

struct State {
    /// What needs a restart is as it was at the start.
    started: Configuration,
    /// What is in force, and its digest.
    current: Configuration,
    digest: String,
    generation: u64,
    parts: Parts,
}

/// New settings, all checked.
struct Ready {
    gateway: ReadyGateway,
    profiles: Vec<(String, ReadyProfile)>,
    token: Option<Token>,
    traces: Option<otlp::Prepared>,
    expiry: Option<Expiry>,
}

/// What becomes of the gateway.
enum ReadyGateway {
    /// Nothing listens for its clients; one that there is goes on.
    Kept,
    Changed(Box<gannet_gateway::Prepared>),
    /// It is the first.
    Added(Arc<Gateway>),
}

/// A profile of TLS.
enum ReadyProfile {
    /// It is there, and is read again.
    Renewed(Box<Prepared>),
    /// It is new.
    Added(Tls),
}

impl Reloader {
    /// Has reloads be asked for, through the admin socket and by SIGHUP.
    pub(crate) fn offer(
        options: &SettingsOptions,
        configuration: &Configuration,
        parts: Parts,
        control: &Control,
    ) -> (Arc<Self>, Option<Hangups>) {
        let (started, current) = (configuration.clone(), configuration.clone());
        let digest = configuration.digest();
        let state = Mutex::new(State { started, current, digest, generation: 0, parts });
        let reloader = Arc::new(Self { options: options.clone(), state });
        let own = reloader.clone();
        control.on_reload(move |order| own.reload(order));
        (reloader, Hangups::watch(control))
    }

    /// Ends what runs on threads of its own.
    pub(crate) fn end(&self) {
        match self.state.try_lock() {
            Ok(mut state) => state.parts.end(),
            Err(TryLockError::Poisoned(state)) => state.into_inner().parts.end(),
            // It may wait for a file for ever.
            Err(TryLockError::WouldBlock) => {
                tracing::warn!("a reload is under way; the server stops without waiting for it")
            }
        }
    }

    fn reload(&self, order: ReloadOrder) -> Outcome {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { started, current, digest, generation, parts } = &mut *state;
        if parts.remote.is_stopping() {
            return Err(Refused::new("stopping", "the server shuts down, and keeps its configuration").status(409));
        }
        #[allow(clippy::disallowed_methods)] // For the report.
        let began = Instant::now();
        let refused = |refused: Refused| {
            parts.services.site.status.reload_failed();
            refused
        };
        let new = self.options.read().map_err(|failure| refused(invalid(failure)))?;
        let mut report = Report::new(started, (current, digest), &new, *generation + 1);
        if order.strict && report.is_pending() {
            return Err(refused(report.refusal()));
        }
        let mut ready = parts.prepare(&new).map_err(|problems| refused(invalid(problems.into())))?;
        let added = ready.profiles.iter().filter_map(|(name, profile)| match profile {
            ReadyProfile::Added(tls) => Some((name.clone(), tls.clone())),
            ReadyProfile::Renewed(_) => None,
        });
        let added = added.collect();
        // The last that can fail.
        let listeners = listeners::apply(parts, &added, &mut ready.gateway, current, &new);
        report.listeners = match listeners {
            Ok(listeners) => listeners,
            Err(problems) => {
                parts.services.site.status.reload_failed();
                return Err(invalid(problems.into()));
            }
        };
        parts.commit(&new, ready, &report);
        *generation += 1;
        *current = new;
        report.digest().clone_into(digest);
        let status = &parts.services.site.status;
        status.reloaded(*generation);
        report.took = began.elapsed();
        report.log();
        Ok(report.to_json())
    }
}

impl Parts {
    /// Makes and checks everything that can fail. Nothing changes yet.
    fn prepare(&self, new: &Configuration) -> Result<Ready, Problems> {
        let mut problems = Problems::default();
        let mut profiles = Vec::new();
        for (name, settings) in &new.tls {
            let hosts = tls_hosts(new, name);
            let ready = match self.services.profiles.get(name) {
                Some(tls) => tls.prepare(settings, &hosts).map(|ready| ready.map(Box::new).map(ReadyProfile::Renewed)),
                None => Tls::start(settings, &hosts).map(|tls| Some(ReadyProfile::Added(tls))),
            };
            match ready {
                Ok(ready) => profiles.extend(ready.map(|ready| (name.clone(), ready))),
                Err(error) => {
                    let scope = new.values().of("tls", name);
                    problems.push(match scope.place("certificates") {
                        Some(place) => Problem::at(place, error.to_string()),
                        None => Problem::general(error.to_string()),
                    });
                    crate::tls::log_failure(&error);
                }
            }
        }
        let token = match self.admin.as_ref().map(|admin| admin.check_token(&new.admin)) {
            None => None,
            Some(Ok(token)) => token,
            Some(Err(failure)) => {
                let root = new.values().root();
                let place = root.place("admin.token_file").or_else(|| root.place("admin.token"));
                let message = failure.to_string();
                problems.push(
                    place.map_or_else(|| Problem::general(message.clone()), |at| Problem::at(at, message.clone())),
                );
                None
            }
        };
        let gateway = self.prepare_gateway(new, &mut problems);
        let mut thread = |what: &str, error: &std::io::Error| {
            problems.push(Problem::general(format!("the thread that {what} cannot start: {error}")));
        };
        if let Err(error) = self.audit.prepare(new.log.audit.as_ref()) {
            thread("writes the audit log", &error);
        }
        let traces = self.traces.prepare(new.traces.as_ref()).inspect_err(|error| thread("exports traces", error)).ok();
        let first_store = self.expiry.is_none() && new.listeners.iter().any(Listener::is_redis);
        let expiry = first_store.then(|| self.services.redis.start_expiry()).transpose();
        let expiry = expiry.inspect_err(|error| thread("expires keys", error)).unwrap_or_default();
        problems.check()?;
        Ok(Ready { gateway, profiles, token, traces, expiry })
    }

    fn prepare_gateway(&self, new: &Configuration, problems: &mut Problems) -> ReadyGateway {
        let Some(settings) = &new.push else { return ReadyGateway::Kept };
        let ready = match &self.services.push {
            Some(gateway) => {
                gateway.prepare(settings.clone()).map(|prepared| ReadyGateway::Changed(Box::new(prepared)))
            }
            None => {
                let (reactors, tracer) = (self.remote.reactors(), self.traces.tracer());
                services::push::start(settings, reactors, tracer, &self.audit).map(ReadyGateway::Added)
            }
        };
        ready.unwrap_or_else(|error| {
            problems.push(Problem::general(error.to_string()));
            ReadyGateway::Kept
        })
    }

    /// Puts it all in force.
    fn commit(&mut self, new: &Configuration, ready: Ready, report: &Report) {
        self.log.change(&new.log);
        self.audit.set_target(new.log.audit.as_ref());
        if let Some(traces) = ready.traces {
            self.traces.commit(traces);
        }
        let drain = Drain::new().delay(new.drain.delay).spread(new.drain.spread).timeout(new.drain.timeout);
        self.remote.set_drain_times(&drain);
        if let Err(error) = self.access.replace(&new.access) {
            // The configuration was checked by making one of these rules.
            tracing::error!(%error, "the access rules stay as they were");
        }
        if let Some(admin) = &self.admin {
            admin.set_token(ready.token.as_ref());
        }
        self.commit_profiles(new, ready.profiles);
        let redis = &self.services.redis;
        if report.has_changed("redis") {
            // What clients set by CONFIG stays where the configuration has not changed.
            redis.reconfigure(&new.redis);
        } else {
            redis.set_max_clients(new.redis.max_clients);
        }
        self.expiry = self.expiry.take().or(ready.expiry);
        match ready.gateway {
            ReadyGateway::Kept => {}
            ReadyGateway::Changed(prepared) => prepared.commit(),
            ReadyGateway::Added(gateway) => {
                self.services.site.pushes(&gateway);
                if new.push.as_ref().is_some_and(|push| push.admin.password.is_none()) {
                    tracing::warn!(
                        "nobody knows the password of the gateway's admin page; give one: push.admin_password"
                    );
                }
            }
        }
        if let Some(push) = self.services.push.as_ref().filter(|_| self.expiry.is_some()) {
            bridge::join(push, &self.services.redis);
        }
        let interval = new.log.stats;
        if self.stats.as_ref().map(StatsLines::interval) != interval {
            // The thread of the old one ends first.
            self.stats = None;
            self.stats = interval.and_then(|interval| StatsLines::start_or_warn(&self.remote, interval));
        }
    }

    fn commit_profiles(&mut self, new: &Configuration, ready: Vec<(String, ReadyProfile)>) {
        for (name, ready) in ready {
            let has_other_files = match ready {
                ReadyProfile::Renewed(prepared) => prepared.commit(),
                ReadyProfile::Added(tls) => {
                    tls.show_in(self.services.site.status.clone());
                    tls.log();
                    self.services.profiles.insert(name.clone(), tls);
                    true
                }
            };
            if let Some(tls) = self.services.profiles.get(&name).filter(|_| has_other_files) {
                self.renewals.insert(name, Renewals::start(tls.clone()));
            }
        }
        // Connections of a profile that is gone have what they need.
        self.services.profiles.retain(|name, _| new.tls.contains_key(name));
        self.renewals.retain(|name, _| new.tls.contains_key(name));
    }

    fn end(&mut self) {
        self.stats = None;
        self.expiry = None;
        self.renewals.clear();
        self.traces.end();
    }
}

/// The hosts of the listeners that are served with a profile.
pub(crate) fn tls_hosts<'c>(configuration: &'c Configuration, profile: &str) -> Vec<&'c str> {
    let own = configuration.listeners.iter().filter(|listener| listener.tls() == Some(profile));
    own.filter_map(Listener::tls_host).collect()
}

/// A configuration that cannot be used: everything that is wrong with it, as `gannet check` says it.
fn invalid(failure: Failure) -> Refused {
    let texts = failure.texts(true);
    for line in failure.texts(false) {
        tracing::error!("not reloaded, everything stays as it was: {line}");
    }
    let problems = match &failure {
        Failure::Configuration(problems) => problems.iter().map(problem_as_json).collect(),
        other => vec![json!({ "message": other.to_string(), "origin": null })],
    };
    let count = problems.len();
    let message = if count == 1 { texts[0].clone() } else { format!("the configuration has {count} errors") };
    Refused::new("invalid", message).details(json!({ "texts": texts, "problems": problems }))
}
