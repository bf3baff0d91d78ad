//! Demands the token of the admin socket, which a reload may replace.

use std::sync::{Arc, PoisonError, RwLock};

use gannet_http::middleware::Bearer;
use gannet_http::{Cx, Layer};

use super::options::Token;

/// Requires the token that is in force, if there is one.
#[derive(Clone, Debug)]
pub(super) struct CurrentBearer(Arc<RwLock<Option<Bearer>>>);

impl CurrentBearer {
    pub(super) fn new(token: Option<&Token>) -> Self {
        let bearer = Self(Arc::default());
        bearer.set(token);
        bearer
    }

    /// Requires another one from now on, or none.
    pub(super) fn set(&self, token: Option<&Token>) {
        let bearer = token.map(|token| Bearer::new(token.reveal()));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = bearer;
    }

    fn current(&self) -> Option<Bearer> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Layer for CurrentBearer {
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        match self.current() {
            Some(bearer) => bearer.call(cx, next),
            None => next(cx),
        }
    }

    fn admit(&self, cx: &mut Cx<'_>) -> bool {
        self.current().is_none_or(|bearer| bearer.admit(cx))
    }
}
