//! All settings of the gateway, in one typed place.
//!
//! The command line fills them in, and so may a configuration file or a program of its own. [`Settings::check`] finds what
//! contradicts itself; [`namespace::parse`] reads a namespace as it is written on the command line.

mod application;
pub mod namespace;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use gannet_channels::{Namespace, Options};

pub use self::application::{ApplicationSettings, EventKind, HeaderError};
use crate::origin::{OriginError, Origins};
use crate::outgoing::Trust;
use crate::secret::Secret;
use crate::token::{JwksSettings, Key, KeyError};

/// Everything that operators decide about the gateway.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Settings {
    /// Namespaces, their options, and the limits of the channel space.
    pub channels: gannet_channels::Settings,
    /// What clients may do, and how they are watched.
    pub client: ClientSettings,
    /// How tokens are verified.
    pub tokens: TokenSettings,
    /// Who may call the server API.
    pub api: ApiSettings,
    /// Pages that may connect. Without any, only clients that are no browsers may.
    pub origins: Origins,
    /// The application that is asked about clients.
    pub application: ApplicationSettings,
    /// The admin page.
    pub admin: AdminSettings,
}

/// What clients may do, and how they are watched.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientSettings {
    /// Whether a client may connect without a token. It is anonymous then: its user is empty. Default: no.
    pub anonymous: bool,
    /// Whether every client may connect, subscribe, publish and read as it likes: for development only. Default: no.
    pub insecure: bool,
    /// Whether a request has to name an address, `localhost` or the host of an allowed origin in `Host`. A server whose only
    /// protection is that other machines do not reach it needs this against pages of other sites. Default: no; the demo: yes.
    pub checks_host: bool,
    /// Whether each user is subscribed to the channel `#user` at connect. Default: no.
    pub personal_channel: bool,
    /// The time between two pings. Default: 25 s.
    pub ping: Duration,
    /// How long an answer to a ping may take. Default: 8 s.
    pub pong: Duration,
    /// How long a new connection may take to send `connect`. Default: 10 s.
    pub stale: Duration,
    /// How long an expired connection or subscription is given for its refresh. Default: 25 s.
    pub refresh_grace: Duration,
    /// The largest frame of commands in bytes. Default: 128 KiB, so that a publication of 64 KiB fits as JSON.
    pub frame: usize,
    /// Commands a second. Default: 200. Beyond it, and the burst, the error is 111. A hundred such errors in a row close the
    /// connection with 3013. A large reply costs one for each 8 KiB.
    pub commands: Rate,
    /// Publications a second. Default: 50. Beyond it, and the burst, the error is 111.
    pub publications: Rate,
}

/// A rate with a burst: a token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// A second; 0 is no limit.
    pub per_second: u32,
    /// At once, after a time of rest.
    pub burst: u32,
}

/// How tokens are verified.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TokenSettings {
    /// Secrets for HS256, HS384 and HS512. Each is tried, so that one can follow another.
    pub secrets: Vec<Secret>,
    /// Files with a public key as PEM each.
    pub key_files: Vec<PathBuf>,
    /// A set of public keys by URL.
    pub jwks: Option<JwksSettings>,
    /// A token has to be for one of these audiences; none is not looked at.
    pub audiences: Vec<String>,
    /// A token has to come from one of these issuers; none is not looked at.
    pub issuers: Vec<String>,
}

impl TokenSettings {
    /// Tells whether any token can count.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        !self.secrets.is_empty() || !self.key_files.is_empty() || self.jwks.is_some()
    }

    /// Reads and prepares the keys, but those by URL. Blocks the thread while it reads files.
    ///
    /// # Errors
    ///
    /// A secret is too short, or a file has no public key.
    pub fn keys(&self) -> Result<Vec<Key>, KeyError> {
        let secrets = self.secrets.iter().map(Key::secret);
        secrets.chain(self.key_files.iter().map(|file| Key::file(file))).collect()
    }
}

/// Who may call the server API.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ApiSettings {
    /// Keys, of which each opens the API. Without any, it answers clients of this machine only.
    pub keys: Vec<Secret>,
    /// Whether only [`Gateway::api_routes`](crate::Gateway::api_routes) serve the API. The API of
    /// [`Gateway::routes`](crate::Gateway::routes) then answers 404. Default: no.
    pub own_listener: bool,
}

impl ApiSettings {
    /// Decides about a call: `key` is what the caller sent, `peer` the address it comes from; `None` is a Unix socket, which
    /// belongs to this machine.
    #[must_use]
    pub fn allows(&self, key: Option<&[u8]>, peer: Option<IpAddr>) -> bool {
        if self.keys.is_empty() {
            return peer.is_none_or(|peer| peer.to_canonical().is_loopback());
        }
        // All are compared, so that the time does not tell which one was meant.
        key.is_some_and(|key| self.keys.iter().fold(false, |found, own| own.is(key) | found))
    }
}

/// The admin page.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct AdminSettings {
    /// The password. Without one, the start makes one.
    pub password: Option<Secret>,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            anonymous: false,
            insecure: false,
            checks_host: false,
            personal_channel: false,
            ping: Duration::from_secs(25),
            pong: Duration::from_secs(8),
            stale: Duration::from_secs(10),
            refresh_grace: Duration::from_secs(25),
            frame: 128 << 10,
            commands: Rate { per_second: 200, burst: 400 },
            publications: Rate { per_second: 50, burst: 100 },
        }
    }
}

/// Says which settings contradict themselves or each other. No variant has a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// A namespace is none.
    #[error(transparent)]
    Namespace(#[from] namespace::NamespaceError),
    /// Two namespaces have the same name.
    #[error("the namespace '{0}' is configured twice")]
    Twice(String),
    /// A pattern of origins is none.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A header cannot go along to the application.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A secret is the empty text, which protects nothing.
    #[error("{0} is empty; give one, or leave it out")]
    Empty(&'static str),
    /// A namespace asks the application, and there is no URL for it.
    #[error("the namespace '{namespace}' has {option}, but the application has no URL for the event {event}")]
    NoApplication {
        /// The namespace.
        namespace: String,
        /// Its option.
        option: &'static str,
        /// The event.
        event: EventKind,
    },
    /// Personal channels are on, and nothing says how channels without a namespace are.
    #[error(
        "personal channels (#user) have no namespace: configure those, as ':history_size=100,history_ttl=5m' or ':' alone"
    )]
    NoPersonal,
    /// An answer to a ping may take longer than the time between two pings.
    #[error("the time for an answer to a ping ({pong:?}) has to be shorter than the time between pings ({ping:?})")]
    Pong {
        /// The time between pings.
        ping: Duration,
        /// The time for the answer.
        pong: Duration,
    },
}

impl Settings {
    /// The settings where nothing is configured and only this machine can connect: anonymous clients may use the namespace
    /// `demo`, with presence, a history of 100 and recovery, and pages of this machine may connect.
    #[must_use]
    pub fn demo() -> Self {
        let options = Options {
            presence: true,
            join_leave: true,
            history_size: 100,
            history_ttl: Duration::from_secs(300),
            force_recovery: true,
            allow_subscribe_for_client: true,
            allow_subscribe_for_anonymous: true,
            allow_publish_for_subscriber: true,
            allow_publish_for_anonymous: true,
            allow_history_for_subscriber: true,
            allow_history_for_anonymous: true,
            allow_presence_for_subscriber: true,
            allow_presence_for_anonymous: true,
            redis: true,
            ..Options::default()
        };
        let mut settings = Self::default();
        settings.channels.namespaces = vec![Namespace::new("demo", options)];
        settings.client.anonymous = true;
        settings.client.checks_host = true;
        settings.origins = Origins::loopback();
        settings
    }

    /// Checks what belongs together.
    ///
    /// # Errors
    ///
    /// The first contradiction that is found.
    pub fn check(&self) -> Result<(), SettingsError> {
        let mut names = std::collections::HashSet::new();
        for Namespace { name, options, .. } in &self.channels.namespaces {
            if !names.insert(&**name) {
                return Err(SettingsError::Twice(name.clone()));
            }
            namespace::check(name, options)?;
            let asks = [
                (options.subscribe_proxy, "subscribe_proxy_enabled", EventKind::Subscribe),
                (options.publish_proxy, "publish_proxy_enabled", EventKind::Publish),
                (options.sub_refresh_proxy, "sub_refresh_proxy_enabled", EventKind::SubRefresh),
            ];
            let missing =
                asks.into_iter().find(|(asks, _, event)| *asks && self.application.endpoint(*event).is_none());
            if let Some((_, option, event)) = missing {
                return Err(SettingsError::NoApplication { namespace: name.clone(), option, event });
            }
        }
        if self.client.personal_channel && !names.contains("") {
            return Err(SettingsError::NoPersonal);
        }
        let empty = |secrets: &[Secret]| secrets.iter().any(Secret::is_empty);
        if empty(&self.api.keys) {
            return Err(SettingsError::Empty("a key of the server API"));
        }
        if empty(&self.tokens.secrets) {
            return Err(SettingsError::Empty("a secret for tokens"));
        }
        if self.admin.password.as_ref().is_some_and(Secret::is_empty) {
            return Err(SettingsError::Empty("the password of the admin page"));
        }
        let ClientSettings { ping, pong, .. } = self.client;
        if !ping.is_zero() && pong >= ping {
            return Err(SettingsError::Pong { ping, pong });
        }
        Ok(())
    }

    /// Whose certificates are accepted from the application and from the server of keys.
    pub fn set_trust(&mut self, trust: &Trust) {
        self.application.trust = trust.clone();
        if let Some(jwks) = &mut self.tokens.jwks {
            jwks.trust = trust.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_is_consistent_and_open_to_pages_of_this_machine_only() {
        let demo = Settings::demo();
        demo.check().expect("consistent");
        assert_eq!(demo.channels.namespaces.len(), 1);
        assert!(demo.client.anonymous && !demo.client.insecure);
        assert!(demo.origins.allows(Some(b"http://127.0.0.1:8000")));
        assert!(!demo.origins.allows(Some(b"https://example.com")));
    }

    #[test]
    fn without_settings_nobody_may_anything() {
        let settings = Settings::default();
        settings.check().expect("consistent");
        assert!(settings.channels.namespaces.is_empty());
        assert!(!settings.client.anonymous && !settings.tokens.has_keys());
        assert!(!settings.origins.allows(Some(b"http://127.0.0.1")));
    }

    #[test]
    fn settings_show_no_secret() {
        let mut settings = Settings::demo();
        settings.api.keys = vec![Secret::new("hunter2")];
        settings.tokens.secrets = vec![Secret::new("hunter2")];
        settings.admin.password = Some(Secret::new("hunter2"));
        settings.tokens.jwks =
            Some(JwksSettings::new("https://ann:hunter2@id.example/keys?t=hunter2".parse().expect("a URL")));
        settings.application.endpoints =
            vec![(EventKind::Connect, "http://app.example/connect?key=hunter2".parse().expect("a URL"))];
        let shown = format!("{settings:?} {settings:#?}");
        assert!(shown.contains("id.example") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn without_a_key_the_api_is_for_this_machine_and_with_one_for_who_has_it() {
        let ip = |text: &str| Some(text.parse().expect(text));
        let mut api = ApiSettings::default();
        for peer in [ip("127.0.0.1"), ip("127.0.0.2"), ip("::1"), ip("::ffff:127.0.0.1"), None] {
            assert!(api.allows(None, peer), "{peer:?}");
        }
        for peer in [ip("192.0.2.1"), ip("::ffff:192.0.2.1"), ip("2001:db8::1")] {
            assert!(!api.allows(Some(b""), peer), "{peer:?}");
        }
        api.keys = vec![Secret::new("first"), Secret::new("second")];
        assert!(api.allows(Some(b"first"), ip("192.0.2.1")) && api.allows(Some(b"second"), ip("192.0.2.1")));
        for key in [None, Some(&b""[..]), Some(b"third"), Some(b"firs")] {
            assert!(!api.allows(key, ip("127.0.0.1")), "{key:?}");
        }
    }

    #[test]
    fn a_namespace_that_asks_an_application_needs_its_url() {
        let mut settings = Settings::default();
        let options = Options { publish_proxy: true, ..Options::default() };
        settings.channels.namespaces = vec![Namespace::new("chat", options)];
        let error = settings.check().expect_err("no URL").to_string();
        assert!(error.contains("'chat'") && error.contains("event publish"), "{error}");
        settings.application.endpoints = vec![(EventKind::Publish, "http://127.0.0.1:9/".parse().expect("a URL"))];
        settings.check().expect("consistent");
    }

    #[test]
    fn personal_channels_need_options_for_channels_without_a_namespace() {
        let mut settings = Settings::demo();
        settings.client.personal_channel = true;
        assert!(matches!(settings.check(), Err(SettingsError::NoPersonal)));
        settings.channels.namespaces.push(Namespace::new("", Options::default()));
        settings.check().expect("consistent");
    }

    #[test]
    fn empty_secrets_and_namespaces_that_come_twice_are_refused() {
        let mut settings = Settings::demo();
        settings.channels.namespaces.push(Namespace::new("demo", Options::default()));
        assert!(settings.check().expect_err("twice").to_string().contains("'demo' is configured twice"));
        let mut settings = Settings::demo();
        settings.api.keys = vec![Secret::new("")];
        assert!(settings.check().expect_err("empty").to_string().contains("key of the server API is empty"));
    }
}
