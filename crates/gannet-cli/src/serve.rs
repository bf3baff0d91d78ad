//! `gannet serve`: starts an engine with the services that were asked for, and waits for its end.

use std::time::Duration;

use gannet::{Engine, Limits};
use gannet_redis::Server;

use crate::ending::Ending;
use crate::failure::Failure;
use crate::open_files::OpenFiles;
use crate::options::ServeOptions;
use crate::services::{Listener, Settings};
use crate::stats::StatsLines;
use crate::{banner, logs};

/// Serves until a signal ends it.
///
/// # Errors
///
/// The options contradict each other, the engine cannot start, or it fails.
pub(crate) fn serve(options: &ServeOptions) -> Result<(), Failure> {
    let limits = options.limits()?;
    let listeners = options.listeners();
    let _log = logs::start(options.log, options.log_level);
    let open_files = OpenFiles::raise();
    let running = engine(options, limits, &listeners)?.start()?;
    // What is logged comes after what can fail, so that a failure is one line.
    let ending = Ending::watch();
    running.stop_on_signals()?;
    open_files.log();
    if running.driver().0 == "poll" {
        open_files.check(options.max_connections);
    }
    let remote = running.remote();
    let stats = options.stats.0.and_then(|interval| {
        let started = StatsLines::start(remote.clone(), interval);
        started.inspect_err(|error| tracing::warn!(%error, "the counters cannot be logged")).ok()
    });
    if let Err(error) = banner::print(&mut std::io::stdout().lock(), &listeners, &running) {
        tracing::debug!(%error, "nobody reads what was printed at the start");
    }
    let ended = running.join();
    drop(stats);
    ending.log(&remote);
    Ok(ended?)
}

fn engine(options: &ServeOptions, limits: Limits, listeners: &[Listener]) -> Result<Engine, Failure> {
    let mut engine = Engine::new()
        .driver(options.driver.into())
        .balance(options.balance.into())
        .pin(options.pin)
        .limits(limits)
        .timeouts(options.timeouts())
        .drain_timeout(options.drain_timeout.0.unwrap_or(Duration::ZERO));
    if let Some(reactors) = options.reactors {
        engine = engine.reactors(reactors.into());
    }
    let redis = Server::new(gannet_redis::Options::default());
    let settings = Settings { max_frame: options.max_frame, redis };
    for listener in listeners {
        engine = listener.add(engine, &settings)?;
    }
    Ok(engine)
}
