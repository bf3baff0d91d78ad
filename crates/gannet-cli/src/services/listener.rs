//! What `--listen` says: a service, where it listens, and what is special about that listener.

use std::net::IpAddr;

use gannet::{Engine, IpNet, ListenOptions, Plan, ProxyProtocol, Timeouts};
use gannet_config::{Member, Scope};

use super::{Add, SERVICES, ServiceKind, Settings, Target, names, push, redis};
use crate::units::{Deadline, keepalive, whole};

/// What the URL of a listener with TLS begins with.
const TLS: &str = "tls://";

/// The options of one listener, for the help.
pub(super) const HELP: &str = "\
Options of a listener, behind its URL, separated by commas:
  operational                 may exceed limits by --operational-reserve: for /healthz
  max-connections=N           most connections at a time; 0 is no limit
  max-connections-per-peer=N  most connections from one IP address; 0 is no limit
  proxy=CIDR[+CIDR...]        requires the PROXY protocol, from these load balancers;
                              on unix:// write proxy alone
  tcp-keepalive=TIME          replaces --tcp-keepalive for this listener
  mode=0660                   mode of a Unix socket's file
  group=NAME                  group of that file, by name or number
  tls=NAME                    profile of [tls.NAME] in the configuration file
";

/// A service at a URL.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    /// Its name in the configuration.
    pub(crate) name: String,
    pub(crate) service: &'static ServiceKind,
    options: ListenOptions,
    quota: (u32, u32),
    add: Add,
    /// The profile that it is served with, where its URL is for TLS.
    tls: Option<String>,
    /// The largest message of its service.
    frame: usize,
    /// The load balancers that its clients come by.
    proxy: Option<ProxyProtocol>,
}

impl Listener {
    /// What a member of the configuration describes. `timeouts` and `frame` are those of all listeners.
    ///
    /// # Errors
    ///
    /// The key that is wrong, and what is wrong with it.
    pub(crate) fn of(scope: &Scope<'_>, timeouts: Timeouts, frame: usize) -> Result<Self, (&'static str, String)> {
        let missing = |what| format!("a listener needs {what}");
        let service = scope
            .find::<String>("service")
            .ok_or_else(|| ("service", missing("a service, such as service = \"http\"")))?;
        let url = scope
            .find::<String>("url")
            .ok_or_else(|| ("url", missing("a URL, such as url = \"tcp://0.0.0.0:8080\"")))?;
        let (service, add, scheme) = kind(&service, &url).map_err(|why| ("url", why))?;
        for (key, option) in KEYS {
            if scope.entry(key).is_some() && !fits(option, scheme) {
                return Err((key, format!("it is not for {scheme}://")));
            }
        }
        let mut options = ListenOptions::at(url);
        if scope.find("operational").unwrap_or(false) {
            options = options.operational();
        }
        let limit = |key| scope.find(key).unwrap_or(0);
        let quota = (limit("limits.connections"), limit("limits.connections_per_peer"));
        options = options.connections(quota.0).connections_per_peer(quota.1);
        if let Some(keepalive) = scope.find("keepalive") {
            options = options.keepalive(keepalive);
        }
        if let Some(mode) = scope.find::<String>("mode") {
            options = options.unix_mode(self::mode(&mode).map_err(|why| ("mode", why))?);
        }
        if let Some(group) = scope.find::<String>("group") {
            options = options.unix_group(self::group(&group).map_err(|why| ("group", why))?);
        }
        let proxy = scope.find::<Vec<String>>("proxy").map(|all| balancers(&all, scheme)).transpose();
        let proxy = proxy.map_err(|why| ("proxy", why))?;
        if let Some(proxy) = &proxy {
            options = options.proxy_protocol(proxy.clone());
        }
        let own = own_timeouts(scope, timeouts);
        if own != timeouts {
            options = options.timeouts(own);
        }
        let tls = scope.find("tls").or((scheme == "tls").then(|| "default".to_owned()));
        let frame = scope.find("limits.frame").unwrap_or(frame);
        let name = scope.member().unwrap_or_default().to_owned();
        if !name.is_empty() {
            options = options.named(&name);
        }
        Ok(Self { name, service, options, quota, add, tls, frame, proxy })
    }

    /// The URL that it is to listen on.
    pub(crate) fn url(&self) -> &str {
        self.options.url()
    }

    /// The profile of TLS that it is served with.
    pub(crate) fn tls(&self) -> Option<&str> {
        self.tls.as_deref()
    }

    /// The largest message of its service, in bytes.
    pub(crate) fn frame(&self) -> usize {
        self.frame
    }

    /// Whether it is for Redis clients.
    pub(crate) fn is_redis(&self) -> bool {
        self.service.name == redis::KIND.name
    }

    /// Whether it is of the push gateway.
    pub(crate) fn is_push(&self) -> bool {
        [push::KIND.name, push::STREAM.name, push::API.name].contains(&self.service.name)
    }

    /// Whether its clients come by load balancers that name them.
    pub(crate) fn is_proxied(&self) -> bool {
        self.proxy.is_some()
    }

    /// Whether only this machine can reach it.
    pub(crate) fn is_local(&self) -> bool {
        if self.is_proxied() {
            return false;
        }
        match self.options.url().parse() {
            Ok(gannet::Address::Tcp(address) | gannet::Address::Tls(address)) => {
                address.ip().to_canonical().is_loopback()
            }
            Ok(gannet::Address::Unix(_)) => true,
            _ => false,
        }
    }

    /// The host of its URL, where that is for TLS.
    pub(crate) fn tls_host(&self) -> Option<&str> {
        let (host, _) = self.options.url().strip_prefix(TLS)?.rsplit_once(':').unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        // No certificate is for an interface.
        Some(host.split('%').next().unwrap_or(host))
    }

    /// One for each address of its host that this machine has.
    ///
    /// # Errors
    ///
    /// The URL is not an address, or its host is unknown.
    pub(crate) fn resolve(&self) -> gannet::Result<Vec<Self>> {
        let all = self.options.clone().resolve()?.into_iter();
        Ok(all.map(|options| Self { options, ..self.clone() }).collect())
    }

    /// Adds it to an engine.
    ///
    /// # Errors
    ///
    /// The URL is not an address, or its host is unknown.
    pub(crate) fn add(&self, engine: Engine, settings: &Settings) -> gannet::Result<Engine> {
        match self.add_to(Target::Engine(engine), settings)? {
            Target::Engine(engine) => Ok(engine),
            Target::Plan(_) => unreachable!("an engine stays an engine"),
        }
    }

    /// Adds it to a plan, which may remove others of its name.
    ///
    /// # Errors
    ///
    /// The URL is not an address, or its host is unknown.
    pub(crate) fn plan(&self, plan: Plan, settings: &Settings) -> gannet::Result<Plan> {
        match self.add_to(Target::Plan(plan), settings)? {
            Target::Plan(plan) => Ok(plan),
            Target::Engine(_) => unreachable!("a plan stays a plan"),
        }
    }

    /// Most connections at a time, and most of one peer.
    pub(crate) fn quota(&self) -> (u32, u32) {
        self.quota
    }

    /// What it is made of, without the limits that change in place: a listener with another recipe is made anew.
    pub(crate) fn recipe(&self) -> String {
        let options = self.options.clone().connections(0).connections_per_peer(0);
        format!("{} {options:?} {:?} {}", self.service.name, self.tls, self.frame)
    }

    fn add_to(&self, to: Target, settings: &Settings) -> gannet::Result<Target> {
        let own = Settings {
            max_frame: self.frame,
            tls: self.tls().and_then(|profile| settings.profiles.get(profile)).cloned(),
            ..settings.clone()
        };
        (self.add)(to, self.options.clone(), &own)
    }
}

/// The deadlines of a listener: its own, and for the rest those of all.
fn own_timeouts(scope: &Scope<'_>, mut timeouts: Timeouts) -> Timeouts {
    for (key, place) in [
        ("timeouts.idle", &mut timeouts.idle),
        ("timeouts.read_idle", &mut timeouts.read_idle),
        ("timeouts.write_idle", &mut timeouts.write_idle),
        ("timeouts.heartbeat", &mut timeouts.heartbeat),
        ("timeouts.first_message", &mut timeouts.first_message),
        ("timeouts.slow_write", &mut timeouts.slow_write),
    ] {
        *place = scope.find(key).unwrap_or(*place);
    }
    for (key, place) in [
        ("timeouts.handshake", &mut timeouts.handshake),
        ("timeouts.linger", &mut timeouts.linger),
        ("timeouts.half_close", &mut timeouts.half_close),
    ] {
        *place = scope.find(key).unwrap_or(*place);
    }
    timeouts.heartbeats_missed = scope.find("timeouts.heartbeats_missed").unwrap_or(timeouts.heartbeats_missed);
    timeouts
}

/// The keys of the configuration, and the options behind commas that they are.
const KEYS: [(&str, &str); 8] = [
    ("operational", "operational"),
    ("limits.connections", "max-connections"),
    ("limits.connections_per_peer", "max-connections-per-peer"),
    ("proxy", "proxy"),
    ("keepalive", "tcp-keepalive"),
    ("mode", "mode"),
    ("group", "group"),
    ("tls", "tls"),
];

/// Reads `SERVICE=URL[,OPTION]…`, or several of them with spaces between, as the environment has them: each as a member of the
/// configuration.
pub(crate) fn parse_listeners(text: &str) -> Result<Vec<Member>, String> {
    split(text).into_iter().map(parse_listener).collect()
}

/// Whether there is a service of this name.
pub(crate) fn check_service(name: &str) -> Result<(), String> {
    service(name).map(drop)
}

fn service(name: &str) -> Result<&'static ServiceKind, String> {
    let found = SERVICES.into_iter().find(|service| service.name == name);
    found.ok_or_else(|| format!("there is no service '{name}'; there are {}", names()))
}

/// A service, how it is added to an engine, and the scheme of its URL.
fn kind(name: &str, url: &str) -> Result<(&'static ServiceKind, Add, &'static str), String> {
    let service = service(name)?;
    let scheme = ["tcp", "tls", "unix", "udp"]
        .into_iter()
        .find(|scheme| url.split_once("://").is_some_and(|(one, _)| one == *scheme));
    let add = match scheme {
        Some("udp") => {
            service.datagrams.ok_or_else(|| format!("{name} is served on tcp://, tls:// and unix:// only"))?
        }
        Some(_) => service.streams.ok_or_else(|| format!("{name} is served on udp:// only"))?,
        None => {
            let why = "a URL is written tcp://host:port, tls://host:port, unix:///path or udp://host:port";
            return Err(why.to_owned());
        }
    };
    Ok((service, add, scheme.unwrap_or_default()))
}

/// Parts a text where a space has the begin of another listener behind it: paths of sockets may have spaces too.
fn split(text: &str) -> Vec<&str> {
    let begins = |at: usize| {
        let word = text[at..].split(char::is_whitespace).next().unwrap_or_default();
        word.split_once('=').is_some_and(|(name, url)| !name.contains('/') && url.contains("://"))
    };
    let spaces = text.char_indices().filter(|(_, character)| character.is_whitespace());
    let mut parts = Vec::new();
    let mut from = 0;
    for (at, space) in spaces {
        if begins(at + space.len_utf8()) {
            parts.push(text[from..at].trim());
            from = at;
        }
    }
    parts.push(text[from..].trim());
    // An empty text is a listener that is none, and is refused as such.
    if parts.len() > 1 {
        parts.retain(|part| !part.is_empty());
    }
    parts
}

/// Reads `SERVICE=URL[,OPTION]…`.
fn parse_listener(text: &str) -> Result<Member, String> {
    let (name, rest) = text
        .split_once('=')
        .ok_or("a listener is written SERVICE=URL, for example lines=tcp://127.0.0.1:7001".to_owned())?;
    let (url, words) = options_of(rest);
    let (_, _, scheme) = kind(name, url)?;
    for (at, word) in words.iter().enumerate() {
        let name = option_name(word);
        if !name.is_empty() && words[..at].iter().any(|earlier| option_name(earlier) == name) {
            return Err(format!("the option {name} is given twice; leave one of them"));
        }
    }
    let mut entries = vec![("service", name.to_owned()), ("url", url.to_owned())];
    for word in words {
        entries.push(entry(scheme, word)?);
    }
    Ok(Member { name: None, entries })
}

/// The URL, and the options behind it. A comma with anything but an option behind it is part of a socket's path.
fn options_of(text: &str) -> (&str, Vec<&str>) {
    let (mut url, mut words) = (text, Vec::new());
    while let Some((before, word)) = url.rsplit_once(',') {
        let name = option_name(word);
        let is_option = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        if !is_option && text.starts_with("unix://") {
            break;
        }
        words.insert(0, word);
        url = before;
    }
    (url, words)
}

fn option_name(word: &str) -> &str {
    word.split('=').next().unwrap_or_default()
}

/// Whether an option is for listeners of this scheme.
fn fits(option: &str, scheme: &str) -> bool {
    match option {
        "operational" | "max-connections" | "max-connections-per-peer" | "proxy" => scheme != "udp",
        "tcp-keepalive" => matches!(scheme, "tcp" | "tls"),
        "tls" => scheme == "tls",
        _ => scheme == "unix",
    }
}

/// One option as an entry of the configuration.
fn entry(scheme: &str, word: &str) -> Result<(&'static str, String), String> {
    let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    let Some((key, _)) = KEYS.into_iter().find(|(_, option)| *option == name) else {
        let all = "operational, max-connections, max-connections-per-peer, proxy, tcp-keepalive, mode, group and tls";
        return Err(format!("a listener has no option '{name}'; there are {all}"));
    };
    if !fits(name, scheme) {
        return Err(format!("the option {name} is not for {scheme}://"));
    }
    let said = |why: String| format!("{name}: {why}");
    let checked = match (name, value) {
        ("operational", None) => return Ok((key, "true".to_owned())),
        ("operational", Some(_)) => {
            return Err("operational has no value: leave the option out where it is not".to_owned());
        }
        ("proxy", None) if scheme == "unix" => return Ok((key, UNIX.to_owned())),
        ("proxy", None) => {
            return Err("proxy needs the networks of the load balancers: proxy=10.0.0.0/24+::1".to_owned());
        }
        ("proxy", Some(value)) => {
            let all: Vec<String> = value.split('+').map(str::to_owned).collect();
            return balancers(&all, scheme).map(|_| (key, all.join(" "))).map_err(said);
        }
        (_, None) => return Err(format!("{name} needs a value: {name}=…")),
        ("max-connections" | "max-connections-per-peer", Some(value)) => {
            whole::<u32>(0..=u32::MAX.into())(value).map(drop).map_err(said)
        }
        ("tcp-keepalive", Some(value)) => keepalive(value).map(|Deadline(_)| ()).map_err(said),
        ("mode", Some(value)) => mode(value).map(drop).map_err(said),
        ("group", Some(value)) => group(value).map(drop).map_err(said),
        (_, Some("")) => Err(format!("{name} needs a value: {name}=…")),
        (_, Some(_)) => Ok(()),
    };
    checked.map(|()| (key, value.unwrap_or_default().to_owned()))
}

/// In the place of load balancers: whoever reaches a Unix socket.
pub(crate) const UNIX: &str = "unix";

/// Whether a part of an IPv4 address begins with a zero, which some programs read as octal: 010 is 10 or 8.
fn has_leading_zero(text: &str) -> bool {
    let address = text.split('/').next().unwrap_or_default();
    let digits = |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|byte| byte.is_ascii_digit());
    address.contains('.') && address.rsplit(':').next().is_some_and(|v4| v4.split('.').any(digits))
}

/// Reads a network, or an address. Bits behind its prefix are no slip of the pen that should widen a list.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    if has_leading_zero(text) {
        return Err(format!("{text:?} has a number with a leading zero, which may mean octal: leave the zero out"));
    }
    let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network =
        network.map_err(|_| format!("{text:?} is not a network: write 10.0.0.0/8, 2001:db8::/32, or an address"))?;
    if network.trunc() != network {
        let (wide, one) = (network.trunc(), network.addr());
        return Err(format!(
            "{network} has bits behind its prefix: write {wide} for the network, or {one} for the address"
        ));
    }
    Ok(network)
}

/// The load balancers of a listener.
fn balancers(all: &[String], scheme: &str) -> Result<ProxyProtocol, String> {
    match (scheme, all) {
        ("unix", [word]) if word == UNIX => Ok(ProxyProtocol::required([])),
        ("unix", _) => {
            Err("a Unix socket trusts everybody that its mode lets in: write unix, and no networks".to_owned())
        }
        (_, []) => Err("the networks of the load balancers are missing".to_owned()),
        _ => all.iter().map(|text| network(text)).collect::<Result<Vec<_>, _>>().map(ProxyProtocol::required),
    }
}

/// Reads the mode of a file.
pub(crate) fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o777 && !text.starts_with('+') => Ok(mode),
        _ => Err("a mode is written in octal, as 0660".to_owned()),
    }
}

/// The number of a group, by itself or by its name.
pub(crate) fn group(name: &str) -> Result<u32, String> {
    match name.parse() {
        // To the kernel it says that the group stays as it is.
        Ok(u32::MAX) => return Err(format!("{name} is the number of no group")),
        Ok(number) => return Ok(number),
        Err(_) => {}
    }
    let all = std::fs::read_to_string("/etc/group").unwrap_or_default();
    group_in(&all, name).ok_or_else(|| format!("/etc/group has no '{name}'; give a group of it, or the number of any"))
}

fn group_in(all: &str, name: &str) -> Option<u32> {
    let mut rows = all.lines().map(|row| row.split(':').collect::<Vec<_>>());
    rows.find(|row| row.first() == Some(&name))?.get(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_that_cannot_be_is_refused_with_what_there_is() {
        for (text, why) in [
            ("echo", "SERVICE=URL"),
            ("mail=tcp://127.0.0.1:25", "echo, lines, frames, discard, redis, push, push-stream, push-api and http"),
            ("lines=udp://127.0.0.1:1", "lines is served on tcp://, tls:// and unix:// only"),
            ("frames=udp://127.0.0.1:1", "frames is served on tcp://, tls:// and unix:// only"),
            ("echo=127.0.0.1:7000", "tcp://host:port"),
            ("echo=http://127.0.0.1:7000", "tcp://host:port"),
            ("", "SERVICE=URL"),
            ("echo=tcp://127.0.0.1:1,fast", "no option 'fast'; there are operational, max-connections"),
            ("echo=unix:///a,fast=1", "no option 'fast'"),
            ("echo=tcp://127.0.0.1:1,operational=yes", "operational has no value"),
            ("echo=tcp://127.0.0.1:1,max-connections", "max-connections=…"),
            ("echo=tcp://127.0.0.1:1,max-connections=many", "max-connections: not a whole number"),
            ("echo=tcp://127.0.0.1:1,mode=0660", "mode is not for tcp://"),
            ("echo=udp://127.0.0.1:1,operational", "operational is not for udp://"),
            ("echo=unix:///a,tcp-keepalive=5s", "tcp-keepalive is not for unix://"),
            ("echo=tcp://127.0.0.1:1,tcp-keepalive=1ms", "1s to 32767s, or off"),
            ("echo=tcp://127.0.0.1:1,proxy", "proxy needs the networks of the load balancers"),
            ("echo=tcp://127.0.0.1:1,proxy=", "proxy: \"\" is not a network"),
            ("echo=tcp://127.0.0.1:1,proxy=10.0.0.0/24+", "proxy: \"\" is not a network"),
            ("echo=tcp://127.0.0.1:1,proxy=unix", "proxy: \"unix\" is not a network"),
            ("echo=tls://127.0.0.1:1,proxy=10.0.0.1/24", "10.0.0.0/24 for the network, or 10.0.0.1 for the address"),
            ("echo=udp://127.0.0.1:1,proxy=10.0.0.0/24", "proxy is not for udp://"),
            ("echo=unix:///a,proxy=10.0.0.0/24", "write unix, and no networks"),
            ("echo=unix:///a,mode=888", "in octal, as 0660"),
            ("echo=unix:///a,mode=1777", "in octal, as 0660"),
            ("echo=unix:///a,group=4294967295", "group: 4294967295 is the number of no group"),
            ("echo=unix:///a,mode=0660,mode=0600", "the option mode is given twice"),
            ("echo=unix:///a,group=0,mode=0660,group=0", "the option group is given twice"),
            ("echo=tcp://127.0.0.1:1,operational,operational", "the option operational is given twice"),
            ("http=tcp://127.0.0.1:1,max-connections=1,max-connections=2", "max-connections is given twice"),
            ("echo=unix:///a,group=no such group", "/etc/group has no 'no such group'"),
        ] {
            let error = parse_listener(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn options_are_what_is_behind_the_url_and_commas_in_a_path_are_part_of_it() {
        for (text, url, words) in [
            ("tcp://h:1", "tcp://h:1", &[][..]),
            ("tcp://h:1,operational,max-connections=5", "tcp://h:1", &["operational", "max-connections=5"]),
            ("unix:///a,b.sock", "unix:///a,b.sock", &[]),
            ("unix:///a,b.sock,mode=0660", "unix:///a,b.sock", &["mode=0660"]),
            ("unix:///a,b/c,operational", "unix:///a,b/c", &["operational"]),
        ] {
            assert_eq!(options_of(text), (url, words.to_vec()), "{text}");
        }
        let listener =
            parse_listener("http=unix:///a,b.sock,operational,mode=0660,group=0").expect("all of it is fine");
        assert_eq!(listener.entries[1], ("url", "unix:///a,b.sock".to_owned()));
        assert_eq!(listener.entries[2..4], [("operational", "true".to_owned()), ("mode", "0660".to_owned())]);
    }

    #[test]
    fn several_listeners_have_spaces_between_and_paths_may_have_spaces_too() {
        for (text, parts) in [
            ("echo=tcp://h:1", &["echo=tcp://h:1"][..]),
            ("  echo=tcp://h:1 \n http=tcp://h:2,operational ", &["echo=tcp://h:1", "http=tcp://h:2,operational"]),
            ("echo=unix:///my files/a b=c http=tcp://h:2", &["echo=unix:///my files/a b=c", "http=tcp://h:2"]),
            ("", &[""]),
        ] {
            assert_eq!(split(text), parts, "{text}");
        }
    }

    #[test]
    fn a_group_is_found_by_its_name() {
        let all = "root:x:0:\nwww-data:x:33:me,you\nbroken\n";
        assert_eq!(group_in(all, "www-data"), Some(33));
        assert_eq!((group_in(all, "www"), group_in(all, "broken")), (None, None));
        assert_eq!(group("1234"), Ok(1_234));
    }
}
