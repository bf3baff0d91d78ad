//! What the system says of this process, by the names that Prometheus's own libraries have for it. Read at each scrape: none
//! of it takes longer the more connections there are.

use std::fs;
use std::time::Duration;

/// A value, where the system tells it.
pub(super) struct Reading {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) help: &'static str,
    pub(super) value: Option<f64>,
}

/// Reads all of it.
pub(super) fn read() -> [Reading; 5] {
    let text = |path| fs::read_to_string(path).ok();
    let (statm, stat) = (text("/proc/self/statm"), text("/proc/self/stat"));
    let gauge = |name, help, value| Reading { name, kind: "gauge", help, value };
    let (open, most) = open_files();
    [
        gauge("process_resident_memory_bytes", "Memory of the process, without the kernel's buffers.", resident(statm)),
        gauge("process_open_fds", "Open file descriptors. Connections of io_uring have none.", open),
        gauge("process_max_fds", "Limit on open file descriptors.", most),
        Reading {
            name: "process_cpu_seconds_total",
            kind: "counter",
            help: "Processor time of all threads.",
            value: stat.as_deref().and_then(cpu).map(|time| time.as_secs_f64()),
        },
        gauge("process_threads", "Threads.", stat.as_deref().and_then(threads)),
    ]
}

/// What the allocator says of itself, where it is jemalloc.
#[cfg(all(feature = "jemalloc", target_os = "linux"))]
pub(super) fn allocator() -> Vec<Reading> {
    let memory = crate::allocator::memory();
    let gauge = |name, help, value: Option<usize>| Reading {
        name,
        kind: "gauge",
        help,
        value: value.map(|bytes| bytes as f64),
    };
    vec![
        gauge(
            "gannet_memory_allocated_bytes",
            "Memory in use, by the allocator's account.",
            memory.map(|memory| memory.allocated),
        ),
        gauge(
            "gannet_memory_active_bytes",
            "Pages that have memory in use: the difference to what is allocated is lost between.",
            memory.map(|memory| memory.active),
        ),
    ]
}

#[cfg(not(all(feature = "jemalloc", target_os = "linux")))]
pub(super) fn allocator() -> Vec<Reading> {
    Vec::new()
}

fn resident(statm: Option<String>) -> Option<f64> {
    let pages: u64 = statm?.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages.checked_mul(rustix::param::page_size() as u64)? as f64)
}

/// What is open, and what may be. Since Linux 6.2 the size of the folder is the number of its entries; to list a million would
/// hold up a reactor, so before that the number is not given.
fn open_files() -> (Option<f64>, Option<f64>) {
    let open = fs::metadata("/proc/self/fd").ok().map(|folder| folder.len()).filter(|count| *count > 0);
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    (open.map(|count| count as f64), limit.map(|limit| limit as f64))
}

/// The fields of `/proc/PID/stat` from the third on: the second is a name that may have blanks and parentheses in it.
fn field(stat: &str, number: usize) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(number - 3)?.parse().ok()
}

fn cpu(stat: &str) -> Option<Duration> {
    let ticks = field(stat, 14)?.checked_add(field(stat, 15)?)?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some(Duration::from_millis(ticks.checked_mul(1_000)? / per_second))
}

fn threads(stat: &str) -> Option<f64> {
    field(stat, 20).map(|count| count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "4242 (a ) name) S 1 4242 4242 0 -1 4194560 100 0 0 0 250 150 0 0 20 0 7 0 12345 1000000 300";

    #[test]
    fn processor_time_and_threads_are_read_whatever_the_name_of_the_process_is() {
        let ticks = rustix::param::clock_ticks_per_second();
        assert_eq!(cpu(STAT), Some(Duration::from_millis(400 * 1_000 / ticks)));
        assert_eq!(threads(STAT), Some(7.0));
        for end in 0..STAT.len() {
            let _ = (cpu(&STAT[..end]), threads(&STAT[..end]), resident(Some(STAT[..end].to_owned())));
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_memory_and_time() {
        for reading in read() {
            if reading.name != "process_open_fds" {
                assert!(reading.value.is_some_and(|value| value >= 0.0), "{}", reading.name);
            }
        }
        assert!(read()[0].value.is_some_and(|bytes| bytes > 100_000.0));
    }
}
