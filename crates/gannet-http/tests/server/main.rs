//! The HTTP service in one program: over real sockets on every driver, and in the simulator.

mod broken_bodies;
mod calls;
mod composing;
mod connections;
mod deferred;
mod events;
mod fairness;
mod faults;
mod files;
#[cfg(feature = "gzip")]
mod gzip;
mod half_close;
mod interplay;
mod layers;
mod rate_limit;
mod receive;
#[path = "../rig/mod.rs"]
mod rig;
mod routing;
mod simulated;
mod spans;
mod streams;
mod typed;
mod uploads;
