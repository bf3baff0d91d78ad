//! The context of a handler: one request, and the response to it.

use std::borrow::Cow;
use std::fmt;
use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use gannet::proto::http::{Method, Request};
use gannet::{Context, Handle, Peer, Remote};

use crate::draft::Draft;
use crate::percent;
use crate::places::Params;
use crate::response::response_methods;
use crate::service::HttpService;

/// Gives a handler one request and the response to it. Lives for one call, on the reactor's thread.
///
/// What belongs to the request is borrowed from the received bytes; you may hold it while you write the response.
///
/// The response is 200 with an empty body until the handler changes it. It is written into memory that the reactor reuses,
/// and is sent after the handler returned. Work that takes long is [offloaded](Self::offload); a body may also be
/// [streamed](Self::stream).
pub struct Cx<'a> {
    pub(crate) request: Request<'a>,
    /// The pattern of the route, if one was found.
    pub(crate) route: Option<&'a str>,
    pub(crate) params: Option<Params<'a>>,
    /// Why no route was found.
    pub(crate) missing: Missing,
    pub(crate) draft: &'a mut Draft,
    pub(crate) engine: &'a Context<'a, HttpService>,
    /// The number of the request on this reactor.
    pub(crate) serial: u64,
    /// The answer of a layer that refused the request by its head.
    pub(crate) refusal: Option<Box<Refusal>>,
}

/// The request.
impl<'a> Cx<'a> {
    /// Returns the request as the codec decoded it.
    #[must_use]
    pub fn request(&self) -> &Request<'a> {
        &self.request
    }

    /// Returns the method of the request.
    #[must_use]
    pub fn method(&self) -> Method<'a> {
        self.request.method
    }

    /// Returns the path as it was sent: percent-encoded, and with any `..` segments.
    #[must_use]
    pub fn path(&self) -> &'a str {
        self.request.path()
    }

    /// Returns the pattern of the route, such as `/hello/{name}`; `None` if no route was found.
    #[must_use]
    pub fn route(&self) -> Option<&'a str> {
        self.route
    }

    /// Returns the part of the path that matches `{name}` or `{*name}`, as it was sent.
    ///
    /// It is empty if the route has no such parameter; a parameter itself is never empty. [`decode`](crate::decode) removes
    /// percent-encoding, and [`params`](Self::params) reads parameters as values of your types.
    #[must_use]
    pub fn param(&self, name: &str) -> &'a str {
        self.params.as_ref().and_then(|params| params.get(name)).unwrap_or_default()
    }

    /// Returns the query, which follows the first `?` of the target, as it was sent.
    #[must_use]
    pub fn query(&self) -> Option<&'a str> {
        self.request.query()
    }

    /// Returns the first value called `name` in the query (`?a=1&b=2`), decoded.
    ///
    /// The answer is `None` if there is no such value, or its percent-encoding is malformed. It allocates only if something
    /// is encoded. [`query_as`](Self::query_as) reads the query as a value of your type.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<Cow<'a, str>> {
        percent::value_in(self.query()?, name)
    }

    /// Returns the value of the request's first header field called `name`, in whatever case.
    #[must_use]
    pub fn request_header(&self, name: &str) -> Option<&'a [u8]> {
        self.request.header(name)
    }

    /// Returns the whole body. It is empty in [`Layer::admit`](crate::Layer::admit) and in handlers of
    /// [`Router::upload`](crate::Router::upload), which are called before the body has come.
    #[must_use]
    pub fn request_body(&self) -> &'a [u8] {
        self.request.body
    }

    /// Returns the request's identifier in logs, which the layer [`RequestId`](crate::middleware::RequestId) sets; empty
    /// without that layer.
    #[must_use]
    pub fn request_id(&self) -> &str {
        &self.draft.request_id
    }
}

/// The connection, the reactor and the engine.
impl Cx<'_> {
    /// Returns the address of the client, or of the proxy in front of it.
    #[must_use]
    pub fn peer(&self) -> Peer {
        self.engine.peer()
    }

    /// Returns what the connection's filter knows, if there is a filter and it provides a `T`: see [`Context::filter_info`].
    ///
    /// With `gannet_tls::TlsInfo`, it tells whether the client has come over TLS.
    #[must_use]
    pub fn filter_info<T: 'static>(&self) -> Option<&T> {
        self.engine.filter_info()
    }

    /// Returns the handle of the connection.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.engine.handle()
    }

    /// Returns the number of this reactor, from 0.
    #[must_use]
    pub fn reactor(&self) -> usize {
        self.engine.reactor()
    }

    /// Returns the reactor's time, as of the start of this turn. It suits durations between requests, and is no time of day.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.engine.now()
    }

    /// Returns true if this client was told to leave, or the server ends.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.engine.is_draining()
    }

    /// Charges work to the connection's share of the turn, for a request that costs more than its size suggests.
    ///
    /// See [`Context::charge`] for the unit. Compression, and bodies that are made but not sent (`HEAD`), are charged
    /// already.
    pub fn charge(&mut self, bytes: usize) {
        self.draft.work = self.draft.work.saturating_add(bytes);
    }

    /// Returns a [`Remote`], which reaches all reactors and their counters from any thread.
    #[must_use]
    pub fn remote(&self) -> Remote {
        self.engine.remote()
    }
}

/// The response.
impl Cx<'_> {
    response_methods!();

    /// Answers with this status and text, and discards everything that was set before.
    pub fn refuse(&mut self, status: u16, text: &str) {
        self.reset();
        self.status(status);
        self.text(text);
    }

    /// Discards the response as it was set so far: status, header fields and body.
    pub fn reset(&mut self) {
        self.draft.reset();
    }

    /// Whether the next layer is to be called. Where it is the one that has refused the request, the draft gets its
    /// answer instead.
    #[inline]
    pub(crate) fn reaches_layer(&mut self) -> bool {
        match &mut self.refusal {
            None => true,
            Some(refusal) => match refusal.outside.checked_sub(1) {
                Some(outside) => {
                    refusal.outside = outside;
                    true
                }
                None => {
                    // A layer outside may come here again.
                    match refusal.answer.take() {
                        Some(Ok(answer)) => self.draft.put(answer),
                        Some(Err(panic)) => resume_unwind(panic),
                        None => {}
                    }
                    false
                }
            },
        }
    }
}

/// Why a request has no route.
#[derive(Debug)]
pub(crate) enum Missing {
    /// Its path has none.
    Path,
    /// Its path has some for these methods only, as `Allow` lists them (RFC 9110 §10.2.1).
    Allowed(String),
    /// Nobody knows its method.
    Method,
}

/// What a layer has made of a request by its head.
pub(crate) struct Refusal {
    /// The layers outside of that one which were not called yet.
    pub(crate) outside: usize,
    /// The response, or the panic of the layer. That is continued where the layer is, so that the layers outside can
    /// catch it.
    pub(crate) answer: Option<thread::Result<Draft>>,
}

impl fmt::Debug for Cx<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cx").field("request", &self.request).field("response", &self.draft).finish_non_exhaustive()
    }
}
