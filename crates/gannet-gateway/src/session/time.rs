//! What happens to a session because time passes: pings, missing pongs, and ends that nobody has put off.

use std::time::Duration;

use gannet_proto::centrifuge::{PushEvent, Unsubscribe, UnsubscribeCode};

use super::codes::Disconnect;
use super::{Client, Effects, Expiring, Extra, Flags, Link, Place, Waiting};
use crate::hub::{Hub, Pace};
use crate::rules::Question;
use crate::wire::Wire;

/// The longest time until a session is looked at again.
const LONGEST: Duration = Duration::from_secs(60);

/// The time until the application is asked again that gave no answer to use. Between two questions a connection is read.
const RETRY: Duration = Duration::from_secs(2);

/// The time between two looks at a connection that waits for the application. What became due meanwhile is late by this at
/// most.
pub(super) const WATCH: Duration = Duration::from_secs(1);

impl Hub {
    /// Does what is due.
    pub fn due(&mut self, place: Place, link: &mut Link) -> Effects {
        self.out.clear();
        let (now_ms, now_s) = (self.clock_ms, self.now_s());
        let gateway = self.gateway.clone();
        let grace_s = self.grace_s();
        let key = match link {
            Link::Fresh => return self.end(place, link, Disconnect::STALE),
            // The application has not answered. What is due is looked at when it has.
            Link::Away => return Effects { next: Some(WATCH), ..Effects::default() },
            Link::Refused { until_ms } => match until_ms.wrapping_sub(now_ms).cast_signed() {
                ..=0 => return self.end(place, link, Disconnect::STALE),
                left_ms => return Effects { next: Some(milliseconds(left_ms)), ..Effects::default() },
            },
            Link::Gone => return Effects::default(),
            Link::Up(key) => *key,
        };
        let Some(pace) = self.roster.value(key).map(|client| client.pace) else { return Effects::default() };
        let Pace { ping_ms: interval_ms, pong_ms } = self.pace_of(pace);
        let Some(client) = self.roster.value(key) else { return Effects::default() };
        let passed_ms = now_ms.wrapping_sub(client.ping_ms).cast_signed();
        let mut ping = false;
        if client.flags.has(Flags::AWAITS_PONG) {
            if passed_ms >= pong_ms.cast_signed() {
                return self.end(place, link, Disconnect::NO_PONG);
            }
        } else if interval_ms > 0 && passed_ms >= 0 {
            ping = true;
            if client.flags.has(Flags::ONE_WAY) {
                client.ping_ms = now_ms.wrapping_add(interval_ms);
            } else {
                client.ping_ms = now_ms;
                client.flags.set(Flags::AWAITS_PONG);
            }
        }
        let expired = client.expires_s != 0 && client.expires_s <= now_s;
        if expired && client.expires_s.saturating_add(grace_s) <= now_s {
            return self.end(place, link, Disconnect::EXPIRED);
        }
        let asks_refresh = expired && client.flags.has(Flags::SERVER_REFRESH);
        let over = self
            .extras
            .get(&key)
            .and_then(|extra| extra.expiring.iter().find(|expiring| expiring.at_s.saturating_add(grace_s) <= now_s));
        if let Some(over) = over {
            let channel = over.channel.clone();
            let effects = self.expire_subscription(place, link, &channel);
            if effects.close.is_some() {
                return effects;
            }
        }
        if ping {
            self.put_ping(place.wire);
        }
        let asks_now =
            self.roster.value(key).and_then(|client| asks_now(client, self.extras.get_mut(&key), asks_refresh, now_s));
        let Some(asked) = asks_now else { return Effects { next: self.next_look(link), ..Effects::default() } };
        let ask = match asked {
            // A command that came by a request may wait for the application: one question after the other.
            _ if self.waiting.contains_key(&place.handle) => None,
            Asked::Subscription(channel) => gateway.question_sub_refresh(self, key, place.wire, &channel),
            Asked::Connection => gateway.question_refresh(self, key, place.wire),
        };
        self.asks(place, link, ask)
    }

    /// Waits for an answer of the application, if it can be asked; otherwise tries again soon.
    fn asks(&mut self, place: Place, link: &Link, ask: Option<Box<Question>>) -> Effects {
        if ask.is_some() {
            self.waiting.insert(place.handle, Waiting::default());
        }
        let next = self.next_look(link).map(|next| next.min(RETRY));
        Effects { ask, next, ..Effects::default() }
    }

    /// Tells when a client is looked at whose answer its transport did not wait for, in seconds since the UNIX epoch. `None` if
    /// the transport's own timer or an earlier look is in time.
    pub(crate) fn late_look(&mut self, link: &Link, next: Option<Duration>) -> Option<u32> {
        let at_s = u32::try_from((self.now + next?).0.div_ceil(1_000)).unwrap_or(u32::MAX);
        let now_s = self.now_s();
        // Nothing else than an expiry comes sooner than the next ping.
        let Link::Up(own) = link else { return None };
        let extra = self.extras.get_mut(own).filter(|extra| !extra.expiring.is_empty())?;
        if extra.look_s > now_s && extra.look_s <= at_s {
            return None;
        }
        extra.look_s = at_s;
        Some(at_s)
    }

    /// A subscription has expired: the client subscribes again; of one that the server made, it connects again.
    pub(super) fn expire_subscription(&mut self, place: Place, link: &mut Link, channel: &str) -> Effects {
        let Link::Up(key) = *link else { return Effects::default() };
        let server_side = self.extras.get(&key).is_some_and(|extra| {
            extra.expiring.iter().any(|expiring| &*expiring.channel == channel && expiring.server_side)
        });
        if server_side || place.wire == Wire::EventSource {
            return self.end(place, link, Disconnect::SUBSCRIPTION_EXPIRED);
        }
        self.exit(key, channel);
        let why = Unsubscribe::from(UnsubscribeCode::Expired);
        self.put_push(place.wire, channel, PushEvent::Unsubscribe(why));
        Effects { next: self.next_look(link), ..Effects::default() }
    }

    /// Tells when something may be due next.
    pub(super) fn next_look(&mut self, link: &Link) -> Option<Duration> {
        self.due_sooner = false;
        let (now_ms, now) = (self.clock_ms, self.now);
        let grace_s = self.grace_s();
        if let Link::Refused { until_ms } = *link {
            return Some(milliseconds(until_ms.wrapping_sub(now_ms).cast_signed()));
        }
        let Pace { ping_ms: interval_ms, pong_ms } =
            self.client(link).map(|client| client.pace).map(|own| self.pace_of(own))?;
        let client = self.client(link)?;
        let ping_ms =
            if client.flags.has(Flags::AWAITS_PONG) { client.ping_ms.wrapping_add(pong_ms) } else { client.ping_ms };
        let mut next = match interval_ms {
            0 => LONGEST,
            _ => milliseconds(ping_ms.wrapping_sub(now_ms).cast_signed()),
        };
        let until = |at_s: u32| Duration::from_millis((u64::from(at_s) * 1_000).saturating_sub(now.0));
        if client.expires_s != 0 {
            let asks = client.flags.has(Flags::SERVER_REFRESH) && client.expires_s > (now.0 / 1_000) as u32;
            next = next.min(until(if asks { client.expires_s } else { client.expires_s.saturating_add(grace_s) }));
        }
        let Link::Up(key) = link else { return None };
        for expiring in self.extras.get(key).iter().flat_map(|extra| &extra.expiring) {
            let asks = expiring.server_refresh && u64::from(expiring.at_s) > now.0 / 1_000;
            next = next.min(until(if asks { expiring.at_s } else { expiring.at_s.saturating_add(grace_s) }));
        }
        Some(next.clamp(Duration::from_millis(1), LONGEST))
    }
}

/// What the application is asked about by itself.
enum Asked {
    /// How long the connection may last.
    Connection,
    /// How long the subscription to this channel may last.
    Subscription(Box<str>),
}

/// Picks what the application is asked about now. Each that is due gets its turn, however often the others fail.
fn asks_now(client: &mut Client, extra: Option<&mut Extra>, connection: bool, now_s: u32) -> Option<Asked> {
    if connection && !client.flags.has(Flags::ASKED_REFRESH) {
        client.flags.set(Flags::ASKED_REFRESH);
        return Some(Asked::Connection);
    }
    client.flags.clear(Flags::ASKED_REFRESH);
    let due = |own: &Expiring| own.server_refresh && own.at_s <= now_s;
    if let Some(extra) = extra
        && let Some(at) = extra.expiring.iter().position(due)
    {
        let asked = extra.expiring.remove(at);
        let channel = asked.channel.clone();
        extra.expiring.push(asked);
        return Some(Asked::Subscription(channel));
    }
    connection.then_some(Asked::Connection)
}

/// A time that is left; zero if it is over.
fn milliseconds(left: i32) -> Duration {
    Duration::from_millis(u64::try_from(left).unwrap_or(0))
}
