//! What `--listen` says: a service, where it listens, and what is special about that listener.

use gannet::{Engine, ListenOptions};

use super::{Add, SERVICES, ServiceKind, Settings, names, push, redis};
use crate::units::{Deadline, keepalive, whole};

/// What the URL of a listener with TLS begins with.
const TLS: &str = "tls://";

/// The options of one listener, for the help.
pub(super) const HELP: &str = "\
Options of a listener, behind its URL, separated by commas:
  operational                 may exceed limits by --operational-reserve: for /healthz
  max-connections=N           most connections at a time; 0 is no limit
  max-connections-per-peer=N  most connections from one IP address; 0 is no limit
  tcp-keepalive=TIME          replaces --tcp-keepalive for this listener
  mode=0660                   mode of a Unix socket's file
  group=NAME                  group of that file, by name or number
";

/// A service at a URL.
#[derive(Clone, Debug)]
pub(crate) struct Listener {
    pub(crate) service: &'static ServiceKind,
    options: ListenOptions,
    add: Add,
}

impl Listener {
    /// Whether it is for Redis clients.
    pub(crate) fn is_redis(&self) -> bool {
        self.service.name == redis::KIND.name
    }

    /// Whether it is of the push gateway.
    pub(crate) fn is_push(&self) -> bool {
        [push::KIND.name, push::STREAM.name].contains(&self.service.name)
    }

    /// Whether only this machine can reach it.
    pub(crate) fn is_local(&self) -> bool {
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
        Ok(all.map(|options| Self { service: self.service, options, add: self.add }).collect())
    }

    /// Adds it to an engine.
    ///
    /// # Errors
    ///
    /// The URL is not an address, or its host is unknown.
    pub(crate) fn add(&self, engine: Engine, settings: &Settings) -> gannet::Result<Engine> {
        (self.add)(engine, self.options.clone(), settings)
    }
}

/// Listeners that were given together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listeners(pub(crate) Vec<Listener>);

/// Reads `SERVICE=URL[,OPTION]…`, or several of them with spaces between, as the environment has them.
pub(crate) fn parse_listeners(text: &str) -> Result<Listeners, String> {
    split(text).into_iter().map(parse_listener).collect::<Result<_, _>>().map(Listeners)
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
pub(crate) fn parse_listener(text: &str) -> Result<Listener, String> {
    let (name, rest) = text
        .split_once('=')
        .ok_or("a listener is written SERVICE=URL, for example lines=tcp://127.0.0.1:7001".to_owned())?;
    let service = SERVICES
        .into_iter()
        .find(|service| service.name == name)
        .ok_or_else(|| format!("there is no service '{name}'; there are {}", names()))?;
    let (url, words) = options_of(rest);
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    let add = match scheme {
        Some("tcp" | "tls" | "unix") => service.streams.ok_or_else(|| format!("{name} is served on udp:// only"))?,
        Some("udp") => {
            service.datagrams.ok_or_else(|| format!("{name} is served on tcp://, tls:// and unix:// only"))?
        }
        _ => {
            let why = "a URL is written tcp://host:port, tls://host:port, unix:///path or udp://host:port";
            return Err(why.to_owned());
        }
    };
    let scheme = scheme.unwrap_or_default();
    for (at, word) in words.iter().enumerate() {
        let name = option_name(word);
        if words[..at].iter().any(|earlier| option_name(earlier) == name) {
            return Err(format!("the option {name} is given twice; leave one of them"));
        }
    }
    let options = words.into_iter().try_fold(ListenOptions::at(url), |options, word| apply(options, scheme, word))?;
    Ok(Listener { service, options, add })
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

/// Puts one option into effect.
fn apply(options: ListenOptions, scheme: &str, word: &str) -> Result<ListenOptions, String> {
    let (name, value) = word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value)));
    let fits = match name {
        "operational" | "max-connections" | "max-connections-per-peer" => scheme != "udp",
        "tcp-keepalive" => matches!(scheme, "tcp" | "tls"),
        "mode" | "group" => scheme == "unix",
        _ => {
            let all = "operational, max-connections, max-connections-per-peer, tcp-keepalive, mode and group";
            return Err(format!("a listener has no option '{name}'; there are {all}"));
        }
    };
    if !fits {
        return Err(format!("the option {name} is not for {scheme}://"));
    }
    let number = |value: &str| whole::<u32>(0..=u32::MAX.into())(value);
    let said = |why: String| format!("{name}: {why}");
    match (name, value) {
        ("operational", None) => Ok(options.operational()),
        ("operational", Some(_)) => Err("operational has no value: leave the option out where it is not".to_owned()),
        (_, None) => Err(format!("{name} needs a value: {name}=…")),
        ("max-connections", Some(value)) => number(value).map(|most| options.connections(most)).map_err(said),
        ("max-connections-per-peer", Some(value)) => {
            number(value).map(|most| options.connections_per_peer(most)).map_err(said)
        }
        ("tcp-keepalive", Some(value)) => keepalive(value).map(|Deadline(time)| options.keepalive(time)).map_err(said),
        ("mode", Some(value)) => match u32::from_str_radix(value, 8) {
            Ok(mode) if mode <= 0o777 => Ok(options.unix_mode(mode)),
            _ => Err("mode: a mode is written in octal, as 0660".to_owned()),
        },
        (_, Some(value)) => group(value).map(|group| options.unix_group(group)),
    }
}

/// The number of a group, by itself or by its name.
fn group(name: &str) -> Result<u32, String> {
    match name.parse() {
        // To the kernel it says that the group stays as it is.
        Ok(u32::MAX) => return Err(format!("group: {name} is the number of no group")),
        Ok(number) => return Ok(number),
        Err(_) => {}
    }
    let all = std::fs::read_to_string("/etc/group").unwrap_or_default();
    group_in(&all, name)
        .ok_or_else(|| format!("group: /etc/group has no '{name}'; give a group of it, or the number of any"))
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
            ("mail=tcp://127.0.0.1:25", "echo, lines, frames, discard, redis, push, push-stream and http"),
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
        assert_eq!(listener.options.url(), "unix:///a,b.sock");
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

    #[test]
    fn the_host_of_a_listener_with_tls_is_what_its_certificate_is_for() {
        for (text, host) in [
            ("http=tls://localhost:1,operational", Some("localhost")),
            ("http=tls://[::1]:1", Some("::1")),
            ("http=tls://[fe80::1%eth0]:1", Some("fe80::1")),
            ("http=tcp://localhost:1", None),
        ] {
            assert_eq!(parse_listener(text).expect(text).tls_host(), host, "{text}");
        }
    }
}
