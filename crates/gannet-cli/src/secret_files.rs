//! Files with a secret: a password, a token, a key of the API.

use std::io::{self, ErrorKind};
use std::path::Path;

/// The largest one.
const LARGEST_BYTES: u64 = 64 << 10;

/// Reads one. Nothing of it is in an error.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    let bytes = gannet_tls::read_file(path, LARGEST_BYTES)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(ErrorKind::InvalidData, "it is not UTF-8"))
}
