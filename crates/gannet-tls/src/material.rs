//! Certificates, keys and revocation lists out of PEM (RFC 7468) or DER, each checked for what can be checked without
//! a peer.

use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use webpki::{BorrowedCertRevocationList, EndEntityCert};

use crate::TlsError;

const BEGIN: &[u8] = b"-----BEGIN ";
/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

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
    // What some editors begin a text with.
    let pem = pem.strip_prefix(BYTE_ORDER_MARK).unwrap_or(pem);
    let bad = |why| TlsError::BadPem { origin: origin.into(), why };
    if let Some(at) =
        pem.split(|byte| *byte == b'\n').position(|line| line.split(|byte| *byte == b'\r').any(hides_begin))
    {
        return Err(bad(format!("line {} has a BEGIN that is not at its start", at + 1)));
    }
    let sections = <(SectionKind, Vec<u8>)>::pem_slice_iter(pem);
    sections.collect::<Result<_, _>>().map_err(|error| bad(not_pem(&error)))
}

/// Whether a section begins in this line that the parser would leave out without a word, as where files were joined of
/// which one does not end its last line. In a comment it means nothing.
fn hides_begin(line: &[u8]) -> bool {
    let Some(at) = line.windows(BEGIN.len()).position(|window| window == BEGIN) else { return false };
    let before = &line[..at];
    let before = before.strip_prefix(BYTE_ORDER_MARK).unwrap_or(before).trim_ascii();
    at > 0 && (before.is_empty() || before.starts_with(b"-----END "))
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
