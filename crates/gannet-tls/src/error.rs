//! Why settings cannot be used: read by the operator who has to mend them.

use std::io;
use std::path::PathBuf;

/// Says what is wrong with certificates, keys or settings: where, why, and what to do. Each says where it was found and what to do.
///
/// Nothing of this comes from a peer: what a peer does wrong ends its connection with a [`ConnectionError`].
///
/// [`ConnectionError`]: crate::ConnectionError
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{}: {}", file.display(), cannot_read(source))]
    Read {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text is not PEM (RFC 7468).
    #[error("{origin}: this is not valid PEM: {why}; save the file again as PEM text")]
    BadPem {
        /// The file, or what was given in memory.
        origin: String,
        /// What the parser says.
        why: String,
    },
    /// There is no certificate where one is needed.
    #[error("{origin}: there is no certificate in it; it needs at least one BEGIN CERTIFICATE section")]
    NoCertificate {
        /// The file, or what was given in memory.
        origin: String,
    },
    /// A certificate is not X.509 as RFC 5280 has it.
    #[error("{origin}: certificate {number} of it cannot be read: {why}")]
    BadCertificate {
        /// The file, or what was given in memory.
        origin: String,
        /// Which of its certificates, counted from 1.
        number: usize,
        /// What the parser says.
        why: String,
    },
    /// The certificates are too large together: clients refuse such a handshake (64 KiB in rustls and Go, 100 KB in OpenSSL).
    #[error(
        "{origin}: its {count} certificates have {bytes} bytes together, and clients take no more than 65536; leave the server's own, and those that issued it"
    )]
    LongChain {
        /// The file, or what was given in memory.
        origin: String,
        /// How many certificates there are.
        count: usize,
        /// How many bytes they have together.
        bytes: usize,
    },
    /// There is no private key where one is needed.
    #[error("{origin}: there is no private key in it; it needs a BEGIN PRIVATE KEY section (PKCS #8, PKCS #1 or SEC1)")]
    NoKey {
        /// The file, or what was given in memory.
        origin: String,
    },
    /// There is more than one private key, so it is not known which is meant.
    #[error("{origin}: there are {count} private keys in it; leave the one that belongs to the certificate")]
    SeveralKeys {
        /// The file, or what was given in memory.
        origin: String,
        /// How many.
        count: usize,
    },
    /// The private key needs a pass phrase.
    #[error("{origin}: the private key is encrypted; write it without a pass phrase: openssl pkey -in OLD -out NEW")]
    EncryptedKey {
        /// The file, or what was given in memory.
        origin: String,
    },
    /// The private key is of a kind or size that cannot be used.
    #[error(
        "{origin}: the private key cannot be used: {why}; ECDSA P-256, P-384, P-521, Ed25519 and RSA of 2048 to 8192 bits can"
    )]
    BadKey {
        /// The file, or what was given in memory.
        origin: String,
        /// What the parser says.
        why: String,
    },
    /// The private key belongs to another certificate.
    #[error(
        "the private key in {key} is not the one of the first certificate in {certificate}; the server's own certificate goes first, then those that issued it"
    )]
    KeyMismatch {
        /// Where the certificate is from.
        certificate: String,
        /// Where the key is from.
        key: String,
    },
    /// A certificate was not signed by the one that has the name of its issuer: no client accepts that.
    #[error(
        "{origin}: certificate {number} was not signed by certificate {other}, although that has the name of its issuer, {issuer}; replace certificate {other} by the one that issued it"
    )]
    WrongIssuer {
        /// The file, or what was given in memory.
        origin: String,
        /// Which of its certificates, counted from 1.
        number: usize,
        /// The one with the name of its issuer, counted from 1.
        other: usize,
        /// That name.
        issuer: String,
    },
    /// A reload would replace a certificate or a revocation list that is valid now by one that is not.
    #[error("the new {what} {why}, and the one that is served with is valid; give one that is valid now")]
    NotValid {
        /// Which certificate or list.
        what: String,
        /// That it has expired, or from when it is valid.
        why: String,
    },
    /// A certificate revocation list is not one as RFC 5280 §5 has it.
    #[error("{origin}: the certificate revocation list cannot be used: {why}")]
    BadCrl {
        /// The file, or what was given in memory.
        origin: String,
        /// What the parser says.
        why: String,
    },
    /// There is no certificate revocation list where one is needed.
    #[error("{origin}: there is no certificate revocation list in it; it needs a BEGIN X509 CRL section or DER")]
    NoCrl {
        /// The file, or what was given in memory.
        origin: String,
    },
    /// Client certificates are checked, but against nothing.
    #[error("there is no CA certificate to check peers against; give at least one")]
    NoRoots,
    /// The system's own CA certificates were not found.
    #[error(
        "the CA certificates of this system were not found ({why}); install the package ca-certificates, or name a CA file"
    )]
    NoSystemRoots {
        /// What was tried.
        why: String,
    },
    /// Files name no certificate at all.
    #[error("no certificate was named; give a certificate file and its key file")]
    NoIdentity,
    /// Revocation lists were given, but no client certificate is asked for.
    #[error("certificate revocation lists are of use only with a CA for client certificates; name the client CA too")]
    CrlWithoutClientCa,
    /// An ALPN protocol name has a length that RFC 7301 §3.1 does not allow.
    #[error("an ALPN protocol name has 1 to 255 bytes, and {name:?} has {}", name.len())]
    BadAlpn {
        /// The name.
        name: String,
    },
    /// The name is neither a DNS name nor an IP address.
    #[error("{name:?} is neither a DNS name nor an IP address; a server's certificate cannot be checked against it")]
    BadServerName {
        /// The name.
        name: String,
    },
    /// The newest version that is offered is older than the oldest that is accepted.
    #[error("no version of TLS is left: the newest offered, TLS 1.2, is older than the oldest accepted, TLS 1.3")]
    NoVersion,
    /// The cryptography refused: it does not happen with settings that passed all other checks.
    #[error("TLS cannot be set up: {0}")]
    Setup(String),
}

impl TlsError {
    pub(crate) fn setup(why: impl std::fmt::Display) -> Self {
        Self::Setup(why.to_string())
    }
}

fn cannot_read(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::NotFound => "there is no such file; check the path".into(),
        io::ErrorKind::PermissionDenied => {
            "this process may not read it; give its user or group the right to (keys: 0640, group of the service)"
                .into()
        }
        io::ErrorKind::IsADirectory => "this is a directory; name the file in it".into(),
        _ => format!("cannot be read: {source}"),
    }
}
