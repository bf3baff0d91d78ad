//! One client as a state machine: commands come in; replies, and what else has to be done, go out.
//!
//! No I/O and no clock. A transport calls [`Hub::receive`] with a frame, [`Hub::due`] when its timer fires,
//! [`Hub::answered`] when the application has answered, and [`Hub::closed`] at the end. Each leaves replies in
//! [`Hub`]'s `out`, and says in [`Effects`] what is left to do.

mod bucket;
pub mod codes;
mod commands;
mod connect;
mod events;
pub(crate) mod name;
mod orders;
mod refresh;
mod requests;
mod subscribe;
#[cfg(test)]
mod tests;
mod time;

use std::time::Duration;

use bytes::Bytes;
use gannet::Handle;
use gannet_channels::ClientKey;

pub use self::bucket::Bucket;
use self::codes::{Disconnect, ErrorReply};
pub(crate) use self::requests::{history_error, presence_error, publish_error};
use crate::hub::Hub;
use crate::rules::{Answer, Purpose, Question};
use crate::wire::Wire;

/// How far a client has come. A transport keeps one for each connection.
#[derive(Debug, Default)]
pub enum Link {
    /// It has not connected.
    #[default]
    Fresh,
    /// It is connected.
    Up(ClientKey),
    /// The hub has the link until the application has answered: see [`Hub::take_back`].
    Away,
    /// Its connect was answered with an error: it has until this time to close, by the clock of [`Hub`].
    Refused {
        /// In milliseconds; it wraps.
        until_ms: u32,
    },
    /// It is over: nothing more is heard or said.
    Gone,
}

/// The connection that a client is on.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// The engine's connection.
    pub handle: Handle,
    /// Format and framing.
    pub wire: Wire,
}

/// What is left to do after a call. Replies are in the hub's `out`, and go first.
#[derive(Debug, Default)]
pub struct Effects {
    /// Close the connection.
    pub close: Option<Disconnect>,
    /// Ask the application, and hear no more of the client until it has answered.
    pub ask: Option<Box<Question>>,
    /// Call [`Hub::due`] after this time, in place of a time said before.
    pub next: Option<Duration>,
}

/// What the channel space keeps for the gateway with each client.
#[derive(Debug)]
pub struct Client {
    pub(crate) handle: Handle,
    pub(crate) wire: Wire,
    /// When the connection ends unless it is refreshed, in seconds since the UNIX epoch; 0 is never.
    pub(crate) expires_s: u32,
    /// When it connected, in seconds since the UNIX epoch.
    pub(crate) since_s: u32,
    /// When the next ping is due, or was sent where its answer is awaited; by the clock of [`Hub::clock_ms`].
    pub(crate) ping_ms: u32,
    commands: Bucket,
    publications: Bucket,
    pub(crate) flags: Flags,
    /// Commands over the rate, one after the other.
    excess: u8,
    /// The number of the interval of pings that it was told.
    pub(crate) pace: u8,
}

const _: () = assert!(size_of::<Client>() == 44, "every client pays for it");

/// What few clients need. [`Hub`] has it, apart from the others.
#[derive(Debug, Default)]
pub(crate) struct Extra {
    /// Subscriptions that end unless they are refreshed.
    pub(crate) expiring: Vec<Expiring>,
    /// What the application wants to be told with each question about this client.
    pub(crate) meta: Option<Bytes>,
    /// The secret in the name of its session, by which requests to `/emulation` are known to be of this client.
    pub(crate) secret: u128,
    /// When the pump looks at the client, where its transport was not told; in seconds since the UNIX epoch, 0 is never.
    pub(crate) look_s: u32,
    /// Bytes that were sent since the outbox was over its high mark.
    pub(crate) over_bytes: u32,
}

/// A subscription that ends unless it is refreshed.
#[derive(Debug)]
pub(crate) struct Expiring {
    pub(crate) channel: Box<str>,
    /// In seconds since the UNIX epoch.
    pub(crate) at_s: u32,
    pub(crate) server_side: bool,
    /// Whether the application is asked for a longer life of it, not the client.
    pub(crate) server_refresh: bool,
}

/// What is or is not the case with a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    /// A ping was sent, and its answer is awaited.
    pub(crate) const AWAITS_PONG: Self = Self(1);
    /// The outbox is over its high mark.
    pub(crate) const FULL: Self = Self(1 << 1);
    /// The client only listens.
    pub(crate) const ONE_WAY: Self = Self(1 << 2);
    /// The application is asked for a longer life of the connection, not the client.
    pub(crate) const SERVER_REFRESH: Self = Self(1 << 3);
    /// The last question to the application by the server itself was about the connection.
    pub(crate) const ASKED_REFRESH: Self = Self(1 << 4);

    pub(crate) fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    pub(crate) fn set(&mut self, flag: Self) {
        self.0 |= flag.0;
    }

    pub(crate) fn clear(&mut self, flag: Self) {
        self.0 &= !flag.0;
    }
}

/// A frame that waits until the application has answered.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    frame: Vec<u8>,
    /// Commands of it that were carried out.
    done: usize,
}

/// What became of one command.
enum Flow {
    /// It was carried out, or refused with an error.
    Next,
    /// The connection is closed.
    Close(Disconnect),
    /// The application has to be asked before it can be carried out.
    Ask(Box<Question>),
}

impl Hub {
    /// Tells how long a new connection may wait with its first command: the first [`Effects::next`].
    #[must_use]
    pub fn patience(&self) -> Duration {
        self.live.settings.client.stale
    }

    /// Carries out the commands of a frame.
    pub fn receive(&mut self, place: Place, link: &mut Link, frame: &[u8]) -> Effects {
        self.out.clear();
        if let Some(waiting) = self.waiting.get_mut(&place.handle) {
            // Only what came by other connections: this one is not read meanwhile.
            if waiting.frame.len() + frame.len() > self.live.settings.client.frame {
                return self.end(place, link, Disconnect::TOO_MANY_REQUESTS);
            }
            if !place.wire.is_protobuf() {
                waiting.frame.push(b'\n');
            }
            waiting.frame.extend_from_slice(frame);
            return Effects::default();
        }
        self.run(place, link, frame, 0, None)
    }

    /// Goes on when somebody who was asked has answered.
    pub fn answered(&mut self, place: Place, link: &mut Link, answer: Answer) -> Effects {
        self.out.clear();
        let Some(Waiting { frame, done }) = self.waiting.remove(&place.handle) else { return Effects::default() };
        let effects = match answer {
            Answer { purpose: Purpose::Command, .. } => {
                // What was allowed belongs to the same trace as the question.
                self.trace = answer.trace;
                let effects = self.run(place, link, &frame, done, Some(answer));
                self.trace = None;
                return effects;
            }
            Answer { purpose: Purpose::Refresh, what, .. } => self.refreshed_by_server(place, link, what),
            Answer { purpose: Purpose::SubscriptionRefresh(channel), what, .. } => {
                self.subscription_refreshed_by_server(place, link, &channel, what)
            }
        };
        // What came by requests meanwhile.
        let came = frame.strip_prefix(b"\n").unwrap_or(&frame);
        if effects.close.is_some() || came.is_empty() { effects } else { self.run(place, link, came, 0, None) }
    }

    /// Gives a transport its link back, when the application has answered.
    pub fn take_back(&mut self, place: Place, link: &mut Link) {
        if matches!(link, Link::Away)
            && !self.waiting.contains_key(&place.handle)
            && let Some(own) = self.away.remove(&place.handle)
        {
            *link = own;
        }
    }

    /// The connection can take more, after its outbox was over its high mark.
    pub fn writable(&mut self, link: &Link) {
        let Link::Up(key) = *link else { return };
        if let Some(client) = self.roster.value(key) {
            client.flags.clear(Flags::FULL);
            if let Some(extra) = self.extras.get_mut(&key) {
                extra.over_bytes = 0;
            }
            self.flushes.push(key);
            self.gateway.wake(self.reactor);
        }
    }

    /// Replies were sent, and the outbox went over its high mark by that.
    pub fn filled(&mut self, link: &Link) {
        if let Some(client) = self.client(link) {
            client.flags.set(Flags::FULL);
        }
    }

    /// The connection is gone.
    pub fn closed(&mut self, place: Place, link: &mut Link) {
        self.waiting.remove(&place.handle);
        self.away.remove(&place.handle);
        self.headers.remove(&place.handle);
        self.forget_trace(place.handle);
        if let Link::Up(key) = std::mem::replace(link, Link::Gone) {
            self.leave(key, place.wire);
        }
    }

    /// Returns what few clients need, of one that is connected.
    pub(crate) fn extra(&mut self, key: ClientKey) -> &mut Extra {
        self.extras.entry(key).or_default()
    }

    /// Returns the client of a link, if it is connected.
    pub(crate) fn client(&mut self, link: &Link) -> Option<&mut Client> {
        match link {
            Link::Up(key) => self.roster.value(*key),
            Link::Fresh | Link::Away | Link::Refused { .. } | Link::Gone => None,
        }
    }

    /// Ends a session for a reason of the server's.
    pub(crate) fn end(&mut self, place: Place, link: &mut Link, why: Disconnect) -> Effects {
        self.gateway.metrics.disconnects.count(why.code.into());
        self.closed(place, link);
        if place.wire.pushes_its_end() {
            self.put_disconnect(place.wire, &why);
        }
        Effects { close: Some(why), ..Effects::default() }
    }

    /// Takes a client out of the channel space.
    pub(crate) fn leave(&mut self, key: ClientKey, wire: Wire) {
        let now = self.now;
        if self.roster.value(key).is_some() {
            self.roster.disconnect(key, now);
            self.extras.remove(&key);
            self.metrics().clients[wire as usize].sub(1);
        }
    }

    /// Refuses a command with an error.
    fn refuse(&mut self, wire: Wire, id: u32, error: &ErrorReply) -> Flow {
        self.gateway.metrics.errors.count(error.code);
        self.put_error(wire, id, error);
        Flow::Next
    }
}
