//! Where a load goes: an address as listeners have it, or a URL as browsers have it.

use gannet::Address;
use gannet_load::run::Kind;
use gannet_load::scenario::http::Path;

use super::options::usage;
use crate::failure::Failure;

/// A target, and what its URL says beside the address.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    /// Where connections go.
    pub(super) address: Address,
    /// Further addresses of the same host, for where that one does not answer.
    pub(super) others: Vec<Address>,
    /// The host as it was written, with its port where it is not the scheme's own; nothing for the path of a socket.
    pub(super) host: Option<String>,
    /// The path and query of an `http://` or `ws://` URL, where there is one.
    pub(super) path: Option<Path>,
}

impl Target {
    /// Reads `tcp://host:port`, `tls://host:port` and `unix:///path` for any scenario; for http, ws and push also
    /// `http://host[:port][/path]` and `ws://…`, which are the same there, and `https://…` and `wss://…`.
    ///
    /// # Errors
    ///
    /// It is none of these.
    pub(super) fn parse(url: &str, kind: Kind) -> Result<Self, Failure> {
        let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
        let has_paths = matches!(kind, Kind::Http | Kind::Ws | Kind::Push);
        let (address, host, path) = match scheme {
            "http" | "ws" if has_paths => browsers("tcp", rest, "80"),
            "https" | "wss" if has_paths => browsers("tls", rest, "443"),
            "http" | "ws" | "https" | "wss" => {
                let instead = if scheme.ends_with("ps") || scheme == "wss" { "tls" } else { "tcp" };
                return Err(usage(&format!(
                    "{scheme}:// is for the scenarios http, ws and push; {} takes {instead}://host:port",
                    kind.name()
                )));
            }
            "tcp" | "tls" => (url.to_owned(), Some(rest), None),
            _ => (url.to_owned(), None, None),
        };
        let mut others = Address::all(&address)?;
        let address = others.remove(0);
        if matches!(address, Address::Udp(_)) {
            return Err(usage("a load goes to tcp://, tls:// or unix://"));
        }
        let path = path.map(|path| path.parse::<Path>().map_err(|error| usage(&error.to_string()))).transpose()?;
        Ok(Self { address, others, host: host.map(without_zone), path })
    }

    /// Whether it speaks TLS.
    pub(super) fn is_tls(&self) -> bool {
        matches!(self.address, Address::Tls(_))
    }

    /// The host as it was written, without a port and brackets.
    pub(super) fn host_name(&self) -> &str {
        let host = self.host.as_deref().unwrap_or_default();
        match host.strip_prefix('[') {
            Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        }
    }
}

/// A host as servers are told it: which interface a link-local address is reached by is this machine's business (RFC 6874 §4).
fn without_zone(host: &str) -> String {
    match host.split_once('%').and_then(|(ip, rest)| Some((ip, rest.split_once(']')?.1))) {
        Some((ip, port)) if host.starts_with('[') => format!("{ip}]{port}"),
        _ => host.to_owned(),
    }
}

/// The address of a browser's URL after its scheme, what `Host` says, and the path.
fn browsers<'u>(scheme: &str, rest: &'u str, default_port: &str) -> (String, Option<&'u str>, Option<&'u str>) {
    let (authority, path) = match rest.find(['/', '?']) {
        Some(end) => (&rest[..end], Some(&rest[end..])),
        None => (rest, None),
    };
    let after_host = authority.rfind(']').map_or(authority, |end| &authority[end..]);
    if after_host.contains(':') {
        return (format!("{scheme}://{authority}"), Some(authority), path);
    }
    (format!("{scheme}://{authority}:{default_port}"), Some(authority), path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(url: &str, kind: Kind) -> Result<(String, Option<String>, Option<String>), String> {
        let target = Target::parse(url, kind).map_err(|error| error.line())?;
        Ok((target.address.to_string(), target.host, target.path.map(|path| path.as_str().to_owned())))
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn targets_are_written_as_listeners_or_as_browsers_have_them() {
        for (url, address, host, path) in [
            ("tcp://127.0.0.1:8080", "tcp://127.0.0.1:8080", some("127.0.0.1:8080"), None),
            ("http://127.0.0.1:8080", "tcp://127.0.0.1:8080", some("127.0.0.1:8080"), None),
            ("http://127.0.0.1/", "tcp://127.0.0.1:80", some("127.0.0.1"), some("/")),
            ("http://[::1]/a?b=c:d", "tcp://[::1]:80", some("[::1]"), some("/a?b=c:d")),
            ("http://[::1]:90/a", "tcp://[::1]:90", some("[::1]:90"), some("/a")),
            ("https://127.0.0.1/a", "tls://127.0.0.1:443", some("127.0.0.1"), some("/a")),
            ("tls://127.0.0.1:8443", "tls://127.0.0.1:8443", some("127.0.0.1:8443"), None),
            ("http://[fe80::1%3]:90/a", "tcp://[fe80::1%3]:90", some("[fe80::1]:90"), some("/a")),
            ("tcp://[fe80::1%3]:90", "tcp://[fe80::1%3]:90", some("[fe80::1]:90"), None),
            ("https://[fe80::1%3]/a", "tls://[fe80::1%3]:443", some("[fe80::1]"), some("/a")),
            ("unix:///run/http.sock", "unix:///run/http.sock", None, None),
        ] {
            assert_eq!(parts(url, Kind::Http), Ok((address.to_owned(), host, path)), "{url}");
        }
        assert!(parts("ws://127.0.0.1/chat", Kind::Ws).is_ok_and(|(_, _, path)| path == some("/chat")));
        for kind in [Kind::Http, Kind::Ws] {
            for (url, address) in [
                ("http://127.0.0.1/chat", "tcp://127.0.0.1:80"),
                ("ws://127.0.0.1:90/chat", "tcp://127.0.0.1:90"),
                ("https://127.0.0.1/chat", "tls://127.0.0.1:443"),
                ("wss://127.0.0.1/chat", "tls://127.0.0.1:443"),
            ] {
                let parts = parts(url, kind).map(|(address, _, path)| (address, path));
                assert_eq!(parts, Ok((address.to_owned(), some("/chat"))), "{url}");
            }
        }
        assert_eq!(parts("tcp://localhost:80", Kind::Http).map(|(_, host, _)| host), Ok(some("localhost:80")));
    }

    #[test]
    fn a_certificate_is_for_the_host_as_it_was_written() {
        for (url, name) in [
            ("tls://localhost:1", "localhost"),
            ("https://[::1]:2/a", "::1"),
            ("https://[::1]/", "::1"),
            ("https://127.0.0.1", "127.0.0.1"),
        ] {
            let target = Target::parse(url, Kind::Http).map_err(|error| error.line()).expect(url);
            assert!(target.is_tls() && target.host_name() == name, "{url}: {target:?}");
        }
    }

    #[test]
    fn what_is_no_target_is_said() {
        for (url, kind, why) in [
            ("http://127.0.0.1:80/", Kind::Echo, "for the scenarios http, ws and push; echo takes tcp://host:port"),
            ("ws://127.0.0.1:80/", Kind::Redis, "redis takes tcp://"),
            ("https://127.0.0.1:80/", Kind::Lines, "lines takes tls://"),
            ("wss://127.0.0.1:80/", Kind::Idle, "idle takes tls://"),
            ("udp://127.0.0.1:80", Kind::Http, "tcp://, tls:// or unix://"),
            ("http://127.0.0.1?a", Kind::Http, "is not a path"),
            ("http://127.0.0.1/a#b", Kind::Http, "is not a path"),
            ("ftp://127.0.0.1:80", Kind::Http, "none of tcp"),
        ] {
            let error = parts(url, kind).expect_err(url);
            assert!(error.contains(why), "{url}: {error}");
        }
    }
}
