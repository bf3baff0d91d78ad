//! Peers that send without end: what one of them gets of a turn is bounded, and nobody else waits for it longer.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::rig::{Ending, Rig, Setup};
use super::script::{Echo, SharedLog, frames, lines, raw};
use super::simulated::on_network;
use super::{Client, Net, on_every_driver};
use crate::driver::sim::{Faults, Random};
use crate::proto::{Codec, Decoded, FrameError, Lines, Raw, Sink};
use crate::share::{DELIVERY_BYTES, MESSAGE_BYTES, SHARE_BYTES};
use crate::{Context, Filter, FilterError, FilterFactory, FilterOutput, FilterProgress, Group, Refused, Service};

/// Messages without content in the share of a connection.
const MESSAGES: usize = SHARE_BYTES / MESSAGE_BYTES;

/// The most that a driver receives at once: the last message of a share may be so large.
const LARGEST_CHUNK: usize = 64 * 1024;

/// What a service was given so far.
#[derive(Clone, Copy, Default)]
struct Given {
    messages: usize,
    bytes: usize,
    asked: usize,
    /// Messages since the last one that is larger than a chunk.
    since_large: usize,
}

type Tally = Rc<Cell<Given>>;

/// Counts what comes, and answers what begins with a question mark.
struct Counting<C> {
    codec: fn() -> C,
    tally: Tally,
}

impl<C: for<'a> Codec<Message<'a> = &'a [u8], Outgoing<'a> = &'a [&'a [u8]]>> Service for Counting<C> {
    type Codec = C;
    type Session = ();

    fn codec(&self) -> C {
        (self.codec)()
    }

    fn message(&mut self, (): &mut (), message: &[u8], cx: &mut Context<'_, Self>) {
        let mut given = self.tally.get();
        if message.first() == Some(&b'?') {
            given.asked += 1;
            cx.send(&[message]);
        } else {
            given.messages += 1;
            given.bytes += message.len();
            given.since_large = if message.len() > LARGEST_CHUNK { 0 } else { given.since_large + 1 };
        }
        self.tally.set(given);
    }
}

/// Writes as much as a connection takes now.
fn flood(client: &mut impl Client, bytes: &[u8]) {
    while client.write(bytes).is_ok() {}
}

/// Turns once; says how much of a count the turn added.
fn turn<N: Net>(rig: &mut Rig<N>, count: impl Fn() -> usize) -> usize {
    let before = count();
    rig.turn();
    count() - before
}

fn a_turn_takes_no_more_messages_of_a_flood_than_a_share<N: Net>(net: N) {
    let tally = Tally::default();
    let mut rig = Setup::new().listen(Counting { codec: lines, tally: tally.clone() }).on(net);
    few_at_a_time(&mut rig, &tally);
}

fn a_turn_takes_no_more_messages_of_a_flood_through_a_filter_than_a_share<N: Net>(net: N) {
    let tally = Tally::default();
    let setup = Setup::new().listen(Counting { codec: lines, tally: tally.clone() }).filtered(Arc::new(Through));
    few_at_a_time(&mut setup.on(net), &tally);
}

/// A flood of empty lines beside one who asks: no turn takes more than a share, and every question is answered.
fn few_at_a_time<N: Net>(rig: &mut Rig<N>, tally: &Tally) {
    let (mut flooding, mut asking) = (rig.connect(), rig.connect());
    let nothing = vec![b'\n'; LARGEST_CHUNK];
    for question in 1..=20 {
        rig.write(&mut asking, b"?\n");
        while tally.get().asked < question {
            flood(&mut flooding, &nothing);
            let taken = turn(rig, || tally.get().messages);
            assert!(taken <= MESSAGES, "{taken} messages of one connection in a turn");
        }
        assert_eq!(rig.read(&mut asking, 2), b"?\n");
    }
    assert!(tally.get().messages > MESSAGES, "it was no flood: {} messages", tally.get().messages);
}

fn a_turn_takes_no_more_bytes_of_a_flood_than_a_share<N: Net>(net: N) {
    let tally = Tally::default();
    let mut rig = Setup::new().listen(Counting { codec: raw, tally: tally.clone() }).on(net);
    let mut flooding = rig.connect();
    let bytes = vec![b'!'; LARGEST_CHUNK];
    while tally.get().bytes < 8 * SHARE_BYTES {
        flood(&mut flooding, &bytes);
        let taken = turn(&mut rig, || tally.get().bytes);
        assert!(taken <= SHARE_BYTES + LARGEST_CHUNK, "{taken} bytes of one connection in a turn");
    }
}

/// A message that is as large as most of a share, and a whole share of messages without content behind it.
fn the_bytes_of_a_large_message_count_in_the_turn_in_which_they_come<N: Net>(net: N) {
    const LARGE: usize = SHARE_BYTES - 16 * 1024;
    let tally = Tally::default();
    let mut rig = Setup::new().listen(Counting { codec: frames, tally: tally.clone() }).on(net);
    let mut flooding = rig.connect();
    let mut round = (LARGE as u32).to_be_bytes().to_vec();
    round.resize(4 + LARGE + 4 * MESSAGES, 0);
    round[4..4 + LARGE].fill(b'!');
    let mut written = 0;
    while tally.get().messages < 20 * MESSAGES {
        while let Ok(count) = flooding.write(&round[written..]) {
            written = (written + count) % round.len();
        }
        // What came before the turn is not in its share; what came before the large message may be in it as well.
        let (held, before) = (rig.remote.stats()[0].carry_bytes as usize, tally.get().bytes);
        rig.turn();
        let Given { bytes, since_large, .. } = tally.get();
        if bytes > before {
            let work = LARGE.saturating_sub(held) + MESSAGE_BYTES * since_large;
            let last = 2 * MESSAGE_BYTES;
            assert!(
                work <= SHARE_BYTES + last,
                "{since_large} messages behind a large one, of which {held} bytes were held"
            );
        }
    }
}

/// Three who send messages of a megabyte without end, and of each of them most turns see only a part.
fn beside_large_messages_without_end_a_question_waits_for_a_few_turns<N: Net>(net: N) {
    const LARGE: usize = 1 << 20;
    let tally = Tally::default();
    let mut rig = Setup::new().listen(Counting { codec: frames, tally: tally.clone() }).on(net);
    let (mut floods, mut asking) = ([0; 3].map(|_| (rig.connect(), 0)), rig.connect());
    let mut large = (LARGE as u32).to_be_bytes().to_vec();
    large.resize(4 + LARGE, b'!');
    for question in 1..=40 {
        rig.write(&mut asking, b"\0\0\0\x01?");
        let mut turns = 0;
        while tally.get().asked < question {
            for (flood, written) in &mut floods {
                while let Ok(count) = flood.write(&large[*written..]) {
                    *written = (*written + count) % large.len();
                }
            }
            rig.turn();
            turns += 1;
            assert!(turns < 50, "{turns} turns without an answer");
        }
        assert_eq!(rig.read(&mut asking, 5), b"\0\0\0\x01?");
    }
}

/// Charges for each message.
struct Costly {
    charge: usize,
    messages: Rc<Cell<usize>>,
}

impl Service for Costly {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), _: &[u8], cx: &mut Context<'_, Self>) {
        self.messages.set(self.messages.get() + 1);
        cx.charge(self.charge);
    }
}

fn what_a_service_charges_is_in_the_share_of_its_connection<N: Net>(net: N) {
    let messages = Rc::new(Cell::new(0));
    let charge = SHARE_BYTES / 8;
    let mut rig = Setup::new().listen(Costly { charge, messages: messages.clone() }).on(net);
    let mut flooding = rig.connect();
    while messages.get() < 500 {
        flood(&mut flooding, &[b'\n'; 1_000]);
        let taken = turn(&mut rig, || messages.get());
        assert!(taken <= 8, "{taken} messages that cost an eighth of a share each");
    }
}

fn a_long_pipeline_is_answered_in_order_to_its_end<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = Setup::new().listen(Echo::new(lines, &log)).on(net);
    let mut client = rig.connect();
    let sent: Vec<u8> = (0..20_000).flat_map(|number| format!("{number}\n").into_bytes()).collect();
    let (mut written, mut read, mut buffer) = (0, Vec::new(), vec![0; 32 << 10]);
    let mut ended = false;
    let ending = loop {
        if written < sent.len() {
            written += client.write(&sent[written..]).unwrap_or(0);
        } else if !std::mem::replace(&mut ended, true) {
            client.shutdown();
        }
        match client.read(&mut buffer) {
            Ok(0) => break Ending::Finished,
            Ok(count) => read.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break Ending::Reset,
        }
        let taken = turn(&mut rig, || log.borrow().messages);
        assert!(taken <= MESSAGES, "{taken} messages of one connection in a turn");
    };
    assert!(read == sent && ending == Ending::Finished, "{} of {} bytes, {ending:?}", read.len(), sent.len());
    drop(client);
    rig.finish();
}

thread_local! {
    /// Calls of the codec below.
    static DECODED: Cell<usize> = const { Cell::new(0) };
}

/// Takes byte by byte and makes no message of them, as a codec does with empty fragments.
#[derive(Default)]
struct Specks;

impl Codec for Specks {
    type Message<'a> = &'a [u8];
    type Outgoing<'a> = &'a [&'a [u8]];
    type Error = FrameError;
    type State = ();

    fn decode<'a>(&self, (): &mut (), _: &'a mut [u8]) -> Result<Decoded<&'a [u8]>, FrameError> {
        DECODED.set(DECODED.get() + 1);
        Ok(Decoded::Taken { consumed: 1 })
    }

    fn encode(&self, parts: &[&[u8]], out: &mut impl Sink) -> Result<(), FrameError> {
        Raw.encode(parts, out)
    }
}

fn parts_that_make_no_message_count_as_messages<N: Net>(net: N) {
    DECODED.set(0);
    let mut rig = Setup::new().listen(Counting { codec: || Specks, tally: Tally::default() }).on(net);
    let mut flooding = rig.connect();
    while DECODED.get() < 20 * MESSAGES {
        flood(&mut flooding, &vec![b'.'; LARGEST_CHUNK]);
        let taken = turn(&mut rig, || DECODED.get());
        assert!(taken <= MESSAGES, "{taken} parts of one connection in a turn");
    }
}

/// Sends each line of a client to everybody.
struct Room {
    members: Group,
    broadcasts: Rc<Cell<usize>>,
}

impl Service for Room {
    type Codec = Lines;
    type Session = ();

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<(), Refused> {
        cx.join(self.members).map_err(|_| Refused)
    }

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        self.broadcasts.set(self.broadcasts.get() + 1);
        cx.broadcast(self.members, &[line]).expect("a line is a line");
    }
}

fn deliveries_count_for_who_broadcasts<N: Net>(net: N) {
    let broadcasts = Rc::new(Cell::new(0));
    let mut rig = Setup::new().listen(Room { members: Group::new(), broadcasts: broadcasts.clone() }).on(net);
    let mut members: Vec<_> = (0..64).map(|_| rig.connect()).collect();
    rig.until("everybody to be there", |rig| (rig.stats(0).connections == 64).then_some(()));
    let most = SHARE_BYTES / (DELIVERY_BYTES * members.len());
    let mut buffer = vec![0; 32 << 10];
    while broadcasts.get() < 10 * most {
        flood(&mut members[0], &[b'\n'; 100]);
        let sent = turn(&mut rig, || broadcasts.get());
        assert!(sent <= most, "{sent} broadcasts to {} connections in a turn", members.len());
        for member in &mut members {
            while member.read(&mut buffer).is_ok() {}
        }
    }
}

/// A filter that changes nothing.
struct Through;

impl FilterFactory for Through {
    fn filter(&self) -> Result<Box<dyn Filter>, FilterError> {
        Ok(Box::new(Self))
    }
}

impl Filter for Through {
    fn receive(&mut self, received: &mut [u8], out: &mut FilterOutput<'_>) -> Result<FilterProgress, FilterError> {
        out.plain.extend_from_slice(received);
        Ok(FilterProgress::new(received.len()).ready(true))
    }

    fn send(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), FilterError> {
        wire.extend_from_slice(plain);
        Ok(())
    }
}

on_every_driver!(
    a_turn_takes_no_more_messages_of_a_flood_than_a_share,
    a_turn_takes_no_more_messages_of_a_flood_through_a_filter_than_a_share,
    a_turn_takes_no_more_bytes_of_a_flood_than_a_share,
    the_bytes_of_a_large_message_count_in_the_turn_in_which_they_come,
    beside_large_messages_without_end_a_question_waits_for_a_few_turns,
    what_a_service_charges_is_in_the_share_of_its_connection,
    a_long_pipeline_is_answered_in_order_to_its_end,
    parts_that_make_no_message_count_as_messages,
    deliveries_count_for_who_broadcasts,
);

/// Who sent each line, in the order they were handled.
struct Witness(Rc<RefCell<Vec<IpAddr>>>);

impl Service for Witness {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        self.0.borrow_mut().extend(cx.peer().ip());
        cx.send(&[line]);
    }
}

#[test]
fn between_a_question_and_its_answer_the_simulated_network_sees_two_shares_of_a_flood_at_most() {
    for seed in 0..100 {
        // What is written is there at once and whole, so that the next turn takes it; all else is as it may be.
        let gentle = Faults::gentle(&mut Random::new(seed));
        let (latency, batch, buffers) = (Duration::ZERO, Duration::ZERO, gentle.buffers.max(8));
        let faults = Faults { latency, batch, buffers, short_reads: 0, spurious_wakeups: 0, ..gentle };
        let handled = Rc::new(RefCell::new(Vec::new()));
        let mut rig = Setup::new().listen(Witness(handled.clone())).on(on_network(seed, faults));
        let mut flooding = rig.connect_from(Ipv4Addr::new(127, 0, 0, 1).into());
        let asks = IpAddr::from(Ipv4Addr::new(127, 0, 0, 2));
        let mut asking = rig.connect_from(asks);
        let mut buffer = vec![0; 4_096];
        for _ in 0..20 {
            rig.write(&mut asking, b"?\n");
            handled.borrow_mut().clear();
            while !handled.borrow().contains(&asks) {
                flood(&mut flooding, &[b'\n'; 4_096]);
                while flooding.read(&mut buffer).is_ok() {}
                rig.turn();
            }
            let before = handled.borrow().iter().position(|from| *from == asks).expect("it was asked");
            assert!(before <= 2 * MESSAGES, "seed {seed}: {before} messages of the flood came first");
            assert_eq!(rig.read(&mut asking, 2), b"?\n");
        }
    }
}
