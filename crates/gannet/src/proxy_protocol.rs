//! What a listener wants to know of the PROXY protocol: from whom a header comes.

use std::sync::{Arc, PoisonError, RwLock};

use ipnet::IpNet;

use crate::address::Peer;
use crate::networks::Networks;

/// Makes a listener take the address of its peers from the PROXY protocol (versions 1 and 2), which a load balancer sends in
/// front of each connection. Give it to [`ListenOptions::proxy_protocol`](crate::ListenOptions::proxy_protocol).
///
/// The header is required: it is never guessed whether there is one, because a client could write it itself. A connection
/// from an address that is not trusted is refused by a reset, and counted as
/// [`RefusalReason::Untrusted`](crate::RefusalReason::Untrusted). The peers of a Unix socket are all trusted: the mode of the
/// socket's file says who they may be.
///
/// The header comes before TLS. It has to be whole within 5 s, or the connection closes with
/// [`CloseReason::OpeningTimeout`](crate::CloseReason::OpeningTimeout). A malformed or missing one closes it with
/// [`CloseReason::ProxyHeader`](crate::CloseReason::ProxyHeader). Until the header is whole, the service does not know of the
/// connection.
///
/// From then on, the client that the header names is the peer: for [`Context::peer`](crate::Context::peer),
/// [`Access`](crate::Access), the limits on connections of one peer, and the log. If it names nobody (`LOCAL`, `UNKNOWN`), the
/// load balancer is the peer.
///
/// ```
/// use gannet::{ListenOptions, ProxyProtocol};
///
/// let balancers = ProxyProtocol::required(["10.0.0.0/24".parse()?]);
/// let options = ListenOptions::at("tcp://0.0.0.0:7000").proxy_protocol(balancers.clone());
/// // Later, when there are others:
/// balancers.trust(["10.0.1.0/24".parse()?]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ProxyProtocol {
    trusted: Arc<RwLock<Networks<()>>>,
}

impl ProxyProtocol {
    /// Requires a header from these networks, and refuses TCP connections from all others.
    #[must_use]
    pub fn required(trusted: impl IntoIterator<Item = IpNet>) -> Self {
        Self { trusted: Arc::new(RwLock::new(networks(trusted))) }
    }

    /// Replaces the networks that are trusted, for all clones, from any thread. It closes nobody.
    pub fn trust(&self, trusted: impl IntoIterator<Item = IpNet>) {
        let trusted = networks(trusted);
        *self.trusted.write().unwrap_or_else(PoisonError::into_inner) = trusted;
    }

    /// Whether a peer may say who the client is.
    pub(crate) fn trusts(&self, peer: Peer) -> bool {
        let trusted = self.trusted.read().unwrap_or_else(PoisonError::into_inner);
        peer.ip().is_none_or(|ip| trusted.find(ip).is_some())
    }
}

fn networks(trusted: impl IntoIterator<Item = IpNet>) -> Networks<()> {
    Networks::new(trusted.into_iter().map(|network| (network, ())))
}
