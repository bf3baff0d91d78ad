//! The bridge to Redis clients: they publish to the channels of namespaces that are open to them.
//!
//! A message of Redis is any bytes, and a publication is JSON for clients that speak JSON. So what is JSON passes as it is,
//! other text becomes a JSON string, and other bytes are refused.

use bytes::Bytes;
use gannet_channels::{ChannelError, Publish, PublishError};
use gannet_proto::centrifuge::json;

use crate::clock::time_of_day;
use crate::gateway::Gateway;

/// Says why a Redis client's message does not become a publication.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BridgeError {
    /// The channel's name is wrong.
    #[error("the channel cannot be published to: {0}")]
    Channel(#[from] ChannelError),
    /// The channel space refuses the publication.
    #[error("the message is not published: {0}")]
    Publish(#[from] PublishError),
    /// The message is no text.
    #[error(
        "the message is neither JSON nor text in UTF-8, so the channel's clients could not read it; send it as base64"
    )]
    Text,
}

impl Gateway {
    /// Returns true if any namespace is open to Redis clients.
    #[must_use]
    pub fn has_redis_channels(&self) -> bool {
        self.live().settings.channels.namespaces.iter().any(|namespace| namespace.options.redis)
    }

    /// Returns true if a channel belongs to a namespace that is open to Redis clients.
    ///
    /// Its name may still be one that no channel can have; then [`Gateway::publish_for_redis`] refuses it.
    #[must_use]
    pub fn is_redis_channel(&self, channel: &[u8]) -> bool {
        let public = channel.strip_prefix(b"$").unwrap_or(channel);
        let name = public.iter().position(|byte| *byte == b':').map_or(&[][..], |colon| &public[..colon]);
        let live = self.live();
        let mut namespaces = live.settings.channels.namespaces.iter();
        namespaces.any(|namespace| namespace.options.redis && namespace.name.as_bytes() == name)
    }

    /// Publishes a Redis client's message; returns how many subscribers the channel has here.
    ///
    /// The client is trusted as a caller of the server API is: permissions and patterns of channels are not looked at. A
    /// message that is no JSON becomes a JSON string.
    ///
    /// # Errors
    ///
    /// If the name is wrong, a limit is reached, or the message is no text.
    pub fn publish_for_redis(&self, channel: &[u8], message: &[u8]) -> Result<u64, BridgeError> {
        let channel = std::str::from_utf8(channel).map_err(|_| ChannelError::BadName)?;
        // Before anything reads or copies it: the store takes far larger words.
        self.space().check_size(message.len())?;
        self.publish(channel, Publish::new(as_json(message)?), time_of_day(), None)?;
        Ok(self.space().subscribers(channel)?.into())
    }
}

/// The message as JSON, in memory of its own.
fn as_json(message: &[u8]) -> Result<Bytes, BridgeError> {
    if json::check(message).is_ok() {
        return Ok(Bytes::copy_from_slice(message));
    }
    let text = std::str::from_utf8(message).map_err(|_| BridgeError::Text)?;
    Ok(serde_json::Value::from(text).to_string().into())
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use gannet_channels::{HistoryRequest, Namespace, Options};

    use super::*;
    use crate::settings::Settings;

    fn gateway() -> Arc<Gateway> {
        let mut settings = Settings::demo();
        settings.channels.namespaces.push(Namespace::new("closed", Options::default()));
        Gateway::new(settings, 1, 7).expect("settings that work")
    }

    #[test]
    fn channels_of_open_namespaces_are_open_and_others_are_not() {
        let gateway = gateway();
        assert!(gateway.has_redis_channels());
        for (channel, open) in [
            (&b"demo:a"[..], true),
            (b"$demo:a", true),
            (b"demo:\xff", true),
            (b"demo:", true),
            (b"demo", false),
            (b"", false),
            (b":demo", false),
            (b"closed:a", false),
            (b"unknown:a", false),
        ] {
            assert_eq!(gateway.is_redis_channel(channel), open, "{channel:?}");
        }
        let mut settings = Settings::demo();
        settings.channels.namespaces[0].options.redis = false;
        settings.channels.namespaces.push(Namespace::new("", Options { redis: true, ..Options::default() }));
        let gateway = Gateway::new(settings, 1, 7).expect("settings that work");
        assert!(gateway.is_redis_channel(b"a") && !gateway.is_redis_channel(b"demo:a"));
    }

    #[test]
    fn json_passes_as_it_is_other_text_becomes_a_string_and_other_bytes_are_refused() {
        let gateway = gateway();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let own = Arc::clone(&seen);
        gateway.space().set_tap(Box::new(move |_, data| own.lock().expect("no panic").push(data.clone())));
        for (message, data) in [
            (&br#"{"text": "hi"}"#[..], &br#"{"text": "hi"}"#[..]),
            (b"12", b"12"),
            (b"hi", b"\"hi\""),
            (b"", b"\"\""),
            (b"{\"a\":", br#""{\"a\":""#),
            (b"a\r\n\"b\"", br#""a\r\n\"b\"""#),
            ("\u{e9}".as_bytes(), "\"\u{e9}\"".as_bytes()),
        ] {
            assert_eq!(gateway.publish_for_redis(b"demo:a", message), Ok(0), "{message:?}");
            assert_eq!(seen.lock().expect("no panic").pop().as_deref(), Some(data), "{message:?}");
            assert!(json::check(data).is_ok(), "{data:?}");
        }
        for message in [&b"\xff"[..], b"\"\xff\""] {
            assert_eq!(gateway.publish_for_redis(b"demo:a", message), Err(BridgeError::Text), "{message:?}");
        }
        let history = gateway.space().history("demo:a", &HistoryRequest::default(), time_of_day()).expect("a history");
        assert_eq!(history.position.offset, 7);
    }

    #[test]
    fn a_message_over_a_limit_is_refused_and_counted() {
        let gateway = gateway();
        let limit = gateway.space().limits().publication;
        let text = |error: Result<u64, BridgeError>| error.expect_err("refused").to_string();
        let error = text(gateway.publish_for_redis(b"demo:a", &vec![b'1'; limit + 1]));
        assert!(error.contains(&format!("has {} bytes, and the limit is {limit}", limit + 1)), "{error}");
        // As a string it has two bytes more.
        let error = text(gateway.publish_for_redis(b"demo:a", &vec![b'x'; limit]));
        assert!(error.contains(&format!("has {} bytes", limit + 2)), "{error}");
        assert_eq!(gateway.space().stats().refused_publications, 2);
        let name = [&b"demo:"[..], &[b'x'; 300]].concat();
        let error = text(gateway.publish_for_redis(&name, b"1"));
        assert!(error.contains("305") && error.contains("255"), "{error}");
        for name in [&b"demo:\xff"[..], b"demo:\n"] {
            let error = gateway.publish_for_redis(name, b"1");
            assert!(error.is_err(), "{name:?}");
        }
    }
}
