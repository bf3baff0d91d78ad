//! Compression of messages: permessage-deflate (RFC 7692). With the feature `deflate` only.
//!
//! [`Params`] are what both sides agree on in the handshake. What a peer sends is unpacked by the codec, whose state
//! was made with [`WebSocket::compressed_state`](super::WebSocket::compressed_state); what is sent is packed by a
//! [`Deflater`]. A message that is unpacked gets memory of its own, no more than the limit of a message.

mod deflater;
mod inflater;
mod params;

pub use deflater::Deflater;
pub(super) use inflater::Inflater;
pub use params::Params;
