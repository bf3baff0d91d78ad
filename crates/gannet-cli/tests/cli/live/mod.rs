//! Every setting that the reference calls live takes effect in a server that runs.
//!
//! One process serves all of it. A step replaces settings, reloads, and checks what a client or an operator sees of them. At the
//! end, the settings of all steps have to be those of the reference: a new one needs a step.

mod namespaces;
mod network;
mod push;
mod rest;
mod socket;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use gannet_testing::certificates::{Ca, Issued};
use gannet_testing::{PATIENCE, free_ports, until};
use serde_json::Value;

use crate::server::{Folder, Server, Stream, drivers, gannet};
use crate::tls::put;

/// The token of the admin socket, where one is asked for. It is sent in any case.
const TOKEN: &str = "0123456789abcdef";

/// The listeners, with their services and how they are reached.
const LISTENERS: [(&str, &str, &str); 11] = [
    ("lines", "lines", "tcp"),
    ("own", "lines", "tcp"),
    ("frames", "frames", "tcp"),
    ("secure", "lines", "tls"),
    ("spare", "http", "tls"),
    ("web", "http", "tcp"),
    ("store", "redis", "tcp"),
    ("push", "push", "tcp"),
    ("api", "push-api", "tcp"),
    ("file", "lines", "unix"),
    ("http", "http", "unix"),
];

/// What is set where a step sets nothing else. Deadlines are so long that only those of a step are met.
const BASE: [(&str, &str); 25] = [
    ("log.format", "\"json\""),
    ("log.level", "\"warn\""),
    ("limits.outbox_high", "\"64MiB\""),
    ("limits.outbox_hard", "\"1GiB\""),
    ("timeouts.heartbeat", "\"off\""),
    ("timeouts.heartbeats_missed", "9"),
    ("timeouts.handshake", "\"1h\""),
    ("timeouts.slow_write", "\"1h\""),
    ("timeouts.linger", "\"1h\""),
    ("timeouts.half_close", "\"1h\""),
    ("drain.timeout", "\"1h\""),
    ("traces.timeout", "\"1h\""),
    ("push.token_secrets", "[{ file = \"FOLDER/secret\" }]"),
    ("push.anonymous", "true"),
    ("push.connect_timeout", "\"1h\""),
    ("push.refresh_grace", "\"1h\""),
    ("push.calls.timeout", "\"1h\""),
    ("push.namespace.news.redis", "false"),
    ("tls.main.certificates", "[\"FOLDER/main.pem\"]"),
    ("tls.main.private_keys", "[\"FOLDER/main.key\"]"),
    ("tls.other.certificates", "[\"FOLDER/other.pem\"]"),
    ("tls.other.private_keys", "[\"FOLDER/other.key\"]"),
    ("listener.secure.tls", "\"main\""),
    ("listener.spare.tls", "\"other\""),
    ("listener.http.operational", "true"),
];

/// A server whose settings change step by step.
pub(super) struct Walk {
    pub(super) folder: Folder,
    pub(super) server: Server,
    pub(super) ca: Ca,
    pub(super) certificates: BTreeMap<&'static str, Issued>,
    ports: BTreeMap<&'static str, SocketAddr>,
    base: BTreeMap<String, String>,
    /// What is set at this moment.
    now: BTreeMap<String, String>,
    covered: BTreeSet<String>,
}

impl Walk {
    fn start(driver: &str) -> Self {
        let folder = Folder::new(&format!("live-{driver}"));
        let ca = crate::tls::authority();
        let certificates = ["main", "other"].map(|name| {
            let issued = ca.server(&["localhost"]);
            fs::write(folder.path(&format!("{name}.pem")), &issued.certificate).expect("our folder");
            fs::write(folder.path(&format!("{name}.key")), &issued.key).expect("our folder");
            (name, issued)
        });
        for (name, text) in
            [("ca.pem", &*ca.pem()), ("token", TOKEN), ("secret", push::SECRET), ("password", "swordfish")]
        {
            fs::write(folder.path(name), text).expect("our folder");
        }
        let ports: BTreeMap<_, _> = LISTENERS.iter().map(|(name, ..)| *name).zip(free_ports(LISTENERS.len())).collect();
        let mut base: BTreeMap<String, String> =
            BASE.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        base.insert("engine.driver".to_owned(), format!("\"{driver}\""));
        base.insert("engine.reactors".to_owned(), "2".to_owned());
        base.insert("admin.listen".to_owned(), "\"FOLDER/admin.sock\"".to_owned());
        for (name, service, scheme) in LISTENERS {
            base.insert(format!("listener.{name}.service"), format!("\"{service}\""));
            let at = if scheme == "unix" { format!("FOLDER/{name}.sock") } else { ports[name].to_string() };
            base.insert(format!("listener.{name}.url"), format!("\"{scheme}://{at}\""));
        }
        fs::write(folder.path("gannet.toml"), text_of(&base, &folder)).expect("our folder");
        let mut command = gannet(&["serve", "--config"]);
        command.arg(folder.path("gannet.toml")).env_remove("GANNET_ADMIN");
        let server = Server::run(command).unwrap_or_else(|ended| panic!("{ended:#?}"));
        let (certificates, now) = (certificates.into(), base.clone());
        Self { folder, server, ca, certificates, ports, base, now, covered: BTreeSet::new() }
    }

    /// Sets these in place of what the step before has set, and reloads. What follows shows the effect of `covers`; `with` is
    /// what that takes. An empty value leaves a setting out.
    pub(super) fn set(&mut self, covers: &[(&str, &str)], with: &[(&str, &str)]) {
        let mut all = self.base.clone();
        for (key, value) in with.iter().chain(covers) {
            all.insert((*key).to_owned(), (*value).to_owned());
        }
        for (key, _) in covers {
            assert_ne!(self.now.get(*key), all.get(*key), "{key} has been so before");
            self.covered.insert(of_table(key));
        }
        put(&self.folder.path("gannet.toml"), &text_of(&all, &self.folder));
        // A deadline of a step is one of the admin socket, too: where it was met before the report, there is another.
        let (mut status, mut report) = (409, Value::Null);
        until("the reload", || {
            (status, report) = self.order("reload", "{\"strict\":true}");
            status != 409
        });
        assert_eq!(status, 200, "{covers:?} {with:?}: {report:#}");
        self.now = all;
    }

    /// Gives an order by the admin socket; returns the status and the answer.
    pub(super) fn order(&self, what: &str, body: &str) -> (u16, Value) {
        self.order_with(what, body, TOKEN)
    }

    pub(super) fn order_with(&self, what: &str, body: &str, token: &str) -> (u16, Value) {
        let head = format!("POST /{what} HTTP/1.0\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json");
        let request = format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let mut answer = String::new();
        until("room for an order", || {
            let mut stream = UnixStream::connect(self.folder.path("admin.sock")).expect("it listens");
            stream.set_read_timeout(Some(PATIENCE)).expect("a time");
            answer.clear();
            stream.write_all(request.as_bytes()).and_then(|()| stream.read_to_string(&mut answer)).is_ok()
                && !answer.is_empty()
                && !answer.contains("\"crowded\"")
        });
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, serde_json::from_str(body).unwrap_or_default())
    }

    pub(super) fn address(&self, listener: &str) -> SocketAddr {
        self.ports[listener]
    }

    pub(super) fn connect(&self, listener: &str) -> Stream {
        Stream::connect(&format!("tcp://{}", self.ports[listener]))
    }

    /// Whether a connection to a listener of lines is let in and answered.
    pub(super) fn serves(&self, listener: &str) -> bool {
        let Ok(mut stream) = std::net::TcpStream::connect(self.ports[listener]) else { return false };
        stream.set_read_timeout(Some(PATIENCE)).expect("a time");
        let _ = stream.write_all(b"hello\n");
        matches!(stream.read(&mut [0]), Ok(count) if count > 0)
    }

    /// Asks over HTTP and reads all of the answer. `head` is the request line with fields behind it.
    pub(super) fn http(&self, listener: &str, request: &str, fields: &str, body: &str) -> String {
        let mut stream = self.connect(listener);
        let length = body.len();
        write!(stream, "{request} HTTP/1.0\r\nHost: localhost\r\n{fields}Content-Length: {length}\r\n\r\n{body}")
            .expect("it reads");
        String::from_utf8_lossy(&stream.rest()).into_owned()
    }

    /// The sum of a metric's values, of those with this text in their labels.
    pub(super) fn metric(&self, name: &str, label: &str) -> u64 {
        let mut stream = Stream::Unix(UnixStream::connect(self.folder.path("http.sock")).expect("it listens"));
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").expect("it reads");
        let text = String::from_utf8(stream.rest()).expect("text");
        let lines = text.lines().filter_map(|line| line.strip_prefix(name)).filter(|rest| rest.starts_with(['{', ' ']));
        let values =
            lines.filter(|rest| rest.contains(label)).filter_map(|rest| rest.rsplit(' ').next()?.parse::<f64>().ok());
        values.sum::<f64>() as u64
    }

    /// Waits until so many are connected to a listener.
    pub(super) fn until_connected(&self, listener: &str, count: u64) {
        let at = format!("{}\"", self.ports[listener]);
        until("connections", || self.metric("gannet_connections", &at) == count);
    }

    /// Waits until nobody is connected whom a step has left behind.
    pub(super) fn until_left(&self) {
        LISTENERS
            .iter()
            .filter(|(_, _, scheme)| *scheme != "unix")
            .for_each(|(name, ..)| self.until_connected(name, 0));
    }
}

/// Reads until the server closes the connection, in whatever way; gives what came.
pub(super) fn rest(stream: &mut Stream) -> Vec<u8> {
    let (mut all, mut piece) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        match stream.read(&mut piece) {
            Ok(0) => return all,
            Ok(count) => all.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return all,
            Err(error) => panic!("it is still open: {error}"),
        }
    }
}

/// The file for settings, by their keys.
fn text_of(all: &BTreeMap<String, String>, folder: &Folder) -> String {
    let mut text = String::new();
    let mut listeners: BTreeMap<&str, String> = BTreeMap::new();
    for (key, value) in all.iter().filter(|(_, value)| !value.is_empty()) {
        let own = key.strip_prefix("listener.").and_then(|rest| rest.split_once('.'));
        match own {
            Some((name, key)) => *listeners.entry(name).or_default() += &format!("{key} = {value}\n"),
            None => text += &format!("{key} = {value}\n"),
        }
    }
    for (name, own) in listeners {
        text += &format!("[[listener]]\nname = \"{name}\"\n{own}");
    }
    text.replace("FOLDER", &folder.path("").display().to_string())
}

/// The key as the table has it.
fn of_table(key: &str) -> String {
    for section in ["listener.", "tls.", "push.namespace."] {
        if let Some((_, name)) = key.strip_prefix(section).and_then(|rest| rest.split_once('.')) {
            return format!("{section}*.{name}");
        }
    }
    key.to_owned()
}

/// The settings that the program's own reference calls live.
fn live_settings() -> BTreeSet<String> {
    let output = gannet(&["config", "doc"]).output().expect("the binary starts");
    let page = String::from_utf8(output.stdout).expect("text");
    let (mut all, mut section) = (BTreeSet::new(), String::new());
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("## `") {
            section = title.trim_matches(['`', '[', ']']).replace("NAME", "*");
            if title.starts_with("[[") {
                section += ".*";
            }
        }
        let cells: Vec<&str> = line.split(" | ").collect();
        if let [key, _, _, "live", _] = cells[..] {
            all.insert(format!("{section}.{}", key.trim_matches(['|', ' ', '`'])));
        }
    }
    assert!(all.len() > 130, "{all:?}");
    all
}

fn walk(driver: &str) {
    let mut walk = Walk::start(driver);
    network::steps(&mut walk);
    rest::steps(&mut walk);
    push::steps(&mut walk);
    namespaces::steps(&mut walk);
    let covered = rest::end(walk);
    let live = live_settings();
    let missing: Vec<_> = live.difference(&covered).collect();
    assert!(missing.is_empty(), "live settings without a step: {missing:#?}");
    let unknown: Vec<_> = covered.difference(&live).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn every_live_setting_has_a_step() {
    let steps = [
        include_str!("mod.rs"),
        include_str!("namespaces.rs"),
        include_str!("network.rs"),
        include_str!("push.rs"),
        include_str!("rest.rs"),
    ];
    // The walk itself compares whole keys, when it is run.
    let has_step = |key: &str| key.rsplit('.').next().is_some_and(|name| steps.iter().any(|step| step.contains(name)));
    let missing: Vec<String> = live_settings().into_iter().filter(|key| !has_step(key)).collect();
    assert!(missing.is_empty(), "live settings without a step: {missing:#?}");
}

#[test]
#[ignore = "15 s of a processor: cargo test -p gannet-cli --test cli -- --ignored every_live_setting"]
fn every_live_setting_takes_effect_at_a_reload() {
    walk(drivers().last().expect("there is one"));
}
