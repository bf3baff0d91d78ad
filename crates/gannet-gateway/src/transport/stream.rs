//! Sessions whose one direction is a response that goes on: `/connection/sse`, `/connection/http_stream` and their one-way
//! siblings. The other direction is [`emulation`](super::emulation).

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::mem;
use std::sync::Arc;

use gannet::{Description, Handle, SendStatus};
use gannet_http::{Cx, Source, Stream, Version};

use crate::gateway::Gateway;
use crate::hub::{self, Hub};
use crate::session::codes::Disconnect;
use crate::session::{Effects, Link, Place};
use crate::wire::Wire;

/// `/connection/sse`: the commands are in the query of a `GET`, or the body of a `POST`.
pub(crate) fn open_events(cx: &mut Cx<'_>, gateway: &Arc<Gateway>, wire: Wire) {
    let first = match cx.query_value("cf_connect") {
        Some(commands) => commands.into_owned().into_bytes(),
        // A `GET` has nowhere else to say it; a body is what it is, as on the other transports.
        None if cx.method() == gannet_http::Method::Get && wire.is_one_way() => b"{}".to_vec(),
        None => cx.request_body().to_vec(),
    };
    if !super::admit(cx, gateway) {
        return;
    }
    cx.header("Content-Type", "text/event-stream");
    begin(cx, gateway, wire, first, b"\r\n");
}

/// `/connection/http_stream`: the commands are the body.
pub(crate) fn open_lines(cx: &mut Cx<'_>, gateway: &Arc<Gateway>, wire: Wire) {
    if !super::admit(cx, gateway) {
        return;
    }
    let is_protobuf = super::is_protobuf(cx) && !wire.is_one_way();
    let wire = if is_protobuf { Wire::StreamProtobuf } else { wire };
    cx.header("Content-Type", if is_protobuf { "application/octet-stream" } else { "application/json" });
    let first = cx.request_body().to_vec();
    begin(cx, gateway, wire, first, b"");
}

/// Begins the response. A client of HTTP/1.0 has no chunks, which everything is framed in.
fn begin(cx: &mut Cx<'_>, gateway: &Gateway, wire: Wire, first: Vec<u8>, preamble: &'static [u8]) {
    if !begins(cx) {
        return;
    }
    super::note_headers(cx, gateway);
    cx.stream(Feed { link: Link::Fresh, wire, handle: cx.handle(), first: Some(first), preamble: preamble.to_vec() });
}

/// Sets what all such responses have. Returns whether the client can get one.
pub(super) fn begins(cx: &mut Cx<'_>) -> bool {
    if cx.request().version == Version::Http10 {
        cx.refuse(505, "streams need HTTP/1.1\n");
        return false;
    }
    cx.header("Cache-Control", "no-store");
    cx.header("X-Accel-Buffering", "no");
    true
}

/// A session on a response. Other code than this sends into it too: the pump.
pub(super) struct Feed {
    pub(super) link: Link,
    pub(super) wire: Wire,
    pub(super) handle: Handle,
    /// What the client said with its request.
    pub(super) first: Option<Vec<u8>>,
    /// What the response begins with.
    pub(super) preamble: Vec<u8>,
}

impl Feed {
    /// Calls the session, and does what comes of it.
    fn call(&mut self, out: &mut Stream<'_, '_>, call: impl FnOnce(&mut Hub, Place, &mut Link) -> Effects) {
        let place = Place { handle: self.handle, wire: self.wire };
        let link = &mut self.link;
        hub::with(out.now(), |hub| {
            hub.take_back(place, link);
            let effects = call(hub, place, link);
            if !hub.out.is_empty() {
                let mut body = mem::take(&mut hub.scratch);
                body.clear();
                place.wire.body(&hub.out, &mut body);
                if out.send(&body) != SendStatus::Queued {
                    hub.filled(link);
                }
                hub.scratch = body;
                hub.trim();
            }
            if let Some(question) = effects.ask {
                hub.away.insert(place.handle, mem::replace(link, Link::Away));
                hub.gateway.clone().ask(hub.reactor, place, *question);
            }
            if let Some(after) = effects.next {
                out.again_in(after);
            }
            if effects.close.is_some() {
                out.end();
            }
        });
    }
}

impl Source for Feed {
    fn pull(&mut self, out: &mut Stream<'_, '_>) {
        let preamble = mem::take(&mut self.preamble);
        if !preamble.is_empty() {
            out.send(&preamble);
        }
        match self.first.take() {
            Some(first) => {
                if let Some(patience) = hub::with(out.now(), |hub| hub.patience()) {
                    out.again_in(patience);
                }
                self.call(out, |hub, place, link| hub.receive(place, link, &first));
            }
            // There is room again, or something may be due: nobody says which.
            None => self.call(out, |hub, place, link| {
                hub.writable(link);
                hub.due(place, link)
            }),
        }
    }

    fn shutdown(&mut self, out: &mut Stream<'_, '_>) {
        if matches!(self.wire, Wire::Events | Wire::OneWayEvents | Wire::EventSource) {
            // Browsers connect again by themselves: each at a time of its own, so that they do not come together.
            let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((self.handle, out.now()));
            out.send(format!("retry: {}\r\n\r\n", 1_000 + hash % 4_000).as_bytes());
        }
        self.call(out, |hub, place, link| {
            hub.out.clear();
            hub.end(place, link, Disconnect::SHUTDOWN)
        });
    }

    fn kick(&mut self, out: &mut Stream<'_, '_>) {
        self.call(out, Hub::kick);
    }

    fn describe(&self, into: &mut Description) {
        hub::with_last(|hub| hub.describe(&self.link, self.wire, into));
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        let place = Place { handle: self.handle, wire: self.wire };
        hub::with_last(|hub| {
            hub.take_back(place, &mut self.link);
            hub.closed(place, &mut self.link);
        });
    }
}
