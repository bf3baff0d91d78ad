//! `push`, `push-stream` and `push-api`: the push gateway, for browsers and SDKs, for devices, and for applications.

pub(crate) mod bridge;

use std::collections::hash_map::RandomState;
use std::convert::Infallible;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use gannet::proto::http::Requests;
use gannet::{Address, ListenOptions};
use gannet_gateway::{Devices, Gateway, GatewayError, Secret};
use gannet_http::middleware::Recover;
use gannet_http::{HttpService, Router, Routes, Tracer};

use super::{ServiceKind, Settings, abstract_name, is_abstract, listen, quoted, reachable_socket, trace_context};
use crate::audit::Audit;
use crate::tls::Protocol;

/// The longest header of a WebSocket frame from a client, in bytes.
const FRAME_HEADER_BYTES: usize = 14;

/// The longest body of a request that is taken in any case, in bytes: several short publications come in one.
const LEAST_BODY_BYTES: usize = 1 << 20;

/// Secrets that one option, or one variable of the environment, has.
#[derive(Clone, Debug)]
pub(crate) struct Secrets(pub(crate) Vec<Secret>);

/// Takes lines as secrets. Never fails, so that no error can show one.
#[expect(clippy::unnecessary_wraps, reason = "clap's parsers may fail")]
pub(crate) fn secrets(text: &str) -> Result<Secrets, Infallible> {
    Ok(Secrets(text.lines().map(Secret::from).collect()))
}

pub(super) static KIND: ServiceKind = ServiceKind {
    name: "push",
    about: "channels for Centrifuge SDKs, EventSource and curl (tcp, tls, unix)",
    defaults: &["tcp://127.0.0.1:8000"],
    streams: Some(|to, at, settings| {
        let gateway = gateway(settings)?;
        let routes = routes(&at, settings, gateway.routes())?;
        let frame = settings.push_frame;
        listen(to, at, settings, Protocol::Http, move || {
            HttpService::new(&routes).limits(requests(frame)).websocket_limits(frame, frame)
        })
    }),
    datagrams: None,
    try_it: publish,
    answer: "epoch and offset",
};

pub(super) static STREAM: ServiceKind = ServiceKind {
    name: "push-stream",
    about: "the same channels for devices: Protobuf messages with their lengths (tcp, tls, unix)",
    defaults: &[],
    streams: Some(|to, at, settings| {
        let (gateway, frame) = (gateway(settings)?, settings.push_frame);
        listen(to, at, settings, Protocol::Unnamed, move || Devices::new(&gateway).frame(frame))
    }),
    datagrams: None,
    try_it: connect,
    answer: "a reply in Protobuf",
};

pub(super) static API: ServiceKind = ServiceKind {
    name: "push-api",
    about: "the server API of these channels, and nothing else (tcp, tls, unix)",
    defaults: &[],
    streams: Some(|to, at, settings| {
        let gateway = gateway(settings)?;
        let (routes, frame) = (routes(&at, settings, gateway.api_routes())?, settings.push_frame);
        listen(to, at, settings, Protocol::Http, move || HttpService::new(&routes).limits(requests(frame)))
    }),
    datagrams: None,
    try_it: publish,
    answer: "epoch and offset",
};

/// The limits of requests, whose bodies have what frames have.
fn requests(frame: usize) -> Requests {
    Requests::new().max_body(frame.max(LEAST_BODY_BYTES))
}

/// The longest message that may be incomplete while it is received: a frame with its header, or a request.
pub(crate) fn longest(frame: usize) -> usize {
    requests(frame).largest().max(frame + FRAME_HEADER_BYTES)
}

/// Makes the gateway of an engine with so many reactors, and has it tell the rest of the server what happens in it.
///
/// # Errors
///
/// A setting cannot work.
pub(crate) fn start(
    settings: &gannet_gateway::settings::Settings,
    reactors: usize,
    tracer: &Tracer,
    audit: &Audit,
) -> Result<Arc<Gateway>, GatewayError> {
    // The standard library seeds its hashers from the system.
    let gateway = Gateway::new(settings.clone(), reactors, RandomState::new().hash_one("push"))?;
    gateway.set_tracer(tracer.clone());
    let audit = audit.clone();
    gateway.set_auditor(move |audited| audit.gateway(audited));
    Ok(gateway)
}

/// What a listener serves, with what every route has.
fn routes(at: &ListenOptions, settings: &Settings, own: Router) -> gannet::Result<Routes> {
    let routes = Router::new().layer(trace_context(at, settings)).layer(Recover).merge(own).build();
    routes.map_err(|error| gannet::Error::Setting(error.to_string()))
}

/// The gateway, which is there where one of these services is.
fn gateway(settings: &Settings) -> gannet::Result<Arc<Gateway>> {
    let missing = || gannet::Error::Setting("the push gateway is not there".to_owned());
    settings.push.clone().ok_or_else(missing)
}

/// Publishes to the channel that the page shows.
fn publish(address: &Address) -> String {
    let curl = match address {
        Address::Tcp(address) => format!("curl http://{}", reachable_socket(*address)),
        Address::Tls(address) => format!("curl -k https://{}", reachable_socket(*address)),
        Address::Unix(path) if is_abstract(path) => {
            format!("curl --abstract-unix-socket {} http://localhost", quoted(&abstract_name(path)))
        }
        Address::Unix(path) => format!("curl --unix-socket {} http://localhost", quoted(&path.to_string_lossy())),
        _ => "curl http://localhost".to_owned(),
    };
    format!(r#"{curl}/api/publish -d '{{"channel":"demo:chat","data":{{"text":"hello"}}}}'"#)
}

/// Connects: command 1 with an empty request.
fn connect(address: &Address) -> String {
    format!(r"printf '\4\10\1\42\0' | {} | xxd", super::brief_netcat(address))
}
