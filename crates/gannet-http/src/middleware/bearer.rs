//! Requires a token.

use std::sync::Arc;

use crate::cx::Cx;
use crate::layer::Layer;

/// Requires `Authorization: Bearer` with the right token (RFC 6750 §2.1). Other requests get a 401, before they send a body.
///
/// The time of the comparison reveals nothing about the token but its length. Without TLS, the token is sent in plain text.
#[derive(Clone)]
pub struct Bearer {
    token: Arc<[u8]>,
}

impl Bearer {
    /// Requires this token. With an empty one, all requests are refused.
    #[must_use]
    pub fn new(token: impl AsRef<[u8]>) -> Self {
        Self { token: token.as_ref().into() }
    }

    fn is_shown(&self, value: &[u8]) -> bool {
        let Some((scheme, token)) = value.split_at_checked(7) else { return false };
        let same = token.len() == self.token.len()
            && token.iter().zip(&*self.token).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0;
        same && !token.is_empty() && scheme.eq_ignore_ascii_case(b"bearer ")
    }
}

impl Layer for Bearer {
    #[inline]
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        if self.admit(cx) {
            next(cx);
        }
    }

    #[inline]
    fn admit(&self, cx: &mut Cx<'_>) -> bool {
        let admitted = cx.request_header("authorization").is_some_and(|value| self.is_shown(value));
        if !admitted {
            cx.refuse(401, "unauthorized\n");
            cx.header("WWW-Authenticate", "Bearer");
        }
        admitted
    }
}

/// Without the token.
impl std::fmt::Debug for Bearer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bearer").finish_non_exhaustive()
    }
}
