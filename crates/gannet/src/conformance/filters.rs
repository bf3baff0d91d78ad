//! Connections with a filter between driver and codec.
//!
//! The filter of these tests speaks in units: a kind, a length of two bytes, and a payload that is turned around bit by
//! bit. The side that connects begins with a hello, which the other side answers with a welcome.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::rig::{Ending, Rig, Setup};
use super::script::{Echo, Script, SharedLog, frames, numbered};
use super::{Client, Net, on_every_driver};
use crate::driver::sim::Answer;
use crate::proto::Lines;
use crate::{
    Address, CloseReason, Connect, Context, Filter, FilterError, FilterFactory, FilterOutput, FilterProgress, Refused,
    Service,
};

pub(super) const HELLO: u8 = b'h';
pub(super) const WELCOME: u8 = b'w';
pub(super) const DATA: u8 = b'd';
pub(super) const END: u8 = b'e';
const COMPLAINT: u8 = b'!';

pub(super) fn put(kind: u8, payload: &[u8], out: &mut Vec<u8>) {
    for piece in payload.chunks(40_000).chain(payload.is_empty().then_some(&[][..])) {
        out.push(kind);
        out.extend_from_slice(&(piece.len() as u16).to_be_bytes());
        out.extend(piece.iter().map(|byte| !byte));
    }
}

pub(super) fn unit(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put(kind, payload, &mut out);
    out
}

#[derive(Clone, Default)]
pub(super) struct Units {
    pub(super) calls: bool,
    /// What a handshake takes of the processor's time.
    pub(super) takes: Duration,
    /// It wants a second hello, which comes after its welcome.
    pub(super) asks_twice: bool,
    pub(super) handshakes: Arc<AtomicUsize>,
}

pub(super) struct UnitFilter {
    units: Units,
    asked: bool,
    pub(super) ready: bool,
    said: String,
}

impl UnitFilter {
    pub(super) fn new(units: &Units) -> Self {
        Self { units: units.clone(), asked: false, ready: false, said: String::new() }
    }
}

impl FilterFactory for Units {
    fn filter(&self) -> Result<Box<dyn Filter>, FilterError> {
        Ok(Box::new(UnitFilter::new(self)))
    }
}

impl Filter for UnitFilter {
    fn start(&mut self, wire: &mut Vec<u8>) -> Result<(), FilterError> {
        if self.units.calls {
            put(HELLO, b"it is me", wire);
        }
        Ok(())
    }

    fn receive(&mut self, received: &mut [u8], out: &mut FilterOutput<'_>) -> Result<FilterProgress, FilterError> {
        let (mut consumed, mut ended) = (0, false);
        while let Some([kind, high, low]) = received.get(consumed..consumed + 3) {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let Some(payload) = received.get(consumed + 3..consumed + 3 + length) else { break };
            let payload: Vec<u8> = payload.iter().map(|byte| !byte).collect();
            match (*kind, self.ready) {
                (HELLO, false) | (WELCOME, false) if (*kind == HELLO) != self.units.calls => {
                    self.ready = self.asked || !self.units.asks_twice;
                    self.asked = true;
                    self.said = String::from_utf8_lossy(&payload).into_owned();
                    #[allow(clippy::disallowed_methods)] // It stands for work that takes real time.
                    let began = Instant::now();
                    while began.elapsed() < self.units.takes {
                        std::hint::spin_loop();
                    }
                    self.units.handshakes.fetch_add(1, Ordering::Relaxed);
                    if !self.units.calls {
                        put(WELCOME, b"come in", out.wire);
                    }
                }
                (DATA, true) => out.plain.extend_from_slice(&payload),
                (END, true) => ended = true,
                _ => {
                    put(COMPLAINT, b"what?", out.wire);
                    return Err(FilterError::new("not the unit that was expected"));
                }
            }
            consumed += 3 + length;
        }
        Ok(FilterProgress::new(consumed).ready(self.ready).ended(ended))
    }

    fn send(&mut self, plain: &[u8], wire: &mut Vec<u8>) -> Result<(), FilterError> {
        put(DATA, plain, wire);
        Ok(())
    }

    fn end(&mut self, wire: &mut Vec<u8>) {
        put(END, b"", wire);
    }

    fn info(&self) -> Option<&dyn Any> {
        Some(&self.said)
    }
}

/// Reads a unit.
pub(super) fn read_unit<N: Net>(rig: &mut Rig<N>, client: &mut N::Client) -> (u8, Vec<u8>) {
    let head = rig.read(client, 3);
    let payload = rig.read(client, usize::from(u16::from_be_bytes([head[1], head[2]])));
    (head[0], payload.iter().map(|byte| !byte).collect())
}

/// Reads so many bytes of data.
pub(super) fn read_data<N: Net>(rig: &mut Rig<N>, client: &mut N::Client, count: usize) -> Vec<u8> {
    let mut data = Vec::new();
    while data.len() < count {
        let (kind, payload) = read_unit(rig, client);
        assert_eq!(char::from(kind), char::from(DATA));
        data.extend_from_slice(&payload);
    }
    data
}

/// A client whose handshake is done.
pub(super) fn greeted<N: Net>(rig: &mut Rig<N>) -> N::Client {
    let mut client = rig.connect();
    rig.write(&mut client, &unit(HELLO, b"a client"));
    assert_eq!(read_unit(rig, &mut client), (WELCOME, b"come in".to_vec()));
    client
}

pub(super) fn scripted<N: Net>(net: N, log: &SharedLog, change: impl FnOnce(Setup) -> Setup) -> Rig<N> {
    change(Setup::new()).listen(Script::new(log)).filtered(Arc::new(Units::default())).on(net)
}

fn messages_pass_through_a_filter_both_ways<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = Setup::new().listen(Echo::new(frames, &log)).filtered(Arc::new(Units::default())).on(net);
    let mut client = greeted(&mut rig);
    let mut expected = Vec::new();
    for size in [0usize, 1, 2, 500, 3_000, 20_000, 200_000] {
        let mut frame = (size as u32).to_be_bytes().to_vec();
        frame.extend((0..size).map(|index| index as u8));
        // In units that have nothing to do with the messages in them.
        for piece in frame.chunks(701) {
            rig.write(&mut client, &unit(DATA, piece));
        }
        expected.extend_from_slice(&frame);
        assert!(read_data(&mut rig, &mut client, frame.len()) == frame, "a frame of {size} bytes");
    }
    rig.write(&mut client, &unit(END, b""));
    assert_eq!(read_unit(&mut rig, &mut client), (END, Vec::new()), "a good-bye is answered with one");
    assert_eq!(rig.read_to_end(&mut client).1, Ending::Finished);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Peer]);
}

fn what_comes_together_with_the_handshake_is_not_lost<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log, |setup| setup);
    let mut client = rig.connect();
    let mut all = unit(HELLO, b"a client");
    for index in 0..5 {
        put(DATA, format!("echo {index}\n").as_bytes(), &mut all);
    }
    put(END, b"", &mut all);
    rig.write(&mut client, &all);
    assert_eq!(read_unit(&mut rig, &mut client).0, WELCOME);
    assert_eq!(read_data(&mut rig, &mut client, 10), b"0\n1\n2\n3\n4\n");
    assert_eq!(read_unit(&mut rig, &mut client).0, END);
    drop(client);
    let stats = rig.finish().reactor_stats();
    assert_eq!((stats.handshakes, stats.handshakes_waiting), (1, 0));
}

fn a_service_hears_of_a_connection_when_its_handshake_is_done<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig =
        scripted(net, &log, |setup| setup.timeouts(|timeouts| timeouts.handshake = Duration::from_millis(500)));
    let mut silent = rig.connect();
    let mut half = rig.connect();
    rig.write(&mut half, &unit(HELLO, b"too late")[..6]);
    rig.until_closed(CloseReason::OpeningTimeout, 2);
    assert!(log.borrow().opened.is_empty(), "there was nothing to hear of");
    let _ = (rig.read_to_end(&mut silent), rig.read_to_end(&mut half));
    let client = greeted(&mut rig);
    assert_eq!(log.borrow().opened.len(), 1);
    drop((client, silent, half));
    rig.finish();
    assert_eq!(log.borrow().closed.len(), 1, "nobody closes what never opened");
}

fn a_peer_that_ends_in_the_handshake_leaves_nothing_behind<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log, |setup| setup);
    for sent in [0, 3, 8] {
        let mut client = rig.connect();
        rig.write(&mut client, &unit(HELLO, b"good-bye")[..sent]);
        client.shutdown();
        rig.read_to_end(&mut client);
        let came = rig.stats(0).accepted;
        let client = rig.connect();
        rig.until("another connection", |rig| (rig.stats(0).accepted > came).then_some(()));
        client.reset();
    }
    rig.finish();
    assert!(log.borrow().opened.is_empty());
}

fn what_a_filter_refuses_is_answered_and_ends_the_connection<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log, |setup| setup);
    let mut stranger = rig.connect();
    rig.write(&mut stranger, &unit(DATA, b"no hello"));
    assert_eq!(read_unit(&mut rig, &mut stranger), (COMPLAINT, b"what?".to_vec()));
    assert_eq!(rig.read_to_end(&mut stranger), (Vec::new(), Ending::Finished), "and no good-bye");
    let mut client = greeted(&mut rig);
    rig.write(&mut client, &unit(HELLO, b"again"));
    assert_eq!(read_unit(&mut rig, &mut client).0, COMPLAINT);
    drop((client, stranger));
    let rig = rig.finish();
    assert_eq!(rig.stats(0).closed(CloseReason::Filter), 2);
    assert_eq!(log.borrow().closed, [CloseReason::Filter], "the service knew of one of them");
}

fn everything_and_a_good_bye_leave_before_the_end<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log, |setup| setup);
    let mut client = greeted(&mut rig);
    rig.write(&mut client, &unit(DATA, b"flood 300 1000\nclose_flushed\n"));
    let expected: String = (0..300).map(|index| numbered(index, 1_000) + "\n").collect();
    assert!(read_data(&mut rig, &mut client, expected.len()) == expected.as_bytes());
    assert_eq!(read_unit(&mut rig, &mut client).0, END);
    assert_eq!(rig.read_to_end(&mut client), (Vec::new(), Ending::Finished));
    drop(client);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Service]);
}

/// Lines take what stands before the end of the stream for the last line.
fn messages_of_half_a_line<N: Net>(net: N, good_bye: bool) -> usize {
    let log = SharedLog::default();
    let mut rig = Setup::new().listen(Echo::new(Lines::new, &log)).filtered(Arc::new(Units::default())).on(net);
    let mut client = greeted(&mut rig);
    rig.write(&mut client, &unit(DATA, b"half a line"));
    if good_bye {
        rig.write(&mut client, &unit(END, b""));
    }
    client.shutdown();
    rig.read_to_end(&mut client);
    drop(client);
    rig.finish();
    log.borrow().messages
}

fn a_stream_that_was_cut_off_ends_in_no_message<N: Net>(net: N) {
    assert_eq!(messages_of_half_a_line(net, false), 0);
}

fn a_stream_that_ended_with_a_good_bye_is_whole<N: Net>(net: N) {
    assert_eq!(messages_of_half_a_line(net, true), 1);
}

fn a_connection_goes_out_through_a_filter<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut setup = Setup::new();
    let outbound = setup.outbound(Script::new(&log));
    let mut rig = setup.on(net);
    let remote = rig.net.remote(Answer::Accept);
    let connect = Connect::to(Address::Tls(remote)).through(Arc::new(Units { calls: true, ..Units::default() }));
    rig.remote.connect(0, outbound, &connect, "first".to_owned()).expect("the mailbox has room");
    let (mut server, _) = rig.until("the connection", |rig| rig.net.accept(remote));
    assert_eq!(read_unit(&mut rig, &mut server), (HELLO, b"it is me".to_vec()));
    assert!(log.borrow().opened.is_empty());
    rig.write(&mut server, &unit(WELCOME, b"come in"));
    assert_eq!(read_data(&mut rig, &mut server, 6), b"first\n");
    rig.write(&mut server, &unit(DATA, b"echo back\n"));
    assert_eq!(read_data(&mut rig, &mut server, 5), b"back\n");
    drop(server);
    let rig = rig.finish();
    assert_eq!((rig.stats(0).connected, log.borrow().connect_failed.len()), (1, 0));
}

fn whichever_address_answers_the_connection_goes_out_through_a_filter<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut setup = Setup::new();
    let outbound = setup.outbound(Script::new(&log));
    let mut rig = setup.on(net);
    let remote = rig.net.remote(Answer::Accept);
    // Before it there are one that fails and one that is silent.
    let before = [Answer::Refuse, Answer::Silence].map(|answer| Address::Tls(rig.net.remote(answer)));
    let all = before.into_iter().chain([Address::Tls(remote)]);
    let connect = Connect::to_any(all).through(Arc::new(Units { calls: true, ..Units::default() }));
    rig.remote.connect(0, outbound, &connect, "first".to_owned()).expect("the mailbox has room");
    let (mut server, _) = rig.until("the connection", |rig| rig.net.accept(remote));
    assert_eq!(read_unit(&mut rig, &mut server), (HELLO, b"it is me".to_vec()));
    assert!(log.borrow().opened.is_empty());
    rig.write(&mut server, &unit(WELCOME, b"come in"));
    assert_eq!(read_data(&mut rig, &mut server, 6), b"first\n");
    rig.write(&mut server, &unit(DATA, b"echo back\n"));
    assert_eq!(read_data(&mut rig, &mut server, 5), b"back\n");
    drop(server);
    let rig = rig.finish();
    assert_eq!((rig.stats(0).connected, log.borrow().connect_failed.len()), (1, 0));
}

fn an_outbound_handshake_that_fails_is_a_failed_connect<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut setup = Setup::new();
    let outbound = setup.outbound(Script::new(&log));
    let mut rig = setup.on(net);
    let remote = rig.net.remote(Answer::Accept);
    let through = Arc::new(Units { calls: true, ..Units::default() });
    // Longer than it takes to hear a wrong answer, on a machine that is busy.
    let patience = Duration::from_millis(if N::TIME_IS_FREE { 60 } else { 1_000 });
    let connect = Connect::to(Address::Tls(remote)).through(through).timeout(patience);
    let mut peers = Vec::new();
    for answer in [Some(unit(DATA, b"no welcome")), Some(Vec::new()), None] {
        rig.remote.connect(0, outbound, &connect, "unused".to_owned()).expect("the mailbox has room");
        let (mut server, _) = rig.until("the connection", |rig| rig.net.accept(remote));
        match answer {
            Some(answer) if answer.is_empty() => server.shutdown(),
            Some(answer) => rig.write_some(&mut server, &answer),
            None => {}
        }
        let failures = peers.len() + 1;
        peers.push(server);
        rig.until("the failure", |_| (log.borrow().connect_failed.len() == failures).then_some(()));
    }
    use std::io::ErrorKind::{InvalidData, TimedOut, UnexpectedEof};
    assert_eq!(log.borrow().connect_failed, [InvalidData, UnexpectedEof, TimedOut]);
    drop(peers);
    rig.finish();
    assert!(log.borrow().opened.is_empty() && log.borrow().closed.is_empty());
}

/// Tells what the filter says of the connection.
struct Tells;

impl Service for Tells {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), _: &[u8], cx: &mut Context<'_, Self>) {
        let said = cx.filter_info::<String>().cloned().unwrap_or_default();
        assert!(cx.filter_info::<u8>().is_none(), "that is not what it says");
        cx.send(&[said.as_bytes()]);
    }
}

fn a_service_learns_what_the_filter_knows<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Tells).filtered(Arc::new(Units::default())).on(net);
    let mut client = greeted(&mut rig);
    rig.write(&mut client, &unit(DATA, b"who am I?\n"));
    assert_eq!(read_data(&mut rig, &mut client, 9), b"a client\n");
    drop(client);
    rig.finish();
}

/// Tells how much waits, whenever that has changed.
struct Watches;

impl Service for Watches {
    type Codec = Lines;
    type Session = usize;

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<usize, Refused> {
        cx.set_timer(Duration::from_millis(1));
        Ok(0)
    }

    fn message(&mut self, _: &mut usize, _: &[u8], _: &mut Context<'_, Self>) {}

    fn timer(&mut self, told: &mut usize, cx: &mut Context<'_, Self>) {
        let waits = cx.waiting_len();
        if std::mem::replace(told, waits) != waits {
            cx.send(&[waits.to_string().as_bytes()]);
        }
        cx.set_timer(Duration::from_millis(1));
    }
}

/// Or who sends a large unit slowly would seem to send nothing.
fn what_waits_in_a_filter_for_the_rest_of_its_unit_counts_as_received<N: Net>(net: N) {
    let mut rig = Setup::new().listen(Watches).filtered(Arc::new(Units::default())).on(net);
    let mut client = greeted(&mut rig);
    let stream = [unit(DATA, b"half a line, "), unit(DATA, &[b'x'; 1000])].concat();
    let (most, rest) = stream.split_at(500);
    rig.write(&mut client, most);
    let expected = (500 - 3).to_string();
    let mut told = String::new();
    while told.lines().last() != Some(&expected) {
        let (kind, line) = read_unit(&mut rig, &mut client);
        assert_eq!(kind, DATA);
        told += std::str::from_utf8(&line).expect("numbers");
    }
    rig.write(&mut client, rest);
    while !told.ends_with("\n1013\n") {
        told += std::str::from_utf8(&read_unit(&mut rig, &mut client).1).expect("numbers");
    }
    drop(client);
    rig.finish();
}

fn a_shutdown_ends_handshakes_at_once<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = scripted(net, &log, |setup| setup);
    let mut begun = rig.connect();
    let mut client = greeted(&mut rig);
    rig.remote.stop();
    assert_eq!(read_unit(&mut rig, &mut client).0, END, "who is there is told good-bye");
    rig.read_to_end(&mut client);
    rig.read_to_end(&mut begun);
    drop((client, begun));
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Shutdown]);
}

on_every_driver!(
    messages_pass_through_a_filter_both_ways,
    what_comes_together_with_the_handshake_is_not_lost,
    a_service_hears_of_a_connection_when_its_handshake_is_done,
    a_peer_that_ends_in_the_handshake_leaves_nothing_behind,
    what_a_filter_refuses_is_answered_and_ends_the_connection,
    everything_and_a_good_bye_leave_before_the_end,
    a_stream_that_was_cut_off_ends_in_no_message,
    a_stream_that_ended_with_a_good_bye_is_whole,
    a_connection_goes_out_through_a_filter,
    whichever_address_answers_the_connection_goes_out_through_a_filter,
    an_outbound_handshake_that_fails_is_a_failed_connect,
    a_service_learns_what_the_filter_knows,
    what_waits_in_a_filter_for_the_rest_of_its_unit_counts_as_received,
    a_shutdown_ends_handshakes_at_once,
);
