//! Ports for listeners that are opened later, perhaps by another process.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// The lowest port that is given out: many programs have theirs below it.
const LOWEST: u16 = 10_000;

/// The first of the ports that a kernel gives to whoever asks for any, where it does not say so itself.
const FIRST_OF_KERNEL: u16 = 32_768;

/// Gives addresses on which nobody listens, and which the kernel gives to nobody who asks for any port.
///
/// A port that a kernel chose for port 0 can be another test's a moment after it was given back. These are of a range from
/// which the kernel chooses none, and within a process none of them is given out twice before all were.
///
/// # Panics
///
/// Panics if there are not so many.
#[must_use]
pub fn free_ports(count: usize) -> Vec<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let range = first_of_kernel().saturating_sub(LOWEST).max(1);
    // Test programs that run at the same time begin at different places.
    let begin = (std::process::id().wrapping_mul(4_099) % u32::from(range)) as u16;
    let candidates = (0..range).map(|_| {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let offset = (u32::from(begin) + u32::from(next)) % u32::from(range);
        SocketAddr::from((Ipv4Addr::LOCALHOST, LOWEST + offset as u16))
    });
    let free: Vec<_> = candidates.filter(|at| TcpListener::bind(at).is_ok()).take(count).collect();
    assert_eq!(free.len(), count, "free ports from {LOWEST} on");
    free
}

/// The first port that this machine's kernel gives to whoever asks for any.
fn first_of_kernel() -> u16 {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let first = text.split_whitespace().next().and_then(|first| first.parse().ok());
    // Where it chooses from nearly all ports, there is no such range: then any port is as good.
    first.filter(|first| *first > LOWEST + 1_000).unwrap_or(FIRST_OF_KERNEL)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::TcpListener;

    use super::free_ports;

    #[test]
    fn ports_can_be_listened_on_and_none_is_given_out_twice() {
        let ports: Vec<_> = free_ports(20).into_iter().chain(free_ports(20)).collect();
        let listeners: Vec<_> = ports.iter().map(|at| TcpListener::bind(at).expect("it is free")).collect();
        assert_eq!(ports.iter().collect::<HashSet<_>>().len(), 40);
        let more = free_ports(20);
        assert!(more.iter().all(|at| !ports.contains(at)), "{more:?}");
        drop(listeners);
    }
}
