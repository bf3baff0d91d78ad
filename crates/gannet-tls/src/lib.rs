//! TLS 1.2 and 1.3 (RFC 5246, RFC 8446) for the [Gannet](gannet) engine: [rustls] as a [filter](gannet::Filter).
//!
//! * [`TlsServer`] is for listeners: certificates by name (SNI), application protocols (ALPN), client certificates with
//!   revocation lists, resumption, and [reload](TlsServer::reload) of all that while connections live.
//! * [`TlsClient`] is for outbound connections.
//! * [`TlsInfo`] tells a service what was agreed and who the peer is.
//!
//! ```
//! # fn main() -> Result<(), gannet_tls::TlsError> {
//! # #[cfg(feature = "self-signed")] {
//! use gannet_tls::{TlsConfig, TlsServer, self_signed};
//!
//! let development = self_signed(&["localhost".into(), "127.0.0.1".into()])?;
//! let server = TlsServer::new(TlsConfig::new(development.identity).alpn(["http/1.1"]))?;
//! // `server` is a `gannet::FilterFactory` for a listener; a clone of it reloads.
//! # let _ = server; }
//! # Ok(()) }
//! ```
//!
//! # Limits
//!
//! | what | limit |
//! |---|---|
//! | a handshake message, with the records it comes in | 64 KiB, 96 KiB |
//! | sessions a server keeps for clients without tickets | [`TlsConfig::sessions`], 1024 |
//! | sessions a client keeps | [`TlsClientConfig::sessions`], 256 |
//! | lifetime of tickets | 12 hours, with keys that change every 6 |
//! | records that a connection of TLS 1.2 sends with AES-GCM | 2^24; then the connection ends, because TLS 1.2 cannot change keys as TLS 1.3 does |
//! | early data (RFC 8446 §2.3), renegotiation (RFC 5746), compression, versions before 1.2 | refused |
//!
//! The engine bounds the time of a handshake, as of everything else that a peer does slowly: see
//! [`Timeouts::handshake`](gannet::Timeouts) and [`Connect::timeout`](gannet::Connect::timeout).
//!
//! # Features
//!
//! * `self-signed`: `self_signed` makes a certificate for development.

#![forbid(unsafe_code)]

mod chain;
mod client;
mod config;
mod error;
mod failure;
mod files;
mod filter;
mod identity;
mod info;
mod material;
mod reading;
mod resolver;
#[cfg(feature = "self-signed")]
mod self_signed;
mod server;
mod validity;

use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;

pub use client::{TlsClient, TlsClientConfig};
pub use config::{ClientAuth, TlsConfig, TlsVersion};
pub use error::TlsError;
pub use failure::ConnectionError;
pub use files::{ClientAuthMode, LARGEST_FILE, TlsFiles};
pub use identity::Identity;
pub use info::TlsInfo;
pub use reading::read_file;
#[cfg(feature = "self-signed")]
pub use self_signed::{SelfSigned, self_signed};
pub use server::TlsServer;

/// The cryptography: AWS-LC.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())).clone()
}
