//! Memory: of the machine, of the control group, and what the kernel keeps for TCP.

use super::descriptors::unit;
use super::{Check, Fix, Machine, Question, Subject};
use crate::doctor::check::Amount;
use crate::doctor::parse;

/// What the kernel takes for an idle TCP connection.
const KERNEL_BYTES: u64 = 4_850;

/// What the server takes for one without TLS: the larger figure of docs/http.md.
const SERVER_BYTES: u64 = 256;

/// What a server has without connections.
const SERVER_BASE_BYTES: u64 = 64 << 20;

pub(super) fn all(machine: &Machine, subject: &Subject, question: &Question) -> Vec<Check> {
    let need = question.connections * (KERNEL_BYTES + SERVER_BYTES) + SERVER_BASE_BYTES;
    vec![available(machine, subject, need), group(machine, subject, need), tcp(machine, question.connections)]
}

fn available(machine: &Machine, subject: &Subject, need: u64) -> Check {
    let why = "idle connections: 4,850 bytes of the kernel and 256 of the server each; TLS takes 3.7 KiB more";
    match machine.text("/proc/meminfo").and_then(|text| parse::kilobytes(&text, "MemAvailable")) {
        Some(free) => {
            let have = Amount::Bytes(free + subject.resident(machine));
            Check::compare("memory", have, Amount::Bytes(need), why, Fix::default())
        }
        None => Check::skip("memory", "/proc/meminfo cannot be read"),
    }
}

fn group(machine: &Machine, subject: &Subject, need: u64) -> Check {
    let name = "cgroup_memory";
    let Some((have, file)) = subject.memory_limit(machine) else {
        return Check::skip(name, "no control group has a limit on memory here");
    };
    let fix = match unit(machine, subject) {
        Some(unit) => Fix {
            now: Some(format!("systemctl set-property --runtime {unit} MemoryMax={need}")),
            file: Some(format!("/etc/systemd/system/{unit}.d/memory.conf")),
            line: Some(format!("[Service]\nMemoryMax={need}")),
        },
        // The path is the kernel's, and may have anything in it.
        None => Fix { now: Some(format!("echo {need} > '{}'", file.replace('\'', r"'\''"))), ..Fix::default() },
    };
    Check::compare(
        name,
        have,
        Amount::Bytes(need),
        "counts the kernel's buffers too; beyond it the process is killed",
        fix,
    )
}

/// One message that is queued for everybody takes a page of each connection.
fn tcp(machine: &Machine, connections: u64) -> Check {
    let (name, key) = ("tcp_mem", "net.ipv4.tcp_mem");
    let Some(pressure) = machine.setting(key).and_then(|text| parse::field(&text, 1)) else {
        return Check::skip(name, format!("{key} is not visible here"));
    };
    // The kernel's own proportions.
    let three = format!("{} {connections} {}", connections * 3 / 4, connections * 3 / 2);
    let why = "pages at which TCP begins to shrink buffers: one for each connection, when all are sent a message";
    Check::compare(name, Amount::Pages(pressure), Amount::Pages(connections), why, Fix::sysctl(key, three))
}
