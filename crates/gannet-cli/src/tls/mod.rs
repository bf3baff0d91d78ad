//! TLS of `gannet serve`: what `tls://` listeners are served with, and how it is renewed while they serve.

mod reload;
mod watch;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::SystemTime;

use gannet::FilterFactory;
use gannet_tls::{Identity, TlsConfig, TlsError, TlsFiles, TlsServer, self_signed};

pub(crate) use self::reload::Reloads;
use self::watch::Seen;
use crate::status::Status;

/// What the service of a listener speaks, as clients name it in their handshake (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http,
    /// Something without a name: what clients name is not looked at.
    Unnamed,
}

/// A profile that fits together.
#[derive(Clone, Debug)]
pub(crate) struct TlsSettings {
    /// All files; none has a certificate where that is made on the spot.
    pub(crate) files: TlsFiles,
    pub(crate) self_signed: bool,
}

/// What `tls://` listeners of a profile are served with.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    files: Arc<TlsFiles>,
    /// The certificate that was made on the spot, in place of those of files.
    own: Option<Identity>,
    http: TlsServer,
    unnamed: TlsServer,
    /// All files, each once.
    paths: Vec<PathBuf>,
    /// What they held just before they were read.
    seen: Seen,
    /// What is served at first, for the log.
    first: String,
    expires: Arc<Expires>,
}

/// When the first certificate expires, and where that is shown.
#[derive(Debug, Default)]
struct Expires {
    first: Mutex<Option<SystemTime>>,
    shown: OnceLock<Arc<Status>>,
}

impl Expires {
    fn set(&self, config: &TlsConfig) {
        let first = config.identities().iter().filter_map(Identity::expires_at).min();
        *self.first.lock().unwrap_or_else(PoisonError::into_inner) = first;
        self.show();
    }

    fn show(&self) {
        let first = *self.first.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(status) = self.shown.get() {
            status.certificates_expire(first);
        }
    }
}

impl Tls {
    /// Reads the files of a profile, for listeners on these hosts.
    ///
    /// # Errors
    ///
    /// A file cannot be used.
    pub(crate) fn start(settings: &TlsSettings, hosts: &[&str]) -> Result<Self, TlsError> {
        let own = settings.self_signed.then(|| self_signed(&names(hosts))).transpose()?.map(|made| made.identity);
        let paths = paths(&settings.files);
        let seen = Seen::of(&paths);
        let config = load(&settings.files, own.as_ref())?;
        let first = describe(&config);
        let expires = Arc::<Expires>::default();
        expires.set(&config);
        let http = TlsServer::new(with_http(&config))?;
        let unnamed = TlsServer::new(config)?;
        // A pipe was read at the start; at a reload nobody might write to it.
        let mut files = settings.files.clone();
        files.only_regular = true;
        let files = Arc::new(files);
        Ok(Self { files, own, http, unnamed, paths, seen, first, expires })
    }

    /// The filters of a listener.
    pub(crate) fn filters(&self, protocol: Protocol) -> Arc<dyn FilterFactory> {
        Arc::new(match protocol {
            Protocol::Http => self.http.clone(),
            Protocol::Unnamed => self.unnamed.clone(),
        })
    }

    /// Whether clients without a certificate are refused.
    pub(crate) fn knows_clients(&self) -> bool {
        self.files.client_ca.is_some() && self.files.client_auth == gannet_tls::ClientAuthMode::Required
    }

    /// The fingerprint of the certificate, where it was made on the spot: pairs of digits with colons, as browsers and
    /// `openssl x509 -fingerprint` write it.
    pub(crate) fn own_fingerprint(&self) -> Option<String> {
        let mut text = String::new();
        for byte in self.own.as_ref()?.fingerprint() {
            let colon = if text.is_empty() { "" } else { ":" };
            // A string takes everything.
            let _ = write!(text, "{colon}{byte:02X}");
        }
        Some(text)
    }

    /// Shows from now on when the first certificate expires.
    pub(crate) fn show_in(&self, status: Arc<Status>) {
        // A server starts once.
        let _ = self.expires.shown.set(status);
        self.expires.show();
    }

    /// Tells whoever shows it what came of a reload.
    fn said(&self, what: impl FnOnce(&Status)) {
        if let Some(status) = self.expires.shown.get() {
            what(status);
        }
    }

    /// Says in the log what is served.
    pub(crate) fn log(&self) {
        match self.own_fingerprint() {
            Some(sha256) => tracing::warn!(
                certificates = self.first,
                sha256,
                "TLS uses a self-signed certificate: for development only; clients cannot tell this server from another one"
            ),
            None => {
                tracing::info!(certificates = self.first, "TLS is ready; certificates are read again when they change")
            }
        }
    }

    /// Serves the connections to come with what the files hold now; says what that is. On a thread that may wait.
    ///
    /// # Errors
    ///
    /// A file cannot be used. Then everything stays as it was.
    fn reload(&self) -> Result<String, TlsError> {
        let config = load(&self.files, self.own.as_ref())?;
        let said = describe(&config);
        self.http.reload(with_http(&config))?;
        self.expires.set(&config);
        self.unnamed.reload(config)?;
        Ok(said)
    }
}

/// Reads all files.
fn load(files: &TlsFiles, own: Option<&Identity>) -> Result<TlsConfig, TlsError> {
    match own {
        Some(identity) => files.load_for(identity.clone()),
        None => files.load(),
    }
}

/// All files that are named, each once.
fn paths(files: &TlsFiles) -> Vec<PathBuf> {
    let identities = files.identities.iter().flat_map(|(certificate, key)| [certificate, key]);
    let mut paths: Vec<PathBuf> = Vec::new();
    for path in identities.chain(&files.client_ca).chain(&files.crls) {
        if !paths.contains(path) {
            paths.push(path.clone());
        }
    }
    paths
}

fn with_http(config: &TlsConfig) -> TlsConfig {
    config.clone().alpn(["http/1.1"])
}

/// The certificates with their names and the end of their time.
fn describe(config: &TlsConfig) -> String {
    let describe = |identity: &Identity| {
        let until = identity.valid_until().unwrap_or_else(|| "an unknown time".to_owned());
        let names = identity.dns_names().join(" ");
        format!("{} until {until}", if names.is_empty() { "one without a name" } else { &names })
    };
    config.identities().iter().map(describe).collect::<Vec<_>>().join(", ")
}

/// What a certificate for development is for: this machine by its usual names, and what is listened on.
fn names(hosts: &[&str]) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let mut more = BTreeSet::new();
    for host in hosts {
        match host.parse::<IpAddr>() {
            // All addresses of this machine.
            Ok(ip) if ip.is_unspecified() => {
                let all = if_addrs::get_if_addrs().unwrap_or_default();
                more.extend(all.iter().map(|one| one.ip().to_string()));
            }
            Ok(ip) => {
                more.insert(ip.to_string());
            }
            // What is no name is for the engine to complain of.
            Err(_) if is_name(host) => {
                more.insert((*host).to_owned());
            }
            Err(_) => {}
        }
    }
    names.extend(more.into_iter().filter(|name| !["localhost", "127.0.0.1", "::1"].contains(&name.as_str())));
    names
}

fn is_name(host: &str) -> bool {
    let known = |character: char| character.is_ascii_alphanumeric() || "-.".contains(character);
    !host.is_empty() && host.chars().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_for_development_is_for_this_machine_and_what_it_listens_on() {
        let usual = ["localhost", "127.0.0.1", "::1"];
        assert_eq!(names(&["127.0.0.1", "localhost"]), usual);
        assert_eq!(names(&["10.0.0.1", "web.test", "10.0.0.1", "", "a b"])[3..], ["10.0.0.1", "web.test"]);
        assert!(names(&["0.0.0.0"]).starts_with(&usual.map(str::to_owned)));
        assert!(!names(&["0.0.0.0", "::"]).iter().any(|name| name == "0.0.0.0" || name == "::"));
    }
}
