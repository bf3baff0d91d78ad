//! The error behind the reason for which a connection closes reaches its service.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use super::filters::{Units, greeted};
use super::rig::{Rig, Setup};
use super::{Client, Net, on_every_driver};
use crate::proto::lines::Error as LinesError;
use crate::proto::{LengthPrefixed, Lines};
use crate::{CloseMode, CloseReason, CodecError, Context, FilterError, Service};

/// Why a connection closed, and what the error behind it says.
type Why = (CloseReason, Option<String>);

/// Does what it is told, and notes why each connection closed.
#[derive(Clone, Default)]
struct Notes(Rc<RefCell<Vec<Why>>>);

impl Service for Notes {
    type Codec = Lines;
    type Session = ();

    fn codec(&self) -> Lines {
        Lines::new().limit(10)
    }

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        match line {
            b"panic" => panic!("told to"),
            b"error" => cx.close_for_error("full", "no room", CloseMode::Flushed),
            b"twice" => {
                cx.close_for_error("full", "no room", CloseMode::Flushed);
                cx.close_for_error("other", "too late", CloseMode::Flushed);
            }
            b"work" => cx.offload(|| panic!("at work"), |_, (), (), _| ()).expect("there is room"),
            _ => cx.close(),
        }
    }

    fn close(&mut self, (): (), reason: CloseReason, cx: &mut Context<'_, Self>) {
        let cause = cx.close_cause();
        match reason {
            CloseReason::FrameTooLarge => assert!(cause.is_some_and(|cause| cause.is::<LinesError>())),
            CloseReason::Filter => assert!(cause.is_some_and(|cause| cause.is::<FilterError>())),
            CloseReason::Io(kind) => {
                let system = cause.and_then(|cause| cause.downcast_ref::<io::Error>());
                assert_eq!(system.map(io::Error::kind), Some(kind));
            }
            _ => {}
        }
        self.0.borrow_mut().push((reason, cause.map(ToString::to_string)));
    }
}

/// Takes frames, and notes why each connection closed.
#[derive(Clone, Default)]
struct Frames(Notes);

impl Service for Frames {
    type Codec = LengthPrefixed;
    type Session = ();

    fn message(&mut self, (): &mut (), _: &[u8], _: &mut Context<'_, Self>) {}

    fn malformed(&mut self, (): &mut (), _: &CodecError<Self>, _: &mut Context<'_, Self>) {
        panic!("the peer has gone");
    }

    fn close(&mut self, (): (), reason: CloseReason, cx: &mut Context<'_, Self>) {
        self.0.0.borrow_mut().push((reason, cx.close_cause().map(ToString::to_string)));
    }
}

fn closed<N: Net>(rig: &mut Rig<N>, notes: &Notes) -> Why {
    rig.until("the end of a connection", |_| notes.0.borrow_mut().pop())
}

fn a_service_learns_the_error_for_which_a_connection_closes<N: Net>(net: N) {
    let notes = Notes::default();
    let mut rig = Setup::new().listen(notes.clone()).on(net);
    let full = CloseReason::Other("full");
    let cases = [
        ("a line that is long\n", CloseReason::FrameTooLarge, Some("10")),
        ("panic\n", CloseReason::Panicked, Some("told to")),
        ("work\n", CloseReason::Panicked, Some("at work")),
        ("error\n", full, Some("no room")),
        ("twice\n", full, Some("no room")),
        ("close\n", CloseReason::Service, None),
    ];
    for (sent, reason, cause) in cases {
        let mut client = rig.connect();
        rig.write(&mut client, sent.as_bytes());
        let (closed_for, said) = closed(&mut rig, &notes);
        assert_eq!(closed_for, reason, "{sent}");
        assert_eq!(said.is_some(), cause.is_some(), "{sent}: {said:?}");
        let (said, cause) = (said.unwrap_or_default(), cause.unwrap_or_default());
        assert!(said.contains(cause), "{sent}: {said}");
    }
    rig.finish();
}

fn a_service_learns_what_the_kernel_says_of_a_connection_that_breaks<N: Net>(net: N) {
    let notes = Notes::default();
    let mut rig = Setup::new().listen(notes.clone()).on(net);
    let client = rig.connect();
    rig.turn();
    client.reset();
    let (reason, said) = closed(&mut rig, &notes);
    assert!(matches!(reason, CloseReason::Io(_)), "{reason:?}");
    assert!(said.is_some());
    rig.finish();
}

fn a_service_learns_why_a_filter_failed<N: Net>(net: N) {
    let notes = Notes::default();
    let mut rig = Setup::new().listen(notes.clone()).filtered(Arc::new(Units::default())).on(net);
    let mut client = greeted(&mut rig);
    rig.write(&mut client, &[99, 0, 0]);
    let said = Some("not the unit that was expected".to_owned());
    assert_eq!(closed(&mut rig, &notes), (CloseReason::Filter, said));
    drop(client);
    rig.finish();
}

fn a_service_learns_that_a_stream_ended_inside_a_message<N: Net>(net: N) {
    let frames = Frames::default();
    let mut rig = Setup::new().listen(frames.clone()).on(net);
    for (sent, cause) in
        [(&b"\0\0\0\x05hel"[..], Some("stream ended inside a message, 7 bytes after its start")), (b"", None)]
    {
        let mut client = rig.connect();
        rig.write(&mut client, b"\0\0\0\x02hi");
        rig.write(&mut client, sent);
        client.shutdown();
        let (reason, said) = closed(&mut rig, &frames.0);
        assert_eq!(reason, CloseReason::Peer);
        assert_eq!(said.as_deref(), cause);
    }
    rig.finish();
}

on_every_driver!(
    a_service_learns_that_a_stream_ended_inside_a_message,
    a_service_learns_the_error_for_which_a_connection_closes,
    a_service_learns_what_the_kernel_says_of_a_connection_that_breaks,
    a_service_learns_why_a_filter_failed,
);
