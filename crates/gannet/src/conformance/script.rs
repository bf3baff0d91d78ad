//! The service of most tests: clients tell it by lines what to do, and it writes down what happened to it.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use crate::proto::ws::{self, WebSocket};
use crate::proto::{Codec, LengthPrefixed, Lines, Raw};
use crate::{
    CloseMode, CloseReason, Context, Description, Group, Handle, Heartbeat, Idle, Notice, Refused, Service, Shutdown,
};

/// What happened, in order.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) opened: Vec<Handle>,
    pub(crate) closed: Vec<CloseReason>,
    pub(crate) connect_failed: Vec<io::ErrorKind>,
    pub(crate) idle: Vec<Idle>,
    pub(crate) heartbeats: usize,
    pub(crate) writable: usize,
    /// Messages that were taken.
    pub(crate) messages: usize,
    /// How late exact timers were.
    pub(crate) late: Vec<Duration>,
    /// What a send was answered with.
    pub(crate) answers: Vec<String>,
}

/// A log that a test and its services share.
pub(crate) type SharedLog = Rc<RefCell<Log>>;

/// Answers every message with itself.
pub(crate) struct Echo<C> {
    codec: fn() -> C,
    log: SharedLog,
}

impl<C> Echo<C> {
    pub(crate) fn new(codec: fn() -> C, log: &SharedLog) -> Self {
        Self { codec, log: log.clone() }
    }
}

/// The codecs of the tests.
pub(crate) fn raw() -> Raw {
    Raw
}

pub(crate) fn lines() -> Lines {
    Lines::new()
}

pub(crate) fn frames() -> LengthPrefixed {
    LengthPrefixed::u32_be().limit(1 << 20)
}

impl<C: for<'a> Codec<Message<'a> = &'a [u8], Outgoing<'a> = &'a [&'a [u8]]>> Service for Echo<C> {
    type Codec = C;
    type Session = Vec<u8>;

    fn codec(&self) -> C {
        (self.codec)()
    }

    fn message(&mut self, _: &mut Vec<u8>, message: &[u8], cx: &mut Context<'_, Self>) {
        self.log.borrow_mut().messages += 1;
        cx.send(&[message]);
    }

    fn malformed(&mut self, _: &mut Vec<u8>, error: &C::Error, cx: &mut Context<'_, Self>) {
        cx.answer(format!("no: {error}\n").as_bytes());
    }

    fn writable(&mut self, _: &mut Vec<u8>, _: &mut Context<'_, Self>) {
        self.log.borrow_mut().writable += 1;
    }

    fn close(&mut self, _: Vec<u8>, reason: CloseReason, _: &mut Context<'_, Self>) {
        self.log.borrow_mut().closed.push(reason);
    }
}

/// Answers WebSocket messages and pings, and pauses reading for a moment at a ping.
pub(crate) struct WebSocketEcho;

impl Service for WebSocketEcho {
    type Codec = WebSocket;
    type Session = ();

    fn message(&mut self, (): &mut (), message: ws::Message<'_>, cx: &mut Context<'_, Self>) {
        match message {
            ws::Message::Text(text) => {
                cx.send(ws::Frame::text(&text));
            }
            ws::Message::Ping(payload) => {
                let mut pong = Vec::new();
                ws::pong(&mut pong, payload, None).expect("as long as the ping");
                cx.write(&pong);
                cx.pause();
                cx.set_timer(Duration::from_millis(10));
            }
            other => panic!("{other:?} was not sent"),
        }
    }

    fn timer(&mut self, (): &mut (), cx: &mut Context<'_, Self>) {
        cx.resume();
    }
}

/// A line of so many bytes that begins with its number.
pub(crate) fn numbered(index: usize, bytes: usize) -> String {
    format!("{index:<8}{}", "-".repeat(bytes - 8))
}

/// Does what the lines of its clients say.
pub(crate) struct Script {
    pub(crate) log: SharedLog,
    pub(crate) group: Group,
    /// Refuses whoever connects.
    pub(crate) refuses: bool,
    /// Says "bye" when the engine drains, and then goes on.
    pub(crate) stays: bool,
    /// Notes silence and stays, instead of closing.
    pub(crate) patient: bool,
    /// Sends "beat" when its peer is silent.
    pub(crate) beats: bool,
}

impl Script {
    pub(crate) fn new(log: &SharedLog) -> Self {
        let log = log.clone();
        Self { log, group: Group::new(), refuses: false, stays: false, patient: false, beats: false }
    }

    fn note(&self, what: impl std::fmt::Debug) {
        self.log.borrow_mut().answers.push(format!("{what:?}"));
    }
}

impl Service for Script {
    type Codec = Lines;
    type Session = String;

    fn describe(&self, last: &String, into: &mut Description) {
        into.user(last);
        into.channel(&format!("of {last}"));
    }

    fn message(&mut self, last: &mut String, line: &[u8], cx: &mut Context<'_, Self>) {
        self.log.borrow_mut().messages += 1;
        let line = std::str::from_utf8(line).expect("lines here are text");
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let number = |text: &str| text.parse::<usize>().expect("a number");
        match verb {
            "echo" => {
                cx.send(&[rest.as_bytes()]);
            }
            // What operators see of it.
            "name" => *last = rest.to_owned(),
            "close" => cx.close(),
            "close_flushed" => {
                cx.close_flushed();
                let after = cx.send(&[b"behind the end"]);
                self.note(after);
            }
            // Sends so many numbered lines of so many bytes, or until the outbox is over its hard limit.
            "flood" => {
                let (count, bytes) = rest.split_once(' ').expect("two numbers");
                for index in 0..number(count) {
                    let status = cx.send(&[numbered(index, number(bytes)).as_bytes()]);
                    if status == crate::SendStatus::OverHard {
                        return self.note(status);
                    }
                }
            }
            // Answers with so many bytes, by copying them and by reference.
            "answer" => {
                cx.answer(&vec![b'a'; number(rest)]);
                cx.answer_shared(vec![b'b'; number(rest)].into());
            }
            "pause" => {
                cx.pause();
                cx.set_timer(Duration::from_millis(number(rest) as u64));
                *last = "resume".to_owned();
            }
            "timer" => {
                cx.set_timer(Duration::from_millis(number(rest) as u64));
                *last = "timer".to_owned();
            }
            // In microseconds.
            "precise" => {
                let after = Duration::from_micros(number(rest) as u64);
                cx.set_precise_timer(after);
                *last = format!("precise {}", (cx.now() + after).as_nanos());
            }
            // The same, taken back at once, or with another in its place.
            "undo" | "redo" => {
                cx.set_precise_timer(Duration::from_micros(number(rest) as u64));
                cx.cancel_timer();
                if verb == "redo" {
                    cx.set_timer(Duration::from_millis(30));
                    *last = "timer".to_owned();
                } else {
                    cx.send(&[b"undone"]);
                }
            }
            "cancel" => {
                cx.cancel_timer();
                cx.send(&[b"cancelled"]);
            }
            // Has a heartbeat from here on.
            "beat" => {
                self.beats = true;
                cx.begin_heartbeat();
                cx.send(&[b"beating"]);
            }
            "forget" => {
                cx.leave_all();
                cx.send(&[b"forgotten"]);
            }
            "join" => {
                cx.join(self.group).expect("within the limits");
                cx.send(&[b"joined"]);
            }
            "leave" => {
                let was = cx.leave(self.group);
                cx.send(&[if was { b"left" } else { b"out!" }]);
            }
            "say" => cx.broadcast(self.group, &[rest.as_bytes()]).expect("lines can be encoded"),
            // Sends to another connection, by its place in the log.
            "tell" => {
                let (whom, what) = rest.split_once(' ').expect("whom and what");
                let handle = self.log.borrow().opened[number(whom)];
                let sent = cx.send_to(handle, &[what.as_bytes()]);
                self.note(sent);
                cx.send(&[b"told"]);
            }
            "kick" => {
                let handle = self.log.borrow().opened[number(rest)];
                let closed = cx.close_other(handle, CloseMode::AtOnce);
                self.note(closed);
            }
            "offload" => {
                let given = rest.to_owned();
                cx.offload(
                    move || given.to_uppercase(),
                    |_, _, result, cx| {
                        cx.send(&[result.as_bytes()]);
                    },
                )
                .expect("within the limit");
            }
            "offload_panic" => {
                cx.offload(|| panic!("work that panics"), |_, _, (), _| unreachable!("it has no result"))
                    .expect("within the limit");
            }
            "panic" => panic!("a service that panics"),
            "leave_because" => {
                cx.send(&[b"goodbye"]);
                cx.close_flushed_because("asked to");
            }
            "last" => {
                cx.expect_no_more();
                cx.send(&[b"goodbye"]);
                cx.close_flushed();
            }
            "quit_because" => cx.close_because("told to"),
            "panic_later" => {
                *last = "panic".to_owned();
                cx.set_timer(Duration::from_millis(1));
            }
            _ => panic!("{line:?} means nothing"),
        }
    }

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<String, Refused> {
        self.log.borrow_mut().opened.push(cx.handle());
        if self.refuses {
            cx.send(&[b"this is not delivered"]);
            return Err(Refused);
        }
        Ok(String::new())
    }

    fn connected(&mut self, session: &mut String, cx: &mut Context<'_, Self>) {
        self.log.borrow_mut().opened.push(cx.handle());
        cx.send(&[session.as_bytes()]);
    }

    fn connect_failed(&mut self, _: String, error: &io::Error, _: &mut Context<'_, Self>) {
        self.log.borrow_mut().connect_failed.push(error.kind());
    }

    fn idle(&mut self, _: &mut String, idle: Idle, cx: &mut Context<'_, Self>) {
        self.log.borrow_mut().idle.push(idle);
        if !self.patient {
            cx.close_for(CloseReason::Idle);
        }
    }

    fn heartbeat(&mut self, _: &mut String, cx: &mut Context<'_, Self>) -> Heartbeat {
        if !self.beats {
            return Heartbeat::None;
        }
        self.log.borrow_mut().heartbeats += 1;
        cx.send(&[b"beat"]);
        Heartbeat::Sent
    }

    fn timer(&mut self, last: &mut String, cx: &mut Context<'_, Self>) {
        match last.as_str() {
            "resume" => cx.resume(),
            "panic" => panic!("a service that panics by time"),
            precise if precise.starts_with("precise ") => {
                let wanted = Duration::from_nanos(precise["precise ".len()..].parse().expect("nanoseconds"));
                let late = cx.now().checked_sub(wanted).expect("no timer fires before its time");
                self.log.borrow_mut().late.push(late);
                cx.send(&[b"timer"]);
            }
            _ => {
                cx.send(&[b"timer"]);
            }
        }
    }

    fn writable(&mut self, _: &mut String, _: &mut Context<'_, Self>) {
        self.log.borrow_mut().writable += 1;
    }

    fn shutdown(&mut self, _: &mut String, cx: &mut Context<'_, Self>) -> Shutdown {
        if !self.stays {
            return Shutdown::Close;
        }
        cx.send(&[b"bye"]);
        Shutdown::GoOn
    }

    fn close(&mut self, _: String, reason: CloseReason, cx: &mut Context<'_, Self>) {
        self.log.borrow_mut().closed.push(reason);
        // A service that does not know that it is too late: none of it may have any effect.
        cx.set_timer(Duration::from_millis(1));
        cx.send(&[b"too late"]);
        cx.resume();
    }
}

impl Notice<u32> for Script {
    fn notice(&mut self, _: &mut String, value: u32, cx: &mut Context<'_, Self>) {
        cx.send(&[format!("notice {value}").as_bytes()]);
    }
}
