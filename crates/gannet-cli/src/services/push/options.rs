//! The options of the push gateway, and the settings that they come to.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use gannet_gateway::Secret;
use gannet_gateway::origin::Origins;
use gannet_gateway::settings::{EventKind, Settings, namespace};
use gannet_gateway::token::JwksSettings;
use gannet_gateway::{Endpoint, Trust};

use crate::failure::{Failure, as_given, is_from_environment};
use crate::units::{Deadline, deadline, size, whole};

/// How far the frame of a client is larger than the largest publication: what is around it, and JSON's escapes.
const FRAME_FACTOR: usize = 2;

/// What the push gateway is configured with.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Push")]
pub(crate) struct PushOptions {
    /// Key of the server API; may be given many times. Without one, the API answers this machine only
    ///
    /// Set it in the environment, where other users cannot see it; there, separate several keys by line breaks.
    #[arg(long, value_name = "KEY", value_parser = secrets, env = "GANNET_PUSH_API_KEY", hide_env_values = true)]
    push_api_key: Vec<Secrets>,

    /// Secret for the tokens of clients (HS256, HS384, HS512); may be given many times, to rotate it
    ///
    /// Set it in the environment, where other users cannot see it; there, separate several secrets by line breaks.
    #[arg(long, value_name = "SECRET", value_parser = secrets, env = "GANNET_PUSH_TOKEN_SECRET", hide_env_values = true)]
    push_token_secret: Vec<Secrets>,

    /// Public key for the tokens of clients as PEM: RSA, P-256, P-384, P-521 or Ed25519; may be given many times
    #[arg(long, value_name = "FILE")]
    push_token_key: Vec<PathBuf>,

    /// URL of public keys for the tokens of clients (JWK set); fetched every 10m, and for a token of an unknown key
    #[arg(long, value_name = "URL", value_parser = endpoint)]
    push_jwks: Option<Endpoint>,

    /// Audience (aud) that a token has to be for; may be given many times, and one is enough [default: not looked at]
    #[arg(long, value_name = "NAME", value_parser = words)]
    push_token_audience: Vec<Words>,

    /// Issuer (iss) that a token has to come from; may be given many times, and one is enough [default: not looked at]
    #[arg(long, value_name = "NAME", value_parser = words)]
    push_token_issuer: Vec<Words>,

    /// Namespace and its options, as 'chat:presence,history_size=100,history_ttl=5m'; may be given many times
    ///
    /// An empty name is for channels without a namespace. In GANNET_PUSH_NAMESPACE, separate several by spaces. The options
    /// are in docs/push-auth.md, and in the error for a word that is none.
    #[arg(long, value_name = "NAME:OPTIONS", value_parser = words)]
    push_namespace: Vec<Words>,

    /// Origin of pages that may connect, as https://example.com, https://*.example.com or *; may be given many times
    #[arg(long, value_name = "ORIGIN", value_parser = words)]
    push_origin: Vec<Words>,

    /// Let clients connect without a token, as anonymous ones
    #[arg(long)]
    push_anonymous: bool,

    /// Let every client connect, subscribe, publish and read: for development only
    #[arg(long)]
    push_insecure: bool,

    /// Subscribe each user to the channel #user when a client of theirs connects
    #[arg(long)]
    push_personal_channels: bool,

    /// Ask the application about an event, as connect=http://127.0.0.1:3000/connect; may be given many times
    ///
    /// Events are connect, refresh, subscribe, sub_refresh, publish and rpc. Namespaces turn those of channels on.
    #[arg(long, value_name = "EVENT=URL", value_parser = words)]
    push_proxy: Vec<Words>,

    /// Header of a client's request that goes along to the application; may be given many times
    #[arg(long, value_name = "NAME", value_parser = words)]
    push_proxy_header: Vec<Words>,

    /// Time for an answer of the application; then the client gets the temporary error 100
    #[arg(long, value_name = "TIME", value_parser = deadline, default_value = "1s")]
    push_proxy_timeout: Deadline,

    /// Most requests to the application at a time; beyond it, clients get the temporary error 100
    #[arg(long, value_name = "N", value_parser = whole::<usize>(1..=4_096), default_value_t = 64)]
    push_proxy_requests: usize,

    /// CAs to trust instead of the system's where the application or the keys are behind https, as PEM
    #[arg(long, value_name = "FILE")]
    push_ca: Option<PathBuf>,

    /// Password of the admin page; set it in the environment [default: made at each start, and printed]
    #[arg(long, value_name = "TEXT", value_parser = secrets, env = "GANNET_PUSH_ADMIN_PASSWORD", hide_env_values = true)]
    push_admin_password: Option<Secrets>,

    /// Time between two pings to a client
    #[arg(long, value_name = "TIME", value_parser = deadline, default_value = "25s")]
    push_ping: Deadline,

    /// Time for a client's answer to a ping; then its connection is closed
    #[arg(long, value_name = "TIME", value_parser = deadline, default_value = "8s")]
    push_pong: Deadline,

    /// Largest publication, as 64KiB
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "64KiB")]
    push_max_message: usize,

    /// Most memory for all histories, as 1GiB; beyond it, the oldest publications of a channel make room for its new ones
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "1GiB")]
    push_max_history: usize,

    /// Most connections of one user; 0 is no limit. Further ones are closed with 3504
    #[arg(long, value_name = "N", value_parser = whole::<u32>(0..=u32::MAX.into()), default_value_t = 0)]
    push_max_user_connections: u32,
}

/// Secrets that one option, or one variable of the environment, has.
#[derive(Clone, Debug)]
pub(crate) struct Secrets(pub(crate) Vec<Secret>);

/// Words that one option, or one variable of the environment, has.
#[derive(Clone, Debug)]
struct Words(Vec<String>);

/// Takes lines as secrets. Never fails, so that no error can show one.
#[expect(clippy::unnecessary_wraps, reason = "clap's parsers may fail")]
pub(crate) fn secrets(text: &str) -> Result<Secrets, Infallible> {
    Ok(Secrets(text.lines().map(Secret::from).collect()))
}

#[expect(clippy::unnecessary_wraps, reason = "clap's parsers may fail")]
fn words(text: &str) -> Result<Words, Infallible> {
    Ok(Words(text.split_ascii_whitespace().map(str::to_owned).collect()))
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    text.parse()
}

fn flat(words: &[Words]) -> impl Iterator<Item = &str> {
    words.iter().flat_map(|words| words.0.iter().map(String::as_str))
}

impl PushOptions {
    /// Tells whether nothing is configured that decides who may do what. Then a gateway that only this machine can reach has the
    /// namespace `demo`.
    pub(crate) fn is_open(&self) -> bool {
        let keys = !self.push_token_secret.is_empty() || !self.push_token_key.is_empty() || self.push_jwks.is_some();
        let rules = !self.push_namespace.is_empty() || !self.push_origin.is_empty() || !self.push_proxy.is_empty();
        !keys && !rules
    }

    /// The settings that the options come to. `is_local` tells whether only this machine can reach the gateway.
    ///
    /// # Errors
    ///
    /// A value is none, or values contradict each other: the error names the option, and no secret.
    pub(crate) fn settings(&self, is_local: bool) -> Result<Settings, Failure> {
        let mut settings = if is_local && self.is_open() { Settings::demo() } else { Settings::default() };
        settings.api.keys = all("--push-api-key", &self.push_api_key)?;
        settings.tokens.secrets = all("--push-token-secret", &self.push_token_secret)?;
        settings.tokens.key_files.clone_from(&self.push_token_key);
        settings.tokens.jwks = self.push_jwks.clone().map(JwksSettings::new);
        settings.tokens.audiences = flat(&self.push_token_audience).map(str::to_owned).collect();
        settings.tokens.issuers = flat(&self.push_token_issuer).map(str::to_owned).collect();
        for text in flat(&self.push_namespace) {
            let parsed = namespace::parse(text).map_err(|error| wrong("--push-namespace", &error))?;
            settings.channels.namespaces.push(parsed);
        }
        let origins = Origins::new(flat(&self.push_origin)).map_err(|error| wrong("--push-origin", &error))?;
        settings.origins.extend(origins);
        settings.client.anonymous |= self.push_anonymous || self.push_insecure;
        settings.client.insecure = self.push_insecure;
        settings.client.personal_channel = self.push_personal_channels;
        for text in flat(&self.push_proxy) {
            let (event, endpoint) = event(text).map_err(|error| wrong("--push-proxy", &error))?;
            if settings.application.endpoint(event).is_some() {
                return Err(wrong("--push-proxy", &format!("{event} has two URLs; give one")));
            }
            settings.application.endpoints.push((event, endpoint));
        }
        for name in flat(&self.push_proxy_header) {
            settings.application.forward(name).map_err(|error| wrong("--push-proxy-header", &error))?;
        }
        let timeout = self.push_proxy_timeout.0;
        settings.application.timeout =
            timeout.ok_or_else(|| wrong("--push-proxy-timeout", &"an application may be down: give a time, as 1s"))?;
        settings.application.concurrent = self.push_proxy_requests;
        if let Some(file) = &self.push_ca {
            settings.set_trust(&Trust::file(file).map_err(|error| wrong("--push-ca", &error))?);
        }
        let password = self.push_admin_password.as_slice();
        settings.admin.password = all("--push-admin-password", password)?.into_iter().next();
        settings.client.ping = self.push_ping.0.unwrap_or(Duration::ZERO);
        settings.client.pong = self.push_pong.0.unwrap_or(Duration::ZERO);
        settings.channels.limits.publication = self.push_max_message;
        settings.client.frame = settings.client.frame.max(self.push_max_message.saturating_mul(FRAME_FACTOR));
        settings.channels.limits.history_bytes = self.push_max_history;
        settings.channels.limits.connections_per_user =
            Some(self.push_max_user_connections).filter(|connections| *connections > 0);
        settings.check().map_err(|error| Failure::Usage(format!("{error}; try 'gannet serve --help'")))?;
        // Files are read here once, so that what is wrong with them is said before anything listens.
        settings.tokens.keys().map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(settings)
    }
}

/// All secrets of an option. An empty variable of the environment is as good as none; an empty option is a mistake of a script
/// whose own variable is not set, and would protect nothing.
fn all(option: &str, given: &[Secrets]) -> Result<Vec<Secret>, Failure> {
    let mut secrets = Vec::new();
    for Secrets(lines) in given {
        let before = secrets.len();
        secrets.extend(lines.iter().filter(|secret| !secret.is_empty()).cloned());
        if secrets.len() == before && !is_from_environment(option) {
            return Err(wrong(option, &"it is empty; give one, or leave the option out"));
        }
    }
    Ok(secrets)
}

/// An event of the application, and its URL.
fn event(text: &str) -> Result<(EventKind, Endpoint), String> {
    let (event, url) =
        text.split_once('=').ok_or("it is written EVENT=URL, as connect=http://127.0.0.1:3000/connect")?;
    Ok((event.parse()?, url.parse()?))
}

fn wrong(option: &str, what: &dyn std::fmt::Display) -> Failure {
    Failure::Usage(format!("{}: {what}; try 'gannet serve --help'", as_given(option)))
}

#[cfg(test)]
mod tests {
    use clap::{Command, FromArgMatches as _};

    use super::*;

    fn options(arguments: &[&str]) -> PushOptions {
        let command = PushOptions::augment_args(Command::new("serve"));
        let matches = command.try_get_matches_from([&["serve"], arguments].concat());
        PushOptions::from_arg_matches(&matches.expect("options")).expect("options")
    }

    fn refusal(arguments: &[&str]) -> String {
        options(arguments).settings(true).expect_err("refused").to_string()
    }

    #[test]
    fn without_options_this_machine_has_the_demo_and_others_have_nothing() {
        let settings = options(&[]).settings(true).expect("settings");
        assert_eq!(settings.channels.namespaces[0].name, "demo");
        assert!(settings.client.anonymous && settings.origins.allows(Some(b"http://localhost:8000")));
        let settings = options(&[]).settings(false).expect("settings");
        assert!(settings.channels.namespaces.is_empty() && !settings.client.anonymous);
        // A key of the API restricts, and opens nothing.
        assert!(options(&["--push-api-key", "k"]).settings(true).expect("settings").client.anonymous);
    }

    #[test]
    fn what_decides_who_may_do_what_ends_the_demo() {
        for arguments in [
            ["--push-namespace", "chat:presence"],
            ["--push-token-secret", "a long secret"],
            ["--push-origin", "https://example.com"],
            ["--push-proxy", "connect=http://127.0.0.1:3000/"],
            ["--push-jwks", "http://127.0.0.1:3000/"],
        ] {
            let settings = options(&arguments).settings(true).expect("settings");
            assert!(settings.channels.namespaces.iter().all(|namespace| namespace.name != "demo"), "{arguments:?}");
            assert!(!settings.client.anonymous, "{arguments:?}");
            assert!(!settings.origins.allows(Some(b"http://localhost")), "{arguments:?}");
        }
    }

    #[test]
    fn options_come_to_settings() {
        let settings = options(&[
            "--push-api-key=key one",
            "--push-api-key=two",
            "--push-token-secret=first secret\nsecond secret",
            "--push-token-audience=push",
            "--push-token-issuer=id",
            "--push-namespace=:presence chat:history_size=10,history_ttl=1m,publish_proxy_enabled",
            "--push-namespace=news:redis",
            "--push-origin=https://a.example https://b.example",
            "--push-anonymous",
            "--push-personal-channels",
            "--push-proxy=connect=http://app.example/connect publish=http://app.example/publish?key=1",
            "--push-proxy-header=Cookie",
            "--push-proxy-timeout=500ms",
            "--push-proxy-requests=7",
            "--push-ping=10s",
            "--push-pong=3s",
            "--push-max-message=1MiB",
            "--push-max-history=2GiB",
            "--push-max-user-connections=5",
            "--push-admin-password=correct horse",
        ]);
        let settings = settings.settings(false).expect("settings");
        assert!(settings.api.allows(Some(b"key one"), None) && settings.api.allows(Some(b"two"), None));
        assert_eq!((settings.tokens.secrets.len(), settings.tokens.audiences.len()), (2, 1));
        let names: Vec<_> = settings.channels.namespaces.iter().map(|namespace| &*namespace.name).collect();
        assert_eq!(names, ["", "chat", "news"]);
        assert!(settings.origins.allows(Some(b"https://b.example")));
        assert!(settings.client.anonymous && settings.client.personal_channel && !settings.client.insecure);
        let publish = settings.application.endpoint(EventKind::Publish).expect("a URL");
        assert_eq!(publish.to_string(), "http://app.example/publish");
        assert_eq!((settings.application.timeout, settings.application.concurrent), (Duration::from_millis(500), 7));
        assert_eq!((settings.client.ping, settings.client.pong), (Duration::from_secs(10), Duration::from_secs(3)));
        assert_eq!((settings.channels.limits.publication, settings.client.frame), (1 << 20, 2 << 20));
        assert_eq!(settings.channels.limits.history_bytes, 2 << 30);
        assert_eq!(settings.channels.limits.connections_per_user, Some(5));
        assert!(settings.admin.password.is_some_and(|password| password.is(b"correct horse")));
    }

    #[test]
    fn a_value_that_is_none_is_refused_with_its_option() {
        for (arguments, why) in [
            (&["--push-namespace=chat:colour"][..], "--push-namespace: namespace 'chat': there is no option 'colour'"),
            (&["--push-namespace=ab:", "--push-namespace=ab:"], "'ab' is configured twice"),
            (&["--push-origin=example.com"], "--push-origin: 'example.com' is not an origin"),
            (&["--push-proxy=connect"], "--push-proxy: it is written EVENT=URL"),
            (&["--push-proxy=login=http://a/"], "'login' is not an event"),
            (&["--push-proxy=connect=a"], "not a URL"),
            (&["--push-proxy=rpc=http://a/", "--push-proxy=rpc=http://b/"], "rpc has two URLs"),
            (&["--push-proxy-header=Host"], "'host' cannot go along"),
            (&["--push-proxy-timeout=off"], "an application may be down"),
            (&["--push-namespace=ab:subscribe_proxy_enabled"], "no URL for the event subscribe"),
            (&["--push-personal-channels"], "personal channels (#user) have no namespace"),
            (&["--push-pong=25s"], "shorter than the time between pings"),
            (&["--push-api-key="], "--push-api-key: it is empty"),
            (&["--push-token-secret=short"], "has 5 bytes"),
            (&["--push-token-key=/nowhere/key.pem"], "/nowhere/key.pem cannot be read"),
            (&["--push-ca=/nowhere/ca.pem"], "--push-ca: the file of authorities /nowhere/ca.pem"),
        ] {
            let error = refusal(arguments);
            assert!(error.contains(why), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn no_secret_is_shown_by_the_options_by_an_error_or_by_the_help() {
        let secret = "hunter2";
        let options = options(&[
            "--push-api-key=hunter2",
            "--push-token-secret=hunter2",
            "--push-admin-password=hunter2",
            "--push-jwks=https://hunter2@id.example/keys?t=hunter2",
        ]);
        assert!(!format!("{options:?} {options:#?}").contains(secret));
        // Too short, so it is an error about the secret.
        let error = options.settings(true).expect_err("short");
        assert!(!format!("{error} {error:?}").contains(secret), "{error}");
    }
}
