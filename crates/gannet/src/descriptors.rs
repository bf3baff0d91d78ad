//! The process's table of descriptors, made as large as it may have to be before it is needed.
//!
//! Linux doubles the table when it is full, and in a process with threads whoever opens that descriptor waits meanwhile
//! until every processor has taken notice (`expand_fdtable` in `fs/file.c`): some 10 ms and more, in which a reactor that
//! accepts serves nobody. The room takes eight bytes of the kernel's memory for each descriptor there may be.

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::fcntl_dupfd_cloexec;
use rustix::process::{Resource, getrlimit};

/// Room for more is not made at the start: 8 MiB of the kernel's memory.
const MOST: u32 = 1 << 20;

/// Descriptors that are no connections.
const OTHERS: u32 = 1_024;

/// Makes room for so many connections, of which 0 are as many as the limit on open files allows. Where that cannot be, the
/// table grows later.
pub(crate) fn make_room(connections: u32) {
    let wanted = if connections == 0 { MOST } else { connections.saturating_add(OTHERS).min(MOST) };
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let highest = limit.min(wanted.into()).saturating_sub(1) as i32;
    if let Ok(any) = eventfd(0, EventfdFlags::CLOEXEC) {
        // The copy with that number is closed again; the table stays as it is.
        let _ = fcntl_dupfd_cloexec(&any, highest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_room_for_all_connections_before_they_come() {
        make_room(3_000);
        let status = std::fs::read_to_string("/proc/self/status").expect("Linux says it there");
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).expect("a line for it");
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        assert!(size.trim().parse::<u64>().expect("a number") >= limit.min(4_024), "{size} of {limit}");
    }
}
