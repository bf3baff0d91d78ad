//! `echo`: every byte back, as it came; every datagram to its sender.

use gannet::proto::Raw;
use gannet::{Context, DatagramContext, DatagramService, Service};

use super::{ServiceKind, listen, netcat};
use crate::tls::Protocol;

pub(super) static KIND: ServiceKind = ServiceKind {
    name: "echo",
    about: "sends every byte back (tcp, tls, unix, udp)",
    defaults: &["tcp://127.0.0.1:7000", "udp://127.0.0.1:7000"],
    streams: Some(|to, at, settings| listen(to, at, settings, Protocol::Unnamed, || Echo)),
    datagrams: Some(|to, at, _| to.listen_datagrams(at, || Echo)),
    try_it: |address| format!(r"printf 'hello\n' | {}", netcat(address)),
    answer: "hello",
};

struct Echo;

impl Service for Echo {
    type Codec = Raw;
    type Session = ();

    fn name(&self) -> &str {
        KIND.name
    }

    fn message(&mut self, (): &mut (), bytes: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[bytes]);
    }
}

impl DatagramService for Echo {
    fn name(&self) -> &str {
        KIND.name
    }

    fn datagram(&mut self, payload: &[u8], cx: &mut DatagramContext<'_>) {
        if let Err(error) = cx.reply(payload) {
            // A datagram may be lost: its sender has to reckon with that.
            tracing::trace!(%error, to = %cx.from(), "a datagram could not be sent back");
        }
    }
}
