//! Codecs and services that would never come to rest: nothing they do keeps a reactor from its other connections, or from
//! its end.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::rig::{Rig, Setup};
use super::{Net, on_every_driver};
use crate::proto::{Codec, Decoded, FrameError, Lines, Raw, Sink};
use crate::{Address, CloseReason, Connect, Context, Filter, FilterError, FilterFactory, Outbound, Service};

/// Two bytes are a message; those that begin with an `x` are where the codec breaks its contract.
#[derive(Default)]
struct Pairs;

impl Codec for Pairs {
    type Message<'a> = u8;
    type Outgoing<'a> = &'a [&'a [u8]];
    type Error = FrameError;
    type State = ();

    fn decode(&self, (): &mut (), input: &mut [u8]) -> Result<Decoded<u8>, FrameError> {
        let [first, second, ..] = *input else { return Ok(Decoded::Partial { need: 2 }) };
        Ok(match (first, second) {
            (b'x', b'0') => Decoded::Taken { consumed: 0 },
            (b'x', b'1') => Decoded::Message { message: second, consumed: 0 },
            (b'x', b'2') => Decoded::Taken { consumed: input.len() + 1 },
            (b'x', b'3') => Decoded::Message { message: second, consumed: input.len() + 1 },
            (b'x', b'4') => Decoded::Partial { need: 2 },
            (b'x', b'5') => Decoded::Partial { need: 0 },
            _ => Decoded::Message { message: second, consumed: 2 },
        })
    }

    fn encode(&self, parts: &[&[u8]], out: &mut impl Sink) -> Result<(), FrameError> {
        Raw.encode(parts, out)
    }
}

/// Answers each message with its byte, and stops reading for a moment at an `h`.
struct Paired;

impl Service for Paired {
    type Codec = Pairs;
    type Session = ();

    fn message(&mut self, (): &mut (), message: u8, cx: &mut Context<'_, Self>) {
        assert!(!b"13".contains(&message), "a message that the codec should not have made");
        cx.send(&[&[message]]);
        if message == b'h' {
            cx.pause();
            cx.set_timer(Duration::from_millis(5));
        }
    }

    fn timer(&mut self, (): &mut (), cx: &mut Context<'_, Self>) {
        cx.resume();
    }
}

/// Brings a codec to what it should not do: in a chunk, in a message that came in two pieces, and in bytes that waited.
fn lead_to_fault<N: Net>(rig: &mut Rig<N>, client: &mut N::Client, fault: u8, way: usize) {
    match way {
        0 => rig.write(client, &[b'x', fault]),
        1 => {
            rig.write(client, b"-ax");
            assert_eq!(rig.read(client, 1), b"a");
            rig.write(client, &[fault]);
        }
        _ => {
            rig.write(client, &[b'-', b'h', b'x', fault]);
            assert_eq!(rig.read(client, 1), b"h");
        }
    }
}

fn a_codec_that_takes_nothing_or_more_than_there_is_closes_its_connection<N: Net>(net: N) {
    // Its peer does not end its side of the stream before it has read the end of ours.
    let setup = Setup::new().timeouts(|timeouts| timeouts.linger = Duration::from_millis(10));
    let mut rig = setup.listen(Paired).on(net);
    let mut other = rig.connect();
    let mut closed = 0;
    for fault in *b"0123" {
        for way in 0..3 {
            let mut client = rig.connect();
            lead_to_fault(&mut rig, &mut client, fault, way);
            closed += 1;
            rig.until_closed(CloseReason::Codec, closed);
            rig.read_to_end(&mut client);
            rig.write(&mut other, b"-o");
            assert_eq!(rig.read(&mut other, 1), b"o", "others are served");
        }
    }
    drop(other);
    rig.finish();
}

fn a_codec_that_asks_for_what_it_has_waits_for_more<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Paired).on(net);
    let mut other = rig.connect();
    for fault in *b"45" {
        for way in 0..3 {
            let mut client = rig.connect();
            lead_to_fault(&mut rig, &mut client, fault, way);
            for _ in 0..20 {
                rig.write(&mut client, b"-more");
                rig.write(&mut other, b"-o");
                assert_eq!(rig.read(&mut other, 1), b"o", "others are served");
            }
        }
    }
    drop(other);
    rig.finish();
}

/// How often a test lets a service have its way before it comes to rest: far more than one turn should bear.
const MANY: u64 = 100_000;

/// Never at rest once it was told to spin.
struct Restless {
    spun: Rc<Cell<u64>>,
}

impl Service for Restless {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[line]);
        // What waits behind it is decoded again and again.
        cx.pause();
        cx.resume();
        cx.decode_again();
        if line == b"spin" {
            cx.set_timer(Duration::ZERO);
        }
    }

    fn timer(&mut self, (): &mut (), cx: &mut Context<'_, Self>) {
        self.spun.set(self.spun.get() + 1);
        cx.pause();
        cx.resume();
        cx.decode_again();
        if self.spun.get() < MANY {
            cx.set_timer(Duration::ZERO);
        }
    }
}

fn a_service_that_always_has_something_to_do_at_once_keeps_nobody_from_anything<N: Net>(net: N) {
    let spun = Rc::new(Cell::new(0));
    let mut rig = Setup::new().listen(Restless { spun: spun.clone() }).on(net);
    let (mut restless, mut other) = (rig.connect(), rig.connect());
    assert_eq!(rig.ask(&mut restless, "spin"), "spin");
    rig.write(&mut restless, b"a line without an end");
    rig.until("some rounds", |_| (spun.get() > 20).then_some(()));
    assert_eq!(rig.ask(&mut other, "hello"), "hello");
    rig.remote.stop();
    rig.read_to_end(&mut restless);
    rig.read_to_end(&mut other);
    drop((restless, other));
    rig.until("the engine to end", |rig| rig.reactor.is_done().then_some(()));
    let rig = rig.finish();
    let turns = rig.remote.stats()[0].wakeups;
    assert!(spun.get() <= turns, "its timer fired {} times in {turns} turns", spun.get());
}

/// There is no filter, so no connection comes up, and that shows at once.
struct NoFilters;

impl FilterFactory for NoFilters {
    fn filter(&self) -> Result<Box<dyn Filter>, FilterError> {
        Err(FilterError::new("there is none"))
    }
}

/// Dials again whenever it failed.
struct Redialler {
    connect: Connect,
    /// Its own name, once it is known.
    outbound: Rc<Cell<Option<Outbound<Self>>>>,
    failed: Rc<Cell<u64>>,
}

impl Service for Redialler {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), _: &[u8], _: &mut Context<'_, Self>) {}

    fn connect_failed(&mut self, (): (), _: &io::Error, cx: &mut Context<'_, Self>) {
        self.failed.set(self.failed.get() + 1);
        if let Some(outbound) = self.outbound.get().filter(|_| self.failed.get() < MANY) {
            cx.connect(outbound, &self.connect, ()).expect("an address");
        }
    }
}

fn a_service_that_dials_again_whenever_it_failed_keeps_nobody_from_anything<N: Net>(net: N) {
    let (failed, name) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(None)));
    let connect = Connect::to(Address::Tcp(([127, 0, 0, 1], 9).into())).through(Arc::new(NoFilters));
    let mut setup = Setup::new().listen(Restless { spun: Rc::default() });
    let redialler = Redialler { connect: connect.clone(), outbound: name.clone(), failed: failed.clone() };
    let outbound = setup.outbound(redialler);
    name.set(Some(outbound));
    let mut rig = setup.on(net);
    let mut other = rig.connect();
    assert_eq!(rig.ask(&mut other, "before"), "before");
    rig.remote.connect(0, outbound, &connect, ()).expect("the mailbox has room");
    rig.until("some failures", |_| (failed.get() > 20).then_some(()));
    assert_eq!(rig.ask(&mut other, "hello"), "hello");
    rig.remote.stop();
    rig.read_to_end(&mut other);
    drop(other);
    rig.until("the engine to end", |rig| rig.reactor.is_done().then_some(()));
    let turns = rig.remote.stats()[0].wakeups;
    assert!(failed.get() <= 500 * turns, "it failed {} times in {turns} turns", failed.get());
}

on_every_driver!(
    a_codec_that_takes_nothing_or_more_than_there_is_closes_its_connection,
    a_codec_that_asks_for_what_it_has_waits_for_more,
    a_service_that_always_has_something_to_do_at_once_keeps_nobody_from_anything,
    a_service_that_dials_again_whenever_it_failed_keeps_nobody_from_anything,
);
