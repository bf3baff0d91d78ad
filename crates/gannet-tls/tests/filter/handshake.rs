//! What two ends agree on, or why they do not.

use gannet::FilterOutput;
use gannet_tls::{Identity, TlsClientConfig, TlsConfig, TlsServer, TlsVersion};
use rcgen::{KeyPair, PKCS_RSA_SHA256};

use crate::rig::buffered::Buffered;
use crate::rig::{Ca, End, Identified as _, Pair, Trusted as _, pair};

#[test]
fn two_ends_agree_on_tls_1_3_and_talk() {
    let (server, client) = pair(TlsVersion::V1_3);
    let mut pair = Pair::connected(&server, &client);
    pair.assert_ready();
    pair.assert_echo();
    assert_eq!(pair.server.info().version(), TlsVersion::V1_3);
    assert_eq!(pair.server.info().server_name(), Some("localhost"));
    assert_eq!(pair.server.info().key_exchange(), Some("X25519"));
    assert!(pair.server.info().cipher_suite().starts_with("TLS_AES_"), "{:?}", pair.server.info());
    assert!(!pair.server.info().resumed());
}

#[test]
fn two_ends_agree_on_tls_1_2_and_talk() {
    let (server, client) = pair(TlsVersion::V1_2);
    let mut pair = Pair::connected(&server, &client);
    pair.assert_ready();
    pair.assert_echo();
    assert_eq!(pair.server.info().version(), TlsVersion::V1_2);
    assert_eq!(pair.client.info().server_name(), Some("localhost"));
    assert!(pair.server.info().cipher_suite().starts_with("TLS_ECDHE_"), "{:?}", pair.server.info());
}

#[test]
fn nothing_is_known_of_a_connection_before_its_handshake_is_done() {
    let (server, _) = pair(TlsVersion::V1_3);
    assert!(End::new(&server).filter.info().is_none());
}

#[test]
fn a_client_is_shown_the_certificate_of_the_name_it_asks_for() {
    let ca = Ca::new("the CA");
    let (first, second, wild) =
        (ca.server(&["default.test"]), ca.server(&["www.example.org"]), ca.server(&["*.example.org", "example.org"]));
    let config = TlsConfig::new(first.identity()).identity(second.identity()).identity(wild.identity());
    let server = TlsServer::new(config).expect("settings");
    for (name, shown, valid) in [
        ("default.test", &first, true),
        ("www.example.org", &second, true),
        ("WWW.Example.ORG", &second, true),
        ("mail.example.org", &wild, true),
        ("example.org", &wild, true),
        // A wildcard is one label.
        ("a.mail.example.org", &first, false),
        ("elsewhere.test", &first, false),
        // An address is not asked for.
        ("127.0.0.1", &first, false),
    ] {
        let client = ca.trusted().dangerous_accept_any_certificate().build(name).expect("a name");
        let pair = Pair::connected(&server, &client);
        pair.assert_ready();
        let leaf = pair.client.info().peer_certificates().next().map(<[u8]>::to_vec);
        assert_eq!(leaf.as_deref(), shown.identity().chain().next(), "{name}");
        let asked = (name != "127.0.0.1").then(|| name.to_ascii_lowercase());
        assert_eq!(pair.server.info().server_name(), asked.as_deref());

        // What is shown is what clients accept.
        let pair = Pair::connected(&server, &ca.trusted().build(name).expect("a name"));
        assert_eq!(pair.client.error.is_none(), valid, "{name}: {:?}", pair.client.error);
    }
}

/// Which no client should, and some do: RFC 6066 §3.
#[test]
fn a_dot_at_the_end_of_the_name_that_a_client_asks_for_means_nothing() {
    let ca = Ca::new("the CA");
    let (first, second) = (ca.server(&["default.test"]), ca.server(&["www.example.org"]));
    let config = TlsConfig::new(first.identity()).identity(second.identity());
    let server = TlsServer::new(config).expect("settings");
    // rustls leaves the dot out, so it is put in. The certificate is to be seen in TLS 1.2.
    let client = ca.trusted().max_version(TlsVersion::V1_2).build("www.example.orgx").expect("a name");
    let mut pair = Pair::new(&server, &client);
    let mut hello = pair.client.take_wire();
    let place = hello.windows(16).position(|bytes| bytes == b"www.example.orgx").expect("it is asked for");
    hello[place + 15] = b'.';
    pair.server.receive(&hello);
    let second = second.identity();
    let shown = second.chain().next().expect("a certificate");
    assert!(pair.server.wire.windows(shown.len()).any(|bytes| bytes == shown));
}

#[test]
fn certificates_of_two_kinds_can_have_one_name() {
    let ca = Ca::new("the CA");
    let rsa = {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).expect("a key");
        let certificate = rcgen::CertificateParams::new(["localhost".to_owned()]).expect("a name");
        let certificate = certificate.self_signed(&key).expect("a certificate");
        Identity::from_pem(certificate.pem().as_bytes(), key.serialize_pem().as_bytes()).expect("it was just made")
    };
    let ecdsa = ca.server(&["localhost"]).identity();
    let server = TlsServer::new(TlsConfig::new(rsa).identity(ecdsa.clone())).expect("settings");
    // This hello offers no RSA.
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| suite.suite().as_str().is_some_and(|name| name.contains("_ECDSA_")));
    let pair = Pair::connected(&server, &Buffered::new(&ca, provider, |_| ()));
    pair.assert_ready();
    let client: &rustls::ClientConnection =
        pair.client.filter.info().and_then(|info| info.downcast_ref()).expect("it is one");
    let shown = client.peer_certificates().and_then(|chain| chain.first()).map(|leaf| leaf.as_ref());
    assert_eq!(shown, ecdsa.chain().next());
}

#[test]
fn an_application_protocol_is_agreed_on_by_the_order_of_the_server() {
    let ca = Ca::new("the CA");
    let server = TlsConfig::new(ca.server(&["localhost"]).identity()).alpn(["resp", "http/1.1"]);
    let server = TlsServer::new(server).expect("settings");
    let offer = |protocols: &[&str]| ca.trusted().alpn(protocols.iter().copied()).build("localhost").expect("settings");

    let pair = Pair::connected(&server, &offer(&["http/1.1", "resp"]));
    assert_eq!((pair.server.info().alpn(), pair.client.info().alpn()), (Some(&b"resp"[..]), Some(&b"resp"[..])));
    let pair = Pair::connected(&server, &offer(&["http/1.1"]));
    assert_eq!(pair.server.info().alpn(), Some(&b"http/1.1"[..]));

    let pair = Pair::connected(&server, &offer(&[]));
    pair.assert_ready();
    assert_eq!(pair.server.info().alpn(), None);

    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let client = ca.trusted().max_version(version).alpn(["h2"]).build("localhost").expect("settings");
        let pair = Pair::connected(&server, &client);
        assert_eq!(pair.server.why(), "the client offers none of the application protocols there are (ALPN)");
        assert_eq!(pair.client.why(), "the server has none of the application protocols offered (ALPN)");
    }
}

#[test]
fn a_client_of_tls_1_2_is_refused_where_1_3_is_the_oldest() {
    let ca = Ca::new("the CA");
    let server = TlsConfig::new(ca.server(&["localhost"]).identity()).min_version(TlsVersion::V1_3);
    let server = TlsServer::new(server).expect("settings");
    let pair =
        Pair::connected(&server, &ca.trusted().max_version(TlsVersion::V1_2).build("localhost").expect("settings"));
    assert!(pair.server.why().starts_with("the client has no version of TLS that is accepted here"));
    assert_eq!(pair.client.why(), "the server has no version of TLS in common with this client");
    Pair::connected(&server, &ca.trusted().build("localhost").expect("settings")).assert_ready();
}

#[test]
fn a_client_of_tls_1_1_is_told_that_it_is_too_old() {
    let (server, _) = pair(TlsVersion::V1_2);
    let mut end = End::new(&server);
    // ClientHello, RFC 4346 §7.4.1.2: version, random, no session, one cipher suite, no compression.
    let mut hello = vec![22, 3, 1, 0, 45, 1, 0, 0, 41, 3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x13, 1, 0]);
    end.receive(&hello);
    assert!(end.why().contains("it is older than TLS 1.2"), "{}", end.why());
    assert!(!end.wire.is_empty());
}

#[test]
fn sessions_are_resumed_in_both_versions() {
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let (server, client) = pair(version);
        assert!(!Pair::connected(&server, &client).server.info().resumed());
        for _ in 0..3 {
            let mut pair = Pair::connected(&server, &client);
            pair.assert_ready();
            assert!(pair.server.info().resumed() && pair.client.info().resumed(), "{version}");
            assert_eq!(pair.server.info().server_name(), Some("localhost"));
            pair.assert_echo();
        }
    }
}

#[test]
fn a_client_that_keeps_no_sessions_resumes_none() {
    let ca = Ca::new("the CA");
    let server = TlsServer::new(TlsConfig::new(ca.server(&["localhost"]).identity())).expect("settings");
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let client = ca.trusted().max_version(version).sessions(0).build("localhost").expect("settings");
        Pair::connected(&server, &client);
        assert!(!Pair::connected(&server, &client).server.info().resumed());
    }
}

#[test]
fn a_server_that_gives_no_tickets_resumes_no_session_of_tls_1_3() {
    let ca = Ca::new("the CA");
    let server = TlsServer::new(TlsConfig::new(ca.server(&["localhost"]).identity()).tickets(0)).expect("settings");
    let client = ca.trusted().min_version(TlsVersion::V1_3).build("localhost").expect("settings");
    Pair::connected(&server, &client);
    assert!(!Pair::connected(&server, &client).server.info().resumed());
}

#[test]
fn a_peer_that_speaks_something_else_is_named() {
    let (server, client) = pair(TlsVersion::V1_3);
    for (words, said) in [
        (&b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"[..], "the client speaks no TLS: it speaks plain HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "the client speaks no TLS: it speaks plain HTTP/2"),
        (b"*1\r\n$4\r\nPING\r\n", "the client speaks no TLS: it may speak RESP, the protocol of Redis, in plain"),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", "the client speaks no TLS: it begins with a PROXY protocol header"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", "the client speaks no TLS: it speaks SSH"),
        (b"\0\0\0\x05hello", "the client speaks no TLS: its first bytes are no TLS record"),
    ] {
        let mut end = End::new(&server);
        end.receive(words);
        assert_eq!(end.why(), said);
        assert_eq!(end.wire.first(), Some(&0x15), "an alert goes out");
    }
    let mut end = End::new(&client);
    end.receive(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!(end.why(), "the server speaks no TLS: it speaks plain HTTP");
}

#[test]
fn a_failed_connection_takes_and_sends_nothing_more() {
    let (server, _) = pair(TlsVersion::V1_3);
    let mut end = End::new(&server);
    end.receive(b"GET / HTTP/1.1\r\n\r\n");
    let (mut plain, mut wire) = (Vec::new(), Vec::new());
    assert!(end.filter.receive(&mut [22, 3, 1, 0, 1, 1], &mut FilterOutput::new(&mut plain, &mut wire)).is_err());
    assert!(end.filter.send(b"x", &mut wire).is_err());
    end.filter.end(&mut wire);
    assert!(plain.is_empty() && wire.is_empty());
}

#[test]
fn each_side_is_told_that_the_other_ends_and_can_still_send() {
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let (server, client) = pair(version);
        let mut pair = Pair::connected(&server, &client);
        pair.client.send(b"the last");
        pair.client.filter.end(&mut pair.client.wire);
        pair.run(1);
        assert!(pair.server.ended && !pair.client.ended);
        assert_eq!(pair.server.plain, b"the last");
        pair.server.send(b"the answer");
        pair.server.filter.end(&mut pair.server.wire);
        pair.run(1);
        assert_eq!(pair.client.plain, b"the answer");
        assert!(pair.client.ended);
        assert!(pair.client.error.is_none() && pair.server.error.is_none());
    }
}

#[test]
fn what_comes_after_the_end_is_ignored() {
    let (server, client) = pair(TlsVersion::V1_3);
    let mut pair = Pair::connected(&server, &client);
    pair.client.filter.end(&mut pair.client.wire);
    pair.client.wire.extend_from_slice(b"anything at all");
    pair.run(usize::MAX);
    assert!(pair.server.ended && pair.server.error.is_none());
    pair.server.receive(b"and more");
    assert!(pair.server.error.is_none() && pair.server.carry.is_empty());
}

#[test]
fn the_name_of_a_server_is_a_dns_name_or_an_address() {
    let (_, client) = pair(TlsVersion::V1_3);
    assert!(client.for_server("elsewhere.test").is_ok() && client.for_server("::1").is_ok());
    let error = TlsClientConfig::new().build("not a name").expect_err("there is a space in it");
    assert!(error.to_string().contains("\"not a name\" is neither a DNS name nor an IP address"), "{error}");
    let error = Ca::new("a CA").trusted().alpn([""]).build("localhost").expect_err("it is empty");
    assert!(error.to_string().contains("1 to 255 bytes"), "{error}");
}

#[cfg(feature = "self-signed")]
#[test]
fn a_certificate_made_for_development_is_accepted_by_whom_is_told_to_trust_it() {
    let made = gannet_tls::self_signed(&["localhost".into(), "127.0.0.1".into(), "*.dev.test".into()]).expect("names");
    let server = TlsServer::new(TlsConfig::new(made.identity)).expect("settings");
    let trusts = TlsClientConfig::new().ca(made.certificate_pem.as_bytes()).expect("a certificate");
    for name in ["localhost", "127.0.0.1", "a.dev.test"] {
        Pair::connected(&server, &trusts.build(name).expect("a name")).assert_ready();
    }
    let pair = Pair::connected(&server, &Ca::new("another").trusted().build("localhost").expect("a name"));
    assert!(pair.client.why().contains("is of no CA that is trusted here"), "{}", pair.client.why());
    assert!(Identity::from_pem(made.certificate_pem.as_bytes(), made.key_pem.as_bytes()).is_ok());
    for names in [&[][..], &["no name".to_owned()]] {
        assert!(gannet_tls::self_signed(names).is_err());
    }
}

/// As `hey` asks; clients of ours cannot, so the name is changed on its way.
#[test]
fn a_client_that_sends_a_port_with_the_name_is_refused_with_the_likely_cause() {
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let (server, client) = pair(version);
        let mut pair = Pair::new(&server, &client);
        let hello = &mut pair.client.wire;
        let at = hello.windows(9).position(|name| name == b"localhost").expect("the name is in the hello");
        hello[at..at + 9].copy_from_slice(b"host:8443");
        pair.run(usize::MAX);
        let why = pair.server.why();
        assert!(why.contains("server name (SNI)") && why.contains("send the port with it"), "{why}");
        assert!(pair.client.why().contains("IllegalParameter"), "{}", pair.client.why());
    }
}
