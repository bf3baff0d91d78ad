//! Tokens that others have made, and keys that come and go.

mod claims;
mod jwks;
mod signatures;

use std::sync::OnceLock;

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use gannet_channels::Time;
use serde_json::{Value, json};

use super::{Algorithm, Key, Tokens};
use crate::secret::Secret;

/// The time of most tests: 2026-11-30.
pub(super) const NOW: Time = Time(1_796_000_000_000);
pub(super) const NOW_SECONDS: u64 = NOW.0 / 1_000;

pub(super) const SECRET: &str = "a secret of tests";

/// Something that signs: a private key of the tests.
pub(super) enum Signer {
    Secret(&'static str),
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    /// A new key for an algorithm.
    pub(super) fn new(algorithm: Algorithm) -> Self {
        let ecdsa = |curve| Self::Ecdsa(EcdsaKeyPair::generate(curve).expect("a key"));
        match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => Self::Secret(SECRET),
            Algorithm::RS256 | Algorithm::RS384 | Algorithm::RS512 => {
                Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"))
            }
            Algorithm::ES256 => ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::ES384 => ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::ES512 => ecdsa(&signature::ECDSA_P521_SHA512_FIXED_SIGNING),
            Algorithm::EdDSA => Self::Ed25519(Ed25519KeyPair::generate().expect("a key")),
        }
    }

    fn sign(&self, algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        use aws_lc_rs::hmac::{self, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512};

        let random = SystemRandom::new();
        match self {
            Self::Secret(secret) => {
                let hash = match algorithm {
                    Algorithm::HS384 => HMAC_SHA384,
                    Algorithm::HS512 => HMAC_SHA512,
                    _ => HMAC_SHA256,
                };
                hmac::sign(&hmac::Key::new(hash, secret.as_bytes()), message).as_ref().to_vec()
            }
            Self::Rsa(key) => {
                let hash = match algorithm {
                    Algorithm::RS384 => &signature::RSA_PKCS1_SHA384,
                    Algorithm::RS512 => &signature::RSA_PKCS1_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signed = vec![0; key.public_modulus_len()];
                key.sign(hash, &random, message, &mut signed).expect("a signature");
                signed
            }
            Self::Ecdsa(key) => key.sign(&random, message).expect("a signature").as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// A token with these claims.
    pub(super) fn token(&self, algorithm: Algorithm, kid: Option<&str>, claims: &Value) -> String {
        let mut header = json!({"alg": algorithm.name(), "typ": "JWT"});
        if let Some(kid) = kid {
            header["kid"] = kid.into();
        }
        self.signed(algorithm, &header.to_string(), &claims.to_string())
    }

    /// A token of this header and these claims, as they are.
    pub(super) fn signed(&self, algorithm: Algorithm, header: &str, claims: &str) -> String {
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = URL_SAFE_NO_PAD.encode(self.sign(algorithm, message.as_bytes()));
        format!("{message}.{signature}")
    }

    /// The public half as PEM, or the secret.
    pub(super) fn pem(&self) -> String {
        let der = match self {
            Self::Secret(secret) => return (*secret).to_owned(),
            Self::Rsa(key) => AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).expect("a key").as_ref().to_vec(),
            Self::Ecdsa(key) => {
                AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).expect("a key").as_ref().to_vec()
            }
            Self::Ed25519(key) => {
                AsDer::<PublicKeyX509Der<'_>>::as_der(key.public_key()).expect("a key").as_ref().to_vec()
            }
        };
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    /// The key that verifies.
    pub(super) fn key(&self) -> Key {
        match self {
            Self::Secret(secret) => Key::secret(&Secret::new(*secret)).expect("a secret"),
            _ => Key::pem(self.pem().as_bytes(), "the test").expect("a public key"),
        }
    }

    /// The public half as a JWK.
    pub(super) fn jwk(&self, kid: &str) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Secret(secret) => json!({"kty": "oct", "kid": kid, "k": text(secret.as_bytes())}),
            Self::Rsa(key) => {
                let public = key.public_key();
                let (n, e) = (public.modulus().big_endian_without_leading_zero(), public.exponent());
                json!({"kty": "RSA", "use": "sig", "kid": kid, "n": text(n), "e": text(e.big_endian_without_leading_zero())})
            }
            Self::Ecdsa(key) => {
                let point = &key.public_key().as_ref()[1..];
                let (x, y) = point.split_at(point.len() / 2);
                let curve = match x.len() {
                    32 => "P-256",
                    48 => "P-384",
                    _ => "P-521",
                };
                json!({"kty": "EC", "crv": curve, "kid": kid, "x": text(x), "y": text(y)})
            }
            Self::Ed25519(key) => {
                json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": kid, "x": text(key.public_key().as_ref())})
            }
        }
    }
}

/// One key for each algorithm, made once.
pub(super) fn signers() -> &'static [(Algorithm, Signer)] {
    static SIGNERS: OnceLock<Vec<(Algorithm, Signer)>> = OnceLock::new();
    use Algorithm::{ES256, ES384, ES512, EdDSA, HS256, HS384, HS512, RS256, RS384, RS512};
    SIGNERS.get_or_init(|| {
        let all = [HS256, HS384, HS512, RS256, RS384, RS512, ES256, ES384, ES512, EdDSA];
        all.into_iter().map(|algorithm| (algorithm, Signer::new(algorithm))).collect()
    })
}

/// A verifier with the secret of the tests.
pub(super) fn tokens() -> Tokens {
    Tokens::new(vec![Signer::Secret(SECRET).key()])
}

/// A token of that secret.
pub(super) fn hs256(claims: &Value) -> String {
    Signer::Secret(SECRET).token(Algorithm::HS256, None, claims)
}
