//! HAProxy as a subject of HTTP, as its package installs it: it answers `GET /` by itself.
//!
//! `bench/proxy.py` measures the handing on of connections, for which HAProxy is made.

use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::home;
use crate::http::BODY;
use crate::machine;
use crate::socket::{self, Blocking};
use crate::subject::Ready;
use crate::tls::{self, Key, Pem};

/// The text that stands in its output before its start: it does not say itself that it listens.
pub const BEGINS: &str = "HAProxy begins";

const PROGRAM: &str = "haproxy";

/// Becomes HAProxy on one thread, without a log of requests. The process stays the same, so that it is pinned and ends as every
/// other subject.
pub fn serve(port: u16, _ready: Ready) -> io::Result<()> {
    become_haproxy(port, None)
}

/// Becomes an HAProxy that serves over TLS, with a certificate and its key.
pub fn serve_tls(port: u16, _ready: Ready) -> io::Result<()> {
    become_haproxy(port, Some(tls::pem(Key::Ecdsa)?))
}

fn become_haproxy(port: u16, certificate: Option<Pem>) -> io::Result<()> {
    // It would try again and end like after any other failure; here the parent learns of it.
    drop(socket::listen(port, Blocking::Yes)?);
    let home = home::make()?;
    let mut tls = String::new();
    if let Some(Pem { certificate, key }) = certificate {
        let file = home.join("certificate.pem");
        fs::write(&file, certificate + &key)?;
        tls = format!(" ssl crt {}", file.display());
    }
    let file = home.join("haproxy.cfg");
    fs::write(&file, config(port, &tls))?;
    let mut out = io::stdout().lock();
    writeln!(out, "{BEGINS}")?;
    out.flush()?;
    // In the foreground, and without a word on its start.
    Err(Command::new(PROGRAM).args(["-db", "-q", "-f"]).arg(&file).exec())
}

/// A static response by `http-request return`. The limit of descriptors need not be twice that of connections, as it asks for
/// by itself: none of them has a server behind it.
fn config(port: u16, tls: &str) -> String {
    let body = BODY.replace('\n', "\\n");
    format!(
        r#"global
    nbthread 1
    maxconn 19500
    no strict-limits
defaults
    mode http
    timeout client 1h
    timeout http-request 1h
    timeout http-keep-alive 1h
frontend home
    bind 127.0.0.1:{port} backlog 4096{tls}
    http-request return status 200 content-type text/plain string "{body}" if {{ path / }}
    http-request return status 404
"#
    )
}

/// Returns the name and version that it reports, such as `HAProxy version 2.6.12`.
pub fn version() -> io::Result<String> {
    let version = machine::version(PROGRAM, "-v", "haproxy")?;
    Ok(version.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}
