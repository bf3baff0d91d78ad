//! What a gateway takes from its settings, and how it takes others while clients are connected.

use std::ops::Deref;
use std::sync::Arc;

use gannet_channels::Seen;

use crate::application::Application;
use crate::clock::time_of_day;
use crate::gateway::{Gateway, GatewayError};
use crate::pump::Post;
use crate::settings::{Settings, SettingsError};
use crate::token::{Jwks, KEY_WAITERS, Tokens};

/// What follows from the settings. Each reactor keeps the one that it has seen last.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) settings: Settings,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) application: Arc<Application>,
}

/// The settings of a [`Gateway`] that are in force at a moment: see [`Gateway::settings`].
#[derive(Clone, Debug)]
pub struct SettingsInForce(pub(crate) Seen<Live>);

impl Deref for SettingsInForce {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.0.settings
    }
}

impl Live {
    /// Reads and prepares what the settings name. Where there is one `before`, it goes on to count, and what has not changed
    /// stays.
    pub(crate) fn new(settings: Settings, before: Option<&Self>) -> Result<Self, GatewayError> {
        settings.check()?;
        let mut tokens = Tokens::new(settings.tokens.keys().map_err(SettingsError::from)?)
            .audiences(settings.tokens.audiences.clone())
            .issuers(settings.tokens.issuers.clone());
        if let Some(wanted) = &settings.tokens.jwks {
            let same = before.filter(|before| before.settings.tokens.jwks.as_ref() == Some(wanted));
            let jwks = match same.and_then(|before| before.tokens.fetched()) {
                Some(jwks) => Arc::clone(jwks),
                None => {
                    let jwks = Arc::new(Jwks::start(wanted.clone()).map_err(GatewayError::Keys)?);
                    if before.is_some() {
                        // Clients are there whose tokens are of these keys.
                        jwks.wait();
                    }
                    jwks
                }
            };
            tokens = tokens.jwks(jwks);
        }
        if let Some(before) = before {
            tokens = tokens.counting_on(&before.tokens);
        }
        let application = match before.map(|before| &before.application) {
            Some(before) if *before.settings() == settings.application => Arc::clone(before),
            Some(before) => Application::after(before, settings.application.clone()),
            None => Application::new(settings.application.clone()),
        };
        Ok(Self { tokens: Arc::new(tokens), application, settings })
    }
}

/// Settings that a gateway can take: see [`Gateway::prepare`].
#[derive(Debug)]
#[must_use = "nothing changes before it is committed"]
pub struct Prepared {
    gateway: Arc<Gateway>,
    live: Live,
}

impl Gateway {
    /// Reads what other settings name, and checks that they can be used. Nothing changes before [`Prepared::commit`].
    ///
    /// It reads files, and fetches keys by a URL that is new: call it on a thread that may block.
    ///
    /// # Errors
    ///
    /// A setting cannot work, or a key cannot be read.
    pub fn prepare(self: &Arc<Self>, settings: Settings) -> Result<Prepared, GatewayError> {
        let live = Live::new(settings, Some(&*self.live()))?;
        self.space().check(live.settings.channels.clone())?;
        Ok(Prepared { gateway: self.clone(), live })
    }
}

impl Prepared {
    /// Puts the settings in force, while clients are connected. Call it on a thread that is no reactor's.
    ///
    /// - Connections stay, with the users and the interval of pings that they have.
    /// - [`Space::reconfigure`](gannet_channels::Space::reconfigure) says what becomes of channels. Subscriptions to channels
    ///   of a namespace that is gone end: clients are told with code 2000, and responses of `/events` end.
    /// - New permissions, keys, origins, limits and URLs of the application hold for everything that comes next. Requests to
    ///   the application that are under way go on.
    /// - Another password of the admin page ends its sessions. Without a password, the page keeps the one that it has.
    /// - The largest publication holds at once, and the largest frame for listeners that are added afterwards.
    pub fn commit(self) {
        let Self { gateway, live } = self;
        let channels = live.settings.channels.clone();
        gateway.operators().set_password(live.settings.admin.password.as_ref());
        gateway.askers().set_most(live.settings.application.concurrent + KEY_WAITERS);
        gateway.set_live(live);
        if let Err(error) = gateway.space().reconfigure(channels, time_of_day()) {
            // They were checked; two that are prepared at once could bring too many namespaces together.
            tracing::error!(%error, "the namespaces stay as they were");
        }
        for reactor in 0..gateway.space().reactors() {
            gateway.post(reactor, Post::Reconfigured);
        }
    }
}
