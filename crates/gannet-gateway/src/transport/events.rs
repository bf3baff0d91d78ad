//! `/events?channel=…`: a channel for any `EventSource`. The id of an event is its position, and recovers.

use std::sync::Arc;

use gannet_http::Cx;
use gannet_proto::centrifuge::ConnectRequest;

use super::stream::{Feed, begins};
use crate::gateway::Gateway;
use crate::hub;
use crate::session::{Link, Place};
use crate::wire::Wire;

/// How long a client waits before it connects again.
const RETRY: &str = "retry: 2000\n";

/// Answers a request with the events of a channel.
pub(crate) fn open(cx: &mut Cx<'_>, gateway: &Arc<Gateway>) {
    // An EventSource that began anew by itself says it in a header, a program may say it in the query.
    let id = match cx.request_header("last-event-id") {
        Some(id) => Some(String::from_utf8_lossy(id).into_owned()),
        None => cx.query_value("last_event_id").map(std::borrow::Cow::into_owned),
    };
    let Ok(since) = id.as_deref().filter(|id| !id.is_empty()).map(position).transpose() else {
        return cx.refuse(400, "the last event's id is not one of this server: it is written EPOCH:OFFSET\n");
    };
    if !super::admit(cx, gateway) {
        return;
    }
    let Some(channel) = cx.query_value("channel").filter(|channel| !channel.is_empty()) else {
        return super::answer(cx, 400, "say which channel: /events?channel=NAME\n");
    };
    if !begins(cx) {
        return;
    }
    let bearer = cx.request_header("authorization").and_then(|value| value.strip_prefix(b"Bearer "));
    let token = match bearer {
        Some(token) => String::from_utf8_lossy(token),
        None => cx.query_value("token").unwrap_or_default(),
    };
    let request = ConnectRequest { token, ..ConnectRequest::default() };
    let place = Place { handle: cx.handle(), wire: Wire::EventSource };
    let mut link = Link::Fresh;
    let begun = hub::with(cx.now(), |hub| hub.begin_events(place, &mut link, &request, &channel, since));
    match begun {
        Some(Ok(began)) => {
            let mut preamble = RETRY.as_bytes().to_vec();
            preamble.extend_from_slice(&began);
            cx.header("Content-Type", "text/event-stream");
            cx.stream(Feed { link, wire: Wire::EventSource, handle: cx.handle(), first: None, preamble });
        }
        Some(Err(error)) => {
            let status = match error.code {
                101 | 109 | 110 => 401,
                102 => 404,
                107 => 400,
                106 | 111 => 429,
                100 => 500,
                _ => 403,
            };
            super::answer(cx, status, &format!("{}\n", error.message));
        }
        None => super::answer(cx, 503, "the gateway does not run\n"),
    }
}

/// Reads a position: epoch and offset.
fn position(id: &str) -> Result<(u64, String), ()> {
    let (epoch, offset) = id.rsplit_once(':').ok_or(())?;
    let is_epoch = !epoch.is_empty() && epoch.len() <= 64 && epoch.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let is_offset = !offset.is_empty() && offset.bytes().all(|byte| byte.is_ascii_digit());
    if !is_epoch || !is_offset {
        return Err(());
    }
    Ok((offset.parse().map_err(|_| ())?, epoch.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_no_position_is_refused() {
        assert_eq!(position("abc1:17"), Ok((17, "abc1".to_owned())));
        for id in ["", "17", ":17", "a:", "a:x", "a:-1", "a:+1", "a b:1", "a:99999999999999999999"] {
            assert_eq!(position(id), Err(()), "{id}");
        }
    }
}
