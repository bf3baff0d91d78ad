//! The admin socket: where operators reach a running server. HTTP with JSON, on a Unix socket of the server's own user, or
//! over TCP with a token.
//!
//! It is an operational listener of the engine, so it answers while the server is full.

mod address;
mod answer;
mod bearer;
pub(crate) mod client;
mod connections;
mod crowding;
mod options;
mod orders;
mod trace;
mod who;

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gannet::{Address, Engine, ListenOptions, Timeouts};
use gannet_http::middleware::Recover;
use gannet_http::{HttpService, Requests, RouteError, Router, Routes};

pub(crate) use self::address::{AdminAddress, parse as parse_address};
use self::answer::JsonErrors;
use self::bearer::CurrentBearer;
use self::crowding::{MOST_CLIENTS, MOST_OF_AN_ADDRESS};
pub(crate) use self::options::{AdminOptions, Token};
use self::who::Strangers;
use crate::control::Control;
use crate::failure::Failure;

/// The largest body of a request.
const LARGEST_BODY_BYTES: usize = 64 << 10;

/// How long the head of a request may take, and each part of its body.
const REQUEST_TIME: Duration = Duration::from_secs(5);

/// No connection has a further request. Who sends many at once has to come again for each, behind those who wait.
const KEEP_ALIVE: Duration = Duration::ZERO;

/// What is wrong where TCP has no token.
const NO_TOKEN: &str = "--admin with tcp:// needs a token; set GANNET_ADMIN_TOKEN, or give --admin-token-file";

/// Whether a server could start with these options, as far as that can be seen without listening.
///
/// # Errors
///
/// The token cannot be used, or TCP has none.
pub(crate) fn check(options: &AdminOptions) -> Result<(), Failure> {
    match (&options.admin, options.token()?) {
        (Some(AdminAddress::Tcp(_)), None) => Err(Failure::Usage(NO_TOKEN.to_owned())),
        _ => Ok(()),
    }
}

/// The admin socket of a server that starts.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    at: Address,
    /// What clients have to show; replaced by a reload.
    bearer: CurrentBearer,
}

impl Admin {
    /// Finds out where it listens; `None` where it does not.
    ///
    /// A place of its own choosing that cannot be had is a warning. One that was asked for is an error.
    ///
    /// # Errors
    ///
    /// The address cannot be used, or TCP has no token.
    pub(crate) fn find(options: &AdminOptions) -> Result<Option<Self>, Failure> {
        let token = options.token()?;
        let at = match &options.admin {
            Some(AdminAddress::Off) => return Ok(None),
            Some(AdminAddress::Tcp(address)) => {
                if token.is_none() {
                    return Err(Failure::Usage(NO_TOKEN.to_owned()));
                }
                Address::Tcp(*address)
            }
            Some(AdminAddress::Unix(path)) => Address::Unix(path.clone()),
            None => match own_place() {
                Ok(at) => at,
                Err(why) => {
                    tracing::warn!("there is no admin socket: {why}; name another path with --admin, or turn it off");
                    return Ok(None);
                }
            },
        };
        Ok(Some(Self { at, bearer: CurrentBearer::new(token.as_ref()) }))
    }

    /// Reads the token of other options.
    ///
    /// # Errors
    ///
    /// It cannot be used, or TCP has none.
    pub(crate) fn check_token(&self, options: &AdminOptions) -> Result<Option<Token>, Failure> {
        let token = options.token()?;
        if token.is_none() && matches!(self.at, Address::Tcp(_)) {
            return Err(Failure::Usage(NO_TOKEN.to_owned()));
        }
        Ok(token)
    }

    /// Demands another token from now on, or none.
    pub(crate) fn set_token(&self, token: Option<&Token>) {
        self.bearer.set(token);
    }

    /// Adds it to an engine.
    ///
    /// # Errors
    ///
    /// It cannot be served.
    pub(crate) fn add(&self, engine: Engine, control: &Control) -> gannet::Result<Engine> {
        let wrong = |error: RouteError| gannet::Error::Setting(error.to_string());
        let routes = self.routes(control).map_err(wrong)?;
        let at = ListenOptions::at(self.at.to_string()).operational().unix_mode(0o600);
        let at = at.connections(MOST_CLIENTS).connections_per_peer(MOST_OF_AN_ADDRESS);
        // Not those of clients: an order may take longer than a client may be silent, and a reload may shorten that.
        let at = at.timeouts(Timeouts::default());
        engine.listen(at, move || {
            HttpService::new(&routes)
                .limits(Requests::new().max_body(LARGEST_BODY_BYTES))
                .request_timeout(REQUEST_TIME)
                .body_pace(5_000, REQUEST_TIME)
                .keep_alive(KEEP_ALIVE)
                .refusal(crowding::refusal)
        })
    }

    fn routes(&self, control: &Control) -> Result<Routes, RouteError> {
        let all = orders::routes(control).merge(connections::routes(control)).merge(trace::routes(control));
        let inside = Router::new().layer(JsonErrors).layer(Recover).layer(Strangers(control.audit()));
        inside.layer(self.bearer.clone()).merge(all).build()
    }
}

/// The default place.
fn own_place() -> Result<Address, String> {
    free_place(address::own_path().ok_or("XDG_RUNTIME_DIR is not set".to_owned())?)
}

/// A path, in a folder that is there, unless another server listens there.
fn free_place(path: PathBuf) -> Result<Address, String> {
    if let Some(folder) = path.parent() {
        make_folder(folder).map_err(|error| format!("{} cannot be made: {error}", folder.display()))?;
    }
    if crate::upgrade::is_successor() {
        // The process before listens there, and passes it on.
        return Ok(Address::Unix(path));
    }
    // A stale file is replaced. One that somebody listens on stays theirs.
    match UnixStream::connect(&path) {
        Ok(_) => Err(format!("another server has {}", path.display())),
        Err(_) => Ok(Address::Unix(path)),
    }
}

/// Makes the folder of the socket, for its user only.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn the_place_of_another_server_is_left_to_it_and_a_stale_one_is_taken() {
        let folder = std::env::temp_dir().join(format!("gannet-admin-place-{}", std::process::id()));
        let path = folder.join("gannet/admin.sock");
        assert_eq!(free_place(path.clone()), Ok(Address::Unix(path.clone())), "its folder was made");
        let mode = std::fs::metadata(folder.join("gannet")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let other = UnixListener::bind(&path).expect("a socket");
        assert!(free_place(path.clone()).expect_err("it is taken").contains("another server has"));
        drop(other);
        assert_eq!(free_place(path.clone()), Ok(Address::Unix(path)), "nobody listens any more");
        let _ = std::fs::remove_dir_all(&folder);
    }
}
