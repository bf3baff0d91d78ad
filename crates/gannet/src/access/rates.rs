//! How often one address connects: a token bucket for each of the addresses that came last.
//!
//! A bucket is one number, the moment at which it will be full (the generic cell rate algorithm, ITU-T I.371). An address
//! whose bucket is full need not be remembered.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::time::Duration;

use crate::error::{Error, Result};

/// Addresses that may be in one place of the table.
const WAYS: usize = 8;

/// Places of the table: 65,536 addresses in one mebibyte.
const SETS: usize = 8_192;

/// The highest rate that can be asked for.
const HIGHEST: f64 = 1e6;

/// A rate of connections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rate {
    /// What a connection takes out of a bucket, as the time that fills it again, in nanoseconds.
    cost_ns: u64,
    /// What a full bucket holds, in the same measure.
    burst_ns: u64,
}

impl Rate {
    /// So many a second; 0 is no limit.
    pub(super) fn new(per_second: f64) -> Result<Option<Self>> {
        if per_second == 0.0 {
            return Ok(None);
        }
        if !(0.0..=HIGHEST).contains(&per_second) {
            return Err(Error::Setting(format!(
                "{per_second} connections a second from one address; there can be 0 to {HIGHEST}"
            )));
        }
        let cost_ns = (1e9 / per_second) as u64;
        // Whole connections of a second, and at least one.
        let burst = per_second.max(1.0) as u64;
        Ok(Some(Self { cost_ns, burst_ns: cost_ns.saturating_mul(burst) }))
    }
}

/// A bucket that is not full.
#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    key: u64,
    /// When it will be, in nanoseconds. Reactors' clocks begin within milliseconds of each other.
    full_at_ns: u64,
}

/// See the module. There is no table before there is a rate.
#[derive(Debug, Default)]
pub(super) struct Rates {
    table: Vec<[Bucket; WAYS]>,
    /// Nobody can choose addresses that push one another out.
    hasher: RandomState,
    forgotten: u64,
}

impl Rates {
    /// Takes a connection out of the bucket of an address; says whether there was one in it.
    pub(super) fn spend(&mut self, ip: IpAddr, rate: Rate, now: Duration) -> bool {
        if self.table.is_empty() {
            self.table = vec![Default::default(); SETS];
        }
        let now_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let key = key(ip);
        let set = &mut self.table[self.hasher.hash_one(key) as usize % SETS];
        let bucket = match set.iter().position(|bucket| bucket.key == key) {
            Some(place) => &mut set[place],
            None => {
                // The fullest one says the least.
                let Some(fullest) = set.iter_mut().min_by_key(|bucket| bucket.full_at_ns) else { return true };
                self.forgotten += u64::from(fullest.full_at_ns > now_ns);
                *fullest = Bucket { key, full_at_ns: 0 };
                fullest
            }
        };
        let full_at_ns = bucket.full_at_ns.max(now_ns).saturating_add(rate.cost_ns);
        let has_room = full_at_ns - now_ns <= rate.burst_ns;
        if has_room {
            bucket.full_at_ns = full_at_ns;
        }
        has_room
    }

    /// How many buckets gave way to others before they were full.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

/// A number for an IPv4 address, or for an IPv6 network of 64 bits: anybody may have all addresses of one.
fn key(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        // No connection comes from there in IPv6: it is multicast (RFC 4291 §2.7).
        IpAddr::V4(ip) => 0xffff_ffff_0000_0000 | u64::from(ip.to_bits()),
        IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn rate(per_second: f64) -> Rate {
        Rate::new(per_second).expect("in range").expect("not 0")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect(text)
    }

    /// How many of so many connections come in, one every `every_ms` from `from_ms` on.
    fn taken(rates: &mut Rates, from: &str, per_second: f64, from_ms: u64, count: u64, every_ms: u64) -> usize {
        let mut at = (0..count).map(|index| Duration::from_millis(from_ms + index * every_ms));
        at.by_ref().filter(|now| rates.spend(ip(from), rate(per_second), *now)).count()
    }

    #[test]
    fn an_address_may_come_as_often_as_its_rate_says_and_save_up_a_second_of_it() {
        let mut rates = Rates::default();
        assert_eq!(taken(&mut rates, "192.0.2.1", 10.0, 0, 100, 0), 10, "at once");
        assert_eq!(taken(&mut rates, "192.0.2.2", 10.0, 0, 1, 0), 1, "another address has its own bucket");
        assert_eq!(taken(&mut rates, "192.0.2.1", 10.0, 100, 10, 0), 1, "a tenth of a second later");
        assert_eq!(taken(&mut rates, "192.0.2.1", 10.0, 101, 5_000, 1), 50, "in five seconds");
        assert_eq!(taken(&mut rates, "192.0.2.1", 10.0, 3_600_000, 100, 0), 10, "after an hour");
        assert_eq!(rates.forgotten(), 0);
    }

    #[test]
    fn a_rate_below_one_a_second_lets_one_in_at_a_time() {
        let mut rates = Rates::default();
        assert_eq!(taken(&mut rates, "192.0.2.1", 0.5, 0, 10, 0), 1);
        assert_eq!(taken(&mut rates, "192.0.2.1", 0.5, 1_999, 1, 0), 0);
        assert_eq!(taken(&mut rates, "192.0.2.1", 0.5, 2_000, 10, 0), 1);
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_share_a_bucket_and_mapped_ones_are_of_ipv4() {
        let mut rates = Rates::default();
        assert_eq!(taken(&mut rates, "2001:db8::1", 1.0, 0, 1, 0), 1);
        assert_eq!(taken(&mut rates, "2001:db8::ffff:1", 1.0, 0, 1, 0), 0);
        assert_eq!(taken(&mut rates, "2001:db8:0:1::1", 1.0, 0, 1, 0), 1);
        assert_eq!(taken(&mut rates, "192.0.2.1", 1.0, 0, 1, 0), 1);
        assert_eq!(taken(&mut rates, "::ffff:192.0.2.1", 1.0, 0, 1, 0), 0);
    }

    #[test]
    fn a_rate_that_becomes_lower_counts_from_now_on() {
        let mut rates = Rates::default();
        assert_eq!(taken(&mut rates, "192.0.2.1", 100.0, 0, 50, 0), 50);
        assert_eq!(taken(&mut rates, "192.0.2.1", 1.0, 0, 10, 0), 0);
        assert_eq!(taken(&mut rates, "192.0.2.1", 1.0, 1_000, 10, 0), 1);
    }

    #[test]
    fn more_addresses_than_there_is_room_for_push_out_the_fullest_and_are_counted() {
        let mut rates = Rates::default();
        let many = (SETS * WAYS * 2) as u32;
        for address in 0..many {
            assert!(rates.spend(Ipv4Addr::from(address).into(), rate(1.0), Duration::ZERO));
        }
        assert_eq!(rates.table.len() * WAYS, 65_536);
        assert!(rates.forgotten() >= u64::from(many) / 2, "{}", rates.forgotten());
        // When all buckets are full again, nothing is lost.
        let (before, later) = (rates.forgotten(), Duration::from_secs(2));
        assert!(rates.spend(ip("192.0.2.1"), rate(1.0), later));
        assert_eq!(rates.forgotten(), before);
    }
}
