//! The configuration of `gannet serve`: read from a file, the environment and flags by one table, checked, and typed.

mod access;
mod arguments;
mod check;
mod engine;
mod listeners;
mod push;
mod table;
mod tls;

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gannet::{AccessRules, Limits, Timeouts};
use gannet_config::{Change, Loader, Problem, Problems, Values};

pub(crate) use self::arguments::{Flags, is_of_table};
pub(crate) use self::engine::{DrainSettings, EngineSettings, LogSettings};
pub(crate) use self::table::SCHEMA;
use crate::admin::AdminOptions;
use crate::otlp::OtlpSettings;
use crate::secret_files;
use crate::services::{self, Listener};
use crate::tls::TlsSettings;

/// The largest configuration file: a thousand namespaces with all options have less.
const LARGEST_FILE: u64 = 4 << 20;

/// The variable that names the configuration file.
pub(crate) const FILE_VARIABLE: &str = "GANNET_CONFIG";

/// Where settings come from. They are kept, to be read again at a reload.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources {
    /// The file of `--config`.
    pub(crate) file: Option<PathBuf>,
    /// What the environment has for us.
    pub(crate) environment: Vec<(String, String)>,
    /// Variables that are not of the table, but of other flags and commands.
    pub(crate) known: Vec<String>,
    /// The command line.
    pub(crate) flags: Flags,
}

/// Everything that operators decide: read, checked, and typed.
#[derive(Clone)]
pub(crate) struct Configuration {
    values: Values,
    pub(crate) engine: EngineSettings,
    /// Those of all listeners.
    pub(crate) limits: Limits,
    /// Those of all listeners that have none of their own.
    pub(crate) timeouts: Timeouts,
    /// Who may connect.
    pub(crate) access: AccessRules,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) drain: DrainSettings,
    pub(crate) log: LogSettings,
    /// In the order in which they were given.
    pub(crate) listeners: Vec<Listener>,
    /// The profiles of TLS that listeners use, by name.
    pub(crate) tls: BTreeMap<String, TlsSettings>,
    pub(crate) redis: gannet_redis::Options,
    /// The gateway, where something listens for its clients.
    pub(crate) push: Option<gannet_gateway::settings::Settings>,
    pub(crate) websocket_deflate: bool,
    /// Where spans go, if any are made.
    pub(crate) traces: Option<OtlpSettings>,
    pub(crate) admin: AdminOptions,
}

/// The values with their origins, and no secret.
impl Debug for Configuration {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configuration").field("values", &self.values).finish_non_exhaustive()
    }
}

impl Configuration {
    /// The limits of the engine. `push` is a gateway that runs: it may have clients though nothing listens for more.
    pub(crate) fn limits_with(&self, push: Option<&gannet_gateway::Gateway>) -> Limits {
        let mut limits = self.limits.clone();
        if let Some(frame) = self.push_frame().or_else(|| Some(push?.settings().client.frame)) {
            limits.carry = limits.carry.max(services::push::longest(frame));
        }
        limits
    }

    /// The largest frame of the gateway's clients in bytes, where something listens for them.
    pub(crate) fn push_frame(&self) -> Option<usize> {
        self.push.as_ref().map(|push| push.client.frame)
    }

    /// Reads all sources, and the files that they name. Blocks the thread for that.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, not only the first.
    pub(crate) fn read(sources: &Sources) -> Result<Self, Problems> {
        let mut loader = Loader::new(&SCHEMA).secrets(secret_files::read, |name| std::env::var(name).ok());
        loader.also_known(&sources.known);
        if let Some(file) = &sources.file {
            let text = read_file(file).map_err(Problem::general)?;
            loader.file(file, &text);
        }
        loader.environment(sources.environment.iter().cloned());
        sources.flags.apply(&mut loader);
        Self::of(loader)
    }

    /// Reads a file alone, without the environment and flags.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub(crate) fn read_alone(file: &Path) -> Result<Self, Problems> {
        Self::read(&Sources { file: Some(file.to_owned()), ..Sources::default() })
    }

    /// What the layers of a loader come to.
    ///
    /// # Errors
    ///
    /// As for [`read`](Self::read).
    pub(crate) fn of(mut loader: Loader) -> Result<Self, Problems> {
        let listener = SCHEMA.section("listener").expect("the table has listeners");
        loader.default_members(listener, &services::default_listeners());
        let (values, mut problems) = loader.finish();
        let root = values.root();
        let (engine, timeouts) = (EngineSettings::of(&root), engine::timeouts(&root));
        let listeners = listeners::all(&values, timeouts, root.read("limits.frame"), &mut problems);
        let limits = engine::limits(&root, &listeners, &mut problems);
        let tls = tls::profiles(&values, &listeners, &mut problems);
        let push = push::settings(&values, &listeners, &mut problems);
        let redis = engine::redis(&root, &limits);
        let access = access::rules(&root, &mut problems);
        let traces = OtlpSettings::of(&root, &mut problems);
        problems.check()?;
        Ok(Self {
            engine,
            limits,
            timeouts,
            access,
            keepalive: root.read("timeouts.keepalive"),
            drain: DrainSettings::of(&root),
            log: LogSettings::of(&root),
            listeners,
            tls,
            redis,
            push,
            websocket_deflate: root.read("http.websocket_deflate"),
            traces,
            admin: engine::admin(&root),
            values,
        })
    }

    /// All values with their origins.
    pub(crate) fn values(&self) -> &Values {
        &self.values
    }

    /// What differs from this one to `new`. A listener or profile that only one of them has is one change.
    pub(crate) fn diff(&self, new: &Self) -> Vec<Change> {
        self.values.changes(&new.values)
    }

    /// A name for what is configured: the same settings have the same.
    pub(crate) fn digest(&self) -> String {
        self.values.digest()
    }
}

/// Reads a configuration file; the error is one line.
pub(crate) fn read_file(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let bytes = gannet_tls::read_file(path, LARGEST_FILE).map_err(|error| match error.kind() {
        ErrorKind::FileTooLarge => format!("the configuration {shown} has more than 4MiB; is it another file?"),
        _ => format!("the configuration {shown} cannot be read: {error}"),
    })?;
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let line = error.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        format!("{shown}:{line}: the configuration is not UTF-8")
    })
}

#[cfg(test)]
mod tests;
