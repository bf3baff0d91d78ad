//! The span of a call to the application, for traces.

use gannet_http::{Span, SpanKind, Trace, Tracer};

use crate::outgoing::{Endpoint, OutgoingError};
use crate::settings::EventKind;

/// A call to the application, in its trace.
#[derive(Clone, Debug)]
pub(crate) struct CallSpan {
    tracer: Tracer,
    /// Its own place.
    pub(crate) trace: Trace,
}

impl CallSpan {
    /// Makes a call a part of the work of `parent`; without one, its trace begins here.
    pub(crate) fn new(tracer: &Tracer, parent: Option<&Trace>) -> Self {
        let trace = parent.map_or_else(|| tracer.begin(), |parent| tracer.child(parent));
        Self { tracer: tracer.clone(), trace }
    }

    /// Begins the span, if its trace is recorded.
    pub(crate) fn begin(&self, endpoint: &Endpoint, event: EventKind) -> Option<Span> {
        self.trace.sampled.then(|| {
            let mut span = Span::begin(self.trace, SpanKind::Client, format!("POST {}", endpoint.path()));
            span.attribute("http.request.method", "POST");
            span.attribute("url.full", &*endpoint.to_string());
            span.attribute("server.address", endpoint.host());
            span.attribute("server.port", endpoint.port());
            span.attribute("gannet.event", event.name());
            span
        })
    }

    /// Ends the span with what came of the call.
    pub(crate) fn end<T>(&self, span: Option<Span>, outcome: &Result<T, OutgoingError>) {
        let Some(mut span) = span else { return };
        match outcome {
            Ok(_) => span.attribute("http.response.status_code", 200_u16),
            Err(OutgoingError::Status(status)) => {
                span.attribute("http.response.status_code", *status);
                span.fail(&status.to_string());
            }
            Err(error) => span.fail(error.name()),
        }
        self.tracer.end(span);
    }
}
