//! A few established TLS connections that each echo a small message at fixed times, to learn how long they wait.

use std::io;
use std::time::{Duration, Instant};

use gannet_tls::TlsClient;
use hdrhistogram::Histogram;

use super::stream::{Received, Scratch, Stream, Tls};
use super::taped::wrong;

/// Bytes of a message.
const MESSAGE: [u8; 64] = [b'p'; 64];

struct Probe {
    stream: Stream,
    /// When the next message is to be sent.
    due: Instant,
    /// Since when an answer is awaited, and how many bytes of it.
    awaited: Option<(Instant, usize)>,
}

/// Connections that are looked at whenever their owner has time.
pub struct Probes {
    probes: Vec<Probe>,
    every: Duration,
    scratch: Scratch,
    /// From a message to its echo, in nanoseconds.
    round_trips: Histogram<u64>,
}

impl Probes {
    /// Opens so many, each of which sends a message so often.
    pub fn open(port: u16, client: &TlsClient, count: usize, every: Duration) -> io::Result<Self> {
        let mut scratch = Scratch::default();
        let now = Instant::now();
        let probes = (0..count).map(|index| {
            let stream = Stream::Tls(Box::new(Tls::open(port, client, &mut scratch)?));
            // Spread over the time between two messages.
            Ok(Probe { stream, due: now + every * index as u32 / count as u32, awaited: None })
        });
        let probes = probes.collect::<io::Result<_>>()?;
        Ok(Self { probes, every, scratch, round_trips: Histogram::new(3).map_err(io::Error::other)? })
    }

    /// Forgets the round trips so far, and returns them.
    pub fn take(&mut self) -> io::Result<Histogram<u64>> {
        let empty = Histogram::new(3).map_err(io::Error::other)?;
        Ok(std::mem::replace(&mut self.round_trips, empty))
    }

    /// Receives what has come and sends what is due.
    pub fn look(&mut self) -> io::Result<()> {
        for probe in &mut self.probes {
            if let Some((since, bytes)) = probe.awaited {
                let Some(Received { plain, .. }) = probe.stream.receive(&mut self.scratch)? else { continue };
                if plain.len() > bytes || plain.iter().any(|byte| *byte != MESSAGE[0]) {
                    return Err(wrong(plain));
                }
                let bytes = bytes - plain.len();
                probe.awaited = Some((since, bytes));
                if bytes > 0 {
                    continue;
                }
                let waited = since.elapsed().as_nanos() as u64;
                self.round_trips.record(waited).map_err(io::Error::other)?;
                probe.awaited = None;
                if probe.due < Instant::now() {
                    // It should have been sent while the one before was awaited: its wait began then.
                    probe.send(probe.due, self.every, &mut self.scratch)?;
                }
            } else if probe.due <= Instant::now() {
                // That this side came late to it is not the server's doing.
                probe.send(Instant::now(), self.every, &mut self.scratch)?;
            }
        }
        Ok(())
    }
}

impl Probe {
    fn send(&mut self, since: Instant, every: Duration, scratch: &mut Scratch) -> io::Result<()> {
        self.stream.send(&MESSAGE, MESSAGE.len(), scratch)?;
        self.due += every;
        self.awaited = Some((since, MESSAGE.len()));
        Ok(())
    }
}
