//! What the examples share: the driver that a program is told to use, and a certificate made on the spot.
//!
//! Each example is a program of its own in `src/bin`.

use std::sync::Arc;

use gannet::{DriverChoice, Engine};
use gannet_tls::{TlsConfig, TlsServer, self_signed};

/// Makes an engine with the driver that `GANNET_DRIVER` names: `uring`, `poll`, or the best one if it is not set.
pub fn engine() -> Engine {
    let engine = Engine::new().reactors(1);
    match std::env::var("GANNET_DRIVER").as_deref() {
        Ok("uring") => engine.driver(DriverChoice::Uring),
        Ok("poll") => engine.driver(DriverChoice::Poll),
        _ => engine,
    }
}

/// Returns the address that the command line has at this place, or this one.
pub fn address(place: usize, default: &str) -> String {
    std::env::args().nth(place).unwrap_or_else(|| default.to_owned())
}

/// Makes TLS with a certificate of its own.
///
/// # Errors
///
/// The certificate could not be made.
pub fn tls() -> Result<Arc<TlsServer>, Box<dyn std::error::Error>> {
    let identity = self_signed(&["localhost".into(), "127.0.0.1".into()])?.identity;
    Ok(Arc::new(TlsServer::new(TlsConfig::new(identity))?))
}
