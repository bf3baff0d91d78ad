//! What is the same for all conversations of a service, and what they share.

use std::time::Duration;

use gannet::Timeouts;
#[cfg(feature = "deflate")]
use gannet::proto::ws::deflate::{Deflater, Params};

use crate::service::HttpService;

/// How long a client may take to answer a close frame, unless [`HttpService::websocket_close_timeout`] says otherwise.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Of 0 to 9: little work, since the reactor serves nobody else meanwhile, for most of what there is to gain.
#[cfg(feature = "deflate")]
const LEVEL: u32 = 1;

#[derive(Debug)]
pub(crate) struct Settings {
    pub(super) close_timeout: Duration,
    heartbeat: Option<(Option<Duration>, u8)>,
    #[cfg(feature = "deflate")]
    deflaters: Deflaters,
}

impl Settings {
    pub(crate) fn new() -> Self {
        Self {
            close_timeout: CLOSE_TIMEOUT,
            heartbeat: None,
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
    pub(super) fn deflater(&mut self, bits: u8) -> Option<&mut Deflater> {
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

/// WebSocket.
impl HttpService {
    /// Sets the largest frame and the largest message, unpacked, that a WebSocket client may send, in bytes (default 1
    /// MiB each). Over them it is told 1009, and the connection ends. A frame over [`Limits::carry`](gannet::Limits) is
    /// too large in any case.
    #[must_use]
    pub fn websocket_limits(mut self, frame: usize, message: usize) -> Self {
        self.codec.websocket = self.codec.websocket.max_frame(frame).max_message(message);
        self
    }

    /// Sets the silence of a WebSocket client after which it is sent a ping, and how many of them may go unanswered, in
    /// place of the engine's [`Timeouts::heartbeat`] (default 30 s) and [`Timeouts::heartbeats_missed`] (default 2).
    /// `None` is no heartbeat.
    #[must_use]
    pub fn websocket_heartbeat(mut self, silence: Option<Duration>, missed: u8) -> Self {
        self.websocket.heartbeat = Some((silence, missed));
        self
    }

    /// Sets how long a WebSocket client may take to answer a close frame before the connection ends without that
    /// (default [`CLOSE_TIMEOUT`], 5 s).
    #[must_use]
    pub fn websocket_close_timeout(mut self, time: Duration) -> Self {
        self.websocket.close_timeout = time;
        self
    }
}
