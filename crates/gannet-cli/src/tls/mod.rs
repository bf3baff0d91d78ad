//! TLS of `gannet serve`: what `tls://` listeners are served with, and how it is renewed while they serve.

mod renewals;
mod watch;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use gannet::FilterFactory;
use gannet_tls::{Identity, TlsConfig, TlsError, TlsFiles, TlsServer, self_signed};

pub(crate) use self::renewals::{Renewals, log_failure};
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    /// All files; none has a certificate where that is made on the spot.
    pub(crate) files: TlsFiles,
    pub(crate) self_signed: bool,
}

/// What `tls://` listeners of a profile are served with.
#[derive(Clone, Debug)]
pub(crate) struct Tls {
    http: TlsServer,
    unnamed: TlsServer,
    /// What it is read from; a reload may name others.
    sources: Arc<Mutex<Sources>>,
    expires: Arc<Expires>,
}

/// What a profile is read from.
#[derive(Clone, Debug)]
struct Sources {
    settings: TlsSettings,
    /// The certificate that was made on the spot, in place of those of files.
    own: Option<Identity>,
    /// All files, each once.
    paths: Vec<PathBuf>,
    /// What they held just before they were read.
    seen: Seen,
    /// What is served, for the log.
    served: String,
    /// Whether a file is a pipe, which cannot be read again.
    has_pipe: bool,
}

/// New settings of a profile that can be used: see [`Tls::prepare`].
#[must_use = "it takes effect when it is committed"]
pub(crate) struct Prepared {
    tls: Tls,
    sources: Sources,
    config: TlsConfig,
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

impl Sources {
    /// What is named, and what it holds; nothing is known yet of what is served.
    fn of(settings: &TlsSettings, own: Option<Identity>) -> Self {
        let paths = paths(&settings.files);
        let seen = Seen::of(&paths);
        Self { settings: settings.clone(), own, paths, seen, served: String::new(), has_pipe: false }
    }

    /// The files, of which only regular ones are read: at a reload nobody might write to a pipe.
    fn regular(&self) -> TlsFiles {
        let mut files = self.settings.files.clone();
        files.only_regular = true;
        files
    }

    /// All files, for the log.
    fn named(&self) -> String {
        self.paths.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
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
        let is_pipe = |path: &PathBuf| std::fs::metadata(path).is_ok_and(|found| !found.is_file());
        let mut sources = Sources::of(settings, own);
        sources.has_pipe = sources.paths.iter().any(is_pipe);
        let config = load(&settings.files, sources.own.as_ref())?;
        sources.served = describe(&config);
        let expires = Arc::<Expires>::default();
        expires.set(&config);
        let http = TlsServer::new(with_http(&config))?;
        let unnamed = TlsServer::new(config)?;
        Ok(Self { http, unnamed, sources: Arc::new(Mutex::new(sources)), expires })
    }

    /// The filters of a listener.
    pub(crate) fn filters(&self, protocol: Protocol) -> Arc<dyn FilterFactory> {
        Arc::new(match protocol {
            Protocol::Http => self.http.clone(),
            Protocol::Unnamed => self.unnamed.clone(),
        })
    }

    fn sources(&self) -> MutexGuard<'_, Sources> {
        self.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether clients without a certificate are refused.
    pub(crate) fn knows_clients(&self) -> bool {
        let files = &self.sources().settings.files;
        files.client_ca.is_some() && files.client_auth == gannet_tls::ClientAuthMode::Required
    }

    /// The fingerprint of the certificate, where it was made on the spot: pairs of digits with colons, as browsers and
    /// `openssl x509 -fingerprint` write it.
    pub(crate) fn own_fingerprint(&self) -> Option<String> {
        let mut text = String::new();
        for byte in self.sources().own.as_ref()?.fingerprint() {
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
        let certificates = self.sources().served.clone();
        match self.own_fingerprint() {
            Some(sha256) => tracing::warn!(
                certificates,
                sha256,
                "TLS uses a self-signed certificate: for development only; clients cannot tell this server from another one"
            ),
            None => {
                tracing::info!(certificates, "TLS is ready; certificates are read again when they change")
            }
        }
    }

    /// Reads the files that settings name, and checks that they can be used; nothing changes yet. A certificate of its own is
    /// made once, and is kept. On a thread that may wait.
    ///
    /// Returns nothing where there is nothing to read again.
    ///
    /// # Errors
    ///
    /// A file cannot be used.
    pub(crate) fn prepare(&self, settings: &TlsSettings, hosts: &[&str]) -> Result<Option<Prepared>, TlsError> {
        let before = self.sources().clone();
        if before.settings == *settings && (settings.self_signed || before.has_pipe) {
            return Ok(None);
        }
        let own = match (settings.self_signed, before.own) {
            (false, _) => None,
            (true, Some(own)) => Some(own),
            (true, None) => Some(self_signed(&names(hosts))?.identity),
        };
        let mut sources = Sources::of(settings, own);
        let config = load(&sources.regular(), sources.own.as_ref())?;
        self.http.check(&with_http(&config))?;
        self.unnamed.check(&config)?;
        sources.served = describe(&config);
        Ok(Some(Prepared { tls: self.clone(), sources, config }))
    }

    /// Serves the connections to come with what the files hold now; says what that is. On a thread that may wait.
    ///
    /// # Errors
    ///
    /// A file cannot be used. Then everything stays as it was.
    fn reload(&self) -> Result<String, TlsError> {
        let settings = self.sources().settings.clone();
        let Some(prepared) = self.prepare(&settings, &[])? else { return Ok(self.sources().served.clone()) };
        let served = prepared.sources.served.clone();
        prepared.put_in_force()?;
        Ok(served)
    }
}

impl Prepared {
    /// Serves the connections to come with it, and says so in the log. Returns whether there are other files to watch.
    pub(crate) fn commit(self) -> bool {
        let (files, certificates) = (self.sources.named(), self.sources.served.clone());
        let other_files = self.tls.sources().paths != self.sources.paths;
        match self.put_in_force() {
            Ok(()) => renewals::log_success(&files, &certificates),
            // It was checked a moment ago; only a clock that went on since then can be the reason.
            Err(error) => log_failure(&error),
        }
        other_files
    }

    fn put_in_force(self) -> Result<(), TlsError> {
        let Self { tls, sources, config } = self;
        tls.http.reload(with_http(&config))?;
        tls.expires.set(&config);
        tls.unnamed.reload(config)?;
        *tls.sources() = sources;
        Ok(())
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
