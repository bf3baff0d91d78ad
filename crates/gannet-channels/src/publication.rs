//! Publications: what an application sends to a channel, and what its subscribers receive.

use std::sync::Arc;

use bytes::Bytes;

use crate::client::ClientInfo;
use crate::time::Time;

/// Bytes that a publication costs beside its contents: its own allocation, its place in a history, the allocator's share.
const OVERHEAD: usize = 160;

/// One message in a channel.
#[derive(Debug)]
pub struct Publication {
    /// What the application sent.
    pub data: Bytes,
    /// The place in the channel's stream, from 1; 0 if the history does not hold it.
    pub offset: u64,
    /// Who published, if a client did.
    pub info: Option<Arc<ClientInfo>>,
    /// What the application attached, in its order.
    pub tags: Vec<(String, String)>,
    /// When the space took it.
    pub time: Time,
}

impl Publication {
    /// Returns the bytes that it takes, with its tags and its overhead: what histories and recoveries are limited by.
    #[must_use]
    pub fn cost(&self) -> usize {
        OVERHEAD + self.data.len() + tags_size(&self.tags)
    }
}

/// What [`Space::publish`](crate::Space::publish) takes.
#[derive(Debug, Default)]
pub struct Publish {
    /// What subscribers receive. It must own its memory alone: a slice of a larger buffer keeps all of that buffer.
    pub data: Bytes,
    /// Who publishes, if a client does: see [`Roster::info`](crate::Roster::info).
    pub info: Option<Arc<ClientInfo>>,
    /// Names and values that subscribers receive beside the data.
    pub tags: Vec<(String, String)>,
    /// Sends the publication to current subscribers only. It gets no offset.
    pub skip_history: bool,
    /// Publishes at most once for this key and channel, while the space remembers the key
    /// ([`Limits::idempotency_ttl`](crate::Limits::idempotency_ttl)).
    pub idempotency_key: Option<String>,
}

impl Publish {
    /// Makes a publication of this data alone.
    #[must_use]
    pub fn new(data: impl Into<Bytes>) -> Self {
        Self { data: data.into(), ..Self::default() }
    }

    /// Bytes that the limit of a publication is compared with.
    pub(crate) fn size(&self) -> usize {
        self.data.len() + tags_size(&self.tags)
    }
}

fn tags_size(tags: &[(String, String)]) -> usize {
    tags.iter().map(|(name, value)| name.len() + value.len()).sum()
}
