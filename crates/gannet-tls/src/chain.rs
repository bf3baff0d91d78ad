//! Whether the certificates of a chain belong together: each was issued by the next (RFC 8446 §4.4.2).
//!
//! A server that sends a chain with a gap works with some clients and not with others: browsers remember intermediate
//! certificates and fetch missing ones, most programs do not.

use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

use crate::validity::element;
use crate::{TlsError, provider};

/// What is unusual in a chain. It can be served all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// The certificates are there, but one does not stand behind the one that it issued. Counted from 1.
    Order { certificate: usize },
    /// This one issued none of those before it. Counted from 1.
    Unrelated { certificate: usize },
    /// No other certificate was given, and the issuer of the first is another.
    Alone { issuer: Vec<u8> },
    /// None of the others issued the first.
    NoIssuer { issuer: Vec<u8> },
}

/// Where the fields of a certificate are.
struct Parts<'a> {
    /// What is signed.
    signed: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
    issuer: &'a [u8],
    subject: &'a [u8],
}

/// Checks the certificates of a chain against each other.
///
/// # Errors
///
/// One of them names another as its issuer that has not signed it: no client can accept that.
pub(crate) fn check(origin: &str, chain: &[CertificateDer<'_>]) -> Result<Vec<Flaw>, TlsError> {
    let Some(all) = chain.iter().map(|der| parts(der)).collect::<Option<Vec<_>>>() else { return Ok(Vec::new()) };
    let mut flaws = Vec::new();
    let mut is_used = vec![false; all.len()];
    let mut at = 0;
    is_used[0] = true;
    while all[at].issuer != all[at].subject {
        let own = &all[at];
        let named = |&place: &usize| !is_used[place] && all[place].subject == own.issuer;
        let candidates: Vec<usize> = (0..all.len()).filter(named).collect();
        let Some(&first) = candidates.first() else { break };
        let Some(&next) = candidates.iter().find(|&&place| signed(own, &chain[place]) != Some(false)) else {
            return Err(TlsError::WrongIssuer {
                origin: origin.into(),
                number: at + 1,
                other: first + 1,
                issuer: name_of(own.issuer),
            });
        };
        if next != at + 1 {
            flaws.push(Flaw::Order { certificate: next + 1 });
        }
        is_used[next] = true;
        at = next;
    }
    let first = &all[0];
    if at == 0 && first.issuer != first.subject {
        let issuer = first.issuer.to_vec();
        flaws.push(if all.len() == 1 { Flaw::Alone { issuer } } else { Flaw::NoIssuer { issuer } });
        return Ok(flaws);
    }
    // A second way to a root, by a certificate that was signed by two, is of use.
    let has_issued = |place: usize| (0..all.len()).any(|at| at != place && all[at].issuer == all[place].subject);
    let unrelated = (0..all.len()).filter(|&place| !is_used[place] && !has_issued(place));
    flaws.extend(unrelated.map(|place| Flaw::Unrelated { certificate: place + 1 }));
    Ok(flaws)
}

/// Whether a certificate in DER is of this name, as it is encoded.
pub(crate) fn is_of(certificate: &[u8], name: &[u8]) -> bool {
    parts(certificate).is_some_and(|parts| parts.subject == name)
}

/// Whether `issuer` has signed a certificate. Nothing where its algorithm is not known here.
fn signed(own: &Parts<'_>, issuer: &CertificateDer<'_>) -> Option<bool> {
    let issuer = EndEntityCert::try_from(issuer).ok()?;
    let provider = provider();
    let known = provider.signature_verification_algorithms.all.iter();
    let mut tried = known.filter(|algorithm| algorithm.signature_alg_id().as_ref() == own.algorithm).peekable();
    tried.peek()?;
    // One name stands for several algorithms where curves are told by the key.
    Some(tried.any(|algorithm| issuer.verify_signature(*algorithm, own.signed, own.signature).is_ok()))
}

fn parts(certificate: &[u8]) -> Option<Parts<'_>> {
    // Certificate { tbsCertificate, signatureAlgorithm, signatureValue }
    let (_, inside, _) = element(certificate)?;
    let (_, fields, rest) = element(inside)?;
    let signed = &inside[..inside.len() - rest.len()];
    let (_, algorithm, rest) = element(rest)?;
    let (_, signature, _) = element(rest)?;
    // The first byte says how many bits of the last are none.
    let (0, signature) = signature.split_first().map(|(&unused, bytes)| (unused, bytes))? else { return None };
    // tbsCertificate { [0] version?, serialNumber, signature, issuer, validity, subject …
    let mut rest = fields;
    if rest.first() == Some(&0xa0) {
        (_, _, rest) = element(rest)?;
    }
    for _ in 0..2 {
        (_, _, rest) = element(rest)?;
    }
    let (_, issuer, rest) = element(rest)?;
    let (_, _, rest) = element(rest)?;
    let (_, subject, _) = element(rest)?;
    Some(Parts { signed, algorithm, signature, issuer, subject })
}

/// A name in words: its common name, or its organization.
pub(crate) fn name_of(name: &[u8]) -> String {
    /// `id-at-commonName` and `id-at-organizationName` (RFC 5280 §A.1).
    const KINDS: [[u8; 3]; 2] = [[0x55, 4, 3], [0x55, 4, 10]];
    let find = |kind: &[u8; 3]| {
        let mut rest = name;
        while let Some((_, attributes, after)) = element(rest) {
            if let Some((_, attribute, _)) = element(attributes)
                && let Some((6, found, value)) = element(attribute)
                && found == kind
                && let Some((_, text, _)) = element(value)
            {
                return Some(String::from_utf8_lossy(text).replace(|letter: char| letter.is_control(), " "));
            }
            rest = after;
        }
        None
    };
    KINDS.iter().find_map(find).unwrap_or_else(|| "one without a name".to_owned())
}
