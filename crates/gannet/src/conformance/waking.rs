//! Services that other threads call, and encoded bytes that one service sends to the connections of another.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};

use super::Net;
use super::on_every_driver;
use super::rig::Setup;
use crate::proto::{Lines, Raw};
use crate::{Bytes, Context, Handle, SendError, SendStatus, Service, ServiceContext};

/// Says the handle of each connection, and answers lines.
struct Listening {
    opened: mpsc::Sender<Handle>,
}

impl Service for Listening {
    type Codec = Lines;
    type Session = ();

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<(), crate::Refused> {
        self.opened.send(cx.handle()).map_err(|_| crate::Refused)
    }

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[line]);
    }
}

/// What the pump shall do, and what came of it.
#[derive(Default)]
struct Orders {
    waiting: Mutex<Vec<(Handle, Bytes)>>,
    outcomes: Mutex<Vec<Result<SendStatus, SendError>>>,
    calls: AtomicUsize,
}

/// Sends what it was ordered to, one order a call.
struct Pump {
    orders: Arc<Orders>,
}

impl Service for Pump {
    type Codec = Raw;
    type Session = ();

    fn message(&mut self, (): &mut (), _: &[u8], _: &mut Context<'_, Self>) {}

    fn woken(&mut self, cx: &mut ServiceContext<'_, Self>) {
        let call = self.orders.calls.fetch_add(1, Ordering::Relaxed) + 1;
        let mut waiting = self.orders.waiting.lock().expect("nobody panics with it");
        let order = if waiting.is_empty() { None } else { Some(waiting.remove(0)) };
        let left = waiting.len();
        drop(waiting);
        if left > 0 {
            cx.wake_again();
        }
        let Some((handle, bytes)) = order else { panic!("call {call} finds nothing to do") };
        let outcome = cx.send_encoded(handle, &bytes);
        self.orders.outcomes.lock().expect("nobody panics with it").push(outcome);
    }
}

fn a_service_that_another_thread_calls_finds_what_was_left_for_it<N: Net>(net: N) {
    let (opened, handles) = mpsc::channel();
    let orders = Arc::new(Orders::default());
    let mut setup = Setup::new().limits(|limits| limits.mailbox = 1).listen(Listening { opened });
    let pump = setup.outbound(Pump { orders: orders.clone() });
    let mut rig = setup.on(net);
    let (mut first, mut second) = (rig.connect(), rig.connect());
    assert_eq!(rig.ask(&mut first, "there"), "there");
    assert_eq!(rig.ask(&mut second, "there"), "there");
    let handles = [handles.recv().expect("the first"), handles.recv().expect("the second")];
    // The mailbox has no room, which a call does not need.
    rig.remote.send(handles[0], "a letter").expect("room for one letter");
    assert_eq!(rig.remote.send(handles[0], "more"), Err(SendError::MailboxFull));
    let (remote, left) = (rig.remote.clone(), orders.clone());
    let large = Bytes::from(vec![b'x'; 100_000]);
    let sent = large.clone();
    let caller = std::thread::spawn(move || {
        let texts = [(handles[0], Bytes::from_static(b"one\n")), (handles[1], sent), (handles[0], "two\n".into())];
        left.waiting.lock().expect("nobody panics with it").extend(texts);
        remote.wake_service(0, pump).expect("the engine runs");
        remote.wake_service(0, pump).expect("the engine runs");
    });
    let mut lines = [rig.line(&mut first), rig.line(&mut first), rig.line(&mut first)];
    lines.sort();
    assert_eq!(lines, ["a letter", "one", "two"]);
    assert_eq!(rig.read(&mut second, large.len()), large);
    caller.join().expect("the caller ends");
    assert_eq!(orders.outcomes.lock().expect("nobody panics with it").len(), 3);
    drop((first, second));
    rig.finish();
}

fn encoded_bytes_for_a_connection_that_is_gone_are_an_error_and_reach_nobody<N: Net>(net: N) {
    let (opened, handles) = mpsc::channel();
    let orders = Arc::new(Orders::default());
    let mut setup = Setup::new().listen(Listening { opened });
    let pump = setup.outbound(Pump { orders: orders.clone() });
    let mut rig = setup.on(net);
    let mut gone = rig.connect();
    assert_eq!(rig.ask(&mut gone, "there"), "there");
    let stale = handles.recv().expect("the first");
    drop(gone);
    rig.until("the first to be gone", |rig| (rig.remote.stats()[0].services[0].connections == 0).then_some(()));
    let mut other = rig.connect();
    assert_eq!(rig.ask(&mut other, "there"), "there");
    let handle = handles.recv().expect("the second");
    orders.waiting.lock().expect("nobody panics with it").extend([(stale, "lost\n".into()), (handle, "here\n".into())]);
    rig.remote.wake_service(0, pump).expect("the engine runs");
    assert_eq!(rig.line(&mut other), "here");
    assert_eq!(*orders.outcomes.lock().expect("nobody panics with it"), [Err(SendError::Gone), Ok(SendStatus::Queued)]);
    drop(other);
    rig.finish();
}

fn a_call_that_panics_closes_nobody_and_the_service_is_called_again<N: Net>(net: N) {
    let (opened, handles) = mpsc::channel();
    let orders = Arc::new(Orders::default());
    let mut setup = Setup::new().listen(Listening { opened });
    let pump = setup.outbound(Pump { orders: orders.clone() });
    let mut rig = setup.on(net);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "there"), "there");
    let handle = handles.recv().expect("a connection");
    rig.remote.wake_service(7, pump).expect("the number of a reactor is taken modulo their number");
    rig.until("the call that panics", |_| (orders.calls.load(Ordering::Relaxed) == 1).then_some(()));
    orders.waiting.lock().expect("nobody panics with it").push((handle, "after\n".into()));
    rig.remote.wake_service(0, pump).expect("the engine runs");
    assert_eq!(rig.line(&mut client), "after");
    drop(client);
    rig.finish();
}

/// Sends until it is told that the outbox is over its high mark, and counts what came after.
fn a_slow_connection_is_reported_with_the_first_bytes_over_its_high_mark<N: Net>(net: N) {
    let (opened, handles) = mpsc::channel();
    let orders = Arc::new(Orders::default());
    let mut setup = Setup::new().limits(|limits| limits.outbox_high = 10_000).listen(Listening { opened });
    let pump = setup.outbound(Pump { orders: orders.clone() });
    let mut rig = setup.on(net);
    let mut client = rig.connect();
    assert_eq!(rig.ask(&mut client, "there"), "there");
    let handle = handles.recv().expect("a connection");
    let large = Bytes::from(vec![b'\n'; 10_001]);
    orders.waiting.lock().expect("nobody panics with it").push((handle, large.clone()));
    rig.remote.wake_service(0, pump).expect("the engine runs");
    assert_eq!(rig.read(&mut client, large.len()), large);
    assert_eq!(*orders.outcomes.lock().expect("nobody panics with it"), [Ok(SendStatus::OverHigh)]);
    drop(client);
    rig.finish();
}

on_every_driver!(
    a_service_that_another_thread_calls_finds_what_was_left_for_it,
    encoded_bytes_for_a_connection_that_is_gone_are_an_error_and_reach_nobody,
    a_call_that_panics_closes_nobody_and_the_service_is_called_again,
    a_slow_connection_is_reported_with_the_first_bytes_over_its_high_mark,
);
