//! TLS in one program: two filters in memory, files, and half-closes and sessions over real sockets.

mod certificates;
mod files;
mod half_close;
mod handshake;
mod reload;
#[path = "../rig/mod.rs"]
mod rig;
mod sessions;
mod streams;
