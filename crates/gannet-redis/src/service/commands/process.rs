//! What the system knows of this process: asked for by INFO only. Where there is no `/proc` it is not known.

use std::fs;

/// What a page has on the systems that have `/proc/self/statm` and are not told otherwise, in bytes.
const PAGE_BYTES: u64 = 4096;

/// Ticks of `/proc/self/stat` in a second: USER_HZ, the same on all architectures of today.
const TICKS: f64 = 100.0;

/// Memory of the process that is in RAM, in bytes.
pub(super) fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    Some(statm.split(' ').nth(1)?.parse::<u64>().ok()? * PAGE_BYTES)
}

/// Seconds of processor time in the system, and in the process itself.
pub(super) fn processor_seconds() -> Option<(f64, f64)> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is the name, in parentheses, with anything in it; the third comes behind.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((system / TICKS, user / TICKS))
}

/// The system's name, its release where that is known, and the processor's kind.
pub(super) fn system() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let name = if cfg!(target_os = "linux") { "Linux" } else { std::env::consts::OS };
    [name, release.trim(), std::env::consts::ARCH]
        .into_iter()
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_knows_this_process() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 1 << 16));
        assert!(processor_seconds().is_some());
        assert!(system().starts_with("Linux "));
    }
}
