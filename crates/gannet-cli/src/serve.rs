//! `gannet serve`: starts an engine with the services that were asked for, and waits for its end.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use gannet::{Access, Address, Drain, Engine, Limits, Running};
use gannet_gateway::Gateway;
use gannet_http::Tracer;
use gannet_redis::Server;
use serde_json::json;

use crate::admin::Admin;
use crate::audit::Audit;
use crate::control::{Control, Refused};
use crate::ending::Ending;
use crate::failure::Failure;
use crate::names::LogFormat;
use crate::open_files::OpenFiles;
use crate::options::ServeOptions;
use crate::otlp::Otlp;
use crate::reload::{self, Parts, Reloader, tls_hosts};
use crate::services::push::bridge;
use crate::services::{self, Listener, Settings, Site};
use crate::settings::Configuration;
use crate::stats::StatsLines;
use crate::systemd::Watchdog;
use crate::tls::{Renewals, Tls};
use crate::upgrade::{Successor, Upgrades};
use crate::{banner, ending, logs, systemd};

/// Serves until a signal ends it. Says what came of it, and how that is to be logged.
///
/// The configuration may be wrong, the engine may not start, or it may fail.
pub(crate) fn serve(options: &ServeOptions) -> (LogFormat, Result<(), Failure>) {
    match options.settings.read() {
        Ok(configuration) => {
            let outcome = run(options, &configuration);
            (logs::format().unwrap_or(configuration.log.format), outcome)
        }
        Err(failure) => (options.settings.log_format(), Err(failure)),
    }
}

fn run(options: &ServeOptions, configuration: &Configuration) -> Result<(), Failure> {
    let mut successor = Successor::of_old_process()?;
    let upgrades = Upgrades::note(successor.as_ref());
    let (_log, log) = logs::start(&configuration.log);
    let open_files = OpenFiles::raise();
    let redis = Server::new(configuration.redis.clone());
    let profiles = profiles(configuration)?;
    let mut listeners = Vec::new();
    for listener in &configuration.listeners {
        listeners.extend(listener.resolve()?);
    }
    let (site, control) = (Arc::new(Site::default()), Control::default());
    let traces = traces(configuration, &site)?;
    let audit = audit(configuration, &site, &control)?;
    let push = push(configuration, traces.tracer(), &audit)?;
    push.iter().for_each(|push| site.pushes(push));
    let settings = Settings {
        push: push.clone(),
        push_frame: configuration.push_frame().unwrap_or(0),
        max_frame: configuration.values().root().read("limits.frame"),
        max_value: configuration.redis.max_bulk,
        redis: redis.clone(),
        site,
        websocket_deflate: configuration.websocket_deflate,
        websocket_shutdown_code: configuration.drain.websocket_code,
        tracer: traces.tracer().clone(),
        profiles,
        tls: None,
    };
    let limits = configuration.limits_with(push.as_deref());
    let has_store = listeners.iter().any(Listener::is_redis);
    push.iter().filter(|_| has_store).for_each(|push| bridge::join(push, &redis));
    let admin = Admin::find(&configuration.admin)?;
    let access = Arc::new(Access::new(&configuration.access)?);
    let mut engine = engine(configuration, limits.clone(), &listeners, &settings)?.access(access.clone());
    if let Some(admin) = &admin {
        engine = admin.add(engine, &control)?;
    }
    if let Some(push) = &settings.push {
        // It takes a place too, behind all of these.
        engine = push.install(engine)?;
    }
    let inherited = successor.as_mut().map_or_else(systemd::activated, Successor::take_sockets);
    let running = engine.adopt(inherited).start_after(|driver| match &successor {
        Some(successor) => successor.wait_for_old(driver),
        None => Ok(()),
    })?;
    control.started(running.remote());
    settings.site.started(&running);
    reload::show(&configuration.listeners, &running.remote(), &control, &settings);
    settings.site.status.limits_are(&limits, &configuration.timeouts);
    settings.site.status.started();
    settings.profiles.values().for_each(|tls| tls.show_in(settings.site.status.clone()));
    let expiry = has_store.then(|| redis.start_expiry()).transpose();
    let expiry =
        expiry.map_err(|error| Failure::Output(format!("the thread that expires keys cannot start: {error}")))?;
    // What is logged comes after what can fail, so that a failure is one line.
    // First who ends the server, then who only notes the time: a signal in between must not be noted and nothing else.
    running.stop_on_signals()?;
    let asked_to_end = Ending::watch();
    if let Some(successor) = &successor {
        // From now on it is the main process: a signal that is meant for the server ends it in order.
        successor.serves(&running);
    }
    tracing::info!(
        file = options.settings.config.as_ref().map(|file| file.display().to_string()),
        digest = configuration.digest(),
        "configured"
    );
    open_files.log();
    if let Some(address) = admin.as_ref().and_then(|_| running.addresses().nth(listeners.len())) {
        tracing::info!(%address, "operators reach the server by the admin socket");
    }
    settings.profiles.values().for_each(Tls::log);
    if !redis.has_password() {
        warn_of_open_listeners(&listeners, &running, &settings.profiles, configuration.redis.protected_mode);
    }
    if running.driver().0 == "poll" {
        open_files.check(configuration.limits.connections);
    }
    let remote = running.remote();
    let parts = Parts {
        remote: remote.clone(),
        changes: running.changes(),
        control: control.clone(),
        log,
        access,
        services: settings.clone(),
        stats: configuration.log.stats.and_then(|interval| StatsLines::start_or_warn(&remote, interval)),
        renewals: renewals(&settings.profiles),
        admin,
        audit: audit.clone(),
        traces,
        expiry,
    };
    let (reloader, hangups) = Reloader::offer(&options.settings, configuration, parts, &control);
    // Before anybody is told that it is ready: an order that comes right then must find somebody.
    let handed_over = upgrades.offer(&running, &control);
    offer_drain(&control);
    if let Err(error) = banner::print(&mut std::io::stdout().lock(), &listeners, &running, &settings) {
        // With port 0 nothing else says where it listens.
        let listening = banner::listening(&listeners, &running);
        match error.kind() {
            ErrorKind::BrokenPipe => {
                tracing::info!(%error, listening, "standard output is closed: nobody reads the start message")
            }
            _ => tracing::warn!(%error, listening, "the start message cannot be written to standard output"),
        }
    }
    systemd::notify("READY=1");
    let watchdog = Watchdog::start(remote.clone(), successor.is_some());
    let ended = running.join();
    if !handed_over.load(Ordering::Relaxed) && !asked_to_end.was_asked() {
        systemd::notify("STOPPING=1");
    }
    drop(watchdog);
    if let Err(gannet::Error::Interrupted) = ended {
        ending::at_once();
    }
    drop(hangups);
    reloader.end();
    audit.end();
    asked_to_end.log(&remote);
    Ok(ended?)
}

/// Has drains be asked for through the admin socket.
fn offer_drain(control: &Control) {
    let of = control.clone();
    control.on_drain(move |order| {
        let remote = of.remote().ok_or_else(|| Refused::new("not_running", "the server has not started"))?;
        let wrong = |error: gannet::Error| Refused::new("invalid", error.to_string());
        if order.cancel {
            if !remote.cancel_drain(order.listener.as_deref()).map_err(wrong)? {
                return Err(Refused::new("no_drain", "there is no drain that can be cancelled"));
            }
            tracing::info!(listener = order.listener, "the drain is cancelled: new clients are served again");
            return Ok(json!({ "cancelled": true, "listener": order.listener }));
        }
        let mut drain = Drain::new();
        if let Some(spread) = order.spread {
            drain = drain.spread(spread);
        }
        if let Some(listener) = &order.listener {
            drain = drain.listener(listener);
        }
        remote.drain(&drain).map_err(wrong)?;
        tracing::info!(
            listener = order.listener,
            "draining: clients are told to leave; gannet drain --cancel ends this"
        );
        Ok(json!({ "draining": true, "listener": order.listener }))
    });
}

/// The audit log, for whoever takes orders.
fn audit(configuration: &Configuration, site: &Site, control: &Control) -> Result<Audit, Failure> {
    let cannot = |error| Failure::Output(format!("the thread of the audit log cannot start: {error}"));
    let audit = Audit::start(configuration.log.audit.as_ref()).map_err(cannot)?;
    control.audits(audit.clone());
    site.audits(audit.clone());
    Ok(audit)
}

/// What makes spans, and the thread that exports them where any are made.
fn traces(configuration: &Configuration, site: &Site) -> Result<Otlp, Failure> {
    let cannot = |error| Failure::Output(format!("the thread that exports traces cannot start: {error}"));
    let traces = Otlp::start(configuration.traces.as_ref()).map_err(cannot)?;
    site.exports(traces.traces());
    Ok(traces)
}

/// The profiles of TLS with their certificates.
fn profiles(configuration: &Configuration) -> Result<BTreeMap<String, Tls>, Failure> {
    let mut profiles = BTreeMap::new();
    for (name, settings) in &configuration.tls {
        profiles.insert(name.clone(), Tls::start(settings, &tls_hosts(configuration, name))?);
    }
    Ok(profiles)
}

/// What renews the certificates of each profile.
fn renewals(profiles: &BTreeMap<String, Tls>) -> BTreeMap<String, Renewals> {
    profiles.iter().map(|(name, tls)| (name.clone(), Renewals::start(tls.clone()))).collect()
}

/// The gateway, where something listens for its clients.
fn push(configuration: &Configuration, tracer: &Tracer, audit: &Audit) -> Result<Option<Arc<Gateway>>, Failure> {
    let Some(settings) = &configuration.push else { return Ok(None) };
    let gateway = services::push::start(settings, configuration.engine.reactors, tracer, audit);
    gateway.map(Some).map_err(|error| Failure::Usage(error.to_string()))
}

/// Whoever reaches a store without a password can read and change everything in it: other machines are let in only where
/// that is asked for.
fn warn_of_open_listeners(
    listeners: &[Listener],
    running: &Running,
    profiles: &BTreeMap<String, Tls>,
    protected_mode: bool,
) {
    let stores = listeners.iter().zip(running.addresses()).filter(|(listener, _)| listener.is_redis());
    for (listener, address) in stores {
        let profile = listener.tls().and_then(|profile| profiles.get(profile));
        let knows_clients = profile.is_some_and(Tls::knows_clients);
        let socket = match address {
            Address::Tcp(socket) => socket,
            Address::Tls(socket) if protected_mode || !knows_clients => socket,
            _ => continue,
        };
        if socket.ip().to_canonical().is_loopback() && !listener.is_proxied() {
            continue;
        }
        if protected_mode {
            tracing::warn!(
                %address,
                "redis refuses clients of other machines without a password; set GANNET_REDIS_PASSWORD, or let them in \
                 with --redis-protected-mode no"
            );
        } else {
            tracing::warn!(%address, "redis listens for other machines without a password; set GANNET_REDIS_PASSWORD");
        }
    }
}

fn engine(
    configuration: &Configuration,
    limits: Limits,
    listeners: &[Listener],
    settings: &Settings,
) -> Result<Engine, Failure> {
    let mut engine = Engine::new()
        .driver(configuration.engine.driver)
        .reactors(configuration.engine.reactors)
        .balance(configuration.engine.balance)
        .pin(configuration.engine.pin)
        .limits(limits)
        .timeouts(configuration.timeouts)
        .keepalive(configuration.keepalive)
        .drain_delay(configuration.drain.delay)
        .drain_spread(configuration.drain.spread)
        .drain_timeout(configuration.drain.timeout);
    for listener in listeners {
        engine = listener.add(engine, settings)?;
    }
    Ok(engine)
}
