//! What runs now: the figures of the first view.

use std::sync::Arc;

use gannet_http::Cx;
use serde_json::{Value, json};

use crate::clock::time_of_day;
use crate::gateway::Gateway;

/// Answers with the samples after `?after=`, and with what has no history.
pub(super) fn answer(cx: &mut Cx<'_>, gateway: &Arc<Gateway>) {
    let after = cx.query_value("after").and_then(|after| after.parse().ok()).unwrap_or(0);
    super::json(cx, &value(gateway, after));
}

fn value(gateway: &Gateway, after: u64) -> Value {
    let (number, samples) = gateway.operators().samples().after(after);
    let stats = gateway.space().stats();
    let (now, limits) = (time_of_day(), gateway.space().limits());
    let transports =
        gateway.metrics.by_wire().filter(|(_, clients)| *clients > 0).map(
            |(wire, clients)| json!({ "transport": wire.transport(), "format": wire.protocol(), "clients": clients }),
        );
    let namespaces = stats.namespaces.iter().map(|own| {
        json!({
            "name": own.name,
            "channels": own.channels,
            "subscriptions": own.subscriptions,
            "publications": own.publications,
            "deliveries": own.deliveries,
            "dropped": own.dropped + own.replaced,
            "slow": own.slow,
            "gaps": own.gaps,
            "recovered": own.recovered,
            "unrecovered": own.unrecovered,
        })
    });
    json!({
        "node": gateway.node(),
        "version": env!("CARGO_PKG_VERSION"),
        "now": now.0,
        "uptime_s": now.since(gateway.began()).as_secs(),
        "number": number,
        "samples": samples,
        "users": stats.users,
        "transports": transports.collect::<Vec<_>>(),
        "namespaces": namespaces.collect::<Vec<_>>(),
        "history": {
            "publications": stats.history_publications,
            "bytes": stats.history_bytes,
            "limit": limits.history_bytes,
        },
        "inbox": { "items": stats.inbox_items, "lost": stats.inbox_lost },
        "errors": codes(gateway.metrics.errors.read()),
        "disconnects": codes(gateway.metrics.disconnects.read()),
    })
}

/// Numbers by code, the most frequent first.
fn codes(counts: std::collections::BTreeMap<u32, u64>) -> Value {
    let mut counts: Vec<_> = counts.into_iter().collect();
    counts.sort_by_key(|(code, count)| (std::cmp::Reverse(*count), *code));
    counts.truncate(8);
    counts.into_iter().map(|(code, count)| json!([code, count])).collect()
}
