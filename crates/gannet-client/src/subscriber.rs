//! Subscriptions of Redis that survive reconnects: a pool of one connection, which subscribes again when it is new.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gannet::Engine;
use gannet::proto::resp::{Replies, Value};

use crate::client::{Client, Pool, PoolBuilder};
use crate::counters::PoolStats;
use crate::error::{CallError, Error};
use crate::promise::Pending;
use crate::protocol::{Handshake, Incoming, Message, Protocol};
use crate::redis::{OwnedValue, Redis, RedisState};
use crate::settings::Settings;
use crate::shared::CallOptions;

/// Tells a subscriber what happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A message was published.
    Message {
        /// The channel.
        channel: &'a [u8],
        /// The pattern that the channel matches, for a subscription by pattern.
        pattern: Option<&'a [u8]>,
        /// The message.
        payload: &'a [u8],
    },
    /// A connection is up, and all subscriptions hold on it.
    ///
    /// After the first time: messages that were published in between are lost.
    Subscribed,
}

type OnEvent = dyn Fn(Event<'_>) + Send + Sync;

/// What is subscribed to.
#[derive(Default)]
struct Wanted {
    channels: BTreeSet<Vec<u8>>,
    patterns: BTreeSet<Vec<u8>>,
}

/// The protocol of a connection that receives messages.
pub(crate) struct Subscriptions {
    redis: Redis,
    wanted: Arc<Mutex<Wanted>>,
    on_event: Box<OnEvent>,
}

/// What is known of such a connection.
#[derive(Default)]
pub(crate) struct SubscriptionsState {
    redis: RedisState,
    /// The handshake of Redis is done, and so many subscriptions are not confirmed yet.
    confirming: Option<usize>,
}

fn lock(wanted: &Mutex<Wanted>) -> MutexGuard<'_, Wanted> {
    // Nothing panics while it is locked.
    wanted.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The words of a push, or of RESP2's array in its place, if they are of a subscription.
fn words<'v, 'm>(value: &'v Value<'m>) -> Option<(&'m [u8], &'v [Value<'m>])> {
    match value {
        Value::Array(values) | Value::Push(values) => match values.split_first() {
            Some((Value::Bulk(kind) | Value::Simple(kind), rest)) => Some((kind, rest)),
            _ => None,
        },
        _ => None,
    }
}

impl Subscriptions {
    /// Hands a message to the subscriber. Returns false if it is something else.
    fn deliver(&self, value: &Value<'_>) -> bool {
        let event = match words(value) {
            Some((b"message" | b"smessage", [Value::Bulk(channel), Value::Bulk(payload)])) => {
                Event::Message { channel, pattern: None, payload }
            }
            Some((b"pmessage", [Value::Bulk(pattern), Value::Bulk(channel), Value::Bulk(payload)])) => {
                Event::Message { channel, pattern: Some(pattern), payload }
            }
            _ => return false,
        };
        (self.on_event)(event);
        true
    }

    /// Subscribes to everything on a new connection, one command for each, so that each has one reply.
    fn subscribe_all(&self, state: &mut SubscriptionsState, out: &mut Vec<u8>) -> Handshake {
        let wanted = lock(&self.wanted);
        for channel in &wanted.channels {
            self.redis.encode(&[b"SUBSCRIBE", channel], 0, out);
        }
        for pattern in &wanted.patterns {
            self.redis.encode(&[b"PSUBSCRIBE", pattern], 0, out);
        }
        state.confirming = Some(wanted.channels.len() + wanted.patterns.len());
        drop(wanted);
        self.confirmed(state)
    }

    fn confirmed(&self, state: &SubscriptionsState) -> Handshake {
        if state.confirming == Some(0) {
            (self.on_event)(Event::Subscribed);
            return Handshake::Done;
        }
        Handshake::Wait
    }
}

impl Protocol for Subscriptions {
    type Codec = Replies;
    type State = SubscriptionsState;
    type Request<'a> = &'a [&'a [u8]];
    type Reply<'m> = Value<'m>;
    type Owned = OwnedValue;

    const PIPELINES: bool = true;
    const PINGS: bool = true;

    fn codec(&self) -> Replies {
        self.redis.codec()
    }

    fn encode(&self, words: &[&[u8]], key: u64, out: &mut Vec<u8>) -> bool {
        self.redis.encode(words, key, out)
    }

    fn connected(&self, state: &mut SubscriptionsState, out: &mut Vec<u8>) -> Handshake {
        match self.redis.connected(&mut state.redis, out) {
            Handshake::Done => self.subscribe_all(state, out),
            other => other,
        }
    }

    fn greeted(&self, state: &mut SubscriptionsState, message: Value<'_>, out: &mut Vec<u8>) -> Handshake {
        if self.deliver(&message) {
            return Handshake::Wait;
        }
        match &mut state.confirming {
            None => match self.redis.greeted(&mut state.redis, message, out) {
                Handshake::Done => self.subscribe_all(state, out),
                other => other,
            },
            Some(_) if matches!(message, Value::Error(_)) => self.redis.greeted(&mut state.redis, message, out),
            Some(left) => {
                *left = left.saturating_sub(1);
                self.confirmed(state)
            }
        }
    }

    fn receive<'m>(&self, _: &mut SubscriptionsState, message: Message<'m, Self>) -> Incoming<Value<'m>> {
        if self.deliver(&message) {
            return Incoming::Ignore;
        }
        let confirms =
            |kind: &[u8]| matches!(kind, b"subscribe" | b"psubscribe" | b"unsubscribe" | b"punsubscribe" | b"pong");
        match words(&message).map(|(kind, _)| kind) {
            Some(kind) if confirms(kind) => Incoming::Reply(message),
            _ if matches!(message, Value::Push(_)) => Incoming::Ignore,
            _ => Incoming::Reply(message),
        }
    }

    fn copied(&self, reply: Value<'_>) -> OwnedValue {
        OwnedValue::from(reply)
    }

    fn ping(&self, out: &mut Vec<u8>) {
        self.redis.ping(out);
    }
}

/// Receives what is published in Redis, on one connection of its own that is opened again when it is lost.
///
/// Subscriptions hold until they are ended: a new connection subscribes to all of them. What was published in between is lost,
/// as Redis keeps none of it; [`Event::Subscribed`] says when that may have happened.
///
/// ```no_run
/// use gannet_client::{Event, Redis, Subscriber};
///
/// # fn main() -> Result<(), gannet_client::Error> {
/// let subscriber = Subscriber::connect(Redis::new(), "tcp://127.0.0.1:6379", |event| {
///     if let Event::Message { channel, payload, .. } = event {
///         println!("{}: {}", String::from_utf8_lossy(channel), String::from_utf8_lossy(payload));
///     }
/// })?;
/// subscriber.subscribe(b"news");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Subscriber {
    client: Client<Subscriptions>,
    wanted: Arc<Mutex<Wanted>>,
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscriber").finish_non_exhaustive()
    }
}

impl Subscriber {
    /// Adds a subscriber to an engine that has not started. It connects when the engine starts.
    ///
    /// `on_event` is called on a reactor, so it must not block: it hands messages on, for example with
    /// [`Remote::broadcast`](gannet::Remote::broadcast). The settings' sizes do not count: there is one connection.
    ///
    /// # Errors
    ///
    /// Those of [`PoolBuilder::attach`].
    pub fn attach(
        engine: &mut Engine,
        redis: Redis,
        url: &str,
        settings: Settings,
        on_event: impl Fn(Event<'_>) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let (builder, wanted) = Self::builder(redis, url, settings, on_event);
        Ok(Self { client: builder.attach(engine)?.client(), wanted })
    }

    /// Connects to a server, for a program without an engine. Blocks until the connection is ready, at most 5 s.
    ///
    /// `on_event` is called on the thread of the subscriber, so it must not block for long. It ends when the last clone of the
    /// subscriber is dropped.
    ///
    /// # Errors
    ///
    /// Those of [`Client::connect`].
    pub fn connect(
        redis: Redis,
        url: &str,
        on_event: impl Fn(Event<'_>) + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let (builder, wanted) = Self::builder(redis, url, Settings::default(), on_event);
        Ok(Self { client: Client::start(builder)?, wanted })
    }

    fn builder(
        redis: Redis,
        url: &str,
        settings: Settings,
        on_event: impl Fn(Event<'_>) + Send + Sync + 'static,
    ) -> (PoolBuilder<Subscriptions>, Arc<Mutex<Wanted>>) {
        let wanted = Arc::<Mutex<Wanted>>::default();
        let protocol = Subscriptions { redis, wanted: wanted.clone(), on_event: Box::new(on_event) };
        let settings = Settings { min_idle: 1, max: 1, ..settings };
        (Pool::builder(protocol).endpoint(url).settings(settings).name("subscriber").on_one_reactor(), wanted)
    }

    /// Subscribes to a channel, until [`unsubscribe`](Self::unsubscribe).
    ///
    /// What is returned waits for the server's confirmation; nobody has to. Without a connection, the subscription holds from
    /// the next one on.
    pub fn subscribe(&self, channel: &[u8]) -> Confirmation {
        lock(&self.wanted).channels.insert(channel.to_vec());
        self.order(&[b"SUBSCRIBE", channel])
    }

    /// Subscribes to all channels whose names match a pattern, as `news.*`, until
    /// [`punsubscribe`](Self::punsubscribe).
    pub fn psubscribe(&self, pattern: &[u8]) -> Confirmation {
        lock(&self.wanted).patterns.insert(pattern.to_vec());
        self.order(&[b"PSUBSCRIBE", pattern])
    }

    /// Ends the subscription to a channel.
    pub fn unsubscribe(&self, channel: &[u8]) -> Confirmation {
        lock(&self.wanted).channels.remove(channel);
        self.order(&[b"UNSUBSCRIBE", channel])
    }

    /// Ends the subscription to a pattern.
    pub fn punsubscribe(&self, pattern: &[u8]) -> Confirmation {
        lock(&self.wanted).patterns.remove(pattern);
        self.order(&[b"PUNSUBSCRIBE", pattern])
    }

    fn order(&self, words: &[&[u8]]) -> Confirmation {
        // Each of them has the same effect the second time.
        Confirmation(self.client.begin(words, CallOptions::default().idempotent()))
    }

    /// Reads the counters of the connection, on any thread.
    #[must_use]
    pub fn stats(&self) -> PoolStats {
        self.client.stats()
    }
}

/// Waits for the server to confirm a subscription. It may be dropped.
#[derive(Debug)]
pub struct Confirmation(Result<Pending<OwnedValue>, CallError>);

impl Confirmation {
    /// Blocks until the server has confirmed. Do not call it on a reactor.
    ///
    /// # Errors
    ///
    /// [`CallError`]: no confirmation came in time. The subscription holds from the next connection on.
    pub fn wait(self) -> Result<(), CallError> {
        self.0?.wait().map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn array<'m>(words: &[&'m [u8]]) -> Value<'m> {
        Value::Array(words.iter().map(|word| Value::Bulk(word)).collect())
    }

    fn subscriptions() -> (Subscriptions, Arc<Mutex<Vec<String>>>) {
        let events = Arc::<Mutex<Vec<String>>>::default();
        let seen = events.clone();
        let on_event = move |event: Event<'_>| {
            let text = match event {
                Event::Message { channel, payload, .. } => {
                    format!("{}: {}", String::from_utf8_lossy(channel), String::from_utf8_lossy(payload))
                }
                Event::Subscribed => "subscribed".to_owned(),
            };
            seen.lock().expect("no panic").push(text);
        };
        (Subscriptions { redis: Redis::new(), wanted: Arc::default(), on_event: Box::new(on_event) }, events)
    }

    #[test]
    fn a_new_connection_subscribes_to_all_and_messages_between_confirmations_are_delivered() {
        let (subscriptions, events) = subscriptions();
        lock(&subscriptions.wanted).channels.extend([b"a".to_vec(), b"b".to_vec()]);
        let (mut state, mut out) = (SubscriptionsState::default(), Vec::new());
        assert_eq!(subscriptions.connected(&mut state, &mut out), Handshake::Wait);
        let sent = String::from_utf8(out).expect("text").replace("\r\n", " ");
        assert_eq!(sent, "*2 $9 SUBSCRIBE $1 a *2 $9 SUBSCRIBE $1 b ");
        let mut greet = |message| subscriptions.greeted(&mut state, message, &mut Vec::new());
        assert_eq!(greet(array(&[b"subscribe", b"a", b"1"])), Handshake::Wait);
        assert_eq!(greet(array(&[b"message", b"a", b"early"])), Handshake::Wait);
        assert_eq!(greet(array(&[b"subscribe", b"b", b"2"])), Handshake::Done);
        assert_eq!(*events.lock().expect("no panic"), ["a: early", "subscribed"]);
    }

    #[test]
    fn confirmations_and_pongs_are_replies_and_messages_are_not() {
        let (subscriptions, events) = subscriptions();
        let mut state = SubscriptionsState::default();
        let mut receive = |message| subscriptions.receive(&mut state, message);
        assert!(matches!(receive(array(&[b"subscribe", b"a", b"1"])), Incoming::Reply(_)));
        assert!(matches!(receive(array(&[b"pong", b""])), Incoming::Reply(_)));
        assert!(matches!(receive(Value::Simple(b"PONG")), Incoming::Reply(_)));
        assert!(matches!(receive(array(&[b"pmessage", b"a*", b"ab", b"text"])), Incoming::Ignore));
        assert!(matches!(receive(Value::Push(vec![Value::Bulk(b"invalidate"), Value::Null])), Incoming::Ignore));
        assert_eq!(*events.lock().expect("no panic"), ["ab: text"]);
    }

    #[test]
    fn a_refused_subscription_fails_the_handshake() {
        let (subscriptions, _) = subscriptions();
        lock(&subscriptions.wanted).channels.insert(b"secret".to_vec());
        let mut state = SubscriptionsState::default();
        subscriptions.connected(&mut state, &mut Vec::new());
        let refused = Value::Error(b"NOPERM no permissions to access a channel");
        assert!(matches!(subscriptions.greeted(&mut state, refused, &mut Vec::new()), Handshake::Failed(_)));
    }
}
