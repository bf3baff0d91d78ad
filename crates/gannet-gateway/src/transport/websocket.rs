//! `/connection/websocket`: a session on a WebSocket, in JSON or Protobuf; and `/connection/uni_websocket`, where the client
//! only listens.

use std::sync::Arc;
use std::time::Duration;

use gannet::{Description, SendStatus};
use gannet_http::Cx;
use gannet_http::websocket::{Close, Handler, Handshake, Socket};

use crate::gateway::Gateway;
use crate::hub::{self, Hub};
use crate::session::codes::Disconnect;
use crate::session::{Effects, Link, Place};
use crate::wire::Wire;

/// The subprotocol by which clients ask for Protobuf.
const PROTOBUF: &str = "centrifuge-protobuf";

/// Answers a request with a session.
pub(crate) fn open(cx: &mut Cx<'_>, gateway: &Arc<Gateway>, handshake: &Handshake) {
    if let Some(why) = gateway.refusal(cx) {
        return cx.refuse(403, why);
    }
    let wire = if asks_for_protobuf(cx) { Wire::WebSocketProtobuf } else { Wire::WebSocketJson };
    cx.websocket(handshake, Session::new(wire));
    if cx.response_status() == 101 {
        super::note_headers(cx, gateway);
    }
}

/// Answers a request with a session that only sends.
pub(crate) fn open_one_way(cx: &mut Cx<'_>, gateway: &Arc<Gateway>, handshake: &Handshake) {
    if let Some(why) = gateway.refusal(cx) {
        return cx.refuse(403, why);
    }
    cx.websocket(handshake, Session::new(Wire::OneWayWebSocket));
    if cx.response_status() == 101 {
        super::note_headers(cx, gateway);
    }
}

/// Makes what the handshake offers.
pub(crate) fn handshake() -> Handshake {
    Handshake::new().protocols(["centrifuge-json", PROTOBUF])
}

fn asks_for_protobuf(cx: &Cx<'_>) -> bool {
    let named = |name: &str| cx.query_value(name).as_deref() == Some("protobuf");
    let offered = cx.request_header("sec-websocket-protocol").unwrap_or_default();
    let mut offers = offered.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    named("format") || named("cf_protocol") || offers.any(|offer| offer == PROTOBUF.as_bytes())
}

/// What a connection keeps of its session.
struct Session {
    link: Link,
    wire: Wire,
}

impl Session {
    fn new(wire: Wire) -> Self {
        Self { link: Link::Fresh, wire }
    }

    /// Calls the session, and does what comes of it.
    fn call(&mut self, socket: &mut Socket<'_>, call: impl FnOnce(&mut Hub, Place, &mut Link) -> Effects) {
        let place = Place { handle: socket.handle(), wire: self.wire };
        let link = &mut self.link;
        let reactor = socket.reactor();
        hub::with(socket.now(), |hub| {
            hub.take_back(place, link);
            let effects = call(hub, place, link);
            if !hub.out.is_empty() && !send(hub, place.wire, link, socket) {
                let effects = hub.end(place, link, Disconnect::INAPPROPRIATE_PROTOCOL);
                return finish(hub, place, link, reactor, effects, socket);
            }
            finish(hub, place, link, reactor, effects, socket);
        });
    }
}

/// Sends what is in [`Hub::out`] in one frame. Returns whether that could be: text has to be UTF-8.
fn send(hub: &mut Hub, wire: Wire, link: &Link, socket: &mut Socket<'_>) -> bool {
    let status = if wire.is_protobuf() {
        socket.binary(&hub.out)
    } else {
        let Ok(text) = std::str::from_utf8(&hub.out) else { return false };
        socket.text(text)
    };
    if status != SendStatus::Queued {
        hub.filled(link);
    }
    hub.trim();
    true
}

fn finish(hub: &mut Hub, place: Place, link: &mut Link, reactor: usize, effects: Effects, socket: &mut Socket<'_>) {
    if let Some(question) = effects.ask {
        socket.pause();
        hub.away.insert(place.handle, std::mem::replace(link, Link::Away));
        hub.gateway.clone().ask(reactor, place, *question);
    }
    if let Some(after) = effects.next {
        socket.set_timer(after);
    }
    if let Some(why) = effects.close {
        socket.close(why.close_code(), &why.reason);
    }
}

impl Handler for Session {
    fn open(&mut self, socket: &mut Socket<'_>) {
        let patience = hub::with(socket.now(), |hub| hub.patience());
        socket.set_timer(patience.unwrap_or(Duration::from_secs(10)));
    }

    fn text(&mut self, text: &str, socket: &mut Socket<'_>) {
        self.call(socket, |hub, place, link| hub.receive(place, link, text.as_bytes()));
    }

    fn binary(&mut self, bytes: &[u8], socket: &mut Socket<'_>) {
        self.call(socket, |hub, place, link| hub.receive(place, link, bytes));
    }

    fn writable(&mut self, socket: &mut Socket<'_>) {
        self.call(socket, |hub, _, link| {
            hub.out.clear();
            hub.writable(link);
            Effects::default()
        });
    }

    fn timer(&mut self, socket: &mut Socket<'_>) {
        self.call(socket, Hub::due);
    }

    fn shutdown(&mut self, socket: &mut Socket<'_>) {
        self.call(socket, |hub, place, link| hub.end(place, link, Disconnect::SHUTDOWN));
    }

    fn kick(&mut self, socket: &mut Socket<'_>) {
        self.call(socket, Hub::kick);
    }

    fn describe(&self, into: &mut Description) {
        hub::with_last(|hub| hub.describe(&self.link, self.wire, into));
    }

    fn close(&mut self, _: Option<Close<'_>>, socket: &mut Socket<'_>) {
        let place = Place { handle: socket.handle(), wire: self.wire };
        hub::with(socket.now(), |hub| {
            hub.take_back(place, &mut self.link);
            hub.closed(place, &mut self.link);
        });
    }
}
