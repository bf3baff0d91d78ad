//! TLS for outbound connections.

use std::path::Path;
use std::sync::Arc;

use gannet::{Filter, FilterError, FilterFactory};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, UnbufferedClientConnection, WebPkiServerVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::config::{check_alpn, root_store};
use crate::filter::{Connection, TlsFilter};
use crate::{Identity, TlsError, TlsInfo, TlsVersion, files, material, provider};

/// Configures TLS for outbound connections: trusted CAs, protocols to offer, an own certificate.
///
/// ```no_run
/// use gannet_tls::TlsClientConfig;
///
/// # fn main() -> Result<(), gannet_tls::TlsError> {
/// let client = TlsClientConfig::new().ca_file("ca.pem")?.alpn(["http/1.1"]).build("example.org")?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct TlsClientConfig {
    roots: Vec<CertificateDer<'static>>,
    alpn: Vec<Vec<u8>>,
    identity: Option<Identity>,
    sessions: usize,
    min_version: TlsVersion,
    max_version: TlsVersion,
    verify: bool,
}

impl Default for TlsClientConfig {
    fn default() -> Self {
        Self {
            roots: Vec::new(),
            alpn: Vec::new(),
            identity: None,
            sessions: Self::DEFAULT_SESSIONS,
            min_version: TlsVersion::V1_2,
            max_version: TlsVersion::V1_3,
            verify: true,
        }
    }
}

impl TlsClientConfig {
    /// The default of [`sessions`](Self::sessions): sessions kept for resumption.
    pub const DEFAULT_SESSIONS: usize = 256;

    /// Makes settings that trust the CAs of this system.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts these CAs instead of the system's. `pem` is PEM text; further calls add CAs.
    ///
    /// # Errors
    ///
    /// There is no certificate in `pem`, or one cannot be read.
    pub fn ca(mut self, pem: &[u8]) -> Result<Self, TlsError> {
        self.roots.extend(material::certificates("the CA given", pem)?);
        Ok(self)
    }

    /// Trusts the CAs in this PEM file instead of the system's; further calls add CAs. It reads the file, and may block.
    ///
    /// # Errors
    ///
    /// The file cannot be read, has no certificate, or has one that cannot be read.
    pub fn ca_file(mut self, file: impl AsRef<Path>) -> Result<Self, TlsError> {
        let file = file.as_ref();
        self.roots.extend(material::certificates(&file.display().to_string(), &files::read(file)?)?);
        Ok(self)
    }

    /// Sets the application protocols to offer (ALPN, RFC 7301), the preferred one first (default: none).
    pub fn alpn(mut self, protocols: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the certificate for servers that ask for one (default: none).
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Sets the certificate for servers that ask for one, read from PEM files. It reads the files, and may block.
    ///
    /// # Errors
    ///
    /// A file cannot be read or used.
    pub fn identity_files(self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Result<Self, TlsError> {
        Ok(self.identity(files::TlsFiles::default().identity(certificate.as_ref(), key.as_ref())?))
    }

    /// Sets the number of sessions kept for resumption (RFC 8446 §2.2), over all servers.
    ///
    /// The default is [`DEFAULT_SESSIONS`](Self::DEFAULT_SESSIONS); 0 makes every handshake a full one. The oldest are
    /// dropped first.
    pub fn sessions(mut self, sessions: usize) -> Self {
        self.sessions = sessions;
        self
    }

    /// Sets the oldest version that is accepted (default: TLS 1.2).
    pub fn min_version(mut self, version: TlsVersion) -> Self {
        self.min_version = version;
        self
    }

    /// Sets the newest version that is offered (default: TLS 1.3). This is for tests of servers.
    pub fn max_version(mut self, version: TlsVersion) -> Self {
        self.max_version = version;
        self
    }

    /// Accepts any certificate of any server. An attacker on the network can then read and change everything.
    ///
    /// This is for load generators and tests against a server with a self-made certificate.
    pub fn dangerous_accept_any_certificate(mut self) -> Self {
        self.verify = false;
        self
    }

    /// Makes a client for connections to the server of this name.
    ///
    /// The name is a DNS name, which is also sent (SNI, RFC 6066 §3), or an IP address, which is not.
    ///
    /// # Errors
    ///
    /// The settings cannot be used, the name is neither a DNS name nor an IP address, or the system's CAs were not found.
    pub fn build(&self, server_name: &str) -> Result<TlsClient, TlsError> {
        let name = parse(server_name)?;
        check_alpn(&self.alpn)?;
        let provider = provider();
        let verifier: Arc<dyn ServerCertVerifier> = if self.verify {
            let roots = if self.roots.is_empty() { system_roots()? } else { root_store("the CA given", &self.roots)? };
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .map_err(TlsError::setup)?
        } else {
            Arc::new(AnyCertificate(provider.signature_verification_algorithms))
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(TlsVersion::between(self.min_version, self.max_version)?)
            .map_err(TlsError::setup)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &self.identity {
            Some(identity) => {
                builder.with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(identity.0.clone())))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.alpn);
        config.resumption = match self.sessions {
            0 => Resumption::disabled(),
            sessions => Resumption::in_memory_sessions(sessions),
        };
        Ok(TlsClient { config: Arc::new(config), name, spelled: server_name.into() })
    }
}

/// Makes the TLS filters of outbound connections to one server; pass it to
/// [`Connect::through`](gannet::Connect::through).
///
/// Clones share the sessions that they resume.
#[derive(Clone, Debug)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    spelled: Arc<str>,
}

impl TlsClient {
    /// Makes a client with the same settings for a server of another name.
    ///
    /// # Errors
    ///
    /// The name is neither a DNS name nor an IP address.
    pub fn for_server(&self, server_name: &str) -> Result<Self, TlsError> {
        Ok(Self { config: self.config.clone(), name: parse(server_name)?, spelled: server_name.into() })
    }
}

impl FilterFactory for TlsClient {
    fn filter(&self) -> Result<Box<dyn Filter>, FilterError> {
        let connection = UnbufferedClientConnection::new(self.config.clone(), self.name.clone());
        let connection = Connection::Client(connection.map_err(FilterError::new)?);
        Ok(Box::new(TlsFilter::new(TlsInfo { connection, server_name: Some(self.spelled.clone()) })))
    }
}

fn parse(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::BadServerName { name: name.into() })
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some of them may be of kinds that are not understood; the others are as good.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why: Vec<String> = found.errors.iter().map(ToString::to_string).collect();
        let why = if why.is_empty() { "nothing in the usual places".into() } else { why.join("; ") };
        return Err(TlsError::NoSystemRoots { why });
    }
    Ok(roots)
}

/// Checks that the server has the key of its certificate, and nothing else.
#[derive(Debug)]
struct AnyCertificate(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
