//! Where the gateway reads the time of day: at the start, once a second on each reactor, and for each publication of a
//! Redis client.

use std::time::{SystemTime, UNIX_EPOCH};

use gannet_channels::Time;

/// Returns the time of day.
#[expect(clippy::disallowed_methods, reason = "everything else has the time from here")]
pub(crate) fn time_of_day() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
