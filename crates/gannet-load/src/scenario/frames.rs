//! Frames with a 4-byte length, echoed. An empty frame is the server's ping, and is answered by one.

use gannet::proto::LengthPrefixed;
use gannet::{Context, Service};

use super::{Aside, Expected, Scenario, Wrong};

/// Against the service `frames`.
#[derive(Clone, Debug)]
pub struct Frames {
    /// Bytes of the longest payload, of a request or a login.
    pub size: usize,
}

impl Scenario for Frames {
    type Codec = LengthPrefixed;
    type Progress = ();

    fn codec(&self) -> LengthPrefixed {
        LengthPrefixed::u32_be().limit(self.size)
    }

    fn request<S: Service<Codec = LengthPrefixed>>(&self, payload: &[u8], cx: &mut Context<'_, S>) {
        cx.send(&[payload]);
    }

    fn aside<S: Service<Codec = LengthPrefixed>>(
        &self,
        frame: &&[u8],
        _: u32,
        cx: &mut Context<'_, S>,
    ) -> Option<Aside> {
        frame.is_empty().then(|| {
            cx.send(&[b""]);
            Aside::Handled
        })
    }

    fn answer(&self, (): &mut (), frame: &[u8], expected: Expected<'_>) -> Result<u64, Wrong> {
        if expected.payload(0) == Some(frame) { Ok(1) } else { Err(Wrong) }
    }

    fn login_answer(&self, (): &mut (), frame: &[u8], login: &[u8]) -> Result<bool, Wrong> {
        if frame == login { Ok(true) } else { Err(Wrong) }
    }
}
