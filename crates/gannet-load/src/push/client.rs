//! The clients and publishers of one reactor: from a connect to a session, and what follows its end.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gannet::proto::centrifuge::{Command, ConnectRequest, Format, Request};
use gannet::proto::ws::{self, Close, CloseCode, Frame};
use gannet::proto::{Codec, FrameError};
use gannet::{CloseReason, Context, Message, Service, Shutdown, Timeouts};

use super::plan::Plan;
use super::session::{Session, Stage};
use super::subscriber::Last;
use crate::client::{count_unconnected, keep_time};
use crate::plan::{Phase, Simulated as _};
use crate::record::Record;
use crate::scenario::Scenario as _;
use crate::scenario::ws::{Conversation, Incoming, key_of_now};
use crate::tls::Handshake;

/// The id of the command to connect. Those of a client's subscriptions follow, and a publisher's publications.
pub(super) const CONNECT_ID: u32 = 1;

/// What clients call themselves.
const NAME: &str = "gannet-load";

/// See the module.
pub struct Client {
    pub(super) plan: Arc<Plan>,
    record: Arc<Mutex<Record>>,
    /// When this reactor's clock was 0, ns since 1970 (UTC): the earliest that was found, as the time that the reactor
    /// says is always a little ago.
    pub(super) zero_unix_ns: u64,
    /// The last publication that came to any client: mostly the next one is the same.
    pub(super) last: Last,
    /// Where commands are written.
    pub(super) command: Vec<u8>,
    /// Where names of channels are written.
    pub(super) name: String,
}

impl Client {
    /// Makes the clients of a reactor.
    pub(super) fn new(plan: Arc<Plan>, record: Arc<Mutex<Record>>) -> Self {
        keep_time();
        let (last, command, name) = Default::default();
        Self { plan, record, zero_unix_ns: u64::MAX, last, command, name }
    }

    pub(super) fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The reactor's time as ns since 1970 (UTC).
    pub(super) fn now_unix_ns(&self, cx: &Context<'_, Self>) -> u64 {
        self.zero_unix_ns.saturating_add(cx.now().as_nanos() as u64)
    }

    /// Sends what is in the buffer of commands, as one frame.
    pub(super) fn send(&self, session: &Session, cx: &mut Context<'_, Self>) {
        self.send_frame(session, &self.command, cx);
    }

    /// Sends a frame of the format.
    pub(super) fn send_frame(&self, session: &Session, bytes: &[u8], cx: &mut Context<'_, Self>) {
        let key = key_of_now(session.number, cx);
        let frame = match (self.plan.workload.format, std::str::from_utf8(bytes)) {
            (Format::Json, Ok(text)) => Frame::text(text),
            _ => Frame::binary(bytes),
        };
        cx.send(frame.masked(key));
    }

    /// Asks the server to begin a session.
    fn begin_session(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        session.stage = Stage::Connecting;
        let workload = &self.plan.workload;
        let user = match session.number.checked_sub(self.plan.clients) {
            Some(publisher) => format!("publisher-{publisher}"),
            None => workload.user.of(session.number),
        };
        let made = workload.secret.as_ref().map(|secret| secret.token(&user));
        let token = workload.token.clone().or(made).unwrap_or_default();
        let connect = ConnectRequest { token: token.into(), name: NAME.into(), ..ConnectRequest::default() };
        let command = Command { id: CONNECT_ID, request: Request::Connect(connect) };
        let format = workload.format;
        self.command.clear();
        format.write_command(&mut self.command, &command);
        self.send(session, cx);
        cx.set_timer(self.plan.course.patience);
    }

    /// Counts a client as up: it is subscribed to all its channels, or may publish.
    pub(super) fn begin(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        session.stage = Stage::Up;
        let took_ns = (self.plan.course.elapsed().as_nanos() as u64).saturating_sub(session.began_ns);
        let mut record = self.record();
        settle(session, &mut record);
        session.attempts = 1;
        record.counts.up += 1;
        record.times.ready_ns.saturating_record(took_ns);
        if std::mem::replace(&mut session.was_up, true) {
            record.counts.reopened += 1;
        } else {
            record.counts.opened += 1;
        }
        drop(record);
        cx.cancel_timer();
        if session.publishing.is_some() {
            self.keep_schedule(session, true, cx);
        } else if let Some(next) = self.plan.next_cut(session.number) {
            cx.set_timer(next);
        }
    }

    /// Takes what came before the upgrade was done.
    fn upgrading(&mut self, session: &mut Session, incoming: &Incoming<'_>, cx: &mut Context<'_, Self>) {
        match self.plan.ws.upgraded(session.number, incoming) {
            Ok(false) => {}
            Ok(true) => {
                let took_ns = (self.plan.course.elapsed().as_nanos() as u64).saturating_sub(session.began_ns);
                self.record().times.upgrade_ns.saturating_record(took_ns);
                self.begin_session(session, cx);
            }
            Err(reason) => self.fail(session, &reason, cx),
        }
    }

    /// Counts a client as failed that was not up, and ends its connection.
    pub(super) fn fail(&self, session: &mut Session, reason: &str, cx: &mut Context<'_, Self>) {
        self.count_failed(session, reason);
        session.stage = Stage::Counted;
        cx.reset();
    }

    fn count_failed(&self, session: &mut Session, reason: &str) {
        let mut record = self.record();
        settle(session, &mut record);
        session.attempts = 1;
        record.counts.deliveries.subscriptions -= session.positions.leave_all(self.plan.publishers_each);
        if self.plan.course.phase() < Phase::Finish {
            record.counts.failed.count(reason);
        }
    }

    /// Ends the connection of a client that is up, for something that it should not have got.
    pub(super) fn lose(&self, session: &mut Session, reason: &str, cx: &mut Context<'_, Self>) {
        if session.stage != Stage::Up {
            let failed = format!("{}_{reason}", session.stage.name());
            return self.fail(session, &failed, cx);
        }
        self.left_behind(session);
        self.record().counts.lost.count(reason);
        session.stage = Stage::Counted;
        cx.reset();
    }

    /// Counts what a client that was up leaves behind.
    fn left_behind(&self, session: &mut Session) {
        self.give_up(session);
        let mut record = self.record();
        record.counts.up -= 1;
        record.counts.deliveries.subscriptions -= session.positions.leave_all(self.plan.publishers_each);
    }

    /// The server says why it ends the connection.
    fn closed(&self, session: &mut Session, code: Option<u16>, cx: &mut Context<'_, Self>) {
        let code = code.map_or_else(|| "closed".to_owned(), |code| format!("closed_{code}"));
        if session.stage == Stage::Up {
            self.left_behind(session);
            self.record().counts.lost.count(&code);
        } else {
            let failed = format!("{}_{code}", session.stage.name());
            self.count_failed(session, &failed);
        }
        session.stage = Stage::Counted;
        cx.close_flushed();
    }

    /// Cuts a client's connection, to come back at once.
    fn cut(&self, session: &mut Session, cx: &mut Context<'_, Self>) {
        self.left_behind(session);
        self.record().counts.deliveries.cuts += 1;
        session.stage = Stage::Cut;
        cx.reset();
    }

    /// Opens a connection once more after a pause, where that is what clients do.
    fn try_again(&self, session: Session, phase: Phase) {
        if self.plan.course.reconnect && phase < Phase::Over {
            self.record().counts.returning += 1;
            self.plan.course.dial_later(session.later());
        }
    }

    /// Opens the next connection of a client now.
    fn dial(&self, session: Session, cx: &mut Context<'_, Self>) {
        self.record().counts.returning += 1;
        let session = session.later().started(self.plan.course.elapsed());
        if let Some(outbound) = self.plan.course.outbound.get() {
            let connect = self.plan.course.connect(session.number);
            // The address was good for the first connect.
            let _ = cx.connect(*outbound, &connect, session);
        }
    }

    fn websocket(&mut self, session: &mut Session, message: &ws::Message<'_>, cx: &mut Context<'_, Self>) {
        match message {
            ws::Message::Text(text) => self.frame(session, text.as_bytes(), cx),
            ws::Message::Binary(bytes) => self.frame(session, bytes, cx),
            ws::Message::Pong(_) => {}
            ws::Message::Ping(payload) => {
                let key = key_of_now(session.number, cx);
                cx.send(Frame::pong(payload).masked(key));
            }
            ws::Message::Close(close) => {
                let code = close.as_ref().map(|Close { code, .. }| *code);
                let key = key_of_now(session.number, cx);
                cx.send(Frame::close(code.map(|code| Close { code, reason: "" })).masked(key));
                self.closed(session, code.map(CloseCode::get), cx);
            }
        }
    }
}

/// Counts a client whose connect came to something, whatever that was.
fn settle(session: &Session, record: &mut Record) {
    record.counts.settled += u64::from(session.attempts == 0);
    record.counts.returning -= u64::from(session.is_returning());
}

impl Service for Client {
    type Codec = Conversation;
    type Session = Session;

    /// Publications are read however many commands wait to be sent.
    const AUTO_PAUSE: bool = false;

    fn name(&self) -> &str {
        "load"
    }

    fn codec(&self) -> Conversation {
        self.plan.ws.codec()
    }

    fn timeouts(&self, defaults: Timeouts) -> Timeouts {
        let mut timeouts = defaults;
        // A server that stops to read or to answer is what a run may be about.
        (timeouts.heartbeat, timeouts.slow_write) = (None, None);
        timeouts
    }

    fn connected(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        let now_ns = self.plan.course.elapsed().as_nanos() as u64;
        let mut record = self.record();
        let mut connected_ns = now_ns;
        if let Some(handshake) = cx.filter_info::<Handshake>() {
            connected_ns = handshake.began_ns();
            record.times.handshake_ns.saturating_record(now_ns.saturating_sub(connected_ns));
            record.counts.resumed += u64::from(handshake.is_resumed());
        }
        record.times.connect_ns.saturating_record(connected_ns.saturating_sub(session.began_ns));
        drop(record);
        let zero_unix_ns = self.plan.course.unix_ns().saturating_sub(cx.now().as_nanos() as u64);
        self.zero_unix_ns = self.zero_unix_ns.min(zero_unix_ns);
        if session.publishing.is_some() && self.plan.workload.api_key.is_some() {
            return self.begin(session, cx);
        }
        session.stage = Stage::Upgrading;
        self.plan.ws.upgrade(session.number, cx);
        cx.set_timer(self.plan.course.patience);
    }

    fn connect_failed(&mut self, session: Session, error: &io::Error, _: &mut Context<'_, Self>) {
        let phase = self.plan.course.phase();
        if phase == Phase::Over {
            return;
        }
        let mut record = self.record();
        settle(&session, &mut record);
        if phase < Phase::Finish {
            count_unconnected(&mut record, error);
        }
        drop(record);
        if session.attempts > 0 {
            // It was there before, or is to be.
            self.record().counts.returning += 1;
            return self.plan.course.dial_later(session.later());
        }
        self.try_again(session, phase);
    }

    fn message(&mut self, session: &mut Session, message: Message<'_, Self>, cx: &mut Context<'_, Self>) {
        match (session.stage, message) {
            (Stage::Counted | Stage::Cut, _) => {}
            (Stage::Upgrading, incoming) => self.upgrading(session, &incoming, cx),
            (_, Incoming::Http(reply)) => self.api_reply(session, &reply, cx),
            (_, Incoming::WebSocket(message)) => self.websocket(session, &message, cx),
        }
    }

    fn malformed(&mut self, session: &mut Session, error: &<Conversation as Codec>::Error, cx: &mut Context<'_, Self>) {
        let is_too_large = matches!(FrameError::find(error), Some(FrameError::TooLarge { .. }));
        let reason = if is_too_large { "too_large" } else { "wrong_bytes" };
        match session.stage {
            Stage::Counted | Stage::Cut => {}
            Stage::Upgrading => self.fail(session, "upgrade_wrong", cx),
            _ => {
                self.record().counts.errors.count(reason);
                self.lose(session, reason, cx);
            }
        }
    }

    fn timer(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) {
        match session.stage {
            Stage::Upgrading | Stage::Connecting | Stage::Subscribing => {
                let reason = format!("{}_timed_out", session.stage.name());
                self.fail(session, &reason, cx);
            }
            Stage::Up if session.publishing.is_some() => self.keep_schedule(session, false, cx),
            Stage::Up => match self.plan.course.phase() {
                Phase::Measure => self.cut(session, cx),
                phase if phase < Phase::Measure => {
                    cx.set_timer(self.plan.next_cut(session.number).unwrap_or(Duration::MAX));
                }
                _ => {}
            },
            Stage::Dialing | Stage::Cut | Stage::Counted => {}
        }
    }

    fn shutdown(&mut self, session: &mut Session, cx: &mut Context<'_, Self>) -> Shutdown {
        if session.publishing.is_some() {
            self.count_never_sent(session, cx.now().as_nanos() as u64);
        } else {
            self.count_missing(session);
        }
        Shutdown::Reset
    }

    fn close(&mut self, mut session: Session, reason: CloseReason, cx: &mut Context<'_, Self>) {
        let phase = self.plan.course.phase();
        match session.stage {
            _ if phase == Phase::Over => return,
            Stage::Cut => return self.dial(session, cx),
            Stage::Counted => {}
            Stage::Up => {
                self.left_behind(&mut session);
                // The engine knows filters, and here they are TLS.
                let reason = if reason == CloseReason::Filter { "tls" } else { reason.name() };
                self.record().counts.lost.count(reason);
            }
            Stage::Dialing | Stage::Upgrading | Stage::Connecting | Stage::Subscribing => {
                let failed = format!("{}_closed", session.stage.name());
                self.count_failed(&mut session, &failed);
            }
        }
        self.try_again(session, phase);
    }
}
