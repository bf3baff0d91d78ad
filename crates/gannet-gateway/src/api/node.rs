//! Methods about the server itself.

use gannet_channels::Time;
use serde_json::{Value, json};

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
        }]
    })
}
