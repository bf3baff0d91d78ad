//! TLS for listeners.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use gannet::{Filter, FilterError, FilterFactory};
use rustls::ServerConfig;
use rustls::pki_types::UnixTime;
use rustls::server::UnbufferedServerConnection;

use crate::chain::name_of;
use crate::config::Sessions;
use crate::filter::{Connection, TlsFilter};
use crate::validity::{issuer, next_update, utc};
use crate::{ClientAuth, Identity, TlsConfig, TlsError, TlsFiles, TlsInfo};

/// Makes the TLS filters of a listener; pass it to [`Engine::listen_filtered`](gannet::Engine::listen_filtered).
///
/// Clones are the same server: give one to the engine, and keep another to [`reload`](Self::reload). All methods may be
/// called on any thread.
///
/// Early data (RFC 8446 §2.3) is refused, because it can be replayed. Renegotiation (RFC 5746) is refused too.
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
    /// Makes a server with these settings.
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

    /// Makes a server with the settings in these files. It reads files: call it on a thread that may block.
    ///
    /// # Errors
    ///
    /// A file cannot be read or used; the error says which, why and what to do.
    pub fn from_files(files: &TlsFiles) -> Result<Self, TlsError> {
        Self::new(files.load()?)
    }

    /// Replaces the settings for new connections. Established connections keep those that they began with.
    ///
    /// Sessions are resumed as before, unless the demands on clients have changed. Then all sessions begin anew, so a client
    /// whose certificate was revoked cannot come back with an old ticket.
    ///
    /// # Errors
    ///
    /// The new settings cannot be used; or one of their certificates or revocation lists has expired or is not valid yet,
    /// while the one that it replaces is valid ([`TlsConfig::accept_expired`] allows this). The old settings stay in force.
    pub fn reload(&self, config: TlsConfig) -> Result<(), TlsError> {
        let mut proven = self.0.proven.lock().unwrap_or_else(PoisonError::into_inner);
        proven.check(&config)?;
        let same = proven.client_auth == config.client_auth;
        let sessions = if same { proven.sessions.clone() } else { Sessions::new(config.sessions)? };
        let built = Arc::new(config.build(&sessions)?);
        *self.0.config.write().unwrap_or_else(PoisonError::into_inner) = built;
        *proven = Proven { sessions, client_auth: config.client_auth, identities: config.identities };
        Ok(())
    }

    /// Checks whether [`reload`](Self::reload) would take these settings, and changes nothing.
    ///
    /// # Errors
    ///
    /// Those of [`reload`](Self::reload).
    pub fn check(&self, config: &TlsConfig) -> Result<(), TlsError> {
        let proven = self.0.proven.lock().unwrap_or_else(PoisonError::into_inner);
        proven.check(config)?;
        config.build(&proven.sessions).map(drop)
    }

    /// Reads these files again, and replaces the settings for new connections as [`reload`](Self::reload) does.
    ///
    /// It reads files: call it on a thread that may block. What is no regular file is refused, as a pipe might never end.
    ///
    /// # Errors
    ///
    /// A file cannot be read or used, or [`reload`](Self::reload) refuses the settings. The old settings stay in force.
    pub fn reload_files(&self, files: &TlsFiles) -> Result<(), TlsError> {
        self.reload(TlsFiles { only_regular: true, ..files.clone() }.load()?)
    }
}

impl Proven {
    /// That nothing which is valid now is replaced by something that is not.
    fn check(&self, config: &TlsConfig) -> Result<(), TlsError> {
        if config.accept_expired {
            return Ok(());
        }
        let now = UnixTime::now().as_secs();
        check_dates(&self.identities, &config.identities, now)?;
        check_lists(self.client_auth.as_ref(), config.client_auth.as_ref(), now)
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

impl FilterFactory for TlsServer {
    fn filter(&self) -> Result<Box<dyn Filter>, FilterError> {
        let config = self.0.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        let connection = UnbufferedServerConnection::new(config).map_err(FilterError::new)?;
        let connection = Connection::Server(connection);
        Ok(Box::new(TlsFilter::new(TlsInfo { connection, server_name: None })))
    }
}
