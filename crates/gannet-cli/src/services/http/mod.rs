//! `http`: a page that says what runs, health and readiness for whoever watches, counters for Prometheus, and an echo by
//! WebSocket.

mod clock;
mod metrics;
mod page;
mod process;
mod site;

use gannet::Address;
use gannet_http::middleware::{AccessLog, Recover, TraceContext};
use gannet_http::websocket::{Handler, Handshake, Params, Socket};
use gannet_http::{Cx, HttpService, RouteError, Router, Routes, decode};

pub(crate) use self::site::Site;
use super::{ServiceKind, Settings, abstract_name, is_abstract, listen, quoted, reachable_socket, trace_context};
use crate::tls::Protocol;

pub(super) static KIND: ServiceKind = ServiceKind {
    name: "http",
    about: "a page that says what runs, its health and counters (tcp, tls, unix)",
    defaults: &["tcp://127.0.0.1:8080"],
    streams: Some(|to, at, settings| {
        let routes = routes(settings, trace_context(&at, settings))
            .map_err(|error| gannet::Error::Setting(error.to_string()))?;
        let (largest, code) = (settings.max_frame, settings.websocket_shutdown_code);
        listen(to, at, settings, Protocol::Http, move || {
            HttpService::new(&routes).websocket_limits(largest, largest).websocket_shutdown_code(code)
        })
    }),
    datagrams: None,
    try_it: curl,
    answer: "hello you",
};

fn routes(settings: &Settings, tracing: TraceContext) -> Result<Routes, RouteError> {
    let (site, shown, counted) = (&settings.site, settings.site.clone(), settings.site.clone());
    let store = settings.redis.clone();
    let mut handshake = Handshake::new();
    if settings.websocket_deflate {
        // An idle connection keeps no window.
        handshake = handshake.deflate(Params::without_takeover());
    }
    Router::new()
        .layer(tracing)
        .layer(AccessLog)
        .layer(site.times.clone())
        .layer(Recover)
        .get("/", move |cx| page::write(cx, &shown))
        .get("/hello/{name}", hello)
        .get("/ws/echo", move |cx| cx.websocket(&handshake, Echo))
        .get("/healthz", |cx| cx.text("ok\n"))
        .get("/readyz", ready)
        .get("/sse/clock", |cx| {
            let clock = clock::Clock::after(cx.last_event_id());
            cx.events(clock);
        })
        .get("/metrics", move |cx| metrics::write(cx, &counted, &store))
        .build()
}

fn hello(cx: &mut Cx<'_>) {
    match decode(cx.param("name")) {
        Some(name) => writeln!(cx, "hello {name}"),
        None => cx.refuse(400, "malformed percent-encoding\n"),
    }
}

/// Sends every WebSocket message back, compressed where that was agreed on.
struct Echo;

impl Handler for Echo {
    fn text(&mut self, text: &str, socket: &mut Socket<'_>) {
        socket.compressed_text(text);
    }

    fn binary(&mut self, bytes: &[u8], socket: &mut Socket<'_>) {
        socket.compressed_binary(bytes);
    }
}

/// Balancers stop to send clients here when this is not 200.
fn ready(cx: &mut Cx<'_>) {
    if cx.remote().is_stopping() {
        cx.refuse(503, "shutting down\n");
    } else {
        cx.text("ready\n");
    }
}

fn curl(address: &Address) -> String {
    match address {
        Address::Tcp(address) => format!("curl http://{}/hello/you", reachable_socket(*address)),
        Address::Tls(address) => format!("curl -k https://{}/hello/you", reachable_socket(*address)),
        Address::Unix(path) if is_abstract(path) => {
            format!("curl --abstract-unix-socket {} http://localhost/hello/you", quoted(&abstract_name(path)))
        }
        Address::Unix(path) => {
            format!("curl --unix-socket {} http://localhost/hello/you", quoted(&path.to_string_lossy()))
        }
        _ => "curl".to_owned(),
    }
}
