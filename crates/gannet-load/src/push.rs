//! Clients and publishers of a Centrifuge-protocol server. Each client connects over WebSocket, subscribes to its channels,
//! and checks that every publication comes once and in order, also over the ends of connections.

mod client;
mod plan;
mod positions;
mod publisher;
mod session;
mod subscriber;

pub use self::client::Client;
pub use self::plan::Plan;
pub use self::session::Session;
