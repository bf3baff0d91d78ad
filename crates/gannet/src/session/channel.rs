//! Bounded channels: to a session from other sessions of its reactor, and from other threads.

mod local;
mod remote;
mod state;

pub use self::local::{Receiver, Recv, Send, Sender, channel};
pub use self::remote::{RemoteSend, RemoteSender};
pub use self::state::{ChannelError, NotSent};
