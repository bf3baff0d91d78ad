//! Which certificate a client is shown: by the name it asked for (SNI, RFC 6066 §3) and what its signatures can be.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::Identity;

thread_local! {
    /// The name in the hello that was handled last: rustls shows it to the resolver, and does not say it again of a
    /// connection without buffers.
    static ASKED_FOR: Cell<Option<Arc<str>>> = const { Cell::new(None) };
}

/// The name that the client asked for whose hello this thread has handled last. It is told once.
pub(crate) fn asked_for() -> Option<Arc<str>> {
    ASKED_FOR.take()
}

/// Never empty.
#[derive(Debug)]
pub(crate) struct Certificates {
    all: Vec<Arc<CertifiedKey>>,
    /// DNS names in lower case, and wildcards as `*.example.org`, to places in `all`.
    by_name: HashMap<Arc<str>, Vec<usize>>,
}

impl Certificates {
    /// The first is the one for names that none has.
    pub(crate) fn new(identities: &[Identity]) -> Self {
        let mut by_name: HashMap<Arc<str>, Vec<usize>> = HashMap::new();
        for (at, identity) in identities.iter().enumerate() {
            for name in identity.dns_names() {
                by_name.entry(name.into()).or_default().push(at);
            }
        }
        Self { all: identities.iter().map(|identity| identity.0.clone()).collect(), by_name }
    }

    /// Those for a name in lower case, exact names before wildcards. A wildcard stands for one whole label (RFC 6125
    /// §6.4.3).
    fn of_name(&self, name: &str) -> impl Iterator<Item = &Arc<CertifiedKey>> {
        let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        let exact = self.by_name.get(name);
        let wild = wildcard.and_then(|wildcard| self.by_name.get(wildcard.as_str()));
        exact.into_iter().chain(wild).flatten().filter_map(|at| self.all.get(*at))
    }

    /// The name to keep for a connection: the one that all connections for it share, if it is a certificate's.
    fn shared(&self, name: &str) -> Arc<str> {
        self.by_name.get_key_value(name).map_or_else(|| name.into(), |(name, _)| name.clone())
    }
}

impl ResolvesServerCert for Certificates {
    /// rustls gives the name in lower case.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Without the dot that ends it in the DNS, which clients should leave out.
        let name = hello.server_name().map(|name| name.strip_suffix('.').unwrap_or(name));
        ASKED_FOR.set(name.map(|name| self.shared(name)));
        let usable = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let named = name.and_then(|name| self.of_name(name).find(usable));
        // When none can sign what the client accepts, the handshake says so; it needs one to say it of.
        named.or_else(|| self.all.iter().find(usable)).or(self.all.first()).cloned()
    }
}
