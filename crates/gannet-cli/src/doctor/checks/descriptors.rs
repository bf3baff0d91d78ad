//! Open files: of the process, of each process, of the machine.

use super::{Check, Fix, Machine, Question, Subject, setting};
use crate::doctor::check::Amount;
use crate::doctor::parse;

/// Descriptors beside those of connections: listeners, logs, rings, the allocator's.
const BESIDE: u64 = 64;

pub(super) fn all(machine: &Machine, subject: &Subject, question: &Question) -> Vec<Check> {
    let connections = question.connections;
    let uses_ring = subject.pid.and_then(|_| subject.has_ring(machine)).unwrap_or(question.ring.is_ok());
    // The kernel bounds the direct descriptors of each ring by this limit; without a ring each connection takes one.
    let (need, why) = if uses_ring {
        (connections.div_ceil(question.reactors.max(1)) + BESIDE, "io_uring: connections of one reactor, and 64")
    } else {
        (connections + BESIDE, "epoll: each connection takes one; beyond it connections wait")
    };
    let file_max = connections + connections / 10;
    vec![
        open_files(machine, subject, need, why),
        setting(machine, "nr_open", "fs.nr_open", need, "no process can have a higher limit on open files than this"),
        setting(machine, "file_max", "fs.file-max", file_max, "open files of the machine; each connection is one"),
    ]
}

fn open_files(machine: &Machine, subject: &Subject, need: u64, why: &str) -> Check {
    let name = "nofile";
    let Some((soft, hard)) = subject.text(machine, "limits").and_then(|text| parse::open_files(&text)) else {
        return Check::skip(name, "the process's limits cannot be read (/proc/PID/limits)");
    };
    // The server raises its soft limit to the hard one at its start.
    let have = if subject.pid.is_some() { soft } else { hard };
    let fix = match (subject.pid, unit(machine, subject)) {
        (None, _) => Fix {
            now: Some(format!("ulimit -n {need}")),
            file: Some("/etc/security/limits.d/90-gannet.conf".to_owned()),
            line: Some(format!("* - nofile {need}\nroot - nofile {need}")),
        },
        (Some(pid), unit) => Fix {
            now: Some(format!("prlimit --pid {pid} --nofile={need}:{need}")),
            file: unit.as_ref().map(|unit| format!("/etc/systemd/system/{unit}.d/open-files.conf")),
            line: unit.map(|_| format!("[Service]\nLimitNOFILE={need}")),
        },
    };
    Check::compare(name, have, Amount::Count(need), why, fix)
}

/// The systemd service that a process is in, where it is in one.
pub(super) fn unit(machine: &Machine, subject: &Subject) -> Option<String> {
    let (path, _) = parse::control_group(&subject.text(machine, "cgroup")?)?;
    let unit = path.rsplit('/').find(|part| part.ends_with(".service"))?;
    // It becomes a part of commands.
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.@:".contains(character);
    unit.chars().all(plain).then(|| unit.to_owned())
}
