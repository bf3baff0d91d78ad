//! The options of the scenario `http`.

use clap::Args;
use gannet_load::scenario::http::{Header, Method, Path, Request, Statuses};

use super::options::{payload, usage};
use super::target::Target;
use crate::failure::Failure;

/// See the module.
#[derive(Args, Clone, Debug)]
pub(super) struct HttpOptions {
    /// Method [default: GET, or POST with a body]
    #[arg(long, value_name = "METHOD", help_heading = "HTTP", hide_short_help = true)]
    method: Option<Method>,

    /// Body of each request
    #[arg(long, value_name = "TEXT", conflicts_with = "body_size", help_heading = "HTTP", hide_short_help = true)]
    body: Option<String>,

    /// Size of each request's body, which is made of letters; at most 1MiB
    #[arg(long, value_name = "SIZE", value_parser = payload, help_heading = "HTTP", hide_short_help = true)]
    body_size: Option<usize>,

    /// Open a new connection for each request
    ///
    /// The next connection is opened as soon as the last one has answered. So no latency of a request contains the time to
    /// connect; that time is reported apart.
    #[arg(long, conflicts_with = "depth", help_heading = "HTTP", hide_short_help = true)]
    no_keep_alive: bool,

    /// Statuses that count as right answers, as 2xx,404; others are errors [default: 2xx,3xx]
    #[arg(long, value_name = "STATUSES", help_heading = "HTTP", hide_short_help = true)]
    accept_status: Option<Statuses>,
}

impl HttpOptions {
    /// The first option that was given, if any was.
    pub(super) fn given(&self) -> Option<&'static str> {
        let all = [
            ("--method", self.method.is_some()),
            ("--body", self.body.is_some()),
            ("--body-size", self.body_size.is_some()),
            ("--no-keep-alive", self.no_keep_alive),
            ("--accept-status", self.accept_status.is_some()),
        ];
        all.into_iter().find_map(|(option, given)| given.then_some(option))
    }

    /// The request that they ask for.
    pub(super) fn request(&self, request: Request, path: Option<Path>, headers: &[Header]) -> Request {
        let body = match (&self.body, self.body_size) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(size)) => (b'a'..=b'z').cycle().take(size).collect(),
            (None, None) => Vec::new(),
        };
        let usual = if body.is_empty() { Method::get() } else { Method::post() };
        Request {
            method: self.method.clone().unwrap_or(usual),
            path: path.unwrap_or(request.path),
            host: request.host,
            headers: headers.to_vec(),
            body,
            keep_alive: !self.no_keep_alive,
            accepted: self.accept_status.clone().unwrap_or_default(),
        }
    }
}

/// The path, which the target's URL may say, or --path.
///
/// # Errors
///
/// Both do.
pub(super) fn path(option: Option<&Path>, target: &Target) -> Result<Option<Path>, Failure> {
    match (option, &target.path) {
        (Some(_), Some(_)) => Err(usage("the path is in the URL and in --path: give one of them")),
        (path, other) => Ok(path.or(other.as_ref()).cloned()),
    }
}
