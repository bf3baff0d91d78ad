//! The commands of a frame, one after the other.

use gannet_proto::centrifuge::{Command, ReplyBody, Request};

use super::codes::{Disconnect, ErrorReply};
use super::time::WATCH;
use super::{Effects, Flags, Flow, Link, Place, Waiting};
use crate::hub::Hub;
use crate::rules::Answer;
use crate::wire::Wire;

/// Commands over the rate that a client may send one after the other, each answered with an error, before it is closed.
const MOST_EXCESS: u8 = 100;

/// Bytes of a reply that cost as much as a command: 400 commands in one frame must not ask for 400 MiB.
const COMMAND_BYTES: usize = 8 << 10;

impl Hub {
    /// Carries out the commands of a frame from one on, the first of them with an answer of the application.
    pub(super) fn run(
        &mut self,
        place: Place,
        link: &mut Link,
        frame: &[u8],
        from: usize,
        mut answer: Option<Answer>,
    ) -> Effects {
        if place.wire.is_one_way() {
            return self.run_one_way(place, link, frame, answer);
        }
        let was_up = matches!(link, Link::Up(_));
        let mut count = 0;
        for command in place.wire.format().commands(frame).skip(from) {
            let Ok(command) = command else { return self.end(place, link, Disconnect::BAD_REQUEST) };
            let before = self.out.len();
            match self.command(place, link, &command, answer.take()) {
                Flow::Next => self.charge(link, self.out.len().saturating_sub(before)),
                Flow::Close(why) => return self.end(place, link, why),
                Flow::Ask(question) => {
                    let waiting = Waiting { frame: frame.to_vec(), done: from + count };
                    self.waiting.insert(place.handle, waiting);
                    return Effects { ask: Some(question), next: Some(WATCH), ..Effects::default() };
                }
            }
            count += 1;
        }
        if count == 0 && from == 0 {
            return self.end(place, link, Disconnect::BAD_REQUEST);
        }
        if was_up { self.went_on(link) } else { Effects { next: self.next_look(link), ..Effects::default() } }
    }

    /// Returns what is left after commands of a client that had connected before: its timer goes on as it was, unless something
    /// may be due sooner now.
    pub(super) fn went_on(&mut self, link: &Link) -> Effects {
        let next = if std::mem::take(&mut self.due_sooner) { self.next_look(link) } else { None };
        Effects { next, ..Effects::default() }
    }

    /// Carries out the only thing that a client says which only listens: its request to connect.
    fn run_one_way(&mut self, place: Place, link: &mut Link, frame: &[u8], answer: Option<Answer>) -> Effects {
        let request = place.wire.format().connect_request(frame);
        let (Link::Fresh, Ok(request)) = (&*link, request) else {
            return self.end(place, link, Disconnect::BAD_REQUEST);
        };
        match self.connect(place, link, 1, &request, answer) {
            Flow::Next => Effects { next: self.next_look(link), ..Effects::default() },
            Flow::Close(why) => self.end(place, link, why),
            Flow::Ask(question) => {
                self.waiting.insert(place.handle, Waiting { frame: frame.to_vec(), done: 0 });
                Effects { ask: Some(question), next: Some(WATCH), ..Effects::default() }
            }
        }
    }

    /// Carries out one command, of a transport without frames.
    pub fn receive_command(&mut self, place: Place, link: &mut Link, command: &Command<'_>) -> Effects {
        self.out.clear();
        let was_up = matches!(link, Link::Up(_));
        match self.command(place, link, command, None) {
            Flow::Next => {
                self.charge(link, self.out.len());
                if was_up { self.went_on(link) } else { Effects { next: self.next_look(link), ..Effects::default() } }
            }
            Flow::Close(why) => self.end(place, link, why),
            Flow::Ask(question) => {
                let mut frame = Vec::new();
                place.wire.format().write_command(&mut frame, command);
                self.waiting.insert(place.handle, Waiting { frame, done: 0 });
                Effects { ask: Some(question), next: Some(WATCH), ..Effects::default() }
            }
        }
    }

    fn command(&mut self, place: Place, link: &mut Link, command: &Command<'_>, answer: Option<Answer>) -> Flow {
        let key = match (&*link, &command.request) {
            (Link::Fresh, Request::Connect(request)) if command.id > 0 => {
                return self.connect(place, link, command.id, request, answer);
            }
            (Link::Up(_), Request::Connect(_)) | (Link::Fresh, _) => return Flow::Close(Disconnect::BAD_REQUEST),
            (Link::Refused { .. } | Link::Gone | Link::Away, _) => return Flow::Close(Disconnect::BAD_REQUEST),
            (Link::Up(key), _) => *key,
        };
        if command.is_pong() {
            return self.pong(key);
        }
        let id = command.id;
        if id == 0 && !matches!(command.request, Request::Send(_)) {
            return Flow::Close(Disconnect::BAD_REQUEST);
        }
        // What waited for the application has paid before.
        if answer.is_none()
            && let Some(refused) = self.pay(place.wire, key, id)
        {
            return refused;
        }
        match &command.request {
            Request::Empty | Request::Connect(_) => Flow::Close(Disconnect::BAD_REQUEST),
            Request::Ping => {
                self.put(place.wire, id, ReplyBody::Ping);
                Flow::Next
            }
            Request::Subscribe(request) => self.subscribe(place.wire, key, id, request, answer),
            Request::Unsubscribe(request) => self.unsubscribe(place.wire, key, id, &request.channel),
            Request::Publish(request) => self.publish(place.wire, key, id, request, answer),
            Request::Presence(request) => self.presence(place.wire, key, id, &request.channel),
            Request::PresenceStats(request) => self.presence_stats(place.wire, key, id, &request.channel),
            Request::History(request) => self.history(place.wire, key, id, request),
            // There is nobody to handle it.
            Request::Send(_) => Flow::Close(Disconnect::NOT_AVAILABLE),
            Request::Rpc(request) => self.rpc(place.wire, key, id, request, answer),
            Request::Refresh(request) => self.refresh(place.wire, key, id, &request.token, answer),
            Request::SubRefresh(request) => self.sub_refresh(place.wire, key, id, request, answer),
        }
    }

    /// Takes a token for a command, or says what becomes of one over the rate.
    fn pay(&mut self, wire: Wire, key: gannet_channels::ClientKey, id: u32) -> Option<Flow> {
        let (rate, now_ms) = (self.live.settings.client.commands, self.clock_ms);
        let Some(client) = self.roster.value(key) else { return Some(Flow::Close(Disconnect::BAD_REQUEST)) };
        if client.commands.take(rate, now_ms) {
            client.excess = 0;
            return None;
        }
        client.excess = client.excess.saturating_add(1);
        if client.excess > MOST_EXCESS {
            return Some(Flow::Close(Disconnect::TOO_MANY_REQUESTS));
        }
        Some(if id == 0 { Flow::Next } else { self.refuse(wire, id, &ErrorReply::TOO_MANY_REQUESTS) })
    }

    /// Has a client pay for what a reply is larger than most.
    fn charge(&mut self, link: &Link, bytes: usize) {
        let rate = self.live.settings.client.commands;
        if bytes >= COMMAND_BYTES
            && let Some(client) = self.client(link)
        {
            client.commands.owe(rate, bytes / COMMAND_BYTES);
        }
    }

    /// A ping was answered; or something was answered that nobody asked.
    fn pong(&mut self, key: gannet_channels::ClientKey) -> Flow {
        let now_ms = self.clock_ms;
        let Some(pace) = self.roster.value(key).map(|client| client.pace) else { return Flow::Next };
        let interval = self.pace_of(pace).ping_ms;
        let Some(client) = self.roster.value(key) else { return Flow::Next };
        if !client.flags.has(Flags::AWAITS_PONG) {
            return Flow::Close(Disconnect::BAD_REQUEST);
        }
        client.flags.clear(Flags::AWAITS_PONG);
        let round_trip_ms = now_ms.wrapping_sub(client.ping_ms);
        client.ping_ms = client.ping_ms.wrapping_add(interval);
        self.metrics().round_trips.record(std::time::Duration::from_millis(round_trip_ms.into()));
        Flow::Next
    }
}
