//! Lines: each is answered with `echo: ` and the line.

use gannet::proto;
use gannet::{Context, Service};

use super::{Expected, Scenario, Wrong};

/// Against the service `lines`.
#[derive(Clone, Debug)]
pub struct Lines {
    /// Bytes of the longest payload, of a request or a login.
    pub size: usize,
}

const PREFIX: &[u8] = b"echo: ";

impl Scenario for Lines {
    type Codec = proto::Lines;
    type Progress = ();

    fn codec(&self) -> proto::Lines {
        proto::Lines::new().limit(self.size + PREFIX.len())
    }

    fn request<S: Service<Codec = proto::Lines>>(&self, payload: &[u8], cx: &mut Context<'_, S>) {
        cx.send(&[payload]);
    }

    fn answer(&self, (): &mut (), line: &[u8], expected: Expected<'_>) -> Result<u64, Wrong> {
        let payload = expected.payload(0).ok_or(Wrong)?;
        if line.strip_prefix(PREFIX) == Some(payload) { Ok(1) } else { Err(Wrong) }
    }

    fn login_answer(&self, (): &mut (), line: &[u8], login: &[u8]) -> Result<bool, Wrong> {
        if line.strip_prefix(PREFIX) == Some(login) { Ok(true) } else { Err(Wrong) }
    }
}
