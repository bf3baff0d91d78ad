//! Codecs that cut streams into messages, and the test of codecs, in one program.

mod length_prefixed;
mod lines;
mod multipart;
mod multiplexed;
mod proxy;
mod raw;
mod testing;
