//! Messages: whole, whatever the network did to them.

use std::time::Duration;

use super::on_every_driver;
use super::rig::{Ending, Rig, Setup};
use super::script::{Echo, Log, Script, SharedLog, WebSocketEcho, frames, lines, raw};
use super::{Client, Net};
use crate::driver::sim::Random;
use crate::proto::ws::{Opcode, write_fragment};
use crate::proto::{Codec, Lines};
use crate::{CloseReason, Context, Prefetch, Service};

fn serve<N: Net, S: Service>(net: N, service: S) -> Rig<N> {
    Setup::new().listen(service).on(net)
}

/// Bytes in which a missing, doubled or displaced one shows.
fn pattern(length: usize) -> Vec<u8> {
    let mut random = Random::new(length as u64);
    (0..length).map(|_| random.next() as u8).collect()
}

fn every_byte_comes_back_in_order<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = serve(net, Echo::new(raw, &log));
    let mut client = rig.connect();
    let sent = pattern(100_000);
    for piece in sent.chunks(7_919) {
        rig.write(&mut client, piece);
        assert!(rig.read(&mut client, piece.len()) == piece, "the echo is what was sent");
    }
    drop(client);
    rig.until_closed(CloseReason::Peer, 1);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::Peer]);
}

fn lines_split_anywhere_come_back_whole<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = serve(net, Echo::new(lines, &log));
    let mut client = rig.connect();
    let sent = b"one\ntwo\r\n\nthree, which is somewhat longer than the others\n";
    let expected = b"one\ntwo\n\nthree, which is somewhat longer than the others\n";
    for cut in 0..sent.len() {
        rig.write(&mut client, &sent[..cut]);
        rig.turn();
        rig.write(&mut client, &sent[cut..]);
        assert_eq!(rig.read(&mut client, expected.len()), expected, "cut after {cut} bytes");
    }
    drop(client);
    rig.finish();
    assert_eq!(log.borrow().messages, 4 * sent.len());
}

fn frames_that_arrive_byte_by_byte_come_back_whole<N: Net>(net: N) {
    let mut rig = serve(net, Echo::new(frames, &SharedLog::default()));
    let mut client = rig.connect();
    let mut sent = Vec::new();
    for length in [0, 1, 2, 300] {
        frames().encode(&[&pattern(length)], &mut sent).expect("small enough");
    }
    for byte in &sent {
        rig.write(&mut client, &[*byte]);
        rig.turn();
    }
    assert_eq!(rig.read(&mut client, sent.len()), sent);
    drop(client);
    rig.finish();
}

fn a_message_in_fragments_comes_back_whole_wherever_it_is_cut<N: Net>(net: N) {
    let mut rig = serve(net, WebSocketEcho);
    let mut client = rig.connect();
    let parts: [(Opcode, bool, &[u8]); 5] = [
        (Opcode::Text, false, b"frag"),
        (Opcode::Continuation, false, b"ment"),
        (Opcode::Ping, true, b"?"),
        (Opcode::Continuation, true, b"s"),
        (Opcode::Text, true, b"next"),
    ];
    let mut sent = Vec::new();
    for (opcode, last, payload) in parts {
        write_fragment(&mut sent, opcode, last, &[payload], Some([1, 2, 3, 4])).expect("short enough");
    }
    let expected = b"\x8a\x01?\x81\x09fragments\x81\x04next";
    for cut in 0..sent.len() {
        rig.write(&mut client, &sent[..cut]);
        rig.turn();
        rig.write(&mut client, &sent[cut..]);
        assert_eq!(rig.read(&mut client, expected.len()), expected, "cut after {cut} bytes");
    }
    drop(client);
    rig.finish();
}

fn many_messages_in_one_chunk_are_answered_in_order<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = serve(net, Echo::new(lines, &log));
    let mut client = rig.connect();
    let sent: Vec<u8> = (0..500).flat_map(|index| format!("message {index}\n").into_bytes()).collect();
    rig.write(&mut client, &sent);
    assert!(rig.read(&mut client, sent.len()) == sent);
    assert_eq!(log.borrow().messages, 500);
    drop(client);
    let rig = rig.finish();
    assert_eq!((rig.stats(0).messages_in, rig.stats(0).messages_out), (500, 500));
    assert_eq!((rig.stats(0).bytes_in, rig.stats(0).bytes_out), (sent.len() as u64, sent.len() as u64));
}

fn a_message_larger_than_any_chunk_comes_back_whole<N: Net>(net: N) {
    let mut rig = serve(net, Echo::new(frames, &SharedLog::default()));
    let mut client = rig.connect();
    let mut sent = Vec::new();
    frames().encode(&[&pattern(1 << 20)], &mut sent).expect("at the limit");
    frames().encode(&[b"and a small one behind it"], &mut sent).expect("small enough");
    rig.write(&mut client, &sent);
    assert!(rig.read(&mut client, sent.len()) == sent, "the echo is what was sent");
    drop(client);
    rig.finish();
}

fn a_frame_over_the_limit_closes_its_connection_after_the_answers_before_it<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = serve(net, Echo::new(frames, &log));
    let mut client = rig.connect();
    let mut sent = Vec::new();
    frames().encode(&[b"fine"], &mut sent).expect("small enough");
    let answered = sent.len();
    sent.extend_from_slice(&((1u32 << 20) + 1).to_be_bytes());
    rig.write(&mut client, &sent);
    let (read, ending) = rig.read_to_end(&mut client);
    sent.truncate(answered);
    sent.extend_from_slice(b"no: message of at least 1048577 bytes exceeds the limit of 1048576 bytes\n");
    assert_eq!((read, ending), (sent, Ending::Finished), "the service has the last word");
    drop(client);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::FrameTooLarge]);
}

fn a_message_that_needs_more_than_the_carry_may_hold_closes_its_connection<N: Net>(net: N) {
    let log = SharedLog::default();
    let setup = Setup::new().limits(|limits| limits.carry = 10_000);
    let mut rig = setup.listen(Echo::new(frames, &log)).on(net);
    let mut client = rig.connect();
    rig.write(&mut client, &20_000u32.to_be_bytes());
    let last = b"no: message of at least 20004 bytes exceeds the limit of 10000 bytes\n".to_vec();
    assert_eq!(rig.read_to_end(&mut client), (last, Ending::Finished));
    drop(client);
    rig.finish();
    assert_eq!(log.borrow().closed, [CloseReason::FrameTooLarge]);
}

fn a_line_without_its_end_is_a_message_when_the_peer_ends_its_stream<N: Net>(net: N) {
    let mut rig = serve(net, Echo::new(lines, &SharedLog::default()));
    let mut client = rig.connect();
    rig.write(&mut client, b"first\nlast");
    client.shutdown();
    assert_eq!(rig.read_to_end(&mut client), (b"first\nlast\n".to_vec(), Ending::Finished));
    drop(client);
    rig.finish();
}

fn messages_wait_while_reading_is_paused<N: Net>(net: N) {
    let log = SharedLog::default();
    let mut rig = serve(net, Script::new(&log));
    let mut client = rig.connect();
    rig.write(&mut client, b"echo before\npause 30\necho after\n");
    assert_eq!(rig.line(&mut client), "before");
    rig.until("the pause", |_| (log.borrow().messages == 2).then_some(()));
    rig.write(&mut client, b"echo behind\n");
    assert_eq!(log.borrow().messages, 2, "nothing is taken while reading is paused");
    assert_eq!(rig.line(&mut client), "after");
    assert_eq!(rig.line(&mut client), "behind");
    // What was received before the end of the stream is taken, however late.
    rig.write(&mut client, b"pause 20\necho last\n");
    client.shutdown();
    assert_eq!(rig.read_to_end(&mut client), (b"last\n".to_vec(), Ending::Finished));
    drop(client);
    rig.finish();
}

fn many_connections_are_served_side_by_side<N: Net>(net: N) {
    let log = SharedLog::from(std::cell::RefCell::<Log>::default());
    let mut rig = serve(net, Echo::new(lines, &log));
    let mut clients: Vec<_> = (0..50).map(|_| rig.connect()).collect();
    for round in 0..5 {
        for (index, client) in clients.iter_mut().enumerate() {
            rig.write(client, format!("{round} of {index}\n").as_bytes());
        }
        for (index, client) in clients.iter_mut().enumerate() {
            assert_eq!(rig.line(client), format!("{round} of {index}"));
        }
    }
    drop(clients);
    rig.until_closed(CloseReason::Peer, 50);
    rig.finish();
}

/// Notes what it was shown ahead, and echoes lines that it was shown.
#[derive(Default)]
struct Looker {
    shown: Vec<u8>,
    fetched: bool,
}

impl Service for Looker {
    type Codec = Lines;
    type Session = ();

    fn prefetch(&mut self) -> Option<&mut dyn Prefetch<()>> {
        Some(self)
    }

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        let was_shown = self.shown.windows(line.len()).any(|shown| shown == line);
        assert!(self.fetched || !was_shown, "a message that was looked at comes before anything was fetched for it");
        cx.send(&[if was_shown { b"seen " } else { b"new " }, line]);
    }
}

impl Prefetch<()> for Looker {
    fn look_ahead(&mut self, (): &(), received: &[u8]) {
        self.shown.extend_from_slice(received);
        self.fetched = false;
    }

    fn fetch(&mut self) {
        self.fetched = true;
    }
}

fn what_is_looked_at_ahead_is_fetched_before_its_message_comes<N: Net>(net: N) {
    let mut rig = serve(net, Looker::default());
    let mut clients: Vec<_> = (0..20).map(|_| rig.connect()).collect();
    for round in 0..5 {
        for (index, client) in clients.iter_mut().enumerate() {
            rig.write(client, format!("{round} of {index}\n").as_bytes());
        }
        for (index, client) in clients.iter_mut().enumerate() {
            // One that arrives in pieces may be shown in pieces.
            let line = rig.line(client);
            assert!(line.ends_with(&format!(" {round} of {index}")), "{line}");
        }
    }
    let sent: Vec<u8> = (0..2_000).flat_map(|index| format!("message {index}\n").into_bytes()).collect();
    rig.write(&mut clients[0], &sent);
    for index in 0..2_000 {
        assert!(rig.line(&mut clients[0]).ends_with(&format!(" message {index}")));
    }
    drop(clients);
    rig.until_closed(CloseReason::Peer, 20);
    rig.finish();
}

fn a_line_that_comes_whole_was_seen_ahead<N: Net>(net: N) {
    let mut rig = serve(net, Looker::default());
    let mut client = rig.connect();
    let mut seen = 0;
    for index in 0..20 {
        rig.write(&mut client, format!("{index}\n").as_bytes());
        seen += usize::from(rig.line(&mut client).starts_with("seen "));
    }
    // The simulated network cuts now and then.
    assert!(seen > 10, "{seen} of 20");
    drop(client);
    rig.finish();
}

/// Counts the bytes that it is shown ahead, and answers every line with their number. Where it pauses, it takes one line
/// at a time.
struct Counting {
    shown: usize,
    pauses: bool,
}

impl Service for Counting {
    type Codec = Lines;
    type Session = ();

    fn prefetch(&mut self) -> Option<&mut dyn Prefetch<()>> {
        Some(self)
    }

    fn codec(&self) -> Lines {
        lines().limit(2 << 20)
    }

    fn message(&mut self, (): &mut (), _: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[self.shown.to_string().as_bytes()]);
        if self.pauses {
            cx.pause();
            cx.set_timer(Duration::ZERO);
        }
    }

    fn timer(&mut self, (): &mut (), cx: &mut Context<'_, Self>) {
        cx.resume();
    }
}

impl Prefetch<()> for Counting {
    fn look_ahead(&mut self, (): &(), received: &[u8]) {
        self.shown += received.len();
    }

    fn fetch(&mut self) {}
}

fn a_message_in_many_pieces_is_shown_ahead_once<N: Net>(net: N) {
    let mut rig = serve(net, Counting { shown: 0, pauses: false });
    let mut client = rig.connect();
    let sent = [vec![b'x'; 1 << 20], vec![b'\n']].concat();
    for piece in sent.chunks(10_000) {
        rig.write(&mut client, piece);
        rig.turn();
    }
    let shown: usize = rig.line(&mut client).parse().expect("a number");
    assert!(shown <= 2 * sent.len(), "{shown} bytes were shown of {}", sent.len());
    drop(client);
    rig.finish();
}

fn messages_that_are_taken_one_by_one_are_shown_ahead_a_few_times_at_most<N: Net>(net: N) {
    let mut rig = serve(net, Counting { shown: 0, pauses: true });
    let mut client = rig.connect();
    let sent = b"0123456789abcde\n".repeat(500);
    rig.write(&mut client, &sent);
    let mut shown = 0;
    for _ in 0..500 {
        shown = rig.line(&mut client).parse().expect("a number");
    }
    assert!(shown <= 4 * sent.len(), "{shown} bytes were shown of {}", sent.len());
    drop(client);
    rig.finish();
}

on_every_driver!(
    a_message_in_many_pieces_is_shown_ahead_once,
    messages_that_are_taken_one_by_one_are_shown_ahead_a_few_times_at_most,
    what_is_looked_at_ahead_is_fetched_before_its_message_comes,
    a_line_that_comes_whole_was_seen_ahead,
    every_byte_comes_back_in_order,
    lines_split_anywhere_come_back_whole,
    frames_that_arrive_byte_by_byte_come_back_whole,
    a_message_in_fragments_comes_back_whole_wherever_it_is_cut,
    many_messages_in_one_chunk_are_answered_in_order,
    a_message_larger_than_any_chunk_comes_back_whole,
    a_frame_over_the_limit_closes_its_connection_after_the_answers_before_it,
    a_message_that_needs_more_than_the_carry_may_hold_closes_its_connection,
    a_line_without_its_end_is_a_message_when_the_peer_ends_its_stream,
    messages_wait_while_reading_is_paused,
    many_connections_are_served_side_by_side,
);
