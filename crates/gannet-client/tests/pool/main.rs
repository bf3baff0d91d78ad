//! Pools against servers on real sockets, on each driver of this machine.

mod callbacks;
mod faults;
mod http;
mod real;
mod server;
mod threads;
mod tls;
