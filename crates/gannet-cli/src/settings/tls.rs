//! Profiles of TLS, and what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};

use gannet_config::{Place, Problem, Problems, Scope, Values};
use gannet_tls::{ClientAuthMode, TlsFiles, TlsVersion};

use crate::services::Listener;
use crate::tls::TlsSettings;

/// The profiles that listeners use; those that none uses are checked, where a file has them.
pub(super) fn profiles(
    values: &Values,
    listeners: &[Listener],
    problems: &mut Problems,
) -> BTreeMap<String, TlsSettings> {
    let used: BTreeSet<&str> = listeners.iter().filter_map(Listener::tls).collect();
    let mut profiles = BTreeMap::new();
    for (name, place) in values.members("tls") {
        let scope = values.of("tls", name);
        if used.contains(&**name) {
            profiles.extend(settings(&scope, place, problems).map(|settings| (name.clone(), settings)));
        } else if place.is_file() {
            settings(&scope, place, problems);
        } else if used.is_empty() {
            // The environment may be that of several servers, of which others have such a listener.
            unused(values, &scope, problems);
        }
    }
    let known: BTreeSet<&str> = values.members("tls").iter().map(|(name, _)| &**name).collect();
    for listener in listeners {
        let Some(profile) = listener.tls().filter(|profile| !known.contains(profile)) else { continue };
        if problems.is_full() {
            // To find the nearest name for each takes the product of both numbers.
            break;
        }
        let scope = values.of("listener", &listener.name);
        let place = scope.place("tls").or_else(|| scope.place("url"));
        let message = match (scope.place("tls"), place) {
            (Some(_), _) => {
                let meant = gannet_config::nearest(profile, known.iter().copied());
                let meant = meant.map(|name| format!("; did you mean '{name}'?")).unwrap_or_default();
                format!("there is no profile [tls.{profile}]{meant}")
            }
            (None, Some(place)) if place.is_file() => {
                "tls:// needs a profile: add tls = \"NAME\", and [tls.NAME] with certificates and private_keys"
                    .to_owned()
            }
            _ => "tls:// needs a certificate: --tls-cert FILE and --tls-key FILE, or --tls-self-signed to try it"
                .to_owned(),
        };
        problems
            .push(place.map_or_else(|| Problem::general(message.clone()), |place| Problem::at(place, message.clone())));
    }
    profiles
}

/// Flags of TLS where nothing listens on it.
fn unused(values: &Values, scope: &Scope<'_>, problems: &mut Problems) {
    // One that could not be read may have been for TLS.
    if values.members("listener").iter().any(|(name, _)| values.of("listener", name).is_broken("url")) {
        return;
    }
    let own =
        values.entries().filter(|(key, _)| key.setting().key.starts_with("tls.*.") && key.member() == scope.member());
    let mut places = own.map(|(_, entry)| &entry.place);
    if let Some(place) = places.find(|place| place.is_flag()) {
        let message =
            format!("{place} is of no use without a tls:// listener; add one, as --listen http=tls://127.0.0.1:8443");
        problems.push(Problem::at(place, message));
    }
}

/// How much a place counts: the command line most.
fn rank(place: Option<&Place>) -> u8 {
    match place {
        None | Some(Place::Default) => 0,
        Some(Place::File(..)) => 1,
        Some(Place::Variable(_)) => 2,
        Some(Place::Flag(_)) => 3,
    }
}

fn settings(scope: &Scope<'_>, place: &Place, problems: &mut Problems) -> Option<TlsSettings> {
    let (cert, key, own) = ("certificates", "private_keys", "self_signed");
    if [cert, key, own].into_iter().any(|key| scope.is_broken(key)) {
        return None;
    }
    let mut files = TlsFiles::default();
    let mut certificates: Vec<std::path::PathBuf> = scope.find(cert).unwrap_or_default();
    let mut keys: Vec<std::path::PathBuf> = scope.find(key).unwrap_or_default();
    let mut self_signed = scope.find(own).unwrap_or(false);
    let (of_files, of_own) = (rank(scope.place(cert)).max(rank(scope.place(key))), rank(scope.place(own)));
    if self_signed && of_own > of_files {
        // What is asked for on a higher layer counts more.
        (certificates, keys) = (Vec::new(), Vec::new());
    } else if of_files > of_own && !certificates.is_empty() {
        self_signed = false;
    }
    let spelled = |key: &str| scope.spelled(key, Some(place));
    let at = |key: &str| scope.place(key).unwrap_or(place);
    let before = problems.len();
    if self_signed && (!certificates.is_empty() || !keys.is_empty()) {
        let message = format!(
            "{} makes a certificate of its own; leave it out, or {} and {}",
            spelled(own),
            spelled(cert),
            spelled(key)
        );
        problems.push(Problem::at(at(own), message).and(format!("{} is here", spelled(cert)), scope.place(cert)));
    } else if let Some(certificate) = certificates.get(keys.len()) {
        let message = format!(
            "{} {} has no {}; give one for each, in the same order",
            spelled(cert),
            certificate.display(),
            spelled(key)
        );
        problems.push(Problem::at(at(cert), message));
    } else if let Some(private) = keys.get(certificates.len()) {
        let message = format!(
            "{} {} has no {}; give one for each, in the same order",
            spelled(key),
            private.display(),
            spelled(cert)
        );
        problems.push(Problem::at(at(key), message));
    } else if certificates.is_empty() && !self_signed {
        let message = if place.is_file() {
            format!(
                "the profile has no certificate: add {cert} = [\"FILE\"] and {key} = [\"FILE\"], or {own} = true to try it"
            )
        } else {
            "tls:// needs a certificate: --tls-cert FILE and --tls-key FILE, or --tls-self-signed to try it".to_owned()
        };
        problems.push(Problem::at(place, message));
    }
    files.client_ca = scope.find("client_ca");
    if files.client_ca.is_none() && !scope.is_broken("client_ca") {
        let (auth, crl, ca) = ("client_auth", "crls", spelled("client_ca"));
        if let Some(at) = scope.place(auth) {
            let message = format!("{} needs a CA to check clients against; add {ca} FILE", spelled(auth));
            problems.push(Problem::at(at, message));
        }
        if let Some(at) = scope.place(crl) {
            problems.push(Problem::at(at, format!("{} is for client certificates; add {ca} FILE", spelled(crl))));
        }
    }
    // Application protocols are for each service to say, and at the start a pipe is a file like any other.
    files.identities = certificates.into_iter().zip(keys).collect();
    files.client_auth = match scope.find::<String>("client_auth").as_deref() {
        Some("optional") => ClientAuthMode::Optional,
        _ => ClientAuthMode::Required,
    };
    files.crls = scope.find("crls").unwrap_or_default();
    files.min_version = match scope.find::<String>("min_version").as_deref() {
        Some("1.3") => TlsVersion::V1_3,
        _ => TlsVersion::V1_2,
    };
    files.accept_expired = scope.find("accept_expired").unwrap_or(false);
    (problems.len() == before).then_some(TlsSettings { files, self_signed })
}
