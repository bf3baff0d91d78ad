//! Requests that change something have to come from the admin page itself.

/// Decides about a request: `origins` are its `Origin` fields, `site` its `Sec-Fetch-Site`, and `host` its `Host`.
///
/// Browsers send an origin with every `POST`, and it has to be that of the server. Programs that are no browsers send none, and
/// no page of somebody else can make them send something. The scheme is not compared: a proxy may have taken TLS away.
pub(super) fn is_own<'a>(
    mut origins: impl Iterator<Item = &'a [u8]>,
    site: Option<&[u8]>,
    host: Option<&[u8]>,
) -> bool {
    if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
        return false;
    }
    let Some(origin) = origins.next() else { return true };
    let authority = origin.strip_prefix(b"https://").or_else(|| origin.strip_prefix(b"http://"));
    let same = authority.zip(host).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host));
    same && origins.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(origin: Option<&str>, site: Option<&str>) -> bool {
        is_own(origin.iter().map(|origin| origin.as_bytes()), site.map(str::as_bytes), Some(b"push.example:8000"))
    }

    #[test]
    fn a_request_of_the_page_itself_is_taken() {
        for origin in ["http://push.example:8000", "https://push.example:8000", "https://PUSH.example:8000"] {
            assert!(decide(Some(origin), Some("same-origin")), "{origin}");
            assert!(decide(Some(origin), None), "{origin}");
        }
        assert!(decide(None, None), "a program that is no browser");
        assert!(decide(None, Some("none")), "somebody typed it");
    }

    #[test]
    fn a_request_of_another_page_is_refused() {
        for origin in [
            "http://push.example",
            "http://push.example:8001",
            "https://evil.example",
            "https://evil.example:8000",
            "http://push.example:8000.evil.example",
            "http://push.example:8000/",
            "push.example:8000",
            "null",
            "",
        ] {
            assert!(!decide(Some(origin), None), "{origin}");
        }
        for site in ["cross-site", "same-site", ""] {
            assert!(!decide(Some("http://push.example:8000"), Some(site)), "{site}");
            assert!(!decide(None, Some(site)), "{site}");
        }
        let twice = [&b"http://push.example:8000"[..]; 2];
        assert!(!is_own(twice.into_iter(), None, Some(b"push.example:8000")));
        assert!(!is_own([&b"http://"[..]].into_iter(), None, None));
    }
}
