//! The services that `gannet serve` has: a table with one entry for each. To add one, write its file and name it here.

mod discard;
mod echo;
mod frames;
mod http;
mod lines;
mod redis;

use std::net::SocketAddr;
use std::sync::Arc;

use gannet::{Address, Engine, Service};

pub(crate) use self::http::Site;
use crate::tls::{Protocol, Tls};

/// What the URL of a listener with TLS begins with.
const TLS: &str = "tls://";

/// All services, in the order they are listed and started in.
static SERVICES: [&Entry; 6] =
    [&echo::ENTRY, &lines::ENTRY, &frames::ENTRY, &discard::ENTRY, &redis::ENTRY, &http::ENTRY];

/// Adds a service to an engine, at a URL.
type Add = fn(Engine, &str, &Settings) -> gannet::Result<Engine>;

/// A service as the command line knows it.
#[derive(Debug)]
pub(crate) struct Entry {
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
#[derive(Debug)]
pub(crate) struct Settings {
    /// The largest message in bytes, for services that have messages.
    pub(crate) max_frame: usize,
    /// The store of all `redis` listeners.
    pub(crate) redis: Arc<gannet_redis::Server>,
    /// What all `http` listeners show.
    pub(crate) site: Arc<Site>,
    /// Whether WebSocket messages are compressed with clients that ask for it.
    pub(crate) websocket_deflate: bool,
    /// What all `tls://` listeners are served with; there where there is one.
    pub(crate) tls: Option<Tls>,
}

/// A service at a URL.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) service: &'static Entry,
    url: String,
    add: Add,
}

impl Listener {
    /// Whether it is for Redis clients.
    pub(crate) fn is_redis(&self) -> bool {
        self.service.name == redis::ENTRY.name
    }

    /// The host of its URL, where that is for TLS.
    pub(crate) fn tls_host(&self) -> Option<&str> {
        let (host, _) = self.url.strip_prefix(TLS)?.rsplit_once(':').unwrap_or_default();
        Some(host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host))
    }

    /// Adds it to an engine.
    ///
    /// # Errors
    ///
    /// The URL is not an address, or its host is unknown.
    pub(crate) fn add(&self, engine: Engine, settings: &Settings) -> gannet::Result<Engine> {
        (self.add)(engine, &self.url, settings)
    }
}

/// Adds a service of connections, with TLS where the URL asks for that.
fn listen<S: Service>(
    engine: Engine,
    url: &str,
    settings: &Settings,
    protocol: Protocol,
    factory: impl Fn() -> S + Send + Sync + 'static,
) -> gannet::Result<Engine> {
    match &settings.tls {
        Some(tls) if url.starts_with(TLS) => engine.listen_filtered(url, tls.filters(protocol), factory),
        _ => engine.listen(url, factory),
    }
}

/// Reads `SERVICE=URL`.
pub(crate) fn parse_listener(text: &str) -> Result<Listener, String> {
    let (name, url) = text
        .split_once('=')
        .ok_or("a listener is written SERVICE=URL, for example lines=tcp://127.0.0.1:7001".to_owned())?;
    let service = SERVICES
        .into_iter()
        .find(|service| service.name == name)
        .ok_or_else(|| format!("there is no service '{name}'; there are {}", names()))?;
    let add = match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("tcp" | "tls" | "unix") => service.streams.ok_or_else(|| format!("{name} is served on udp:// only"))?,
        Some("udp") => {
            service.datagrams.ok_or_else(|| format!("{name} is served on tcp://, tls:// and unix:// only"))?
        }
        _ => {
            let why = "a URL is written tcp://host:port, tls://host:port, unix:///path or udp://host:port";
            return Err(why.to_owned());
        }
    };
    Ok(Listener { service, url: url.to_owned(), add })
}

/// What listens when nothing else is asked for.
pub(crate) fn default_listeners() -> Vec<Listener> {
    let entries = SERVICES.iter().flat_map(|service| service.defaults.iter().map(move |url| (service.name, url)));
    entries.filter_map(|(name, url)| parse_listener(&format!("{name}={url}")).ok()).collect()
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
        text += &format!("  {:8} {}\n", service.name, service.about);
    }
    text += "\nWithout --listen, on this machine only:\n";
    for service in SERVICES {
        for url in service.defaults {
            text += &format!("  {}={url}\n", service.name);
        }
    }
    text += "\nSizes are written 512, 64KiB, 1MiB, 64KB; times 500ms, 30s, 2m, 1h, off.";
    text
}

/// A command that sends its standard input to an address and prints what comes back, until it is stopped or the server
/// ends the connection. Over UDP, where nothing ends, for a second.
fn netcat(address: &Address) -> String {
    match address {
        Address::Tcp(address) => format!("nc {} {}", reachable(address.ip()), address.port()),
        Address::Udp(address) => format!("nc -u -w1 {} {}", reachable(address.ip()), address.port()),
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

/// The same, with the port.
fn reachable_socket(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(reachable(address.ip()), address.port())
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
        assert_eq!(default_listeners().len(), defaults);
    }

    #[test]
    fn a_listener_that_cannot_be_is_refused_with_what_there_is() {
        for (text, why) in [
            ("echo", "SERVICE=URL"),
            ("mail=tcp://127.0.0.1:25", "echo, lines, frames, discard, redis and http"),
            ("lines=udp://127.0.0.1:1", "lines is served on tcp://, tls:// and unix:// only"),
            ("frames=udp://127.0.0.1:1", "frames is served on tcp://, tls:// and unix:// only"),
            ("echo=127.0.0.1:7000", "tcp://host:port"),
            ("echo=http://127.0.0.1:7000", "tcp://host:port"),
            ("", "SERVICE=URL"),
        ] {
            let error = parse_listener(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn the_command_to_try_reaches_the_listener() {
        assert_eq!(netcat(&address("tcp://127.0.0.1:7001")), "nc 127.0.0.1 7001");
        assert_eq!(netcat(&address("tcp://0.0.0.0:7001")), "nc 127.0.0.1 7001");
        assert_eq!(netcat(&address("tcp://[::]:7001")), "nc ::1 7001");
        assert_eq!(netcat(&address("tls://0.0.0.0:7001")), "openssl s_client -quiet -connect 127.0.0.1:7001");
        assert_eq!(netcat(&address("tls://[::1]:7001")), "openssl s_client -quiet -connect [::1]:7001");
        assert_eq!(netcat(&address("udp://127.0.0.1:7000")), "nc -u -w1 127.0.0.1 7000");
        assert_eq!(netcat(&address("unix:///run/it's here")), r"nc -U '/run/it'\''s here'");
        assert_eq!(brief_netcat(&address("unix:///run/a")), "nc -w1 -U /run/a");
        let brief = "timeout 1 openssl s_client -quiet -connect 127.0.0.1:7002";
        assert_eq!(brief_netcat(&address("tls://127.0.0.1:7002")), brief);
        assert_eq!(brief_netcat(&address("udp://127.0.0.1:7000")), "nc -u -w1 127.0.0.1 7000");
    }
}
