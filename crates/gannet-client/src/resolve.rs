//! Names with several addresses, looked up again and again on a thread of their own.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::Duration;

use gannet::Address;

use crate::error::Error;
use crate::protocol::Protocol;
use crate::shared::Shared;

/// Finds the addresses of a URL.
pub(crate) type Lookup = Arc<dyn Fn(&str) -> Result<Vec<Address>, String> + Send + Sync>;

/// The system's resolver.
pub(crate) fn system() -> Lookup {
    Arc::new(|url| Address::all(url).map_err(|error| error.to_string()))
}

/// Finds the addresses of all URLs, each once.
pub(crate) fn all(urls: &[String], filtered: bool, lookup: &Lookup) -> Result<Vec<Address>, Error> {
    let mut addresses: Vec<Address> = Vec::new();
    for url in urls {
        let bad = |why: String| Error::Endpoint { url: url.clone(), why };
        for address in lookup(url).map_err(bad)? {
            match address {
                Address::Tls(_) if !filtered => {
                    return Err(bad("tls:// needs a filter; give one with PoolBuilder::through".to_owned()));
                }
                Address::Tcp(_) | Address::Tls(_) | Address::Unix(_) if addresses.contains(&address) => {}
                Address::Tcp(_) | Address::Tls(_) | Address::Unix(_) => addresses.push(address),
                _ => return Err(bad("a connection goes to tcp://, tls:// or unix://".to_owned())),
            }
        }
    }
    if addresses.is_empty() {
        return Err(Error::Setting("there is no endpoint; add one with PoolBuilder::endpoint".to_owned()));
    }
    Ok(addresses)
}

/// Whether looking a URL up again can give something else.
pub(crate) fn may_change(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else { return true };
    scheme != "unix" && rest.parse::<std::net::SocketAddr>().is_err()
}

/// Looks URLs up again at intervals, until the pool is gone. Runs on a thread of its own: a look-up may block for seconds.
pub(crate) fn follow<P: Protocol>(
    pool: &Weak<Shared<P>>,
    urls: &[String],
    lookup: &Lookup,
    every: Duration,
    gone: &Receiver<()>,
) {
    let mut known = Vec::new();
    while gone.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
        let Some(filtered) = pool.upgrade().map(|pool| pool.is_filtered()) else { return };
        match all(urls, filtered, lookup) {
            Ok(addresses) if addresses != known => {
                let Some(pool) = pool.upgrade() else { return };
                pool.set_addresses(addresses.clone());
                known = addresses;
            }
            Ok(_) => {}
            // The addresses that it had are better than none.
            Err(error) => tracing::warn!(%error, "an endpoint could not be looked up again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_are_looked_up_again() {
        assert!(may_change("tcp://redis.internal:6379"));
        assert!(!may_change("tcp://10.0.0.1:6379"));
        assert!(!may_change("tls://[::1]:6379"));
        assert!(!may_change("unix:///run/redis.sock"));
    }

    #[test]
    fn what_cannot_be_connected_to_is_refused_with_its_url() {
        let refused = |url: &str| all(&[url.to_owned()], false, &system()).map_err(|error| error.to_string());
        assert!(refused("udp://127.0.0.1:1").is_err_and(|why| why.contains("udp://127.0.0.1:1")));
        assert!(refused("tls://127.0.0.1:1").is_err_and(|why| why.contains("PoolBuilder::through")));
        assert!(refused("127.0.0.1").is_err());
        assert!(all(&[], false, &system()).is_err());
    }
}
