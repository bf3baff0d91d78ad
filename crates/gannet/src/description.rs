//! What a service and a filter say of one connection, for operators.

use std::sync::Arc;

use crate::handle::Handle;

/// Channels that a description names; all are counted.
const MOST_CHANNELS: usize = 32;

/// The longest text that is kept of a name, in bytes.
const MOST_BYTES: usize = 256;

/// Takes what a service knows of a connection: see [`Service::describe`](crate::Service::describe).
///
/// Names are cut after 256 bytes. The first 32 channels are named, and all of them are counted.
#[derive(Clone, Debug, Default)]
pub struct Description {
    handle: Option<Handle>,
    user: Option<String>,
    client: Option<String>,
    protocol: Option<String>,
    security: Option<&'static str>,
    channels: Vec<String>,
    channel_count: usize,
    wanted: Option<Arc<str>>,
    is_wanted_there: bool,
}

impl Description {
    /// A description for which only one channel matters.
    pub(crate) fn wanting(channel: Option<Arc<str>>) -> Self {
        Self { wanted: channel, ..Self::default() }
    }

    /// Forgets what was said, for another connection.
    pub(crate) fn begin(&mut self, handle: Handle) {
        *self = Self {
            handle: Some(handle),
            wanted: self.wanted.take(),
            channels: std::mem::take(&mut self.channels),
            ..Self::default()
        };
        self.channels.clear();
    }

    /// Returns the handle of the connection that is described.
    #[must_use]
    pub fn handle(&self) -> Option<Handle> {
        self.handle
    }

    /// Names the user who has authenticated on the connection.
    pub fn user(&mut self, name: &str) {
        self.user = Some(cut(name));
    }

    /// Names the client, by an id or by the name that it has given itself.
    pub fn client(&mut self, name: &str) {
        self.client = Some(cut(name));
    }

    /// Says what is spoken on the connection, such as `websocket` or `resp3`, or the path of a stream.
    pub fn protocol(&mut self, what: &str) {
        self.protocol = Some(cut(what));
    }

    /// Says how the connection is encrypted, such as `TLSv1.3`.
    pub fn security(&mut self, version: &'static str) {
        self.security = Some(version);
    }

    /// Names one channel that the connection is subscribed to. Call it for each; most are only counted.
    pub fn channel(&mut self, name: &str) {
        self.channel_count += 1;
        if self.channels.len() < MOST_CHANNELS {
            self.channels.push(cut(name));
        }
        if !self.is_wanted_there && self.wanted.as_deref() == Some(name) {
            self.is_wanted_there = true;
        }
    }

    /// Returns the user.
    #[must_use]
    pub fn user_name(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Returns the client's id or name.
    #[must_use]
    pub fn client_name(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// Returns what is spoken on the connection.
    #[must_use]
    pub fn protocol_name(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Returns how the connection is encrypted, if it is.
    #[must_use]
    pub fn security_version(&self) -> Option<&'static str> {
        self.security
    }

    /// Returns the first channels.
    #[must_use]
    pub fn channels(&self) -> &[String] {
        &self.channels
    }

    /// Returns the number of all channels.
    #[must_use]
    pub fn channel_count(&self) -> usize {
        self.channel_count
    }

    /// Whether the wanted channel was named.
    pub(crate) fn has_wanted(&self) -> bool {
        self.is_wanted_there
    }
}

/// At most so many bytes of a name, in whole characters.
fn cut(name: &str) -> String {
    let mut end = name.len().min(MOST_BYTES);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    name[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_names_some_channels_counts_all_and_finds_the_wanted_one() {
        let mut description = Description::wanting(Some("room:99".into()));
        for room in 0..100 {
            description.channel(&format!("room:{room}"));
        }
        assert_eq!((description.channels().len(), description.channel_count()), (32, 100));
        assert!(description.has_wanted());
        description.begin(Handle { engine: 0, reactor: 0, token: 1, generation: 1 });
        assert_eq!((description.channels().len(), description.channel_count()), (0, 0));
        assert!(!description.has_wanted());
        description.channel("room:99");
        assert!(description.has_wanted(), "the wanted one stays wanted");
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let mut description = Description::default();
        description.user(&"ü".repeat(200));
        assert_eq!(description.user_name().map(str::len), Some(256));
        description.client(&format!("x{}", "ü".repeat(200)));
        assert_eq!(description.client_name().map(str::len), Some(255));
    }
}
