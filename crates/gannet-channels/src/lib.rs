//! The channel space: channels with subscribers, history, recovery and presence.
//!
//! No protocol, no I/O and no clock: time and randomness are arguments.
#![forbid(unsafe_code)]
