//! Codecs with messages of their own in both directions, and errors of their own.

use std::cell::RefCell;
use std::rc::Rc;

use super::rig::Setup;
use super::{Net, on_every_driver};
use crate::proto::{Codec, Decoded, FrameError, Sink};
use crate::{CloseReason, CodecError, Context, Group, Handle, Overflow, Refused, SendError, SendStatus, Service};

/// Two bytes are a question: its kind and a digit. Plain bytes mean something where `PLAIN`.
#[derive(Default)]
struct Questions<const PLAIN: bool>;

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Frame(#[from] FrameError),
    #[error("no question begins with {0}")]
    Kind(char),
    #[error("{0} cannot be said")]
    Unspeakable(u8),
}

enum Said {
    Digit(u8),
    Twice(u8),
    Unspeakable(u8),
}

impl<const PLAIN: bool> Codec for Questions<PLAIN> {
    type Message<'a> = (u8, u8);
    type Outgoing<'a> = Said;
    type Error = Fault;
    type State = ();

    fn decode(&self, (): &mut (), input: &mut [u8]) -> Result<Decoded<(u8, u8)>, Fault> {
        match *input {
            [b'L', ..] => Err(FrameError::TooLarge { length: 7, limit: 2 }.into()),
            [b'W', ..] => Ok(Decoded::Partial { need: 100_000 }),
            [kind, ..] if kind.is_ascii_uppercase() => Err(Fault::Kind(kind.into())),
            [kind, digit, ..] => Ok(Decoded::Message { message: (kind, digit), consumed: 2 }),
            _ => Ok(Decoded::Partial { need: 2 }),
        }
    }

    fn encode(&self, said: Said, out: &mut impl Sink) -> Result<(), Fault> {
        match said {
            Said::Digit(digit) => out.put(&[digit]),
            Said::Twice(digit) => out.put(&[digit, digit]),
            Said::Unspeakable(digit) => return Err(Fault::Unspeakable(digit)),
        }
        Ok(())
    }

    fn encode_payload(&self, payload: &[u8], out: &mut impl Sink) -> Result<(), Fault> {
        if !PLAIN {
            return Err(FrameError::NoPayload.into());
        }
        out.put(b"~");
        out.put(payload);
        Ok(())
    }
}

/// Answers questions.
struct Answers<const PLAIN: bool> {
    everybody: Group,
    heard: Rc<RefCell<Heard>>,
}

#[derive(Default)]
struct Heard {
    handles: Vec<Handle>,
    faults: Vec<Fault>,
    unsaid: Vec<SendStatus>,
    undelivered: Vec<SendError>,
}

impl<const PLAIN: bool> Service for Answers<PLAIN> {
    type Codec = Questions<PLAIN>;
    type Session = ();

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<(), Refused> {
        self.heard.borrow_mut().handles.push(cx.handle());
        cx.join(self.everybody).map_err(|_| Refused)
    }

    fn message(&mut self, (): &mut (), (kind, digit): (u8, u8), cx: &mut Context<'_, Self>) {
        let mut heard = self.heard.borrow_mut();
        let first = heard.handles[0];
        match kind {
            b'e' => drop(cx.send(Said::Digit(digit))),
            b'u' => heard.unsaid.push(cx.send(Said::Unspeakable(digit))),
            b'b' => cx.broadcast(self.everybody, Said::Twice(digit)).expect("there is room"),
            b't' => drop(cx.send_to(first, Said::Digit(digit)).expect("it lives")),
            _ => {
                heard.undelivered.extend(cx.send_to(first, Said::Unspeakable(digit)).err());
                heard.undelivered.extend(cx.broadcast(self.everybody, Said::Unspeakable(digit)).err());
                cx.send_shared(b"shared".as_slice().into());
            }
        }
    }

    fn malformed(&mut self, (): &mut (), error: &CodecError<Self>, cx: &mut Context<'_, Self>) {
        cx.answer(format!("{error}\n").as_bytes());
        self.heard.borrow_mut().faults.push(match error {
            Fault::Frame(error) => Fault::Frame(*error),
            Fault::Kind(kind) => Fault::Kind(*kind),
            Fault::Unspeakable(digit) => Fault::Unspeakable(*digit),
        });
    }
}

fn answers<const PLAIN: bool>(heard: &Rc<RefCell<Heard>>) -> Answers<PLAIN> {
    Answers { everybody: Group::new(), heard: heard.clone() }
}

fn a_codecs_own_error_reaches_its_service_and_says_why_the_connection_closes<N: Net>(net: N) {
    let heard = Rc::default();
    let mut rig = Setup::new().limits(|limits| limits.carry = 10_000).listen(answers::<false>(&heard)).on(net);
    let limit = |length, limit| FrameError::TooLarge { length, limit };
    let cases = [
        (b"e1X", Fault::Kind('X'), CloseReason::Protocol),
        (b"e1L", Fault::Frame(limit(7, 2)), CloseReason::FrameTooLarge),
        // Here the engine makes the error.
        (b"e1W", Fault::Frame(limit(100_000, 10_000)), CloseReason::FrameTooLarge),
    ];
    let mut closed = Vec::new();
    for (sent, fault, reason) in cases {
        let mut client = rig.connect();
        rig.write(&mut client, sent);
        assert_eq!(rig.read_to_end(&mut client).0, format!("1{fault}\n").as_bytes());
        closed.push(reason);
        rig.until_closed(reason, closed.iter().filter(|other| **other == reason).count() as u64);
        assert_eq!(heard.borrow_mut().faults.drain(..).collect::<Vec<_>>(), [fault]);
    }
    rig.finish();
}

fn typed_messages_reach_their_connections_as_the_codec_writes_them<N: Net>(net: N) {
    exchange(net, Overflow::Close);
}

fn typed_messages_leave_whole_where_old_ones_may_be_dropped<N: Net>(net: N) {
    exchange(net, Overflow::DropOldest);
}

fn exchange<N: Net>(net: N, overflow: Overflow) {
    let heard = Rc::default();
    let mut rig = Setup::new().limits(|limits| limits.overflow = overflow).listen(answers::<false>(&heard)).on(net);
    let mut one = rig.connect();
    rig.write(&mut one, b"e1");
    assert_eq!(rig.read(&mut one, 1), b"1");
    let mut two = rig.connect();
    rig.write(&mut two, b"e2b3t4");
    assert_eq!(rig.read(&mut two, 3), b"233");
    assert_eq!(rig.read(&mut one, 3), b"334");
    drop((one, two));
    rig.finish();
}

fn a_message_that_the_codec_refuses_leaves_nothing_and_the_connection_goes_on<N: Net>(net: N) {
    let heard: Rc<RefCell<Heard>> = Rc::default();
    let mut rig = Setup::new().listen(answers::<false>(&heard)).on(net);
    let mut client = rig.connect();
    rig.write(&mut client, b"u1x2e3");
    assert_eq!(rig.read(&mut client, 1), b"3");
    drop(client);
    rig.finish();
    assert_eq!(heard.borrow().unsaid, [SendStatus::Unencodable]);
    assert_eq!(heard.borrow().undelivered, [SendError::Encode; 2]);
}

fn plain_bytes_from_elsewhere_become_the_message_that_the_codec_makes_of_them<N: Net>(net: N) {
    let heard: Rc<RefCell<Heard>> = Rc::default();
    let mut rig = Setup::new().listen(answers::<true>(&heard)).on(net);
    let mut client = rig.connect();
    rig.write(&mut client, b"e1x2");
    assert_eq!(rig.read(&mut client, 8), b"1~shared");
    let handle = heard.borrow().handles[0];
    rig.remote.send(handle, "news").expect("it lives");
    assert_eq!(rig.read(&mut client, 5), b"~news");
    drop(client);
    rig.finish();
}

fn plain_bytes_that_the_codec_has_no_message_for_go_nowhere_and_the_connection_goes_on<N: Net>(net: N) {
    let heard: Rc<RefCell<Heard>> = Rc::default();
    let mut rig = Setup::new().listen(answers::<false>(&heard)).on(net);
    let mut client = rig.connect();
    rig.write(&mut client, b"e1");
    assert_eq!(rig.read(&mut client, 1), b"1");
    let handle = heard.borrow().handles[0];
    rig.remote.send(handle, "news").expect("it lives");
    rig.turn();
    rig.write(&mut client, b"e2");
    assert_eq!(rig.read(&mut client, 1), b"2");
    drop(client);
    rig.finish();
}

on_every_driver!(
    a_codecs_own_error_reaches_its_service_and_says_why_the_connection_closes,
    typed_messages_reach_their_connections_as_the_codec_writes_them,
    typed_messages_leave_whole_where_old_ones_may_be_dropped,
    a_message_that_the_codec_refuses_leaves_nothing_and_the_connection_goes_on,
    plain_bytes_from_elsewhere_become_the_message_that_the_codec_makes_of_them,
    plain_bytes_that_the_codec_has_no_message_for_go_nowhere_and_the_connection_goes_on,
);
