//! Requests and answers of a client that is up: what is sent when, and what is counted for it.

use std::time::Duration;

use gannet::{Context, Service};

use super::Client;
use super::session::{MOST_PENDING, Pending, Session, Stage};
use crate::judge::LATE_NS;
use crate::plan::{Mode, Phase};
use crate::record::Record;
use crate::scenario::Scenario;

/// Requests that a schedule which lags behind sends on one connection before others have their turn.
const MOST_A_TURN: u32 = 256;

/// Requests that are to be sent.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) count: u32,
    pub(super) intended_ns: u64,
    /// Whether they had to wait for a connection.
    pub(super) waited: bool,
}

impl Wanted {
    /// So many, intended for now.
    pub(super) fn now<S: Service>(count: u32, cx: &Context<'_, S>) -> Self {
        Self { count, intended_ns: cx.now().as_nanos() as u64, waited: false }
    }
}

impl<S: Scenario> Client<S> {
    /// Sends so many requests, which may have waited for a connection.
    pub(super) fn request(
        &self,
        session: &mut Session<S>,
        requests: Wanted,
        record: &mut Record,
        cx: &mut Context<'_, Self>,
    ) {
        let Wanted { count: wanted, intended_ns, waited } = requests;
        let now_ns = cx.now().as_nanos() as u64;
        let counts = self.plan.course.phase() == Phase::Measure;
        let requests = wanted.min(u32::from(MOST_PENDING - session.outstanding));
        if counts {
            record.counts.never_sent += u64::from(wanted - requests);
        }
        if requests == 0 {
            return;
        }
        let pending = Pending { intended_ns, sent_ns: now_ns, requests, counts, waited };
        if counts {
            record.counts.waiting += u64::from(requests);
            self.count_sent(&pending, record);
        } else {
            record.counts.early += u64::from(requests);
        }
        let first = session.answered + u64::from(session.outstanding);
        // No more than there is room for.
        session.outstanding += requests as u16;
        session.pending.get_or_insert_default().push_back(pending);
        for number in first..first + u64::from(requests) {
            self.plan.scenario.ask(&self.plan.letters, session.number, number, cx);
        }
    }

    /// Counts requests as sent in the measured time.
    fn count_sent(&self, pending: &Pending, record: &mut Record) {
        let requests = u64::from(pending.requests);
        record.counts.sent += requests;
        if matches!(self.plan.course.mode, Mode::Open { .. }) && !pending.waited {
            let late_ns = pending.sent_ns.saturating_sub(pending.intended_ns);
            record.times.late_ns.saturating_record_n(late_ns, requests);
        }
    }

    /// Counts requests as done, whatever came of them, and says whether they belong to the measured time: those sent
    /// before it do, if it has begun when they are done.
    fn count_done(&self, pending: &Pending, phase: Phase, record: &mut Record) -> bool {
        let requests = u64::from(pending.requests);
        if pending.counts {
            record.counts.waiting -= requests;
            return true;
        }
        record.counts.early -= requests;
        if phase < Phase::Measure {
            return false;
        }
        self.count_sent(pending, record);
        true
    }

    /// Counts what came as an error, in place of an answer to the oldest request where there is one.
    pub(super) fn spoil(&self, session: &mut Session<S>, kind: &str, record: &mut Record) {
        if let Some(oldest) = session.take_oldest()
            && !self.count_done(&oldest, self.plan.course.phase(), record)
        {
            self.count_sent(&oldest, record);
        }
        record.counts.errors.count(kind);
    }

    /// Counts requests to which no answer can come any more. That is an error whenever they were sent.
    pub(super) fn give_up(&self, session: &mut Session<S>, record: &mut Record) {
        let phase = self.plan.course.phase();
        for pending in session.take_all() {
            if !self.count_done(&pending, phase, record) {
                self.count_sent(&pending, record);
            }
            record.counts.errors.add("lost_with_connection", u64::from(pending.requests));
        }
    }

    /// Takes so many answers to the oldest requests.
    pub(super) fn answered(
        &self,
        session: &mut Session<S>,
        mut answers: u32,
        (phase, now_ns): (Phase, u64),
        record: &mut Record,
    ) {
        session.answered += u64::from(answers);
        // No more than were outstanding.
        session.outstanding -= answers as u16;
        let Some(pending) = &mut session.pending else { return };
        while answers > 0
            && let Some(oldest) = pending.front_mut()
        {
            let taken = Pending { requests: answers.min(oldest.requests), ..*oldest };
            answers -= taken.requests;
            oldest.requests -= taken.requests;
            if oldest.requests == 0 {
                pending.pop_front();
            }
            self.record_answers(&taken, (phase, now_ns), record);
        }
    }

    /// Notes answers to requests that were sent together: their times are the same.
    fn record_answers(&self, pending: &Pending, (phase, now_ns): (Phase, u64), record: &mut Record) {
        let answers = u64::from(pending.requests);
        let service_ns = now_ns.saturating_sub(pending.sent_ns);
        let response_ns = now_ns.saturating_sub(pending.intended_ns);
        let is_open = matches!(self.plan.course.mode, Mode::Open { .. });
        record.counts.answered_ever += answers;
        record.interval_ns.saturating_record_n(if is_open { response_ns } else { service_ns }, answers);
        if !self.count_done(pending, phase, record) {
            return;
        }
        record.counts.answered += answers;
        if phase == Phase::Measure {
            record.counts.in_time += answers;
        }
        record.times.service_ns.saturating_record_n(service_ns, answers);
        if is_open {
            record.times.response_ns.saturating_record_n(response_ns, answers);
        }
    }

    /// Sends what the schedule wants by now, and sets the timer for the next. `waited` says that the connection was not
    /// there before.
    pub(super) fn keep_schedule(
        &self,
        session: &mut Session<S>,
        interval_ns: u64,
        waited: bool,
        cx: &mut Context<'_, Self>,
    ) {
        let now_ns = cx.now().as_nanos() as u64;
        let takes_one = self.plan.scenario.takes_one_request();
        let mut record = self.record();
        if self.plan.course.phase() >= Phase::Finish {
            return self.count_never_sent(session, now_ns, &mut record);
        }
        let mut sent = 0;
        while session.due_ns <= now_ns {
            if takes_one && session.outstanding > 0 {
                // The next connection goes on from here.
                return;
            }
            if sent == MOST_A_TURN {
                return cx.set_precise_timer(Duration::ZERO);
            }
            if session.outstanding == MOST_PENDING {
                let missed = (now_ns - session.due_ns) / interval_ns + 1;
                session.due_ns += missed * interval_ns;
                if self.plan.course.phase() == Phase::Measure {
                    record.counts.never_sent += missed;
                }
                break;
            }
            sent += 1;
            let wanted = Wanted { count: 1, intended_ns: session.due_ns, waited };
            self.request(session, wanted, &mut record, cx);
            session.due_ns += interval_ns;
        }
        cx.set_precise_timer(Duration::from_nanos(session.due_ns - now_ns));
    }

    /// Counts requests that were overdue when the measured time ended: nobody sends them any more. A few that are late by as
    /// much as a valid run may be are not missed, unless they wait for connections of their own.
    pub(super) fn count_never_sent(&self, session: &mut Session<S>, now_ns: u64, record: &mut Record) {
        let Mode::Open { interval_ns } = self.plan.course.mode else { return };
        let overdue_ns = now_ns.saturating_sub(session.due_ns).saturating_sub(self.plan.course.since_finish_ns());
        let tolerated_ns = if self.plan.scenario.takes_one_request() { 0 } else { LATE_NS };
        if overdue_ns > tolerated_ns {
            record.counts.never_sent += overdue_ns.div_ceil(interval_ns);
            session.due_ns = u64::MAX;
        }
    }

    /// Counts an error in answer to the oldest request. It is no right answer, so that its time is in no histogram.
    pub(super) fn refused(&self, session: &mut Session<S>, kind: &[u8], phase: Phase, cx: &mut Context<'_, Self>) {
        let mut record = self.record();
        let Some(oldest) = session.take_oldest() else {
            record.counts.errors.count("wrong_bytes");
            return cx.reset();
        };
        if self.count_done(&oldest, phase, &mut record) {
            record.counts.errors.count_named(kind);
        }
        self.next(session, 1, &mut record, cx);
    }

    /// Does what follows so many answers, of whatever kind.
    pub(super) fn next(&self, session: &mut Session<S>, answers: u32, record: &mut Record, cx: &mut Context<'_, Self>) {
        let is_spent = self.plan.scenario.is_spent(&session.progress);
        match self.plan.course.mode {
            Mode::Closed { .. } if self.plan.course.phase() < Phase::Finish && !is_spent => {
                self.request(session, Wanted::now(answers, cx), record, cx);
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
