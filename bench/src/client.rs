//! The client: one thread, its own bare epoll loop, every byte verified.

pub mod broadcast;
pub mod closed_loop;
pub mod commands;
pub mod http;
pub mod idle;
pub mod publish;
pub mod taped;
pub mod websocket;
