//! New settings while connections live.

use gannet_tls::{ClientAuth, Identity, TlsConfig, TlsServer, TlsVersion};
use rcgen::date_time_ymd;

use crate::rig::{Ca, Identified as _, Pair, Trusted as _};

const VERSIONS: [TlsVersion; 2] = [TlsVersion::V1_2, TlsVersion::V1_3];

#[test]
fn new_connections_see_the_renewed_certificate_and_old_ones_go_on() {
    let ca = Ca::new("the CA");
    let (old, new) = (ca.server(&["localhost"]).identity(), ca.server(&["localhost"]).identity());
    let server = TlsServer::new(TlsConfig::new(old.clone())).expect("settings");
    let client = ca.trusted().sessions(0).build("localhost").expect("settings");
    let mut before = Pair::connected(&server, &client);
    // It has sent its hello, and no answer has come.
    let mut between = Pair::new(&server, &client);

    server.clone().reload(TlsConfig::new(new.clone())).expect("settings");
    before.assert_echo();
    assert_eq!(before.client.info().peer_certificates().next(), old.chain().next());
    between.run(1);
    between.assert_echo();
    assert_eq!(between.client.info().peer_certificates().next(), old.chain().next());
    let mut after = Pair::connected(&server, &client);
    after.assert_echo();
    assert_eq!(after.client.info().peer_certificates().next(), new.chain().next());
}

#[test]
fn a_certificate_that_is_valid_is_not_replaced_by_one_that_is_not_unless_told_to() {
    let ca = Ca::new("the CA");
    let valid = [ca.server(&["localhost"]).identity(), ca.server(&["other.test"]).identity()];
    let expired = ca.issue(&["localhost"], 1, |params| params.not_after = date_time_ymd(2024, 2, 29)).identity();
    let early = ca.issue(&["other.test"], 1, |params| params.not_before = date_time_ymd(2998, 3, 1)).identity();
    let config = |first: &Identity, second: &Identity| TlsConfig::new(first.clone()).identity(second.clone());
    let server = TlsServer::new(config(&valid[0], &valid[1])).expect("settings");
    let client = ca.trusted().sessions(0).dangerous_accept_any_certificate();
    let shown = |name: &str| {
        let pair = Pair::connected(&server, &client.clone().build(name).expect("settings"));
        pair.client.info().peer_certificates().next().expect("a certificate").to_vec()
    };
    for (next, says) in [
        (config(&expired, &valid[1]), "the new certificate of localhost expired at 2024-02-29 00:00 UTC"),
        (config(&valid[0], &early), "the new certificate of other.test is valid only from 2998-03-01 00:00 UTC"),
    ] {
        let error = server.reload(next.clone()).expect_err("what is served is valid").to_string();
        assert!(error.starts_with(says), "{error}");
        for (name, identity) in [("localhost", &valid[0]), ("other.test", &valid[1])] {
            assert_eq!(Some(&*shown(name)), identity.chain().next(), "{name}");
        }
    }
    server.reload(config(&expired, &early).accept_expired(true)).expect("it was told to");
    assert_eq!(Some(&*shown("localhost")), expired.chain().next());
    // There is nothing to lose.
    server.reload(config(&expired, &early)).expect("neither is valid");
    server.reload(config(&valid[0], &early)).expect("one of them is better");
    assert!(server.reload(config(&expired, &early)).is_err());
}

#[test]
fn a_revocation_list_that_is_valid_is_not_replaced_by_an_expired_one_unless_told_to() {
    let (ca, other) = (Ca::new("the CA"), Ca::new("another"));
    let identity = ca.server(&["localhost"]).identity();
    let asks = |years: &[i32]| {
        let mut client_auth = ClientAuth::required((ca.pem() + &other.pem()).as_bytes()).expect("CAs");
        client_auth = client_auth.crls(other.crl(&[], 2998).as_bytes()).expect("a list");
        for year in years {
            client_auth = client_auth.crls(ca.crl(&[], *year).as_bytes()).expect("a list");
        }
        TlsConfig::new(identity.clone()).client_auth(client_auth)
    };
    let server = TlsServer::new(asks(&[2998])).expect("settings");
    let client = ca.trusted().sessions(0).identity(ca.client(7).identity()).build("localhost").expect("settings");
    let error = server.reload(asks(&[2024])).expect_err("all clients would be refused").to_string();
    assert!(error.starts_with("the new revocation list of the CA expired at 2024-12-31"), "{error}");
    Pair::connected(&server, &client).assert_ready();
    assert!(server.reload(asks(&[2024, 2997])).is_err(), "the first counts");
    server.reload(asks(&[2997, 2024])).expect("the first is valid");
    Pair::connected(&server, &client).assert_ready();
    server.reload(asks(&[2024]).accept_expired(true)).expect("it was told to");
    assert!(Pair::connected(&server, &client).server.error.is_some());
    // There is nothing to lose.
    server.reload(asks(&[2024])).expect("what is there has expired");
    server.reload(TlsConfig::new(identity.clone())).expect("clients are not asked any more");
}

#[test]
fn sessions_are_resumed_over_a_reload() {
    for version in VERSIONS {
        let ca = Ca::new("the CA");
        let server = TlsServer::new(TlsConfig::new(ca.server(&["localhost"]).identity())).expect("settings");
        let client = ca.trusted().max_version(version).build("localhost").expect("settings");
        Pair::connected(&server, &client).assert_ready();
        server.reload(TlsConfig::new(ca.server(&["localhost"]).identity())).expect("settings");
        assert!(Pair::connected(&server, &client).server.info().resumed(), "{version}");
    }
}

#[test]
fn a_session_of_a_client_that_was_revoked_since_is_not_resumed() {
    for version in VERSIONS {
        let ca = Ca::new("the CA");
        let identity = ca.server(&["localhost"]).identity();
        let asks = |revoked: &[u64]| {
            let client_auth = ClientAuth::required(ca.pem().as_bytes()).expect("a CA");
            let client_auth = client_auth.crls(ca.crl(revoked, 2998).as_bytes()).expect("a list");
            TlsConfig::new(identity.clone()).client_auth(client_auth)
        };
        let (first, second) = (asks(&[]), asks(&[7]));
        let server = TlsServer::new(first.clone()).expect("settings");
        let client = ca.trusted().max_version(version).identity(ca.client(7).identity());
        let client = client.build("localhost").expect("settings");
        Pair::connected(&server, &client).assert_ready();
        let again = Pair::connected(&server, &client);
        assert!(again.server.info().resumed(), "{version}");
        assert_eq!(again.server.info().peer_certificates().len(), 1, "who it is is known of a resumed session too");

        server.reload(first).expect("settings");
        assert!(Pair::connected(&server, &client).server.info().resumed(), "the same list again changes nothing");
        server.reload(second).expect("settings");
        assert_eq!(Pair::connected(&server, &client).server.why(), "the client's certificate was revoked");
    }
}

#[test]
fn a_session_from_before_certificates_were_required_is_not_resumed() {
    for version in VERSIONS {
        let ca = Ca::new("the CA");
        let config = TlsConfig::new(ca.server(&["localhost"]).identity());
        let server = TlsServer::new(config.clone()).expect("settings");
        let client = ca.trusted().max_version(version).build("localhost").expect("settings");
        Pair::connected(&server, &client).assert_ready();
        let client_auth = ClientAuth::required(ca.pem().as_bytes()).expect("a CA");
        server.reload(config.client_auth(client_auth)).expect("settings");
        assert_eq!(Pair::connected(&server, &client).server.why(), "the client showed no certificate, and must");
    }
}

#[test]
fn settings_that_cannot_be_used_leave_the_old_ones_in_force() {
    let ca = Ca::new("the CA");
    let identity = ca.server(&["localhost"]).identity();
    let server = TlsServer::new(TlsConfig::new(identity.clone()).alpn(["resp"])).expect("settings");
    let client = ca.trusted().alpn(["resp"]).build("localhost").expect("settings");
    Pair::connected(&server, &client).assert_ready();
    let error = server.reload(TlsConfig::new(ca.server(&["other"]).identity()).alpn([""])).expect_err("it is empty");
    assert!(error.to_string().contains("ALPN"), "{error}");
    let pair = Pair::connected(&server, &client);
    assert!(pair.server.info().resumed());
    assert_eq!(pair.server.info().alpn(), Some(&b"resp"[..]));
}
