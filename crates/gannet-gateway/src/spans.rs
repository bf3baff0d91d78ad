//! What the gateway records in traces: publications, and calls to the application.

use gannet_channels::{Position, Publish, PublishError, Time};
use gannet_http::{Span, SpanKind, Trace, Tracer};

use crate::call_span::CallSpan;
use crate::gateway::Gateway;

/// What messages travel in, by OpenTelemetry's conventions for messaging.
const SYSTEM: &str = "gannet";

impl Gateway {
    /// Has publications and calls to the application recorded in traces, and `traceparent` sent with those calls. Only the
    /// first call counts. The routes need [`TraceContext`](gannet_http::middleware::TraceContext) around them, so that the
    /// traces of requests go on.
    pub fn set_tracer(&self, tracer: Tracer) {
        let _ = self.tracer.set(tracer);
    }

    /// What makes spans, where traces are recorded at this moment.
    pub(crate) fn tracer(&self) -> Option<&Tracer> {
        self.tracer.get().filter(|tracer| !tracer.is_off())
    }

    /// Makes the span of a call, where traces are recorded.
    pub(crate) fn call_span(&self, parent: Option<&Trace>) -> Option<CallSpan> {
        self.tracer().map(|tracer| CallSpan::new(tracer, parent))
    }

    /// Publishes, as a part of the work of `parent` where there is one.
    ///
    /// # Errors
    ///
    /// Those of the channel space.
    pub(crate) fn publish(
        &self,
        channel: &str,
        publish: Publish,
        now: Time,
        parent: Option<&Trace>,
    ) -> Result<Position, PublishError> {
        let Some(mut span) = self.publication(parent) else { return self.space().publish(channel, publish, now) };
        span.attribute("messaging.destination.name", channel);
        span.attribute("messaging.message.body.size", publish.data.len());
        let published = self.space().publish(channel, publish, now);
        if published.is_err() {
            span.fail("refused");
        }
        self.end(span);
        published
    }

    /// Begins the span of a publication, if its trace is recorded.
    pub(crate) fn publication(&self, parent: Option<&Trace>) -> Option<Span> {
        let tracer = self.tracer()?;
        let trace = parent.map_or_else(|| tracer.begin(), |parent| tracer.child(parent));
        trace.sampled.then(|| {
            let mut span = Span::begin(trace, SpanKind::Producer, "publish");
            span.attribute("messaging.system", SYSTEM);
            span.attribute("messaging.operation.name", "publish");
            span.attribute("messaging.operation.type", "send");
            span
        })
    }

    /// Ends a span at this moment.
    pub(crate) fn end(&self, span: Span) {
        if let Some(tracer) = self.tracer.get() {
            tracer.end(span);
        }
    }
}
