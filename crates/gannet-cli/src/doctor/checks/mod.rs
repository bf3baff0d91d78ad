//! All checks, in the order in which they are printed. docs/operations.md has why each number is what it is.

mod descriptors;
mod kernel;
mod memory;
mod network;

use super::check::{Amount, Check, Fix};
use super::machine::{Machine, Subject};
use super::parse;

/// What the checks are made for.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) connections: u64,
    pub(super) reactors: u64,
    /// Whether this process can use io_uring, and why not.
    pub(super) ring: Result<String, String>,
}

/// The names of all checks, which a test holds against what is checked.
const NAMES: [&str; 22] = [
    "nofile",
    "nr_open",
    "file_max",
    "memory",
    "cgroup_memory",
    "tcp_mem",
    "somaxconn",
    "tcp_max_syn_backlog",
    "netdev_max_backlog",
    "nf_conntrack_max",
    "tcp_max_tw_buckets",
    "tcp_max_orphans",
    "io_uring",
    "process_io_uring",
    "huge_pages",
    "clock",
    "seccomp",
    "listen_overflows",
    "listen_drops",
    "syn_drops",
    "tcp_memory_pressure",
    "tcp_memory_aborts",
];

/// A check's name, as `--skip` takes it.
pub(super) fn known(name: &str) -> Result<&'static str, String> {
    let found = NAMES.iter().find(|own| **own == name);
    found.copied().ok_or_else(|| format!("no check has this name; there are {}", NAMES.join(", ")))
}

/// Makes all checks.
pub(super) fn all(machine: &Machine, subject: &Subject, question: &Question) -> Vec<Check> {
    let mut checks = descriptors::all(machine, subject, question);
    checks.extend(memory::all(machine, subject, question));
    checks.extend(network::settings(machine, question));
    checks.extend(kernel::all(machine, subject, question));
    checks.extend(network::counters(machine, subject));
    checks
}

/// Compares a setting of the kernel with the least that is needed.
fn setting(machine: &Machine, name: &'static str, key: &str, need: u64, why: &str) -> Check {
    match machine.setting(key).and_then(|text| parse::number(&text)) {
        Some(have) => Check::compare(name, Amount::Count(have), Amount::Count(need), why, Fix::sysctl(key, need)),
        None => Check::skip(name, format!("{key} is not visible here")),
    }
}

#[cfg(test)]
mod tests;
