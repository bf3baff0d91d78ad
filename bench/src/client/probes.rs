//! A few established TLS connections that each echo a small message at fixed times, to learn how long they wait.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use gannet_tls::TlsClient;
use hdrhistogram::Histogram;

use super::stream::{Received, Scratch, Stream, Tls};
use super::taped::wrong;
use crate::measure::histogram;

/// Bytes of a message.
const MESSAGE: [u8; 64] = [b'p'; 64];

struct Probe {
    stream: Stream,
    /// When the next message is to be sent, whether those before were answered or not.
    due: Instant,
    /// When the messages were sent that are not answered yet.
    sent: VecDeque<Instant>,
    /// Bytes of the answer to the first of them.
    received: usize,
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
            Ok(Probe { stream, due: now + every * index as u32 / count as u32, sent: VecDeque::new(), received: 0 })
        });
        let probes = probes.collect::<io::Result<_>>()?;
        Ok(Self { probes, every, scratch, round_trips: histogram()? })
    }

    /// Forgets the round trips so far, and returns them.
    pub fn take(&mut self) -> io::Result<Histogram<u64>> {
        let empty = histogram()?;
        Ok(std::mem::replace(&mut self.round_trips, empty))
    }

    /// Receives what has come and sends what is due.
    pub fn look(&mut self) -> io::Result<()> {
        for probe in &mut self.probes {
            if !probe.sent.is_empty()
                && let Some(Received { plain, .. }) = probe.stream.receive(&mut self.scratch)?
            {
                if plain.iter().any(|byte| *byte != MESSAGE[0]) {
                    return Err(wrong(plain));
                }
                probe.received += plain.len();
            }
            while probe.received >= MESSAGE.len() {
                let Some(sent) = probe.sent.pop_front() else { return Err(wrong(&MESSAGE)) };
                probe.received -= MESSAGE.len();
                self.round_trips.record(sent.elapsed().as_nanos() as u64).map_err(io::Error::other)?;
            }
            let now = Instant::now();
            if probe.due <= now {
                probe.stream.send(&MESSAGE, MESSAGE.len(), &mut self.scratch)?;
                probe.sent.push_back(now);
                // That this side came late is not the server's doing, and nothing to catch up with.
                probe.due = now.max(probe.due + self.every);
            }
        }
        Ok(())
    }
}
