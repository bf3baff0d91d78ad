//! What is known of one connection.

use gannet::proto::resp::Version;

/// See the module.
#[derive(Debug, Default)]
pub struct Session {
    /// The protocol that it asked for with HELLO.
    pub(crate) version: Version,
    /// The database it has selected.
    pub(crate) db: u8,
}
