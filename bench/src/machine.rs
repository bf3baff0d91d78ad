//! Describes the machine and the programs on it: figures mean nothing without that.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::process::Command;

use serde::Serialize;

use crate::peers;

/// Tells where the figures of a report come from.
#[derive(Serialize)]
pub struct Origin {
    /// The day of the run.
    date: String,
    /// The command line of the run, without the name of the program.
    command: String,
    /// CPU, cores, kernel and compiler.
    machine: String,
    /// The commit of Gannet, with `+` where files differ from it; a question mark outside of a work tree.
    commit: String,
    /// The libraries and programs of others, with their versions.
    versions: BTreeMap<String, String>,
}

impl Origin {
    /// Learns it, for these subjects.
    pub fn of<'s>(subjects: impl Iterator<Item = &'s str>) -> Self {
        let git = |arguments: &[&str]| {
            let output = Command::new("git").args(["-C", env!("CARGO_MANIFEST_DIR")]).args(arguments).output();
            output
                .ok()
                .filter(|output| output.status.success())
                .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "?".to_owned());
        let is_changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|files| !files.is_empty());
        let date = Command::new("date").args(["-u", "+%Y-%m-%d"]).output();
        let date = date.map_or_else(|_| "?".to_owned(), |date| String::from_utf8_lossy(&date.stdout).trim().to_owned());
        Self {
            date,
            command: std::env::args().skip(1).collect::<Vec<_>>().join(" "),
            machine: describe(),
            commit: commit + if is_changed { "+" } else { "" },
            versions: subjects.filter_map(peers::version).collect(),
        }
    }
}

/// CPU model, number of cores, kernel and compiler; a question mark for what cannot be learned.
pub fn describe() -> String {
    let unknown = || "?".to_owned();
    let cpu = fs::read_to_string("/proc/cpuinfo")
        .ok()
        .and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        })
        .unwrap_or_else(unknown);
    // Not `available_parallelism`, which counts only the CPUs that this thread is pinned to.
    let cores = fs::read_to_string("/proc/cpuinfo")
        .map_or(0, |text| text.lines().filter(|line| line.starts_with("processor")).count());
    let kernel =
        fs::read_to_string("/proc/sys/kernel/osrelease").map_or_else(|_| unknown(), |text| text.trim().to_owned());
    let rustc = Command::new("rustc")
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or_else(unknown, |text| text.trim().to_owned());
    format!("{cpu}, {cores} cores, Linux {kernel}, {rustc}")
}

/// Returns the version that a program reports, or the package that has it.
pub fn version(program: &str, flag: &str, package: &str) -> io::Result<String> {
    let output = Command::new(program).arg(flag).output().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            io::Error::new(error.kind(), format!("{program} is not installed; try: apt-get install {package}"))
        }
        _ => error,
    })?;
    // Some answer on the one stream, some on the other.
    let answer = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&answer).trim().to_owned())
}

/// Memory that the machine could still give (MemAvailable of /proc/meminfo).
pub fn available_bytes() -> io::Result<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).and_then(|kib| kib.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("/proc/meminfo has no MemAvailable"))
}

/// TCP sockets of the machine, of IPv4 (`inuse` of /proc/net/sockstat).
pub fn tcp_sockets() -> io::Result<u64> {
    let sockets = fs::read_to_string("/proc/net/sockstat")?;
    let line = sockets.lines().find_map(|line| line.strip_prefix("TCP: inuse "));
    let count = line.and_then(|line| line.split_whitespace().next()).and_then(|count| count.parse().ok());
    count.ok_or_else(|| io::Error::other("/proc/net/sockstat has no TCP sockets"))
}
