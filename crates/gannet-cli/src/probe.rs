//! `gannet probe`: asks a server whether it is well, for health checks of containers that have nothing but this binary.

use std::io::{Read, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use clap::Args;

use crate::failure::Failure;
use crate::output;
use crate::units::{Deadline, deadline};

/// What is read of an answer: its status is in the first line.
const ANSWER_BYTES: u64 = 4_096;

/// Asks a server whether it is well. Exits with 0 where the answer has a status of 2xx, and with 1 otherwise.
///
/// gannet probe http://127.0.0.1:9090/readyz
#[derive(Args, Clone, Debug)]
pub(crate) struct ProbeOptions {
    /// What to ask for, over HTTP without TLS
    #[arg(value_name = "URL", value_parser = target, default_value = "http://127.0.0.1:8080/healthz")]
    url: Target,

    /// Time for the answer
    #[arg(long, value_name = "TIME", value_parser = deadline, default_value = "3s")]
    timeout: Deadline,
}

/// Host with port, and path.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Target {
    host: String,
    path: String,
}

fn target(text: &str) -> Result<Target, String> {
    let rest = text.strip_prefix("http://").ok_or("a URL to probe begins with http://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    if host.is_empty() || text.bytes().any(|byte| !(b'!'..=b'~').contains(&byte)) {
        return Err("a URL to probe is as http://127.0.0.1:8080/healthz".to_owned());
    }
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let host = if has_port { host.to_owned() } else { format!("{host}:80") };
    Ok(Target { host, path: format!("/{path}") })
}

/// Asks, and prints the first line of the answer.
///
/// # Errors
///
/// There is no answer in time, or it says that the server is not well.
pub(crate) fn probe(options: &ProbeOptions) -> Result<(), Failure> {
    let Target { host, path } = &options.url;
    let unanswered = |error: std::io::Error| Failure::Call(format!("http://{host}{path} has not answered: {error}"));
    let line = ask(&options.url, options.timeout.0).map_err(unanswered)?;
    if line.split(' ').nth(1).is_some_and(|status| status.len() == 3 && status.starts_with('2')) {
        return output::print(&format!("{line}\n"));
    }
    Err(Failure::Call(format!("http://{host}{path} is not well: {line}")))
}

/// The first line of the answer.
fn ask(target: &Target, timeout: Option<Duration>) -> std::io::Result<String> {
    let mut failed = std::io::Error::other("its name has no address");
    for address in target.host.to_socket_addrs()? {
        let connected = match timeout {
            Some(timeout) => TcpStream::connect_timeout(&address, timeout),
            None => TcpStream::connect(address),
        };
        match connected {
            Ok(stream) => return exchange(stream, target, timeout),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn exchange(mut stream: TcpStream, target: &Target, timeout: Option<Duration>) -> std::io::Result<String> {
    stream.set_read_timeout(timeout)?;
    stream.set_write_timeout(timeout)?;
    let Target { host, path } = target;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    Ok(text.lines().next().unwrap_or("nothing").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_may_leave_out_port_and_path() {
        for (url, host, path) in [
            ("http://127.0.0.1:9090/readyz", "127.0.0.1:9090", "/readyz"),
            ("http://localhost", "localhost:80", "/"),
            ("http://[::1]:8080/a/b?c", "[::1]:8080", "/a/b?c"),
            ("http://[::1]/", "[::1]:80", "/"),
        ] {
            assert_eq!(target(url), Ok(Target { host: host.to_owned(), path: path.to_owned() }), "{url}");
        }
        for url in ["", "https://localhost", "http://", "http:///path", "http://a b/", "http://a/\r\nHost: b"] {
            assert!(target(url).is_err(), "{url}");
        }
    }
}
