//! The facts about an established TLS connection.

use std::sync::Arc;

use rustls::HandshakeKind;

use crate::TlsVersion;
use crate::filter::Connection;

/// Describes an established TLS connection: what was agreed, and the peer's certificates.
///
/// [`Context::filter_info`](gannet::Context::filter_info) gives it to a service once the handshake is done.
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
    /// Returns the version of the protocol.
    pub fn version(&self) -> TlsVersion {
        match self.connection.state().protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_3) => TlsVersion::V1_3,
            _ => TlsVersion::V1_2,
        }
    }

    /// Returns the IANA name of the cipher suite, such as `TLS_AES_128_GCM_SHA256`.
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

    /// Returns the IANA name of the key exchange group, such as `X25519`. A resumed session of TLS 1.2 has none.
    pub fn key_exchange(&self) -> Option<&'static str> {
        self.connection.state().negotiated_key_exchange_group().and_then(|group| group.name().as_str())
    }

    /// Returns the application protocol that was agreed on (ALPN, RFC 7301), if any.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.connection.state().alpn_protocol()
    }

    /// Returns the name that the client asked for (SNI, RFC 6066 §3), in lower case.
    ///
    /// On an outbound connection it is the name or address of the server that the client was made for.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Returns the peer's certificates in DER, its own first; none if it sent none.
    ///
    /// A resumed session has those of its first handshake. They were checked, except on outbound connections with
    /// [`dangerous_accept_any_certificate`](crate::TlsClientConfig::dangerous_accept_any_certificate).
    pub fn peer_certificates(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.connection.state().peer_certificates().unwrap_or_default().iter().map(|certificate| certificate.as_ref())
    }

    /// Returns whether the handshake resumed an earlier session (RFC 8446 §2.2, RFC 5246 §7.3).
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
