//! Certificates, keys and revocation lists out of PEM (RFC 7468) or DER, each checked for what can be checked without
//! a peer.

use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use webpki::{BorrowedCertRevocationList, EndEntityCert};

use crate::TlsError;

/// All certificates of a PEM text; at least one, and each parses.
pub(crate) fn certificates(origin: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let mut found = Vec::new();
    for section in sections(origin, pem)? {
        if let (SectionKind::Certificate, der) = section {
            found.push(CertificateDer::from(der));
        }
    }
    check_chain(origin, &found)?;
    Ok(found)
}

/// That there is a certificate, and that each parses.
pub(crate) fn check_chain(origin: &str, chain: &[CertificateDer<'_>]) -> Result<(), TlsError> {
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { origin: origin.into() });
    }
    for (at, der) in chain.iter().enumerate() {
        if let Err(error) = EndEntityCert::try_from(der) {
            let why = match error {
                webpki::Error::UnsupportedCertVersion => "it is not of X.509 version 3".into(),
                other => format!("{other:?}"),
            };
            return Err(TlsError::BadCertificate { origin: origin.into(), number: at + 1, why });
        }
    }
    Ok(())
}

/// The one private key of a PEM text.
pub(crate) fn private_key(origin: &str, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    // PKCS #8 says so in its label (RFC 5958), PKCS #1 and SEC1 in a header field (RFC 1421).
    if contains(pem, b"BEGIN ENCRYPTED PRIVATE KEY") || contains(pem, b"Proc-Type: 4,ENCRYPTED") {
        return Err(TlsError::EncryptedKey { origin: origin.into() });
    }
    let mut found = Vec::new();
    for (kind, der) in sections(origin, pem)? {
        match kind {
            SectionKind::PrivateKey => found.push(PrivateKeyDer::Pkcs8(der.into())),
            SectionKind::RsaPrivateKey => found.push(PrivateKeyDer::Pkcs1(der.into())),
            SectionKind::EcPrivateKey => found.push(PrivateKeyDer::Sec1(der.into())),
            _ => (),
        }
    }
    match (found.len(), found.pop()) {
        (1, Some(key)) => Ok(key),
        (0, _) => Err(TlsError::NoKey { origin: origin.into() }),
        (count, _) => Err(TlsError::SeveralKeys { origin: origin.into(), count }),
    }
}

/// The revocation lists of a PEM text, or the one that is there as DER (what authorities serve over HTTP, RFC 2585).
pub(crate) fn crls(origin: &str, bytes: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let mut found = Vec::new();
    // A DER sequence begins with this byte, no text does.
    if bytes.first() == Some(&0x30) && !contains(bytes, b"-----BEGIN") {
        found.push(CertificateRevocationListDer::from(bytes.to_vec()));
    } else {
        for section in sections(origin, bytes)? {
            if let (SectionKind::Crl, der) = section {
                found.push(CertificateRevocationListDer::from(der));
            }
        }
    }
    if found.is_empty() {
        return Err(TlsError::NoCrl { origin: origin.into() });
    }
    for crl in &found {
        if let Err(error) = BorrowedCertRevocationList::from_der(crl) {
            return Err(TlsError::BadCrl { origin: origin.into(), why: format!("{error:?}") });
        }
    }
    Ok(found)
}

fn sections(origin: &str, pem: &[u8]) -> Result<Vec<(SectionKind, Vec<u8>)>, TlsError> {
    <(SectionKind, Vec<u8>)>::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::BadPem { origin: origin.into(), why: not_pem(&error) })
}

/// The parser's own words show the bytes of a line.
fn not_pem(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no END line".into(),
        pem::Error::IllegalSectionStart { .. } => "a BEGIN line is damaged".into(),
        pem::Error::Base64Decode(_) => "what stands between BEGIN and END is not base64".into(),
        other => other.to_string(),
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
