//! CLIENT LIST and CLIENT INFO: a line about each connection.

use std::fmt::Write as _;
use std::sync::atomic::Ordering::Relaxed;

use gannet::Address;

use crate::command::error::{Error, Outcome};
use crate::command::number;
use crate::service::clients::{Client, Mark};
use crate::service::server::Server;
use crate::service::turn::Turn;

/// What a connection is for, as Redis tells its clients apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Normal,
    /// It has subscribed to something.
    PubSub,
    /// There is none of these here.
    Replication,
}

impl Kind {
    /// The kind with a name.
    pub(super) fn named(name: &[u8]) -> Result<Self, Error> {
        match name.to_ascii_lowercase().as_slice() {
            b"normal" => Ok(Self::Normal),
            b"pubsub" => Ok(Self::PubSub),
            b"master" | b"slave" | b"replica" => Ok(Self::Replication),
            _ => Err(Error::of(format!("ERR Unknown client type '{}'", String::from_utf8_lossy(name)))),
        }
    }

    pub(super) fn of(client: &Client) -> Self {
        let names = [&client.channels, &client.patterns, &client.shards];
        if names.iter().any(|count| count.load(Relaxed) > 0) { Self::PubSub } else { Self::Normal }
    }
}

pub(super) fn info(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let (now_s, own) = (turn.now_s(), Buffers::of(turn));
    let mut text = String::new();
    if let Some(client) = turn.client() {
        describe(&mut text, client, own, turn.server(), now_s);
    }
    turn.reply().verbatim(b"txt", text.as_bytes());
    Ok(())
}

pub(super) fn list(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let clients = match *turn.args {
        [_, _] => turn.server().clients.all(),
        [_, _, _, kind] if turn.is(2, "TYPE") => {
            let kind = Kind::named(kind)?;
            let all = turn.server().clients.all();
            turn.count_entries(all.len());
            all.into_iter().filter(|client| Kind::of(client) == kind).collect()
        }
        [_, _, _, ref ids @ ..] if turn.is(2, "ID") && !ids.is_empty() => {
            let mut clients = Vec::new();
            for id in ids {
                let id = number::integer(id).ok_or(Error::new("ERR Invalid client ID"))?;
                clients.extend(u64::try_from(id).ok().and_then(|id| turn.server().clients.find(id)));
            }
            clients
        }
        _ => return Err(Error::SYNTAX),
    };
    let (now_s, own) = (turn.now_s(), Buffers::of(turn));
    let mut text = String::new();
    for client in clients {
        let buffers = if client.id == turn.session.id() { own } else { Buffers::default() };
        describe(&mut text, &client, buffers, turn.server(), now_s);
    }
    turn.reply().verbatim(b"txt", text.as_bytes());
    Ok(())
}

/// Where a client comes from. A Unix socket's has no address: then it is where it came to.
pub(super) fn address(client: &Client, server: &Server) -> String {
    match client.peer.address() {
        Some(address) => address.to_string(),
        None => local_address(client, server),
    }
}

/// Which of the server's addresses a client came to, where that is known.
pub(super) fn local_address(client: &Client, server: &Server) -> String {
    let bound = server.bound();
    match bound.get(client.listener).map(|bound| &bound.address) {
        Some(Address::Tcp(address) | Address::Tls(address)) => address.to_string(),
        Some(Address::Unix(path)) => format!("{}:0", path.display()),
        _ => String::new(),
    }
}

/// What a connection's buffers hold, in bytes. Only its own reactor knows that: it is not told of others, and 0.
#[derive(Clone, Copy, Default)]
struct Buffers {
    /// What was received and is not decoded.
    received: usize,
    /// The words of the command.
    words: usize,
    /// What is to be sent.
    to_send: usize,
}

impl Buffers {
    /// Of the connection that asks.
    fn of(turn: &Turn<'_, '_, '_>) -> Self {
        let words = turn.args.iter().map(|word| word.len()).sum();
        Self { received: turn.cx.waiting_len(), words, to_send: turn.cx.outbox_len() }
    }
}

/// The line of a client, as Redis 7.2 writes it. Descriptors are the driver's.
fn describe(text: &mut String, client: &Client, buffers: Buffers, server: &Server, now_s: u32) {
    let names = client.names();
    let (channels, patterns) = (client.channels.load(Relaxed), client.patterns.load(Relaxed));
    let shards = client.shards.load(Relaxed);
    let queued = i64::from(client.queued.load(Relaxed)) - 1;
    let queued_bytes = client.queued_bytes.load(Relaxed) as usize;
    let Buffers { received, words, to_send } = buffers;
    let mut flags = String::new();
    for (flag, on) in [
        ('P', Kind::of(client) == Kind::PubSub),
        ('x', queued >= 0),
        ('d', names.watched.upgrade().is_some_and(|changed| changed.load(Relaxed))),
        ('c', client.has(Mark::Closing)),
        ('U', client.peer.address().is_none()),
        ('e', client.has(Mark::NoEvict)),
        ('T', client.has(Mark::NoTouch)),
    ] {
        if on {
            flags.push(flag);
        }
    }
    if flags.is_empty() {
        flags.push('N');
    }
    // Writing to a string does not fail.
    let _ = writeln!(
        text,
        "id={} addr={} laddr={} fd=-1 name={} age={} idle={} flags={flags} db={} sub={channels} psub={patterns} ssub={shards} \
         multi={queued} qbuf={received} qbuf-free=0 argv-mem={words} multi-mem={queued_bytes} rbs=0 rbp=0 obl={to_send} \
         oll=0 omem={to_send} tot-mem={} events=r cmd={} user=default redir=-1 resp={} lib-name={} lib-ver={}",
        client.id,
        address(client, server),
        local_address(client, server),
        names.name,
        now_s.saturating_sub(client.opened_s),
        now_s.saturating_sub(client.last_s()),
        client.db.load(Relaxed),
        received + words + queued_bytes + to_send,
        client.last().map_or("NULL", |command| command.name),
        client.version.load(Relaxed),
        names.lib_name,
        names.lib_version,
    );
}
