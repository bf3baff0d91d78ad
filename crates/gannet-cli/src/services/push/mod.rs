//! `push`, `push-stream` and `push-api`: the push gateway, for browsers and SDKs, for devices, and for applications.

pub(crate) mod bridge;

use std::convert::Infallible;
use std::sync::Arc;

use gannet::{Address, ListenOptions};
use gannet_gateway::{Devices, Gateway, Secret};
use gannet_http::middleware::Recover;
use gannet_http::{HttpService, Router, Routes};

use super::{ServiceKind, Settings, abstract_name, is_abstract, listen, quoted, reachable_socket, trace_context};
use crate::tls::Protocol;

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
        let frame = gateway.settings().client.frame;
        listen(to, at, settings, Protocol::Http, move || HttpService::new(&routes).websocket_limits(frame, frame))
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
        let gateway = gateway(settings)?;
        listen(to, at, settings, Protocol::Unnamed, move || Devices::new(&gateway))
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
        let routes = routes(&at, settings, gateway.api_routes())?;
        listen(to, at, settings, Protocol::Http, move || HttpService::new(&routes))
    }),
    datagrams: None,
    try_it: publish,
    answer: "epoch and offset",
};

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
