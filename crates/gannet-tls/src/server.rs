//! TLS for listeners.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use gannet::{Filter, FilterError, Filters};
use rustls::ServerConfig;
use rustls::pki_types::UnixTime;
use rustls::server::UnbufferedServerConnection;

use crate::chain::name_of;
use crate::config::Sessions;
use crate::filter::{Connection, TlsFilter};
use crate::validity::{issuer, next_update, utc};
use crate::{ClientAuth, Identity, TlsConfig, TlsError, TlsFiles, TlsInfo};

/// TLS for the connections of a listener. A handle: clones are the same server, so one can be given to the engine and
/// another kept to [`reload`](Self::reload). All of it may be called on any thread.
///
/// Early data (RFC 8446 §2.3) is refused, since it can be replayed; renegotiation (RFC 5746) too.
#[derive(Clone, Debug)]
pub struct TlsServer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: RwLock<Arc<ServerConfig>>,
    /// Locked for as long as a reload takes, so that one comes after the other.
    proven: Mutex<Proven>,
}

/// What sessions are resumed with, and what their clients proved: when that changes, they count no more.
#[derive(Debug)]
struct Proven {
    sessions: Sessions,
    client_auth: Option<ClientAuth>,
    /// The certificates that are served.
    identities: Vec<Identity>,
}

impl TlsServer {
    /// With these settings.
    ///
    /// # Errors
    ///
    /// The settings cannot be used, see [`TlsError`].
    pub fn new(config: TlsConfig) -> Result<Self, TlsError> {
        let sessions = Sessions::new(config.sessions)?;
        let built = Arc::new(config.build(&sessions)?);
        let proven = Proven { sessions, client_auth: config.client_auth, identities: config.identities };
        Ok(Self(Arc::new(Shared { config: RwLock::new(built), proven: Mutex::new(proven) })))
    }

    /// With the settings that these files have.
    ///
    /// # Errors
    ///
    /// A file cannot be read or used: which, why and what to do is in the error.
    pub fn from_files(files: &TlsFiles) -> Result<Self, TlsError> {
        Self::new(files.load()?)
    }

    /// Takes other settings for the connections to come. Those that are there keep what they began with. Sessions are
    /// resumed as before, unless what is asked of clients has changed: then all begin anew, so that a client whose
    /// certificate was revoked does not come back on an old ticket.
    ///
    /// # Errors
    ///
    /// The new settings cannot be used, or a certificate or a revocation list of them has expired or is not valid yet,
    /// while the one in its place is valid ([`TlsConfig::accept_expired`] accepts it). The old settings stay in force.
    pub fn reload(&self, config: TlsConfig) -> Result<(), TlsError> {
        let mut proven = self.0.proven.lock().unwrap_or_else(PoisonError::into_inner);
        if !config.accept_expired {
            let now = UnixTime::now().as_secs();
            check_dates(&proven.identities, &config.identities, now)?;
            check_lists(proven.client_auth.as_ref(), config.client_auth.as_ref(), now)?;
        }
        let same = proven.client_auth == config.client_auth;
        let sessions = if same { proven.sessions.clone() } else { Sessions::new(config.sessions)? };
        let built = Arc::new(config.build(&sessions)?);
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = built;
        *proven = Proven { sessions, client_auth: config.client_auth, identities: config.identities };
        Ok(())
    }

    /// [`reload`](Self::reload) with what these files hold now. It reads files: call it on a thread that may wait.
    ///
    /// # Errors
    ///
    /// A file cannot be read or used; the old settings stay in force.
    pub fn reload_files(&self, files: &TlsFiles) -> Result<(), TlsError> {
        self.reload(files.load()?)
    }
}

/// That no certificate which is valid now is replaced by one that is not.
fn check_dates(old: &[Identity], new: &[Identity], now: u64) -> Result<(), TlsError> {
    let fault = old.iter().zip(new).filter(|(old, _)| old.why_not_at(now).is_none()).find_map(|(_, new)| {
        let why = new.why_not_at(now)?;
        let names = new.dns_names().join(", ");
        let names = if names.is_empty() { "no DNS name" } else { &names };
        Some(TlsError::NotValid { what: format!("certificate of {names}"), why })
    });
    fault.map_or(Ok(()), Err)
}

/// That no issuer of client certificates whose revocation list is valid now is left with expired ones: all its clients
/// would be refused.
fn check_lists(old: Option<&ClientAuth>, new: Option<&ClientAuth>, now: u64) -> Result<(), TlsError> {
    let (Some(old), Some(new)) = (old, new) else { return Ok(()) };
    let is_valid = |list: &[u8]| next_update(list).is_none_or(|until| now <= until);
    // Of several lists of an issuer the first counts.
    let first_of = |client_auth: &ClientAuth, name: Option<&[u8]>| {
        client_auth.crls.iter().find(|list| issuer(list) == name).cloned()
    };
    for name in old.crls.iter().map(|list| issuer(list)) {
        let (Some(before), Some(after)) = (first_of(old, name), first_of(new, name)) else { continue };
        if is_valid(&before)
            && !is_valid(&after)
            && let Some(until) = next_update(&after)
        {
            let what = format!("revocation list of {}", name_of(name.unwrap_or_default()));
            return Err(TlsError::NotValid { what, why: format!("expired at {}", utc(until)) });
        }
    }
    Ok(())
}

impl Filters for TlsServer {
    fn filter(&self) -> Result<Box<dyn Filter>, FilterError> {
        let config = self.0.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        let connection = UnbufferedServerConnection::new(config).map_err(FilterError::new)?;
        let connection = Connection::Server(connection);
        Ok(Box::new(TlsFilter::new(TlsInfo { connection, server_name: None })))
    }
}
