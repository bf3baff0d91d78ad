//! The machine as its /proc and /sys show it, below a folder, and the process that is looked at.

use std::fs;
use std::path::{Path, PathBuf};

use super::check::Amount;
use super::parse;

/// Where the machine's files are.
#[derive(Debug)]
pub(super) struct Machine {
    root: PathBuf,
}

impl Machine {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// A file's text. Nothing where it cannot be read: not there, not ours, not this system's.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }

    /// A setting of the kernel, by the name that `sysctl` has for it.
    pub(super) fn setting(&self, key: &str) -> Option<String> {
        self.text(&format!("/proc/sys/{}", key.replace('.', "/")))
    }

    pub(super) fn is_there(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    /// What the links in a folder point to. Nothing where it cannot be read.
    pub(super) fn links(&self, folder: &str) -> Option<Vec<PathBuf>> {
        let entries = fs::read_dir(self.path(folder)).ok()?;
        // A descriptor may be closed meanwhile.
        Some(entries.flatten().filter_map(|entry| fs::read_link(entry.path()).ok()).collect())
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }
}

/// The process that is looked at: one that runs, or this one in place of a server that this shell would start.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) pid: Option<u32>,
    /// Its folder.
    folder: String,
}

impl Subject {
    /// # Errors
    ///
    /// There is no such process.
    pub(super) fn of(machine: &Machine, pid: Option<u32>) -> Result<Self, String> {
        let folder = pid.map_or_else(|| "/proc/self".to_owned(), |pid| format!("/proc/{pid}"));
        match pid {
            Some(pid) if !machine.is_there(&folder) => {
                Err(format!("there is no process {pid} (--pid); 'pgrep gannet' prints those of gannet"))
            }
            _ => Ok(Self { pid, folder }),
        }
    }

    pub(super) fn text(&self, machine: &Machine, file: &str) -> Option<String> {
        machine.text(&format!("{}/{file}", self.folder))
    }

    /// Whether it has a ring of io_uring. Nothing where its descriptors are hidden from this user.
    pub(super) fn has_ring(&self, machine: &Machine) -> Option<bool> {
        let links = machine.links(&format!("{}/fd", self.folder))?;
        Some(links.iter().any(|link| link.to_string_lossy().contains("io_uring")))
    }

    /// Bytes that it has in memory already: a running server needs that much less.
    pub(super) fn resident(&self, machine: &Machine) -> u64 {
        let text = self.pid.and_then(|_| self.text(machine, "status"));
        text.and_then(|text| parse::kilobytes(&text, "VmRSS")).unwrap_or_default()
    }

    /// The lowest limit on memory of its control group and those above, with the file that has it.
    pub(super) fn memory_limit(&self, machine: &Machine) -> Option<(Amount, String)> {
        let (path, is_first) = parse::control_group(&self.text(machine, "cgroup")?)?;
        let (mount, file) = match is_first {
            true => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            false => ("/sys/fs/cgroup", "memory.max"),
        };
        let relative = Path::new(path.trim_start_matches('/'));
        // The uppermost one on the host has no such file, which is no limit.
        let limits = relative.ancestors().filter_map(|folder| {
            let file = Path::new(mount).join(folder).join(file).display().to_string();
            parse::memory_limit(&machine.text(&file)?).map(|limit| (limit, file))
        });
        limits.min_by_key(|(limit, _)| if let Amount::Bytes(bytes) = limit { *bytes } else { u64::MAX })
    }
}
