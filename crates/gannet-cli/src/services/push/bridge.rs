//! Joins the channels of the gateway and those of Redis clients, for namespaces that are open to them.

use std::sync::Arc;

use gannet::Address;
use gannet_gateway::Gateway;
use gannet_redis::{Channels, Server};

use crate::services::reachable_socket;

/// The channel that the page shows.
const SHOWN: &[u8] = b"demo:chat";

/// The gateway's channels, as the store knows them.
struct Bridge(Arc<Gateway>);

impl Channels for Bridge {
    fn has(&self, channel: &[u8]) -> bool {
        self.0.is_redis_channel(channel)
    }

    fn publish(&self, channel: &[u8], message: &[u8]) -> Result<u64, String> {
        self.0.publish_for_redis(channel, message).map_err(|error| error.to_string())
    }
}

/// Joins both, so that any namespace may be open to Redis clients. To be called before the engine starts.
pub(crate) fn join(gateway: &Arc<Gateway>, store: &Arc<Server>) {
    store.set_channels(Arc::new(Bridge(gateway.clone())));
    // The store has the gateway, and so the gateway must not have the store.
    let store = Arc::downgrade(store);
    gateway.space().set_tap(Box::new(move |channel, data| {
        if let Some(store) = store.upgrade() {
            store.deliver(channel.as_bytes(), data);
        }
    }));
}

/// Has the page say where Redis clients reach its channel, if they do.
pub(crate) fn show<'a>(gateway: &Gateway, mut addresses: impl Iterator<Item = &'a Address>) {
    if !gateway.is_redis_channel(SHOWN) {
        return;
    }
    let plain = addresses.find_map(|address| match address {
        Address::Tcp(socket) => Some(reachable_socket(*socket)),
        _ => None,
    });
    if let Some(socket) = plain {
        gateway.set_redis_address(socket);
    }
}
