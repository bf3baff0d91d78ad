//! The push gateway: clients connect and stay, applications publish to channels, all subscribers receive at once.
#![forbid(unsafe_code)]

mod admin;
mod api;
mod askers;
mod audit;
mod bridge;
mod call_span;
mod clock;
mod gateway;
mod host;
mod hub;
mod live;
mod metrics;
mod operators;
mod outgoing;
mod page;
mod pump;
mod random;
mod routes;
mod rules;
mod secret;
mod session;
mod spans;
#[cfg(test)]
mod test_server;
mod transport;
mod wire;

pub mod application;
pub mod origin;
pub mod permissions;
pub mod settings;
pub mod token;

pub use api::METHODS;
pub use audit::{Audited, Credential};
pub use bridge::BridgeError;
pub use gateway::{Gateway, GatewayError};
pub use live::{Prepared, SettingsInForce};
pub use outgoing::{Endpoint, Outgoing, OutgoingError, Response, Trust};
pub use secret::Secret;
pub use transport::device::Devices;
