//! The push gateway: clients connect and stay, applications publish to channels, all subscribers receive at once.
#![forbid(unsafe_code)]

mod outgoing;
mod secret;
#[cfg(test)]
mod test_server;

pub mod application;
pub mod origin;
pub mod permissions;
pub mod settings;
pub mod token;

pub use outgoing::{Endpoint, Outgoing, OutgoingError, Response, Trust};
pub use secret::Secret;
