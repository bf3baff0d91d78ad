//! Commands on a connection: who one is, which protocol, which database, and the end.

use gannet::proto::resp::Version;

use super::client;
use crate::command::error::{Error, Outcome};
use crate::command::{Flags, number};
use crate::service::Session;
use crate::service::clients::Mark;
use crate::service::session::Replies;
use crate::service::table::{Command, entry, parent};
use crate::service::turn::Turn;
use crate::service::{pubsub, transaction};
use std::sync::atomic::Ordering;

/// The version of Redis that clients and tools take this for.
pub(crate) const REDIS_VERSION: &str = "7.2.0";

/// What may be done by who has not said the password.
const ANYTIME: Flags = Flags::FAST.and(Flags::NO_AUTH);

pub(crate) static COMMANDS: &[Command] = &[
    entry("ping", -1, Flags::FAST, ping),
    entry("echo", 2, Flags::FAST, echo),
    entry("hello", -1, ANYTIME, hello),
    entry("auth", -2, ANYTIME, auth),
    entry("select", 2, Flags::FAST, select),
    entry("quit", -1, ANYTIME, quit),
    entry("reset", 1, ANYTIME, reset),
    parent("client", -2, client::SUBCOMMANDS),
];

fn ping(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    match *turn.args {
        [_] | [_, _] if pubsub::is_restricted(turn.session) => pubsub::pong(turn),
        [_] => turn.reply().simple("PONG"),
        [_, text] => turn.reply().bulk(text),
        _ => return Err(Error::arity("ping")),
    }
    Ok(())
}

fn echo(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let text = turn.args[1];
    turn.reply().bulk(text);
    Ok(())
}

fn hello(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let mut version = turn.session.version;
    if let Some(word) = turn.args.get(1) {
        version = match number::integer(word) {
            Some(2) => Version::Resp2,
            Some(3) => Version::Resp3,
            Some(_) => return Err(Error::new("NOPROTO unsupported protocol version")),
            None => return Err(Error::new("ERR Protocol version is not an integer or out of range")),
        };
    }
    let (mut login, mut name, mut at) = (None, None, 2);
    while at < turn.args.len() {
        if turn.is(at, "AUTH") && at + 2 < turn.args.len() {
            login = Some((turn.args[at + 1], turn.args[at + 2]));
            at += 3;
        } else if turn.is(at, "SETNAME") && at + 1 < turn.args.len() {
            name = Some(turn.args[at + 1]);
            at += 2;
        } else {
            let option = String::from_utf8_lossy(turn.args[at]);
            return Err(Error::of(format!("ERR Syntax error in HELLO option '{option}'")));
        }
    }
    if let Some((user, password)) = login {
        log_in(turn, user, password)?;
    }
    if !turn.session.authenticated && turn.server().password.is_set() {
        return Err(Error::new(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> \
             option can be used to authenticate the client and select the RESP protocol version at the same time",
        ));
    }
    if let Some(name) = name {
        let name = client::valid_name(name)?;
        client::rename(turn, name);
    }
    set_version(turn.session, version);
    turn.session.switch_subscriptions(turn.cx);
    let id = turn.session.id() as i64;
    let reply = turn.reply();
    reply.set_version(version);
    reply.map(7);
    for (field, value) in [("server", "redis"), ("version", REDIS_VERSION)] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"proto");
    reply.integer(number_of(version).into());
    reply.bulk(b"id");
    reply.integer(id);
    for (field, value) in [("mode", "standalone"), ("role", "master")] {
        reply.bulk(field.as_bytes());
        reply.bulk(value.as_bytes());
    }
    reply.bulk(b"modules");
    reply.array(0);
    Ok(())
}

fn auth(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let (user, password) = match *turn.args {
        [_, _] if !turn.server().password.is_set() => {
            return Err(Error::new(
                "ERR AUTH <password> called without any password configured for the default user. Are you sure your \
                 configuration is correct?",
            ));
        }
        [_, password] => (&b"default"[..], password),
        [_, user, password] => (user, password),
        _ => return Err(Error::SYNTAX),
    };
    log_in(turn, user, password)?;
    turn.reply().ok();
    Ok(())
}

/// The only user is `default`, who may say anything where there is no password.
fn log_in(turn: &mut Turn<'_, '_, '_>, user: &[u8], password: &[u8]) -> Outcome {
    let known = &turn.server().password;
    if user != b"default" || (known.is_set() && !known.is(password)) {
        return Err(Error::new("WRONGPASS invalid username-password pair or user is disabled."));
    }
    turn.session.authenticated = true;
    turn.cx.codec_state().set_unauthenticated(false);
    Ok(())
}

fn select(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    let db = number::database(number::short(turn.args[1])?)?;
    set_db(turn.session, db);
    turn.reply().ok();
    Ok(())
}

fn quit(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    turn.reply().ok();
    turn.session.ending = true;
    Ok(())
}

fn reset(turn: &mut Turn<'_, '_, '_>) -> Outcome {
    transaction::end(turn.session);
    turn.session.end_subscriptions(turn.cx);
    let session = &mut *turn.session;
    set_db(session, 0);
    set_version(session, Version::Resp2);
    session.replies = Replies::On;
    session.wants_notices = false;
    session.authenticated = !turn.service.server.password.is_set();
    turn.cx.codec_state().set_unauthenticated(!session.authenticated);
    client::rename(turn, String::new());
    if let Some(client) = turn.client() {
        client.mark(Mark::NoEvict, false);
        client.mark(Mark::NoTouch, false);
    }
    turn.reply().simple("RESET");
    Ok(())
}

fn set_db(session: &mut Session, db: u8) {
    session.db = db;
    if let Some(client) = &session.client {
        client.db.store(db, Ordering::Relaxed);
    }
}

fn set_version(session: &mut Session, version: Version) {
    session.version = version;
    if let Some(client) = &session.client {
        client.version.store(number_of(version), Ordering::Relaxed);
    }
}

fn number_of(version: Version) -> u8 {
    match version {
        Version::Resp2 => 2,
        Version::Resp3 => 3,
    }
}
