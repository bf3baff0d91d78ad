//! `[traces]`: where spans go, and how many.

use std::path::PathBuf;
use std::time::Duration;

use gannet_config::{Problem, Problems, Scope};
use gannet_gateway::{Endpoint, Secret, Trust};
use gannet_http::Sampling;

/// Where a collector takes spans if its URL has no path (OTLP/HTTP).
const PATH: &str = "v1/traces";

/// Where spans go, and how many.
#[derive(Clone, Debug)]
pub(crate) struct OtlpSettings {
    pub(super) endpoint: Endpoint,
    pub(super) sampling: Sampling,
    /// Spans that may wait.
    pub(super) queue: usize,
    pub(super) timeout: Duration,
    pub(super) headers: Vec<(String, Secret)>,
    pub(super) trust: Trust,
    pub(super) service: String,
}

impl OtlpSettings {
    /// Reads the section; `None` where nothing is recorded.
    pub(crate) fn of(root: &Scope<'_>, problems: &mut Problems) -> Option<Self> {
        let headers = root.find::<Vec<gannet_config::Secret>>("traces.headers").unwrap_or_default();
        let mut report = |key: &str, error: String| {
            problems.push(match root.place(key) {
                Some(place) => Problem::at(place, error),
                None => Problem::general(error),
            });
        };
        if let Some(error) = headers.iter().find_map(|line| check_header(line.reveal()).err()) {
            report("traces.headers", error);
        }
        let headers: Vec<_> = headers.iter().filter_map(|line| header(line.reveal())).collect();
        let trust = match root.find::<PathBuf>("traces.ca").map(|file| Trust::file(&file)).transpose() {
            Ok(trust) => trust.unwrap_or_default(),
            Err(error) => {
                report("traces.ca", error);
                Trust::default()
            }
        };
        let endpoint = root.find::<String>("traces.collector").and_then(|url| with_path(&url))?;
        let share = share(&root.read::<String>("traces.sample")).unwrap_or(0.0);
        let follows: bool = root.read("traces.follow_callers");
        // A share of 0 is off: then not even a caller has anything recorded.
        (share > 0.0).then(|| Self {
            endpoint,
            sampling: if follows { Sampling::FollowCallers(share) } else { Sampling::Share(share) },
            queue: root.read("traces.queue"),
            timeout: root.read::<Duration>("traces.timeout"),
            headers,
            trust,
            service: root.read("traces.service"),
        })
    }
}

impl OtlpSettings {
    /// Whether an exporter of these does what one of the others would: all but the sampling is the same.
    pub(super) fn exports_like(&self, others: &Self) -> bool {
        let Self { endpoint, sampling: _, queue, timeout, headers, trust, service } = self;
        let is_same = |((name, value), (other, theirs)): (&(String, Secret), &(String, Secret))| {
            name == other && value.is(theirs.reveal().as_bytes())
        };
        (endpoint, queue, timeout, trust, service)
            == (&others.endpoint, &others.queue, &others.timeout, &others.trust, &others.service)
            && headers.len() == others.headers.len()
            && headers.iter().zip(&others.headers).all(is_same)
    }
}

fn with_path(url: &str) -> Option<Endpoint> {
    let endpoint: Endpoint = url.parse().ok()?;
    if endpoint.path().trim_matches('/').is_empty() { endpoint.join(PATH).ok() } else { Some(endpoint) }
}

fn share(text: &str) -> Result<f64, String> {
    let why = "a share is written as a number from 0 to 1, such as 0.01";
    let share: f64 = text.parse().map_err(|_| why)?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err(why.to_owned()) }
}

/// Reads `Name: value`.
fn header(line: &str) -> Option<(String, Secret)> {
    let (name, value) = line.split_once(':')?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let is_named = !name.is_empty() && name.bytes().all(is_token);
    let is_value = value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
    (is_named && is_value).then(|| (name.to_ascii_lowercase(), Secret::new(value.trim())))
}

/// Checks the text of `traces.sample`.
pub(crate) fn check_share(text: &str) -> Result<(), String> {
    share(text).map(drop)
}

/// Checks that a text is a header with its value; the error does not show it.
fn check_header(text: &str) -> Result<(), String> {
    header(text).map(drop).ok_or_else(|| "a header is written as 'Name: value', in visible characters".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_without_a_path_gets_the_one_of_the_protocol() {
        for (url, shown) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("https://a.example/otlp/v1/traces", "https://a.example/otlp/v1/traces"),
        ] {
            assert_eq!(with_path(url).map(|url| url.to_string()).as_deref(), Some(shown));
        }
    }

    #[test]
    fn shares_and_headers_are_read_as_they_are_written() {
        assert_eq!((share("0.25"), share("1"), share("0")), (Ok(0.25), Ok(1.0), Ok(0.0)));
        for wrong in ["", "-1", "1.5", "NaN", "inf", "10%"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
        let (name, value) = header("Authorization: Bearer a:b").expect("a header");
        assert_eq!((&*name, value.reveal()), ("authorization", "Bearer a:b"));
        for wrong in ["", "a", ": b", "a b: c", "a: \u{7f}"] {
            assert!(check_header(wrong).is_err(), "{wrong}");
        }
    }
}
