//! Checks of texts that the table names: what each is instead, and how it is written.

use std::net::Ipv6Addr;

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

/// The form only: what a name stands for may change while the configuration stays, so nothing is looked up.
pub(super) fn url(text: &str) -> Result<(), String> {
    let why = "a URL is written tcp://host:port, tls://host:port, unix:///path or udp://host:port";
    let (scheme, rest) = text.split_once("://").ok_or(why)?;
    match scheme {
        "tcp" | "tls" | "udp" => host_and_port(rest).map_err(|why| format!("{text:?} is no URL of a listener: {why}")),
        "unix" => socket_path(rest).map_err(|why| format!("{text:?} is no URL of a listener: {why}")),
        _ => Err(why.to_owned()),
    }
}

fn host_and_port(text: &str) -> Result<(), String> {
    let missing = "the port is missing: host:port";
    let (host, port) = text.rsplit_once(':').filter(|_| !text.ends_with(']')).ok_or(missing)?;
    if host.is_empty() {
        return Err("the host is missing; 127.0.0.1 is this machine only, 0.0.0.0 every address of it".to_owned());
    }
    if let Some(inside) = host.strip_prefix('[') {
        let inside = inside.strip_suffix(']').ok_or(missing)?;
        let ip = inside.split_once('%').map_or(inside, |(ip, _)| ip);
        ip.parse::<Ipv6Addr>().map_err(|_| format!("{ip:?} is not an IPv6 address"))?;
    } else if host.contains(['/', '@', '?', '#', '[', ']']) || host.contains(char::is_whitespace) {
        return Err(format!("{host:?} is not a host: write an IP address, or a name"));
    } else if host.contains(':') {
        return Err("an IPv6 address stands in brackets: [::1]:7000".to_owned());
    }
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if is_port { Ok(()) } else { Err(format!("{port:?} is not a port (0 to 65535)")) }
}

/// The most bytes that the kernel takes as the path of a Unix socket on Linux; others take fewer.
const LONGEST_SOCKET_PATH: usize = 107;

fn socket_path(text: &str) -> Result<(), String> {
    match text.strip_prefix('@') {
        Some("") => Err("the abstract name is missing: unix://@name".to_owned()),
        None if text.is_empty() => Err("the path is missing: unix:///run/gannet.sock".to_owned()),
        _ if text.contains('\0') => Err("a path has no NUL".to_owned()),
        _ if text.len() > LONGEST_SOCKET_PATH => Err(format!(
            "the path of a Unix socket has at most {LONGEST_SOCKET_PATH} bytes, and this one {}",
            text.len()
        )),
        _ => Ok(()),
    }
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
    fn a_url_on_which_nobody_can_listen_is_refused_before_a_server_has_it() {
        for (text, why) in [
            ("tcp://", "the port is missing"),
            ("tcp://127.0.0.1", "the port is missing"),
            ("tcp://[::1]", "the port is missing"),
            ("tcp://[::1]0", "the port is missing"),
            ("tcp://:70000", "the host is missing"),
            ("tcp://127.0.0.1:70000", "is not a port"),
            ("tcp://127.0.0.1:-1", "is not a port"),
            ("udp://127.0.0.1:+1", "is not a port"),
            ("tls://127.0.0.1:0/path", "is not a port"),
            ("tcp://::1:7000", "in brackets"),
            ("tcp://[127.0.0.1]:7000", "is not an IPv6 address"),
            ("tcp://user@host:7000", "is not a host"),
            ("tcp://a b:7000", "is not a host"),
            ("unix://", "the path is missing"),
            ("unix://@", "the abstract name is missing"),
            ("unix:///a\0b", "no NUL"),
            ("mail://host:25", "tcp://host:port"),
            ("7000", "tcp://host:port"),
        ] {
            let error = url(text).expect_err(text);
            assert!(error.contains(why), "{text}: {error}");
        }
        assert!(url(&format!("unix:///{}", "x".repeat(107))).expect_err("too long").contains("107"));
    }

    #[test]
    fn a_url_of_every_form_is_taken_and_no_name_is_looked_up() {
        let longest = format!("unix:///{}", "x".repeat(106));
        for text in [
            "tcp://127.0.0.1:0",
            "tls://[::]:65535",
            "tcp://[::ffff:127.0.0.1]:1",
            "udp://[fe80::1%eth0]:7000",
            "tcp://[fe80::1%25eth0]:7000",
            "tcp://no-such-host.invalid:80",
            "unix:///run/gannet.sock",
            "unix://here.sock",
            "unix://@name",
            &longest,
        ] {
            assert_eq!(url(text), Ok(()), "{text}");
        }
    }

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
