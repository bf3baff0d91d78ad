//! Gateways of the Centrifuge protocol as subjects: Gannet's, and Centrifugo with the same namespaces.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gannet::{DriverChoice, Engine};
use gannet_channels::{Namespace, Options};
use gannet_gateway::settings::{Rate, Settings};
use gannet_gateway::{Gateway, Secret};
use gannet_http::HttpService;
use gannet_tls::TlsServer;
use serde_json::json;

use crate::engine::{self, MANY_REACTORS};
use crate::home;
use crate::socket::{self, Blocking};
use crate::subject::Ready;
use crate::tls::{self, Key};

/// Which Centrifugo is compared.
pub const CENTRIFUGO_VERSION: &str = "6.9.1";

/// Words that Centrifugo logs when it listens.
pub const CENTRIFUGO_READY: &str = "serving websocket";

/// The secret of the tokens that clients have.
pub const TOKEN_SECRET: &str = "a secret of benchmarks, which guards nothing";

/// Channels with presence, history and recovery.
pub const FULL: &str = "full";

/// Channels with nothing of that.
pub const PLAIN: &str = "plain";

/// As [`FULL`], where publications to a client wait for others for 20 ms, in gateways that can do that.
pub const JOINED: &str = "joined";

/// Publications that a channel with history keeps.
const HISTORY: usize = 100;

/// For how long it keeps them.
const HISTORY_TTL: Duration = Duration::from_secs(300);

/// The time between two pings of a client, where there are a million, or where clients do not answer.
const MANY_PING: Duration = Duration::from_secs(600);

/// How long publications wait for others in [`JOINED`].
const JOINED_FOR: Duration = Duration::from_millis(20);

/// Gannet's gateway on one reactor.
pub fn gateway(port: u16, ready: Ready, driver: DriverChoice) -> io::Result<()> {
    gateway_on(settings(), 1, port, ready, driver, None)
}

/// Runs the gateway over TLS, for clients that do not answer pings.
pub fn gateway_over_tls(port: u16, ready: Ready, driver: DriverChoice) -> io::Result<()> {
    let mut settings = settings();
    settings.client.ping = MANY_PING;
    gateway_on(settings, 1, port, ready, driver, Some(tls::filters(Key::Ecdsa)?))
}

/// Gannet's gateway on as many reactors as a million connections need. Every 25 s, pings to a million clients and their answers
/// would take most of two processors.
pub fn many(port: u16, ready: Ready) -> io::Result<()> {
    let mut settings = settings();
    settings.client.ping = MANY_PING;
    gateway_on(settings, MANY_REACTORS, port, ready, DriverChoice::Uring, None)
}

fn gateway_on(
    settings: Settings,
    reactors: usize,
    port: u16,
    ready: Ready,
    driver: DriverChoice,
    filters: Option<Arc<TlsServer>>,
) -> io::Result<()> {
    let gateway = Gateway::new(settings, reactors, u64::from(std::process::id())).map_err(io::Error::other)?;
    let routes = gateway.routes().build().map_err(io::Error::other)?;
    let engine = Engine::new().reactors(reactors).driver(driver);
    let (at, service) = (format!("tcp://127.0.0.1:{port}"), move || HttpService::new(&routes));
    let listened = match filters {
        Some(filters) => engine.listen_filtered(at, filters, service),
        None => engine.listen(at, service),
    };
    let engine = gateway.install(listened.map_err(io::Error::other)?).map_err(io::Error::other)?;
    let running = engine::start(engine)?;
    ready.announce(port)?;
    running.join().map_err(io::Error::other)
}

fn settings() -> Settings {
    let plain = Options { allow_subscribe_for_client: true, allow_publish_for_client: true, ..Options::default() };
    let full = Options {
        presence: true,
        history_size: HISTORY,
        history_ttl: HISTORY_TTL,
        force_recovery: true,
        ..plain.clone()
    };
    let joined = Options { coalesce: Some(JOINED_FOR), ..full.clone() };
    let mut settings = Settings::default();
    settings.channels.namespaces =
        vec![Namespace::new(FULL, full), Namespace::new(JOINED, joined), Namespace::new(PLAIN, plain)];
    settings.tokens.secrets = vec![Secret::new(TOKEN_SECRET)];
    // The publisher publishes as fast as deliveries come.
    settings.client.commands = Rate { per_second: 0, burst: 0 };
    settings.client.publications = Rate { per_second: 0, burst: 0 };
    settings
}

/// Becomes Centrifugo: the process stays the same, so that it is pinned and ends as every other subject. Its runtime takes as
/// many threads as it has processors, which is one.
///
/// `_ready` stays unsaid, since its own log says when it listens.
pub fn centrifugo(port: u16, _ready: Ready) -> io::Result<()> {
    // It would log that its port is taken and end like after any other failure; here the parent learns of it.
    drop(socket::listen(port, Blocking::Yes)?);
    let home = home::make()?;
    let config = home.join("config.json");
    fs::write(&config, centrifugo_config(port).to_string())?;
    let program = installed().ok_or_else(not_installed)?;
    // Its log is read by the parent until it says that it listens.
    Err(Command::new(program).arg("-c").arg(&config).stderr(Stdio::from(io::stdout())).exec())
}

fn centrifugo_config(port: u16) -> serde_json::Value {
    let full = |name: &str| {
        json!({
            "name": name, "presence": true, "history_size": HISTORY, "history_ttl": format!("{}s", HISTORY_TTL.as_secs()), "force_recovery": true,
            "allow_subscribe_for_client": true, "allow_publish_for_client": true,
        })
    };
    let plain = json!({ "name": PLAIN, "allow_subscribe_for_client": true, "allow_publish_for_client": true });
    json!({
        "http_server": { "address": "127.0.0.1", "port": port },
        "usage_stats": { "disabled": true },
        // Above this level it does not say that it listens.
        "log": { "level": "info" },
        "client": { "token": { "hmac_secret_key": TOKEN_SECRET }, "allowed_origins": [] },
        "channel": { "namespaces": [full(FULL), full(JOINED), plain] },
    })
}

/// Installs Centrifugo, unless it is there; returns what it is called.
///
/// # Errors
///
/// It is not there, and Go neither, or its build has failed.
pub fn install_centrifugo() -> io::Result<String> {
    let name = format!("Centrifugo {CENTRIFUGO_VERSION}");
    if installed().is_some() {
        return Ok(name);
    }
    let folder = install_folder();
    fs::create_dir_all(&folder)?;
    eprintln!("gannet-bench: installing {name} to {} with go install, which takes minutes", folder.display());
    let package = format!("github.com/centrifugal/centrifugo/v6@v{CENTRIFUGO_VERSION}");
    let status = Command::new("go").arg("install").arg(package).env("GOBIN", &folder).status();
    let status = status.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => not_installed(),
        _ => error,
    })?;
    if status.success() { Ok(name) } else { Err(io::Error::other(format!("go install has failed: {status}"))) }
}

/// Looks for Centrifugo of [`CENTRIFUGO_VERSION`] in the folder that [`install_centrifugo`] uses, and in the path.
fn installed() -> Option<PathBuf> {
    let own = install_folder().join("centrifugo");
    if own.is_file() {
        return Some(own);
    }
    let answer = Command::new("centrifugo").arg("version").output().ok()?.stdout;
    let is_it = String::from_utf8_lossy(&answer).contains(&format!("v{CENTRIFUGO_VERSION} "));
    is_it.then(|| Path::new("centrifugo").to_owned())
}

fn install_folder() -> PathBuf {
    std::env::temp_dir().join(format!("gannet-bench-go-centrifugo-{CENTRIFUGO_VERSION}"))
}

fn not_installed() -> io::Error {
    let what = format!("Centrifugo {CENTRIFUGO_VERSION} is not installed, and Go neither; try: apt-get install golang");
    io::Error::new(io::ErrorKind::NotFound, what)
}
