//! Connection pools on the Gannet engine.
mod backoff;
mod breaker;
mod budget;
mod counters;
mod error;
mod pool;
mod random;
mod settings;

pub use counters::PoolStats;
pub use error::{CallError, Error, Loss};
pub use settings::Settings;
