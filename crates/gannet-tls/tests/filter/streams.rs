//! Streams cut anywhere, damaged anywhere, and the messages that come in the middle of them.

use std::sync::Arc;

use gannet::FilterFactory;
use gannet_tls::{TlsClient, TlsServer, TlsVersion};
use proptest::prelude::*;
use rustls::ConnectionTrafficSecrets;
use rustls::crypto::aws_lc_rs;
use rustls::crypto::cipher::{MessageEncrypter, OutboundPlainMessage};
use rustls::pki_types::ServerName;
use rustls::unbuffered::ConnectionState;
use rustls::{ContentType, ProtocolVersion, SupportedCipherSuite};

use crate::rig::buffered::Buffered;
use crate::rig::{Ca, End, Identified as _, Pair, pair};

const VERSIONS: [TlsVersion; 2] = [TlsVersion::V1_2, TlsVersion::V1_3];

/// Made once: certificates take long.
fn ends(version: TlsVersion) -> &'static (TlsServer, TlsClient) {
    use std::sync::OnceLock;

    static PAIRS: [OnceLock<(TlsServer, TlsClient)>; 2] = [OnceLock::new(), OnceLock::new()];
    PAIRS[usize::from(version == TlsVersion::V1_3)].get_or_init(|| pair(version))
}

/// Shows `bytes` in pieces of these lengths, over and over.
fn feed(end: &mut End, bytes: &[u8], cuts: &[usize]) {
    let mut rest = bytes;
    for cut in cuts.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        let (piece, after) = rest.split_at(rest.len().min(*cut));
        end.receive(piece);
        rest = after;
    }
}

/// Until neither has anything to say.
fn run(pair: &mut Pair, cuts: &[usize]) {
    loop {
        let (up, down) = (pair.client.take_wire(), pair.server.take_wire());
        if up.is_empty() && down.is_empty() {
            break;
        }
        feed(&mut pair.server, &up, cuts);
        feed(&mut pair.client, &down, cuts);
    }
}

fn text(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|at| (at as u8).wrapping_mul(31).wrapping_add(seed)).collect()
}

fn version() -> impl Strategy<Value = TlsVersion> {
    prop_oneof![Just(TlsVersion::V1_2), Just(TlsVersion::V1_3)]
}

/// Around what a record holds, and far from it.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![0..40_usize, 16_380..16_390_usize, 32_760..32_780_usize, 0..100_000_usize]
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![Just(vec![1]), prop::collection::vec(1..40_usize, 1..20), prop::collection::vec(1..20_000_usize, 1..20)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_was_sent_arrives_however_the_stream_is_cut(
        version in version(),
        cuts in cuts(),
        up in prop::collection::vec(length(), 0..4),
        down in prop::collection::vec(length(), 0..4),
    ) {
        let (server, client) = ends(version);
        let mut pair = Pair::new(server, client);
        run(&mut pair, &cuts);
        pair.assert_ready();
        prop_assert_eq!(pair.server.info().version(), version);

        let (mut sent_up, mut sent_down) = (Vec::new(), Vec::new());
        for (at, length) in up.iter().enumerate() {
            let plain = text(*length, at as u8);
            pair.client.send(&plain);
            sent_up.extend(plain);
        }
        for (at, length) in down.iter().enumerate() {
            let plain = text(*length, at as u8);
            pair.server.send(&plain);
            sent_down.extend(plain);
        }
        pair.client.filter.end(&mut pair.client.wire);
        run(&mut pair, &cuts);
        pair.assert_ready();
        prop_assert!(pair.server.plain == sent_up && pair.client.plain == sent_down);
        prop_assert!(pair.server.ended && pair.server.carry.is_empty() && pair.client.carry.is_empty());
    }

    #[test]
    fn a_flipped_bit_in_a_record_is_an_error_and_what_came_before_it_arrives(
        version in version(),
        cuts in cuts(),
        records in 1..5_usize,
        place in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let (server, client) = ends(version);
        let mut pair = Pair::connected(server, client);
        let (mut stream, mut borders) = (Vec::new(), vec![0]);
        for at in 0..records {
            pair.client.filter.send(&text(100, at as u8), &mut stream).expect("it is ready");
            borders.push(stream.len());
        }
        let place = place.index(stream.len());
        stream[place] ^= 1 << bit;
        feed(&mut pair.server, &stream, &cuts);
        let before = borders.iter().filter(|border| **border <= place).count() - 1;
        let arrived: Vec<u8> = (0..before).flat_map(|at| text(100, at as u8)).collect();
        // A record that says it is longer is waited for; the version in its header means nothing.
        let header = place - borders[before];
        match header {
            // The type that counts is in the sealed part: RFC 8446 §5.2.
            0 if version == TlsVersion::V1_3 && pair.server.error.is_none() => {
                let all: Vec<u8> = (0..records).flat_map(|at| text(100, at as u8)).collect();
                prop_assert!(pair.server.plain == all);
            }
            1 | 2 => (),
            3 | 4 => prop_assert!(pair.server.plain == arrived),
            _ => {
                prop_assert!(pair.server.error.is_some());
                prop_assert!(pair.server.plain == arrived);
                prop_assert!(!pair.server.wire.is_empty(), "an alert says so");
            }
        }
    }

    #[test]
    fn a_handshake_with_damage_in_it_never_panics(
        version in version(),
        cuts in cuts(),
        to_server in any::<bool>(),
        flight in 0..3_usize,
        place in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let (server, client) = ends(version);
        let mut pair = Pair::new(server, client);
        for turn in 0..6 {
            let (mut up, mut down) = (pair.client.take_wire(), pair.server.take_wire());
            let damaged = if to_server { &mut up } else { &mut down };
            if turn == flight && !damaged.is_empty() {
                let place = place.index(damaged.len());
                damaged[place] = with;
            }
            feed(&mut pair.server, &up, &cuts);
            feed(&mut pair.client, &down, &cuts);
        }
    }

    #[test]
    fn garbage_never_panics(version in version(), cuts in cuts(), after in 0..3_usize, mut garbage in prop::collection::vec(any::<u8>(), 0..2000), shaped in any::<bool>()) {
        let (server, client) = ends(version);
        for to_server in [true, false] {
            let mut pair = Pair::new(server, client);
            for _ in 0..after {
                let (up, down) = (pair.client.take_wire(), pair.server.take_wire());
                pair.server.receive(&up);
                pair.client.receive(&down);
            }
            if let (true, [kind, major, minor, high, _, ..]) = (shaped, &mut garbage[..]) {
                (*kind, *major, *minor, *high) = (20 + *kind % 5, 3, 3, 0);
            }
            feed(if to_server { &mut pair.server } else { &mut pair.client }, &garbage, &cuts);
        }
    }
}

#[test]
fn a_handshake_in_the_smallest_records_there_are_is_done() {
    let ca = Ca::new("the CA");
    let config = gannet_tls::TlsConfig::new(ca.server(&["localhost"]).identity());
    let server = TlsServer::new(config).expect("settings");
    for piece in [1, 7, usize::MAX] {
        let client = Buffered::new(&ca, aws_lc_rs::default_provider(), |config| config.max_fragment_size = Some(32));
        let mut pair = Pair::new(&server, &client);
        pair.run(piece);
        pair.assert_ready();
        pair.assert_echo();
    }
}

#[test]
fn keys_are_updated_in_the_middle_of_a_stream() {
    let ca = Ca::new("the CA");
    let config = gannet_tls::TlsConfig::new(ca.server(&["localhost"]).identity());
    let server = TlsServer::new(config).expect("settings");
    let mut raw = RawClient::connect(&ca, &server);
    for round in 0..5_u8 {
        raw.update_keys();
        raw.send(&[round; 10]);
        assert_eq!(std::mem::take(&mut raw.server.plain), [round; 10]);
        // The answer to the update goes before what is sent with the new keys.
        raw.server.send(&[round; 20_000]);
        assert_eq!(raw.received(), [round; 20_000]);
    }
}

/// A client on the unbuffered half of rustls, with all that the filter hides.
struct RawClient {
    client: rustls::client::UnbufferedClientConnection,
    server: End,
}

impl RawClient {
    fn connect(ca: &Ca, server: &dyn FilterFactory) -> Self {
        let config =
            Buffered::new(ca, aws_lc_rs::default_provider(), |config| config.enable_secret_extraction = true).0;
        let name = ServerName::try_from("localhost").expect("a name");
        let client = rustls::client::UnbufferedClientConnection::new(Arc::clone(&config), name).expect("settings");
        let mut raw = Self { client, server: End::new(server) };
        raw.received();
        assert!(raw.server.ready);
        raw
    }

    /// Lets both talk, and gives what the client got.
    fn received(&mut self) -> Vec<u8> {
        let mut plain = Vec::new();
        loop {
            let mut down = self.server.take_wire();
            let mut up = Vec::new();
            loop {
                let status = self.client.process_tls_records(&mut down);
                let discard = status.discard;
                match status.state.expect("the server does no wrong") {
                    ConnectionState::EncodeTlsData(mut data) => {
                        let begin = up.len();
                        up.resize(begin + 20_000, 0);
                        let length = data.encode(&mut up[begin..]).expect("there is room");
                        up.truncate(begin + length);
                    }
                    ConnectionState::TransmitTlsData(data) => data.done(),
                    ConnectionState::ReadTraffic(mut traffic) => {
                        while let Some(record) = traffic.next_record() {
                            plain.extend_from_slice(record.expect("it decrypts").payload);
                        }
                    }
                    _ => {
                        down.drain(..discard);
                        break;
                    }
                }
                down.drain(..discard);
            }
            assert!(down.is_empty());
            if up.is_empty() {
                return plain;
            }
            self.server.receive(&up);
        }
    }

    fn update_keys(&mut self) {
        match self.client.process_tls_records(&mut []).state {
            Ok(ConnectionState::WriteTraffic(traffic)) => traffic.refresh_traffic_keys().expect("it is TLS 1.3"),
            other => panic!("{other:?}"),
        }
        self.received();
    }

    fn send(&mut self, plain: &[u8]) {
        let mut wire = vec![0; plain.len() + 200];
        let length = match self.client.process_tls_records(&mut []).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => traffic.encrypt(plain, &mut wire).expect("there is room"),
            other => panic!("{other:?}"),
        };
        self.server.receive(&wire[..length]);
    }

    /// Records of the client's own making, with the keys that were agreed on.
    fn by_hand(self) -> (ByHand, End) {
        let suite = match self.client.negotiated_cipher_suite() {
            Some(SupportedCipherSuite::Tls13(suite)) => suite,
            other => panic!("{other:?}"),
        };
        let (secrets, _) = self.client.dangerous_into_kernel_connection().expect("the handshake is done");
        let (sequence, secrets) = secrets.tx;
        let encrypter = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv }
            | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
            | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => suite.aead_alg.encrypter(key, iv),
            _ => panic!("another cipher"),
        };
        (ByHand { encrypter, sequence }, self.server)
    }
}

struct ByHand {
    encrypter: Box<dyn MessageEncrypter>,
    sequence: u64,
}

impl ByHand {
    fn record(&mut self, typ: ContentType, payload: &[u8]) -> Vec<u8> {
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload: payload.into() };
        let record = self.encrypter.encrypt(message, self.sequence).expect("it is short").encode();
        self.sequence += 1;
        record
    }
}

/// The half of a message waits with the bytes it came in; what is sent meanwhile must not look for it elsewhere.
#[test]
fn a_service_can_send_and_end_while_half_of_a_handshake_message_is_there() {
    let ca = Ca::new("the CA");
    let config = gannet_tls::TlsConfig::new(ca.server(&["localhost"]).identity());
    let server = TlsServer::new(config).expect("settings");
    for piece in [1, usize::MAX] {
        for ends in [false, true] {
            let (mut hand, mut end) = RawClient::connect(&ca, &server).by_hand();
            // KeyUpdate { update_requested }, RFC 8446 §4.6.3, in two records, and a third that has only begun.
            let first = hand.record(ContentType::Handshake, &[24, 0]);
            let second = hand.record(ContentType::Handshake, &[0, 1, 1]);
            let stream: Vec<u8> = first.iter().chain(&second[..9]).copied().collect();
            stream.chunks(piece).for_each(|bytes| end.receive(bytes));
            assert!(end.error.is_none() && !end.carry.is_empty());
            end.send(b"meanwhile");
            assert!(!end.take_wire().is_empty());
            if ends {
                end.filter.end(&mut end.wire);
                assert!(!end.wire.is_empty());
            }
            second[9..].chunks(piece).for_each(|bytes| end.receive(bytes));
            assert!(end.error.is_none() && end.carry.is_empty(), "{:?}", end.error);
            if !ends {
                end.send(b"afterwards");
                assert!(end.wire.len() > b"afterwards".len() + 22 + 22, "the answer to the update goes first");
            }
        }
    }
}

#[test]
fn other_records_between_the_parts_of_a_handshake_message_are_an_error() {
    let ca = Ca::new("the CA");
    let config = gannet_tls::TlsConfig::new(ca.server(&["localhost"]).identity());
    let server = TlsServer::new(config).expect("settings");
    let (mut hand, mut end) = RawClient::connect(&ca, &server).by_hand();
    end.receive(&hand.record(ContentType::Handshake, &[24, 0]));
    end.receive(&hand.record(ContentType::ApplicationData, b"in between"));
    assert!(end.why().starts_with("the client broke the rules of TLS"), "{}", end.why());
    assert!(end.plain.is_empty());
}

#[test]
fn a_handshake_message_in_too_many_pieces_is_refused_before_it_takes_much() {
    let (server, _) = ends(TlsVersion::V1_3);
    let mut end = End::new(server);
    // A hello of 60,000 bytes, of which each record has one.
    let header = [1, 0, 0xea, 0x60];
    for byte in header.into_iter().chain(std::iter::repeat_n(0, 60_000)) {
        end.receive(&[22, 3, 1, 0, 1, byte]);
        assert!(end.carry.len() <= 97 * 1024);
        if end.error.is_some() {
            break;
        }
    }
    assert_eq!(end.why(), "the client sent a handshake message that is too large");
}

#[test]
fn a_record_that_is_too_long_is_refused_by_its_header() {
    for version in VERSIONS {
        let (server, client) = ends(version);
        let mut pair = Pair::connected(server, client);
        pair.server.receive(&[23, 3, 3, 0xff, 0xff]);
        assert!(pair.server.error.is_some());
        assert!(!pair.server.wire.is_empty());
    }
}

#[test]
fn many_records_in_one_piece_are_taken_together() {
    for version in VERSIONS {
        let (server, client) = ends(version);
        let mut pair = Pair::connected(server, client);
        for at in 0..500_u32 {
            pair.client.send(&at.to_be_bytes());
        }
        let wire = pair.client.take_wire();
        pair.server.receive(&wire);
        assert_eq!(pair.server.plain, (0..500_u32).flat_map(u32::to_be_bytes).collect::<Vec<_>>());
        assert!(pair.server.carry.is_empty());
    }
}
