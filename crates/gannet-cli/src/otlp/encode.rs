//! Spans as a request of OTLP, in its JSON encoding: identifiers in hexadecimal digits, 64-bit numbers as texts
//! (opentelemetry-proto, JSON Protobuf encoding).

use std::time::SystemTime;

use gannet_http::{Span, SpanKind, SpanValue};
use serde_json::{Value, json};

/// What the spans come from: this process.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    pub(super) service: String,
    /// Tells this process from others of the service.
    pub(super) instance: String,
}

/// Writes an `ExportTraceServiceRequest`.
pub(super) fn request(resource: &Resource, spans: &[Box<Span>]) -> Vec<u8> {
    let version = env!("CARGO_PKG_VERSION");
    let attributes = json!([
        text("service.name", &resource.service),
        text("service.version", version),
        text("service.instance.id", &resource.instance),
    ]);
    let spans: Vec<Value> = spans.iter().map(|own| span(own)).collect();
    let request = json!({ "resourceSpans": [{
        "resource": { "attributes": attributes },
        "scopeSpans": [{ "scope": { "name": "gannet", "version": version }, "spans": spans }],
    }] });
    request.to_string().into_bytes()
}

/// Reads how many spans of a request the collector has not taken, from its response.
pub(super) fn rejected(response: &[u8]) -> u64 {
    let Ok(response) = serde_json::from_slice::<Value>(response) else { return 0 };
    let rejected = &response["partialSuccess"]["rejectedSpans"];
    rejected.as_u64().or_else(|| rejected.as_str()?.parse().ok()).unwrap_or(0)
}

fn span(span: &Span) -> Value {
    let kind = match span.kind {
        SpanKind::Server => 2,
        SpanKind::Client => 3,
        SpanKind::Producer => 4,
        _ => 1,
    };
    let attributes: Vec<Value> = span.attributes.iter().map(|(key, value)| attribute(key, value)).collect();
    let mut object = json!({
        "traceId": format!("{:032x}", span.trace.trace_id),
        "spanId": format!("{:016x}", span.trace.span_id),
        "flags": u8::from(span.trace.sampled),
        "name": span.name,
        "kind": kind,
        "startTimeUnixNano": nanoseconds(span.start),
        "endTimeUnixNano": nanoseconds(span.end.max(span.start)),
        "attributes": attributes,
        // Code 2 is an error. Whether the rest went well is for whoever reads it to say.
        "status": if span.failed { json!({ "code": 2 }) } else { json!({}) },
    });
    if span.trace.parent_id != 0 {
        object["parentSpanId"] = format!("{:016x}", span.trace.parent_id).into();
    }
    object
}

fn nanoseconds(time: SystemTime) -> String {
    time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |time| time.as_nanos()).to_string()
}

fn attribute(key: &str, value: &SpanValue) -> Value {
    match value {
        SpanValue::Text(value) => text(key, value),
        SpanValue::Number(number) => json!({ "key": key, "value": { "intValue": number.to_string() } }),
        other => text(key, &format!("{other:?}")),
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_that_a_collector_rejects_are_counted_however_it_writes_the_number() {
        for (response, count) in [
            (r#"{"partialSuccess":{"rejectedSpans":"3","errorMessage":"no"}}"#, 3),
            (r#"{"partialSuccess":{"rejectedSpans":2}}"#, 2),
            (r#"{"partialSuccess":{}}"#, 0),
            ("{}", 0),
            ("", 0),
            ("[", 0),
        ] {
            assert_eq!(rejected(response.as_bytes()), count, "{response}");
        }
    }
}
