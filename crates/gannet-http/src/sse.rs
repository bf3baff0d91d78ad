//! Server-sent events: a streamed response that sends an event now and then (WHATWG HTML §9.2).
//!
//! [`Cx::events`] begins such a stream. Its [`Source`] sends events with [`Stream::event`], or joins a group
//! ([`Stream::join`]) to which any thread can [`broadcast`]. When a stream ends, the client connects again by itself, and
//! names the last event that it got: [`Cx::last_event_id`].
//!
//! ```
//! use gannet::Group;
//! use gannet_http::sse::{self, Event, Feed};
//! use gannet_http::Router;
//!
//! let news = Group::new();
//! let routes = Router::new()
//!     .get("/news", move |cx| cx.events(Feed(news)))
//!     .post("/news", move |cx| {
//!         let Ok(data) = std::str::from_utf8(cx.request_body()) else { return cx.refuse(400, "not text\n") };
//!         match sse::broadcast(&cx.remote(), news, &Event::new(data)) {
//!             Ok(()) => cx.status(204),
//!             Err(error) => cx.refuse(503, &format!("{error}\n")),
//!         }
//!     });
//! # routes.build().map(|_| ())?;
//! # Ok::<(), gannet_http::RouteError>(())
//! ```

use std::io::Write as _;
use std::time::Duration;

use gannet::proto::Raw;
use gannet::proto::http::{SIZE_LINE, size_line};
use gannet::{Group, Remote, SendError, SendStatus};

use crate::cx::Cx;
pub use crate::stream::COMMENT_EVERY;
use crate::stream::{Source, Stream};

/// Describes one event of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event<'a> {
    /// The text, in one line or several. The client gets the lines separated by `\n`, however they ended here.
    pub data: &'a str,
    /// The kind of the event; a client takes `None` for `message`. Line endings are removed.
    pub event: Option<&'a str>,
    /// The identifier that the client sends as `Last-Event-ID` when it connects again. Line endings are removed; with an
    /// empty one the client forgets the last identifier.
    pub id: Option<&'a str>,
    /// How long the client should wait before it connects again, in whole milliseconds.
    pub retry: Option<Duration>,
}

impl<'a> Event<'a> {
    /// Makes an event with this text, of one line or several.
    #[must_use]
    pub const fn new(data: &'a str) -> Self {
        Self { data, event: None, id: None, retry: None }
    }

    /// Sets the kind of the event.
    #[must_use]
    pub const fn event(mut self, event: &'a str) -> Self {
        self.event = Some(event);
        self
    }

    /// Sets the identifier that the client sends as `Last-Event-ID` when it connects again.
    #[must_use]
    pub const fn id(mut self, id: &'a str) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets how long the client should wait before it connects again.
    #[must_use]
    pub const fn retry(mut self, retry: Duration) -> Self {
        self.retry = Some(retry);
        self
    }
}

impl Event<'_> {
    /// Appends the encoded event, including the empty line at its end.
    ///
    /// # Errors
    ///
    /// The identifier contains a NUL, so clients would ignore it. Nothing is appended.
    pub fn write(&self, out: &mut Vec<u8>) -> Result<(), EventError> {
        if self.id.is_some_and(|id| id.contains('\0')) {
            return Err(EventError::Id);
        }
        for (name, value) in [("event: ", self.event), ("id: ", self.id)] {
            if let Some(value) = value {
                out.extend_from_slice(name.as_bytes());
                out.extend(value.bytes().filter(|byte| !matches!(byte, b'\r' | b'\n')));
                out.push(b'\n');
            }
        }
        if let Some(retry) = self.retry {
            // A vector takes everything.
            let _ = writeln!(out, "retry: {}", retry.as_millis());
        }
        for lines in self.data.split("\r\n") {
            for line in lines.split(['\r', '\n']) {
                out.extend_from_slice(b"data: ");
                out.extend_from_slice(line.as_bytes());
                out.push(b'\n');
            }
        }
        out.push(b'\n');
        Ok(())
    }
}

/// Says why an event cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// Its identifier contains a NUL.
    #[error("the id of an event has a NUL")]
    Id,
    /// It did not reach all reactors.
    #[error(transparent)]
    Send(#[from] SendError),
}

/// Sends an event to all streams of a group, on all reactors. Call it on any thread.
///
/// The event is encoded once and shared. A client that reads slowly meets the limits of its own outbox and delays nobody.
///
/// # Errors
///
/// - [`EventError::Id`]: nobody gets the event.
/// - [`EventError::Send`]: the mailbox of a reactor was full. Its clients do not get the event; all others do.
pub fn broadcast(remote: &Remote, group: Group, event: &Event<'_>) -> Result<(), EventError> {
    let mut bytes = Vec::new();
    event.write(&mut bytes)?;
    // The framing as a chunk is the same for all: others cannot join.
    remote.broadcast(group, &Raw, &[size_line(bytes.len(), &mut [0; SIZE_LINE]), &bytes, b"\r\n"])?;
    Ok(())
}

/// Sends a client the events that are [`broadcast`] to a group, and nothing else.
///
/// A client of HTTP/1.0 cannot join, and neither can one over a limit on groups: its stream ends at once.
#[derive(Clone, Copy, Debug)]
pub struct Feed(pub Group);

impl Source for Feed {
    fn pull(&mut self, out: &mut Stream<'_, '_>) {
        if let Err(error) = out.join(self.0) {
            tracing::debug!(%error, "a stream of events could not join its group");
            out.end();
        }
    }
}

impl Stream<'_, '_> {
    /// Sends an event in one chunk; [`send`](Self::send) explains the status.
    ///
    /// # Errors
    ///
    /// [`EventError::Id`]: nothing is sent.
    pub fn event(&mut self, event: &Event<'_>) -> Result<SendStatus, EventError> {
        let mut bytes = std::mem::take(self.scratch);
        bytes.clear();
        let written = event.write(&mut bytes);
        let sent = written.map(|()| self.send(&bytes));
        *self.scratch = bytes;
        sent
    }
}

impl Cx<'_> {
    /// Returns the identifier of the last event that the client got before it connected again (WHATWG HTML §9.2.4).
    #[must_use]
    pub fn last_event_id(&self) -> Option<&str> {
        std::str::from_utf8(self.request_header("last-event-id")?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(event: &Event<'_>) -> String {
        let mut bytes = Vec::new();
        event.write(&mut bytes).expect("it can be sent");
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn an_event_has_a_line_for_each_of_its_own() {
        assert_eq!(written(&Event { data: "a", ..Event::default() }), "data: a\n\n");
        assert_eq!(written(&Event::default()), "data: \n\n", "without data it would not be delivered");
        assert_eq!(
            written(&Event { data: "a\nb\r\nc\rd\n", ..Event::default() }),
            "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"
        );
    }

    #[test]
    fn nothing_in_a_field_can_begin_another() {
        let event = Event {
            data: "x",
            event: Some("a\r\ndata: b"),
            id: Some("1\n\n2"),
            retry: Some(Duration::from_micros(2_500_900)),
        };
        assert_eq!(written(&event), "event: adata: b\nid: 12\nretry: 2500\ndata: x\n\n");
    }

    #[test]
    fn an_id_with_a_nul_is_refused() {
        let mut bytes = Vec::new();
        let event = Event { id: Some("a\0b"), ..Event::default() };
        assert_eq!((event.write(&mut bytes), bytes.len()), (Err(EventError::Id), 0));
    }
}
