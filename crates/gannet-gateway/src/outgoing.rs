//! Requests that the gateway sends: to the application, and for keys. Each blocks its thread, so never a reactor's.

use std::collections::HashMap;
use std::fmt::{self, Debug, Display, Formatter};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// How long an address that was looked up is used.
const ADDRESS_AGE: Duration = Duration::from_secs(30);

/// The buffers of a connection, each way. What is larger passes in pieces.
const BUFFER_BYTES: usize = 16 << 10;

/// The largest head of a response.
const LARGEST_HEAD_BYTES: usize = 16 << 10;

/// How long a connection stays open without a request. Shorter than what servers keep by default (Node.js 5 s, nginx 75 s), so
/// that a request seldom meets a connection that is being closed.
const IDLE_AGE: Duration = Duration::from_secs(4);

/// An address of a server that is asked: a URL of `http` or `https`.
///
/// `Display` and `Debug` leave out the query and the user, which may hold secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    uri: Uri,
    shown: Arc<str>,
}

impl Endpoint {
    /// Tells whether requests go over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// Returns the path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// Returns the host, as a name or an address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.uri.host().unwrap_or_default()
    }

    /// Returns the port; that of the scheme where the URL has none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(if self.is_tls() { 443 } else { 80 })
    }

    /// Gives the endpoint with another path behind its own, without a query.
    ///
    /// # Errors
    ///
    /// The path has characters that no URL has.
    pub fn join(&self, path: &str) -> Result<Self, String> {
        let scheme = self.uri.scheme_str().unwrap_or("http");
        let authority = self.uri.authority().map_or("", |authority| authority.as_str());
        let own = self.uri.path().trim_end_matches('/');
        format!("{scheme}://{authority}{own}/{path}").parse()
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "not a URL: write http://host:port/path or https://host/path".to_owned();
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let (Some(scheme @ ("http" | "https")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(wrong());
        };
        let host = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host);
        // A port that is none is taken for no port by the parser.
        let behind = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
        if authority.host().is_empty() || (behind.contains(':') && authority.port_u16().is_none()) {
            return Err(wrong());
        }
        let shown = format!("{scheme}://{host}{}", uri.path()).into();
        Ok(Self { uri, shown })
    }
}

impl Display for Endpoint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl Debug for Endpoint {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({})", self.shown)
    }
}

/// The authorities whose certificates are accepted from `https` servers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those of the system. They are read when a server of `https` is first configured.
    #[default]
    System,
    /// These only.
    Authorities(Arc<Vec<CertificateDer<'static>>>),
}

impl Trust {
    /// Reads authorities from a PEM file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or has no certificate.
    pub fn file(path: &Path) -> Result<Self, String> {
        let wrong = |why: &dyn Display| format!("the file of authorities {} cannot be used: {why}", path.display());
        let pem = gannet_tls::read_file(path, gannet_tls::LARGEST_FILE).map_err(|error| wrong(&error))?;
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        match read {
            Ok(certificates) if certificates.is_empty() => Err(wrong(&"it has no certificate as PEM")),
            Ok(certificates) => Ok(Self::Authorities(Arc::new(certificates))),
            Err(error) => Err(wrong(&error)),
        }
    }

    fn roots(&self) -> RootCerts {
        let of = |certificates: &[CertificateDer<'_>]| {
            let certificates = certificates.iter().map(|certificate| Certificate::from_der(certificate).to_owned());
            RootCerts::from(certificates.collect::<Vec<_>>())
        };
        match self {
            // What cannot be read is left out; with none at all, every handshake fails and says why.
            Self::System => of(&rustls_native_certs::load_native_certs().certs),
            Self::Authorities(certificates) => of(certificates),
        }
    }
}

/// Says why a request brought nothing to use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutgoingError {
    /// There was no answer in time.
    #[error("no answer within the time limit")]
    Timeout,
    /// No connection could be opened.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// The connection ended before the response did.
    #[error("the connection ended before the response did")]
    Closed,
    /// The handshake of TLS failed.
    #[error("TLS: {0}")]
    Tls(String),
    /// The response has a status other than 200.
    #[error("status {0}")]
    Status(u16),
    /// The response is larger than the limit.
    #[error("the response is larger than {0} bytes")]
    Large(usize),
    /// The response is not what was asked for.
    #[error("the response cannot be understood: {0}")]
    Malformed(String),
}

impl OutgoingError {
    /// Returns the name in metrics, such as `timeout`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable(_) => "unreachable",
            Self::Closed => "closed",
            Self::Tls(_) => "tls",
            Self::Status(_) => "status",
            Self::Large(_) => "large",
            Self::Malformed(_) => "malformed",
        }
    }
}

/// A client for a few servers, with connections that are kept.
#[derive(Clone, Debug)]
pub struct Outgoing {
    agent: Agent,
    largest: usize,
}

/// A response: its status and its body.
#[derive(Debug)]
pub struct Response {
    /// The status, such as 200.
    pub status: u16,
    /// The body, up to the client's limit.
    pub body: Vec<u8>,
}

impl Outgoing {
    /// Makes a client for `endpoints` that waits `timeout` for each response of at most `largest` bytes, and keeps up to
    /// `connections` open.
    ///
    /// It asks no proxy of the environment and follows no redirect: who configures an address means it.
    #[must_use]
    pub fn new(endpoints: &[&Endpoint], trust: &Trust, timeout: Duration, largest: usize, connections: usize) -> Self {
        let mut tls = TlsConfig::builder()
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        tls = if endpoints.iter().any(|endpoint| endpoint.is_tls()) {
            tls.root_certs(trust.roots())
        } else {
            tls.root_certs(RootCerts::from(Vec::new()))
        };
        let config = Config::builder()
            .tls_config(tls.build())
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("gannet/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(timeout))
            .max_response_header_size(LARGEST_HEAD_BYTES)
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .max_idle_connections(connections)
            .max_idle_connections_per_host(connections)
            .max_idle_age(IDLE_AGE)
            .build();
        let agent = Agent::with_parts(config, DefaultConnector::default(), Addresses::default());
        Self { agent, largest }
    }

    /// Asks for what is there. Blocks the thread.
    ///
    /// # Errors
    ///
    /// There is no response in time that can be read.
    pub fn get(&self, endpoint: &Endpoint) -> Result<Response, OutgoingError> {
        self.take(self.agent.get(endpoint.uri.clone()).header("accept", "application/json").call())
    }

    /// Sends JSON, with these headers. Blocks the thread.
    ///
    /// # Errors
    ///
    /// There is no response in time that can be read.
    pub fn post<'a>(
        &self,
        endpoint: &Endpoint,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
        json: &[u8],
    ) -> Result<Response, OutgoingError> {
        let mut request = self.agent.post(endpoint.uri.clone()).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        self.take(request.send(json))
    }

    fn take(&self, response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Result<Response, OutgoingError> {
        let mut response = response.map_err(|error| self.failure(error))?;
        let status = response.status().as_u16();
        let limit = u64::try_from(self.largest).unwrap_or(u64::MAX);
        let body = response.body_mut().with_config().limit(limit).read_to_vec().map_err(|error| self.failure(error))?;
        Ok(Response { status, body })
    }

    fn failure(&self, error: ureq::Error) -> OutgoingError {
        match error {
            ureq::Error::Timeout(_) => OutgoingError::Timeout,
            ureq::Error::BodyExceedsLimit(_) => OutgoingError::Large(self.largest),
            ureq::Error::HostNotFound => OutgoingError::Unreachable("the host is not known".to_owned()),
            ureq::Error::ConnectionFailed => OutgoingError::Unreachable("no address took a connection".to_owned()),
            ureq::Error::Tls(why) => OutgoingError::Tls(why.to_owned()),
            ureq::Error::Rustls(error) => OutgoingError::Tls(error.to_string()),
            ureq::Error::Io(error) => match error.kind() {
                ErrorKind::TimedOut | ErrorKind::WouldBlock => OutgoingError::Timeout,
                ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe => OutgoingError::Closed,
                // Rustls says so by an error of input and output.
                ErrorKind::InvalidData => OutgoingError::Tls(error.to_string()),
                _ => OutgoingError::Unreachable(error.to_string()),
            },
            other => OutgoingError::Malformed(other.to_string()),
        }
    }
}

/// Looks addresses up, and keeps them a while: `ureq` wants them for each request, also on a connection that is kept, and each
/// look-up costs a thread.
#[derive(Default)]
struct Addresses {
    system: DefaultResolver,
    /// Few, since the endpoints are those of the settings.
    known: Mutex<HashMap<String, (Instant, Vec<SocketAddr>)>>,
}

impl Debug for Addresses {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Addresses").finish_non_exhaustive()
    }
}

impl Resolver for Addresses {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let all = |addresses: &[SocketAddr]| {
            let mut list = self.empty();
            addresses.iter().take(16).for_each(|address| list.push(*address));
            list
        };
        if let Ok(ip) = host.parse() {
            return Ok(all(&[SocketAddr::new(ip, port)]));
        }
        let name = format!("{host}:{port}");
        #[expect(
            clippy::disallowed_methods,
            reason = "no reactor runs here, and nothing else tells how old an address is"
        )]
        let now = Instant::now();
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        if let Some((since, addresses)) = &known
            && now.saturating_duration_since(*since) < ADDRESS_AGE
        {
            return Ok(all(addresses));
        }
        match (self.system.resolve(uri, config, timeout), known) {
            (Ok(found), _) => {
                let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
                known.insert(name, (now, found.to_vec()));
                Ok(found)
            }
            // An old address is better than none while the name server is down.
            (Err(_), Some((_, addresses))) => Ok(all(&addresses)),
            (Err(error), None) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_shows_neither_its_user_nor_its_query() {
        let endpoint: Endpoint = "https://ann:hunter2@app.example:8443/hook?key=hunter2".parse().expect("a URL");
        assert_eq!(endpoint.to_string(), "https://app.example:8443/hook");
        assert_eq!(format!("{endpoint:?}"), "Endpoint(https://app.example:8443/hook)");
    }

    #[test]
    fn what_is_no_url_of_http_is_refused_with_an_example() {
        for text in
            ["", "app", "app:80", "/hook", "ftp://app/", "http://", "http:///x", "http://app:99999/", "http://a b/"]
        {
            let error = text.parse::<Endpoint>().expect_err(text);
            assert!(error.contains("http://host:port/path"), "{text}: {error}");
        }
    }

    #[test]
    fn a_path_is_joined_with_one_slash() {
        for base in ["http://127.0.0.1:8000", "http://127.0.0.1:8000/"] {
            let endpoint: Endpoint = base.parse().expect(base);
            assert_eq!(endpoint.join("api/publish").expect("joined").to_string(), "http://127.0.0.1:8000/api/publish");
        }
    }
}
