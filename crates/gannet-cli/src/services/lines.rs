//! `lines`: each line is answered with `echo: ` and the line.

use gannet::proto::Lines;
use gannet::{Context, Service};

use super::{ServiceKind, listen, netcat};
use crate::tls::Protocol;

pub(super) static KIND: ServiceKind = ServiceKind {
    name: "lines",
    about: "answers each line with 'echo: ' and the line (tcp, tls, unix)",
    defaults: &["tcp://127.0.0.1:7001"],
    streams: Some(|to, at, settings| {
        let max_line = settings.max_frame;
        listen(to, at, settings, Protocol::Unnamed, move || EchoLines { max_line })
    }),
    datagrams: None,
    try_it: |address| format!(r"printf 'hello\n' | {}", netcat(address)),
    answer: "echo: hello",
};

struct EchoLines {
    /// In bytes, the line's end not counted.
    max_line: usize,
}

impl Service for EchoLines {
    type Codec = Lines;
    type Session = ();

    fn name(&self) -> &str {
        KIND.name
    }

    fn codec(&self) -> Lines {
        Lines::new().limit(self.max_line)
    }

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[b"echo: ", line]);
    }
}
