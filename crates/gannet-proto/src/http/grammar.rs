//! What bytes the parts of a message may consist of.

/// Whether `bytes` are a token (RFC 9110 §5.6.2).
#[inline]
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| is_token_byte(byte))
}

/// Whether a token may have this byte (RFC 9110 §5.6.2).
#[inline]
pub(super) const fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

static TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");
static TARGET: [bool; 256] = table(b"!$%&'()*+,-./:;=?@[\\]^_`{|}~");
static HOST: [bool; 256] = table(b"!$&'()*+-.;=_~");

/// A table of the letters, the digits and `others`.
const fn table(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

/// Whether all of `bytes` may be in a target: what RFC 3986 allows outside of fragments, and what browsers send
/// although it does not: `\`, `^`, `` ` ``, `{`, `|`, `}`.
#[inline]
pub(super) fn is_target(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| TARGET[byte as usize])
}

/// Where the first byte is in `value` that a field's value must not have (RFC 9110 §5.5): a control character other
/// than a tab.
#[inline]
pub(super) fn control_in(value: &[u8]) -> Option<usize> {
    let is_control = |byte: u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
    // Without a way out of the loop it becomes one over many bytes at a time.
    let any = value.iter().fold(false, |any, &byte| any | is_control(byte));
    if any { value.iter().position(|&byte| is_control(byte)) } else { None }
}

/// Whether `bytes` are a host with or without a port (RFC 9110 §7.2, RFC 3986 §3.2.2). It may be empty, as `Host` is
/// where the target has no authority. A comma is refused though the grammar has it: it comes from fields joined on
/// the way.
pub(super) fn is_authority(bytes: &[u8]) -> bool {
    let (valid, rest) = match bytes {
        [] => return true,
        [b'[', inside @ ..] => match inside.iter().position(|&byte| byte == b']') {
            Some(end) => (is_address(&inside[..end]), &inside[end + 1..]),
            None => return false,
        },
        _ => match bytes.iter().position(|&byte| !HOST[byte as usize]) {
            // A name of plain letters, as nearly all are: one way through it is enough.
            None => (true, &[][..]),
            Some(end) if bytes[end] == b':' => (end > 0, &bytes[end..]),
            Some(plain) => {
                let end = bytes[plain..].iter().position(|&byte| byte == b':').map_or(bytes.len(), |at| plain + at);
                (is_name(&bytes[..end]), &bytes[end..])
            }
        },
    };
    valid && is_port(rest)
}

/// A version 6 address, roughly: only its bytes are looked at.
fn is_address(bytes: &[u8]) -> bool {
    bytes.contains(&b':') && bytes.iter().all(|&byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'))
}

fn is_name(mut bytes: &[u8]) -> bool {
    let any = !bytes.is_empty();
    while let Some((&byte, rest)) = bytes.split_first() {
        bytes = match rest {
            [high, low, rest @ ..] if byte == b'%' && high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => rest,
            _ if HOST[byte as usize] => rest,
            _ => return false,
        };
    }
    any
}

/// Nothing, or a colon and a port. A port may be empty (RFC 3986 §3.2.3).
fn is_port(bytes: &[u8]) -> bool {
    match bytes {
        [] => true,
        [b':', digits @ ..] if digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit) => {
            digits.iter().fold(0, |port, digit| port * 10 + u32::from(digit - b'0')) <= u32::from(u16::MAX)
        }
        _ => false,
    }
}

/// `bytes` without blanks and tabs at both ends (OWS of RFC 9110 §5.6.3).
#[inline]
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Whether the list `value` has `token`, in whatever case (RFC 9110 §5.6.1).
pub(super) fn has_token(value: &[u8], token: &str) -> bool {
    value.split(|&byte| byte == b',').any(|element| trim(element).eq_ignore_ascii_case(token.as_bytes()))
}
