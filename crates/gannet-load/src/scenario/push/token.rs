//! Tokens of clients: JSON Web Tokens (RFC 7519) signed with HS256 (RFC 7518 §3.2).

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The header of every token.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// Signs tokens. It is shown nowhere, in logs neither.
#[derive(Clone)]
pub struct Secret(hmac::Key);

impl Secret {
    /// Makes the secret of these bytes.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// Returns a token for a user, without an end.
    #[must_use]
    pub fn token(&self, user: &str) -> String {
        let claims = serde_json::json!({ "sub": user }).to_string();
        let mut token = URL_SAFE_NO_PAD.encode(HEADER);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = hmac::sign(&self.0, token.as_bytes());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        token
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Two secrets are the same if they sign alike.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        hmac::sign(&self.0, b"").as_ref() == hmac::sign(&other.0, b"").as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compared with what `openssl dgst -sha256 -hmac secret` says of the first two parts.
    #[test]
    fn a_token_names_its_user_and_is_signed_with_the_secret() {
        let token = Secret::new(b"secret").token("client-7");
        assert_eq!(
            token,
            "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJjbGllbnQtNyJ9.CUI4ttUgPbxdU9iC-Uh0h-ZX_fsE_zk7MHVxrBByDXY"
        );
        assert_ne!(token, Secret::new(b"Secret").token("client-7"));
        assert_eq!(format!("{:?}", Secret::new(b"secret")), "Secret(…)");
    }
}
