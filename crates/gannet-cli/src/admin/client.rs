//! Asks a running server by its admin socket. Blocks; each request has a connection of its own.

use std::io::{self, BufRead as _, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use clap::Args;
use gannet::proto::http::{Method, Responses, WholeRequest};
use gannet::proto::{Codec as _, Decoded};
use serde::Deserialize;
use serde_json::{Value, json};

use super::address::{AdminAddress, own_path};
use super::options::{AdminOptions, Token};
use crate::failure::Failure;
use crate::units::{Deadline, deadline};

/// The largest response.
const LARGEST_BYTES: usize = 256 << 20;

/// The longest line of an answer that comes line by line: 4 KiB of traffic have 16 KiB where all of it is escaped.
const LONGEST_LINE_BYTES: u64 = 64 << 10;

/// The most header fields of such an answer.
const MOST_FIELDS: usize = 100;

/// Bytes that are read at a time.
const PIECE_BYTES: usize = 64 << 10;

/// The header field that says who asks, for the server's log.
const OPERATOR: &str = "Gannet-Operator";

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
        let timeout = self.timeout.map(|timeout| timeout.saturating_add(longest));
        let stream = self.connect(timeout).map_err(|error| self.unreachable(&error))?;
        let broken = |error: io::Error| self.broken(&error);
        let mut stream = BufReader::new(stream);
        // HTTP/1.0: the body is as it is, up to the end of the connection.
        let bearer = self.token.as_ref().map(|token| format!("Authorization: Bearer {}\r\n", token.reveal()));
        let head = format!(
            "GET {path} HTTP/1.0\r\nHost: gannet\r\n{OPERATOR}: {}\r\n{}\r\n",
            operator(),
            bearer.unwrap_or_default()
        );
        stream.get_mut().write_all(head.as_bytes()).map_err(broken)?;
        let mut line = String::new();
        read_line(&mut stream, &mut line).map_err(broken)?;
        let status: u16 = line.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        for _ in 0..MOST_FIELDS {
            if line.trim_end().is_empty() {
                break;
            }
            read_line(&mut stream, &mut line).map_err(broken)?;
        }
        if !line.trim_end().is_empty() {
            return Err(broken(io::Error::other("its answer has too many header fields")));
        }
        if status != 200 {
            let mut body = Vec::new();
            stream.take(LARGEST_BYTES as u64).read_to_end(&mut body).map_err(broken)?;
            return Err(match serde_json::from_slice(&body) {
                Ok(value) => refusal(status, value),
                Err(_) => self.no_json(status),
            });
        }
        loop {
            match read_line(&mut stream, &mut line).map_err(broken)? {
                0 => return Err(Failure::Call(format!("{self} has closed the connection before the end"))),
                _ if each(line.trim_end())? => return Ok(()),
                _ => {}
            }
        }
    }

    fn no_json(&self, status: u16) -> Failure {
        Failure::Call(format!(
            "{self} has answered with status {status} and no object of JSON; is it the admin socket of gannet serve?"
        ))
    }

    fn ask(&self, method: Method<'_>, path: &str, body: &[u8]) -> Result<Value, Failure> {
        let mut stream = self.connect(self.timeout).map_err(|error| self.unreachable(&error))?;
        let (status, body) = self.exchange(&mut *stream, method, path, body).map_err(|error| self.broken(&error))?;
        let value = serde_json::from_slice::<Value>(&body);
        match (status, value) {
            (200, Ok(value)) if value.is_object() => Ok(value),
            (200, _) | (_, Err(_)) => Err(self.no_json(status)),
            (_, Ok(value)) => Err(refusal(status, value)),
        }
    }

    fn connect(&self, timeout: Option<Duration>) -> io::Result<Box<dyn Stream>> {
        Ok(match &self.at {
            AdminAddress::Off => return Err(ErrorKind::AddrNotAvailable.into()),
            AdminAddress::Unix(path) => {
                let stream = UnixStream::connect(path)?;
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)?;
                Box::new(stream)
            }
            AdminAddress::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_read_timeout(timeout)?;
                stream.set_write_timeout(timeout)?;
                Box::new(stream)
            }
        })
    }

    fn exchange(
        &self,
        stream: &mut dyn Stream,
        method: Method<'_>,
        path: &str,
        body: &[u8],
    ) -> io::Result<(u16, Vec<u8>)> {
        let invalid = |error: &dyn std::fmt::Display| io::Error::new(ErrorKind::InvalidData, error.to_string());
        let bearer = self.token.as_ref().map(|token| format!("Bearer {}", token.reveal()));
        let operator = operator();
        let mut fields = vec![("Content-Type", &b"application/json"[..]), (OPERATOR, operator.as_bytes())];
        fields.extend(bearer.as_ref().map(|bearer| ("Authorization", bearer.as_bytes())));
        let codec = Responses::new().max_body(LARGEST_BYTES);
        let mut request = Vec::new();
        let whole = WholeRequest { method, target: path, host: "gannet", fields: &fields, body };
        codec.encode(whole, &mut request).map_err(|error| invalid(&error))?;
        stream.write_all(&request)?;
        let (mut received, mut state) = (Vec::new(), Default::default());
        loop {
            let from = received.len();
            received.resize(from + PIECE_BYTES, 0);
            let count = stream.read(&mut received[from..])?;
            received.truncate(from + count);
            if let Decoded::Message { message, .. } =
                codec.decode(&mut state, &mut received).map_err(|error| invalid(&error))?
            {
                return Ok((message.status, message.body.to_vec()));
            }
            if count == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
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

/// Replaces a line by the next one, which is empty at the end. One that is longer than any of ours is an error.
fn read_line(stream: &mut BufReader<Box<dyn Stream>>, line: &mut String) -> io::Result<usize> {
    line.clear();
    let count = stream.take(LONGEST_LINE_BYTES).read_line(line)?;
    if count as u64 == LONGEST_LINE_BYTES {
        return Err(io::Error::other("its answer has a line that is too long"));
    }
    Ok(count)
}

/// What is read from and written to.
trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

#[derive(Deserialize)]
struct Problem {
    error: Said,
}

#[derive(Deserialize)]
struct Said {
    code: String,
    message: String,
    #[serde(default)]
    details: Details,
}

/// What is said of a configuration that cannot be used.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    texts: Vec<String>,
    problems: Value,
}

/// An error of the server, in its words.
fn refusal(status: u16, value: Value) -> Failure {
    match serde_json::from_value::<Problem>(value) {
        Ok(Problem { error: Said { code, details: Details { texts, problems }, .. } })
            if code == "invalid" && !texts.is_empty() =>
        {
            let clean = |text: String| text.replace(|letter: char| letter.is_control() && letter != '\n', " ");
            let texts = texts.into_iter().map(clean).collect();
            Failure::Unchanged { texts, details: json!({ "ok": false, "problems": problems }) }
        }
        Ok(Problem { error: Said { code, .. } }) if code == "unauthorized" => Failure::Call(
            "the server refuses this token, or that there is none; set GANNET_ADMIN_TOKEN to that of the server"
                .to_owned(),
        ),
        Ok(Problem { error: Said { message, .. } }) => Failure::Refused(message),
        Err(_) => Failure::Call(format!("the server has answered with status {status} and no reason")),
    }
}
