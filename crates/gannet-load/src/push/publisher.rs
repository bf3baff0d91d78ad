//! What publishers do: they publish by a schedule that never slows down to catch up, by the protocol's own command or by
//! the HTTP server API.

use std::io::Write as _;
use std::time::Duration;

use gannet::Context;
use gannet::proto::centrifuge::{Command, PublishRequest, Request};
use gannet::proto::http::Reply;
use serde::Deserialize;

use super::client::{CONNECT_ID, Client};
use super::session::{Pending, Publishing, Session};
use crate::judge::LATE_NS;
use crate::plan::{Mode, Phase};
use crate::scenario::push::Payload;

/// Publications that a schedule which lags behind writes on one connection before others have their turn.
const MOST_A_TURN: u32 = 256;

/// Publications without an answer on one connection, at the most; the schedule's further ones are never sent.
const MOST_PENDING: usize = 65_535;

/// How often a publisher looks whether all clients are up.
const LOOK: Duration = Duration::from_millis(10);

/// What the server API answers.
#[derive(Deserialize)]
struct Answer {
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    code: u32,
}

impl Client {
    /// Publishes what the schedule wants by now, and sets the timer for the next. `waited` says that the connection was not
    /// there before.
    pub(super) fn keep_schedule(&mut self, session: &mut Session, waited: bool, cx: &mut Context<'_, Self>) {
        let Mode::Open { interval_ns } = self.plan.course.mode else { return };
        let now_ns = cx.now().as_nanos() as u64;
        let phase = self.plan.course.phase();
        if phase >= Phase::Finish {
            return self.count_never_sent(session, now_ns);
        }
        let Some(mut publishing) = session.publishing.take() else { return };
        if phase == Phase::Ramp {
            cx.set_timer(LOOK);
        } else {
            if publishing.due_ns == 0 {
                // Each publisher has a phase of its own: the golden ratio spreads any number of them evenly.
                let phase = (f64::from(session.number) * 0.618_033_988_749_894_9).fract();
                publishing.due_ns = now_ns + 1 + (phase * interval_ns as f64) as u64;
            }
            self.catch_up(session, &mut publishing, (interval_ns, now_ns, waited), cx);
        }
        session.publishing = Some(publishing);
    }

    fn catch_up(
        &mut self,
        session: &Session,
        publishing: &mut Publishing,
        (interval_ns, now_ns, waited): (u64, u64, bool),
        cx: &mut Context<'_, Self>,
    ) {
        let mut sent = 0;
        while publishing.due_ns <= now_ns {
            if sent == MOST_A_TURN {
                return cx.set_precise_timer(Duration::ZERO);
            }
            if publishing.pending.len() >= MOST_PENDING {
                let missed = (now_ns - publishing.due_ns) / interval_ns + 1;
                publishing.due_ns += missed * interval_ns;
                if self.plan.course.phase() == Phase::Measure {
                    self.record().counts.never_sent += missed;
                }
                break;
            }
            sent += 1;
            self.publish(session, publishing, (now_ns, waited), cx);
            publishing.due_ns += interval_ns;
        }
        cx.set_precise_timer(Duration::from_nanos(publishing.due_ns - now_ns));
    }

    fn publish(
        &mut self,
        session: &Session,
        publishing: &mut Publishing,
        (now_ns, waited): (u64, bool),
        cx: &mut Context<'_, Self>,
    ) {
        let plan = self.plan.clone();
        let publisher = session.number - plan.clients;
        let channel = plan.channel(publisher, publishing.published);
        let number = plan.give(channel, publisher);
        publishing.published += 1;
        publishing.id = publishing.id.wrapping_add(1).max(CONNECT_ID + 1);
        let late_ns = now_ns.saturating_sub(publishing.due_ns);
        let due = self.now_unix_ns(cx).saturating_sub(late_ns);
        let payload = Payload { run: plan.run, from: publisher, seq: number, due, late: late_ns };
        let mut data = Vec::with_capacity(plan.size + 16);
        payload.write(plan.size, &mut data);
        self.name.clear();
        plan.channels.write(channel, &mut self.name);
        self.command.clear();
        if let Some(key) = &plan.workload.api_key {
            self.write_api_request(key, &data);
            cx.write(&self.command);
        } else {
            let request = Request::Publish(PublishRequest { channel: self.name.as_str().into(), data: &data });
            plan.workload.format.write_command(&mut self.command, &Command { id: publishing.id, request });
            self.send(session, cx);
        }
        let counts = plan.course.phase() == Phase::Measure;
        let pending = Pending { id: publishing.id, channel, number, sent_ns: now_ns, late_ns, counts };
        publishing.pending.push_back(pending);
        let mut record = self.record();
        if !counts {
            record.counts.early += 1;
            return;
        }
        record.counts.sent += 1;
        record.counts.waiting += 1;
        if !waited {
            record.times.late_ns.saturating_record(late_ns);
        }
    }

    /// Writes the request that publishes by the server API.
    fn write_api_request(&mut self, key: &str, data: &[u8]) {
        let workload = &self.plan.workload;
        // The name of a channel is text: it has a form in JSON.
        let channel = serde_json::to_string(&self.name).unwrap_or_default();
        let before = format!(r#"{{"channel":{channel},"data":"#);
        // Writing to a Vec cannot fail.
        let _ = write!(
            self.command,
            "POST {} HTTP/1.1\r\nHost: {}\r\nX-API-Key: {key}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{before}",
            workload.api_path.as_str(),
            workload.host,
            before.len() + data.len() + 1,
        );
        self.command.extend_from_slice(data);
        self.command.push(b'}');
    }

    /// Takes an answer of the server API: they come in the order of the requests.
    pub(super) fn api_reply(&mut self, session: &mut Session, reply: &Reply<'_>, cx: &mut Context<'_, Self>) {
        if reply.status < 200 {
            return;
        }
        let oldest = session.publishing.as_ref().and_then(|publishing| publishing.pending.front());
        let Some(id) = oldest.map(|pending| pending.id) else {
            self.record().counts.errors.count("wrong_reply");
            return self.lose(session, "wrong_reply", cx);
        };
        let refused = match (reply.status, serde_json::from_slice::<Answer>(reply.body)) {
            (200, Ok(answer)) => answer.error.map(|error| error.code),
            (status, _) => Some(status.into()),
        };
        self.answered(session, id, refused, cx);
    }

    /// Takes the answer to a publication: it is accepted, or refused with a code.
    pub(super) fn answered(&mut self, session: &mut Session, id: u32, refused: Option<u32>, cx: &Context<'_, Self>) {
        let plan = &self.plan;
        let publisher = session.number.saturating_sub(plan.clients);
        let Some(publishing) = &mut session.publishing else { return };
        let place = publishing.pending.iter().position(|pending| pending.id == id);
        let Some(pending) = place.and_then(|place| publishing.pending.remove(place)) else {
            return self.record().counts.errors.count("wrong_reply");
        };
        let subscribers = plan.channels.subscribers(pending.channel);
        let missed_wrongly = match refused {
            None => {
                plan.accept(pending.channel, publisher, pending.number);
                0
            }
            Some(_) => plan.doubt(pending.channel, publisher, pending.number),
        };
        let now_ns = cx.now().as_nanos() as u64;
        let mut record = self.record();
        record.counts.missed_wrongly += missed_wrongly;
        let is_in_time = plan.course.phase() == Phase::Measure;
        if pending.counts {
            record.counts.waiting -= 1;
        } else {
            record.counts.early -= 1;
        }
        if let Some(code) = refused {
            return record.counts.errors.count(&format!("refused_{code}"));
        }
        record.counts.deliveries.expected += u64::from(subscribers);
        if pending.counts {
            record.counts.answered += 1;
            record.counts.in_time += u64::from(is_in_time);
            let took_ns = now_ns.saturating_sub(pending.sent_ns);
            record.times.publish_ns.saturating_record(took_ns.saturating_add(pending.late_ns));
        }
    }

    /// Gives up the publications to which no answer can come any more.
    pub(super) fn give_up(&self, session: &mut Session) {
        let publisher = session.number.saturating_sub(self.plan.clients);
        let Some(publishing) = &mut session.publishing else { return };
        let mut record = self.record();
        for pending in publishing.pending.drain(..) {
            record.counts.missed_wrongly += self.plan.doubt(pending.channel, publisher, pending.number);
            if pending.counts {
                record.counts.waiting -= 1;
            } else {
                record.counts.early -= 1;
            }
            record.counts.errors.count("lost_with_connection");
        }
    }

    /// Counts publications that were overdue when the measured time ended: nobody sends them any more. A few that are late by
    /// as much as a valid run may be are not missed.
    pub(super) fn count_never_sent(&self, session: &mut Session, now_ns: u64) {
        let Mode::Open { interval_ns } = self.plan.course.mode else { return };
        let Some(publishing) = session.publishing.as_mut().filter(|publishing| publishing.due_ns > 0) else { return };
        let overdue_ns = now_ns.saturating_sub(publishing.due_ns).saturating_sub(self.plan.course.since_finish_ns());
        if overdue_ns > LATE_NS {
            self.record().counts.never_sent += overdue_ns.div_ceil(interval_ns);
            publishing.due_ns = u64::MAX;
        }
    }
}
