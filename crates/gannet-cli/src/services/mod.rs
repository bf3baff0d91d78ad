//! The services that `gannet serve` has: a table with one entry for each. To add one, write its file and name it here.

mod discard;
mod echo;
mod frames;
mod http;
mod lines;
mod listener;
pub(crate) mod push;
mod redis;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use gannet::proto::ws::CloseCode;
use gannet::{Address, DatagramService, Engine, FilterFactory, ListenOptions, Plan, Service};
use gannet_http::Tracer;
use gannet_http::middleware::TraceContext;

pub(crate) use self::http::Site;
pub(crate) use self::listener::{Listener, UNIX, check_service, group, mode, network, parse_listeners};
use crate::tls::{Protocol, Tls};

/// All services, in the order they are listed and started in.
static SERVICES: [&ServiceKind; 9] = [
    &echo::KIND,
    &lines::KIND,
    &frames::KIND,
    &discard::KIND,
    &redis::KIND,
    &push::KIND,
    &push::STREAM,
    &push::API,
    &http::KIND,
];

/// Adds a service to an engine, or to a plan, where it shall listen.
type Add = fn(Target, ListenOptions, &Settings) -> gannet::Result<Target>;

/// What listeners are added to.
pub(crate) enum Target {
    /// An engine that will start.
    Engine(Engine),
    /// Changes of one that runs.
    Plan(Plan),
}

impl Target {
    fn listen<S: Service>(
        self,
        at: ListenOptions,
        factory: impl Fn() -> S + Send + Sync + 'static,
    ) -> gannet::Result<Self> {
        match self {
            Self::Engine(engine) => engine.listen(at, factory).map(Self::Engine),
            Self::Plan(plan) => plan.listen(at, factory).map(Self::Plan),
        }
    }

    fn listen_filtered<S: Service>(
        self,
        at: ListenOptions,
        filters: Arc<dyn FilterFactory>,
        factory: impl Fn() -> S + Send + Sync + 'static,
    ) -> gannet::Result<Self> {
        match self {
            Self::Engine(engine) => engine.listen_filtered(at, filters, factory).map(Self::Engine),
            Self::Plan(plan) => plan.listen_filtered(at, filters, factory).map(Self::Plan),
        }
    }

    fn listen_datagrams<S: DatagramService>(
        self,
        at: ListenOptions,
        factory: impl Fn() -> S + Send + Sync + 'static,
    ) -> gannet::Result<Self> {
        match self {
            Self::Engine(engine) => engine.listen_datagrams(at, factory).map(Self::Engine),
            Self::Plan(plan) => plan.listen_datagrams(at, factory).map(Self::Plan),
        }
    }
}

/// A service as the command line knows it.
#[derive(Debug)]
pub(crate) struct ServiceKind {
    /// What it is called in `--listen`.
    pub(crate) name: &'static str,
    /// What it does, for the help.
    about: &'static str,
    /// Where it listens when nothing else is asked for.
    defaults: &'static [&'static str],
    /// How it is served over TCP, TLS and Unix sockets, if it is.
    streams: Option<Add>,
    /// How it is served over UDP, if it is.
    datagrams: Option<Add>,
    /// A command to try it with.
    pub(crate) try_it: fn(&Address) -> String,
    /// What that command answers, where it can be said in a word.
    pub(crate) answer: &'static str,
}

/// What services are told of the options.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The largest message in bytes, for services that have messages.
    pub(crate) max_frame: usize,
    /// The store of all `redis` listeners.
    pub(crate) redis: Arc<gannet_redis::Server>,
    /// The largest argument of a command to the store, in bytes.
    pub(crate) max_value: usize,
    /// The gateway of all `push`, `push-stream` and `push-api` listeners; there where there is one.
    pub(crate) push: Option<Arc<gannet_gateway::Gateway>>,
    /// The largest frame of its clients, in bytes.
    pub(crate) push_frame: usize,
    /// What all `http` listeners show.
    pub(crate) site: Arc<Site>,
    /// Whether WebSocket messages are compressed with clients that ask for it.
    pub(crate) websocket_deflate: bool,
    /// What WebSocket clients are told when the server shuts down.
    pub(crate) websocket_shutdown_code: CloseCode,
    /// What makes spans of requests, while that is asked for.
    pub(crate) tracer: Tracer,
    /// The profiles that `tls://` listeners are served with, by name.
    pub(crate) profiles: BTreeMap<String, Tls>,
    /// The profile of the listener that a service is added for.
    pub(crate) tls: Option<Tls>,
}

/// Adds a service of connections, with TLS where the URL asks for that.
fn listen<S: Service>(
    to: Target,
    at: ListenOptions,
    settings: &Settings,
    protocol: Protocol,
    factory: impl Fn() -> S + Send + Sync + 'static,
) -> gannet::Result<Target> {
    match &settings.tls {
        Some(tls) if at.url().starts_with("tls://") => to.listen_filtered(at, tls.filters(protocol), factory),
        _ => to.listen(at, factory),
    }
}

/// What continues traces of the requests of a listener, while they are recorded.
fn trace_context(at: &ListenOptions, settings: &Settings) -> TraceContext {
    TraceContext::recording(&settings.tracer).secure(at.url().starts_with("tls://"))
}

/// What listens when nothing else is asked for, as the environment would have it.
pub(crate) fn default_listeners() -> String {
    let entries = SERVICES.iter().flat_map(|service| service.defaults.iter().map(move |url| (service.name, url)));
    entries.map(|(name, url)| format!("{name}={url}")).collect::<Vec<_>>().join(" ")
}

fn names() -> String {
    let (last, others) = SERVICES.split_last().map_or(("", &[][..]), |(last, others)| (last.name, others));
    let others: Vec<&str> = others.iter().map(|service| service.name).collect();
    format!("{} and {last}", others.join(", "))
}

/// The services and the defaults, for the help.
pub(crate) fn help() -> String {
    let mut text = "Services:\n".to_owned();
    for service in SERVICES {
        text += &format!("  {:11} {}\n", service.name, service.about);
    }
    text += "\nWithout --listen, on this machine only:\n";
    for service in SERVICES {
        for url in service.defaults {
            text += &format!("  {}={url}\n", service.name);
        }
    }
    text += "\n";
    text += listener::HELP;
    text += "\nSizes are written 512, 64KiB, 1MiB, 64KB; times 500ms, 30s, 2m, 1h, off.\n";
    text += "Each option has an environment variable: GANNET_MAX_FRAME for --max-frame.";
    text
}

/// A command that sends its standard input to an address and prints what comes back, until it is stopped or the server
/// ends the connection. Over UDP, where nothing ends, for a second.
fn netcat(address: &Address) -> String {
    match address {
        Address::Tcp(address) => format!("nc {} {}", reachable_host(*address), address.port()),
        Address::Udp(address) => format!("nc -u -w1 {} {}", reachable_host(*address), address.port()),
        Address::Unix(path) if is_abstract(path) => {
            format!("socat -t1 - ABSTRACT-CONNECT:{}", quoted(&abstract_name(path)))
        }
        Address::Tls(address) => format!("openssl s_client -quiet -connect {}", reachable_socket(*address)),
        Address::Unix(path) => format!("nc -U {}", quoted(&path.to_string_lossy())),
        _ => "nc".to_owned(),
    }
}

/// The same, for at most a second of silence: for what only shows at its end.
fn brief_netcat(address: &Address) -> String {
    let command = netcat(address);
    match command.strip_prefix("nc ") {
        Some(rest) if !command.contains("-w1") => format!("nc -w1 {rest}"),
        None => format!("timeout 1 {command}"),
        _ => command,
    }
}

/// An address that stands for all of this machine's cannot be connected to everywhere; loopback can.
fn reachable(ip: std::net::IpAddr) -> std::net::IpAddr {
    match ip {
        std::net::IpAddr::V4(ip) if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

/// The same, with the interface of a link-local address.
fn reachable_host(address: SocketAddr) -> String {
    let ip = reachable(address.ip());
    match address {
        SocketAddr::V6(address) if address.scope_id() != 0 => format!("{ip}%{}", address.scope_id()),
        _ => ip.to_string(),
    }
}

/// The same, with the port.
fn reachable_socket(mut address: SocketAddr) -> SocketAddr {
    address.set_ip(reachable(address.ip()));
    address
}

/// Whether a Unix socket has no file, but a name in the abstract namespace.
fn is_abstract(path: &Path) -> bool {
    path.to_string_lossy().starts_with('\0')
}

fn abstract_name(path: &Path) -> String {
    path.to_string_lossy().trim_start_matches('\0').to_owned()
}

/// A word for the shell.
fn quoted(word: &str) -> String {
    if word.chars().all(|character| character.is_alphanumeric() || "/._-+@%".contains(character)) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Address {
        url.parse().expect(url)
    }

    #[test]
    fn every_default_listener_is_one_that_can_be_asked_for() {
        let defaults: usize = SERVICES.iter().map(|service| service.defaults.len()).sum();
        assert_eq!(parse_listeners(&default_listeners()).expect("listeners").len(), defaults);
    }

    #[test]
    fn the_command_to_try_reaches_the_listener() {
        assert_eq!(netcat(&address("tcp://127.0.0.1:7001")), "nc 127.0.0.1 7001");
        assert_eq!(netcat(&address("tcp://0.0.0.0:7001")), "nc 127.0.0.1 7001");
        assert_eq!(netcat(&address("tcp://[::]:7001")), "nc ::1 7001");
        assert_eq!(netcat(&address("tls://0.0.0.0:7001")), "openssl s_client -quiet -connect 127.0.0.1:7001");
        assert_eq!(netcat(&address("tls://[::1]:7001")), "openssl s_client -quiet -connect [::1]:7001");
        assert_eq!(netcat(&address("udp://127.0.0.1:7000")), "nc -u -w1 127.0.0.1 7000");
        assert_eq!(netcat(&address("tcp://[fe80::1%3]:7001")), "nc fe80::1%3 7001");
        assert_eq!(netcat(&address("tls://[fe80::1%3]:7001")), "openssl s_client -quiet -connect [fe80::1%3]:7001");
        #[cfg(target_os = "linux")]
        assert_eq!(netcat(&address("unix://@echo")), "socat -t1 - ABSTRACT-CONNECT:echo");
        assert_eq!(netcat(&address("unix:///run/it's here")), r"nc -U '/run/it'\''s here'");
        assert_eq!(brief_netcat(&address("unix:///run/a")), "nc -w1 -U /run/a");
        let brief = "timeout 1 openssl s_client -quiet -connect 127.0.0.1:7002";
        assert_eq!(brief_netcat(&address("tls://127.0.0.1:7002")), brief);
        assert_eq!(brief_netcat(&address("udp://127.0.0.1:7000")), "nc -u -w1 127.0.0.1 7000");
    }
}
