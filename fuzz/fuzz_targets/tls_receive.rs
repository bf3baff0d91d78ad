//! Any bytes for a server of TLS, at any time of a handshake and after it, are taken or refused, and never a panic; how
//! they are cut makes no difference.

#![no_main]

use std::sync::OnceLock;

use gannet::{Filter, FilterFactory, FilterOutput};
use gannet_tls::{TlsClient, TlsClientConfig, TlsConfig, TlsServer, TlsVersion, self_signed};
use libfuzzer_sys::fuzz_target;

/// Whether it is TLS 1.2, how many flights of a good client go first, the cuts, the stream.
type Input = (bool, u8, Vec<u16>, Vec<u8>);

fuzz_target!(|input: Input| {
    let (old, flights, cuts, stream) = input;
    let whole = outcome(old, flights % 4, &stream, &[]);
    assert_eq!(outcome(old, flights % 4, &stream, &cuts), whole);
    assert_eq!(outcome(old, flights % 4, &stream, &[1]), whole);
});

/// What comes of it: the plain text, whether the handshake is done, whether the peer has ended, whether it failed.
fn outcome(old: bool, flights: u8, stream: &[u8], cuts: &[u16]) -> (Vec<u8>, bool, bool, bool) {
    let (server, clients) = ends();
    let mut end = End::new(server.filter().expect("settings"));
    let mut client = End::new(clients[usize::from(old)].filter().expect("settings"));
    client.filter.start(&mut client.wire).expect("it begins");
    for _ in 0..flights {
        end.receive(&std::mem::take(&mut client.wire));
        client.receive(&std::mem::take(&mut end.wire));
    }
    let mut rest = stream;
    for cut in cuts.iter().map(|cut| usize::from(*cut).max(1)).cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(rest.len().min(cut));
        end.receive(piece);
        rest = after;
    }
    end.receive(rest);
    if end.ready && !end.failed {
        end.filter.send(b"an answer", &mut end.wire).expect("it is ready");
    }
    end.filter.end(&mut end.wire);
    (end.plain, end.ready, end.ended, end.failed)
}

fn ends() -> &'static (TlsServer, [TlsClient; 2]) {
    static ENDS: OnceLock<(TlsServer, [TlsClient; 2])> = OnceLock::new();
    ENDS.get_or_init(|| {
        let made = self_signed(&["localhost".into()]).expect("a name");
        let server = TlsServer::new(TlsConfig::new(made.identity)).expect("settings");
        let clients = [TlsVersion::V1_3, TlsVersion::V1_2].map(|version| {
            let client = TlsClientConfig::new().ca(made.certificate_pem.as_bytes()).expect("a certificate");
            client.max_version(version).sessions(0).build("localhost").expect("a name")
        });
        (server, clients)
    })
}

struct End {
    filter: Box<dyn Filter>,
    carry: Vec<u8>,
    plain: Vec<u8>,
    wire: Vec<u8>,
    ready: bool,
    ended: bool,
    failed: bool,
}

impl End {
    fn new(filter: Box<dyn Filter>) -> Self {
        let (carry, plain, wire) = (Vec::new(), Vec::new(), Vec::new());
        Self { filter, carry, plain, wire, ready: false, ended: false, failed: false }
    }

    fn receive(&mut self, bytes: &[u8]) {
        if self.failed {
            return;
        }
        self.carry.extend_from_slice(bytes);
        match self.filter.receive(&mut self.carry, &mut FilterOutput::new(&mut self.plain, &mut self.wire)) {
            Ok(filtered) => {
                assert!(filtered.consumed <= self.carry.len());
                assert!(filtered.ready || !self.ready);
                assert!(filtered.ended || !self.ended || bytes.is_empty());
                self.carry.drain(..filtered.consumed);
                (self.ready, self.ended) = (filtered.ready, self.ended || filtered.ended);
            }
            Err(_) => self.failed = true,
        }
    }
}
