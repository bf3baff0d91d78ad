//! Listeners: as `--listen` has them, and what is wrong between them.

use std::collections::HashMap;

use gannet::Timeouts;
use gannet_config::{Member, Problem, Problems, Values};

use crate::services::{Listener, parse_listeners};

/// Reads the value of `--listen`.
pub(super) fn expand(text: &str) -> Result<Vec<Member>, String> {
    parse_listeners(text)
}

/// All listeners, in the order in which they were given.
pub(super) fn all(values: &Values, timeouts: Timeouts, frame: usize, problems: &mut Problems) -> Vec<Listener> {
    let mut listeners = Vec::new();
    let mut addresses: HashMap<String, &str> = HashMap::new();
    for (name, place) in values.members("listener") {
        let scope = values.of("listener", name);
        // What was said of a value that could not be read is enough.
        let is_broken = ["service", "url", "mode", "group", "tls"].into_iter().any(|key| scope.is_broken(key));
        match Listener::of(&scope, timeouts, frame) {
            Ok(listener) => {
                let address = address(listener.url());
                if let Some(other) = address.clone().and_then(|address| addresses.insert(address, name)) {
                    let at = scope.place("url").unwrap_or(place);
                    let url = listener.url();
                    let problem = Problem::at(at, format!("two listeners have the address {url}; leave one of them"));
                    problems.push(problem.and("the other one is here", values.of("listener", other).place("url")));
                }
                listeners.push(listener);
            }
            Err(_) if is_broken => {}
            Err((key, why)) => {
                let at = scope.place(key).unwrap_or(place);
                let is_there = scope.entry(key).is_some();
                let message = if is_there { format!("{}: {why}", scope.key(key)) } else { why };
                problems.push(Problem::at(at, message));
            }
        }
    }
    listeners
}

/// What no two listeners can have: the address without its scheme, since TLS is TCP as well. Port 0 is another port each time.
fn address(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let kind = match scheme {
        "tcp" | "tls" => "tcp",
        other => other,
    };
    (kind == "unix" || !rest.ends_with(":0")).then(|| format!("{kind}://{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_and_tcp_share_their_ports_and_udp_has_its_own() {
        assert_eq!(address("tcp://h:1"), address("tls://h:1"));
        assert_ne!(address("tcp://h:1"), address("udp://h:1"));
        assert_eq!(address("tcp://h:0"), None);
        assert_eq!(address("unix:///a:0").as_deref(), Some("unix:///a:0"));
    }
}
