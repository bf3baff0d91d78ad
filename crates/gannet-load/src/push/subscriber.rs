//! What clients hear: replies to their commands, and publications.

use gannet::Context;
use gannet::proto::centrifuge::{
    Command, Publication, Push, PushEvent, Reply, ReplyBody, Request, SubscribeRequest, SubscribeResult,
};

use super::client::{CONNECT_ID, Client};
use super::session::{Session, Stage};
use crate::plan::{Mode, Phase};
use crate::scenario::push::{Channel, Payload};

/// From this code on, a client whose subscription the server has ended subscribes again.
const RESUBSCRIBES_FROM: u32 = 2_500;

/// A publication, as far as it is the same for all clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    channel: Channel,
    offset: u64,
    /// What it says of itself, where it is this run's.
    payload: Option<Payload>,
}

/// The last publication that came in a frame of its own.
#[derive(Debug, Default)]
pub(super) struct Last {
    frame: Vec<u8>,
    heard: Option<Heard>,
}

impl Client {
    /// Takes what came in one frame.
    pub(super) fn frame(&mut self, session: &mut Session, frame: &[u8], cx: &mut Context<'_, Self>) {
        // A publication goes to many clients, with the same bytes: most need not be read.
        if let Some(heard) = self.last.heard
            && self.last.frame == frame
        {
            return self.delivered(session, &heard, false, cx);
        }
        let (mut count, mut only) = (0, None);
        for reply in self.plan.workload.format.replies(frame) {
            let Ok(reply) = reply else {
                self.record().counts.errors.count("wrong_bytes");
                return self.lose(session, "wrong_bytes", cx);
            };
            count += 1;
            only = self.reply(session, reply, cx);
            if matches!(session.stage, Stage::Counted | Stage::Cut) {
                return;
            }
        }
        if count == 1 && only.is_some() {
            self.last.frame.clear();
            self.last.frame.extend_from_slice(frame);
            self.last.heard = only;
        }
    }

    /// Takes one reply; returns the publication, where it is one.
    fn reply(&mut self, session: &mut Session, reply: Reply<'_>, cx: &mut Context<'_, Self>) -> Option<Heard> {
        let publishes = session.publishing.is_some();
        match reply.body {
            ReplyBody::Empty if reply.id == 0 => self.send_frame(session, self.plan.workload.format.ping(), cx),
            ReplyBody::Push(push) => return self.push(session, &push, cx),
            ReplyBody::Connect(_) if session.stage == Stage::Connecting && publishes => self.begin(session, cx),
            ReplyBody::Connect(_) if session.stage == Stage::Connecting => self.subscribe_all(session, cx),
            ReplyBody::Subscribe(result) if !publishes => self.subscribed(session, reply.id, &result, cx),
            ReplyBody::Publish if publishes => self.answered(session, reply.id, None, cx),
            ReplyBody::Error(error) if publishes && session.stage == Stage::Up => {
                self.answered(session, reply.id, Some(error.code), cx);
            }
            ReplyBody::Error(error) if session.stage == Stage::Up => {
                // It was subscribed, and is not let in again.
                self.record().counts.errors.count(&format!("subscribe_{}", error.code));
            }
            ReplyBody::Error(error) => {
                let reason = format!("{}_{}", session.stage.name(), error.code);
                self.fail(session, &reason, cx);
            }
            _ => {
                self.record().counts.errors.count("wrong_reply");
                self.lose(session, "wrong_reply", cx);
            }
        }
        None
    }

    fn push(&mut self, session: &mut Session, push: &Push<'_>, cx: &mut Context<'_, Self>) -> Option<Heard> {
        match &push.event {
            PushEvent::Publication(publication) => {
                let heard = self.heard(&push.channel, publication);
                match &heard {
                    Some(heard) => self.delivered(session, heard, false, cx),
                    None => self.record().counts.errors.count("wrong_channel"),
                }
                return heard;
            }
            PushEvent::Unsubscribe(unsubscribe) => self.unsubscribed(session, &push.channel, unsubscribe.code, cx),
            // Who comes and goes, and what the application says of the connection, is not looked at.
            _ => {}
        }
        None
    }

    fn heard(&self, channel: &str, publication: &Publication<'_>) -> Option<Heard> {
        let channel = self.plan.channels.find(channel)?;
        let payload = Payload::read(publication.data);
        let payload = payload.filter(|payload| {
            payload.run == self.plan.run && payload.from < self.plan.workload.publishers && payload.seq < u32::MAX
        });
        Some(Heard { channel, offset: publication.offset, payload })
    }

    /// Subscribes to all channels, with one frame.
    fn subscribe_all(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        session.stage = Stage::Subscribing;
        session.awaited = self.plan.channels.each();
        self.command.clear();
        for subscription in 0..session.awaited {
            self.write_subscribe(session, subscription);
        }
        self.send(session, cx);
        cx.set_timer(self.plan.course.patience);
    }

    /// Appends the command for a subscription to the buffer of commands. Its id follows from the subscription's number.
    fn write_subscribe(&mut self, session: &mut Session, subscription: u32) {
        let plan = &self.plan;
        let mut request = SubscribeRequest { recoverable: plan.workload.recoverable, ..SubscribeRequest::default() };
        if let Some(at) = session.positions.at(subscription, plan.publishers_each)
            && at.recovers()
        {
            (request.recover, request.offset) = (true, at.offset());
            request.epoch = plan.epoch_name(at.epoch()).to_string().into();
        }
        self.name.clear();
        plan.channels.write_of(session.number, subscription, &mut self.name);
        request.channel = self.name.as_str().into();
        let format = plan.workload.format;
        if !self.command.is_empty() {
            self.command.extend_from_slice(format.separator());
        }
        let command = Command { id: CONNECT_ID + 1 + subscription, request: Request::Subscribe(request) };
        format.write_command(&mut self.command, &command);
    }

    /// Takes the reply to a subscription, with what was missed where the client recovers.
    fn subscribed(&mut self, session: &mut Session, id: u32, result: &SubscribeResult<'_>, cx: &mut Context<'_, Self>) {
        let plan = self.plan.clone();
        let subscription = id.wrapping_sub(CONNECT_ID + 1);
        let Some(mut at) = session.positions.at(subscription, plan.publishers_each).filter(|at| !at.is_subscribed())
        else {
            self.record().counts.errors.count("wrong_reply");
            return;
        };
        let has_position = result.positioned || result.recoverable;
        let position = has_position.then(|| (result.offset, plan.epoch_number(&result.epoch)));
        let (recovers, has_recovered) = (at.recovers(), result.recovered);
        let mut record = self.record();
        record.counts.deliveries.subscriptions += 1;
        match (recovers, has_recovered) {
            (true, true) => {
                record.counts.deliveries.recoveries += 1;
                let (offset, epoch) = (at.offset(), at.epoch());
                if position.is_none_or(|(_, number)| number != epoch) {
                    record.counts.errors.count("wrong_epoch");
                }
                at.subscribe(Some((offset, epoch)), result.recoverable);
            }
            (true, false) => {
                record.counts.deliveries.not_recovered += 1;
                record.counts.errors.count("not_recovered");
                at.subscribe(position, result.recoverable);
                at.expect(None);
            }
            (false, _) => {
                at.subscribe(position, result.recoverable);
                // Before the warm-up nothing is published.
                at.expect((plan.course.phase() < Phase::Warmup).then_some(0));
            }
        }
        drop(record);
        if recovers && has_recovered {
            self.name.clear();
            let mut name = std::mem::take(&mut self.name);
            plan.channels.write_of(session.number, subscription, &mut name);
            for publication in &result.publications {
                if let Some(heard) = self.heard(&name, publication) {
                    self.delivered(session, &heard, true, cx);
                }
            }
            self.name = name;
        }
        session.awaited = session.awaited.saturating_sub(1);
        if session.stage == Stage::Subscribing && session.awaited == 0 {
            self.begin(session, cx);
        }
    }

    /// The server has ended a subscription.
    fn unsubscribed(&mut self, session: &mut Session, channel: &str, code: u32, cx: &mut Context<'_, Self>) {
        self.record().counts.errors.count(&format!("unsubscribed_{code}"));
        let Some(channel) = self.plan.channels.find(channel) else { return };
        let at = session.positions.at(channel.subscription, self.plan.publishers_each);
        if at.is_some_and(|mut at| at.leave()) {
            self.record().counts.deliveries.subscriptions -= 1;
        }
        if code >= RESUBSCRIBES_FROM {
            self.command.clear();
            self.write_subscribe(session, channel.subscription);
            self.send(session, cx);
        }
    }

    /// Checks a publication, and counts it.
    fn delivered(&mut self, session: &mut Session, heard: &Heard, recovered: bool, cx: &mut Context<'_, Self>) {
        let plan = &self.plan;
        let Heard { channel, offset, payload } = heard;
        if !plan.channels.has(session.number, channel) || session.publishing.is_some() {
            return self.record().counts.errors.count("wrong_channel");
        }
        let Some(mut at) = session.positions.at(channel.subscription, plan.publishers_each) else { return };
        if !at.is_subscribed() {
            return self.record().counts.errors.count("not_subscribed");
        }
        let place = payload.map(|payload| (plan.place(payload.from), payload.seq));
        let verdict = at.take(*offset, place);
        let skipped = place.map_or(verdict.skipped, |(place, _)| {
            plan.skipped(channel.number, place, verdict.skipped, verdict.skipped_numbers)
        });
        let now_unix_ns = self.now_unix_ns(cx);
        let phase = plan.course.phase();
        let mut guard = self.record();
        let record = &mut *guard;
        let deliveries = &mut record.counts.deliveries;
        if verdict.is_duplicate {
            deliveries.duplicates += 1;
            return record.counts.errors.count("duplicate");
        }
        if skipped > 0 {
            deliveries.gaps += skipped;
            record.counts.errors.add("gap", skipped);
        }
        if verdict.is_misplaced {
            deliveries.misplaced += 1;
            record.counts.errors.count("wrong_offset");
        }
        record.counts.answered_ever += 1;
        let is_listening = plan.course.mode == Mode::Listen && phase == Phase::Measure;
        record.counts.answered += u64::from(is_listening);
        record.counts.in_time += u64::from(is_listening);
        let Some(payload) = payload else {
            deliveries.others += 1;
            return;
        };
        deliveries.received += 1;
        let is_measured = phase >= Phase::Measure && plan.course.is_measured(payload.due);
        deliveries.measured += u64::from(is_measured);
        if recovered {
            deliveries.recovered += 1;
            return;
        }
        let response_ns = now_unix_ns.saturating_sub(payload.due);
        record.interval_ns.saturating_record(response_ns);
        if is_measured {
            record.times.response_ns.saturating_record(response_ns);
            record.times.service_ns.saturating_record(response_ns.saturating_sub(payload.late));
        }
    }

    /// Counts the publications that a client should have by now, and has not.
    pub(super) fn count_missing(&self, session: &mut Session) {
        let plan = &self.plan;
        let mut missing = 0;
        for subscription in 0..plan.channels.each() {
            let channel = plan.channels.number_of(session.number, subscription);
            let Some(at) = session.positions.at(subscription, plan.publishers_each) else { return };
            for place in 0..plan.publishers_each {
                missing += at.next(place).map_or(0, |next| plan.missing(channel, place, next));
            }
        }
        self.record().counts.deliveries.missing += missing;
    }
}
