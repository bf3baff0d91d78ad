//! What a run needs of the machine and what the machine has: descriptors, ports and memory. Arithmetic, and the few files
//! of /proc that it begins with.

use gannet::DriverChoice;
use gannet_load::plan::Mode;
use gannet_load::run::{Config, Kind};
use gannet_load::sources::DEFAULT_PORTS;
use gannet_load::units::{bytes, count, things};
use rustix::process::{Resource, getrlimit};

use crate::failure::Failure;

/// Descriptors that stay free beside those of connections, for what comes and goes; a quarter where there are few.
const OTHER_FILES: u64 = 64;

/// Descriptors of a reactor: its ring or epoll, what wakes it, and a socket that is being connected.
const FILES_A_REACTOR: u64 = 3;

/// Descriptors of the process that are still to be opened when the reactors start: signals, and a file at a time.
const FILES_TO_COME: u64 = 8;

/// Kernel memory of one end of a connection: half of what both took, 9.7 KB, where that was measured on loopback.
const KERNEL_BYTES_AN_END: u64 = 4_850;

/// This process's memory for a connection, beside its requests: 171 bytes were measured, and there is room above.
const OWN_BYTES_A_CONNECTION: u64 = 256;

/// This process's memory for the TLS of a connection, while it waits: below 6 KiB were measured, and there is room above.
const TLS_BYTES_A_CONNECTION: u64 = 6 << 10;

/// This process's memory for a channel of a client: its position, where it has one publisher.
const BYTES_A_CHANNEL: u64 = 16;

/// This process's memory for a request that waits, beside its payload.
const BYTES_A_REQUEST: u64 = 32;

/// What the machine has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Connections that there are descriptors for: in the process, or with io_uring in each reactor.
    pub(super) files: u64,
    /// Descriptors that this process may open.
    pub(super) free: u64,
    /// Ports for connections, of each address.
    pub(super) ports: u32,
    /// Memory that could still be given, where that is known.
    pub(super) memory_bytes: Option<u64>,
}

impl Room {
    /// What there is now.
    pub(super) fn now() -> Self {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        // The look at the folder is one of them.
        let open = std::fs::read_dir("/dev/fd").map_or(OTHER_FILES / 4, |files| files.count() as u64);
        let read = |file| std::fs::read_to_string(file).ok();
        Self {
            files: limit - OTHER_FILES.min(limit / 4),
            free: limit.saturating_sub(open),
            ports: read("/proc/sys/net/ipv4/ip_local_port_range")
                .and_then(|text| port_count(&text))
                .unwrap_or(DEFAULT_PORTS),
            memory_bytes: read("/proc/meminfo").and_then(|text| available_bytes(&text)),
        }
    }

    /// How many threads: with io_uring each can hold as many connections as a process may have descriptors.
    ///
    /// # Errors
    ///
    /// There are too few descriptors.
    pub(super) fn reactors(
        &self,
        connections: u32,
        asked: Option<u16>,
        driver: DriverChoice,
    ) -> Result<usize, Failure> {
        let (connections, files) = (u64::from(connections), self.files);
        let asked = asked.map(usize::from);
        let raise = "raise ulimit -n, or give fewer --connections";
        if driver == DriverChoice::Poll {
            if connections > files {
                return Err(Failure::Usage(format!(
                    "{} connections need as many open files, and this process may have {}; raise ulimit -n, or use \
                     --driver uring, which needs none for connections",
                    count(connections),
                    count(files)
                )));
            }
            let needed = connections + own_files(asked.unwrap_or(1));
            if needed > self.free {
                return Err(Failure::Usage(format!(
                    "{} connections and what serves them need {} open files, and this process may open {}; {raise}",
                    count(connections),
                    count(needed),
                    count(self.free)
                )));
            }
            return Ok(asked.unwrap_or(1));
        }
        let needed = usize::try_from(connections.div_ceil(files.max(1))).unwrap_or(usize::MAX).max(1);
        match asked {
            Some(asked) if asked < needed => Err(Failure::Usage(format!(
                "{} connections need at least {needed} reactors, because each can hold as many as the limit on open files \
                 ({}); give more --reactors, or raise ulimit -n",
                count(connections),
                count(files)
            ))),
            asked => {
                let reactors = asked.unwrap_or(needed);
                if own_files(reactors) <= self.free {
                    return Ok(reactors);
                }
                Err(Failure::Usage(format!(
                    "{} connections on {} of {} each need about {} open files for those, and this process may open {}; {raise}",
                    count(connections),
                    things(reactors as u64, "reactor"),
                    count(files),
                    count(own_files(reactors)),
                    count(self.free)
                )))
            }
        }
    }

    /// Whether there is memory for what is needed.
    ///
    /// # Errors
    ///
    /// There is less.
    pub(super) fn check_memory(&self, need: &Need) -> Result<(), Failure> {
        let Some(available) = self.memory_bytes.filter(|available| *available < need.all()) else { return Ok(()) };
        let ends = if need.both_ends { "both ends of the connections" } else { "the connections" };
        Err(Failure::Usage(format!(
            "about {} of memory would be needed ({} by the kernel for {ends}, {} by this process), and {} are available; \
             give fewer --connections{}, or run it where there is more",
            bytes(need.all()),
            bytes(need.kernel_bytes),
            bytes(need.own_bytes),
            bytes(available),
            if need.is_deep { ", less --depth or --size" } else { "" }
        )))
    }
}

/// Descriptors that so many reactors and the rest of the process need, connections aside.
fn own_files(reactors: usize) -> u64 {
    (reactors as u64).saturating_mul(FILES_A_REACTOR).saturating_add(FILES_TO_COME)
}

/// Memory that a run needs; what a server on the same machine takes is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    kernel_bytes: u64,
    own_bytes: u64,
    both_ends: bool,
    /// Whether most of it is for requests.
    is_deep: bool,
}

impl Need {
    /// What a run needs, where both ends of its connections are on this machine or one is.
    pub(super) fn of(config: &Config, both_ends: bool) -> Self {
        let connections = u64::from(config.clients());
        let requests = match config.mode() {
            Mode::Closed { depth } => connections.saturating_mul(depth.into()),
            Mode::Churn => connections,
            // What a schedule has under way depends on the server.
            Mode::Open { .. } | Mode::Listen => 0,
        };
        let request_bytes = requests.saturating_mul(BYTES_A_REQUEST + config.payload_bytes() as u64);
        let tls_bytes = if config.tls.is_some() { TLS_BYTES_A_CONNECTION } else { 0 };
        let channels: u64 = config.push.channels.iter().map(|pattern| u64::from(pattern.each())).sum();
        let channel_bytes = if config.kind == Kind::Push { channels * BYTES_A_CHANNEL } else { 0 };
        let bytes_a_connection = OWN_BYTES_A_CONNECTION + tls_bytes + channel_bytes;
        Self {
            kernel_bytes: connections * KERNEL_BYTES_AN_END * if both_ends { 2 } else { 1 },
            own_bytes: (connections * bytes_a_connection).saturating_add(request_bytes),
            both_ends,
            is_deep: request_bytes > connections * KERNEL_BYTES_AN_END,
        }
    }

    /// All of it.
    pub(super) fn all(&self) -> u64 {
        self.kernel_bytes.saturating_add(self.own_bytes)
    }
}

/// The ports of ip_local_port_range: its first and its last.
fn port_count(text: &str) -> Option<u32> {
    let mut ends = text.split_whitespace().map(str::parse::<u32>);
    let (first, last) = (ends.next()?.ok()?, ends.next()?.ok()?);
    Some(last.checked_sub(first)? + 1)
}

/// MemAvailable of meminfo, which is in KiB.
fn available_bytes(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1_024)
}

#[cfg(test)]
mod tests {

    use super::*;

    const ROOM: Room = Room { files: 10_000, free: 10_050, ports: DEFAULT_PORTS, memory_bytes: Some(1 << 30) };

    fn config(connections: u32, depth: u32, size: usize) -> Config {
        let target = "tcp://127.0.0.1:1".parse().expect("an address");
        Config { connections, depth, size, ..Config::new(Kind::Echo, target) }
    }

    #[test]
    fn the_kernels_files_are_read() {
        assert_eq!(port_count("32768\t60999\n"), Some(28_232));
        assert_eq!(available_bytes("MemTotal: 9 kB\nMemAvailable:    2048 kB\n"), Some(2 << 20));
        for text in ["", "32768", "60999 32768", "a b"] {
            assert_eq!(port_count(text), None, "{text}");
        }
        assert_eq!(available_bytes("MemTotal: 9 kB\n"), None);
    }

    #[test]
    fn memory_counts_both_ends_where_both_are_here() {
        let (one, both) = (Need::of(&config(1_000, 1, 64), false), Need::of(&config(1_000, 1, 64), true));
        assert_eq!(both.kernel_bytes, 9_700_000);
        assert_eq!(both.all() - one.all(), 4_850_000);
        assert_eq!(one.own_bytes, 352_000);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_is_needed_what_there_is_and_what_to_change() {
        assert!(ROOM.check_memory(&Need::of(&config(100_000, 1, 64), true)).is_ok());
        let error = ROOM.check_memory(&Need::of(&config(200_000, 1, 64), true)).expect_err("too much").line();
        assert!(error.contains("1.87 GiB of memory would be needed"), "{error}");
        assert!(error.contains("1 GiB are available; give fewer --connections, or run"), "{error}");
        let error = ROOM.check_memory(&Need::of(&config(1_000, 100, 1 << 20), false)).expect_err("too deep").line();
        assert!(error.contains("less --depth or --size"), "{error}");
        let most = Need::of(&config(u32::MAX, u32::MAX, 1 << 20), true);
        assert!(ROOM.check_memory(&most).is_err());
        let unknown = Room { memory_bytes: None, ..ROOM };
        assert!(unknown.check_memory(&most).is_ok(), "where it is not known, nobody is refused");
    }

    #[test]
    fn descriptors_are_counted_by_process_or_by_reactor_as_the_driver_needs_them() {
        assert_eq!(ROOM.reactors(10_000, None, DriverChoice::Poll).ok(), Some(1));
        assert!(ROOM.reactors(10_001, None, DriverChoice::Poll).expect_err("too many").line().contains("ulimit -n"));
        assert_eq!(ROOM.reactors(25_000, None, DriverChoice::Uring).ok(), Some(3));
        assert_eq!(ROOM.reactors(25_000, Some(4), DriverChoice::Uring).ok(), Some(4));
        let error = ROOM.reactors(25_000, Some(2), DriverChoice::Uring).expect_err("too few").line();
        assert!(error.contains("at least 3 reactors"), "{error}");
        assert_eq!(ROOM.reactors(1, None, DriverChoice::Auto).ok(), Some(1));
    }

    #[test]
    fn reactors_that_there_are_no_descriptors_for_are_not_planned() {
        // As with ulimit -n 60.
        let small = Room { files: 45, free: 50, ..ROOM };
        assert_eq!(small.reactors(100, None, DriverChoice::Uring).ok(), Some(3));
        for (connections, asked) in [(3_000, None), (100, Some(20))] {
            let error = small.reactors(connections, asked, DriverChoice::Uring).expect_err("too many").line();
            assert!(error.contains("this process may open 50; raise ulimit -n"), "{error}");
        }
        assert_eq!(small.reactors(39, None, DriverChoice::Poll).ok(), Some(1));
        let error = small.reactors(40, None, DriverChoice::Poll).expect_err("too many").line();
        assert!(error.contains("need 51 open files, and this process may open 50"), "{error}");
    }
}
