//! Which names a request may give the server in `Host`, where nothing else keeps pages of other sites out.
//!
//! A page of another site can have its own name lead to this machine once it is loaded. A browser then takes the server for
//! a part of that site, and sends no `Origin`; but it still says that name in `Host`.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::origin::Origins;

/// Returns whether a request may have been meant for this server: it names an address, this machine (`localhost`), or the host
/// of an allowed origin. A request without the field is none of a browser's.
pub(crate) fn is_own(host: Option<&[u8]>, origins: &Origins) -> bool {
    let Some(host) = host else { return true };
    let Ok(host) = std::str::from_utf8(host) else { return false };
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    let lower = name.trim_end_matches('.').to_ascii_lowercase();
    if lower.parse::<Ipv4Addr>().is_ok() || lower == "localhost" || lower.ends_with(".localhost") {
        return true;
    }
    [host, name].iter().any(|host| {
        ["http", "https"].iter().any(|scheme| origins.allows(Some(format!("{scheme}://{host}").as_bytes())))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_this_machine_and_hosts_of_allowed_origins_are_meant_and_other_names_are_not() {
        let origins = Origins::new(["https://app.example.com", "http://*.test:8000"]).expect("patterns");
        for host in [
            "127.0.0.1",
            "127.0.0.1:8000",
            "192.0.2.7:80",
            "[::1]",
            "[::1]:8000",
            "localhost",
            "LocalHost:8000",
            "localhost.",
            "a.localhost:1",
            "app.example.com",
            "app.example.com:8000",
            "a.test:8000",
        ] {
            assert!(is_own(Some(host.as_bytes()), &origins), "{host}");
        }
        assert!(is_own(None, &origins), "no browser");
        for host in [
            "",
            "evil.example",
            "evil.example:8000",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "app.example.com.evil.example",
            "notlocalhost",
            "a.test",
            "[evil.example]",
            "[::1",
            "1.2.3",
        ] {
            assert!(!is_own(Some(host.as_bytes()), &origins), "{host}");
        }
        assert!(!is_own(Some(b"\xff"), &origins));
        assert!(is_own(Some(b"any.example"), &Origins::new(["*"]).expect("a pattern")));
    }
}
