//! Queues of the network, and what they have lost since the machine was booted.

use super::{Check, Fix, Machine, Question, Subject, setting};
use crate::doctor::check::Amount;
use crate::doctor::parse;

/// Clients that come back in one moment after an interruption: one in so many.
const AT_ONCE: u64 = 32;

/// Seconds in which everybody leaves in a drain, as `drain.spread` advises.
const DRAIN_S: u64 = 120;

/// Seconds for which the kernel may keep a connection that nobody holds any more.
const ORPHAN_S: u64 = 60;

pub(super) fn settings(machine: &Machine, question: &Question) -> Vec<Check> {
    let connections = question.connections;
    let burst = (connections / AT_ONCE).next_power_of_two();
    let queue = (burst / 2).clamp(1_024, 16_384);
    let time_wait = connections.next_power_of_two().clamp(8_192, 1 << 20);
    let orphans = (connections / DRAIN_S * ORPHAN_S).max(8_192);
    vec![
        setting(
            machine,
            "somaxconn",
            "net.core.somaxconn",
            burst.clamp(1_024, 32_768),
            "connections that wait to be accepted after an interruption; beyond it the kernel drops them",
        ),
        setting(
            machine,
            "tcp_max_syn_backlog",
            "net.ipv4.tcp_max_syn_backlog",
            queue,
            "handshakes of TCP that are under way; beyond it clients try again after a second",
        ),
        setting(
            machine,
            "netdev_max_backlog",
            "net.core.netdev_max_backlog",
            queue,
            "packets that wait for a processor; beyond it they are lost",
        ),
        conntrack(machine, connections),
        setting(
            machine,
            "tcp_max_tw_buckets",
            "net.ipv4.tcp_max_tw_buckets",
            time_wait,
            "closed connections in TIME_WAIT; beyond it they are forgotten early",
        ),
        setting(
            machine,
            "tcp_max_orphans",
            "net.ipv4.tcp_max_orphans",
            orphans,
            "closed connections with unsent data, where all leave within two minutes; beyond it they are reset",
        ),
    ]
}

fn conntrack(machine: &Machine, connections: u64) -> Check {
    let (name, key) = ("nf_conntrack_max", "net.netfilter.nf_conntrack_max");
    if machine.setting(key).is_none() {
        return Check::skip(name, "connection tracking is not loaded");
    }
    let need = connections + connections / 10;
    setting(machine, name, key, need, "the firewall tracks each connection; beyond it packets are dropped")
}

/// What is to be 0 since boot.
pub(super) fn counters(machine: &Machine, subject: &Subject) -> Vec<Check> {
    let text = match subject.pid {
        // The network namespace of that process.
        Some(_) => subject.text(machine, "net/netstat"),
        None => machine.text("/proc/net/netstat"),
    };
    let counters = [
        ("listen_overflows", "ListenOverflows", "a queue of connections to accept was full: raise somaxconn"),
        ("listen_drops", "ListenDrops", "connections were dropped before they were accepted: raise somaxconn"),
        ("syn_drops", "TCPReqQFullDrop", "a queue of handshakes was full: raise tcp_max_syn_backlog"),
        ("tcp_memory_pressure", "TCPMemoryPressures", "TCP ran short of memory: raise tcp_mem"),
        ("tcp_memory_aborts", "TCPAbortOnMemory", "connections were ended for want of memory: raise tcp_mem"),
    ];
    let check = |(name, counter, why): (&'static str, &str, &str)| {
        let count = text.as_deref().and_then(|text| parse::netstat(text, counter));
        match count {
            Some(0) => Check::compare(
                name,
                Amount::Count(0),
                Amount::Count(0),
                format!("{counter} since boot"),
                Fix::default(),
            ),
            Some(count) => Check::exceeded(name, count, format!("{counter} since boot: {why}")),
            None => Check::skip(name, format!("{counter} is not in /proc/net/netstat")),
        }
    };
    counters.map(check).into()
}
