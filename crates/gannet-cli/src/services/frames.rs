//! `frames`: a length of 4 bytes, the most significant first, and so many bytes, echoed as a frame. An empty frame is a
//! ping and is answered by one.

use gannet::proto::LengthPrefixed;
use gannet::{Context, Heartbeat, Service};

use super::{ServiceKind, brief_netcat, listen};
use crate::tls::Protocol;

pub(super) static KIND: ServiceKind = ServiceKind {
    name: "frames",
    about: "sends each frame of a 4-byte length back; an empty one is a ping (tcp, tls, unix)",
    defaults: &["tcp://127.0.0.1:7002"],
    streams: Some(|to, at, settings| {
        let max_frame = settings.max_frame;
        listen(to, at, settings, Protocol::Unnamed, move || Frames { max_frame })
    }),
    datagrams: None,
    // In hexadecimal, as the length does not show otherwise; that needs the connection to end.
    try_it: |address| format!(r"printf '\0\0\0\5hello' | {} | xxd", brief_netcat(address)),
    answer: "0000 0005 6865 6c6c 6f",
};

struct Frames {
    /// In bytes, the length not counted.
    max_frame: usize,
}

/// Pings of ours that were not answered yet.
#[derive(Default)]
struct Pings(u8);

impl Service for Frames {
    type Codec = LengthPrefixed;
    type Session = Pings;

    fn name(&self) -> &str {
        KIND.name
    }

    fn codec(&self) -> LengthPrefixed {
        LengthPrefixed::u32_be().limit(self.max_frame)
    }

    fn message(&mut self, pings: &mut Pings, frame: &[u8], cx: &mut Context<'_, Self>) {
        // Ping and answer look alike. What may be an answer is not answered, or two ends that both ask would answer
        // each other's answers for ever.
        if frame.is_empty() && pings.0 > 0 {
            pings.0 -= 1;
            return;
        }
        cx.send(&[frame]);
    }

    fn heartbeat(&mut self, pings: &mut Pings, cx: &mut Context<'_, Self>) -> Heartbeat {
        cx.send(&[]);
        pings.0 = pings.0.saturating_add(1);
        Heartbeat::Sent
    }
}
