//! `[access]`: who may connect.

use gannet::{Access, AccessRules, IpNet};
use gannet_config::{Problem, Problems, Scope};

use crate::services::network;

/// The rules of all listeners.
pub(super) fn rules(root: &Scope<'_>, problems: &mut Problems) -> AccessRules {
    let mut rules = AccessRules::default();
    (rules.allow, rules.deny) = (networks(root, "access.allow"), networks(root, "access.deny"));
    rules.connections_per_prefix = root.read("access.connections_per_prefix");
    rules.connections_per_network = root.read("access.connections_per_network");
    rules.connection_rate = root.read::<u32>("access.connection_rate").into();
    if let (Err(error), Some(place)) = (Access::new(&rules), place(root)) {
        let other = root.place("access.allow").filter(|other| !std::ptr::eq(*other, place));
        problems.push(Problem::at(place, error.to_string()).and("the other list is here", other));
    }
    rules
}

/// Where what is wrong between the rules is shown.
fn place<'v>(root: &Scope<'v>) -> Option<&'v gannet_config::Place> {
    ["access.deny", "access.allow", "access.connection_rate"].into_iter().find_map(|key| root.place(key))
}

/// What could not be read was said already.
fn networks(root: &Scope<'_>, key: &str) -> Vec<IpNet> {
    let texts = root.find::<Vec<String>>(key).unwrap_or_default();
    texts.iter().filter_map(|text| network(text).ok()).collect()
}
