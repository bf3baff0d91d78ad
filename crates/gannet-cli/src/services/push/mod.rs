//! The push gateway as a service.

#[cfg_attr(not(test), expect(dead_code, reason = "`serve` takes them over with the service"))]
mod options;

pub(crate) use self::options::{Secrets, secrets};
