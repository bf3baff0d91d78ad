//! Requests and answers of a client that is up: what is sent when, and what is counted for it.

use std::time::Duration;

use gannet::Context;

use super::Client;
use super::session::{MOST_PENDING, Pending, Session, Stage};
use crate::plan::{Mode, Phase};
use crate::record::Record;
use crate::scenario::Scenario;

impl<S: Scenario> Client<S> {
    /// Sends so many requests.
    pub(super) fn request(
        &self,
        session: &mut Session<S>,
        wanted: u32,
        intended_ns: u64,
        record: &mut Record,
        cx: &mut Context<'_, Self>,
    ) {
        let now_ns = cx.now().as_nanos() as u64;
        let counts = self.plan.phase() == Phase::Measure;
        let requests = wanted.min(u32::from(MOST_PENDING - session.outstanding));
        if counts {
            record.counts.never_sent += u64::from(wanted - requests);
        }
        if requests == 0 {
            return;
        }
        if counts {
            record.counts.sent += u64::from(requests);
            record.counts.waiting += u64::from(requests);
            if let Mode::Open { .. } = self.plan.mode {
                record.times.late_ns.saturating_record_n(now_ns.saturating_sub(intended_ns), u64::from(requests));
            }
        }
        let first = session.answered + u64::from(session.outstanding);
        // No more than there is room for.
        session.outstanding += requests as u16;
        session.pending.get_or_insert_default().push_back(Pending { intended_ns, sent_ns: now_ns, requests, counts });
        for number in first..first + u64::from(requests) {
            self.plan.scenario.ask(&self.plan.letters, session.number, number, cx);
        }
    }

    /// Takes so many answers to the oldest requests.
    pub(super) fn answered(&self, session: &mut Session<S>, mut answers: u32, now_ns: u64, record: &mut Record) {
        session.answered += u64::from(answers);
        // No more than were outstanding.
        session.outstanding -= answers as u16;
        let Some(pending) = &mut session.pending else { return };
        while answers > 0
            && let Some(oldest) = pending.front_mut()
        {
            let taken = answers.min(oldest.requests);
            self.record_answers(oldest, taken, now_ns, record);
            answers -= taken;
            oldest.requests -= taken;
            if oldest.requests == 0 {
                pending.pop_front();
            }
        }
    }

    /// Notes answers to requests that were sent together: their times are the same.
    fn record_answers(&self, pending: &Pending, answers: u32, now_ns: u64, record: &mut Record) {
        let answers = u64::from(answers);
        let service_ns = now_ns.saturating_sub(pending.sent_ns);
        let response_ns = now_ns.saturating_sub(pending.intended_ns);
        let is_open = matches!(self.plan.mode, Mode::Open { .. });
        record.counts.answered_ever += answers;
        record.interval_ns.saturating_record_n(if is_open { response_ns } else { service_ns }, answers);
        if !pending.counts {
            return;
        }
        record.counts.answered += answers;
        record.counts.waiting -= answers;
        record.times.service_ns.saturating_record_n(service_ns, answers);
        if is_open {
            record.times.response_ns.saturating_record_n(response_ns, answers);
        }
    }

    /// Sends what the schedule wants by now, and sets the timer for the next.
    pub(super) fn keep_schedule(&self, session: &mut Session<S>, interval_ns: u64, cx: &mut Context<'_, Self>) {
        let now_ns = cx.now().as_nanos() as u64;
        let takes_one = self.plan.scenario.takes_one_request();
        let mut record = self.record();
        if self.plan.phase() >= Phase::Finish {
            // Requests that waited for their own connections: nobody sends them any more.
            let overdue_ns = now_ns.saturating_sub(session.due_ns).saturating_sub(self.plan.since_finish_ns());
            if takes_one && overdue_ns > 0 {
                record.counts.never_sent += overdue_ns.div_ceil(interval_ns);
                session.due_ns = u64::MAX;
            }
            return;
        }
        while session.due_ns <= now_ns {
            if takes_one && session.outstanding > 0 {
                // The next connection goes on from here.
                return;
            }
            let due_ns = session.due_ns;
            self.request(session, 1, due_ns, &mut record, cx);
            session.due_ns += interval_ns;
        }
        cx.set_timer(Duration::from_nanos(session.due_ns - now_ns));
    }

    /// Counts an error in answer to the oldest request. It is no right answer, so that its time is in no histogram.
    pub(super) fn refused(&self, session: &mut Session<S>, kind: &[u8], cx: &mut Context<'_, Self>) {
        let mut record = self.record();
        let Some(counts) = session.take_oldest() else {
            record.counts.errors.count("wrong_bytes");
            return cx.reset();
        };
        if counts {
            record.counts.waiting -= 1;
            record.counts.errors.count_named(kind);
        }
        self.next(session, 1, &mut record, cx);
    }

    /// Does what follows so many answers, of whatever kind.
    pub(super) fn next(&self, session: &mut Session<S>, answers: u32, record: &mut Record, cx: &mut Context<'_, Self>) {
        let is_spent = self.plan.scenario.is_spent(&session.progress);
        match self.plan.mode {
            Mode::Closed { .. } if self.plan.phase() < Phase::Finish && !is_spent => {
                self.request(session, answers, cx.now().as_nanos() as u64, record, cx);
            }
            Mode::Churn if answers > 0 => cx.reset(),
            _ => {}
        }
        if session.outstanding == 0 {
            // While it waits for its next turn it needs none.
            session.pending = None;
        }
        if is_spent {
            session.stage = Stage::Spent;
            cx.reset();
        }
    }
}
