//! The client: one thread, its own bare epoll loop, every byte verified.

pub mod broadcast;
pub mod closed_loop;
pub mod commands;
pub mod handshakes;
pub mod http;
pub mod idle;
pub mod probes;
pub mod publish;
pub mod stream;
pub mod taped;
pub mod websocket;
