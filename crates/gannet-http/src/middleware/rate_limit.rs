//! Bounds the request rate of each client.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use super::buckets::{Buckets, Rate};
use crate::clock;
use crate::cx::Cx;
use crate::layer::Layer;

/// Keys that are known at a time, unless it was set: 1 MiB of memory.
const KEYS: usize = 65_536;

/// Gives what a request is counted by.
type Key = dyn for<'a> Fn(&Cx<'a>) -> Option<&'a [u8]> + Send + Sync;

/// Bounds the request rate of each client with a token bucket: a request takes a token, and time refills the bucket.
///
/// Without a token, the response is 429 (RFC 6585 §4), with the seconds until the next token in `Retry-After` (RFC 9110
/// §10.2.3). A request takes its token when its head has come: over the limit, the client need not send the body.
///
/// ```
/// use gannet_http::Router;
/// use gannet_http::middleware::RateLimit;
///
/// let routes = Router::new()
///     .layer(RateLimit::per_second(50).burst(200))
///     .group("/login", |login| login.layer(RateLimit::per_minute(10)).post("", |cx| cx.status(204)))
///     .build()?;
/// # Ok::<(), gannet_http::RouteError>(())
/// ```
///
/// # What counts as a client
///
/// The IP address of the peer; for IPv6 its /64, because that is what one customer gets. All connections over Unix sockets
/// are one client. Behind a proxy, the peer is the proxy: count [`by`](Self::by) something else there.
///
/// # One limit for all reactors
///
/// All reactors, and all clones of a limit, share the buckets: the limit holds for the server, on whichever connections
/// requests come. Taking a token takes 30 to 50 ns: a hash, two cache lines and one compare-and-swap, without a lock or an
/// allocation. Time is that of the reactors' turns; reactors agree on it to within the length of a turn.
///
/// # How many clients are known
///
/// [`keys`](Self::keys) at a time (default 65,536), at 16 bytes each. A new client takes the place of one whose bucket is
/// full, which loses nothing. If no bucket in its set is full, the new client takes over the fullest one as it is. So a
/// client gains nothing by coming under new names.
#[derive(Clone)]
pub struct RateLimit {
    rate: Rate,
    buckets: Arc<Buckets>,
    key: Option<Arc<Key>>,
    hasher: RandomState,
}

impl RateLimit {
    /// Allows this many requests a second, from 1 to a billion, and as many at once unless [`burst`](Self::burst) is set.
    #[must_use]
    pub fn per_second(requests: u32) -> Self {
        Self::new(requests, 1_000_000_000)
    }

    /// Allows this many requests a minute, at least 1, and as many at once unless [`burst`](Self::burst) is set.
    #[must_use]
    pub fn per_minute(requests: u32) -> Self {
        Self::new(requests, 60_000_000_000)
    }

    fn new(requests: u32, time_ns: u64) -> Self {
        let requests = requests.max(1);
        Self {
            rate: Rate { token_ns: (time_ns / u64::from(requests)).max(1), burst: requests },
            buckets: Arc::new(Buckets::new(KEYS)),
            key: None,
            hasher: RandomState::new(),
        }
    }

    /// Sets how many requests may come at once, at least 1: the size of a bucket.
    #[must_use]
    pub fn burst(mut self, requests: u32) -> Self {
        self.rate.burst = requests.max(1);
        self
    }

    /// Sets how many clients are known at a time (default 65,536), rounded up to a multiple of eight.
    #[must_use]
    pub fn keys(mut self, keys: usize) -> Self {
        self.buckets = Arc::new(Buckets::new(keys));
        self
    }

    /// Counts by a key of the request, such as a token, or an address that a proxy wrote.
    ///
    /// If `key` returns `None`, the address of the peer counts. Use verified values only: a client that chooses its key
    /// freely has no limit.
    ///
    /// ```
    /// use gannet_http::middleware::{Bearer, RateLimit};
    ///
    /// // Inside of `Bearer`, which lets no other token pass.
    /// let limit = RateLimit::per_second(5).by(|cx| cx.request_header("authorization"));
    /// # let routes = gannet_http::Router::new().layer(Bearer::new("secret")).layer(limit);
    /// ```
    #[must_use]
    pub fn by<F>(mut self, key: F) -> Self
    where
        F: for<'a> Fn(&Cx<'a>) -> Option<&'a [u8]> + Send + Sync + 'static,
    {
        self.key = Some(Arc::new(key));
        self
    }

    /// Takes a token, or answers that there is none.
    #[inline]
    fn charge(&self, cx: &mut Cx<'_>) -> bool {
        let now = clock::of_process(cx.now()).as_nanos() as u64;
        let taken = self.buckets.take(self.client(cx), self.rate, now);
        if let Err(wait_ns) = taken {
            refuse(cx, wait_ns.div_ceil(1_000_000_000));
        }
        taken.is_ok()
    }

    /// Whether a token was taken for the request when its head came.
    #[inline]
    fn was_charged(&self, cx: &mut Cx<'_>) -> bool {
        let charged = &mut cx.draft.charged;
        let at = charged.iter().position(|&place| place == self.place());
        at.map(|at| charged.swap_remove(at)).is_some()
    }

    /// Tells the buckets of this limit, and of its clones, from all others.
    fn place(&self) -> usize {
        Arc::as_ptr(&self.buckets).addr()
    }

    /// The number of the client that a request is of.
    #[inline]
    fn client(&self, cx: &Cx<'_>) -> u64 {
        match self.key.as_ref().and_then(|key| key(cx)) {
            Some(key) => self.hasher.hash_one(key),
            // No slice is hashed like this.
            None => self.hasher.hash_one((cx.peer().ip().map(network), u64::MAX)),
        }
    }
}

/// The network that one client is, with what kind it is.
fn network(address: IpAddr) -> (bool, u64) {
    match address.to_canonical() {
        IpAddr::V4(address) => (false, u32::from(address).into()),
        IpAddr::V6(address) => (true, (u128::from(address) >> 64) as u64),
    }
}

impl Layer for RateLimit {
    #[inline]
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        if self.was_charged(cx) || self.charge(cx) {
            next(cx);
        }
    }

    fn admit(&self, cx: &mut Cx<'_>) -> bool {
        let charged = self.charge(cx);
        if charged {
            cx.draft.charged.push(self.place());
        }
        charged
    }
}

fn refuse(cx: &mut Cx<'_>, wait_s: u64) {
    cx.refuse(429, "too many requests\n");
    let mut digits = [0; 20];
    let mut rest = &mut digits[..];
    // Every number has room.
    let _ = write!(rest, "{wait_s}");
    let length = 20 - rest.len();
    cx.header("Retry-After", &digits[..length]);
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit").field("rate", &self.rate).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_version_6_counts_with_its_network_and_a_mapped_one_as_itself() {
        let of = |text: &str| network(text.parse().expect(text));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_ne!(of("0.0.0.0"), of("::1"));
    }
}
