//! Compression of messages: permessage-deflate (RFC 7692). With the feature `deflate` only.
//!
//! Both sides agree on [`Params`] in the handshake. The codec decompresses received messages, if the connection's
//! state was made with [`WebSocket::compressed_state`](super::WebSocket::compressed_state). A [`Deflater`] compresses
//! outgoing ones. A decompressed message gets memory of its own, bounded by the limit of a message.

mod deflater;
mod inflater;
mod params;

pub use deflater::Deflater;
pub(super) use inflater::Inflater;
pub use params::Params;
