//! The push gateway: what its flags stand for, and the settings that everything comes to.

use std::path::PathBuf;
use std::time::Duration;

use gannet_config::{Member, Place, Problem, Problems, Scope, Value, Values};
use gannet_gateway::origin::Origins;
use gannet_gateway::settings::namespace::{self, NamespaceError};
use gannet_gateway::settings::{EventKind, Rate, Settings, SettingsError};
use gannet_gateway::token::{JwksSettings, Key};
use gannet_gateway::{Secret, Trust};

use crate::services::Listener;

/// How far the frame of a client is larger than the largest publication: what is around it, and JSON's escapes.
const FRAME_FACTOR: usize = 2;

/// How many commands may come at once, in seconds of their rate.
const BURST_SECONDS: u32 = 2;

/// Reads the value of `--push-proxy`: `connect=http://…`, or several of them with spaces between.
pub(super) fn expand_proxy(text: &str) -> Result<Vec<Member>, String> {
    let mut entries = Vec::new();
    for word in text.split_ascii_whitespace() {
        let (event, url) =
            word.split_once('=').ok_or("it is written EVENT=URL, as connect=http://127.0.0.1:3000/connect")?;
        let event: EventKind = event.parse()?;
        url.parse::<gannet_gateway::Endpoint>()?;
        entries.push((event.name(), url.to_owned()));
    }
    Ok(vec![Member { name: None, entries }])
}

/// Reads the value of `--push-namespace`: `chat:presence,history_size=100`, or several of them with spaces between.
pub(super) fn expand_namespaces(text: &str) -> Result<Vec<Member>, String> {
    let mut members = Vec::new();
    for text in text.split_ascii_whitespace() {
        let parsed = namespace::parse(text).map_err(|error| error.to_string())?;
        let mut rest = text.split_once(':').map_or("", |(_, rest)| rest);
        let mut entries = Vec::new();
        while !rest.is_empty() {
            // A pattern is the last option, since it may have commas.
            let is_pattern = rest.starts_with("channel_regex=");
            let (item, more) = if is_pattern { (rest, "") } else { rest.split_once(',').unwrap_or((rest, "")) };
            rest = more;
            let (word, value) = item.split_once('=').unwrap_or((item, "true"));
            let key = known(word.trim()).ok_or_else(|| format!("there is no option '{word}'"))?;
            entries.push((key, value.trim().to_owned()));
        }
        members.push(Member { name: Some(parsed.name), entries });
    }
    Ok(members)
}

const SECTION: &str = "push.namespace";
const NAMESPACE: &str = "push.namespace.*.";

/// The name of an option, as the table has it.
fn known(word: &str) -> Option<&'static str> {
    super::SCHEMA.settings.iter().find_map(|setting| setting.key.strip_prefix(NAMESPACE).filter(|name| *name == word))
}

/// The gateway where something listens for its clients. Where nothing does, what a file says is checked all the same.
pub(super) fn settings(values: &Values, listeners: &[Listener], problems: &mut Problems) -> Option<Settings> {
    let mut own = listeners.iter().filter(|listener| listener.is_push()).peekable();
    let listens = own.peek().is_some();
    let is_in_file =
        values.entries().any(|(key, entry)| key.setting().key.starts_with("push.") && entry.place.is_file());
    if !listens && !is_in_file {
        return None;
    }
    let is_local = own.all(Listener::is_local);
    let settings = read(values, is_local, problems);
    listens.then_some(settings)
}

/// Tells whether something is configured that decides who may do what. Otherwise a gateway that only this machine can reach
/// has the namespace `demo`.
fn has_rules(values: &Values) -> bool {
    let root = values.root();
    let keys = ["push.token_secrets", "push.token_key_files", "push.jwks", "push.origins"];
    let is_set = keys.into_iter().any(|key| root.entry(key).is_some() || root.is_broken(key));
    let asks = EventKind::ALL.into_iter().any(|event| root.entry(&proxy(event)).is_some());
    is_set || asks || !values.members("push.namespace").is_empty()
}

fn proxy(event: EventKind) -> String {
    format!("push.proxy.{}", event.name())
}

fn read(values: &Values, is_local: bool, problems: &mut Problems) -> Settings {
    let root = values.root();
    let mut settings = if is_local && !has_rules(values) { Settings::demo() } else { Settings::default() };
    settings.api.keys = secrets(&root, "push.api_keys");
    settings.api.own_listener = root.read::<String>("push.api") == "own";
    settings.tokens.secrets = secrets(&root, "push.token_secrets");
    settings.tokens.key_files = root.find::<Vec<PathBuf>>("push.token_key_files").unwrap_or_default();
    settings.tokens.jwks = endpoint(&root, "push.jwks").map(JwksSettings::new);
    settings.tokens.audiences = root.find("push.token_audiences").unwrap_or_default();
    settings.tokens.issuers = root.find("push.token_issuers").unwrap_or_default();
    let origins = root.find::<Vec<String>>("push.origins").unwrap_or_default();
    match Origins::new(origins.iter().map(String::as_str)) {
        Ok(origins) => settings.origins.extend(origins),
        Err(error) => report(problems, &root, "push.origins", error.to_string()),
    }
    let insecure: bool = root.read("push.insecure");
    settings.client.anonymous |= root.read::<bool>("push.anonymous") || insecure;
    settings.client.insecure = insecure;
    settings.client.personal_channel = root.read("push.personal_channels");
    settings.client.ping = root.read("push.ping");
    settings.client.pong = root.read("push.pong");
    settings.client.stale = root.read("push.connect_timeout");
    settings.client.refresh_grace = root.read("push.refresh_grace");
    settings.client.commands = rate(root.read("push.max_commands"));
    settings.client.publications = rate(root.read("push.max_publications"));
    let publication: usize = root.read("push.max_message");
    settings.channels.limits.publication = publication;
    settings.client.frame = settings.client.frame.max(publication.saturating_mul(FRAME_FACTOR));
    settings.channels.limits.history_bytes = root.read("push.max_history");
    settings.channels.limits.connections_per_user =
        Some(root.read("push.max_user_connections")).filter(|connections| *connections > 0);
    settings.admin.password = secrets(&root, "push.admin_password").into_iter().next();
    for event in EventKind::ALL {
        settings.application.endpoints.extend(endpoint(&root, &proxy(event)).map(|url| (event, url)));
    }
    for name in root.find::<Vec<String>>("push.calls.headers").unwrap_or_default() {
        if let Err(error) = settings.application.forward(&name) {
            report(problems, &root, "push.calls.headers", error.to_string());
        }
    }
    settings.application.timeout = root.read::<Duration>("push.calls.timeout");
    settings.application.concurrent = root.read("push.calls.requests");
    if let Some(file) = root.find::<PathBuf>("push.calls.ca") {
        match Trust::file(&file) {
            Ok(trust) => settings.set_trust(&trust),
            Err(error) => report(problems, &root, "push.calls.ca", error.to_string()),
        }
    }
    namespaces(values, &mut settings, problems);
    for error in settings.tokens.secrets.iter().filter_map(|secret| Key::secret(secret).err()) {
        report(problems, &root, "push.token_secrets", error.to_string());
    }
    // Files are read here once, so that what is wrong with them is said before anything listens.
    for error in settings.tokens.key_files.iter().filter_map(|file| Key::file(file).err()) {
        report(problems, &root, "push.token_key_files", error.to_string());
    }
    settings
}

/// The namespaces, and what is wrong between them and the rest.
fn namespaces(values: &Values, settings: &mut Settings, problems: &mut Problems) {
    let before = problems.len();
    for (name, place) in values.members("push.namespace") {
        let scope = values.of("push.namespace", name);
        let text = written(values, &scope);
        match namespace::parse(&text) {
            Ok(parsed) => settings.channels.namespaces.push(parsed),
            Err(error) => {
                let at =
                    word_of(&error).and_then(|word| place_of(values, &scope, word)).unwrap_or_else(|| place.clone());
                problems.push(Problem::at(&at, error.to_string()));
            }
        }
    }
    for namespace in &settings.channels.namespaces {
        let (options, scope) = (&namespace.options, values.of("push.namespace", &namespace.name));
        for (asks, option, event) in [
            (options.subscribe_proxy, "subscribe_proxy_enabled", EventKind::Subscribe),
            (options.publish_proxy, "publish_proxy_enabled", EventKind::Publish),
            (options.sub_refresh_proxy, "sub_refresh_proxy_enabled", EventKind::SubRefresh),
        ] {
            let is_broken = values.root().is_broken(&proxy(event));
            if asks && settings.application.endpoint(event).is_none() && !is_broken {
                let error = SettingsError::NoApplication { namespace: namespace.name.clone(), option, event };
                report(problems, &scope, option, error.to_string());
            }
        }
    }
    // What else belongs together, where nothing was found yet that would be found again.
    if problems.len() == before
        && let Err(error) = settings.check()
    {
        let key = match &error {
            SettingsError::NoPersonal => "push.personal_channels",
            SettingsError::Pong { .. } => "push.pong",
            _ => "push.anonymous",
        };
        report(problems, &values.root(), key, error.to_string());
    }
}

/// The option that an error is about.
fn word_of(error: &NamespaceError) -> Option<&'static str> {
    match error {
        NamespaceError::Value { word, .. } | NamespaceError::Needs { word, .. } => Some(*word),
        _ => None,
    }
}

/// A namespace as the gateway reads it.
fn written(values: &Values, scope: &Scope<'_>) -> String {
    let mut options = Vec::new();
    let mut pattern = None;
    let name = scope.member().unwrap_or_default();
    for (key, entry) in values.entries_of(SECTION, name) {
        let word = key.setting().name();
        let value = match &entry.value {
            Value::Switch(on) => on.to_string(),
            Value::Number(number) => number.to_string(),
            Value::Time(time) => gannet_config::units::written_time(*time),
            Value::Text(text) => text.clone(),
            Value::Size(_) | Value::List(_) | Value::Secrets(_) => continue,
        };
        let option = format!("{word}={value}");
        if word == "channel_regex" { pattern = Some(option) } else { options.push(option) }
    }
    // A pattern is the last option, since it may have commas.
    options.extend(pattern);
    format!("{name}:{}", options.join(","))
}

/// Where an option of a namespace is. The gateway names some of them together, as `allow_history_for_…`.
fn place_of(values: &Values, scope: &Scope<'_>, word: &str) -> Option<Place> {
    let begin = word.trim_end_matches('…');
    let mut own = values.entries_of(SECTION, scope.member().unwrap_or_default());
    own.find(|(key, _)| key.setting().name().starts_with(begin)).map(|(_, entry)| entry.place.clone())
}

/// Reports what is wrong with a setting, where it was given.
fn report(problems: &mut Problems, scope: &Scope<'_>, key: &str, message: String) {
    problems.push(match scope.place(key) {
        Some(place) => Problem::at(place, message),
        None => Problem::general(message),
    });
}

fn rate(per_second: u32) -> Rate {
    Rate { per_second, burst: per_second.saturating_mul(BURST_SECONDS) }
}

fn endpoint(root: &Scope<'_>, key: &str) -> Option<gannet_gateway::Endpoint> {
    root.find::<String>(key).and_then(|url| url.parse().ok())
}

fn secrets(root: &Scope<'_>, key: &str) -> Vec<Secret> {
    let all = root.find::<Vec<gannet_config::Secret>>(key).unwrap_or_default();
    all.iter().map(|secret| Secret::new(secret.reveal())).collect()
}
