//! Gives requests identifiers.

use crate::cx::Cx;
use crate::identifiers::{mix, seed};
use crate::layer::Layer;

/// The field that has it, in requests and responses.
const FIELD: &str = "X-Request-Id";

/// A longer name that a client gives is not taken over, in bytes.
const LONGEST: usize = 64;

/// Gives each request an identifier: [`Cx::request_id`], and the field `X-Request-Id` of the response.
///
/// An identifier in that field of the request is kept, if it has up to 64 letters, digits, `-`, `_` and `.`. Otherwise it is
/// 16 hexadecimal digits that differ from those of all other requests of this process. It is not secret.
#[derive(Clone, Debug)]
pub struct RequestId {
    seed: u64,
}

impl RequestId {
    /// Makes the layer. Its identifiers very likely differ from those of other processes.
    #[must_use]
    pub fn new() -> Self {
        Self { seed: seed() }
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

impl Layer for RequestId {
    #[inline]
    fn call(&self, cx: &mut Cx<'_>, next: impl Fn(&mut Cx<'_>)) {
        let given = cx.request_header(FIELD).filter(|given| is_name(given));
        let id = &mut cx.draft.request_id;
        id.clear();
        match given.and_then(|given| std::str::from_utf8(given).ok()) {
            Some(given) => id.push_str(given),
            None => {
                let number = mix(self.seed ^ (cx.engine.reactor() as u64) << 48 ^ cx.serial);
                // A string takes everything.
                let _ = std::fmt::Write::write_fmt(id, format_args!("{number:016x}"));
            }
        }
        next(cx);
        let draft = &mut *cx.draft;
        if let Err(error) = draft.headers.set(FIELD, draft.request_id.as_bytes()) {
            draft.fault = Some(error);
        }
    }
}

fn is_name(bytes: &[u8]) -> bool {
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=LONGEST).contains(&bytes.len()) && bytes.iter().all(known)
}
