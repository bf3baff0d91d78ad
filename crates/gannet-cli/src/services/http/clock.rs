//! `/sse/clock`: what time it is, once a second, as server-sent events.

use std::time::Duration;

use gannet_http::sse::Event;
use gannet_http::{Source, Stream};

/// Time between two events.
const TICK: Duration = Duration::from_secs(1);

/// Sends events called `tick`, numbered from 1.
pub(super) struct Clock {
    last: u64,
}

impl Clock {
    /// Goes on after the event with this id, where a client connects again.
    pub(super) fn after(id: Option<&str>) -> Self {
        Self { last: id.and_then(|id| id.parse().ok()).unwrap_or(0) }
    }
}

impl Source for Clock {
    fn pull(&mut self, out: &mut Stream<'_, '_>) {
        self.last = self.last.wrapping_add(1);
        let (id, date) = (self.last.to_string(), out.date().to_owned());
        let event = Event::new(&date).event("tick").id(&id);
        // A number has no NUL. Over the high mark it is called again when the client has read.
        let _ = out.event(&event);
        out.again_in(TICK);
    }
}
