//! Compression of one message by itself, with a compressor that is made once and used again.

use std::io;

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};
use serde::{Deserialize, Serialize};

use super::message::Message;

/// The level of zstd, which is its default.
const ZSTD_LEVEL: i32 = 3;
/// Bytes of messages that a dictionary is made of.
const DICTIONARY_BYTES: usize = 8 * 1024;
/// More than a message takes that does not get smaller.
const ROOM: usize = 4 * 1024;

/// How a message is made smaller.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), level 6, by flate2 with zlib-rs.
    Gzip,
    /// zstd (RFC 8878), level 3.
    Zstd,
    /// zstd, level 3, with a dictionary that was made of other messages and that both sides have.
    ZstdDictionary,
}

impl Compression {
    /// All, with the end of their names.
    pub const ALL: [(&str, Self); 4] = [
        ("", Self::None),
        (", gzip", Self::Gzip),
        (", zstd", Self::Zstd),
        (", zstd with a dictionary", Self::ZstdDictionary),
    ];

    /// Makes both directions. A dictionary is made of the messages turned around, so that none of it is measured as it is.
    pub fn codec(self, encode: impl Fn(&Message) -> io::Result<Vec<u8>>, messages: &[Message]) -> io::Result<Codec> {
        Ok(match self {
            Self::None => Codec::None,
            Self::Gzip => {
                /// The largest window of deflate, in powers of two.
                const WINDOW_BITS: u8 = 15;
                let compress = Compress::new_gzip(flate2::Compression::default(), WINDOW_BITS);
                Codec::Gzip(Box::new((compress, Decompress::new_gzip(WINDOW_BITS))))
            }
            Self::Zstd => Codec::zstd(&[])?,
            Self::ZstdDictionary => {
                let mut dictionary = Vec::new();
                for message in messages {
                    if dictionary.len() >= DICTIONARY_BYTES {
                        break;
                    }
                    dictionary.extend(encode(&another(message))?);
                }
                Codec::zstd(&dictionary)?
            }
        })
    }
}

/// A message like this one, with other numbers and its words in another order.
fn another(message: &Message) -> Message {
    let mut words: Vec<&str> = message.text.split(' ').collect();
    words.reverse();
    Message {
        id: message.id - 100_000,
        text: words.join(" "),
        sent_at_ms: message.sent_at_ms - 86_400_000,
        reply_to: message.reply_to.map(|id| id - 100_000),
        client_token: message.client_token.chars().rev().collect(),
        ..message.clone()
    }
}

/// A compressor and a decompressor.
pub enum Codec {
    /// Copies.
    None,
    /// Of gzip.
    Gzip(Box<(Compress, Decompress)>),
    /// Of zstd.
    Zstd(Box<(zstd::bulk::Compressor<'static>, zstd::bulk::Decompressor<'static>)>),
}

impl Codec {
    fn zstd(dictionary: &[u8]) -> io::Result<Self> {
        let compressor = zstd::bulk::Compressor::with_dictionary(ZSTD_LEVEL, dictionary)?;
        Ok(Self::Zstd(Box::new((compressor, zstd::bulk::Decompressor::with_dictionary(dictionary)?))))
    }

    /// Replaces what is in `out` by the compressed bytes.
    pub fn compress(&mut self, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        out.reserve(plain.len() + ROOM);
        match self {
            Self::None => out.extend_from_slice(plain),
            Self::Gzip(codec) => {
                codec.0.reset();
                let status = codec.0.compress_vec(plain, out, FlushCompress::Finish)?;
                whole(status)?;
            }
            Self::Zstd(codec) => {
                codec.0.compress_to_buffer(plain, out)?;
            }
        }
        Ok(())
    }

    /// Replaces what is in `out` by the plain bytes, of which there are so many.
    pub fn decompress(&mut self, compressed: &[u8], len: usize, out: &mut Vec<u8>) -> io::Result<()> {
        out.clear();
        out.reserve(len);
        match self {
            Self::None => out.extend_from_slice(compressed),
            Self::Gzip(codec) => {
                // It stays one of gzip.
                codec.1.reset(true);
                let status = codec.1.decompress_vec(compressed, out, FlushDecompress::Finish)?;
                whole(status)?;
            }
            Self::Zstd(codec) => {
                codec.1.decompress_to_buffer(compressed, out)?;
            }
        }
        Ok(())
    }
}

fn whole(status: Status) -> io::Result<()> {
    if status != Status::StreamEnd {
        return Err(io::Error::other(format!("a message was not compressed or decompressed whole: {status:?}")));
    }
    Ok(())
}
