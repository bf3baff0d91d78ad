//! Which pages of browsers may use the gateway: the check of the header `Origin`.

use std::fmt::{self, Display, Formatter};

/// The origins whose pages may connect, as patterns such as `https://example.com` or `https://*.example.com`.
///
/// A browser names the page's origin in each WebSocket handshake and in each request to another origin. Without patterns,
/// only requests without the header are taken: those of programs that are no browsers.
#[derive(Clone, Debug, Default)]
pub struct Origins(Vec<Box<str>>);

/// Says why a text is no pattern of origins.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{pattern}' is not an origin: {reason}; write https://example.com, https://*.example.com:8443, or * for all")]
pub struct OriginError {
    /// The text.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Origins {
    /// Reads patterns. In each, `*` stands for any characters but `/`, and a lone `*` for all origins.
    ///
    /// # Errors
    ///
    /// A pattern has no scheme or no host, or a path behind them: no browser sends that, so it would match nothing.
    pub fn new<T: AsRef<str>>(patterns: impl IntoIterator<Item = T>) -> Result<Self, OriginError> {
        let mut read = Vec::new();
        for pattern in patterns {
            let pattern = pattern.as_ref();
            let wrong = |reason| OriginError { pattern: pattern.to_owned(), reason };
            if pattern == "*" || pattern == "null" {
                read.push(pattern.into());
                continue;
            }
            let (scheme, host) = pattern.split_once("://").ok_or_else(|| wrong("it has no scheme"))?;
            if scheme.is_empty() || host.is_empty() {
                return Err(wrong("its scheme or its host is empty"));
            }
            if host.contains(['/', '?', '#', '@']) {
                return Err(wrong("an origin ends after the host and the port"));
            }
            if !pattern.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(wrong(
                    "it has blanks or letters beyond ASCII; write such a host as a browser sends it, xn--…",
                ));
            }
            read.push(pattern.to_ascii_lowercase().into());
        }
        Ok(Self(read))
    }

    /// The origins of pages that this machine serves itself, on any port: for the setup without configuration.
    #[must_use]
    pub fn loopback() -> Self {
        let hosts = ["127.0.0.1", "localhost", "[::1]"];
        let of = |host: &&str| {
            ["http", "https"].map(|scheme| [format!("{scheme}://{host}"), format!("{scheme}://{host}:*")])
        };
        Self(hosts.iter().flat_map(of).flatten().map(String::into_boxed_str).collect())
    }

    /// Adds the patterns of `others`.
    pub fn extend(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Tells whether there are no patterns.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Decides about a request: `origin` is the value of its header, `None` where it has none.
    ///
    /// The caller refuses a request with two such headers.
    #[must_use]
    pub fn allows(&self, origin: Option<&[u8]>) -> bool {
        let Some(origin) = origin else { return true };
        self.0.iter().any(|pattern| &**pattern == "*" || matches(pattern.as_bytes(), origin))
    }
}

impl Display for Origins {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// Whether a pattern in small letters matches. `*` takes any bytes but `/`; the last one seen is tried with one byte more
/// where the rest does not fit, which is enough for patterns of this kind.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        let byte = text[seen].to_ascii_lowercase();
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(expected) if *expected == byte => {
                at += 1;
                seen += 1;
            }
            _ => match star {
                Some((back, taken)) if text[taken] != b'/' => {
                    star = Some((back, taken + 1));
                    at = back + 1;
                    seen = taken + 1;
                }
                _ => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(patterns: &[&str]) -> Origins {
        Origins::new(patterns).expect("patterns")
    }

    #[test]
    fn without_patterns_only_requests_without_an_origin_are_taken() {
        assert!(Origins::default().allows(None));
        assert!(!Origins::default().allows(Some(b"https://example.com")));
        assert!(!Origins::default().allows(Some(b"")));
        assert!(!Origins::default().allows(Some(b"null")));
    }

    #[test]
    fn an_origin_has_to_match_as_a_whole() {
        let allowed = origins(&["https://example.com", "https://*.example.com", "http://localhost:*"]);
        for origin in [
            "https://example.com",
            "HTTPS://Example.COM",
            "https://a.example.com",
            "https://a.b.example.com",
            "http://localhost:3000",
            "http://localhost:",
        ] {
            assert!(allowed.allows(Some(origin.as_bytes())), "{origin}");
        }
        for origin in [
            "http://example.com",
            "https://example.com.evil.org",
            "https://example.com:8443",
            "https://evil.org/.example.com",
            "https://evilexample.com",
            "https://.example.comx",
            "http://localhost",
            "http://localhost.evil.org:1",
            "null",
            "",
        ] {
            assert!(!allowed.allows(Some(origin.as_bytes())), "{origin}");
        }
        assert!(allowed.allows(None));
    }

    #[test]
    fn several_stars_are_matched_without_regret() {
        let allowed = origins(&["https://*-*.app.example.com"]);
        assert!(allowed.allows(Some(b"https://feature-x-1.app.example.com")));
        assert!(!allowed.allows(Some(b"https://feature.app.example.com")));
        let allowed = origins(&["https://*.a.com"]);
        assert!(allowed.allows(Some(b"https://x.a.com.a.com")));
    }

    #[test]
    fn a_star_alone_takes_every_origin_and_null_only_itself() {
        assert!(origins(&["*"]).allows(Some(b"https://anything.example")));
        assert!(origins(&["*"]).allows(Some(b"null")));
        assert!(origins(&["null"]).allows(Some(b"null")));
        assert!(!origins(&["null"]).allows(Some(b"https://null")));
    }

    #[test]
    fn pages_of_this_machine_are_taken_on_every_port_and_no_others() {
        let loopback = Origins::loopback();
        for origin in ["http://127.0.0.1:8000", "http://localhost", "https://localhost:8443", "http://[::1]:8000"] {
            assert!(loopback.allows(Some(origin.as_bytes())), "{origin}");
        }
        for origin in ["http://127.0.0.1.evil.org", "http://localhost.evil.org", "http://evil.org:8000"] {
            assert!(!loopback.allows(Some(origin.as_bytes())), "{origin}");
        }
    }

    #[test]
    fn a_pattern_that_no_browser_could_match_is_refused_by_name() {
        for (pattern, why) in [
            ("example.com", "no scheme"),
            ("", "no scheme"),
            ("https://", "empty"),
            ("://example.com", "empty"),
            ("https://example.com/", "ends after"),
            ("https://example.com/app", "ends after"),
            ("https://me@example.com", "ends after"),
            ("https://exa mple.com", "blanks"),
            ("https://bücher.example", "xn--"),
        ] {
            let error = Origins::new([pattern]).expect_err(pattern).to_string();
            assert!(error.contains(why) && error.contains(&format!("'{pattern}'")), "{error}");
        }
    }
}
