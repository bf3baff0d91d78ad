//! The layer of the environment.

use std::collections::BTreeMap;

use crate::loader::{Loader, from_variable};
use crate::nearest::nearest;
use crate::place::Place;
use crate::problem::Problem;
use crate::setting::{Schema, variable};

pub(crate) fn read(loader: &mut Loader, variables: impl IntoIterator<Item = (String, String)>) {
    let schema = loader.values.schema;
    let mut ours: BTreeMap<String, String> =
        variables.into_iter().filter(|(name, _)| name.starts_with(schema.prefix)).collect();
    for section in schema.sections {
        let Some((flag, _)) = section.flag else { continue };
        let name = variable(schema.prefix, flag.name);
        if let Some(text) = ours.remove(&name) {
            let place = Place::Variable(name);
            loader.expand(section, &[text], &place, "");
        }
    }
    for setting in schema.settings {
        let given = setting.variables(schema.prefix).into_iter();
        let mut given = given.filter_map(|name| ours.remove(&name).map(|text| (name, text)));
        let Some((name, text)) = given.next() else { continue };
        let place = Place::Variable(name.clone());
        if let Some((other, _)) = given.next() {
            let message = format!("{other} sets the same setting, {}; leave one of them", setting.key);
            loader.problems.push(Problem::at(&place, message));
            continue;
        }
        // An empty secret is as good as none: a service manager cannot always leave a variable out.
        if text.is_empty() && setting.kind.is_secret() {
            continue;
        }
        match from_variable(&setting.kind, &name, &text) {
            Ok(value) => loader.set_by_flag(setting, value, &place),
            Err(why) => {
                loader.broken(setting, None);
                let shown = if setting.kind.is_secret() { String::new() } else { format!("invalid value '{text}': ") };
                loader.problems.push(Problem::at(&place, format!("{shown}{why}")));
            }
        }
    }
    for (name, text) in ours {
        if loader.known.contains(&name) || is_of_containers(&name, &text) {
            continue;
        }
        let mut known = schema.variables();
        known.extend_from_slice(&loader.known);
        let meant = nearest(&name, known.iter().map(String::as_str));
        let meant = meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default();
        let message = format!("no setting has this variable{meant}");
        loader.problems.push(Problem::at(&Place::Variable(name), message));
    }
}

impl Schema {
    /// Lists the variables of all settings and sections.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        let settings = self.settings.iter().flat_map(|setting| setting.variables(self.prefix));
        let sections = self.sections.iter().filter_map(|section| section.flag);
        let sections = sections.map(|(flag, _)| variable(self.prefix, flag.name));
        settings.chain(sections).collect()
    }
}

/// Whether a variable is one of those that Kubernetes and Docker give every container for a service whose name begins like
/// the prefix: `…_SERVICE_HOST`, `…_SERVICE_PORT_HTTP`, `…_PORT_8000_TCP_ADDR`.
fn is_of_containers(name: &str, text: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| text.starts_with(scheme));
    if name.ends_with("_SERVICE_HOST") || (name.ends_with("_PORT") && (is_address || is_number(text))) {
        return true;
    }
    if name.contains("_SERVICE_PORT_") && is_number(text) {
        return true;
    }
    let Some((_, behind)) = name.split_once("_PORT_") else { return false };
    let mut parts = behind.split('_');
    let is_port = parts.next().is_some_and(is_number);
    let is_protocol = parts.next().is_some_and(|protocol| ["TCP", "UDP", "SCTP"].contains(&protocol));
    is_port && is_protocol && matches!(parts.next(), None | Some("ADDR" | "PORT" | "PROTO"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_containers_are_given_for_services_is_known_and_nothing_else() {
        for (name, text) in [
            ("GANNET_SERVICE_HOST", "10.0.0.1"),
            ("GANNET_SERVICE_PORT", "8000"),
            ("GANNET_SERVICE_PORT_HTTP", "8000"),
            ("GANNET_PORT", "tcp://10.0.0.1:8000"),
            ("GANNET_ADMIN_PORT_9000_TCP", "tcp://10.0.0.1:9000"),
            ("GANNET_PORT_8000_TCP_ADDR", "10.0.0.1"),
            ("GANNET_PORT_8000_UDP_PROTO", "udp"),
        ] {
            assert!(is_of_containers(name, text), "{name}");
        }
        for (name, text) in [
            ("GANNET_PORTS", "1"),
            ("GANNET_PORT", "x"),
            ("GANNET_PORT_X_TCP", "1"),
            ("GANNET_MAX_FRAM", "1KiB"),
            ("GANNET_SERVICE", "1"),
        ] {
            assert!(!is_of_containers(name, text), "{name}");
        }
    }
}
