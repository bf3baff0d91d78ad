//! Pools against servers on real sockets, on each driver of this machine.

mod callbacks;
mod faults;
mod http;
mod process;
mod real;
mod server;
mod sessions;
mod threads;
mod tls;
