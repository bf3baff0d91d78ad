//! What two ends agree on, or why they do not.

mod rig;

use gannet_tls::TlsVersion;
use rig::{Pair, pair};

#[test]
fn two_ends_agree_on_tls_1_3_and_talk() {
    let (server, client) = pair(TlsVersion::V1_3);
    let mut pair = Pair::connected(&server, &client);
    pair.assert_ready();
    pair.assert_echo();
    assert_eq!(pair.server.info().version(), TlsVersion::V1_3);
    assert_eq!(pair.server.info().server_name(), Some("localhost"));
    assert!(pair.server.info().cipher_suite().starts_with("TLS_AES_"), "{:?}", pair.server.info());
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
