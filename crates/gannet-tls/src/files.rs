//! TLS settings read from files.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use rustls::pki_types::{CertificateRevocationListDer, UnixTime};

use crate::chain::{Flaw, is_of, name_of};
use crate::reading::{bounded, open_at_once, read_file};
use crate::validity::{issuer, next_update, subject, utc, validity};
use crate::{ClientAuth, Identity, TlsConfig, TlsError, TlsVersion};

/// Limits the size of a file that is read, in bytes. All roots of a system take less than 1 MiB, large revocation lists a
/// few MiB.
pub const LARGEST_FILE: u64 = 16 << 20;

/// Says whether clients need a certificate, if there is a CA to check it against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAuthMode {
    /// A client without a certificate is refused.
    #[default]
    Required,
    /// A client may have no certificate; if it has one, the certificate is checked.
    Optional,
}

/// Names the files that hold the settings of a server: PEM text (RFC 7468), and for revocation lists also DER.
///
/// [`load`](Self::load) reads them anew each time, so keep the names for
/// [`TlsServer::reload_files`](crate::TlsServer::reload_files). A file over [`LARGEST_FILE`] is an error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsFiles {
    /// Pairs of a certificate chain and its private key; both may be in one file. The first pair is for clients that ask
    /// for no name, or for a name that no certificate has: see [`TlsConfig::identity`].
    pub identities: Vec<(PathBuf, PathBuf)>,
    /// CA certificates to check clients against. With `None`, clients are not asked for a certificate.
    pub client_ca: Option<PathBuf>,
    /// Whether a client must have a certificate, if there is a `client_ca`.
    pub client_auth: ClientAuthMode,
    /// Revocation lists for client certificates, PEM or DER: see [`ClientAuth`].
    pub crls: Vec<PathBuf>,
    /// The oldest version that is accepted.
    pub min_version: TlsVersion,
    /// The application protocols, the preferred one first: see [`TlsConfig::alpn`].
    pub alpn: Vec<String>,
    /// Whether a reload may replace a valid certificate or list by an expired one: see [`TlsConfig::accept_expired`].
    pub accept_expired: bool,
    /// Whether only regular files are read (default `false`). A pipe, as a shell makes it for `<(…)`, can be read at a
    /// start; at a reload it would be waited for, so [`TlsServer::reload_files`](crate::TlsServer::reload_files) refuses it.
    pub only_regular: bool,
}

impl TlsFiles {
    /// Names a certificate chain and its private key; everything else has its default.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { identities: vec![(certificate.into(), key.into())], ..Self::default() }
    }

    /// Reads and checks all files. It blocks on them: do not call it on a reactor.
    ///
    /// Some problems are only logged, as warnings: a certificate that has expired or is not valid yet; a chain with a gap,
    /// a wrong order or certificates that do not belong to it; a private key that everybody can read; a revocation list
    /// that has expired or is missing.
    ///
    /// # Errors
    ///
    /// The first problem that makes the files unusable: which file, what is wrong, and what to do.
    pub fn load(&self) -> Result<TlsConfig, TlsError> {
        let mut identities = self.identities.iter().map(|(certificate, key)| self.identity(certificate, key));
        let mut config = TlsConfig::new(identities.next().ok_or(TlsError::NoIdentity)??);
        for identity in identities {
            config = config.identity(identity?);
        }
        self.complete(config)
    }

    /// Reads and checks all files but the certificates, and uses this certificate instead. It blocks on files.
    ///
    /// This is for a certificate that was made at the start, as by `self_signed`.
    ///
    /// # Errors
    ///
    /// The first problem that makes the files unusable: which file, what is wrong, and what to do.
    pub fn load_for(&self, identity: Identity) -> Result<TlsConfig, TlsError> {
        self.complete(TlsConfig::new(identity))
    }

    /// Adds all but the certificates.
    fn complete(&self, mut config: TlsConfig) -> Result<TlsConfig, TlsError> {
        if let Some(ca) = &self.client_ca {
            let required = self.client_auth == ClientAuthMode::Required;
            let mut client_auth = ClientAuth::from_pem_of(required, &ca.display().to_string(), &self.read(ca)?)?;
            for crl in &self.crls {
                let before = client_auth.crls.len();
                client_auth = client_auth.crls_of(&crl.display().to_string(), &self.read(crl)?)?;
                warn_of_age(crl, &client_auth.crls[before..]);
            }
            warn_of_missing_lists(ca, &client_auth);
            config = config.client_auth(client_auth);
        } else if !self.crls.is_empty() {
            return Err(TlsError::CrlWithoutClientCa);
        }
        let config = config.min_version(self.min_version).accept_expired(self.accept_expired);
        Ok(config.alpn(self.alpn.iter().map(|name| name.as_bytes())))
    }

    pub(crate) fn identity(&self, certificate: &Path, key: &Path) -> Result<Identity, TlsError> {
        let chain = self.read(certificate)?;
        let private_key = self.read(key)?;
        let identity = Identity::from_pem_of(
            (&certificate.display().to_string(), &chain),
            (&key.display().to_string(), &private_key),
        )?;
        warn_of_dates(certificate, &identity);
        warn_of_chain(certificate, &identity);
        warn_of_readers(key);
        Ok(identity)
    }

    fn read(&self, file: &Path) -> Result<Vec<u8>, TlsError> {
        if self.only_regular { read_regular(file) } else { read(file) }
    }
}

/// Reads a file of any kind, and waits for a pipe as long as [`read_file`] does.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>, TlsError> {
    read_file(file, LARGEST_FILE).map_err(|source| TlsError::Read { file: file.into(), source })
}

/// Reads a regular file, and waits for nothing else.
fn read_regular(file: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { file: file.into(), source };
    // Opening is something that a device or the other end of a pipe may notice: so it comes second. It may be another file
    // by then.
    check_regular(&fs::metadata(file).map_err(failed)?).map_err(failed)?;
    let opened = open_at_once(file).map_err(failed)?;
    check_regular(&opened.metadata().map_err(failed)?).map_err(failed)?;
    let mut bytes = Vec::new();
    opened.take(LARGEST_FILE.saturating_add(1)).read_to_end(&mut bytes).map_err(failed)?;
    bounded(bytes, LARGEST_FILE).map_err(failed)
}

fn check_regular(found: &fs::Metadata) -> io::Result<()> {
    if found.is_file() {
        return Ok(());
    }
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Err(io::Error::other("it is no regular file, and a reload reads no other; put a file in its place"))
}

fn warn_of_dates(file: &Path, identity: &Identity) {
    let Some((not_before, not_after)) = identity.chain().next().and_then(validity) else { return };
    let now = UnixTime::now().as_secs();
    let file = file.display();
    if now > not_after {
        tracing::warn!(%file, not_after = utc(not_after), "the certificate has expired: clients will refuse it; renew it");
    } else if now < not_before {
        tracing::warn!(%file, not_before = utc(not_before), "the certificate is not valid yet: clients will refuse it");
    }
}

fn warn_of_chain(file: &Path, identity: &Identity) {
    let file = file.display();
    for flaw in identity.flaws() {
        match flaw {
            // Its issuer may be a root that all its clients know: that is seen only of the roots of this system.
            Flaw::Alone { issuer } if is_root_of_system(&issuer) => {}
            Flaw::Alone { issuer } => {
                let issuer = name_of(&issuer);
                tracing::warn!(%file, issuer, "the certificate comes without its issuer, which is no root of this system: clients that do not know the issuer refuse it; append the certificate of the issuer");
            }
            Flaw::NoIssuer { issuer } => {
                let issuer = name_of(&issuer);
                tracing::warn!(%file, issuer, "none of the certificates in the file issued the first one: many clients refuse it; append the certificate of its issuer");
            }
            Flaw::Order { certificate } => {
                tracing::warn!(%file, certificate, "the certificates are not in order: some clients refuse them; put each behind the one that it issued");
            }
            Flaw::Unrelated { certificate } => {
                tracing::warn!(%file, certificate, "a certificate in the file issued none of the others: clients are sent it for nothing; remove it");
            }
        }
    }
}

fn is_root_of_system(name: &[u8]) -> bool {
    rustls_native_certs::load_native_certs().certs.iter().any(|root| is_of(root, name))
}

fn warn_of_age(file: &Path, crls: &[CertificateRevocationListDer<'_>]) {
    let now = UnixTime::now().as_secs();
    for not_after in crls.iter().filter_map(|crl| next_update(crl)).filter(|not_after| now > *not_after) {
        let file = file.display();
        tracing::warn!(%file, not_after = utc(not_after), "the revocation list has expired: clients of its issuer are refused; get the next one");
    }
}

/// Where there are lists, each CA needs one: see [`ClientAuth`].
fn warn_of_missing_lists(file: &Path, client_auth: &ClientAuth) {
    let (roots, crls) = (&client_auth.roots, &client_auth.crls);
    for (at, root) in roots.iter().enumerate().filter(|_| !crls.is_empty()) {
        let subject = subject(root);
        if !crls.iter().any(|crl| issuer(crl) == subject) {
            let (file, certificate) = (file.display(), at + 1);
            tracing::warn!(%file, certificate, "no revocation list is of this CA: its clients are refused; add its list");
        }
    }
}

#[cfg(unix)]
fn warn_of_readers(key: &Path) {
    use std::os::unix::fs::PermissionsExt;

    let mode = fs::metadata(key).map(|metadata| metadata.permissions().mode()).unwrap_or_default();
    if mode & 0o004 != 0 {
        let (file, mode) = (key.display(), format!("{:04o}", mode & 0o7777));
        tracing::warn!(%file, mode, "everybody on this machine can read the private key; chmod o-r it");
    }
}

#[cfg(not(unix))]
fn warn_of_readers(_: &Path) {}
