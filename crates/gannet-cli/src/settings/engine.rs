//! Settings of the engine, the log, and the store.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::time::Duration;

use clap::ValueEnum;
use gannet::proto::ws::CloseCode;
use gannet::{Balance, DriverChoice, Limits, Timeouts};
use gannet_config::{Problem, Problems, Scope};
use gannet_redis::{LARGEST_COMMAND_BYTES, Policy};

use crate::admin::{AdminOptions, parse_address};
use crate::audit::Target;
use crate::names::{BalanceName, DriverName, LogFormat, LogLevel, OverflowName, PolicyName};
use crate::services::Listener;

/// What every answer of ours may have beyond the message it answers: `echo: `, a line's end, a frame's header.
const ANSWER_EXTRA_BYTES: usize = 64;

/// The hard limit of an outbox where none is given and no frame needs more.
const OUTBOX_HARD_BYTES: usize = 4 << 20;

/// Channels and patterns that one Redis client may subscribe to.
const REDIS_CHANNELS_PER_CONNECTION: usize = 65_536;

/// Channels and patterns that all clients of a reactor may subscribe to.
const REDIS_CHANNELS: usize = 1 << 20;

/// `[engine]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EngineSettings {
    /// As many as there are processors where nothing else is asked for.
    pub(crate) reactors: usize,
    pub(crate) driver: DriverChoice,
    pub(crate) pin: bool,
    pub(crate) balance: Balance,
}

/// `[drain]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainSettings {
    pub(crate) delay: Duration,
    pub(crate) spread: Duration,
    /// What WebSocket clients are told.
    pub(crate) websocket_code: CloseCode,
    pub(crate) timeout: Duration,
}

/// `[log]`.
#[derive(Clone, Debug)]
pub(crate) struct LogSettings {
    pub(crate) format: LogFormat,
    pub(crate) level: LogLevel,
    /// Whether each request is logged.
    pub(crate) access: bool,
    /// The interval at which counters are logged.
    pub(crate) stats: Option<Duration>,
    /// Where orders of operators are recorded, if anywhere.
    pub(crate) audit: Option<Target>,
}

/// One of the names of an enumeration.
fn choice<T: ValueEnum>(scope: &Scope<'_>, key: &str) -> T {
    let name: String = scope.read(key);
    T::from_str(&name, false).expect("a test compares the names of the table with those of the type")
}

impl EngineSettings {
    pub(super) fn of(root: &Scope<'_>) -> Self {
        let own = || std::thread::available_parallelism().map_or(1, Into::into);
        Self {
            reactors: root.find("engine.reactors").unwrap_or_else(own),
            driver: choice::<DriverName>(root, "engine.driver").into(),
            pin: root.read("engine.pin"),
            balance: choice::<BalanceName>(root, "engine.balance").into(),
        }
    }
}

impl DrainSettings {
    pub(super) fn of(root: &Scope<'_>) -> Self {
        let websocket_code = match &*root.read::<String>("drain.websocket_code") {
            "1001" => CloseCode::GOING_AWAY,
            _ => CloseCode::RESTART,
        };
        Self {
            delay: root.read("drain.delay"),
            spread: root.read("drain.spread"),
            timeout: root.read("drain.timeout"),
            websocket_code,
        }
    }
}

impl LogSettings {
    pub(super) fn of(root: &Scope<'_>) -> Self {
        Self {
            format: choice(root, "log.format"),
            level: choice(root, "log.level"),
            stats: root.read("log.stats"),
            access: root.read("log.access"),
            audit: Target::parse(&root.read::<String>("log.audit")).unwrap_or_default(),
        }
    }
}

/// The deadlines of all listeners.
pub(super) fn timeouts(root: &Scope<'_>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.idle = root.read("timeouts.idle");
    timeouts.read_idle = root.read("timeouts.read_idle");
    timeouts.write_idle = root.read("timeouts.write_idle");
    timeouts.heartbeat = root.read("timeouts.heartbeat");
    timeouts.heartbeats_missed = root.read("timeouts.heartbeats_missed");
    timeouts.first_message = root.read("timeouts.first_message");
    timeouts.handshake = root.read("timeouts.handshake");
    timeouts.slow_write = root.read("timeouts.slow_write");
    timeouts.linger = root.read("timeouts.linger");
    timeouts.half_close = root.read("timeouts.half_close");
    timeouts
}

/// The limits of all listeners.
pub(super) fn limits(root: &Scope<'_>, listeners: &[Listener], problems: &mut Problems) -> Limits {
    let mut limits = Limits::default();
    limits.connections = root.read("limits.connections");
    limits.connections_per_peer = root.read("limits.connections_per_peer");
    limits.operational_reserve = root.read("limits.operational_reserve");
    limits.accepts_per_second = root.read("limits.accepts");
    limits.carries = root.read("limits.incomplete");
    limits.mailbox = root.read("limits.mailbox");
    limits.offload_threads = root.read("limits.compute_threads");
    limits.blocking_threads = root.read("limits.blocking_threads");
    limits.groups_per_connection = REDIS_CHANNELS_PER_CONNECTION;
    limits.groups = REDIS_CHANNELS;
    // The largest of all listeners, each of which checks its own.
    let frames = listeners.iter().map(Listener::frame);
    let frame = frames.fold(root.read("limits.frame"), usize::max);
    let answer = frame + ANSWER_EXTRA_BYTES;
    limits.carry = limits.carry.max(answer);
    if listeners.iter().any(Listener::is_redis) {
        limits.carry = limits.carry.max(LARGEST_COMMAND_BYTES);
    }
    limits.outbox_high = root.read("limits.outbox_high");
    limits.overflow = choice::<OverflowName>(root, "limits.overflow").into();
    // Reading pauses over the high mark, so one answer more than that is the most there can be.
    let by_default = OUTBOX_HARD_BYTES.max(limits.outbox_high.saturating_add(answer));
    limits.outbox_hard = root.find("limits.outbox_hard").unwrap_or(by_default);
    check_outbox(root, &limits, answer, problems);
    limits
}

/// What the marks of an outbox have to be to each other, and to a frame.
fn check_outbox(root: &Scope<'_>, limits: &Limits, answer: usize, problems: &mut Problems) {
    let Some(place) = root.place("limits.outbox_hard") else { return };
    let spelled = |key: &str| root.spelled(key, Some(place));
    let hard = spelled("limits.outbox_hard");
    let (high_key, frame_key) = ("limits.outbox_high", "limits.frame");
    if limits.outbox_hard < limits.outbox_high && !root.is_broken(high_key) {
        let high = spelled(high_key);
        let message = format!("{hard} is lower than {high}; raise {hard}, or lower {high}");
        problems.push(Problem::at(place, message).and(format!("{high} is here"), root.place(high_key)));
    } else if limits.outbox_hard < answer && !root.is_broken(frame_key) {
        let frame = spelled(frame_key);
        let message =
            format!("{hard} is lower than one reply of {frame} (and 64 bytes); raise {hard}, or lower {frame}");
        problems.push(Problem::at(place, message).and(format!("{frame} is here"), root.place(frame_key)));
    }
}

/// The admin socket.
pub(super) fn admin(root: &Scope<'_>) -> AdminOptions {
    AdminOptions {
        admin: root.find::<String>("admin.listen").and_then(|text| parse_address(&text).ok()),
        admin_token: root.find("admin.token"),
        admin_token_file: root.find("admin.token_file"),
    }
}

/// The store of Redis clients.
pub(super) fn redis(root: &Scope<'_>, limits: &Limits) -> gannet_redis::Options {
    let mut options = gannet_redis::Options::default();
    options.password = root.find("redis.password");
    options.protected_mode = root.read("redis.protected_mode");
    options.max_bulk = root.read("redis.max_value");
    options.max_memory = root.read("redis.max_memory");
    options.policy = Policy::from(choice::<PolicyName>(root, "redis.max_memory_policy"));
    options.max_clients = if limits.connections == 0 { u32::MAX } else { limits.connections };
    // The standard library seeds its hashers from the system.
    options.seed = RandomState::new().hash_one("redis");
    options.allocator = crate::ALLOCATOR;
    options
}
