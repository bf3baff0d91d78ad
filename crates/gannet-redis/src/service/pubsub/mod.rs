//! Publish and subscribe.
//!
//! A subscriber joins the engine's group of its channel or pattern, so a message is encoded once for each version of
//! the protocol and shared by the outboxes of all who get it, on all reactors. A subscriber that reads too slowly meets
//! its own outbox's limit and is closed; no publisher waits for it.

pub(crate) mod channels;
mod message;
pub(crate) mod registry;
pub(crate) mod subscriptions;

use std::sync::atomic::Ordering;
use std::time::Duration;

use gannet::Context;
use gannet::proto::resp::Version;

use self::message::Reason;
use self::registry::{Audience, Kind};
use super::Redis;
use super::commands::help;
use super::server::Server;
use super::session::{Replies, Session};
use super::turn::Turn;
use crate::command::call::Reply;
use crate::command::error::{Error, Outcome};
use crate::command::{Flags, KeyWords};
use crate::service::table::{Command, entry, naming_keys, parent};

/// An entry for a command on shard channels, which `COMMAND` counts as keys.
const fn sharded(name: &'static str, arity: i16, flags: Flags, last: i8, run: Handler) -> Command {
    naming_keys(entry(name, arity, flags, run), KeyWords::Range(1, last, 1))
}

type Handler = fn(&mut Turn<'_, '_, '_>) -> Outcome;

pub(crate) static COMMANDS: &[Command] = &[
    entry("subscribe", -2, Flags::PUBSUB, |turn| subscribe(turn, Kind::Channel, "subscribe")),
    entry("psubscribe", -2, Flags::PUBSUB, |turn| subscribe(turn, Kind::Pattern, "psubscribe")),
    sharded("ssubscribe", -2, Flags::PUBSUB, -1, ssubscribe),
    entry("unsubscribe", -1, Flags::PUBSUB, |turn| unsubscribe(turn, Kind::Channel, "unsubscribe")),
    entry("punsubscribe", -1, Flags::PUBSUB, |turn| unsubscribe(turn, Kind::Pattern, "punsubscribe")),
    sharded("sunsubscribe", -1, Flags::PUBSUB, -1, |turn| unsubscribe(turn, Kind::Shard, "sunsubscribe")),
    entry("publish", 3, Flags::PUBSUB.and(Flags::FAST), publish),
    sharded("spublish", 3, Flags::PUBSUB.and(Flags::FAST), 1, spublish),
    parent("pubsub", -2, SUBCOMMANDS),
];

static SUBCOMMANDS: &[Command] = &[
    entry("pubsub|channels", -2, Flags::PUBSUB, |turn| names(turn, Kind::Channel)),
    entry("pubsub|numsub", -2, Flags::PUBSUB, |turn| counts(turn, Kind::Channel)),
    entry("pubsub|numpat", 2, Flags::PUBSUB, numpat),
    entry("pubsub|shardchannels", -2, Flags::PUBSUB, |turn| names(turn, Kind::Shard)),
    entry("pubsub|shardnumsub", -2, Flags::PUBSUB, |turn| counts(turn, Kind::Shard)),
    entry("pubsub|help", 2, Flags::NONE, |turn| help(turn, &HELP)),
];

/// Commands that a subscriber may send in RESP2, where a reply could not be told from a message.
const ALLOWED: [&str; 9] =
    ["subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe", "ping", "quit", "reset"];

/// Whether a connection is one that may only subscribe, unsubscribe and little else.
#[inline]
pub(crate) fn is_restricted(session: &Session) -> bool {
    session.subscriptions.is_some() && session.version == Version::Resp2
}

/// Says whether a restricted connection may send a command.
///
/// # Errors
///
/// It may not.
pub(crate) fn admit(command: &Command) -> Outcome {
    if ALLOWED.contains(&command.name) {
        return Ok(());
    }
    Err(Error::of(format!(
        "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
         context",
        command.name
    )))
}

/// PING's reply to a restricted connection.
pub(crate) fn pong(turn: &mut Turn<'_, '_, '_>) {
    let reply = &mut turn.service.reply;
    reply.array(2);
    reply.bulk(b"pong");
    reply.bulk(turn.args.get(1).copied().unwrap_or_default());
}

fn subscribe(turn: &mut Turn<'_, '_, '_>, kind: Kind, word: &str) -> Outcome {
    let Turn { args, service, session, cx, .. } = turn;
    let subscriptions = session.subscriptions(&service.server);
    let room = subscriptions.check_room(kind, &args[1..]);
    if room.is_ok() {
        for name in &args[1..] {
            // Each name has a reply of its own, which may be an error.
            match subscriptions.add(kind, name, cx) {
                Ok(()) => confirm(&mut service.reply, word, Some(name), subscriptions.count(kind)),
                Err(error) => service.reply.error(&error.0),
            }
        }
    }
    settle(turn);
    room
}

fn ssubscribe(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    // SUBSCRIBE is let through for the sake of old clients; nobody has ever had this one.
    if turn.session.in_exec {
        return Err(Error::new("ERR SSUBSCRIBE isn't allowed for a DENY BLOCKING client"));
    }
    subscribe(turn, Kind::Shard, "ssubscribe")
}

fn unsubscribe(turn: &mut Turn<'_, '_, '_>, kind: Kind, word: &str) -> Outcome {
    let Turn { args, service, session, cx, .. } = turn;
    let reply = &mut service.reply;
    let Some(subscriptions) = &mut session.subscriptions else {
        match &args[1..] {
            [] => confirm(reply, word, None, 0),
            names => names.iter().for_each(|name| confirm(reply, word, Some(name), 0)),
        }
        settle(turn);
        return Ok(());
    };
    if args.len() > 1 {
        for name in &args[1..] {
            subscriptions.remove(kind, name, cx);
            confirm(reply, word, Some(name), subscriptions.count(kind));
        }
    } else {
        let names = subscriptions.names(kind);
        for name in &names {
            subscriptions.remove(kind, name, cx);
            confirm(reply, word, Some(name), subscriptions.count(kind));
        }
        if names.is_empty() {
            confirm(reply, word, None, subscriptions.count(kind));
        }
    }
    settle(turn);
    Ok(())
}

/// What follows when subscriptions have begun or ended.
fn settle(turn: &mut Turn<'_, '_, '_>) {
    turn.session.settle_subscriptions();
    if turn.session.replies != Replies::On {
        // These are no replies: they are sent to a client that wants none, too.
        turn.service.flush(turn.session, turn.cx);
    }
}

/// Says that a subscription has begun or ended, and how many there are now.
fn confirm(reply: &mut Reply, word: &str, name: Option<&[u8]>, count: usize) {
    reply.push(3);
    reply.bulk(word.as_bytes());
    match name {
        Some(name) => reply.bulk(name),
        None => reply.null(),
    }
    reply.integer(count as i64);
}

fn publish(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let channel = turn.args[1];
    if let Some(published) = publish_elsewhere(turn) {
        turn.service.reply.integer(published? as i64);
        return Ok(());
    }
    let mut receivers = 0;
    if let Some(audience) = turn.service.server.registry.audience(Kind::Channel, channel) {
        receivers += deliver(turn, &audience, &Reason::Channel);
    }
    let mut looked_at = 0;
    for (pattern, audience) in turn.service.server.registry.matching(channel, &mut looked_at) {
        receivers += deliver(turn, &audience, &Reason::Pattern(&pattern));
    }
    turn.count_entries(looked_at);
    turn.service.reply.integer(receivers as i64);
    Ok(())
}

/// Publishes to a channel that exists outside the store too, if it does. The subscribers here get the message from there.
fn publish_elsewhere(turn: &mut Turn<'_, '_, '_>) -> Option<Result<u64, Error>> {
    let (channel, payload) = (turn.args[1], turn.args[2]);
    let server = turn.service.server.clone();
    let channels = server.channels()?;
    if !channels.has(channel) {
        return None;
    }
    send_before_message(turn);
    let published = channels.publish(channel, payload).map_err(|refusal| Error::of(format!("ERR {refusal}")));
    let (subscribers, looked_at) = server.subscribers(channel);
    turn.count_entries(looked_at);
    // What comes from outside goes through this reactor's mailbox, too.
    if server.is_crowded() {
        hold(turn.session, turn.cx);
    }
    Some(published.map(|receivers| receivers + subscribers))
}

fn spublish(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let audience = turn.service.server.registry.audience(Kind::Shard, turn.args[1]);
    let receivers = audience.map_or(0, |audience| deliver(turn, &audience, &Reason::Shard));
    turn.service.reply.integer(receivers as i64);
    Ok(())
}

/// Sends what is to be published to the subscribers of one name, and says how many they are.
fn deliver(turn: &mut Turn<'_, '_, '_>, audience: &Audience, reason: &Reason<'_>) -> u64 {
    send_before_message(turn);
    let (channel, payload) = (turn.args[1], turn.args[2]);
    let lost = message::send(audience, reason, channel, payload, |group, reply| turn.cx.broadcast(group, reply));
    turn.service.server.lost.fetch_add(lost, Ordering::Relaxed);
    if turn.cx.is_crowded() {
        hold(turn.session, turn.cx);
    }
    audience.len()
}

/// The publisher may be a subscriber: what was answered so far comes before the message, as EXEC's replies do.
fn send_before_message(turn: &mut Turn<'_, '_, '_>) {
    if turn.session.subscriptions.is_some() {
        turn.service.send_so_far(turn.session, turn.cx);
    }
}

/// How long a publisher waits until it is looked again whether another reactor has caught up.
const HOLD: Duration = Duration::from_millis(1);

/// Takes nothing more from a publisher that is quicker than a reactor can send. It waits for that reactor, and
/// never for a subscriber.
fn hold(session: &mut Session, cx: &mut Context<'_, Redis>) {
    session.held = true;
    cx.pause();
    cx.set_timer(HOLD);
}

/// The timer of a publisher that was held has fired.
pub(crate) fn held(server: &Server, session: &mut Session, cx: &mut Context<'_, Redis>) {
    if cx.is_crowded() || server.is_crowded() {
        hold(session, cx);
    } else {
        session.held = false;
        if !session.is_held() {
            cx.resume();
        }
    }
}

/// What PUBSUB HELP says of its subcommands.
const HELP: [&str; 11] = [
    "CHANNELS [<pattern>]",
    "    Return the currently active channels matching a <pattern> (default: '*').",
    "NUMPAT",
    "    Return number of subscriptions to patterns.",
    "NUMSUB [<channel> ...]",
    "    Return the number of subscribers for the specified channels, excluding",
    "    pattern subscriptions(default: no channels).",
    "SHARDCHANNELS [<pattern>]",
    "    Return the currently active shard level channels matching a <pattern> (default: '*').",
    "SHARDNUMSUB [<shardchannel> ...]",
    "    Return the number of subscribers for the specified shard level channel(s)",
];

fn names(turn: &mut Turn<'_, '_, '_>, kind: Kind) -> Outcome {
    let pattern = match turn.args[2..] {
        [] => None,
        [pattern] => Some(pattern),
        _ => {
            let word = String::from_utf8_lossy(turn.args[1]);
            return Err(Error::of(format!(
                "ERR unknown subcommand or wrong number of arguments for '{word}'. Try PUBSUB HELP."
            )));
        }
    };
    turn.count_entries(turn.service.server.registry.len(kind));
    let names = turn.service.server.registry.names(kind, pattern);
    turn.reply().array(names.len());
    names.iter().for_each(|name| turn.service.reply.bulk(name));
    Ok(())
}

fn counts(turn: &mut Turn<'_, '_, '_>, kind: Kind) -> Outcome {
    let names = &turn.args[2..];
    turn.reply().array(names.len() * 2);
    for name in names {
        let audience = turn.service.server.registry.audience(kind, name);
        turn.reply().bulk(name);
        turn.reply().integer(audience.map_or(0, |audience| audience.len()) as i64);
    }
    Ok(())
}

fn numpat(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let patterns = turn.service.server.registry.len(Kind::Pattern);
    turn.reply().integer(patterns as i64);
    Ok(())
}
