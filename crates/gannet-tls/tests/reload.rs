//! New settings while connections live.

mod rig;

use gannet_tls::{ClientAuth, TlsConfig, TlsServer, TlsVersion};
use rig::{Ca, Pair};

const VERSIONS: [TlsVersion; 2] = [TlsVersion::V1_2, TlsVersion::V1_3];

#[test]
fn new_connections_see_the_renewed_certificate_and_old_ones_go_on() {
    let ca = Ca::new("the CA");
    let (old, new) = (ca.server(&["localhost"]).identity, ca.server(&["localhost"]).identity);
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
fn sessions_are_resumed_over_a_reload() {
    for version in VERSIONS {
        let ca = Ca::new("the CA");
        let server = TlsServer::new(TlsConfig::new(ca.server(&["localhost"]).identity)).expect("settings");
        let client = ca.trusted().max_version(version).build("localhost").expect("settings");
        Pair::connected(&server, &client).assert_ready();
        server.reload(TlsConfig::new(ca.server(&["localhost"]).identity)).expect("settings");
        assert!(Pair::connected(&server, &client).server.info().resumed(), "{version}");
    }
}

#[test]
fn a_session_of_a_client_that_was_revoked_since_is_not_resumed() {
    for version in VERSIONS {
        let ca = Ca::new("the CA");
        let identity = ca.server(&["localhost"]).identity;
        let asks = |revoked: &[u64]| {
            let client_auth = ClientAuth::required(ca.pem().as_bytes()).expect("a CA");
            let client_auth = client_auth.crls(ca.crl(revoked, 2998).as_bytes()).expect("a list");
            TlsConfig::new(identity.clone()).client_auth(client_auth)
        };
        let (first, second) = (asks(&[]), asks(&[7]));
        let server = TlsServer::new(first.clone()).expect("settings");
        let client = ca.trusted().max_version(version).identity(ca.client(7).identity);
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
        let config = TlsConfig::new(ca.server(&["localhost"]).identity);
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
    let identity = ca.server(&["localhost"]).identity;
    let server = TlsServer::new(TlsConfig::new(identity.clone()).alpn(["resp"])).expect("settings");
    let client = ca.trusted().alpn(["resp"]).build("localhost").expect("settings");
    Pair::connected(&server, &client).assert_ready();
    let error = server.reload(TlsConfig::new(ca.server(&["other"]).identity).alpn([""])).expect_err("it is empty");
    assert!(error.to_string().contains("ALPN"), "{error}");
    let pair = Pair::connected(&server, &client);
    assert!(pair.server.info().resumed());
    assert_eq!(pair.server.info().alpn(), Some(&b"resp"[..]));
}
