//! Names of sessions whose commands come by requests: where a session is, and a secret.

use gannet_channels::ClientKey;

/// Returns the name of a session: where it is, and a secret.
pub(crate) fn of(reactor: usize, key: ClientKey, secret: u128) -> String {
    format!("{reactor:x}.{:x}.{secret:032x}", key.to_bits())
}

/// Reads such a name.
pub(crate) fn parse(name: &str) -> Option<(usize, ClientKey, u128)> {
    let mut parts = name.split('.');
    let reactor = usize::from_str_radix(parts.next()?, 16).ok()?;
    let key = ClientKey::from_bits(u64::from_str_radix(parts.next()?, 16).ok()?);
    let secret = u128::from_str_radix(parts.next()?, 16).ok()?;
    parts.next().is_none().then_some((reactor, key, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_by_its_name() {
        let key = ClientKey::from_bits(0x1234_0000_0007);
        assert_eq!(parse(&of(3, key, 5 << 90)), Some((3, key, 5 << 90)));
        for malformed in ["", "1.2", "1.2.3.4", "x.2.3", "1..3"] {
            assert_eq!(parse(malformed), None, "{malformed}");
        }
    }
}
