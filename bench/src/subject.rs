//! The subjects that are measured. Each is one entry of [`SUBJECTS`] and one function that serves.
//!
//! A subject runs in a child process, started by `child.rs` through the hidden subcommand `server`.

use std::io::{self, Write};
use std::path::Path;

use gannet::DriverChoice;

use crate::engine;
use crate::floor;
use crate::floor::uring::{self, Sends, TaskRun, Tuning};
use crate::haproxy;
use crate::http::{self, ROUTES};
use crate::models;
use crate::peers;
use crate::pool;
use crate::push;
use crate::redis;
use crate::tls::{self, Key};
use crate::websocket;
use crate::wire::Wire;

/// Serves on a loopback port until the process is ended. It calls [`Ready::announce`] once it listens.
pub type Serve = fn(port: u16, ready: Ready) -> io::Result<()>;

/// The role of a subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// Measured by default by `echo` and `memory`.
    Echo,
    /// An echo measured only when named with `--only`: a floor with another choice made in it.
    Variant,
    /// Measured by `million`: frames, on as many reactors as a million connections need.
    Many,
    /// Measured by `broadcast`: greets each connection with one payload, and answers each byte from
    /// anybody with one payload to everybody.
    Broadcast,
    /// Measured by `http`: answers `GET /`.
    Http,
    /// Measured by `http`: answers where a path has parameters, by many routes.
    Routes,
    /// The floor of [`Role::Routes`]: the same response by one route.
    OneRoute,
    /// Measured by `ws`: answers each WebSocket message with the same.
    WebSocket,
    /// Measured by `ws`: as [`Role::Broadcast`], by WebSocket.
    WebSocketBroadcast,
    /// Measured by `tls`: as [`Role::Echo`], by TLS.
    TlsEcho,
    /// Measured by `tls`: counts handshakes.
    Handshakes,
    /// Measured by `tls`: as [`Role::Http`], by TLS.
    Https,
    /// Measured by `redis`: a store that speaks the Redis protocol.
    Redis,
    /// Measured by `pool`: calls a Redis server.
    Calls,
    /// Measured by `sessions`: as [`Role::Echo`], of lines, by futures.
    Session,
    /// Compared with by `sessions`: as [`Role::Session`], by tasks of tokio.
    Tokio,
    /// Its memory is measured by `sessions`: as [`Role::Tokio`], with a buffer of 4 KiB in each task.
    TokioBuffer,
    /// Measured by `sessions`: as [`Role::Http`], by hyper.
    Hyper,
    /// Measured by `push`: a gateway that speaks the Centrifuge protocol.
    Push,
    /// Measured by `push`: as [`Role::Push`], by TLS; its memory only.
    PushTls,
}

/// A server that can be started and measured.
pub struct Subject {
    /// Its name on the command line and in the tables.
    pub name: &'static str,
    /// The role in which it is measured.
    pub role: Role,
    /// Its protocol.
    pub wire: Wire,
    /// The subjects it is compared with.
    pub floors: &'static [&'static str],
    /// The server.
    pub serve: Serve,
    /// The program that serves it; this one where none is given.
    pub program: Option<&'static Path>,
}

/// Ends the name of a subject that another build of this program serves.
const OTHER_BUILD: &str = "@other";

/// Ends the name of a subject that is measured a second time.
const AGAIN: &str = "@again";

impl Subject {
    /// The same subject served by another build of this program. Lives as long as the process, as all subjects do.
    pub fn by(&self, program: &'static Path) -> &'static Self {
        let name = Box::leak(format!("{}{OTHER_BUILD}", self.name).into_boxed_str());
        Box::leak(Box::new(Self { name, floors: &[], program: Some(program), ..*self }))
    }

    /// The same subject compared with `floor` alone.
    pub fn compared_with(&self, floor: &'static str) -> &'static Self {
        Box::leak(Box::new(Self { floors: Box::leak(Box::new([floor])), ..*self }))
    }

    /// The same subject a second time, compared with itself.
    pub fn again(&self) -> &'static Self {
        let name = Box::leak(format!("{}{AGAIN}", self.name).into_boxed_str());
        Box::leak(Box::new(Self { name, floors: Box::leak(Box::new([self.name])), ..*self }))
    }

    /// Its name in the program that serves it.
    pub fn served_name(&self) -> &'static str {
        [OTHER_BUILD, AGAIN].iter().find_map(|suffix| self.name.strip_suffix(suffix)).unwrap_or(self.name)
    }

    /// Whether a command measures this among the subjects of a role: it has that role, one of that role is compared with it,
    /// or it is a choice within the role.
    pub fn is_measured_as(&self, role: Role) -> bool {
        let is_floor = SUBJECTS.iter().any(|other| other.role == role && other.floors.contains(&self.name));
        self.role == role || is_floor || (self.role == Role::Variant && role == Role::Echo)
    }

    /// Whether this is the name of a bare loop.
    pub fn is_floors_name(name: &str) -> bool {
        name.starts_with("floor-") || name.contains("sends-")
    }

    /// Whether this is a subject of Gannet that is compared with `other`: with its floors, and with all peers that do the
    /// same work.
    pub fn meets(&self, other: &Self) -> bool {
        let is_gannets = !Self::is_floors_name(self.name) && !peers::is_peer(self) && self.served_name() == self.name;
        let does_the_same = self.role == other.role && self.wire == other.wire && peers::is_peer(other);
        is_gannets && (self.floors.contains(&other.name) || (does_the_same && other.served_name() == other.name))
    }
}

/// Says on standard output that the subject listens.
pub struct Ready(());

impl Ready {
    /// For the hidden subcommand only.
    pub fn new() -> Self {
        Self(())
    }

    /// Prints the line that the parent waits for.
    pub fn announce(self, port: u16) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "ready {port}")?;
        out.flush()
    }
}

/// Looks a subject up by its name.
pub fn find(name: &str) -> Option<&'static Subject> {
    all().find(|subject| subject.name == name)
}

/// Every subject that can be started: those of the tables, and those of `models`.
pub fn all() -> impl Iterator<Item = &'static Subject> {
    SUBJECTS.iter().chain(models::SUBJECTS.iter().copied().flatten())
}

const fn echo(name: &'static str, wire: Wire, floors: &'static [&'static str], serve: Serve) -> Subject {
    Subject { name, role: Role::Echo, wire, floors, serve, program: None }
}

const fn variant(name: &'static str, serve: Serve) -> Subject {
    Subject { name, role: Role::Variant, wire: Wire::Raw, floors: &["floor-uring"], serve, program: None }
}

const fn session(name: &'static str, floors: &'static [&'static str], serve: Serve) -> Subject {
    Subject { name, role: Role::Session, wire: Wire::Lines, floors, serve, program: None }
}

const fn tokio(name: &'static str, role: Role, serve: Serve) -> Subject {
    Subject { name, role, wire: Wire::Lines, floors: &[], serve, program: None }
}

const fn broadcast(name: &'static str, floors: &'static [&'static str], serve: Serve) -> Subject {
    Subject { name, role: Role::Broadcast, wire: Wire::Raw, floors, serve, program: None }
}

const fn redis(name: &'static str, floors: &'static [&'static str], serve: Serve) -> Subject {
    Subject { name, role: Role::Redis, wire: Wire::Raw, floors, serve, program: None }
}

const fn calls(name: &'static str, floors: &'static [&'static str], serve: Serve) -> Subject {
    Subject { name, role: Role::Calls, wire: Wire::Raw, floors, serve, program: None }
}

const fn handshakes(name: &'static str, serve: Serve) -> Subject {
    http(name, Role::Handshakes, &[], serve)
}

const fn http(name: &'static str, role: Role, floors: &'static [&'static str], serve: Serve) -> Subject {
    Subject { name, role, wire: Wire::Raw, floors, serve, program: None }
}

/// All subjects. Order is the order of the tables.
pub static SUBJECTS: &[Subject] = &[
    echo("floor-epoll", Wire::Raw, &[], floor::epoll::serve),
    echo("gannet-poll", Wire::Raw, &["floor-epoll"], |port, ready| engine::echo(port, ready, DriverChoice::Poll)),
    echo("floor-uring", Wire::Raw, &["floor-epoll"], |port, ready| uring::serve(port, ready, Tuning::FLOOR)),
    echo("gannet-uring", Wire::Raw, &["floor-uring", "floor-epoll"], |port, ready| {
        engine::echo(port, ready, DriverChoice::Uring)
    }),
    echo("tokio", Wire::Raw, &["floor-epoll"], |port, ready| peers::serve_by_name("tokio", port, ready)),
    echo("monoio", Wire::Raw, &["floor-epoll"], |port, ready| peers::serve_by_name("monoio", port, ready)),
    echo("compio", Wire::Raw, &["floor-epoll"], |port, ready| peers::serve_by_name("compio", port, ready)),
    echo("ntex", Wire::Raw, &["floor-epoll"], |port, ready| peers::serve_by_name("ntex", port, ready)),
    echo("libuv", Wire::Raw, &["floor-epoll"], |port, ready| peers::serve_by_name("libuv", port, ready)),
    echo("go-net", Wire::Raw, &["floor-epoll"], |port, ready| peers::serve_by_name("go-net", port, ready)),
    echo("go-gnet", Wire::Raw, &["floor-epoll"], |port, ready| peers::serve_by_name("go-gnet", port, ready)),
    echo("go-evio", Wire::Raw, &["floor-epoll"], |port, ready| peers::serve_by_name("go-evio", port, ready)),
    echo("go-netpoll", Wire::Raw, &["floor-epoll"], |port, ready| peers::serve_by_name("go-netpoll", port, ready)),
    echo("lines-poll", Wire::Lines, &["floor-epoll"], |port, ready| engine::lines(port, ready, DriverChoice::Poll)),
    echo("lines-uring", Wire::Lines, &["floor-uring"], |port, ready| engine::lines(port, ready, DriverChoice::Uring)),
    echo("frames-poll", Wire::Frames, &["floor-epoll"], |port, ready| engine::frames(port, ready, DriverChoice::Poll)),
    echo("frames-uring", Wire::Frames, &["floor-uring"], |port, ready| {
        engine::frames(port, ready, DriverChoice::Uring)
    }),
    tokio("tokio-lines", Role::Tokio, |port, ready| peers::serve_by_name("tokio-lines", port, ready)),
    tokio("tokio-buffer", Role::TokioBuffer, |port, ready| peers::serve_by_name("tokio-buffer", port, ready)),
    session("session-poll", &["lines-poll", "tokio-lines"], |port, ready| {
        engine::sessions(port, ready, DriverChoice::Poll)
    }),
    session("session-uring", &["lines-uring", "tokio-lines"], |port, ready| {
        engine::sessions(port, ready, DriverChoice::Uring)
    }),
    http("hyper-tokio", Role::Tokio, &[], |port, ready| peers::serve_by_name("hyper-tokio", port, ready)),
    http("hyper-poll", Role::Hyper, &["hyper-tokio"], |port, ready| peers::serve_by_name("hyper-poll", port, ready)),
    http("hyper-uring", Role::Hyper, &["hyper-tokio"], |port, ready| peers::serve_by_name("hyper-uring", port, ready)),
    broadcast("sends-epoll", &[], floor::broadcast::serve),
    broadcast("broadcast-poll", &["sends-epoll"], |port, ready| engine::broadcast(port, ready, DriverChoice::Poll)),
    broadcast("sends-uring", &["sends-epoll"], floor::broadcast_uring::serve),
    broadcast("broadcast-uring", &["sends-uring", "sends-epoll"], |port, ready| {
        engine::broadcast(port, ready, DriverChoice::Uring)
    }),
    broadcast("tokio-broadcast", &["sends-epoll"], |port, ready| peers::serve_by_name("tokio-broadcast", port, ready)),
    broadcast("go-net-broadcast", &["sends-epoll"], |port, ready| {
        peers::serve_by_name("go-net-broadcast", port, ready)
    }),
    Subject {
        name: "many-frames-uring",
        role: Role::Many,
        wire: Wire::Frames,
        floors: &[],
        serve: engine::many_frames,
        program: None,
    },
    http("many-sends-uring", Role::Many, &[], floor::many_sends::serve),
    redis("redis-server", &[], redis::serve),
    redis("go-redcon", &["redis-server"], |port, ready| peers::serve_by_name("go-redcon", port, ready)),
    redis("gannet-redis-poll", &["redis-server"], |port, ready| engine::redis(port, ready, DriverChoice::Poll)),
    redis("gannet-redis-uring", &["redis-server"], |port, ready| engine::redis(port, ready, DriverChoice::Uring)),
    calls("calls-by-hand-poll", &[], |port, ready| pool::by_hand(port, ready, DriverChoice::Poll)),
    calls("calls-by-hand-uring", &[], |port, ready| pool::by_hand(port, ready, DriverChoice::Uring)),
    calls(pool::PEER, &[], |port, ready| peers::serve(pool::PEER, port, ready)),
    calls("calls-pool-poll", &["calls-by-hand-poll", pool::PEER], |port, ready| {
        pool::through_pool(port, ready, DriverChoice::Poll)
    }),
    calls("calls-pool-uring", &["calls-by-hand-uring", pool::PEER], |port, ready| {
        pool::through_pool(port, ready, DriverChoice::Uring)
    }),
    http("nginx", Role::Http, &[], http::nginx),
    http("gannet-http-poll", Role::Http, &["nginx"], |port, ready| http::home(port, ready, DriverChoice::Poll)),
    http("gannet-http-uring", Role::Http, &["nginx"], |port, ready| http::home(port, ready, DriverChoice::Uring)),
    http("haproxy", Role::Http, &[], haproxy::serve),
    http("go-http", Role::Http, &[], |port, ready| peers::serve_by_name("go-http", port, ready)),
    http("go-gin", Role::Http, &[], |port, ready| peers::serve_by_name("go-gin", port, ready)),
    http("go-fasthttp", Role::Http, &[], |port, ready| peers::serve_by_name("go-fasthttp", port, ready)),
    http("axum", Role::Http, &[], |port, ready| peers::serve_by_name("axum", port, ready)),
    http("actix-web", Role::Http, &[], |port, ready| peers::serve_by_name("actix-web", port, ready)),
    http("one-route-poll", Role::OneRoute, &[], |port, ready| http::parameters(port, ready, DriverChoice::Poll, 1)),
    http("routes-poll", Role::Routes, &["one-route-poll"], |port, ready| {
        http::parameters(port, ready, DriverChoice::Poll, ROUTES)
    }),
    http("one-route-uring", Role::OneRoute, &[], |port, ready| http::parameters(port, ready, DriverChoice::Uring, 1)),
    http("routes-uring", Role::Routes, &["one-route-uring"], |port, ready| {
        http::parameters(port, ready, DriverChoice::Uring, ROUTES)
    }),
    http("ws-echo-poll", Role::WebSocket, &["floor-epoll"], |port, ready| {
        websocket::echo(port, ready, DriverChoice::Poll)
    }),
    http("ws-echo-uring", Role::WebSocket, &["floor-uring"], |port, ready| {
        websocket::echo(port, ready, DriverChoice::Uring)
    }),
    http("go-gobwas-ws", Role::WebSocket, &[], |port, ready| peers::serve_by_name("go-gobwas-ws", port, ready)),
    http("go-coder-websocket", Role::WebSocket, &[], |port, ready| {
        peers::serve_by_name("go-coder-websocket", port, ready)
    }),
    http("fastwebsockets", Role::WebSocket, &[], |port, ready| peers::serve_by_name("fastwebsockets", port, ready)),
    http("ws-broadcast-poll", Role::WebSocketBroadcast, &["sends-epoll"], |port, ready| {
        websocket::broadcast(port, ready, DriverChoice::Poll)
    }),
    http("ws-broadcast-uring", Role::WebSocketBroadcast, &["sends-uring"], |port, ready| {
        websocket::broadcast(port, ready, DriverChoice::Uring)
    }),
    http("tls-echo-poll", Role::TlsEcho, &["gannet-poll"], |port, ready| tls::echo(port, ready, DriverChoice::Poll)),
    http("tls-echo-uring", Role::TlsEcho, &["gannet-uring"], |port, ready| tls::echo(port, ready, DriverChoice::Uring)),
    http("tokio-rustls", Role::TlsEcho, &["gannet-poll"], |port, ready| {
        peers::serve_tls_by_name("tokio-rustls", port, ready)
    }),
    http("go-tls", Role::TlsEcho, &["gannet-poll"], |port, ready| peers::serve_tls_by_name("go-tls", port, ready)),
    handshakes("tls-p256-poll", |port, ready| tls::count(port, ready, DriverChoice::Poll, Key::Ecdsa)),
    handshakes("tls-p256-uring", |port, ready| tls::count(port, ready, DriverChoice::Uring, Key::Ecdsa)),
    handshakes("tls-rsa2048-poll", |port, ready| tls::count(port, ready, DriverChoice::Poll, Key::Rsa2048)),
    handshakes("tls-rsa2048-uring", |port, ready| tls::count(port, ready, DriverChoice::Uring, Key::Rsa2048)),
    handshakes("tls-rsa4096-poll", |port, ready| tls::count(port, ready, DriverChoice::Poll, Key::Rsa4096)),
    handshakes("tls-rsa4096-uring", |port, ready| tls::count(port, ready, DriverChoice::Uring, Key::Rsa4096)),
    http("centrifugo", Role::Push, &[], push::centrifugo),
    http("gannet-push-poll", Role::Push, &["centrifugo", "sends-epoll"], |port, ready| {
        push::gateway(port, ready, DriverChoice::Poll)
    }),
    http("gannet-push-uring", Role::Push, &["centrifugo", "sends-uring"], |port, ready| {
        push::gateway(port, ready, DriverChoice::Uring)
    }),
    http("tls-push-poll", Role::PushTls, &[], |port, ready| push::gateway_over_tls(port, ready, DriverChoice::Poll)),
    http("tls-push-uring", Role::PushTls, &[], |port, ready| push::gateway_over_tls(port, ready, DriverChoice::Uring)),
    http("many-push-uring", Role::Many, &[], push::many),
    http("nginx-tls", Role::Https, &[], http::nginx_tls),
    http("https-poll", Role::Https, &["nginx-tls"], |port, ready| tls::home(port, ready, DriverChoice::Poll)),
    http("https-uring", Role::Https, &["nginx-tls"], |port, ready| tls::home(port, ready, DriverChoice::Uring)),
    http("haproxy-tls", Role::Https, &[], haproxy::serve_tls),
    variant("uring-want-1", |port, ready| {
        uring::serve(port, ready, Tuning { want: 1, patience_us: 0, ..Tuning::FLOOR })
    }),
    variant("uring-want-256", |port, ready| uring::serve(port, ready, Tuning { want: 256, ..Tuning::FLOOR })),
    variant("uring-patience-10us", |port, ready| {
        uring::serve(port, ready, Tuning { patience_us: 10, ..Tuning::FLOOR })
    }),
    variant("uring-patience-50us", |port, ready| {
        uring::serve(port, ready, Tuning { patience_us: 50, ..Tuning::FLOOR })
    }),
    variant("uring-counted", |port, ready| {
        uring::serve(port, ready, Tuning { sends: Sends::Counted, ..Tuning::FLOOR })
    }),
    variant("uring-reported", |port, ready| {
        uring::serve(port, ready, Tuning { sends: Sends::Reported, ..Tuning::FLOOR })
    }),
    variant("uring-coop", |port, ready| {
        uring::serve(port, ready, Tuning { sends: Sends::Counted, task_run: TaskRun::Cooperative, ..Tuning::FLOOR })
    }),
    variant("uring-interrupting", |port, ready| {
        uring::serve(port, ready, Tuning { sends: Sends::Counted, task_run: TaskRun::Interrupting, ..Tuning::FLOOR })
    }),
    variant("uring-sqarray", |port, ready| uring::serve(port, ready, Tuning { no_array: false, ..Tuning::FLOOR })),
    variant("uring-plain-fd", |port, ready| {
        uring::serve(port, ready, Tuning { registered_ring: false, ..Tuning::FLOOR })
    }),
    variant("uring-poll-first", |port, ready| uring::serve(port, ready, Tuning { poll_first: true, ..Tuning::FLOOR })),
    variant("uring-64-buffers", |port, ready| uring::serve(port, ready, Tuning { buffers: 64, ..Tuning::FLOOR })),
    variant("uring-1024-buffers", |port, ready| uring::serve(port, ready, Tuning { buffers: 1024, ..Tuning::FLOOR })),
    variant("uring-2k-buffers", |port, ready| {
        uring::serve(port, ready, Tuning { buffers: 512, buffer_bytes: 2048, ..Tuning::FLOOR })
    }),
    variant("uring-no-gap", |port, ready| uring::serve(port, ready, Tuning { gap_bytes: 0, ..Tuning::FLOOR })),
    variant("uring-incremental", |port, ready| {
        uring::serve(port, ready, Tuning { incremental: true, buffers: 16, buffer_bytes: 65536, ..Tuning::FLOOR })
    }),
    variant("uring-single-shot", |port, ready| {
        uring::serve(port, ready, Tuning { single_shot: true, ..Tuning::FLOOR })
    }),
    variant("uring-large-queues", |port, ready| {
        uring::serve(port, ready, Tuning { submissions: 4096, completions: 32768, ..Tuning::FLOOR })
    }),
    variant("uring-want-32", |port, ready| uring::serve(port, ready, Tuning { want: 32, ..Tuning::FLOOR })),
    variant("uring-want-128", |port, ready| uring::serve(port, ready, Tuning { want: 128, ..Tuning::FLOOR })),
];
