//! Deliveries: an event of a channel on its way to the subscribers, encoded once for each wire format.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::client::ClientInfo;
use crate::name::Identity;
use crate::publication::Publication;

/// Wire formats that a process may have. A client's format is a number below it.
pub const WIRES: usize = 10;

/// Something that happened in a channel.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// A publication.
    Publication(Arc<Publication>),
    /// A client subscribed.
    Join(Arc<ClientInfo>),
    /// A client's subscription ended.
    Leave(Arc<ClientInfo>),
    /// The events of one window of the coalescing delay, oldest first, to be sent as one frame.
    ///
    /// Its deliveries are never batches themselves. Encode it by joining their encoded forms.
    Batch(Vec<Arc<Delivery>>),
}

/// An event of a channel on its way to subscribers; reactors share it.
///
/// Whoever needs a wire format first encodes it, and all others use the same bytes: see [`Delivery::wire`].
#[derive(Debug)]
pub struct Delivery {
    channel: Arc<Identity>,
    /// The number of the event in its channel. A batch has that of its first event.
    seq: u64,
    /// The offset of the channel's newest publication when the event had happened.
    top: u64,
    event: Event,
    wires: [OnceLock<Bytes>; WIRES],
}

impl Delivery {
    pub(crate) fn new(channel: Arc<Identity>, seq: u64, top: u64, event: Event) -> Self {
        Self { channel, seq, top, event, wires: [const { OnceLock::new() }; WIRES] }
    }

    /// Returns the name of the channel.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.channel.name()
    }

    /// Returns the epoch of the channel's stream, to which the offsets of publications belong.
    #[must_use]
    pub fn epoch(&self) -> crate::position::Epoch {
        self.channel.epoch()
    }

    /// Returns what happened.
    #[must_use]
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// Returns the index of the channel's namespace in the settings.
    #[must_use]
    pub fn namespace(&self) -> usize {
        self.channel.namespace()
    }

    /// Returns the event in a wire format, and has `encode` make it if nobody did so far.
    ///
    /// Two reactors that need it at the same time both get what one of them made.
    ///
    /// # Panics
    ///
    /// If `format` is not below [`WIRES`]: [`Roster::connect`](crate::Roster::connect) refuses such a client.
    pub fn wire(&self, format: u8, encode: impl FnOnce(&Delivery) -> Bytes) -> &Bytes {
        self.wires[usize::from(format)].get_or_init(|| encode(self))
    }

    pub(crate) fn identity(&self) -> &Arc<Identity> {
        &self.channel
    }

    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    pub(crate) fn top(&self) -> u64 {
        self.top
    }

    /// The top before the event: publications up to it came in earlier deliveries.
    pub(crate) fn top_before(&self) -> u64 {
        match &self.event {
            Event::Publication(publication) if publication.offset > 0 => self.top - 1,
            _ => self.top,
        }
    }

    /// Whether the event is a join or leave, which only subscribers that asked for them receive.
    pub(crate) fn is_about_presence(&self) -> bool {
        matches!(self.event, Event::Join(_) | Event::Leave(_))
    }

    /// Bytes that count against the bound of an inbox.
    pub(crate) fn size(&self) -> usize {
        match &self.event {
            Event::Publication(publication) => publication.cost(),
            Event::Join(info) | Event::Leave(info) => 64 + info.size(),
            Event::Batch(deliveries) => deliveries.iter().map(|delivery| delivery.size()).sum(),
        }
    }

    /// Bytes of the application's data in it.
    pub(crate) fn data_bytes(&self) -> u64 {
        match &self.event {
            Event::Publication(publication) => publication.data.len() as u64,
            Event::Join(_) | Event::Leave(_) => 0,
            Event::Batch(deliveries) => deliveries.iter().map(|delivery| delivery.data_bytes()).sum(),
        }
    }

    /// How many events a subscriber receives with it.
    pub(crate) fn events(&self) -> u64 {
        match &self.event {
            Event::Batch(deliveries) => deliveries.len() as u64,
            _ => 1,
        }
    }
}
