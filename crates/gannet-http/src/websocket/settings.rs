//! Settings of all conversations of a service, and the compressors that they share.

use std::time::Duration;

use gannet::Timeouts;
use gannet::proto::ws::CloseCode;
#[cfg(feature = "deflate")]
use gannet::proto::ws::deflate::{Deflater, Params};

/// The default time that a client may take to answer a close frame: 5 s.
/// [`HttpService::websocket_close_timeout`](crate::HttpService::websocket_close_timeout) sets another one.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Of 0 to 9: little work, since the reactor serves nobody else meanwhile, for most of what there is to gain.
#[cfg(feature = "deflate")]
const LEVEL: u32 = 1;

/// The most that a client gets to answer a close frame while the server shuts down: enough for a round trip.
const DRAIN_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) close_timeout: Duration,
    pub(crate) heartbeat: Option<(Option<Duration>, u8)>,
    /// What clients are told when the server shuts down.
    pub(crate) shutdown_code: CloseCode,
    #[cfg(feature = "deflate")]
    deflaters: Deflaters,
}

impl Settings {
    /// Returns how long a client may take to answer a close frame now.
    pub(crate) fn close_timeout(&self, is_draining: bool) -> Duration {
        if is_draining { self.close_timeout.min(DRAIN_CLOSE_TIMEOUT) } else { self.close_timeout }
    }

    pub(crate) fn new() -> Self {
        Self {
            close_timeout: CLOSE_TIMEOUT,
            heartbeat: None,
            shutdown_code: CloseCode::RESTART,
            #[cfg(feature = "deflate")]
            deflaters: Deflaters::default(),
        }
    }

    /// Puts the heartbeat into the deadlines of a service.
    pub(crate) fn apply(&self, timeouts: &mut Timeouts) {
        if let Some((silence, missed)) = self.heartbeat {
            (timeouts.heartbeat, timeouts.heartbeats_missed) = (silence, missed);
        }
    }

    /// Packs what is sent with a window of 2^`bits` bytes.
    #[cfg(feature = "deflate")]
    pub(crate) fn deflater(&mut self, bits: u8) -> Option<&mut Deflater> {
        let place = self.deflaters.0.get_mut(usize::from(bits.checked_sub(SMALLEST_WINDOW_BITS)?))?;
        Some(place.get_or_insert_with(|| {
            Box::new(Params::without_takeover().server_max_window_bits(bits).server_deflater(LEVEL))
        }))
    }
}

/// A compressor for each size of window, made when it is first needed. They begin each message anew, which is allowed
/// whatever was agreed on, and so serve every connection. It is also what lets messages be dropped from an outbox.
#[cfg(feature = "deflate")]
#[derive(Debug, Default)]
struct Deflaters([Option<Box<Deflater>>; 7]);

#[cfg(feature = "deflate")]
const SMALLEST_WINDOW_BITS: u8 = 9;
