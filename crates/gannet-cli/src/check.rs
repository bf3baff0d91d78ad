//! `gannet check`: finds what is wrong with a configuration before a server has it.

use std::fs;
use std::io;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::path::Path;

use clap::Args;
use gannet::Address;
use gannet_config::{Place, Problem, Problems};
use serde_json::json;

use crate::admin;
use crate::failure::{Failure, problem_as_json};
use crate::options::SettingsOptions;
use crate::output;
use crate::services::Listener;
use crate::settings::Configuration;

/// Checks the configuration of a server, and what it names.
///
/// Takes the same options and the same environment as gannet serve, and reads the files of certificates and keys. Prints a
/// digest and exits with 0, or prints everything that is wrong and exits with 2.
#[derive(Args, Clone, Debug)]
pub(crate) struct CheckOptions {
    #[command(flatten)]
    settings: SettingsOptions,

    /// Try to listen on all addresses as well; a server that runs has them already
    #[arg(long)]
    bind: bool,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Checks, and prints what came of it.
///
/// # Errors
///
/// Everything that is wrong.
pub(crate) fn check(options: &CheckOptions) -> Result<(), Failure> {
    let found = Configuration::read(&options.settings.sources()?).and_then(|configuration| {
        let mut problems = Problems::default();
        certificates(&configuration, &mut problems);
        operators(&configuration, &mut problems);
        if options.bind {
            configuration.listeners.iter().for_each(|listener| bind(&configuration, listener, &mut problems));
        }
        problems.check().map(|()| configuration)
    });
    match found {
        Ok(configuration) => {
            let (digest, listeners) = (configuration.digest(), configuration.listeners.len());
            let namespaces = configuration.values().members("push.namespace").len();
            output::print(&if options.json {
                json!({ "ok": true, "digest": digest, "listeners": listeners, "namespaces": namespaces }).to_string()
                    + "\n"
            } else {
                format!("the configuration is fine: listeners {listeners}, namespaces {namespaces}\ndigest: {digest}\n")
            })
        }
        Err(problems) => {
            if options.json {
                let all: Vec<_> = problems.iter().map(problem_as_json).collect();
                output::print(&(json!({ "ok": false, "problems": all }).to_string() + "\n"))?;
            }
            Err(problems.into())
        }
    }
}

/// Reads what profiles of TLS name.
fn certificates(configuration: &Configuration, problems: &mut Problems) {
    for (name, settings) in configuration.tls.iter().filter(|(_, settings)| !settings.self_signed) {
        if let Err(error) = settings.files.load() {
            let scope = configuration.values().of("tls", name);
            problems.push(at(scope.place("certificates"), error.to_string()));
        }
    }
}

/// Reads the token of the admin socket, and looks where the audit log is to go.
fn operators(configuration: &Configuration, problems: &mut Problems) {
    let root = configuration.values().root();
    if let Err(failure) = admin::check(&configuration.admin) {
        let place = ["admin.token_file", "admin.token", "admin.listen"].into_iter().find_map(|key| root.place(key));
        problems.push(at(place, failure.to_string()));
    }
    if let Some((target, why)) = configuration.log.audit.as_ref().and_then(|target| Some((target, target.flaw()?))) {
        problems.push(at(root.place("log.audit"), format!("{target} cannot be the audit log: {why}")));
    }
}

fn at(place: Option<&Place>, message: String) -> Problem {
    match place {
        Some(place) => Problem::at(place, message),
        None => Problem::general(message),
    }
}

/// Tries to listen where a listener is to.
fn bind(configuration: &Configuration, listener: &Listener, problems: &mut Problems) {
    let scope = configuration.values().of("listener", &listener.name);
    let place = scope.place("url");
    let resolved = match listener.resolve() {
        Ok(resolved) => resolved,
        Err(error) => {
            problems.push(at(place, error.to_string()));
            return;
        }
    };
    for one in resolved {
        let url = one.url().to_owned();
        let tried = match url.parse() {
            Ok(Address::Tcp(address) | Address::Tls(address)) => TcpListener::bind(address).map(drop),
            Ok(Address::Udp(address)) => UdpSocket::bind(address).map(drop),
            Ok(Address::Unix(path)) => unix(&path),
            Ok(_) => Ok(()),
            Err(error) => Err(io::Error::other(error.to_string())),
        };
        if let Err(error) = tried {
            // In the words of a server that starts.
            problems.push(at(place, gannet::Error::Listen { url, error }.to_string()));
        }
    }
}

/// Whether a Unix socket can be made at a path: a stale one is replaced, one that answers is another server's, and a file of
/// another kind stays.
fn unix(path: &Path) -> io::Result<()> {
    // A name in the abstract namespace has no file that could be in the way.
    if path.to_string_lossy().starts_with('\0') {
        return Ok(());
    }
    // A path may be too long for a socket.
    SocketAddr::from_pathname(path)?;
    if let Ok(file) = fs::symlink_metadata(path) {
        if !file.file_type().is_socket() {
            let why = "a file that is not a socket is in the way; remove it or choose another path";
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, why));
        }
        match UnixStream::connect(path) {
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => return Err(error),
        }
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)?;
    Ok(())
}
