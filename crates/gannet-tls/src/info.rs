//! What there is to know of a connection.

use std::sync::Arc;

use rustls::HandshakeKind;

use crate::TlsVersion;
use crate::filter::Connection;

/// What was agreed in a handshake and how the peer proved itself: what [`Filter::info`](gannet::Filter::info) of a TLS
/// connection is, once it is ready.
///
/// ```
/// use gannet_tls::TlsInfo;
///
/// fn who(info: Option<&dyn std::any::Any>) -> String {
///     match info.and_then(|info| info.downcast_ref::<TlsInfo>()) {
///         Some(tls) => format!("{} with {}", tls.version(), tls.cipher_suite()),
///         None => "no TLS".into(),
///     }
/// }
/// # assert_eq!(who(None), "no TLS");
/// ```
pub struct TlsInfo {
    pub(crate) connection: Connection,
    pub(crate) server_name: Option<Arc<str>>,
}

impl TlsInfo {
    /// The version of the protocol.
    pub fn version(&self) -> TlsVersion {
        match self.connection.state().protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => TlsVersion::V1_3,
            _ => TlsVersion::V1_2,
        }
    }

    /// The cipher suite, by its IANA name: `TLS_AES_128_GCM_SHA256`.
    pub fn cipher_suite(&self) -> &'static str {
        // rustls writes the names of TLS 1.3 its own way.
        match self.connection.state().negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()) {
            Some("TLS13_AES_128_GCM_SHA256") => "TLS_AES_128_GCM_SHA256",
            Some("TLS13_AES_256_GCM_SHA384") => "TLS_AES_256_GCM_SHA384",
            Some("TLS13_CHACHA20_POLY1305_SHA256") => "TLS_CHACHA20_POLY1305_SHA256",
            Some(name) => name,
            None => "",
        }
    }

    /// The group of the key exchange, by its IANA name: `X25519`. None where a resumed session of TLS 1.2 had none.
    pub fn key_exchange(&self) -> Option<&'static str> {
        self.connection.state().negotiated_key_exchange_group().and_then(|group| group.name().as_str())
    }

    /// The application protocol both sides have (ALPN, RFC 7301).
    pub fn alpn(&self) -> Option<&[u8]> {
        self.connection.state().alpn_protocol()
    }

    /// The name the client asked for (SNI, RFC 6066 §3), in lower case. On an outbound connection the name or address
    /// that the server's certificate was checked against.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The peer's certificates in DER, its own first; none if it showed none. Those of a resumed session are those of
    /// the first one. They were checked.
    pub fn peer_certificates(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.connection.state().peer_certificates().unwrap_or_default().iter().map(|certificate| certificate.as_ref())
    }

    /// The handshake took up an earlier session: RFC 8446 §2.2, RFC 5246 §7.3.
    pub fn resumed(&self) -> bool {
        self.connection.state().handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

impl std::fmt::Debug for TlsInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsInfo")
            .field("version", &self.version())
            .field("cipher_suite", &self.cipher_suite())
            .field("key_exchange", &self.key_exchange())
            .field("alpn", &self.alpn().map(String::from_utf8_lossy))
            .field("server_name", &self.server_name())
            .field("peer_certificates", &self.peer_certificates().len())
            .field("resumed", &self.resumed())
            .finish()
    }
}
