//! Keys that tokens are verified with, made ready once.

use std::fmt::{self, Debug, Formatter};
use std::io::ErrorKind;
use std::path::Path;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{self, EcdsaVerificationAlgorithm, ParsedPublicKey, RsaPublicKeyComponents};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject as _;

use super::Algorithm;
use crate::secret::Secret;

/// The shortest secret for tokens, in bytes. A shorter one can be found by trying.
pub const SHORTEST_SECRET_BYTES: usize = 8;

/// The largest file of a key. A PEM file of an RSA key of 8,192 bits has 2 KiB.
const LARGEST_FILE_BYTES: u64 = 64 << 10;

/// A key that verifies tokens; `Debug` shows its kind and its id only.
///
/// A key belongs to one family of algorithms. So a public key is never taken as the secret of an HMAC, whatever a token says.
pub struct Key {
    id: Option<Box<str>>,
    /// The only algorithm it is for, where its origin says so.
    only: Option<Algorithm>,
    material: Material,
}

enum Material {
    /// One for each hash.
    Hmac(Box<[hmac::Key; 3]>),
    /// One for each hash.
    Rsa(Box<[ParsedPublicKey; 3]>),
    Ecdsa(Algorithm, ParsedPublicKey),
    Ed25519(ParsedPublicKey),
}

/// Says why a key cannot be used. No variant has any part of the key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The secret is too short.
    #[error("the secret for tokens has {length} byte{}; it needs at least {SHORTEST_SECRET_BYTES}, better 32", if *.length == 1 { "" } else { "s" })]
    Short {
        /// Its length in bytes.
        length: usize,
    },
    /// The file cannot be read.
    #[error("the key file {path} cannot be read: {error}")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        #[source]
        error: std::io::Error,
    },
    /// The file is too large for a key.
    #[error("the key file {path} is larger than 64 KiB; it should have one public key as PEM")]
    Large {
        /// The file.
        path: String,
    },
    /// The file has no public key.
    #[error("the key file {path} has no public key; it needs a block BEGIN PUBLIC KEY (openssl pkey -in KEY -pubout)")]
    Missing {
        /// The file.
        path: String,
    },
    /// The file has a private key in place of a public one.
    #[error(
        "the key file {path} has a private key; the gateway needs the public one only (openssl pkey -in KEY -pubout)"
    )]
    Private {
        /// The file.
        path: String,
    },
    /// The key is of a kind that no algorithm for tokens uses.
    #[error("the public key {0} is none of RSA (2,048 to 8,192 bits), P-256, P-384, P-521 and Ed25519")]
    Unknown(String),
}

impl Key {
    /// Makes a key of a secret, for HS256, HS384 and HS512.
    ///
    /// # Errors
    ///
    /// The secret has fewer than [`SHORTEST_SECRET_BYTES`].
    pub fn secret(secret: &Secret) -> Result<Self, KeyError> {
        let bytes = secret.reveal().as_bytes();
        if bytes.len() < SHORTEST_SECRET_BYTES {
            return Err(KeyError::Short { length: bytes.len() });
        }
        let hashes = [hmac::HMAC_SHA256, hmac::HMAC_SHA384, hmac::HMAC_SHA512];
        let material = Material::Hmac(Box::new(hashes.map(|hash| hmac::Key::new(hash, bytes))));
        Ok(Self { id: None, only: None, material })
    }

    /// Reads a public key from a PEM file: a `PUBLIC KEY` of RSA, P-256, P-384, P-521 or Ed25519.
    ///
    /// Blocks the thread for the time of reading.
    ///
    /// # Errors
    ///
    /// The file cannot be read, has no such key, or a private one.
    pub fn file(path: &Path) -> Result<Self, KeyError> {
        let shown = path.display().to_string();
        let failed = |error| KeyError::File { path: shown.clone(), error };
        let pem = match gannet_tls::read_file(path, LARGEST_FILE_BYTES) {
            Err(error) if error.kind() == ErrorKind::FileTooLarge => return Err(KeyError::Large { path: shown }),
            read => read.map_err(failed)?,
        };
        Self::pem(&pem, &shown)
    }

    /// Reads a public key as PEM; `origin` is its name in an error.
    ///
    /// # Errors
    ///
    /// There is no such key, or a private one.
    pub fn pem(pem: &[u8], origin: &str) -> Result<Self, KeyError> {
        if let Ok(key) = SubjectPublicKeyInfoDer::from_pem_slice(pem) {
            return Self::der(&key, origin);
        }
        let text = String::from_utf8_lossy(pem);
        if text.contains("PRIVATE KEY-----") {
            return Err(KeyError::Private { path: origin.to_owned() });
        }
        Err(KeyError::Missing { path: origin.to_owned() })
    }

    /// Takes a public key as SubjectPublicKeyInfo (RFC 5280 §4.1.2.7); the first algorithm that takes it is its own.
    fn der(key: &[u8], origin: &str) -> Result<Self, KeyError> {
        if let Ok(key) = ParsedPublicKey::new(&signature::ED25519, key) {
            return Ok(Self { id: None, only: None, material: Material::Ed25519(key) });
        }
        for algorithm in [Algorithm::ES256, Algorithm::ES384, Algorithm::ES512] {
            let parsed = curve(algorithm).and_then(|curve| ParsedPublicKey::new(curve, key).ok());
            if let Some(key) = parsed {
                return Ok(Self { id: None, only: None, material: Material::Ecdsa(algorithm, key) });
            }
        }
        let rsa = |params| ParsedPublicKey::new(params, key);
        let parsed = (|| {
            Ok::<_, aws_lc_rs::error::KeyRejected>([
                rsa(&signature::RSA_PKCS1_2048_8192_SHA256)?,
                rsa(&signature::RSA_PKCS1_2048_8192_SHA384)?,
                rsa(&signature::RSA_PKCS1_2048_8192_SHA512)?,
            ])
        })();
        let keys = parsed.map_err(|_| KeyError::Unknown(origin.to_owned()))?;
        Ok(Self { id: None, only: None, material: Material::Rsa(Box::new(keys)) })
    }

    /// Makes an RSA key of its modulus and its exponent, big-endian. `None` where they are none.
    pub(super) fn rsa(modulus: &[u8], exponent: &[u8]) -> Option<Self> {
        // Some issuers write zeros in front.
        let n = strip_zeros(modulus);
        if !(256..=1_024).contains(&n.len()) {
            return None;
        }
        let key = RsaPublicKeyComponents { n, e: strip_zeros(exponent) };
        let keys = [
            key.to_parsed_public_key(&signature::RSA_PKCS1_2048_8192_SHA256).ok()?,
            key.to_parsed_public_key(&signature::RSA_PKCS1_2048_8192_SHA384).ok()?,
            key.to_parsed_public_key(&signature::RSA_PKCS1_2048_8192_SHA512).ok()?,
        ];
        Some(Self { id: None, only: None, material: Material::Rsa(Box::new(keys)) })
    }

    /// Makes a key of a point of the curve that belongs to `algorithm`. `None` where it is none.
    pub(super) fn ecdsa(algorithm: Algorithm, x: &[u8], y: &[u8]) -> Option<Self> {
        let length = match algorithm {
            Algorithm::ES256 => 32,
            Algorithm::ES384 => 48,
            Algorithm::ES512 => 66,
            _ => return None,
        };
        let mut point = vec![0; 1 + 2 * length];
        point[0] = 4;
        for (place, coordinate) in [(1, strip_zeros(x)), (1 + length, strip_zeros(y))] {
            let before = length.checked_sub(coordinate.len())?;
            point[place + before..place + length].copy_from_slice(coordinate);
        }
        let key = ParsedPublicKey::new(curve(algorithm)?, &point).ok()?;
        Some(Self { id: None, only: None, material: Material::Ecdsa(algorithm, key) })
    }

    /// Makes a key of the 32 bytes of an Ed25519 public key. `None` where they are none.
    pub(super) fn ed25519(public: &[u8]) -> Option<Self> {
        let key = (public.len() == 32).then(|| ParsedPublicKey::new(&signature::ED25519, public).ok())??;
        Some(Self { id: None, only: None, material: Material::Ed25519(key) })
    }

    /// Names the key: a token with another `kid` is not verified with it.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<Box<str>>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Restricts the key to one algorithm.
    #[must_use]
    pub fn only(mut self, algorithm: Algorithm) -> Self {
        self.only = Some(algorithm);
        self
    }

    /// Returns the name of the key, the `kid` of tokens.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Tells whether the key is for an algorithm.
    #[must_use]
    pub fn is_for(&self, algorithm: Algorithm) -> bool {
        use Algorithm::{ES256, ES384, ES512, EdDSA, HS256, HS384, HS512, RS256, RS384, RS512};

        let fits = match (&self.material, algorithm) {
            (Material::Hmac(_), HS256 | HS384 | HS512)
            | (Material::Rsa(_), RS256 | RS384 | RS512)
            | (Material::Ed25519(_), EdDSA) => true,
            (Material::Ecdsa(own, _), ES256 | ES384 | ES512) => *own == algorithm,
            _ => false,
        };
        fits && self.only.is_none_or(|only| only == algorithm)
    }

    /// Verifies a signature.
    pub(super) fn verify(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        if !self.is_for(algorithm) {
            return false;
        }
        let hash = match algorithm {
            Algorithm::HS384 | Algorithm::RS384 => 1,
            Algorithm::HS512 | Algorithm::RS512 => 2,
            _ => 0,
        };
        match &self.material {
            Material::Hmac(keys) => hmac::verify(&keys[hash], message, signature).is_ok(),
            Material::Rsa(keys) => keys[hash].verify_sig(message, signature).is_ok(),
            Material::Ecdsa(_, key) | Material::Ed25519(key) => key.verify_sig(message, signature).is_ok(),
        }
    }
}

impl Debug for Key {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let kind = match &self.material {
            Material::Hmac(_) => "HMAC",
            Material::Rsa(_) => "RSA",
            Material::Ecdsa(algorithm, _) => algorithm.name(),
            Material::Ed25519(_) => "Ed25519",
        };
        f.debug_struct("Key").field("kind", &kind).field("id", &self.id).finish_non_exhaustive()
    }
}

fn curve(algorithm: Algorithm) -> Option<&'static EcdsaVerificationAlgorithm> {
    match algorithm {
        Algorithm::ES256 => Some(&signature::ECDSA_P256_SHA256_FIXED),
        Algorithm::ES384 => Some(&signature::ECDSA_P384_SHA384_FIXED),
        Algorithm::ES512 => Some(&signature::ECDSA_P521_SHA512_FIXED),
        _ => None,
    }
}

fn strip_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    &number[zeros..]
}
