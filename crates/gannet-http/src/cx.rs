//! What a handler works with: one request, and the response to it.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use gannet::proto::http::{Method, Request};
use gannet::{Context, Handle, Peer, Remote};

use crate::admission::Refusal;
use crate::draft::Draft;
use crate::percent;
use crate::places::Params;
use crate::routes::Missing;
use crate::service::HttpService;

/// One request, and the response to it. Lives for one call of a handler, on the reactor's thread.
///
/// What belongs to the request is borrowed from the received bytes, and may be held while the response is written.
/// The response is 200 with an empty body until something else is said; it is sent when the handler has returned, and
/// is written into memory that the reactor uses again for the next one.
pub struct Cx<'a> {
    pub(crate) request: Request<'a>,
    /// The pattern of the route, where there is one.
    pub(crate) route: Option<&'a str>,
    pub(crate) params: Option<Params<'a>>,
    /// Where there is no route: why.
    pub(crate) missing: Missing,
    pub(crate) draft: &'a mut Draft,
    pub(crate) engine: &'a Context<'a, HttpService>,
    /// The number of the request on this reactor.
    pub(crate) serial: u64,
    /// What a layer has answered by the head of the request.
    pub(crate) refusal: Option<Box<Refusal>>,
}

/// The request.
impl<'a> Cx<'a> {
    /// The request as the codec gave it, for all that is not here.
    #[must_use]
    pub fn request(&self) -> &Request<'a> {
        &self.request
    }

    /// What is to be done.
    #[must_use]
    pub fn method(&self) -> Method<'a> {
        self.request.method
    }

    /// The path, as it was sent: percent-encoded, and not made free of `..`.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.request.path()
    }

    /// The pattern of the route that was taken, `/hello/{name}` for one. Nothing where there was none.
    #[must_use]
    pub fn route(&self) -> Option<&'a str> {
        self.route
    }

    /// What the path has in the place of `{name}` or `{*name}`, as it was sent: [`decode`](crate::decode) takes
    /// percent-encoding away. Empty where the route has no such parameter; a parameter itself is never empty.
    #[must_use]
    pub fn param(&self, name: &str) -> &'a str {
        self.params.as_ref().and_then(|params| params.get(name)).unwrap_or_default()
    }

    /// What follows the first `?` of the target, as it was sent.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.request.query()
    }

    /// The first value called `name` in the query (`?a=1&b=2`), decoded. Nothing where there is none, or its encoding
    /// is malformed. Allocates only where something is encoded.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<Cow<'a, str>> {
        percent::value_in(self.query()?, name)
    }

    /// The value of the request's first header field called `name`, in whatever case.
    #[must_use]
    pub fn request_header(&self, name: &str) -> Option<&'a [u8]> {
        self.request.header(name)
    }

    /// The body, whole. Empty where there is none, and in [`Layer::admit`](crate::Layer::admit).
    #[must_use]
    pub fn request_body(&self) -> &'a [u8] {
        self.request.body
    }

    /// What the request is called in logs, where the layer [`RequestId`](crate::middleware::RequestId) is there;
    /// otherwise empty.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.draft.request_id
    }
}

/// What is around.
impl Cx<'_> {
    /// Who sent the request, or passed it on.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.engine.peer()
    }

    /// A reference to the connection.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.engine.handle()
    }

    /// The number of this reactor, from 0.
    #[must_use]
    pub fn reactor(&self) -> usize {
        self.engine.reactor()
    }

    /// The reactor's clock when this turn began: for durations between requests.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.engine.now()
    }

    /// Whether the server is shutting down.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.engine.is_draining()
    }

    /// Charges work to the connection's share of the turn, for a request that costs more than its size says; see
    /// [`Context::charge`] for the unit. A body that is not sent, as for `HEAD`, and compression are charged without this.
    pub fn charge(&mut self, bytes: usize) {
        self.draft.work = self.draft.work.saturating_add(bytes);
    }

    /// The way to all reactors, with their counters.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.engine.remote()
    }
}

impl fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx").field("request", &self.request).field("response", &self.draft).finish_non_exhaustive()
    }
}
