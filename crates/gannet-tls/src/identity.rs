//! What one side proves itself with: a certificate chain and the private key of its first certificate.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};
use webpki::EndEntityCert;

use crate::chain::{self, Flaw};
use crate::validity::{utc, validity};
use crate::{TlsError, material, provider};

/// The most that common clients take as the certificates of a server, in bytes.
const LARGEST_CHAIN_BYTES: usize = 64 << 10;

/// Holds a certificate chain and the private key that belongs to its first certificate. It was checked when it was made: each
/// certificate parses, none has the name of the issuer of another without having signed it, and the key fits. Cheap to clone.
///
/// The chain begins with the certificate itself, followed by those that issued it, in order (RFC 8446 §4.4.2); the root
/// can be left out.
#[derive(Clone)]
pub struct Identity(pub(crate) Arc<CertifiedKey>);

impl Identity {
    /// Reads PEM text: the chain, and one private key as PKCS #8, PKCS #1 or SEC1, not encrypted. Both may be the same
    /// text.
    ///
    /// # Errors
    ///
    /// What is wrong with it, see [`TlsError`].
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        Self::from_pem_of(("the certificate chain given", chain), ("the private key given", key))
    }

    /// Reads DER: the chain, and one private key as PKCS #8, PKCS #1 or SEC1.
    ///
    /// # Errors
    ///
    /// What is wrong with it, see [`TlsError`].
    pub fn from_der(chain: Vec<Vec<u8>>, key: Vec<u8>) -> Result<Self, TlsError> {
        let chain: Vec<_> = chain.into_iter().map(CertificateDer::from).collect();
        material::check_chain("the certificate chain given", &chain)?;
        let key = PrivateKeyDer::try_from(key)
            .map_err(|why| TlsError::BadKey { origin: "the private key given".into(), why: why.into() })?;
        Self::new("the certificate chain given", chain, "the private key given", key)
    }

    /// From two PEM texts and where they are from.
    pub(crate) fn from_pem_of(chain: (&str, &[u8]), key: (&str, &[u8])) -> Result<Self, TlsError> {
        let certificates = material::certificates(chain.0, chain.1)?;
        let private_key = material::private_key(key.0, key.1)?;
        Self::new(chain.0, certificates, key.0, private_key)
    }

    /// `chain` was checked.
    fn new(
        chain_origin: &str,
        chain: Vec<CertificateDer<'static>>,
        key_origin: &str,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, TlsError> {
        let bytes: usize = chain.iter().map(|certificate| certificate.len()).sum();
        if bytes > LARGEST_CHAIN_BYTES {
            return Err(TlsError::LongChain { origin: chain_origin.into(), count: chain.len(), bytes });
        }
        chain::check(chain_origin, &chain)?;
        let key = provider().key_provider.load_private_key(key).map_err(|error| TlsError::BadKey {
            origin: key_origin.into(),
            why: match error {
                Error::General(why) => why,
                other => other.to_string(),
            },
        })?;
        let certified = CertifiedKey::new(chain, key);
        match certified.keys_match() {
            // A key that cannot say its public half cannot be compared; those of our provider can.
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Self(Arc::new(certified))),
            Err(Error::InconsistentKeys(_)) => {
                Err(TlsError::KeyMismatch { certificate: chain_origin.into(), key: key_origin.into() })
            }
            Err(error) => Err(TlsError::setup(error)),
        }
    }

    /// Returns the chain in DER, the certificate itself first.
    pub fn chain(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.0.cert.iter().map(|certificate| certificate.as_ref())
    }

    /// Returns the end of the certificate's validity, to the minute: `2026-03-01 12:00 UTC` (RFC 5280 §4.1.2.5).
    pub fn valid_until(&self) -> Option<String> {
        self.chain().next().and_then(validity).map(|(_, not_after)| utc(not_after))
    }

    /// Returns the moment after which the certificate is not valid any more (RFC 5280 §4.1.2.5).
    pub fn expires_at(&self) -> Option<SystemTime> {
        let (_, not_after) = self.chain().next().and_then(validity)?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(not_after))
    }

    /// Why the certificate is not valid at this time, in seconds since 1970. Nothing where it is.
    pub(crate) fn why_not_at(&self, now: u64) -> Option<String> {
        let (not_before, not_after) = self.chain().next().and_then(validity)?;
        if now > not_after {
            return Some(format!("expired at {}", utc(not_after)));
        }
        (now < not_before).then(|| format!("is valid only from {}", utc(not_before)))
    }

    /// What is unusual in the chain.
    pub(crate) fn flaws(&self) -> Vec<Flaw> {
        // It was checked when this was made.
        chain::check("", &self.0.cert).unwrap_or_default()
    }

    /// Returns the SHA-256 of the certificate in DER: what browsers and `openssl x509 -fingerprint -sha256` show.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut fingerprint = [0; 32];
        if let Some(suite) = rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13()
            && let Some(leaf) = self.chain().next()
        {
            fingerprint.copy_from_slice(suite.common.hash_provider.hash(leaf).as_ref());
        }
        fingerprint
    }

    /// Returns the DNS names of the certificate (RFC 6125), wildcards as they are there.
    pub fn dns_names(&self) -> Vec<String> {
        let leaf = self.0.cert.first().and_then(|der| EndEntityCert::try_from(der).ok());
        leaf.map(|leaf| leaf.valid_dns_names().map(str::to_ascii_lowercase).collect()).unwrap_or_default()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("dns_names", &self.dns_names()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As when somebody appends the roots of the system.
    #[test]
    fn a_chain_that_clients_would_refuse_is_refused() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let made = rcgen::CertificateParams::new(["localhost".to_owned()]).and_then(|params| params.self_signed(&key));
        let certificate = made.expect("a certificate").pem();
        let chain = |count| Identity::from_pem(certificate.repeat(count).as_bytes(), key.serialize_pem().as_bytes());
        let fits = chain(10).expect("clients take so many");
        assert_eq!(fits.chain().len(), 10);
        let error = chain(300).expect_err("no client takes so many").to_string();
        assert!(error.contains("300 certificates") && error.contains("no more than 65536"), "{error}");
    }
}
