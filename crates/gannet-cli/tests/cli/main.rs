//! The `gannet` binary as its users meet it: real processes, real sockets, both drivers.

mod admin;
mod admin_crowd;
mod audit;
mod configuration;
mod connections;
#[cfg(target_os = "linux")]
mod crowd;
mod doctor;
mod documents;
#[cfg(target_os = "linux")]
mod drain;
mod exposition;
#[cfg(target_os = "linux")]
mod fairness;
mod http;
mod idle;
mod invocation;
mod limits;
mod listeners;
mod live;
mod load;
mod load_balancers;
mod load_tls;
mod load_verdicts;
mod logs;
#[cfg(all(feature = "jemalloc", target_os = "linux"))]
mod memory;
mod metrics;
mod operations;
mod probe;
mod push_commands;
mod push_redis;
mod redis;
mod reload;
mod reload_listeners;
mod reload_load;
mod server;
mod services;
mod shell;
mod shutdown;
mod stopped;
mod surroundings;
#[cfg(target_os = "linux")]
mod systemd;
mod tls;
mod tls_pipes;
mod traces;
mod unix_sockets;
#[cfg(target_os = "linux")]
mod upgrade;
#[cfg(target_os = "linux")]
mod upgrade_failures;
#[cfg(target_os = "linux")]
mod upgrade_steps;
