//! Methods about the server itself.

use std::time::Duration;

use gannet_channels::Time;
use serde_json::{Map, Value, json};

use crate::gateway::Gateway;

/// Describes this node, which is the only one.
pub(super) fn info(gateway: &Gateway, now: Time) -> Value {
    let stats = gateway.space().stats();
    json!({
        "nodes": [{
            "uid": gateway.node(),
            "name": "gannet",
            "version": env!("CARGO_PKG_VERSION"),
            "num_clients": gateway.metrics.clients(),
            "num_users": stats.users,
            "num_subs": stats.namespaces.iter().map(|own| own.subscriptions).sum::<u64>(),
            "num_channels": stats.channels,
            "uptime": now.since(gateway.began()).as_secs(),
            "metrics": { "interval": METRICS_INTERVAL.as_secs_f64(), "items": metrics(gateway) },
            "process": process(now.since(gateway.began())),
        }]
    })
}

/// The time that the items of `metrics` are of: none, since they count from the start.
const METRICS_INTERVAL: Duration = Duration::ZERO;

/// Every metric of the gateway with its labels, as in `/metrics`; without the buckets of times.
fn metrics(gateway: &Gateway) -> Map<String, Value> {
    let mut text = String::new();
    // A text takes everything.
    let _ = gateway.write_metrics(&mut text);
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.contains("_bucket{"));
    let items = lines.filter_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse::<f64>().ok()?.into()))
    });
    items.collect()
}

/// Processors that this process kept busy since the gateway began, in percent of one, and its bytes in memory.
fn process(uptime: Duration) -> Value {
    let used = crate::operators::samples::processor_time().unwrap_or_default();
    json!({
        "cpu": 100.0 * used.as_secs_f64() / uptime.as_secs_f64().max(1.0),
        "rss": crate::operators::samples::resident().unwrap_or_default(),
    })
}
