//! Connections at a time by the prefixes of their addresses: looked at when one opens or closes, by all reactors.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;

use super::prefixes;
use crate::counters::RefusalReason;

/// See the module. It has no more entries than there are connections.
#[derive(Debug, Default)]
pub(super) struct Crowds(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    prefixes: HashMap<IpNet, u32>,
    networks: HashMap<IpNet, u32>,
}

impl Crowds {
    /// Counts a connection in, unless that would be more than `per_prefix` or `per_network`.
    pub(super) fn enter(&self, ip: IpAddr, per_prefix: u32, per_network: u32) -> Result<(), RefusalReason> {
        let [prefix, network] = prefixes(ip);
        let mut counts = self.counts();
        let now = |counts: &HashMap<IpNet, u32>, of| counts.get(&of).copied().unwrap_or(0);
        if now(&counts.prefixes, prefix) >= per_prefix {
            return Err(RefusalReason::Prefix);
        }
        if now(&counts.networks, network) >= per_network {
            return Err(RefusalReason::Network);
        }
        *counts.prefixes.entry(prefix).or_default() += 1;
        *counts.networks.entry(network).or_default() += 1;
        Ok(())
    }

    pub(super) fn leave(&self, ip: IpAddr) {
        let [prefix, network] = prefixes(ip);
        let mut counts = self.counts();
        let leave = |counts: &mut HashMap<IpNet, u32>, of| {
            if let Some(count) = counts.get_mut(&of) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&of);
                }
            }
        };
        leave(&mut counts.prefixes, prefix);
        leave(&mut counts.networks, network);
    }

    /// Prefixes with connections.
    pub(super) fn prefixes(&self) -> usize {
        self.counts().prefixes.len()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
