//! Checks of texts that the table names: what each is instead, and how it is written.

use gannet_gateway::Endpoint;
use gannet_gateway::origin::Origins;
use gannet_gateway::settings::ApplicationSettings;

use crate::services;

pub(super) fn any(_: &str) -> Result<(), String> {
    Ok(())
}

/// A name that is not empty.
pub(super) fn word(text: &str) -> Result<(), String> {
    if text.is_empty() { Err("the name is empty".to_owned()) } else { Ok(()) }
}

pub(super) fn service(text: &str) -> Result<(), String> {
    services::check_service(text)
}

/// The form only: what it stands for may change while the configuration stays.
pub(super) fn url(text: &str) -> Result<(), String> {
    let why = "a URL is written tcp://host:port, tls://host:port, unix:///path or udp://host:port";
    let (scheme, _) = text.split_once("://").ok_or(why)?;
    if ["tcp", "tls", "unix", "udp"].contains(&scheme) { Ok(()) } else { Err(why.to_owned()) }
}

pub(super) fn admin(text: &str) -> Result<(), String> {
    crate::admin::parse_address(text).map(drop)
}

pub(super) fn mode(text: &str) -> Result<(), String> {
    services::mode(text).map(drop)
}

pub(super) fn group(text: &str) -> Result<(), String> {
    services::group(text).map(drop)
}

pub(super) fn network(text: &str) -> Result<(), String> {
    services::network(text).map(drop)
}

/// A load balancer, or the word for whoever reaches a Unix socket.
pub(super) fn balancer(text: &str) -> Result<(), String> {
    if text == services::UNIX { Ok(()) } else { network(text) }
}

pub(super) fn origin(text: &str) -> Result<(), String> {
    Origins::new([text]).map(drop).map_err(|error| error.to_string())
}

pub(super) fn header(text: &str) -> Result<(), String> {
    ApplicationSettings::default().forward(text).map_err(|error| error.to_string())
}

pub(super) fn audit(text: &str) -> Result<(), String> {
    crate::audit::Target::parse(text).map(drop)
}

/// A share of all.
pub(super) fn share(text: &str) -> Result<(), String> {
    crate::otlp::check_share(text)
}

pub(super) fn endpoint(text: &str) -> Result<(), String> {
    text.parse::<Endpoint>().map(drop)
}

/// Whether a URL has a password or a query. Those are not shown, since they may be secret.
pub(super) fn has_secret(text: &str) -> bool {
    let authority = text.split_once("://").map_or(text, |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    authority.contains('@') || text.contains('?')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_with_a_password_or_a_query_may_have_a_secret() {
        for url in ["http://a:b@h/", "http://a@h", "https://h/p?key=1", "http://h?x"] {
            assert!(has_secret(url), "{url}");
        }
        for url in ["http://h/", "https://h:8443/p/@me", "http://[::1]:1/x"] {
            assert!(!has_secret(url), "{url}");
        }
    }
}
