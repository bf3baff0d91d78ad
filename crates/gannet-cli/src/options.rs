//! The options of `gannet serve`, and the limits and deadlines that they come to.

mod access;
mod drain;
mod names;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use clap::{Args, Command, FromArgMatches as _};
use gannet::{Limits, Timeouts};
use gannet_redis::LARGEST_COMMAND_BYTES;

pub(crate) use self::access::AccessOptions;
pub(crate) use self::drain::DrainOptions;
use self::names::{BalanceName, OverflowName, PolicyName};
pub(crate) use self::names::{DriverName, LogFormat, LogLevel, YesNo};
use crate::admin::AdminOptions;
use crate::failure::{Failure, condense, is_from_environment, variable};
use crate::services::push::PushOptions;
use crate::services::{self, Listener, Listeners};
use crate::tls::TlsOptions;
use crate::units::{Deadline, deadline, keepalive, per_second, size, size_or_none, whole};

/// The largest message that can be asked for. A length that a peer names is reserved at once, so more than this would
/// let one peer take the machine's memory.
const LARGEST_FRAME_BYTES: usize = 1 << 30;

/// What every answer of ours may have beyond the message it answers: `echo: `, a line's end, a frame's header.
const ANSWER_EXTRA_BYTES: usize = 64;

/// The hard limit of an outbox where none is given and no frame needs more.
const OUTBOX_HARD_BYTES: usize = 4 << 20;

/// Channels and patterns that one Redis client may subscribe to.
const REDIS_CHANNELS_PER_CONNECTION: usize = 65_536;

/// Channels and patterns that all clients of a reactor may subscribe to.
const REDIS_CHANNELS: usize = 1 << 20;

/// Serves connections until SIGTERM or SIGINT.
#[derive(Args, Clone, Debug)]
#[command(after_help = services::help(), after_long_help = services::help() + "\n\n" + include_str!("manual.txt"))]
pub(crate) struct ServeOptions {
    /// Service and address to listen on, then options behind commas; may be given many times
    ///
    /// In GANNET_LISTEN, separate several listeners by spaces.
    ///
    /// URLs are tcp://host:port, tls://host:port, unix:///path and udp://host:port. Port 0 takes a free port and prints
    /// it. The file of a Unix socket is removed at exit. A stale file is replaced; if a server still listens on it, the
    /// start fails.
    #[arg(long, value_name = "SERVICE=URL", value_parser = services::parse_listeners)]
    pub(crate) listen: Vec<Listeners>,

    /// Number of reactors: threads, each with its own connections [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = whole::<u16>(1..=1_024))]
    pub(crate) reactors: Option<u16>,

    /// Kernel interface; auto takes io_uring if this machine allows it, and epoll or kqueue otherwise
    #[arg(long, value_enum, default_value_t = DriverName::Auto)]
    pub(crate) driver: DriverName,

    /// Pin each reactor to a processor
    #[arg(long)]
    pub(crate) pin: bool,

    /// How TCP connections are spread over reactors
    #[arg(long, value_enum, default_value_t = BalanceName::by_default())]
    pub(crate) balance: BalanceName,

    /// Most connections at a time, over all listeners; 0 is no limit. Further ones are refused by a reset, or an error of redis
    #[arg(long, value_name = "N", value_parser = whole::<u32>(0..=u32::MAX.into()), default_value_t = 0, help_heading = "Limits")]
    pub(crate) max_connections: u32,

    /// Most connections at a time from one IP address; 0 is no limit. Further ones are refused by a reset, or an error of redis
    #[arg(long, value_name = "N", value_parser = whole::<u32>(0..=u32::MAX.into()), default_value_t = 0, help_heading = "Limits")]
    pub(crate) max_connections_per_peer: u32,

    /// Connections beyond both limits that operational listeners may have, and descriptors kept for them
    ///
    /// So /healthz and /metrics answer while the server is full: --listen http=tcp://127.0.0.1:9090,operational
    #[arg(long, value_name = "N", value_parser = whole::<u32>(0..=u32::MAX.into()), default_value_t = 32, help_heading = "Limits")]
    pub(crate) operational_reserve: u32,

    /// Most connections accepted per second, as 1000/s; 0 is no limit. Further ones wait in the kernel's backlog
    #[arg(long, value_name = "RATE", value_parser = per_second, default_value = "0", help_heading = "Limits")]
    pub(crate) max_accepts: u32,

    /// Largest line, frame or WebSocket message, as 64KiB; at most 1GiB. A larger one closes its connection
    #[arg(long, value_name = "SIZE", value_parser = frame_size, default_value = "1MiB", help_heading = "Limits")]
    pub(crate) max_frame: usize,

    /// Unsent bytes of a connection above which the server stops reading from it
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "256KiB", help_heading = "Limits")]
    pub(crate) outbox_high: usize,

    /// Unsent bytes of a connection above which --overflow decides [default: 4MiB, or what a frame needs]
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Limits")]
    pub(crate) outbox_hard: Option<usize>,

    /// Action on a connection over --outbox-hard: close it, or drop unsent messages
    #[arg(long, value_enum, default_value_t = OverflowName::Close, help_heading = "Limits")]
    pub(crate) overflow: OverflowName,

    /// Close a connection after this time without traffic in either direction, as 30s; off is never. Redis subscribers
    /// stay
    #[arg(long, value_name = "TIME", value_parser = deadline, default_value = "off", help_heading = "Time")]
    pub(crate) idle_timeout: Deadline,

    /// Silence after which frames and /ws/echo ping the peer; after two pings without a reply they close. off is never
    #[arg(long, value_name = "TIME", value_parser = deadline, default_value = "30s", help_heading = "Time")]
    pub(crate) heartbeat: Deadline,

    /// Silence after which the kernel probes a TCP peer, as 300s; off is never
    ///
    /// The kernel probes three times, a third of that time apart. So a peer that lost power or network is noticed after
    /// twice the time. At most 32767s (9h).
    #[arg(long, value_name = "TIME", value_parser = keepalive, default_value = "300s", help_heading = "Time")]
    pub(crate) tcp_keepalive: Deadline,

    /// Time between SIGTERM and the shutdown; meanwhile only /readyz changes: it answers 503 for load balancers
    #[arg(long, value_name = "TIME", value_parser = deadline, default_value = "off", help_heading = "Time")]
    pub(crate) drain_delay: Deadline,

    #[command(flatten)]
    pub(crate) drain: DrainOptions,

    /// Time for a shutdown, after --drain-spread; then the connections that are left are closed. off closes them at once
    #[arg(long, value_name = "TIME", value_parser = deadline, default_value = "30s", help_heading = "Time")]
    pub(crate) drain_timeout: Deadline,

    /// Password of Redis clients; set it in the environment, where other users cannot see it [default: none]
    #[arg(long, value_name = "TEXT", env = "GANNET_REDIS_PASSWORD", hide_env_values = true, help_heading = "Redis")]
    pub(crate) redis_password: Option<String>,

    /// Refuse clients of other machines while there is no password, as Redis does
    #[arg(long, value_name = "YES_NO", value_enum, default_value_t = YesNo::Yes, help_heading = "Redis")]
    pub(crate) redis_protected_mode: YesNo,

    /// Most memory for all keys and values, as 4GiB; 0 is no limit
    #[arg(long, value_name = "SIZE", value_parser = size_or_none, default_value = "0", help_heading = "Redis")]
    pub(crate) redis_max_memory: usize,

    /// Action over --redis-max-memory: refuse writes, or remove keys
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = PolicyName::NoEviction, help_heading = "Redis")]
    pub(crate) redis_max_memory_policy: PolicyName,

    /// Largest string, and largest argument of a command, from 1MiB to 512MiB
    #[arg(long, value_name = "SIZE", value_parser = redis_value, default_value = "512MiB", help_heading = "Redis")]
    pub(crate) redis_max_value: usize,

    /// Compress the messages of /ws/echo with clients that ask for it (permessage-deflate, RFC 7692)
    ///
    /// Every message is compressed by itself, and sent uncompressed if that is not longer. Compression costs CPU time and
    /// saves bytes on the network. Decompression takes 48KiB of a connection while a message is under way. Compression
    /// takes 320KiB of a reactor for each of the seven window sizes that clients ask for.
    #[arg(long, env = "GANNET_WEBSOCKET_DEFLATE", help_heading = "HTTP")]
    pub(crate) websocket_deflate: bool,

    #[command(flatten)]
    pub(crate) push: PushOptions,

    #[command(flatten)]
    pub(crate) tls: TlsOptions,

    #[command(flatten)]
    pub(crate) admin: AdminOptions,

    /// Log the counters at this interval, as 5s, whatever the log level
    #[arg(long, value_name = "TIME", value_parser = deadline, default_value = "off", help_heading = "Logs")]
    pub(crate) stats: Deadline,

    #[command(flatten)]
    pub(crate) access: AccessOptions,

    /// Format of the log on standard error
    #[arg(long, value_enum, default_value_t = LogFormat::Text, help_heading = "Logs")]
    pub(crate) log: LogFormat,

    /// Lowest level that is logged
    #[arg(long, value_enum, default_value_t = LogLevel::Info, help_heading = "Logs")]
    pub(crate) log_level: LogLevel,
}

impl ServeOptions {
    /// What they are when nothing is given, but what the environment has.
    ///
    /// # Errors
    ///
    /// The environment has a value that is none.
    pub(crate) fn by_default() -> Result<Self, Failure> {
        let command = with_environment(Self::augment_args(Command::new("serve")));
        let nothing = command.try_get_matches_from(["serve"]).and_then(|nothing| Self::from_arg_matches(&nothing));
        nothing.map_err(|error| Failure::Usage(condense(&error, "gannet serve")))
    }

    /// What listens: what was asked for, or the services' own defaults.
    pub(crate) fn listeners(&self) -> Vec<Listener> {
        if self.listen.is_empty() {
            return services::default_listeners();
        }
        self.listen.iter().flat_map(|listeners| listeners.0.iter().cloned()).collect()
    }

    /// The engine's limits.
    ///
    /// # Errors
    ///
    /// Some contradict each other.
    pub(crate) fn limits(&self) -> Result<Limits, Failure> {
        let mut limits = Limits::default();
        limits.connections = self.max_connections;
        limits.connections_per_peer = self.max_connections_per_peer;
        limits.operational_reserve = self.operational_reserve;
        limits.accepts_per_second = self.max_accepts;
        limits.carry = limits.carry.max(self.max_frame + ANSWER_EXTRA_BYTES);
        if self.listeners().iter().any(Listener::is_redis) {
            limits.carry = limits.carry.max(LARGEST_COMMAND_BYTES);
        }
        limits.groups_per_connection = REDIS_CHANNELS_PER_CONNECTION;
        limits.groups = REDIS_CHANNELS;
        limits.outbox_high = self.outbox_high;
        let answer = self.max_frame + ANSWER_EXTRA_BYTES;
        limits.outbox_hard = match self.outbox_hard {
            // Reading pauses over the high mark, so one answer more than that is the most there can be.
            None => OUTBOX_HARD_BYTES.max(self.outbox_high.saturating_add(answer)),
            Some(hard) if hard < self.outbox_high => {
                return Err(usage(
                    "--outbox-hard is lower than --outbox-high; raise --outbox-hard, or lower --outbox-high",
                ));
            }
            Some(hard) if hard < answer => {
                return Err(usage(
                    "--outbox-hard is lower than one reply of --max-frame (and 64 bytes); raise --outbox-hard, or lower --max-frame",
                ));
            }
            Some(hard) => hard,
        };
        limits.overflow = self.overflow.into();
        Ok(limits)
    }

    /// What the Redis services are to be like.
    ///
    /// # Errors
    ///
    /// The password that was asked for is none. An empty variable of the environment is as good as no variable, but who
    /// writes the option wants one: a script whose own variable is not set would open the store to everybody.
    pub(crate) fn redis(&self) -> Result<gannet_redis::Options, Failure> {
        let mut options = gannet_redis::Options::default();
        if self.redis_password.as_deref() == Some("") && !is_from_environment("--redis-password") {
            return Err(usage("--redis-password is empty; give one, or leave the option out to have none"));
        }
        options.password = self.redis_password.clone().filter(|password| !password.is_empty());
        options.protected_mode = self.redis_protected_mode == YesNo::Yes;
        options.max_bulk = self.redis_max_value;
        options.max_memory = self.redis_max_memory;
        options.policy = self.redis_max_memory_policy.into();
        options.max_clients = if self.max_connections == 0 { u32::MAX } else { self.max_connections };
        // The standard library seeds its hashers from the system.
        options.seed = RandomState::new().hash_one("redis");
        options.allocator = crate::ALLOCATOR;
        Ok(options)
    }

    /// The engine's deadlines.
    pub(crate) fn timeouts(&self) -> Timeouts {
        let mut timeouts = Timeouts::default();
        timeouts.idle = self.idle_timeout.0;
        timeouts.heartbeat = self.heartbeat.0;
        timeouts
    }
}

/// Gives each option a variable of the environment, which has its name: `GANNET_MAX_FRAME` for `--max-frame`.
pub(crate) fn with_environment(command: Command) -> Command {
    command.mut_args(|option| match option.get_long().map(variable) {
        _ if option.get_env().is_some() => option,
        // They live as long as the process, as the options do.
        Some(variable) => option.env(&*variable.leak()).hide_env(true),
        None => option,
    })
}

fn usage(what: &str) -> Failure {
    Failure::Usage(format!("{what}; try 'gannet serve --help'"))
}

/// What Redis takes as `proto-max-bulk-len`, up to its default.
fn redis_value(text: &str) -> Result<usize, String> {
    match size(text)? {
        bytes if (1 << 20..=512 << 20).contains(&bytes) => Ok(bytes),
        _ => Err("a value is at least 1MiB and at most 512MiB".to_owned()),
    }
}

fn frame_size(text: &str) -> Result<usize, String> {
    match size(text)? {
        bytes if bytes <= LARGEST_FRAME_BYTES => Ok(bytes),
        _ => Err("a frame is at most 1GiB".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by_default() -> ServeOptions {
        ServeOptions::by_default().expect("the environment has no options")
    }

    #[test]
    fn without_options_there_are_the_engines_own_limits_and_the_default_listeners() {
        let options = by_default();
        let (limits, expected) = (options.limits().expect("consistent defaults"), Limits::default());
        assert_eq!(limits.outbox_high, expected.outbox_high);
        assert_eq!(limits.outbox_hard, expected.outbox_hard);
        assert_eq!(limits.carry, LARGEST_COMMAND_BYTES);
        assert_eq!(options.timeouts(), Timeouts::default());
        assert!(options.listeners().len() >= 4);
    }

    #[test]
    fn only_where_redis_listens_may_a_connection_hold_its_largest_command() {
        let listen = vec![services::parse_listeners("echo=tcp://127.0.0.1:0").expect("a listener")];
        let options = ServeOptions { listen, ..by_default() };
        assert_eq!(options.limits().expect("consistent").carry, Limits::default().carry);
    }

    /// As the table in docs/limits.md says.
    #[test]
    fn groups_are_as_many_as_redis_clients_may_subscribe_to_whatever_listens() {
        for listener in ["redis=tcp://127.0.0.1:0", "http=tcp://127.0.0.1:0"] {
            let listen = vec![services::parse_listeners(listener).expect("a listener")];
            let options = ServeOptions { listen, ..by_default() };
            let limits = options.limits().expect("consistent");
            assert_eq!((limits.groups_per_connection, limits.groups), (65_536, 1_048_576), "{listener}");
        }
    }

    #[test]
    fn the_largest_frame_fits_every_buffer_it_passes() {
        let options = ServeOptions { max_frame: 64 << 20, ..by_default() };
        let limits = options.limits().expect("consistent");
        assert!(limits.carry > 64 << 20);
        assert!(limits.outbox_hard > limits.outbox_high + (64 << 20));
    }

    #[test]
    fn an_outbox_that_cannot_hold_an_answer_is_refused() {
        let options = ServeOptions { outbox_hard: Some(1 << 20), ..by_default() };
        assert!(options.limits().expect_err("too small").to_string().contains("--max-frame"));
        let options = ServeOptions { outbox_hard: Some(1 << 10), ..by_default() };
        assert!(options.limits().expect_err("too small").to_string().contains("--outbox-high"));
    }
}
