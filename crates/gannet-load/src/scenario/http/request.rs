//! A request and its parts, each of which is checked where it is made: nothing can be smuggled into it.

use std::fmt;
use std::str::FromStr;

use gannet::proto::http::{HeaderError, HeaderLines};

/// Describes the request that is sent again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The target's path and query.
    pub path: Path,
    /// The value of `Host`, unless the given headers have one: a host, with its port unless it is 80.
    pub host: String,
    /// Further header fields.
    pub headers: Vec<Header>,
    /// The body.
    pub body: Vec<u8>,
    /// True if a connection carries more than one request.
    pub keep_alive: bool,
    /// The statuses that count as right answers.
    pub accepted: Statuses,
}

impl Request {
    /// `GET /` of this host, on connections that stay.
    #[must_use]
    pub fn new(host: String) -> Self {
        Self {
            method: Method("GET".to_owned()),
            path: Path::default(),
            host,
            headers: Vec::new(),
            body: Vec::new(),
            keep_alive: true,
            accepted: Statuses::default(),
        }
    }

    /// The bytes of it (RFC 9112 §3).
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method.0, self.path.0).into_bytes();
        let mut put = |name: &str, value: &str| {
            for part in [name, ": ", value, "\r\n"] {
                bytes.extend_from_slice(part.as_bytes());
            }
        };
        if !self.headers.iter().any(|header| header.name.eq_ignore_ascii_case("host")) {
            put("Host", &self.host);
        }
        for header in &self.headers {
            put(&header.name, &header.value);
        }
        if !self.keep_alive {
            put("Connection", "close");
        }
        // A method that usually comes with a body says that there is none (RFC 9110 §8.6).
        if !self.body.is_empty() || ["POST", "PUT", "PATCH"].contains(&self.method.0.as_str()) {
            put("Content-Length", &self.body.len().to_string());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// As `POST /orders, 2 headers, a new connection for each`.
impl fmt::Display for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.method.0, self.path.0)?;
        match self.headers.len() {
            0 => {}
            1 => formatter.write_str(", 1 header")?,
            more => write!(formatter, ", {more} headers")?,
        }
        if !self.keep_alive {
            formatter.write_str(", a new connection for each")?;
        }
        if self.accepted != Statuses::default() {
            write!(formatter, ", {} accepted", self.accepted)?;
        }
        Ok(())
    }
}

/// A text that is no part of a request, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The method is no token (RFC 9110 §9.1).
    #[error("{0:?} is not a method; write a word, as GET or POST")]
    Method(String),
    /// `CONNECT` asks a proxy for a tunnel.
    #[error("CONNECT is for proxies; its answer cannot be counted")]
    Connect,
    /// The path does not begin with a slash, or has bytes that no path has (RFC 3986 §3.3).
    #[error(
        "{0:?} is not a path: a path begins with / and has printable ASCII without blanks and #; write others as %20"
    )]
    Path(String),
    /// There is no colon.
    #[error("{0:?} is not a header; write 'Name: value'")]
    NoColon(String),
    /// The name is no token (RFC 9110 §5.1).
    #[error("{0:?} is not a header name")]
    HeaderName(String),
    /// The value has a line break, or another control character (RFC 9110 §5.5).
    #[error("the value of header {name} has a control character at byte {position}: it would end the header there")]
    HeaderValue {
        /// The header's name.
        name: String,
        /// The position of that character, counted from 0.
        position: usize,
    },
    /// The request says these by itself.
    #[error("header {0} is written by the load generator itself")]
    Reserved(String),
    /// A subprotocol of WebSocket is no token (RFC 6455 §4.1).
    #[error("{0:?} is not a subprotocol name")]
    Protocol(String),
    /// The statuses are not written as they have to be.
    #[error(
        "{0:?} is not a list of statuses; write 2xx,3xx,404: statuses from 200 to 999, and classes from 2xx to 9xx"
    )]
    Statuses(String),
}

/// Holds the method of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method(String);

impl Method {
    /// Returns the default method: `GET`.
    #[must_use]
    pub fn get() -> Self {
        Self("GET".to_owned())
    }

    /// `POST`.
    #[must_use]
    pub fn post() -> Self {
        Self("POST".to_owned())
    }

    /// Whether its answers have no content, whatever their length says (RFC 9110 §9.3.2).
    pub(super) fn is_head(&self) -> bool {
        self.0 == "HEAD"
    }

    /// Whether a request that may have been carried out can be sent once more (RFC 9110 §9.2.2).
    pub(super) fn is_idempotent(&self) -> bool {
        ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"].contains(&self.0.as_str())
    }
}

impl FromStr for Method {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        if text == "CONNECT" {
            return Err(RequestError::Connect);
        }
        // A token is what a header's name is, too.
        match HeaderLines::new().add(text, b"") {
            Err(HeaderError::Name) => Err(RequestError::Method(text.to_owned())),
            _ => Ok(Self(text.to_owned())),
        }
    }
}

/// A path with its query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(String);

impl Path {
    /// Returns the path as it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Path {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl FromStr for Path {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let is_path = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if is_path { Ok(Self(text.to_owned())) } else { Err(RequestError::Path(text.to_owned())) }
    }
}

/// A header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    name: String,
    value: String,
}

impl Header {
    /// Makes a header of this name and value.
    ///
    /// # Errors
    ///
    /// One of them cannot be sent.
    pub fn new(name: &str, value: &str) -> Result<Self, RequestError> {
        match HeaderLines::new().add(name, value.as_bytes()) {
            Ok(()) => Ok(Self { name: name.to_owned(), value: value.to_owned() }),
            Err(HeaderError::Value { position }) => Err(RequestError::HeaderValue { name: name.to_owned(), position }),
            Err(HeaderError::Reserved) => Err(RequestError::Reserved(name.to_owned())),
            Err(_) => Err(RequestError::HeaderName(name.to_owned())),
        }
    }

    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// Written `Name: value`.
impl FromStr for Header {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let (name, value) = text.split_once(':').ok_or_else(|| RequestError::NoColon(text.to_owned()))?;
        Self::new(name, value.trim_matches([' ', '\t']))
    }
}

/// Statuses by code and by class, as `2xx,3xx,404`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statuses(Vec<(u16, u16)>);

impl Statuses {
    /// Returns whether a status is among them.
    #[must_use]
    pub fn has(&self, status: u16) -> bool {
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }
}

/// Success and redirection.
impl Default for Statuses {
    fn default() -> Self {
        Self(vec![(200, 299), (300, 399)])
    }
}

impl FromStr for Statuses {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let wrong = || RequestError::Statuses(text.to_owned());
        let range = |part: &str| -> Option<(u16, u16)> {
            let part = part.trim();
            let (digits, is_class) = part.strip_suffix("xx").map_or((part, false), |digit| (digit, true));
            let number: u16 = Some(digits).filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?;
            match (is_class, number) {
                (true, 2..=9) => Some((number * 100, number * 100 + 99)),
                (false, 200..=999) => Some((number, number)),
                _ => None,
            }
        };
        text.split(',').map(|part| range(part).ok_or_else(wrong)).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (first, last)) in self.0.iter().enumerate() {
            formatter.write_str(if index == 0 { "" } else { "," })?;
            match first == last {
                true => write!(formatter, "{first}")?,
                false => write!(formatter, "{}xx", first / 100)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(request: &Request) -> String {
        String::from_utf8(request.encode()).expect("all of it is text")
    }

    #[test]
    fn a_request_is_what_its_parts_say() {
        let mut request = Request::new("example.org:8080".to_owned());
        assert_eq!(encoded(&request), "GET / HTTP/1.1\r\nHost: example.org:8080\r\n\r\n");
        request.method = "POST".parse().expect("a method");
        request.path = "/a?b=%20c".parse().expect("a path");
        request.headers = vec!["X-A:  1 ".parse().expect("a header"), "host: other".parse().expect("a header")];
        assert_eq!(
            encoded(&request),
            "POST /a?b=%20c HTTP/1.1\r\nX-A: 1\r\nhost: other\r\nContent-Length: 0\r\n\r\n",
            "there is one Host, and a POST without a body says so"
        );
        (request.body, request.keep_alive) = (b"hello".to_vec(), false);
        assert!(encoded(&request).ends_with("Connection: close\r\nContent-Length: 5\r\n\r\nhello"));
        assert_eq!(request.to_string(), "POST /a?b=%20c, 2 headers, a new connection for each");
    }

    #[test]
    fn nothing_is_smuggled_into_a_request() {
        for header in ["X-A: 1\r\nX-B: 2", "X-A: 1\n", "X-A: \0", "X A: 1", "X-A\r\nX-B: 1", ": 1", "X-A", ""] {
            assert!(header.parse::<Header>().is_err(), "{header:?}");
        }
        for header in ["Content-Length: 5", "transfer-encoding: chunked", "CONNECTION: close"] {
            assert!(matches!(header.parse::<Header>(), Err(RequestError::Reserved(_))), "{header:?}");
        }
        for path in ["", "a", "/a b", "/a\r\nX: 1", "/ä", "/a#b", "*"] {
            assert_eq!(path.parse::<Path>(), Err(RequestError::Path(path.to_owned())));
        }
        for method in ["", "GET /", "GE\r\nT"] {
            assert_eq!(method.parse::<Method>(), Err(RequestError::Method(method.to_owned())));
        }
        assert_eq!("CONNECT".parse::<Method>(), Err(RequestError::Connect));
    }

    #[test]
    fn statuses_are_accepted_by_class_and_by_code() {
        let statuses: Statuses = "2xx, 404".parse().expect("a list");
        assert_eq!(statuses.to_string(), "2xx,404");
        for (status, is_in) in [(200, true), (299, true), (300, false), (404, true), (405, false)] {
            assert_eq!(statuses.has(status), is_in, "{status}");
        }
        for wrong in ["", "2xx,", "1xx", "100", "1000", "xx", "+2xx", "2XX", "20x"] {
            assert!(wrong.parse::<Statuses>().is_err(), "{wrong}");
        }
    }
}
