//! `discard`: takes everything and answers nothing.

use gannet::proto::Raw;
use gannet::{Context, DatagramContext, DatagramService, Service};

use super::{ServiceKind, listen, netcat};
use crate::tls::Protocol;

pub(super) static KIND: ServiceKind = ServiceKind {
    name: "discard",
    about: "takes everything and answers nothing (tcp, tls, unix, udp)",
    defaults: &[],
    streams: Some(|to, at, settings| listen(to, at, settings, Protocol::Unnamed, || Discard)),
    datagrams: Some(|to, at, _| to.listen_datagrams(at, || Discard)),
    try_it: |address| format!(r"printf 'hello\n' | {}", netcat(address)),
    answer: "nothing",
};

struct Discard;

impl Service for Discard {
    type Codec = Raw;
    type Session = ();

    fn name(&self) -> &str {
        KIND.name
    }

    fn message(&mut self, (): &mut (), _: &[u8], _: &mut Context<'_, Self>) {}
}

impl DatagramService for Discard {
    fn name(&self) -> &str {
        KIND.name
    }

    fn datagram(&mut self, _: &[u8], _: &mut DatagramContext<'_>) {}
}
