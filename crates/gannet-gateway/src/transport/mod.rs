//! The ways to the gateway over HTTP and WebSocket, and over plain TCP.

pub mod device;
pub(crate) mod emulation;
mod events;
mod stream;
pub(crate) mod websocket;

use std::sync::Arc;

use gannet_http::{Cx, Router, Trace};

use crate::gateway::Gateway;
use crate::hub;
use crate::wire::Wire;

/// Returns the routes of all transports.
pub(crate) fn routes(gateway: &Arc<Gateway>) -> Router {
    let of = || gateway.clone();
    let handshake = websocket::handshake();
    let one_way = handshake.clone();
    let (two, one, sse, sse_post, lines) = (of(), of(), of(), of(), of());
    let (uni_sse, uni_sse_post, uni_lines, emulated, events) = (of(), of(), of(), of(), of());
    let mut router = Router::new()
        .get("/connection/websocket", move |cx| websocket::open(cx, &two, &handshake))
        .get("/connection/uni_websocket", move |cx| websocket::open_one_way(cx, &one, &one_way))
        .get("/connection/sse", move |cx| stream::open_events(cx, &sse, Wire::Events))
        .post("/connection/sse", move |cx| stream::open_events(cx, &sse_post, Wire::Events))
        .post("/connection/http_stream", move |cx| stream::open_lines(cx, &lines, Wire::Lines))
        .get("/connection/uni_sse", move |cx| stream::open_events(cx, &uni_sse, Wire::OneWayEvents))
        .post("/connection/uni_sse", move |cx| stream::open_events(cx, &uni_sse_post, Wire::OneWayEvents))
        .post("/connection/uni_http_stream", move |cx| stream::open_lines(cx, &uni_lines, Wire::OneWayLines))
        .post("/emulation", move |cx| emulation::pass_on(cx, &emulated))
        .get("/events", move |cx| events::open(cx, &events));
    for path in [
        "/connection/sse",
        "/connection/http_stream",
        "/connection/uni_sse",
        "/connection/uni_http_stream",
        "/emulation",
        "/events",
    ] {
        let gateway = of();
        router = router.route("OPTIONS", path, move |cx| preflight(cx, &gateway));
    }
    router
}

/// Checks the page that a request is of, and says that this page may read the answer. Returns whether the request goes
/// on; otherwise it is answered.
fn admit(cx: &mut Cx<'_>, gateway: &Gateway) -> bool {
    if let Some(why) = gateway.refusal(cx) {
        cx.refuse(403, why);
        return false;
    }
    if let Some(origin) = cx.request_header("origin") {
        cx.header("Access-Control-Allow-Origin", origin);
        cx.header("Access-Control-Allow-Credentials", "true");
        cx.header("Vary", "Origin");
    }
    true
}

/// Keeps the header fields of a request that go along to the application, until the session ends; and the request's trace, until
/// its client has connected.
fn note_headers(cx: &Cx<'_>, gateway: &Gateway) {
    let fields = cx.request().headers().filter_map(|(name, value)| Some((name, std::str::from_utf8(value).ok()?)));
    let picked = gateway.live().application.pick(fields);
    let trace = gateway.tracer().and_then(|_| cx.extension::<Trace>().ok().copied());
    if picked.is_empty() && trace.is_none() {
        return;
    }
    hub::with(cx.now(), |hub| {
        if !picked.is_empty() {
            hub.headers.insert(cx.handle(), picked);
        }
        hub.traces.extend(trace.map(|trace| (cx.handle(), trace)));
    });
}

/// Answers a browser that asks whether a page may send a request.
fn preflight(cx: &mut Cx<'_>, gateway: &Gateway) {
    if admit(cx, gateway) {
        cx.status(204);
        cx.header("Access-Control-Allow-Methods", "GET, POST");
        cx.header("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID");
        cx.header("Access-Control-Max-Age", "300");
    }
}

/// Answers without taking back what [`admit`] has said.
fn answer(cx: &mut Cx<'_>, status: u16, text: &str) {
    cx.status(status);
    cx.text(text);
}

/// Whether a request's body is Protobuf.
fn is_protobuf(cx: &Cx<'_>) -> bool {
    cx.request_header("content-type").is_some_and(|kind| kind.starts_with(b"application/octet-stream"))
}
