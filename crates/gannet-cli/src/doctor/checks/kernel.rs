//! What the kernel lets the process do, and how: io_uring, memory pages, the clock.

use super::{Check, Fix, Machine, Question, Subject};
use crate::doctor::check::{Amount, Verdict};
use crate::doctor::parse;

/// Clocks that are read without a system call.
const QUICK_CLOCKS: [&str; 4] = ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"];

const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
const CLOCK: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
const CLOCKS: &str = "/sys/devices/system/clocksource/clocksource0/available_clocksource";

pub(super) fn all(machine: &Machine, subject: &Subject, question: &Question) -> Vec<Check> {
    vec![
        ring(machine, subject, question),
        ring_of_process(machine, subject),
        huge_pages(machine),
        clock(machine),
        seccomp(machine, subject),
    ]
}

/// Whether a process can use io_uring: this one, by trying.
fn ring(machine: &Machine, subject: &Subject, question: &Question) -> Check {
    let (name, word) = ("io_uring", |word: &str| Amount::Text(word.to_owned()));
    match &question.ring {
        Ok(why) => Check::compare(name, word("usable"), word("usable"), why, Fix::default()),
        Err(why) => {
            let disabled = machine.setting("kernel.io_uring_disabled").and_then(|text| parse::number(&text));
            let is_filtered = filters(machine, subject) == Some(2);
            let (fix, advice) = match disabled {
                Some(1 | 2) => (Fix::sysctl("kernel.io_uring_disabled", 0), ""),
                _ if is_filtered => {
                    (Fix::default(), "; a seccomp filter is in force: see docs/containers.md, or stay with epoll")
                }
                _ => (Fix::default(), "; the server takes epoll"),
            };
            Check::compare(name, word("denied"), word("usable"), format!("{why}{advice}"), fix)
        }
    }
}

/// Whether the process that is looked at uses it.
fn ring_of_process(machine: &Machine, subject: &Subject) -> Check {
    let name = "process_io_uring";
    let Some(pid) = subject.pid else { return Check::skip(name, "only with --pid") };
    match subject.has_ring(machine) {
        None => Check::skip(name, format!("/proc/{pid}/fd is hidden from this user")),
        Some(true) => {
            let used = Amount::Text("used".to_owned());
            Check::compare(name, used.clone(), used, "this process has a ring", Fix::default())
        }
        Some(false) => Check::skip(name, "this process has no ring: it serves by epoll; its first lines say why"),
    }
}

fn huge_pages(machine: &Machine) -> Check {
    let name = "huge_pages";
    let Some(text) = machine.text(HUGE_PAGES) else {
        return Check::skip(name, "this kernel has no transparent huge pages");
    };
    let Some(have) = parse::chosen(&text) else {
        return Check::skip(name, format!("{HUGE_PAGES} cannot be understood"));
    };
    let (need, have) = (Amount::Text("madvise".to_owned()), Amount::Text(have.to_owned()));
    let why = "'always' makes memory grow in steps of 2 MiB, and stalls the server while they are made";
    let mut check = Check::compare(name, have.clone(), need, why, Fix::written(HUGE_PAGES, "madvise"));
    if have == Amount::Text("never".to_owned()) {
        (check.verdict, check.fix) = (Verdict::Ok, Fix::default());
    }
    check
}

fn clock(machine: &Machine) -> Check {
    let name = "clock";
    let Some(have) = machine.text(CLOCK).map(|text| text.trim().to_owned()).filter(|have| !have.is_empty()) else {
        return Check::skip(name, "the clock source is not visible here");
    };
    let available = machine.text(CLOCKS).unwrap_or_default();
    let quick = QUICK_CLOCKS.iter().find(|quick| available.split_whitespace().any(|other| other == **quick));
    let why = "a clock that is read without a system call";
    if QUICK_CLOCKS.contains(&&*have) {
        let have = Amount::Text(have);
        return Check::compare(name, have.clone(), have, why, Fix::default());
    }
    let fix = quick.map_or_else(Fix::default, |quick| Fix {
        now: Some(format!("echo {quick} > {CLOCK}")),
        file: Some("/etc/tmpfiles.d/gannet-clock.conf".to_owned()),
        line: Some(format!("w {CLOCK} - - - - {quick}")),
    });
    let need = Amount::Text(quick.copied().unwrap_or("a quick one").to_owned());
    Check::compare(name, Amount::Text(have), need, why, fix)
}

/// 2 where system calls are filtered.
fn filters(machine: &Machine, subject: &Subject) -> Option<u64> {
    subject.text(machine, "status").and_then(|text| parse::status(&text, "Seccomp"))
}

/// Says whether a container or systemd filters system calls; that alone is no fault.
fn seccomp(machine: &Machine, subject: &Subject) -> Check {
    let name = "seccomp";
    let (have, why) = match filters(machine, subject) {
        None => return Check::skip(name, "/proc/PID/status cannot be read"),
        Some(2) => ("filter", "system calls are filtered; the profiles of Docker and Kubernetes deny io_uring"),
        Some(1) => ("strict", "only read, write and exit are left"),
        Some(_) => ("none", "no system call is filtered"),
    };
    let have = Amount::Text(have.to_owned());
    if have == Amount::Text("strict".to_owned()) {
        return Check::compare(name, have, Amount::Text("filter".to_owned()), why, Fix::default());
    }
    Check::compare(name, have.clone(), have, why, Fix::default())
}
