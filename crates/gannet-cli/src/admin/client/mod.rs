//! Asks a running server by its admin socket. Blocks; each request has a connection of its own.
//!
//! A server that has as many of these clients as it takes says so and does nothing. Then it is asked again, until the time for
//! the answer is over.

mod refusal;
mod wire;

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

use clap::Args;
use gannet::proto::http::Method;
use serde_json::Value;

use self::refusal::{is_crowded, refusal};
use self::wire::{Answer, Asked, Lines};
use super::address::{AdminAddress, own_path};
use super::options::{AdminOptions, Token};
use crate::failure::Failure;
use crate::units::{Deadline, deadline};

/// The header field that says who asks, for the server's log.
const OPERATOR: &str = "Gannet-Operator";

/// How long it is waited before a crowded server is asked again: the first time, and at most. Each time is twice the one
/// before.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Who asks: the user of this process.
fn operator() -> String {
    format!("uid {}", rustix::process::getuid().as_raw())
}

/// The options of a command that asks a running server.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClientOptions {
    #[command(flatten)]
    admin: AdminOptions,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Time for the answer
    #[arg(long, value_name = "TIME", value_parser = deadline, default_value = "150s")]
    timeout: Deadline,
}

/// A server to ask.
#[derive(Debug)]
pub(crate) struct Client {
    at: AdminAddress,
    token: Option<Token>,
    timeout: Option<Duration>,
}

impl Client {
    /// Finds the server that the options name, or the one at the default path.
    ///
    /// # Errors
    ///
    /// There is no such place.
    pub(crate) fn new(options: &ClientOptions) -> Result<Self, Failure> {
        let usage = |why: &str| Failure::Usage(why.to_owned());
        let at = match &options.admin.admin {
            Some(AdminAddress::Off) => return Err(usage("--admin is off; name the admin socket of a server")),
            Some(at) => at.clone(),
            None => AdminAddress::Unix(own_path().ok_or_else(|| {
                usage("XDG_RUNTIME_DIR is not set, so the path of the admin socket is not known; name it with --admin")
            })?),
        };
        Ok(Self { at, token: options.admin.token()?, timeout: options.timeout.0 })
    }

    /// Gets what is at a path.
    ///
    /// # Errors
    ///
    /// There is no answer, or it is an error.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.ask(Method::Get, path, b"")
    }

    /// Gives an order.
    ///
    /// # Errors
    ///
    /// There is no answer, or it is an error.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.ask(Method::Post, path, body.to_string().as_bytes())
    }

    /// Gets lines as they come, for at most `longest`, until `each` says that one was the last.
    ///
    /// # Errors
    ///
    /// There is no answer, or it is an error, or it ends before the last line, or a line cannot be used.
    pub(crate) fn lines(
        &self,
        path: &str,
        longest: Duration,
        mut each: impl FnMut(&str) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        let broken = |error: io::Error| self.broken(&error);
        // HTTP/1.0: the body is as it is, up to the end of the connection.
        let bearer = self.token.as_ref().map(|token| format!("Authorization: Bearer {}\r\n", token.reveal()));
        let head = format!(
            "GET {path} HTTP/1.0\r\nHost: gannet\r\n{OPERATOR}: {}\r\n{}\r\n",
            operator(),
            bearer.unwrap_or_default()
        );
        let mut lines = self.patiently(|left| {
            let timeout = left.map(|left| left.saturating_add(longest));
            let lines = Lines::ask(self.connect(timeout)?, head.as_bytes()).map_err(broken)?;
            if lines.status == 200 && lines.is_ours {
                return Ok(Some(lines));
            }
            let (status, is_ours) = (lines.status, lines.is_ours);
            let body = lines.rest().map_err(broken)?;
            self.value(&Answer { status, is_ours, body })?.map_or(Ok(None), |_| Err(self.no_json(status)))
        })?;
        loop {
            match lines.next().map_err(broken)? {
                None => return Err(Failure::Call(format!("{self} has closed the connection before the end"))),
                Some(line) if each(line)? => return Ok(()),
                Some(_) => {}
            }
        }
    }

    fn ask(&self, method: Method<'_>, path: &str, body: &[u8]) -> Result<Value, Failure> {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {}", token.reveal()));
        let operator = operator();
        let mut fields = vec![("Content-Type", &b"application/json"[..]), (OPERATOR, operator.as_bytes())];
        fields.extend(bearer.as_ref().map(|bearer| ("Authorization", bearer.as_bytes())));
        let asked = Asked { method, path, fields: &fields, body };
        self.patiently(|left| {
            let mut stream = self.connect(left)?;
            let answer = wire::exchange(&mut *stream, &asked).map_err(|error| self.broken(&error))?;
            self.value(&answer)
        })
    }

    /// Asks until the server takes the client: nothing comes of an attempt where it did not. Each attempt is given what is
    /// left of the timeout.
    fn patiently<T>(
        &self,
        mut attempt: impl FnMut(Option<Duration>) -> Result<Option<T>, Failure>,
    ) -> Result<T, Failure> {
        #[allow(clippy::disallowed_methods)] // A command waits; no reactor runs here.
        let began = Instant::now();
        let (mut pause, longest_pause) = PAUSES;
        let mut left = self.timeout;
        loop {
            if let Some(answer) = attempt(left)? {
                return Ok(answer);
            }
            left = self.timeout.map(|timeout| timeout.saturating_sub(began.elapsed() + pause));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(Failure::Call(format!(
                    "{self} has as many clients as it takes, and none of them has left within --timeout; look for what \
                     asks it again and again"
                )));
            }
            std::thread::park_timeout(pause);
            pause = (pause * 2).min(longest_pause);
        }
    }

    /// What a server has answered; nothing where it takes no more clients.
    fn value(&self, answer: &Answer) -> Result<Option<Value>, Failure> {
        let Answer { status, is_ours, ref body } = *answer;
        match serde_json::from_slice::<Value>(body) {
            Ok(value) if is_ours && status == 200 && value.is_object() => Ok(Some(value)),
            Ok(value) if is_ours && is_crowded(&value) => Ok(None),
            Ok(value) if is_ours && status != 200 => Err(refusal(status, value)),
            _ => Err(self.no_json(status)),
        }
    }

    fn no_json(&self, status: u16) -> Failure {
        Failure::Call(format!(
            "{self} has answered with status {status}, and not as the admin socket of gannet serve does; name that one \
             with --admin"
        ))
    }

    fn connect(&self, timeout: Option<Duration>) -> Result<Box<dyn wire::Stream>, Failure> {
        wire::connect(&self.at, timeout).map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, error: &io::Error) -> Failure {
        let why = match error.kind() {
            ErrorKind::PermissionDenied => {
                "only its own user and root may ask it; use sudo, or name another with --admin"
            }
            _ => "is gannet serve running there? Name its admin socket with --admin",
        };
        Failure::Call(format!("{self} cannot be reached: {error}; {why}"))
    }

    fn broken(&self, error: &io::Error) -> Failure {
        let why = match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => "no answer within --timeout".to_owned(),
            ErrorKind::UnexpectedEof => "the server has closed the connection".to_owned(),
            ErrorKind::InvalidData => format!("{error}; is it the admin socket of gannet serve?"),
            _ => error.to_string(),
        };
        Failure::Call(format!("{self} has not answered: {why}"))
    }
}

impl std::fmt::Display for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.at {
            AdminAddress::Off => f.write_str("off"),
            AdminAddress::Unix(path) => write!(f, "{}", path.display()),
            AdminAddress::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}
