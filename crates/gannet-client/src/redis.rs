//! Redis, in RESP2 or RESP3.

mod value;

use gannet::proto::Codec as _;
use gannet::proto::resp::{Replies, Value, Version};

use crate::protocol::{Handshake, Incoming, Message, Protocol};

pub use value::OwnedValue;

/// Speaks to Redis, and to any server that speaks its protocol: requests are commands, pipelined.
///
/// A request is the words of a command: `&[b"GET", b"key"]`. A reply is a [`Value`]; an error reply is a reply too, as
/// [`Value::Error`]. Commands count as not idempotent unless [`CallOptions::idempotent`](crate::CallOptions) says so.
///
/// Commands that change the connection (`MULTI`, `WATCH`, `SELECT`, blocking commands) need a
/// [lease](crate::Client::lease): on a shared connection they would change it for all. After a lease the connection is
/// made as new by `RESET` and the handshake, which needs Redis 6.2; with older servers it is closed.
///
/// ```
/// use gannet_client::Redis;
///
/// let redis = Redis::new().resp3().password("secret").database(2);
/// ```
#[derive(Clone, Debug)]
pub struct Redis {
    codec: Replies,
    version: Version,
    user: Option<Vec<u8>>,
    password: Option<Vec<u8>>,
    database: u32,
    name: Option<Vec<u8>>,
}

impl Default for Redis {
    fn default() -> Self {
        Self::new()
    }
}

impl Redis {
    /// Makes a client protocol for RESP2, without a password, for database 0.
    #[must_use]
    pub fn new() -> Self {
        Self { codec: Replies::new(), version: Version::Resp2, user: None, password: None, database: 0, name: None }
    }

    /// Asks for RESP3 (`HELLO 3`), which Redis has since version 6.
    #[must_use]
    pub fn resp3(mut self) -> Self {
        self.version = Version::Resp3;
        self
    }

    /// Logs in with this password (`AUTH`).
    #[must_use]
    pub fn password(mut self, password: impl Into<Vec<u8>>) -> Self {
        self.password = Some(password.into());
        self
    }

    /// Logs in as this user, with the password of [`Redis::password`].
    #[must_use]
    pub fn user(mut self, user: impl Into<Vec<u8>>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Selects a database (`SELECT`).
    #[must_use]
    pub fn database(mut self, database: u32) -> Self {
        self.database = database;
        self
    }

    /// Names the connections (`CLIENT SETNAME`), for `CLIENT LIST`.
    #[must_use]
    pub fn name(mut self, name: impl Into<Vec<u8>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the limits of replies.
    #[must_use]
    pub fn replies(mut self, codec: Replies) -> Self {
        self.codec = codec;
        self
    }

    fn command(&self, words: &[&[u8]], out: &mut Vec<u8>) {
        // Encoding a command does not fail.
        let _ = self.codec.encode(words, out);
    }

    /// Writes the commands that begin a connection, all at once, and returns how many replies they have.
    fn greet(&self, out: &mut Vec<u8>) -> u8 {
        let mut commands = 0;
        let mut command = |words: &[&[u8]]| {
            commands += 1;
            self.command(words, out);
        };
        let user = self.user.as_deref().unwrap_or(b"default");
        match (self.version, &self.password) {
            (Version::Resp3, Some(password)) => command(&[b"HELLO", b"3", b"AUTH", user, password]),
            (Version::Resp3, None) => command(&[b"HELLO", b"3"]),
            (Version::Resp2, Some(password)) if self.user.is_some() => command(&[b"AUTH", user, password]),
            (Version::Resp2, Some(password)) => command(&[b"AUTH", password]),
            (Version::Resp2, None) => {}
        }
        if self.database != 0 {
            command(&[b"SELECT", self.database.to_string().as_bytes()]);
        }
        if let Some(name) = &self.name {
            command(&[b"CLIENT", b"SETNAME", name]);
        }
        commands
    }
}

/// Holds what is known of one connection to Redis.
#[derive(Clone, Copy, Debug, Default)]
pub struct RedisState {
    /// Replies to the handshake that are still to come.
    greeting: u8,
    /// `RESET` was sent, and its reply has not come.
    resetting: bool,
}

impl Protocol for Redis {
    type Codec = Replies;
    type State = RedisState;
    type Request<'a> = &'a [&'a [u8]];
    type Reply<'m> = Value<'m>;
    type Owned = OwnedValue;

    const PIPELINES: bool = true;
    const PINGS: bool = true;
    const RESETS: bool = true;

    fn codec(&self) -> Replies {
        self.codec.clone()
    }

    #[inline]
    fn encode(&self, words: &[&[u8]], _: u64, out: &mut Vec<u8>) -> bool {
        // A server sends no reply to a command without words.
        !words.is_empty() && self.codec.encode(words, out).is_ok()
    }

    fn connected(&self, state: &mut RedisState, out: &mut Vec<u8>) -> Handshake {
        state.greeting = self.greet(out);
        if state.greeting == 0 { Handshake::Done } else { Handshake::Wait }
    }

    fn greeted(&self, state: &mut RedisState, reply: Value<'_>, _: &mut Vec<u8>) -> Handshake {
        if let Value::Error(text) = reply {
            return Handshake::Failed(String::from_utf8_lossy(text).into_owned());
        }
        state.greeting = state.greeting.saturating_sub(1);
        if state.greeting == 0 { Handshake::Done } else { Handshake::Wait }
    }

    #[inline]
    fn receive<'m>(&self, state: &mut RedisState, reply: Message<'m, Self>) -> Incoming<Value<'m>> {
        if state.resetting || state.greeting > 0 {
            return self.renewed(state, reply);
        }
        match reply {
            Value::Push(_) if !confirms(&reply) => Incoming::Push(reply),
            reply => Incoming::Reply(reply),
        }
    }

    fn copied(&self, reply: Value<'_>) -> OwnedValue {
        OwnedValue::from(reply)
    }

    fn ping(&self, out: &mut Vec<u8>) {
        self.command(&[b"PING"], out);
    }

    fn reset(&self, state: &mut RedisState, out: &mut Vec<u8>) {
        self.command(&[b"RESET"], out);
        self.greet(out);
        state.resetting = true;
    }
}

/// Whether a push is the reply to a command that changes subscriptions: in RESP3 there is no other.
fn confirms(push: &Value<'_>) -> bool {
    let Value::Push(words) = push else { return false };
    let Some(Value::Bulk(kind) | Value::Simple(kind)) = words.first() else { return false };
    matches!(*kind, b"subscribe" | b"unsubscribe" | b"psubscribe" | b"punsubscribe" | b"ssubscribe" | b"sunsubscribe")
}

impl Redis {
    /// A message after a reset was sent: the rest of the lease, then the replies of the reset.
    fn renewed<'m>(&self, state: &mut RedisState, reply: Value<'m>) -> Incoming<Value<'m>> {
        match reply {
            Value::Push(_) if !state.resetting || !confirms(&reply) => return Incoming::Ignore,
            Value::Simple(b"RESET") if state.resetting => {
                state.resetting = false;
                state.greeting = self.greet(&mut Vec::new());
            }
            Value::Error(text) if state.resetting && text.starts_with(b"ERR unknown command") => {
                return Incoming::Broken("the server does not know RESET");
            }
            Value::Error(_) if !state.resetting => return Incoming::Broken("the server refuses the handshake"),
            reply if state.resetting => return Incoming::Reply(reply),
            _ => state.greeting -= 1,
        }
        if state.greeting == 0 { Incoming::Reply(Value::Null) } else { Incoming::Ignore }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(redis: &Redis, words: impl FnOnce(&Redis, &mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        words(redis, &mut out);
        String::from_utf8(out).expect("it is text").replace("\r\n", " ")
    }

    #[test]
    fn the_handshake_logs_in_selects_and_names_in_one_go() {
        let redis = Redis::new().user("me").password("secret").database(3).name("api");
        let mut state = RedisState::default();
        let sent = wire(&redis, |redis, out| assert_eq!(redis.connected(&mut state, out), Handshake::Wait));
        let expected = "*3 $4 AUTH $2 me $6 secret *2 $6 SELECT $1 3 *3 $6 CLIENT $7 SETNAME $3 api ";
        assert_eq!(sent, expected);
        let ok = Value::Simple(b"OK");
        assert_eq!(redis.greeted(&mut state, ok.clone(), &mut Vec::new()), Handshake::Wait);
        assert_eq!(redis.greeted(&mut state, ok.clone(), &mut Vec::new()), Handshake::Wait);
        assert_eq!(redis.greeted(&mut state, ok, &mut Vec::new()), Handshake::Done);
        let hello = wire(&Redis::new().resp3().password("x"), |redis, out| _ = redis.greet(out));
        assert_eq!(hello, "*5 $5 HELLO $1 3 $4 AUTH $7 default $1 x ");
        assert_eq!(Redis::new().connected(&mut state, &mut Vec::new()), Handshake::Done);
    }

    #[test]
    fn a_refused_password_fails_the_handshake_with_the_servers_text() {
        let redis = Redis::new().password("wrong");
        let mut state = RedisState::default();
        redis.connected(&mut state, &mut Vec::new());
        let answer = redis.greeted(&mut state, Value::Error(b"WRONGPASS invalid"), &mut Vec::new());
        assert_eq!(answer, Handshake::Failed("WRONGPASS invalid".to_owned()));
    }

    #[test]
    fn a_reset_is_one_reply_when_the_handshake_behind_it_was_answered() {
        let redis = Redis::new().password("secret").database(1);
        let mut state = RedisState::default();
        redis.reset(&mut state, &mut Vec::new());
        // The reply to a request of the lease.
        assert_eq!(redis.receive(&mut state, Value::Integer(7)), Incoming::Reply(Value::Integer(7)));
        assert_eq!(redis.receive(&mut state, Value::Simple(b"RESET")), Incoming::Ignore);
        assert_eq!(redis.receive(&mut state, Value::Simple(b"OK")), Incoming::Ignore);
        assert_eq!(redis.receive(&mut state, Value::Simple(b"OK")), Incoming::Reply(Value::Null));
        assert_eq!(redis.receive(&mut state, Value::Integer(8)), Incoming::Reply(Value::Integer(8)));
        let mut old = RedisState::default();
        redis.reset(&mut old, &mut Vec::new());
        let unknown = redis.receive(&mut old, Value::Error(b"ERR unknown command 'RESET'"));
        assert!(matches!(unknown, Incoming::Broken(_)));
    }

    #[test]
    fn a_confirmed_subscription_is_a_reply_and_a_message_of_it_is_not() {
        let (redis, mut state) = (Redis::new().resp3(), RedisState::default());
        let push = |kind: &'static [u8]| Value::Push(vec![Value::Bulk(kind), Value::Bulk(b"news"), Value::Integer(1)]);
        assert!(matches!(redis.receive(&mut state, push(b"subscribe")), Incoming::Reply(_)));
        assert!(matches!(redis.receive(&mut state, push(b"message")), Incoming::Push(_)));
        redis.reset(&mut state, &mut Vec::new());
        assert!(matches!(redis.receive(&mut state, push(b"message")), Incoming::Ignore));
        assert!(matches!(redis.receive(&mut state, push(b"unsubscribe")), Incoming::Reply(_)));
        assert!(matches!(redis.receive(&mut state, Value::Simple(b"RESET")), Incoming::Ignore));
    }

    #[test]
    fn a_command_without_words_is_refused_because_it_has_no_reply() {
        assert!(!Redis::new().encode(&[], 0, &mut Vec::new()));
    }
}
