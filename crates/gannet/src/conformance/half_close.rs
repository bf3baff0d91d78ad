//! Peers that end their stream and go on reading: what they asked is answered, and they are not kept for ever.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::on_every_driver;
use super::rig::{Ending, Rig, Setup};
use super::{Client, Net};
use crate::proto::Lines;
use crate::{CloseReason, Context, HalfClose, Handle, Heartbeat, Notice, Refused, Service};

const SHORT: Duration = Duration::from_millis(60);

/// Between two of the lines that nobody asks for.
const TICK: Duration = Duration::from_millis(50);

/// Much longer than anything that has to happen within it, on a machine that is busy, and not too long to wait for.
const ENOUGH: Duration = Duration::from_secs(1);

/// Longer than a test takes.
const LONG: Duration = Duration::from_secs(20);

#[derive(Default)]
struct Seen {
    opened: Vec<Handle>,
    half_closed: usize,
    heartbeats: usize,
    closed: Vec<CloseReason>,
}

type SharedSeen = Rc<RefCell<Seen>>;

/// Owes its clients replies, and pays them late.
struct Debtor {
    seen: SharedSeen,
    /// Offloaded jobs end when the test says so.
    gate: Arc<Mutex<Receiver<()>>>,
}

impl Debtor {
    fn new(seen: &SharedSeen) -> (Self, Sender<()>) {
        let (open, gate) = channel();
        (Self { seen: seen.clone(), gate: Arc::new(Mutex::new(gate)) }, open)
    }
}

/// Replies that a client still gets from elsewhere.
#[derive(Default)]
struct Owed(usize);

impl Service for Debtor {
    type Codec = Lines;
    type Session = Owed;

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<Owed, Refused> {
        self.seen.borrow_mut().opened.push(cx.handle());
        Ok(Owed(0))
    }

    fn message(&mut self, owed: &mut Owed, line: &[u8], cx: &mut Context<'_, Self>) {
        let line = std::str::from_utf8(line).expect("lines here are text").to_owned();
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("work", _) => {
                let gate = self.gate.clone();
                let work = move || {
                    gate.lock().expect("no test panicked with it").recv().expect("the test lives");
                    line
                };
                let done = |_: &mut Self, _: &mut Owed, line: String, cx: &mut Context<'_, Self>| {
                    cx.send(&[line.as_bytes()]);
                };
                cx.offload(work, done).expect("within the limit");
            }
            ("owe", _) => owed.0 += 1,
            // To another connection, by its place.
            ("tell", rest) => {
                let (whom, what) = rest.split_once(' ').expect("whom and what");
                let handle = self.seen.borrow().opened[whom.parse::<usize>().expect("a number")];
                cx.send_to(handle, &[what.as_bytes()]).expect("it lives");
                cx.send(&[b"told"]);
            }
            ("tick", _) => {
                owed.0 += 1;
                cx.set_timer(TICK);
            }
            _ => drop(cx.send(&[line.as_bytes()])),
        }
    }

    fn timer(&mut self, _: &mut Owed, cx: &mut Context<'_, Self>) {
        cx.send(&[b"tick"]);
        cx.set_timer(TICK);
    }

    fn heartbeat(&mut self, _: &mut Owed, _: &mut Context<'_, Self>) -> Heartbeat {
        self.seen.borrow_mut().heartbeats += 1;
        Heartbeat::Sent
    }

    fn half_closed(&mut self, owed: &mut Owed, _: &mut Context<'_, Self>) -> HalfClose {
        self.seen.borrow_mut().half_closed += 1;
        if owed.0 > 0 { HalfClose::KeepOpen } else { HalfClose::Close }
    }

    fn close(&mut self, _: Owed, reason: CloseReason, _: &mut Context<'_, Self>) {
        self.seen.borrow_mut().closed.push(reason);
    }
}

impl Notice<&'static str> for Debtor {
    fn notice(&mut self, owed: &mut Owed, line: &'static str, cx: &mut Context<'_, Self>) {
        owed.0 -= 1;
        cx.send(&[line.as_bytes()]);
    }
}

fn rig<N: Net>(net: N, half_close: Duration) -> (Rig<N>, SharedSeen, Sender<()>) {
    let seen = SharedSeen::default();
    let (debtor, open) = Debtor::new(&seen);
    let setup = Setup::new().timeouts(|timeouts| timeouts.half_close = half_close);
    (setup.listen(debtor).on(net), seen, open)
}

/// Sends these lines, ends the stream, and turns until the service has heard of that.
fn ask_and_end<N: Net>(rig: &mut Rig<N>, seen: &SharedSeen, lines: &[u8]) -> N::Client {
    let before = seen.borrow().half_closed;
    let mut client = rig.connect();
    rig.write(&mut client, lines);
    client.shutdown();
    rig.until("the half-close", |_| (seen.borrow().half_closed > before).then_some(()));
    client
}

fn offloaded_work_is_answered_after_a_half_close<N: Net>(net: N) {
    let (mut rig, seen, open) = rig(net, LONG);
    let mut client = ask_and_end(&mut rig, &seen, b"first\nwork one\nwork two\nlast");
    for _ in 0..2 {
        rig.turn();
        open.send(()).expect("the job waits for it");
    }
    let (read, ending) = rig.read_to_end(&mut client);
    let mut lines: Vec<&[u8]> = read.split(|byte| *byte == b'\n').collect();
    // The pool ends its jobs in any order.
    lines[2..4].sort_unstable();
    assert_eq!(lines, [&b"first"[..], b"last", b"work one", b"work two", b""]);
    assert_eq!(ending, Ending::Finished);
    drop(client);
    rig.finish();
    assert_eq!(seen.borrow().closed, [CloseReason::Peer]);
}

fn a_service_keeps_a_half_closed_connection_open_until_it_has_given_its_replies<N: Net>(net: N) {
    let (mut rig, seen, _open) = rig(net, LONG);
    let mut client = ask_and_end(&mut rig, &seen, b"owe\nowe\n");
    let handle = seen.borrow().opened[0];
    rig.remote.notify::<Debtor, _>(handle, "one").expect("it lives");
    assert_eq!(rig.line(&mut client), "one");
    rig.remote.notify::<Debtor, _>(handle, "two").expect("it lives");
    assert_eq!(rig.read_to_end(&mut client), (b"two\n".to_vec(), Ending::Finished));
    drop(client);
    rig.finish();
    assert_eq!(seen.borrow().closed, [CloseReason::Peer]);
}

fn another_connection_still_reaches_a_peer_that_half_closed<N: Net>(net: N) {
    let (mut rig, seen, _open) = rig(net, ENOUGH);
    let mut client = ask_and_end(&mut rig, &seen, b"owe\n");
    let mut other = rig.connect();
    assert_eq!(rig.ask(&mut other, "tell 0 hello"), "told");
    // Nobody says that it was the last reply: the limit does.
    assert_eq!(rig.read_to_end(&mut client), (b"hello\n".to_vec(), Ending::Finished));
    drop((client, other));
    rig.finish();
}

fn a_half_closed_connection_is_closed_when_nothing_was_sent_for_the_limit<N: Net>(net: N) {
    let (mut rig, seen, open) = rig(net, SHORT);
    let mut client = ask_and_end(&mut rig, &seen, b"work\n");
    assert_eq!(rig.read_to_end(&mut client), (Vec::new(), Ending::Finished));
    open.send(()).expect("the job waits for it");
    drop(client);
    rig.finish();
    assert_eq!(seen.borrow().closed, [CloseReason::Peer]);
}

fn a_half_closed_connection_that_is_sent_to_stays<N: Net>(net: N) {
    let (mut rig, seen, _open) = rig(net, ENOUGH);
    let mut client = ask_and_end(&mut rig, &seen, b"tick\n");
    // Longer than the limit, all together.
    for _ in 0..=ENOUGH.as_millis() / TICK.as_millis() {
        assert_eq!(rig.line(&mut client), "tick");
    }
    drop(client);
    rig.finish();
}

fn the_reset_of_a_half_closed_connection_is_noticed<N: Net>(net: N) {
    let (mut rig, seen, _open) = rig(net, LONG);
    let client = ask_and_end(&mut rig, &seen, b"owe\n");
    rig.turn();
    client.reset();
    rig.until("the close", |_| (!seen.borrow().closed.is_empty()).then_some(()));
    rig.finish();
    assert!(matches!(seen.borrow().closed[..], [CloseReason::Io(_)]), "{:?}", seen.borrow().closed);
}

fn a_peer_that_cannot_send_any_more_is_neither_idle_nor_asked_for_a_heartbeat<N: Net>(net: N) {
    let seen = SharedSeen::default();
    let (debtor, _open) = Debtor::new(&seen);
    let setup = Setup::new().timeouts(|timeouts| {
        timeouts.half_close = LONG;
        timeouts.heartbeat = Some(SHORT / 4);
        timeouts.read_idle = Some(SHORT);
    });
    let mut rig = setup.listen(debtor).on(net);
    let mut client = ask_and_end(&mut rig, &seen, b"owe\n");
    let before = seen.borrow().heartbeats;
    rig.pass(SHORT * 3);
    assert_eq!(seen.borrow().heartbeats, before);
    let handle = seen.borrow().opened[0];
    rig.remote.notify::<Debtor, _>(handle, "late").expect("it lives");
    assert_eq!(rig.read_to_end(&mut client), (b"late\n".to_vec(), Ending::Finished));
    drop(client);
    rig.finish();
    assert_eq!(seen.borrow().closed, [CloseReason::Peer]);
}

on_every_driver!(
    offloaded_work_is_answered_after_a_half_close,
    a_service_keeps_a_half_closed_connection_open_until_it_has_given_its_replies,
    another_connection_still_reaches_a_peer_that_half_closed,
    a_half_closed_connection_is_closed_when_nothing_was_sent_for_the_limit,
    a_half_closed_connection_that_is_sent_to_stays,
    the_reset_of_a_half_closed_connection_is_noticed,
    a_peer_that_cannot_send_any_more_is_neither_idle_nor_asked_for_a_heartbeat,
);
