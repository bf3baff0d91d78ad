//! Connections that end their own direction of the stream and go on reading.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::filters::{DATA, END, HELLO, Units, read_unit, unit};
use super::rig::{Ending, Rig, Setup};
use super::{Client, Net, on_every_driver};
use crate::driver::Driver;
use crate::proto::Lines;
use crate::{CloseReason, Context, Handle, Heartbeat, Refused, SendStatus, Service};

const SHORT: Duration = Duration::from_millis(60);

#[derive(Default)]
struct Seen {
    opened: Vec<Handle>,
    lines: Vec<String>,
    said: Vec<String>,
    heartbeats: usize,
    closed: Vec<CloseReason>,
}

type SharedSeen = Rc<RefCell<Seen>>;

/// Ends its own direction when a line says so, and writes down what still comes.
struct Hearer(SharedSeen);

impl Service for Hearer {
    type Codec = Lines;
    type Session = ();

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<(), Refused> {
        self.0.borrow_mut().opened.push(cx.handle());
        Ok(())
    }

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        let line = std::str::from_utf8(line).expect("lines here are text").to_owned();
        let first = self.0.borrow().opened[0];
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("answer", length) => drop(cx.answer(&vec![b'x'; length.parse().expect("a number")])),
            ("shut", _) => {
                cx.send(&[b"last words"]);
                cx.shutdown_write();
                assert_eq!(cx.send(&[b"too late"]), SendStatus::Closed);
            }
            ("shut_first", _) => {
                let sent = cx.send_to(first, &[b"last words from elsewhere"]);
                let shut = cx.shutdown_write_other(first);
                self.0.borrow_mut().said.push(format!("{sent:?} {shut:?}"));
                cx.send(&[b"done"]);
            }
            ("tell_first", _) => {
                let said = format!("{:?} {:?}", cx.send_to(first, &[b"too late"]), cx.pause_other(first));
                let resumed = cx.resume_other(first);
                cx.send(&[format!("{said} {resumed:?}").as_bytes()]);
            }
            ("shut_closed", _) => {
                cx.shutdown_write();
                cx.close_flushed();
            }
            _ => {}
        }
        self.0.borrow_mut().lines.push(line);
    }

    fn heartbeat(&mut self, (): &mut (), cx: &mut Context<'_, Self>) -> Heartbeat {
        self.0.borrow_mut().heartbeats += 1;
        cx.send(&[b"there?"]);
        Heartbeat::Sent
    }

    fn close(&mut self, (): (), reason: CloseReason, _: &mut Context<'_, Self>) {
        self.0.borrow_mut().closed.push(reason);
    }
}

/// Turns until the service has heard this line.
fn until_heard<N: Net>(rig: &mut Rig<N>, seen: &SharedSeen, line: &str) {
    rig.until(line, |_| seen.borrow().lines.iter().any(|heard| heard == line).then_some(()));
}

fn what_was_sent_leaves_before_the_end_and_reading_goes_on<N: Net>(net: N) {
    let seen = SharedSeen::default();
    let mut rig = Setup::new().listen(Hearer(seen.clone())).on(net);
    let mut client = rig.connect();
    // Much more than the kernel takes at once.
    rig.write(&mut client, b"answer 3000000\nshut\n");
    let (read, ending) = rig.read_to_end(&mut client);
    assert_eq!((read.len(), ending), (3_000_000 + b"last words\n".len(), Ending::Finished));
    assert!(read.ends_with(b"xlast words\n"));
    for line in ["this", "and that"] {
        rig.write(&mut client, format!("{line}\n").as_bytes());
        until_heard(&mut rig, &seen, line);
    }
    assert!(seen.borrow().closed.is_empty());
    rig.write(&mut client, b"the last");
    client.shutdown();
    rig.until("the close", |_| (!seen.borrow().closed.is_empty()).then_some(()));
    assert_eq!(
        (&seen.borrow().closed[..], seen.borrow().lines.last().unwrap().as_str()),
        (&[CloseReason::Peer][..], "the last")
    );
    drop(client);
    rig.finish();
}

fn another_connection_ends_it_after_what_it_has_sent_to_it<N: Net>(net: N) {
    let seen = SharedSeen::default();
    let mut rig = Setup::new().listen(Hearer(seen.clone())).on(net);
    let mut first = rig.connect();
    rig.write(&mut first, b"here\n");
    until_heard(&mut rig, &seen, "here");
    let mut second = rig.connect();
    assert_eq!(rig.ask(&mut second, "shut_first"), "done");
    assert_eq!(rig.read_to_end(&mut first), (b"last words from elsewhere\n".to_vec(), Ending::Finished));
    assert_eq!(seen.borrow().said, ["Ok(Queued) Ok(())"]);
    // It takes nothing any more, and can be paused as before.
    assert_eq!(rig.ask(&mut second, "tell_first"), "Err(Gone) Ok(()) Ok(())");
    // To do it again is no error.
    assert_eq!(rig.ask(&mut second, "shut_first"), "done");
    assert_eq!(seen.borrow().said[1], "Err(Gone) Ok(())");
    rig.write(&mut first, b"still here\n");
    until_heard(&mut rig, &seen, "still here");
    drop((first, second));
    rig.finish();
}

fn it_can_be_closed_afterwards_and_its_peer_has_the_usual_time_to_end<N: Net>(net: N) {
    let seen = SharedSeen::default();
    let setup = Setup::new().timeouts(|timeouts| timeouts.linger = SHORT);
    let mut rig = setup.listen(Hearer(seen.clone())).on(net);
    let mut client = rig.connect();
    rig.write(&mut client, b"shut\n");
    assert_eq!(rig.read_to_end(&mut client), (b"last words\n".to_vec(), Ending::Finished));
    rig.write(&mut client, b"shut_closed\n");
    // The peer does not end its direction.
    rig.until_closed(CloseReason::Service, 1);
    drop(client);
    rig.finish();
}

fn it_is_not_asked_for_heartbeats_and_the_silence_of_its_peer_counts<N: Net>(net: N) {
    let seen = SharedSeen::default();
    let setup = Setup::new().timeouts(|timeouts| {
        (timeouts.heartbeat, timeouts.write_idle) = (Some(SHORT), Some(SHORT));
        timeouts.read_idle = Some(SHORT * 4);
        timeouts.linger = Duration::ZERO;
    });
    let mut rig = setup.listen(Hearer(seen.clone())).on(net);
    let mut client = rig.connect();
    let silent_from = rig.reactor.driver().now();
    rig.write(&mut client, b"shut\n");
    let (read, _) = rig.read_to_end(&mut client);
    assert!(read.ends_with(b"last words\n"));
    let before = seen.borrow().heartbeats;
    rig.until_closed(CloseReason::Idle, 1);
    let silence = rig.reactor.driver().now() - silent_from;
    assert!(silence >= SHORT * 3 && seen.borrow().heartbeats == before, "{silence:?}");
    drop(client);
    rig.finish();
}

fn a_filter_says_good_bye_before_the_end_and_goes_on_reading<N: Net>(net: N) {
    let seen = SharedSeen::default();
    let mut rig = Setup::new().listen(Hearer(seen.clone())).filtered(Arc::new(Units::default())).on(net);
    let mut client = rig.connect();
    rig.write(&mut client, &unit(HELLO, b"it is me"));
    read_unit(&mut rig, &mut client);
    rig.write(&mut client, &unit(DATA, b"shut\n"));
    assert_eq!(read_unit(&mut rig, &mut client), (DATA, b"last words\n".to_vec()));
    assert_eq!(rig.read_to_end(&mut client), (unit(END, b""), Ending::Finished));
    rig.write(&mut client, &unit(DATA, b"one\ntwo\n"));
    until_heard(&mut rig, &seen, "two");
    // A unit that is wrong is answered by nothing: nothing follows a good-bye.
    rig.write(&mut client, b"?\0\0");
    rig.until_closed(CloseReason::Filter, 1);
    assert_eq!(rig.read_now(&mut client), 0);
    drop(client);
    rig.finish();
}

on_every_driver!(
    what_was_sent_leaves_before_the_end_and_reading_goes_on,
    another_connection_ends_it_after_what_it_has_sent_to_it,
    it_can_be_closed_afterwards_and_its_peer_has_the_usual_time_to_end,
    it_is_not_asked_for_heartbeats_and_the_silence_of_its_peer_counts,
    a_filter_says_good_bye_before_the_end_and_goes_on_reading,
);
