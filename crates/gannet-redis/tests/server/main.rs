//! The store as a service in one program: over real sockets on every driver, and in the simulator.

mod channels;
mod connections;
mod fairness;
mod pubsub;
#[path = "../rig/mod.rs"]
mod rig;
mod simulated;
mod simulated_replies;
mod transactions;
