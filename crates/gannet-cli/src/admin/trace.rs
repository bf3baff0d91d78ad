//! `GET /trace`: the traffic of one connection, as lines of JSON while it passes.

use std::collections::VecDeque;
use std::time::Duration;

use gannet::{Direction, SendStatus, Trace, TraceEvent, TraceOptions, TraceRefusal};
use gannet_http::{Cx, Rejection, Router, Source, Stream};
use serde::Deserialize;
use serde_json::{Value, json};

use super::connections::{not_taken, refuse};
use super::who::{operator, who};
use crate::control::{Control, Refused};

/// How often what was recorded is sent.
const PACE: Duration = Duration::from_millis(50);

/// The query of `/trace`.
#[derive(Debug, Deserialize)]
#[serde(expecting = "an object", deny_unknown_fields)]
struct Asked {
    handle: String,
    bytes: Option<usize>,
    seconds: Option<u64>,
    messages: Option<u32>,
}

pub(super) fn routes(control: &Control) -> Router {
    let control = control.clone();
    Router::new().get("/trace", move |cx| -> Result<(), Rejection> {
        let asked = cx.query_as()?;
        if let Err(refused) = trace(cx, &control, &asked) {
            refuse(cx, refused);
        }
        Ok(())
    })
}

fn trace(cx: &mut Cx<'_>, control: &Control, asked: &Asked) -> Result<(), Refused> {
    let remote = cx.remote();
    let wrong =
        || Refused::new("invalid", format!("'{}' is no handle: take it from 'gannet connections'", asked.handle));
    let handle = remote.handle(&asked.handle).ok_or_else(wrong)?;
    if handle == cx.handle() {
        return Err(Refused::new("invalid", "this is the connection of the trace itself"));
    }
    let mut options = TraceOptions::default();
    options.bytes = asked.bytes.unwrap_or(options.bytes);
    options.pieces = asked.messages.unwrap_or(options.pieces);
    options.time = asked.seconds.map_or(options.time, Duration::from_secs);
    let trace = remote.trace(handle, options).map_err(not_taken)?;
    tracing::info!(operator = operator(cx), %handle, "an operator traces a connection");
    let what = json!({ "handle": asked.handle, "bytes": options.bytes, "seconds": options.time.as_secs() });
    control.audit().done("trace", &who(cx), what);
    cx.header("Content-Type", "application/x-ndjson");
    let until = cx.now().saturating_add(options.time);
    cx.stream(Feed { trace, until, waiting: VecDeque::new() });
    Ok(())
}

/// A trace on its way to its operator.
struct Feed {
    trace: Trace,
    /// When it ends, where its reactor has no reason to look.
    until: Duration,
    waiting: VecDeque<TraceEvent>,
}

impl Source for Feed {
    fn pull(&mut self, out: &mut Stream<'_, '_>) {
        self.waiting.extend(self.trace.take());
        if self.waiting.is_empty() && out.now() > self.until + PACE {
            self.waiting.push_back(TraceEvent::Over);
        }
        while let Some(event) = self.waiting.pop_front() {
            let is_last = matches!(event, TraceEvent::Over | TraceEvent::Closed(_) | TraceEvent::Refused(_));
            let status = out.send(format!("{}\n", as_json(&event)).as_bytes());
            if is_last {
                return out.end();
            }
            if status != SendStatus::Queued {
                return;
            }
        }
        out.again_in(PACE);
    }

    fn shutdown(&mut self, out: &mut Stream<'_, '_>) {
        out.end();
    }
}

fn as_json(event: &TraceEvent) -> Value {
    match event {
        TraceEvent::Piece { direction, at, length, bytes } => json!({
            "event": match direction {
                Direction::Received => "received",
                Direction::Sent => "sent",
            },
            "at_ms": at.as_millis() as u64,
            "length_bytes": length,
            "bytes": bytes.escape_ascii().to_string(),
        }),
        TraceEvent::Dropped(pieces) => json!({ "event": "dropped", "pieces": pieces }),
        TraceEvent::Closed(reason) => json!({ "event": "closed", "reason": reason.name() }),
        TraceEvent::Refused(why) => json!({
            "event": "refused",
            "reason": match why {
                TraceRefusal::Gone => "gone",
                TraceRefusal::Traced => "traced",
                _ => "full",
            },
            "message": match why {
                TraceRefusal::Gone => "there is no such connection",
                TraceRefusal::Traced => "somebody traces this connection already; ask again when that trace has ended",
                _ => "as many connections are traced as there can be, 16 of a reactor; ask again when a trace has ended",
            },
        }),
        _ => json!({ "event": "over" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_so_that_every_terminal_and_program_can_read_them() {
        let event = TraceEvent::Closed(gannet::CloseReason::Idle);
        assert_eq!(as_json(&event).to_string(), r#"{"event":"closed","reason":"idle"}"#);
        assert_eq!(b"a\r\n\x1b\xff".escape_ascii().to_string(), r"a\r\n\x1b\xff");
    }
}
