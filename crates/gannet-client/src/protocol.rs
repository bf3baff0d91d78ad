//! What a pool has to know of a protocol.

use gannet::proto::Codec;

/// The type of the messages that a protocol's codec decodes.
pub type Message<'m, P> = <<P as Protocol>::Codec as Codec>::Message<'m>;

/// Describes a protocol to a pool: how a connection begins, how requests are written, and which messages are replies.
///
/// [`Redis`](crate::Redis), [`Http`](crate::Http) and [`Lines`](crate::Lines) implement it. One value serves all
/// connections of a pool; what is known of one connection is its [`State`](Self::State).
///
/// # Add a protocol
///
/// 1. Take a codec for the messages, or [write one](gannet::proto::Codec).
/// 2. Write requests in [`encode`](Self::encode), and say in [`receive`](Self::receive) what a message is.
/// 3. Set [`PIPELINES`](Self::PIPELINES) if the server takes a request before it has answered the one before. Replies then
///    come in the order of the requests, unless they carry the request's key ([`Incoming::Keyed`]).
/// 4. Give it a [`ping`](Self::ping) if the protocol has one: it finds connections that are open but dead.
/// 5. Give it a [`reset`](Self::reset) if the protocol has one, so that a connection can be used again after a lease.
/// 6. Begin connections in [`connected`](Self::connected) and [`greeted`](Self::greeted) if there is a handshake.
///
/// ```
/// use gannet::proto;
/// use gannet_client::{Incoming, Message, Protocol};
///
/// /// Frames with a length, in which the server sends back the eight bytes that a request begins with.
/// struct Numbered;
///
/// impl Protocol for Numbered {
///     type Codec = proto::LengthPrefixed;
///     type State = ();
///     type Request<'a> = &'a [u8];
///     type Reply<'m> = &'m [u8];
///     type Owned = Vec<u8>;
///
///     const PIPELINES: bool = true;
///
///     fn encode(&self, request: &[u8], key: u64, out: &mut Vec<u8>) -> bool {
///         use gannet::proto::Codec as _;
///         self.codec().encode(&[&key.to_be_bytes(), request], out).is_ok()
///     }
///
///     fn receive<'m>(&self, _: &mut (), frame: Message<'m, Self>) -> Incoming<&'m [u8]> {
///         match frame.split_first_chunk() {
///             Some((key, reply)) => Incoming::Keyed(u64::from_be_bytes(*key), reply),
///             None => Incoming::Broken("a reply without its number"),
///         }
///     }
///
///     fn copied(&self, reply: &[u8]) -> Vec<u8> {
///         reply.to_vec()
///     }
/// }
/// ```
pub trait Protocol: Send + Sync + Sized + 'static {
    /// The codec of received messages.
    type Codec: Codec;

    /// What is known of one connection.
    type State: Default + 'static;

    /// A request, as a caller gives it. It may borrow.
    type Request<'a>;

    /// A reply, which may borrow from the receive buffer.
    type Reply<'m>;

    /// A reply that borrows nothing, for callers on other threads and in other services.
    type Owned: Send + 'static;

    /// Whether several requests may be in flight on one connection (default: no).
    const PIPELINES: bool = false;

    /// Whether there is a [`ping`](Self::ping) (default: no).
    const PINGS: bool = false;

    /// Whether there is a [`reset`](Self::reset) (default: no).
    const RESETS: bool = false;

    /// Returns the codec with its limits.
    fn codec(&self) -> Self::Codec {
        Self::Codec::default()
    }

    /// Writes a request. `key` is a number that no other request of the pool has.
    ///
    /// Returns false if the protocol cannot express the request; the call then fails with
    /// [`CallError::Unencodable`](crate::CallError::Unencodable).
    fn encode(&self, request: Self::Request<'_>, key: u64, out: &mut Vec<u8>) -> bool;

    /// Returns whether the server may execute the request twice without harm (default: no).
    ///
    /// Such a request is tried once more if its connection is lost.
    fn is_idempotent(&self, request: &Self::Request<'_>) -> bool {
        let _ = request;
        false
    }

    /// Begins the handshake on a connection that is open: writes what the client sends first (default: there is none).
    fn connected(&self, state: &mut Self::State, out: &mut Vec<u8>) -> Handshake {
        let _ = (state, out);
        Handshake::Done
    }

    /// Goes on with the handshake when a message has come (default: the server spoke out of turn).
    fn greeted(&self, state: &mut Self::State, message: Message<'_, Self>, out: &mut Vec<u8>) -> Handshake {
        let _ = (state, message, out);
        Handshake::Failed("the server spoke before it was asked".to_owned())
    }

    /// Says what a message is. After the handshake, every message comes here.
    ///
    /// Write the type of `message` as [`Message<'m, Self>`](Message), as the compiler wants it for this lifetime.
    fn receive<'m>(&self, state: &mut Self::State, message: Message<'m, Self>) -> Incoming<Self::Reply<'m>>;

    /// Copies a reply, for a caller elsewhere.
    fn copied(&self, reply: Self::Reply<'_>) -> Self::Owned;

    /// Writes a request whose only effect is a reply. Called if [`PINGS`](Self::PINGS).
    ///
    /// Where replies carry keys, its key is 0, and so is that of a reset.
    fn ping(&self, out: &mut Vec<u8>) {
        let _ = out;
    }

    /// Writes what makes a connection as new after a lease. Called if [`RESETS`](Self::RESETS).
    ///
    /// [`receive`](Self::receive) answers with one [`Incoming::Reply`] when all of it was answered.
    fn reset(&self, state: &mut Self::State, out: &mut Vec<u8>) {
        let _ = (state, out);
    }
}

/// Says how far a handshake is: the answer of [`Protocol::connected`] and [`Protocol::greeted`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// The server has to send something first.
    Wait,
    /// The connection takes requests.
    Done,
    /// The server refuses, for this reason. The connection closes, and the pool backs off.
    Failed(String),
}

/// Says what a message is: the answer of [`Protocol::receive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Incoming<R> {
    /// The reply to the oldest request in flight.
    Reply(R),
    /// The reply to the request with this key.
    Keyed(u64, R),
    /// The reply to the oldest request in flight; the server takes no further one on this connection.
    Last(R),
    /// Something that nobody asked for, as a message of a subscription.
    Push(R),
    /// Nothing that concerns a caller.
    Ignore,
    /// What the protocol does not allow. The connection closes.
    Broken(&'static str),
}
