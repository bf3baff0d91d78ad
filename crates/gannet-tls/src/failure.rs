//! Why a connection failed, in words an operator understands.

use std::fmt;

use rustls::{
    AlertDescription, CertificateError, Error, HandshakeType, InvalidMessage, OtherError, PeerIncompatible,
    PeerMisbehaved, Side,
};

use crate::filter::Connection;

/// Says why a connection was ended. It is the source of each [`FilterError`](gannet::FilterError) of this crate. Its own
/// source is the error of rustls.
#[derive(Debug)]
pub struct ConnectionError {
    cause: Error,
    /// This side's.
    side: Side,
    handshake: bool,
    plain: Option<&'static str>,
}

impl ConnectionError {
    /// `begin` is what the peer began with, or empty if it had begun well.
    pub(crate) fn new(cause: Error, connection: &Connection, begin: &[u8]) -> Self {
        let handshake = connection.state().is_handshaking();
        Self { cause, side: connection.side(), handshake, plain: spoken(begin) }
    }

    /// It failed before the handshake was done.
    pub fn in_handshake(&self) -> bool {
        self.handshake
    }
}

/// What a peer speaks that begins with these bytes and speaks no TLS.
fn spoken(begin: &[u8]) -> Option<&'static str> {
    const METHODS: [&[u8]; 8] = [b"GET ", b"POST ", b"HEAD ", b"PUT ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"CONNECT "];
    match begin {
        // A handshake or an alert: RFC 8446 §5.1.
        [] | [0x15 | 0x16, 3, ..] => None,
        begin if METHODS.iter().any(|method| begin.starts_with(method)) => Some("it speaks plain HTTP"),
        begin if begin.starts_with(b"PRI * HT") => Some("it speaks plain HTTP/2"),
        begin if begin.starts_with(b"HTTP/1.") => Some("it speaks plain HTTP"),
        begin if begin.starts_with(b"PROXY ") || begin.starts_with(b"\r\n\r\n\0\r\nQ") => {
            Some("it begins with a PROXY protocol header")
        }
        begin if begin.starts_with(b"SSH-") => Some("it speaks SSH"),
        [b'*', b'0'..=b'9', ..] => Some("it may speak RESP, the protocol of Redis, in plain"),
        [0x80..=0xff, _, 1, ..] => Some("it speaks SSL 2.0"),
        _ => Some("its first bytes are no TLS record"),
    }
}

impl std::error::Error for ConnectionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (peer, peers) = match self.side {
            Side::Server => ("the client", "client's"),
            Side::Client => ("the server", "server's"),
        };
        if let (Some(plain), Error::InvalidMessage(_)) = (self.plain, &self.cause) {
            return write!(f, "{peer} speaks no TLS: {plain}");
        }
        match &self.cause {
            Error::InvalidCertificate(error) => certificate(f, peers, error),
            Error::AlertReceived(alert) => refused(f, peer, self.side, *alert),
            Error::NoCertificatesPresented => write!(f, "{peer} showed no certificate, and must"),
            Error::NoApplicationProtocol => {
                write!(f, "{peer} offers none of the application protocols there are (ALPN)")
            }
            Error::PeerIncompatible(why) => incompatible(f, peer, why),
            Error::DecryptError => {
                write!(f, "a record of {peer} does not decrypt: it was damaged on the way, or its keys are others")
            }
            Error::PeerSentOversizedRecord => write!(f, "{peer} sent a record of more than 16 KiB"),
            Error::InvalidMessage(InvalidMessage::HandshakePayloadTooLarge) => {
                write!(f, "{peer} sent a handshake message that is too large")
            }
            Error::InvalidMessage(why) => write!(f, "{peer} sent what is not valid TLS: {why:?}"),
            // As `hey` does.
            Error::PeerMisbehaved(PeerMisbehaved::ServerNameMustContainOneHostName) => write!(
                f,
                "{peer} asks for a server name (SNI) that is none; some clients send the port with it, which RFC 6066 \
                 does not allow: use another client, or one that sends the name alone"
            ),
            Error::PeerMisbehaved(why) => write!(f, "{peer} broke the rules of TLS: {why:?}"),
            // As an echo does.
            Error::InappropriateHandshakeMessage { got_type: HandshakeType::ClientHello, .. }
                if self.side == Side::Client =>
            {
                write!(f, "{peer} speaks no TLS: it sends back what it is sent")
            }
            Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
                write!(f, "{peer} sent a message of TLS that does not belong here: {}", self.cause)
            }
            Error::General(why) => write!(f, "TLS failed: {why}"),
            other => write!(f, "TLS failed: {other}"),
        }
    }
}

fn certificate(f: &mut fmt::Formatter<'_>, peers: &str, error: &CertificateError) -> fmt::Result {
    match error {
        CertificateError::Expired => write!(f, "the {peers} certificate has expired"),
        CertificateError::ExpiredContext { not_after, .. } => {
            write!(f, "the {peers} certificate expired at {}", crate::validity::utc(not_after.as_secs()))
        }
        CertificateError::NotValidYet => write!(f, "the {peers} certificate is not valid yet"),
        CertificateError::NotValidYetContext { not_before, .. } => {
            let from = crate::validity::utc(not_before.as_secs());
            write!(f, "the {peers} certificate is valid only from {from}: are the clocks right?")
        }
        CertificateError::Revoked => write!(f, "the {peers} certificate was revoked"),
        CertificateError::UnknownIssuer => {
            write!(f, "the {peers} certificate is of no CA that is trusted here, or its chain lacks a certificate")
        }
        CertificateError::UnknownRevocationStatus => {
            write!(
                f,
                "it is not known whether the {peers} certificate was revoked: an issuer in its chain has no list here"
            )
        }
        CertificateError::ExpiredRevocationList => {
            write!(f, "it is not known whether the {peers} certificate was revoked: the list of its issuer has expired")
        }
        CertificateError::ExpiredRevocationListContext { next_update, .. } => {
            let at = crate::validity::utc(next_update.as_secs());
            write!(
                f,
                "it is not known whether the {peers} certificate was revoked: the list of its issuer expired at {at}"
            )
        }
        CertificateError::NotValidForName => write!(f, "the {peers} certificate is for another name"),
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().map(|name| bare(name)).collect();
            let names = if names.is_empty() { "no name".into() } else { names.join(", ") };
            write!(f, "the {peers} certificate is for {names}, and not for {}", expected.to_str())
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            write!(f, "the {peers} certificate was not issued for this purpose (its extended key usage)")
        }
        // What is found by its name and did not sign it.
        CertificateError::BadSignature => {
            write!(f, "a signature of the {peers} certificates is wrong: it may be of another CA of the same name")
        }
        CertificateError::BadEncoding => write!(f, "the {peers} certificate cannot be read"),
        CertificateError::Other(other) if is_ca(other) => {
            write!(
                f,
                "the {peers} certificate is that of a CA itself: make one for it that is not (basicConstraints=CA:FALSE)"
            )
        }
        other => write!(f, "the {peers} certificate is not accepted: {other}"),
    }
}

/// The name in what rustls says of it, as `DnsName("example.org")` and `IpAddress(127.0.0.1)`.
fn bare(name: &str) -> &str {
    let inside = name.strip_suffix(')').and_then(|name| name.split_once('('));
    inside.map_or(name, |(_, inside)| inside.trim_matches('"'))
}

fn is_ca(error: &OtherError) -> bool {
    matches!(error.0.downcast_ref(), Some(webpki::Error::CaUsedAsEndEntity))
}

fn refused(f: &mut fmt::Formatter<'_>, peer: &str, side: Side, alert: AlertDescription) -> fmt::Result {
    use AlertDescription as Alert;
    let (mine, others) = match side {
        Side::Server => ("this server's", "server"),
        Side::Client => ("this client's", "client"),
    };
    match alert {
        Alert::UnknownCA => write!(f, "{peer} does not trust the CA of {mine} certificate, or its chain lacks one"),
        Alert::CertificateExpired => write!(f, "{peer} finds that {mine} certificate has expired"),
        Alert::CertificateRevoked => write!(f, "{peer} finds that {mine} certificate was revoked"),
        Alert::BadCertificate | Alert::CertificateUnknown | Alert::UnsupportedCertificate => {
            write!(f, "{peer} does not accept {mine} certificate ({alert:?})")
        }
        Alert::CertificateRequired => write!(f, "{peer} wants a certificate of this {others}"),
        Alert::ProtocolVersion => write!(f, "{peer} has no version of TLS in common with this {others}"),
        Alert::HandshakeFailure | Alert::InsufficientSecurity => {
            write!(f, "{peer} found no cipher suite, key exchange or signature in common ({alert:?})")
        }
        Alert::NoApplicationProtocol => write!(f, "{peer} has none of the application protocols offered (ALPN)"),
        Alert::UnrecognisedName => write!(f, "{peer} does not know the name asked for (SNI)"),
        other => write!(f, "{peer} ended it with the alert {other:?}"),
    }
}

fn incompatible(f: &mut fmt::Formatter<'_>, peer: &str, why: &PeerIncompatible) -> fmt::Result {
    match why {
        PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig => {
            write!(f, "{peer} has no version of TLS that is accepted here ({why:?})")
        }
        PeerIncompatible::SignatureAlgorithmsExtensionRequired => {
            write!(f, "{peer} says nothing of signatures: it is older than TLS 1.2, the oldest version there is here")
        }
        PeerIncompatible::NoCipherSuitesInCommon => write!(f, "{peer} has no cipher suite that is accepted here"),
        PeerIncompatible::NoKxGroupsInCommon => write!(f, "{peer} has no key exchange that is accepted here"),
        PeerIncompatible::NoSignatureSchemesInCommon => {
            write!(f, "{peer} accepts no signature that the keys here can make")
        }
        other => write!(f, "{peer} lacks what is needed here: {other:?}"),
    }
}
