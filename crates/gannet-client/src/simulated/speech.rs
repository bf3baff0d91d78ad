//! Two protocols and their servers: one whose replies come in order, and one whose replies have numbers.

use gannet::proto::resp::{Commands, CommandsState};
use gannet::proto::{Codec as _, Decoded, LengthPrefixed};

use crate::calling::Calling;
use crate::client::{Client, Pool};
use crate::error::CallError;
use crate::lease::PoolLease;
use crate::promise::Pending;
use crate::protocol::{Incoming, Message, Protocol};
use crate::redis::{OwnedValue, Redis};
use crate::shared::CallOptions;

/// A request as a server understands it.
pub(super) struct Asked {
    number: [u8; 8],
    text: Vec<u8>,
    /// The pool asks for itself: a handshake, a ping, a reset.
    pub(super) is_own: bool,
}

/// A protocol with its server, whose requests are texts that come back.
pub(super) trait Speech: Protocol {
    type ServerState: Default;

    /// A reply has the number of its request.
    const TELLS_REPLIES_APART: bool;

    /// Takes a request off the front of what a server has received.
    fn hear(state: &mut Self::ServerState, received: &mut Vec<u8>) -> Option<Asked>;

    fn reply(asked: &Asked) -> Vec<u8>;

    fn call(pool: &Pool<Self>, text: &[u8], options: CallOptions) -> Calling<Self>;

    fn call_leased(lease: &PoolLease<Self>, text: &[u8], options: CallOptions) -> Calling<Self>;

    fn begin(client: &Client<Self>, text: &[u8], options: CallOptions) -> Result<Pending<Self::Owned>, CallError>;

    fn text(reply: &Self::Owned) -> &[u8];
}

impl Speech for Redis {
    type ServerState = CommandsState;

    const TELLS_REPLIES_APART: bool = false;

    fn hear(state: &mut CommandsState, received: &mut Vec<u8>) -> Option<Asked> {
        let (words, consumed): (Vec<Vec<u8>>, usize) = match Commands::new().decode(state, received) {
            Ok(Decoded::Message { message, consumed }) => {
                (message.iter().map(|word| word.to_vec()).collect(), consumed)
            }
            Ok(_) => return None,
            Err(error) => panic!("a pool sends no such thing: {error}"),
        };
        received.drain(..consumed);
        let is_own = words[0] != b"ECHO";
        Some(Asked { number: [0; 8], text: words.into_iter().next_back().unwrap_or_default(), is_own })
    }

    fn reply(asked: &Asked) -> Vec<u8> {
        let text = String::from_utf8_lossy(&asked.text);
        match (asked.is_own, &*text) {
            (true, "RESET") => b"+RESET\r\n".to_vec(),
            (true, "PING") => b"+PONG\r\n".to_vec(),
            (true, _) => b"+OK\r\n".to_vec(),
            (false, text) => format!("${}\r\n{text}\r\n", text.len()).into_bytes(),
        }
    }

    fn call(pool: &Pool<Self>, text: &[u8], options: CallOptions) -> Calling<Self> {
        pool.call_with(&[b"ECHO", text], options)
    }

    fn call_leased(lease: &PoolLease<Self>, text: &[u8], options: CallOptions) -> Calling<Self> {
        lease.call_with(&[b"ECHO", text], options)
    }

    fn begin(client: &Client<Self>, text: &[u8], options: CallOptions) -> Result<Pending<OwnedValue>, CallError> {
        client.begin(&[b"ECHO", text], options)
    }

    fn text(reply: &OwnedValue) -> &[u8] {
        reply.as_bytes().unwrap_or(b"no text")
    }
}

/// Frames with a length, in which the server sends back the eight bytes that a request begins with.
pub(super) struct Numbered;

impl Protocol for Numbered {
    type Codec = LengthPrefixed;
    type State = ();
    type Request<'a> = &'a [u8];
    type Reply<'m> = &'m [u8];
    type Owned = Vec<u8>;

    const PIPELINES: bool = true;
    const PINGS: bool = true;

    fn encode(&self, request: &[u8], key: u64, out: &mut Vec<u8>) -> bool {
        self.codec().encode(&[&key.to_be_bytes(), request], out).is_ok()
    }

    fn receive<'m>(&self, (): &mut (), frame: Message<'m, Self>) -> Incoming<&'m [u8]> {
        match frame.split_first_chunk() {
            Some((key, reply)) => Incoming::Keyed(u64::from_be_bytes(*key), reply),
            None => Incoming::Broken("a reply without its number"),
        }
    }

    fn copied(&self, reply: &[u8]) -> Vec<u8> {
        reply.to_vec()
    }

    fn ping(&self, out: &mut Vec<u8>) {
        self.encode(b"", 0, out);
    }
}

impl Speech for Numbered {
    type ServerState = <LengthPrefixed as gannet::proto::Codec>::State;

    const TELLS_REPLIES_APART: bool = true;

    fn hear(state: &mut Self::ServerState, received: &mut Vec<u8>) -> Option<Asked> {
        let (number, text, consumed) = match Numbered.codec().decode(state, received) {
            Ok(Decoded::Message { message, consumed }) => {
                let (number, text) = message.split_first_chunk().expect("a request has a number");
                (*number, text.to_vec(), consumed)
            }
            Ok(_) => return None,
            Err(error) => panic!("a pool sends no such thing: {error}"),
        };
        received.drain(..consumed);
        Some(Asked { number, is_own: text.is_empty(), text })
    }

    fn reply(asked: &Asked) -> Vec<u8> {
        let mut out = Vec::new();
        Numbered.codec().encode(&[&asked.number, &asked.text], &mut out).expect("it is short");
        out
    }

    fn call(pool: &Pool<Self>, text: &[u8], options: CallOptions) -> Calling<Self> {
        pool.call_with(text, options)
    }

    fn call_leased(lease: &PoolLease<Self>, text: &[u8], options: CallOptions) -> Calling<Self> {
        lease.call_with(text, options)
    }

    fn begin(client: &Client<Self>, text: &[u8], options: CallOptions) -> Result<Pending<Vec<u8>>, CallError> {
        client.begin(text, options)
    }

    fn text(reply: &Vec<u8>) -> &[u8] {
        reply
    }
}
