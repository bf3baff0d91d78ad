//! A client simulator for servers of long-lived connections, on the engine: each client is a session on a reactor.
//!
//! It holds as many connections as the machine has ports and memory for. It sends as fast as answers come (a closed
//! loop), or by a schedule that does not depend on the answers (an open loop). It compares answers with the expected
//! ones to the byte; of HTTP answers it checks the status. It also judges itself: a run in which the simulator was
//! the limit is reported as not valid.
//!
//! [`config::Config`] describes a run, [`run::run`] runs it, and [`results::Results`] holds its results. [`report`]
//! writes them as text, JSON, CSV and HTML.
#![forbid(unsafe_code)]

pub mod client;
pub mod config;
mod deliveries;
pub mod draw;
pub mod expect;
mod figures;
mod histograms;
mod judge;
pub mod letters;
pub mod login;
pub mod plan;
pub mod push;
pub mod record;
pub mod report;
pub mod results;
pub mod run;
pub mod scenario;
pub mod sources;
mod tls;
pub mod units;
mod usage;
