//! How a published message looks to its subscribers.

use std::borrow::Cow;

use gannet::proto::resp::{self, Version, Writer};
use gannet::{Group, SendError};

use super::registry::Audience;

/// Why a message comes to a subscriber.
pub(super) enum Reason<'p> {
    Channel,
    Shard,
    Pattern(&'p [u8]),
}

impl Reason<'_> {
    /// What comes before the channel.
    fn opening(&self, version: Version) -> Cow<'static, [u8]> {
        match (self, version) {
            (Reason::Channel, Version::Resp2) => Cow::Borrowed(b"*3\r\n$7\r\nmessage\r\n"),
            (Reason::Channel, Version::Resp3) => Cow::Borrowed(b">3\r\n$7\r\nmessage\r\n"),
            (Reason::Shard, Version::Resp2) => Cow::Borrowed(b"*3\r\n$8\r\nsmessage\r\n"),
            (Reason::Shard, Version::Resp3) => Cow::Borrowed(b">3\r\n$8\r\nsmessage\r\n"),
            (Reason::Pattern(pattern), _) => {
                let mut opening = Writer::new(Vec::with_capacity(pattern.len() + 40), version);
                opening.push(4);
                opening.bulk(b"pmessage");
                opening.bulk(pattern);
                Cow::Owned(opening.into_inner())
            }
        }
    }
}

/// Broadcasts a message to the groups of an audience. Returns how often a broadcast did not reach every reactor.
pub(super) fn send(
    audience: &Audience,
    reason: &Reason<'_>,
    channel: &[u8],
    payload: &[u8],
    mut broadcast: impl FnMut(Group, resp::Reply<'_>) -> Result<(), SendError>,
) -> u64 {
    let mut lost = 0;
    let (mut channel_len, mut payload_len) = (itoa::Buffer::new(), itoa::Buffer::new());
    let channel_len = channel_len.format(channel.len()).as_bytes();
    let payload_len = payload_len.format(payload.len()).as_bytes();
    for version in [Version::Resp2, Version::Resp3] {
        let Some(group) = audience.of(version) else { continue };
        let opening = reason.opening(version);
        let parts =
            [&opening[..], b"$", channel_len, b"\r\n", channel, b"\r\n$", payload_len, b"\r\n", payload, b"\r\n"];
        lost += u64::from(broadcast(group, resp::Reply::Written(&parts)).is_err());
    }
    lost
}
