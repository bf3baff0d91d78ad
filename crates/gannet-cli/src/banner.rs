//! What `gannet serve` prints on standard output when it is up. Scripts wait for its last line, `ready`.

use std::io::{self, Write};

use gannet::Running;

use crate::services::{Listener, Settings};
use crate::tls::Tls;

/// Prints what listens where, which driver was chosen and why, and a command to try for each listener.
///
/// # Errors
///
/// Those of `out`.
pub(crate) fn print(
    out: &mut impl Write,
    listeners: &[Listener],
    running: &Running,
    settings: &Settings,
) -> io::Result<()> {
    let (driver, why) = running.driver();
    let rows: Vec<Row> = listeners.iter().zip(running.addresses()).map(Row::new).collect();
    let widest = |cell: fn(&Row) -> &String| rows.iter().map(|row| cell(row).chars().count()).max().unwrap_or(0);
    let (addresses, commands) = (widest(|row| &row.address), widest(|row| &row.command));

    writeln!(out, "gannet {}", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, "driver: {driver} ({why})")?;
    writeln!(out, "reactors: {}", running.remote().reactors())?;
    writeln!(out)?;
    for Row { service, address, command, answer } in &rows {
        writeln!(out, "{service:8} {address:addresses$}   try: {command:commands$}   answers: {answer}")?;
    }
    for fingerprint in settings.profiles.values().filter_map(Tls::own_fingerprint) {
        writeln!(out)?;
        writeln!(out, "tls uses a self-signed certificate, for development only; its SHA-256 fingerprint is")?;
        writeln!(out, "{fingerprint}")?;
    }
    if listeners.iter().any(Listener::is_redis) {
        writeln!(out)?;
        writeln!(out, "redis keeps everything in memory only: all keys are lost when this process ends")?;
    }
    if settings.push.as_ref().is_some_and(|push| push.settings().client.anonymous) {
        writeln!(out)?;
        let is_local = listeners.iter().filter(|listener| listener.is_push()).all(Listener::is_local);
        let why = if is_local { "because its listener is on loopback" } else { "as --push-anonymous asks" };
        writeln!(out, "push accepts anonymous clients, {why}; open its address in two tabs of a browser")?;
    }
    if let Some(password) =
        settings.push.as_ref().filter(|_| serves_pages(listeners)).and_then(|push| push.made_admin_password())
    {
        writeln!(out)?;
        writeln!(out, "push has an admin page at /admin; its password, made for this run, is {}", password.reveal())?;
    }
    writeln!(out)?;
    writeln!(out, "stop with Ctrl-C; all options: gannet serve --help")?;
    writeln!(out, "ready")?;
    out.flush()
}

/// Whether a listener serves the pages of the gateway. Devices get none.
fn serves_pages(listeners: &[Listener]) -> bool {
    listeners.iter().any(|listener| listener.service.name == "push")
}

/// What listens where, in one line for the log.
pub(crate) fn listening(listeners: &[Listener], running: &Running) -> String {
    let all = listeners.iter().zip(running.addresses());
    all.map(|(listener, address)| format!("{}={address}", listener.service.name)).collect::<Vec<_>>().join(" ")
}

struct Row {
    service: &'static str,
    address: String,
    command: String,
    answer: &'static str,
}

impl Row {
    fn new((listener, address): (&Listener, &gannet::Address)) -> Self {
        let service = listener.service;
        Self {
            service: service.name,
            address: address.to_string(),
            command: (service.try_it)(address),
            answer: service.answer,
        }
    }
}
