//! `formats`: one chat message as JSON, MessagePack and Protocol Buffers; plain, by gzip, and by zstd: bytes and CPU time.

mod compression;
mod message;

use std::hint::black_box;
use std::io;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::clock;
use super::table::{Column, Comparison, Measured, Table};
use super::task;
use crate::run::plan::Plan;
use compression::Compression;
use message::{Message, messages};

/// How a message is written down.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Format {
    /// By `serde_json`.
    Json,
    /// By `rmp-serde`, with the names of the fields, as clients in other languages want it.
    MessagePack,
    /// By `prost`.
    Protobuf,
}

const FORMATS: [(&str, Format); 3] =
    [("JSON", Format::Json), ("MessagePack", Format::MessagePack), ("Protocol Buffers", Format::Protobuf)];

const COLUMNS: &[Column] = &[
    Column::new("bytes", "bytes", 1),
    Column::new("encode_ns", "encode ns", 0),
    Column::new("compress_ns", "compress ns", 0),
    Column::new("decompress_ns", "decompress ns", 0),
    Column::new("decode_ns", "decode ns", 0),
    Column::new("cpu_ns", "all ns", 0),
];
/// The place of the sum among them.
const CPU_NS: usize = 5;

/// Describes the measurement of one process.
#[derive(Serialize, Deserialize)]
pub struct Task {
    format: Format,
    compression: Compression,
    times: super::workers::Times,
}

/// Measures each format with each compression.
pub fn measure(plan: &Plan) -> io::Result<Vec<Table>> {
    let times = task::times(plan)?;
    let title = "A chat message of 11 fields, written and read".to_owned();
    let comparison = Comparison { plan, title, columns: COLUMNS, compared: CPU_NS, against: "JSON" };
    let variants = FORMATS.into_iter().flat_map(|(name, format)| {
        Compression::ALL.map(|(suffix, compression)| (format!("{name}{suffix}"), (format, compression)))
    });
    let table = comparison.of(variants, |&(format, compression)| {
        let task = task::Task::Format(Task { format, compression, times });
        Ok(Measured::Figures(task::ask(&task, &[plan.setup.server_cpu])?))
    });
    Ok(vec![table?])
}

/// Measures one in this process. Fails unless each message comes back as it was.
pub fn perform(task: &Task) -> io::Result<Vec<f64>> {
    let Task { format, compression, times } = task;
    let messages = messages();
    let mut codec = compression.codec(|message| format.encoded(message), &messages)?;
    let plain: Vec<Vec<u8>> = messages.iter().map(|message| format.encoded(message)).collect::<io::Result<_>>()?;
    let mut packed = Vec::new();
    for (message, plain) in messages.iter().zip(&plain) {
        let mut compressed = Vec::new();
        codec.compress(plain, &mut compressed)?;
        let mut back = Vec::new();
        codec.decompress(&compressed, plain.len(), &mut back)?;
        if format.decode(&back)? != *message {
            return Err(io::Error::other(format!("{message:?} did not come back")));
        }
        packed.push(compressed);
    }
    let bytes: usize = packed.iter().map(Vec::len).sum();

    let mut out = Vec::new();
    let each = messages.len();
    let encode = cost(*times, each, |index| {
        out.clear();
        format.encode(&messages[index], &mut out)?;
        black_box(&out);
        Ok(())
    })?;
    let decode = cost(*times, each, |index| {
        black_box(format.decode(&plain[index])?);
        Ok(())
    })?;
    let (mut compress, mut decompress) = (0.0, 0.0);
    if *compression != Compression::None {
        compress = cost(*times, each, |index| {
            codec.compress(&plain[index], &mut out)?;
            black_box(&out);
            Ok(())
        })?;
        decompress = cost(*times, each, |index| {
            codec.decompress(&packed[index], plain[index].len(), &mut out)?;
            black_box(&out);
            Ok(())
        })?;
    }
    let sum = encode + compress + decompress + decode;
    Ok(vec![bytes as f64 / each as f64, encode, compress, decompress, decode, sum])
}

/// CPU time of this thread in nanoseconds for one call of `work`, which gets the number of each message in turn.
///
/// A quarter of the times is for each step, so that a row takes as long as those of other tables.
fn cost(
    times: super::workers::Times,
    messages: usize,
    mut work: impl FnMut(usize) -> io::Result<()>,
) -> io::Result<f64> {
    let mut run_for = |time: Duration| -> io::Result<f64> {
        let (started, cpu) = (Instant::now(), clock::thread_cpu()?);
        let mut rounds = 0;
        loop {
            (0..messages).try_for_each(&mut work)?;
            rounds += 1;
            if started.elapsed() >= time {
                break;
            }
        }
        Ok((clock::thread_cpu()? - cpu).as_nanos() as f64 / (rounds * messages) as f64)
    };
    run_for(times.warm_up / 4)?;
    run_for(times.measured / 4)
}

impl Format {
    fn encode(self, message: &Message, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Json => serde_json::to_writer(out, message).map_err(io::Error::other),
            Self::MessagePack => rmp_serde::encode::write_named(out, message).map_err(io::Error::other),
            Self::Protobuf => prost::Message::encode(message, out).map_err(io::Error::other),
        }
    }

    fn encoded(self, message: &Message) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        self.encode(message, &mut out)?;
        Ok(out)
    }

    fn decode(self, bytes: &[u8]) -> io::Result<Message> {
        match self {
            Self::Json => serde_json::from_slice(bytes).map_err(io::Error::other),
            Self::MessagePack => rmp_serde::from_slice(bytes).map_err(io::Error::other),
            Self::Protobuf => prost::Message::decode(bytes).map_err(io::Error::other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_in_every_format_and_by_every_compression() {
        let times = super::super::workers::Times { warm_up: Duration::ZERO, measured: Duration::from_millis(4) };
        let mut sizes = Vec::new();
        for (_, format) in FORMATS {
            for (_, compression) in Compression::ALL {
                let figures = perform(&Task { format, compression, times }).expect("the same message");
                assert_eq!(figures.len(), COLUMNS.len());
                sizes.push(figures[0]);
            }
        }
        let [json, gzip, zstd, dictionary] = sizes[..4] else { panic!("four rows of JSON") };
        assert!(gzip < json && zstd < json && dictionary < gzip.min(zstd), "{sizes:?}");
        // Names of fields are left out.
        assert!(sizes[8] < json, "{sizes:?}");
    }
}
