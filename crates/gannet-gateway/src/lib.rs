//! The push gateway: clients connect and stay, applications publish to channels, all subscribers receive at once.
#![forbid(unsafe_code)]
