//! Certificates for development, made when they are needed.

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls::pki_types::UnixTime;

use crate::{Identity, TlsError};

/// How long it is valid.
const DAYS: u64 = 60;

/// Holds a certificate that is its own issuer, and its private key.
#[derive(Clone)]
#[non_exhaustive]
pub struct SelfSigned {
    /// The certificate and its key, for [`TlsConfig::new`](crate::TlsConfig::new).
    pub identity: Identity,
    /// The certificate as PEM, for clients to trust.
    pub certificate_pem: String,
    /// The private key as PEM (PKCS #8). Do not log it.
    pub key_pem: String,
}

/// Makes a self-signed certificate for these DNS names and IP addresses, and its key (ECDSA P-256).
///
/// The certificate is valid from an hour ago for 60 days, and for servers only (RFC 5280 §4.2.1.12). Clients do not trust it
/// unless they are told to.
///
/// # Errors
///
/// There is no name, or one is neither a DNS name nor an IP address.
pub fn self_signed(names: &[String]) -> Result<SelfSigned, TlsError> {
    let Some(first) = names.first() else {
        return Err(TlsError::BadServerName { name: String::new() });
    };
    if let Some(name) = names.iter().find(|name| rustls::pki_types::ServerName::try_from(plain(name)).is_err()) {
        return Err(TlsError::BadServerName { name: name.clone() });
    }
    let key = KeyPair::generate().map_err(TlsError::setup)?;
    let mut params = CertificateParams::new(names).map_err(TlsError::setup)?;
    params.distinguished_name.push(DnType::CommonName, first.as_str());
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Clocks differ.
    let from = std::time::UNIX_EPOCH + std::time::Duration::from_secs(UnixTime::now().as_secs().saturating_sub(3600));
    params.not_before = from.into();
    params.not_after = (from + std::time::Duration::from_secs(DAYS * 24 * 3600)).into();
    let certificate = params.self_signed(&key).map_err(TlsError::setup)?;
    let (certificate_pem, key_pem) = (certificate.pem(), key.serialize_pem());
    let identity = Identity::from_pem(certificate_pem.as_bytes(), key_pem.as_bytes())?;
    Ok(SelfSigned { identity, certificate_pem, key_pem })
}

/// The name without the wildcard in front.
fn plain(name: &str) -> &str {
    name.strip_prefix("*.").unwrap_or(name)
}
