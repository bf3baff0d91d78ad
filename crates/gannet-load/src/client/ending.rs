//! The end of a client's connection, and of a connect that failed: what is counted, and whether another one takes its
//! place.

use std::io;

use gannet::{CloseReason, Context};

use super::session::{Session, Stage};
use super::{Client, settle};
use crate::plan::{Mode, Phase};
use crate::record::Record;
use crate::scenario::Scenario;

/// The most characters that are kept of what a failure says.
const LONGEST_WORDS: usize = 300;

impl<S: Scenario> Client<S> {
    /// Counts what a client that is gone leaves behind.
    pub(super) fn left_behind(&self, session: &mut Session<S>, record: &mut Record) {
        record.counts.up -= 1;
        self.give_up(session, record);
    }

    /// Counts the end of a connection, and opens another one where a client goes on.
    pub(super) fn ended(&self, mut session: Session<S>, reason: CloseReason, cx: &mut Context<'_, Self>) {
        let phase = self.plan.course.phase();
        match session.stage {
            _ if phase == Phase::Over => return,
            Stage::Counted => return self.try_again(session, phase),
            Stage::Upgrading | Stage::LoggingIn => {
                // It was never up.
                let failed = if session.stage == Stage::Upgrading { "upgrade_closed" } else { "login" };
                self.count_failed(&mut session, failed);
                return self.try_again(session, phase);
            }
            Stage::Spent => return self.dial(session.again(self.plan.course.elapsed()), cx),
            Stage::Up if is_by_peer(reason) && self.plan.scenario.may_end(&session.progress, cx.codec_state()) => {
                if !self.plan.scenario.may_repeat() {
                    self.give_up(&mut session, &mut self.record());
                }
                return self.dial(session.again(self.plan.course.elapsed()), cx);
            }
            Stage::Up | Stage::Dialing | Stage::Redialing => {}
        }
        let mut record = self.record();
        self.left_behind(&mut session, &mut record);
        let is_exchanged = reason == CloseReason::Service && self.plan.course.mode == Mode::Churn;
        if reason != CloseReason::Service {
            // The engine knows filters, and here they are TLS.
            record.counts.lost.count(if reason == CloseReason::Filter { "tls" } else { reason.name() });
        }
        drop(record);
        match is_exchanged {
            true if phase < Phase::Finish => self.dial(session.anew(self.plan.course.elapsed()), cx),
            true => {}
            false => self.try_again(session, phase),
        }
    }

    /// Counts a connect that failed.
    pub(super) fn unconnected(&self, mut session: Session<S>, error: &io::Error) {
        let phase = self.plan.course.phase();
        let is_redialing = session.stage == Stage::Redialing;
        if phase == Phase::Over || phase >= Phase::Finish && !is_redialing {
            return;
        }
        let mut record = self.record();
        if is_redialing {
            self.left_behind(&mut session, &mut record);
        }
        settle(&session, &mut record);
        count_unconnected(&mut record, error);
        drop(record);
        match is_redialing || session.attempts > 0 {
            true => self.come_back(session),
            false => self.try_again(session, phase),
        }
    }

    /// Opens a connection once more after a pause, where that is what clients do.
    fn try_again(&self, session: Session<S>, phase: Phase) {
        let asked_for = self.plan.course.reconnect && phase < Phase::Over;
        if asked_for || self.plan.course.mode == Mode::Churn && phase < Phase::Finish {
            self.come_back(session);
        }
    }

    /// Opens a connection once more after a pause.
    fn come_back(&self, session: Session<S>) {
        self.record().counts.returning += 1;
        self.plan.course.dial_later(session.later());
    }

    /// Opens the next connection of a client.
    fn dial(&self, session: Session<S>, cx: &mut Context<'_, Self>) {
        if let Some(outbound) = self.plan.course.outbound.get() {
            let connect = self.plan.course.connect(session.number);
            // The address was good for the first connect.
            let _ = cx.connect(*outbound, &connect, session);
        }
    }
}

/// Counts a connect that failed, by its reason.
pub(crate) fn count_unconnected(record: &mut Record, error: &io::Error) {
    let reason = kind_name(error.kind());
    record.counts.failed.count(reason);
    if matches!(reason, "tls" | "other") && record.counts.first_failure.is_none() {
        record.counts.first_failure = Some(words(error));
    }
}

/// Whether the other side ended a connection: in order, or by a reset because a request came too late for it.
fn is_by_peer(reason: CloseReason) -> bool {
    let by_reset = [io::ErrorKind::ConnectionReset, io::ErrorKind::ConnectionAborted, io::ErrorKind::BrokenPipe];
    match reason {
        CloseReason::Peer => true,
        CloseReason::Io(kind) => by_reset.contains(&kind),
        _ => false,
    }
}

/// What a failure says, of which the server may have chosen a part: the names in its certificate, for example.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let visible = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    visible.take(LONGEST_WORDS).collect()
}

/// The name of a failure in reports.
fn kind_name(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::ConnectionRefused => "refused",
        io::ErrorKind::ConnectionReset => "reset",
        io::ErrorKind::TimedOut => "timed_out",
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => "no_port",
        // Only a handshake fails so: what came is not right, or it ended before it was done.
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => "tls",
        io::ErrorKind::NotFound => "not_found",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "unreachable",
        _ => "other",
    }
}
