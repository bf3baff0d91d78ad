//! The settings of a server's side.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};

use crate::resolver::Certificates;
use crate::{Identity, TlsError, material, provider};

/// A version of the protocol. Older ones are refused (RFC 8996).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    #[default]
    V1_2,
    /// TLS 1.3, RFC 8446.
    V1_3,
}

impl TlsVersion {
    /// From the oldest to the newest that is accepted.
    pub(crate) fn between(min: Self, max: Self) -> Result<&'static [&'static SupportedProtocolVersion], TlsError> {
        static BOTH: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];
        match (min, max) {
            (Self::V1_2, Self::V1_2) => Ok(&BOTH[..1]),
            (Self::V1_2, Self::V1_3) => Ok(&BOTH),
            (Self::V1_3, Self::V1_3) => Ok(&BOTH[1..]),
            (Self::V1_3, Self::V1_2) => Err(TlsError::NoVersion),
        }
    }
}

impl std::fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V1_2 => "TLS 1.2",
            Self::V1_3 => "TLS 1.3",
        })
    }
}

/// Configures a [`TlsServer`](crate::TlsServer): certificates, protocols, demands on clients.
///
/// ```no_run
/// use gannet_tls::{ClientAuth, Identity, TlsConfig, TlsServer, TlsVersion};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let identity = Identity::from_pem(&std::fs::read("chain.pem")?, &std::fs::read("key.pem")?)?;
/// let config = TlsConfig::new(identity)
///     .alpn(["http/1.1"])
///     .min_version(TlsVersion::V1_3)
///     .client_auth(ClientAuth::required(&std::fs::read("client-ca.pem")?)?);
/// let server = TlsServer::new(config)?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct TlsConfig {
    pub(crate) identities: Vec<Identity>,
    alpn: Vec<Vec<u8>>,
    min_version: TlsVersion,
    pub(crate) client_auth: Option<ClientAuth>,
    pub(crate) sessions: usize,
    tickets: usize,
    pub(crate) accept_expired: bool,
}

impl TlsConfig {
    /// The default of [`sessions`](Self::sessions): sessions kept for clients that resume without tickets.
    pub const DEFAULT_SESSIONS: usize = 1024;

    /// Makes settings with this certificate for every client.
    pub fn new(identity: Identity) -> Self {
        Self {
            identities: vec![identity],
            alpn: Vec::new(),
            min_version: TlsVersion::default(),
            client_auth: None,
            sessions: Self::DEFAULT_SESSIONS,
            tickets: 1,
            accept_expired: false,
        }
    }

    /// Returns the certificates. The first is the default, for clients that ask for no name.
    pub fn identities(&self) -> &[Identity] {
        &self.identities
    }

    /// Adds another certificate, for clients that ask for one of its names (SNI, RFC 6066 §3).
    ///
    /// A client gets the first certificate that has the name and whose key fits the signatures that the client can check;
    /// exact names come before wildcards. So an ECDSA and an RSA certificate of one name can stand side by side. A client
    /// that asks for no name, or for a name that no certificate has, gets the first certificate of all.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identities.push(identity);
        self
    }

    /// Sets the application protocols (ALPN, RFC 7301), the preferred one first (default: none).
    ///
    /// Without protocols, the offers of clients are ignored. With protocols, a client that offers only others is refused
    /// with `no_application_protocol`; a client without an offer is accepted.
    pub fn alpn(mut self, protocols: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the oldest version that is accepted (default: TLS 1.2).
    pub fn min_version(mut self, version: TlsVersion) -> Self {
        self.min_version = version;
        self
    }

    /// Asks clients for a certificate (RFC 8446 §4.3.2; default: they are not asked).
    pub fn client_auth(mut self, client_auth: ClientAuth) -> Self {
        self.client_auth = Some(client_auth);
        self
    }

    /// Sets the number of sessions kept for clients of TLS 1.2 that resume by session id (RFC 5246 §7.3).
    ///
    /// The default is [`DEFAULT_SESSIONS`](Self::DEFAULT_SESSIONS); 0 keeps none. Each takes about 200 bytes and the
    /// client's certificates. The oldest is dropped first. Clients with tickets (RFC 5077, RFC 8446 §2.2) cost the server no
    /// memory. The number takes effect when the server is made, not in a reload.
    pub fn sessions(mut self, sessions: usize) -> Self {
        self.sessions = sessions;
        self
    }

    /// Sets the number of tickets that each client of TLS 1.3 gets after its handshake (RFC 8446 §4.6.1; default: 1).
    ///
    /// One ticket resumes one connection, and takes about 250 bytes on the wire. Browsers open several connections at once
    /// and use 2. With 0, TLS 1.3 sessions are not resumed.
    pub fn tickets(mut self, tickets: usize) -> Self {
        self.tickets = tickets;
        self
    }

    /// Sets whether a [reload](crate::TlsServer::reload) may replace a valid certificate or revocation list by one that has
    /// expired or is not valid yet (default: it may not, and the old settings stay in force).
    pub fn accept_expired(mut self, accept: bool) -> Self {
        self.accept_expired = accept;
        self
    }

    /// The settings as rustls takes them, all checked.
    pub(crate) fn build(&self, sessions: &Sessions) -> Result<ServerConfig, TlsError> {
        check_alpn(&self.alpn)?;
        let verifier = match &self.client_auth {
            Some(client_auth) => client_auth.verifier()?,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(TlsVersion::between(self.min_version, TlsVersion::V1_3)?)
            .map_err(TlsError::setup)?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(Certificates::new(&self.identities)));
        config.alpn_protocols.clone_from(&self.alpn);
        config.session_storage = sessions.by_id.clone();
        config.ticketer = sessions.tickets.clone();
        config.send_tls13_tickets = self.tickets;
        Ok(config)
    }
}

/// RFC 7301 §3.1: `opaque ProtocolName<1..2^8-1>`.
pub(crate) fn check_alpn(protocols: &[Vec<u8>]) -> Result<(), TlsError> {
    match protocols.iter().find(|name| name.is_empty() || name.len() > 255) {
        Some(name) => Err(TlsError::BadAlpn { name: String::from_utf8_lossy(name).into_owned() }),
        None => Ok(()),
    }
}

/// What lets clients resume: kept over reloads, unless what clients must prove has changed.
#[derive(Clone, Debug)]
pub(crate) struct Sessions {
    by_id: Arc<dyn StoresServerSessions>,
    tickets: Arc<dyn ProducesTickets>,
}

impl Sessions {
    pub(crate) fn new(size: usize) -> Result<Self, TlsError> {
        let by_id: Arc<dyn StoresServerSessions> = match size {
            0 => Arc::new(rustls::server::NoServerSessionStorage {}),
            size => ServerSessionMemoryCache::new(size),
        };
        // A new key every six hours; tickets of the one before are still taken.
        Ok(Self { by_id, tickets: rustls::crypto::aws_lc_rs::Ticketer::new().map_err(TlsError::setup)? })
    }
}

/// Asks clients for a certificate that one of these authorities issued.
///
/// # Revocation
///
/// With [revocation lists](Self::crls), the status of every certificate of a client's chain must be known: each issuer in
/// the chain, the root included, needs a list that is valid now. A certificate on such a list is refused. So is a
/// certificate whose issuer has no list, or only an expired one (RFC 5280 §6.3). Without any list, revocation is not
/// checked.
///
/// # Resumption
///
/// A resumed session relies on the certificate of its first handshake, which is not checked again. A client whose
/// certificate has expired can therefore resume for 12 more hours at most. A client whose certificate was revoked can
/// resume only until the new list is [loaded](crate::TlsServer::reload).
#[derive(Clone, PartialEq, Eq)]
pub struct ClientAuth {
    required: bool,
    pub(crate) roots: Arc<Vec<CertificateDer<'static>>>,
    pub(crate) crls: Arc<Vec<CertificateRevocationListDer<'static>>>,
}

impl ClientAuth {
    /// Refuses clients without a certificate. `ca` is PEM text with one or more CA certificates.
    ///
    /// # Errors
    ///
    /// There is no certificate in `ca`, or one cannot be read.
    pub fn required(ca: &[u8]) -> Result<Self, TlsError> {
        Self::from_pem_of(true, "the client CA given", ca)
    }

    /// Accepts clients without a certificate, and checks a certificate if there is one. `ca` is PEM text with one or more
    /// CA certificates.
    ///
    /// # Errors
    ///
    /// There is no certificate in `ca`, or one cannot be read.
    pub fn optional(ca: &[u8]) -> Result<Self, TlsError> {
        Self::from_pem_of(false, "the client CA given", ca)
    }

    pub(crate) fn from_pem_of(required: bool, origin: &str, pem: &[u8]) -> Result<Self, TlsError> {
        let roots = material::certificates(origin, pem)?;
        let client_auth = Self { required, roots: Arc::new(roots), crls: Arc::default() };
        client_auth.verifier_of(origin)?;
        Ok(client_auth)
    }

    /// Adds revocation lists: PEM text with one or more, or one as DER.
    ///
    /// # Errors
    ///
    /// There is no revocation list in `crl`, or one cannot be read.
    pub fn crls(self, crl: &[u8]) -> Result<Self, TlsError> {
        self.crls_of("the revocation list given", crl)
    }

    pub(crate) fn crls_of(mut self, origin: &str, crl: &[u8]) -> Result<Self, TlsError> {
        let more = material::crls(origin, crl)?;
        Arc::make_mut(&mut self.crls).extend(more);
        self.verifier_of(origin)?;
        Ok(self)
    }

    fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        self.verifier_of("the revocation lists given")
    }

    fn verifier_of(&self, origin: &str) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let roots = root_store(origin, &self.roots)?;
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
            .with_crls(self.crls.iter().cloned())
            .enforce_revocation_expiration();
        let builder = if self.required { builder } else { builder.allow_unauthenticated() };
        builder.build().map_err(|error| TlsError::BadCrl { origin: origin.into(), why: error.to_string() })
    }
}

impl std::fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientAuth")
            .field("required", &self.required)
            .field("roots", &self.roots.len())
            .field("crls", &self.crls.len())
            .finish()
    }
}

/// Trust anchors of certificates that were found to parse.
pub(crate) fn root_store(origin: &str, roots: &[CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut store = RootCertStore::empty();
    for (at, root) in roots.iter().enumerate() {
        store.add(root.clone()).map_err(|error| TlsError::BadCertificate {
            origin: origin.into(),
            number: at + 1,
            why: error.to_string(),
        })?;
    }
    if store.is_empty() { Err(TlsError::NoRoots) } else { Ok(store) }
}
