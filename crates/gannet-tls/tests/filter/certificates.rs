//! Which certificates are accepted, and what is said of those that are not.

use gannet_tls::{ClientAuth, Identity, TlsConfig, TlsServer, TlsVersion};
use rcgen::date_time_ymd;

use crate::rig::{Ca, Identified as _, Pair, Trusted as _};

const VERSIONS: [TlsVersion; 2] = [TlsVersion::V1_2, TlsVersion::V1_3];

/// What the client says of a server with this certificate, and the server of that.
fn said(trusts: &Ca, identity: Identity, version: TlsVersion) -> (String, String) {
    let server = TlsServer::new(TlsConfig::new(identity)).expect("settings");
    let client = trusts.trusted().max_version(version).build("localhost").expect("settings");
    let pair = Pair::connected(&server, &client);
    (pair.client.why(), pair.server.why())
}

#[test]
fn a_server_with_an_expired_certificate_is_refused() {
    let ca = Ca::new("the CA");
    for version in VERSIONS {
        let expired = ca.issue(&["localhost"], 1, |params| params.not_after = date_time_ymd(2024, 2, 29));
        let (client, server) = said(&ca, expired.identity(), version);
        assert_eq!(client, "the server's certificate expired at 2024-02-29 00:00 UTC");
        assert_eq!(server, "the client finds that this server's certificate has expired");
    }
}

#[test]
fn a_server_whose_certificate_is_not_valid_yet_is_refused() {
    let ca = Ca::new("the CA");
    for version in VERSIONS {
        let early = ca.issue(&["localhost"], 1, |params| params.not_before = date_time_ymd(2999, 1, 1));
        let (client, _) = said(&ca, early.identity(), version);
        assert_eq!(client, "the server's certificate is valid only from 2999-01-01 00:00 UTC: are the clocks right?");
    }
}

#[test]
fn a_server_with_a_certificate_for_another_name_is_refused() {
    let ca = Ca::new("the CA");
    for version in VERSIONS {
        let (client, _) = said(&ca, ca.server(&["elsewhere.test", "192.0.2.7"]).identity(), version);
        assert_eq!(client, "the server's certificate is for elsewhere.test, 192.0.2.7, and not for localhost");
    }
}

#[test]
fn a_server_of_a_ca_that_is_not_trusted_is_refused() {
    for version in VERSIONS {
        let (client, server) = said(&Ca::new("one"), Ca::new("another").server(&["localhost"]).identity(), version);
        assert!(client.starts_with("the server's certificate is of no CA that is trusted here"), "{client}");
        assert!(server.starts_with("the client does not trust the CA of this server's certificate"), "{server}");
    }
}

#[test]
fn a_certificate_for_clients_is_none_for_a_server() {
    let ca = Ca::new("the CA");
    let (client, _) = said(&ca, ca.client(1).identity(), TlsVersion::V1_3);
    assert!(client.contains("localhost") || client.contains("purpose"), "{client}");
}

/// As `openssl req -x509` makes one.
#[test]
fn a_server_with_the_certificate_of_a_ca_itself_is_refused() {
    let ca = Ca::new("the CA");
    let own = ca.issue(&["localhost"], 1, |params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    let (client, _) = said(&ca, own.identity(), TlsVersion::V1_3);
    assert!(client.starts_with("the server's certificate is that of a CA itself"), "{client}");
}

#[test]
fn any_certificate_is_accepted_where_that_was_asked_for() {
    let server = Ca::new("one").issue(&["elsewhere.test"], 1, |params| params.not_after = date_time_ymd(2024, 1, 1));
    let server = TlsServer::new(TlsConfig::new(server.identity())).expect("settings");
    for version in VERSIONS {
        let client = Ca::new("another").trusted().dangerous_accept_any_certificate().max_version(version);
        let mut pair = Pair::connected(&server, &client.build("localhost").expect("settings"));
        pair.assert_ready();
        pair.assert_echo();
    }
}

/// A server that asks for certificates of this CA, with lists.
fn asking(ca: &Ca, client_auth: ClientAuth) -> TlsServer {
    TlsServer::new(TlsConfig::new(ca.server(&["localhost"]).identity()).client_auth(client_auth)).expect("settings")
}

fn required(ca: &Ca) -> ClientAuth {
    ClientAuth::required(ca.pem().as_bytes()).expect("a CA")
}

fn connect(ca: &Ca, server: &TlsServer, identity: Option<Identity>, version: TlsVersion) -> Pair {
    let client = ca.trusted().max_version(version);
    let client = match identity {
        Some(identity) => client.identity(identity),
        None => client,
    };
    Pair::connected(server, &client.build("localhost").expect("settings"))
}

#[test]
fn a_client_with_a_certificate_of_the_ca_is_known_by_it() {
    let ca = Ca::new("the CA");
    let server = asking(&ca, required(&ca));
    for version in VERSIONS {
        let client = ca.client(7).identity();
        let mut pair = connect(&ca, &server, Some(client.clone()), version);
        pair.assert_ready();
        pair.assert_echo();
        assert_eq!(pair.server.info().peer_certificates().next(), client.chain().next());
    }
}

#[test]
fn a_client_without_a_certificate_is_refused_where_one_is_required() {
    let ca = Ca::new("the CA");
    for version in VERSIONS {
        let pair = connect(&ca, &asking(&ca, required(&ca)), None, version);
        assert_eq!(pair.server.why(), "the client showed no certificate, and must");
        if version == TlsVersion::V1_3 {
            assert_eq!(pair.client.why(), "the server wants a certificate of this client");
        }
    }
}

#[test]
fn a_client_without_a_certificate_is_accepted_where_it_is_optional_but_not_with_a_wrong_one() {
    let ca = Ca::new("the CA");
    let server = asking(&ca, ClientAuth::optional(ca.pem().as_bytes()).expect("a CA"));
    for version in VERSIONS {
        let pair = connect(&ca, &server, None, version);
        pair.assert_ready();
        assert_eq!(pair.server.info().peer_certificates().len(), 0);
        let pair = connect(&ca, &server, Some(ca.client(7).identity()), version);
        assert_eq!(pair.server.info().peer_certificates().len(), 1);
        let pair = connect(&ca, &server, Some(Ca::new("another").client(7).identity()), version);
        assert!(pair.server.error.is_some() || pair.server.info().peer_certificates().len() == 0);
    }
}

#[test]
fn a_client_with_an_expired_certificate_is_refused() {
    let ca = Ca::new("the CA");
    let expired = ca.issue(&["client"], 7, |params| {
        params.not_after = date_time_ymd(2024, 1, 1);
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    });
    for version in VERSIONS {
        let pair = connect(&ca, &asking(&ca, required(&ca)), Some(expired.identity()), version);
        assert_eq!(pair.server.why(), "the client's certificate expired at 2024-01-01 00:00 UTC");
        assert_eq!(pair.client.why(), "the server finds that this client's certificate has expired");
    }
}

#[test]
fn a_client_whose_certificate_is_for_servers_is_refused() {
    let ca = Ca::new("the CA");
    let pair = connect(&ca, &asking(&ca, required(&ca)), Some(ca.server(&["client"]).identity()), TlsVersion::V1_3);
    assert!(pair.server.why().contains("was not issued for this purpose"), "{}", pair.server.why());
}

#[test]
fn a_revoked_client_is_refused_and_comes_back_with_a_new_certificate() {
    let ca = Ca::new("the CA");
    let server = asking(&ca, required(&ca).crls(ca.crl(&[7], 2998).as_bytes()).expect("a list"));
    for version in VERSIONS {
        let pair = connect(&ca, &server, Some(ca.client(7).identity()), version);
        assert_eq!(pair.server.why(), "the client's certificate was revoked");
        assert_eq!(pair.client.why(), "the server finds that this client's certificate was revoked");
        connect(&ca, &server, Some(ca.client(8).identity()), version).assert_ready();
    }
}

#[test]
fn with_lists_every_issuer_needs_one_that_is_valid_now() {
    let (ca, other) = (Ca::new("the CA"), Ca::new("another"));
    let both = [ca.pem(), other.pem()].concat();
    let client_auth = ClientAuth::required(both.as_bytes()).expect("CAs");
    // Without any list, revocation is not looked at.
    connect(&ca, &asking(&ca, client_auth.clone()), Some(other.client(7).identity()), TlsVersion::V1_3).assert_ready();

    let with_one = client_auth.crls(ca.crl(&[], 2998).as_bytes()).expect("a list");
    connect(&ca, &asking(&ca, with_one.clone()), Some(ca.client(7).identity()), TlsVersion::V1_3).assert_ready();
    let pair = connect(&ca, &asking(&ca, with_one.clone()), Some(other.client(7).identity()), TlsVersion::V1_3);
    assert!(pair.server.why().contains("an issuer in its chain has no list here"), "{}", pair.server.why());

    let expired = with_one.crls(other.crl(&[], 2024).as_bytes()).expect("a list");
    let pair = connect(&ca, &asking(&ca, expired), Some(other.client(7).identity()), TlsVersion::V1_3);
    assert!(pair.server.why().contains("the list of its issuer expired at 2024-12-31"), "{}", pair.server.why());
}
