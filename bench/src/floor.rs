//! Bare loops with no framework at all: what the kernel costs, and so the least a server can cost.

pub mod broadcast;
pub mod broadcast_uring;
pub mod epoll;
pub mod many_sends;
pub mod uring;
