//! Handshakes that wait in line for a turn with time for them. On real time only: simulated time stands still while
//! somebody works.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::filters::{DATA, END, HELLO, Units, WELCOME, greeted, put, read_data, read_unit, unit};
use super::rig::Setup;
use super::script::{Script, SharedLog};
use super::sockets::{Sockets, on_uring};
use super::{Client, Net};
use crate::driver::poll::PollDriver;

fn handshakes_leave_time_for_connections_that_are_up<N: Net>(net: N) {
    const MANY: usize = 60;
    let log = SharedLog::default();
    let units = Units { takes: Duration::from_millis(2), ..Units::default() };
    let handshakes = units.handshakes.clone();
    let mut rig = Setup::new().listen(Script::new(&log)).filtered(Arc::new(units)).on(net);
    let mut client = greeted(&mut rig);
    let mut others: Vec<N::Client> = (0..MANY).map(|_| rig.connect_from(IpAddr::V4(Ipv4Addr::LOCALHOST))).collect();
    for other in &mut others {
        rig.write(other, &unit(HELLO, b"so many"));
    }
    let (mut most, mut asked, mut answered) = (0, false, None);
    let message = unit(DATA, b"echo in between\n");
    let expected = unit(DATA, b"in between\n");
    let mut reply = vec![0; expected.len()];
    while handshakes.load(Ordering::Relaxed) <= MANY {
        let before = handshakes.load(Ordering::Relaxed);
        rig.turn();
        let done = handshakes.load(Ordering::Relaxed);
        most = most.max(done - before);
        // Now the others are in line.
        if !asked && done > 1 {
            assert_eq!(client.write(&message).ok(), Some(message.len()));
            asked = true;
        }
        if answered.is_none() && log.borrow().messages == 1 {
            // The reply does not wait for what the turn has time for: it comes without another turn.
            gannet_testing::until("the reply", || match client.read(&mut reply) {
                Ok(read) => {
                    reply.truncate(read);
                    true
                }
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                    false
                }
            });
            answered = Some(done);
        }
    }
    assert!(most <= 4, "{most} handshakes of 2 ms in one turn");
    assert!(answered.is_some_and(|done| done < MANY), "{answered:?} handshakes were done before the message was taken");
    assert_eq!(reply, expected);
    drop((client, others));
    rig.finish();
}

/// What `sent` is answered with, by a connection of which the last part of the handshake has to wait in line, and whose
/// side of the stream ends there, if `ends`.
fn answers_to_one_in_line<N: Net>(net: N, sent: &[u8], ends: bool, length: usize) -> Vec<u8> {
    const MANY: usize = 20;
    let log = SharedLog::default();
    let units = Units { takes: Duration::from_millis(2), asks_twice: true, ..Units::default() };
    let mut rig = Setup::new().listen(Script::new(&log)).filtered(Arc::new(units)).on(net);
    let mut others: Vec<N::Client> = (0..MANY).map(|_| rig.connect_from(IpAddr::V4(Ipv4Addr::LOCALHOST))).collect();
    let mut client = greeted(&mut rig);
    for other in &mut others {
        rig.write(other, &unit(HELLO, b"so many"));
    }
    let mut stream = unit(HELLO, b"me again");
    stream.extend_from_slice(sent);
    rig.write_some(&mut client, &stream);
    if ends {
        client.shutdown();
    }
    assert_eq!(read_unit(&mut rig, &mut client).0, WELCOME);
    let answers = read_data(&mut rig, &mut client, length);
    drop((client, others));
    rig.finish();
    answers
}

/// Who ends before the first answer has given up, and so many do where handshakes take long.
fn a_handshake_that_was_given_up_in_line_takes_no_time<N: Net>(net: N) {
    const MANY: usize = 10;
    let log = SharedLog::default();
    let units = Units { takes: Duration::from_millis(2), ..Units::default() };
    let handshakes = units.handshakes.clone();
    let mut rig = Setup::new().listen(Script::new(&log)).filtered(Arc::new(units)).on(net);
    let mut clients: Vec<N::Client> =
        (0..2 * MANY).map(|_| rig.connect_from(IpAddr::V4(Ipv4Addr::LOCALHOST))).collect();
    rig.until("the connections", |rig| (rig.stats(0).accepted == 2 * MANY as u64).then_some(()));
    for client in &mut clients {
        rig.write(client, &unit(HELLO, b"so many"));
    }
    clients.truncate(MANY);
    for client in &mut clients {
        assert_eq!(read_unit(&mut rig, client).0, WELCOME);
    }
    drop(clients);
    rig.finish();
    // The first ones of a turn are not in line.
    let done = handshakes.load(Ordering::Relaxed);
    assert!((MANY..MANY + 5).contains(&done), "{done} handshakes, of which {MANY} were waited for");
}

fn what_a_peer_said_before_it_ended_counts_though_its_handshake_waits_in_line<N: Net>(net: N) {
    let mut said = unit(DATA, b"echo and good-bye\n");
    put(END, b"", &mut said);
    assert_eq!(answers_to_one_in_line(net, &said, true, 13), b"and good-bye\n");
}

fn a_peer_that_sends_much_while_its_handshake_waits_in_line_is_served<N: Net>(net: N) {
    // To a group that nobody is in.
    let unheard = [b"say ".to_vec(), vec![b'x'; 995], b"\n".to_vec()].concat();
    let mut said: Vec<u8> = std::iter::repeat_n(unit(DATA, &unheard), 600).flatten().collect();
    put(DATA, b"echo that was much\n", &mut said);
    assert_eq!(answers_to_one_in_line(net, &said, false, 14), b"that was much\n");
}

#[test]
fn what_a_peer_said_before_it_ended_counts_though_its_handshake_waits_in_line_on_poll() {
    what_a_peer_said_before_it_ended_counts_though_its_handshake_waits_in_line(Sockets::new(PollDriver::new));
}

#[cfg(target_os = "linux")]
#[test]
fn what_a_peer_said_before_it_ended_counts_though_its_handshake_waits_in_line_on_uring() {
    on_uring(what_a_peer_said_before_it_ended_counts_though_its_handshake_waits_in_line);
}

#[test]
fn a_peer_that_sends_much_while_its_handshake_waits_in_line_is_served_on_poll() {
    a_peer_that_sends_much_while_its_handshake_waits_in_line_is_served(Sockets::new(PollDriver::new));
}

#[cfg(target_os = "linux")]
#[test]
fn a_peer_that_sends_much_while_its_handshake_waits_in_line_is_served_on_uring() {
    on_uring(a_peer_that_sends_much_while_its_handshake_waits_in_line_is_served);
}

#[test]
fn a_handshake_that_was_given_up_in_line_takes_no_time_on_poll() {
    a_handshake_that_was_given_up_in_line_takes_no_time(Sockets::new(PollDriver::new));
}

#[cfg(target_os = "linux")]
#[test]
fn a_handshake_that_was_given_up_in_line_takes_no_time_on_uring() {
    on_uring(a_handshake_that_was_given_up_in_line_takes_no_time);
}

#[test]
fn handshakes_leave_time_for_connections_that_are_up_on_poll() {
    handshakes_leave_time_for_connections_that_are_up(Sockets::new(PollDriver::new));
}

#[cfg(target_os = "linux")]
#[test]
fn handshakes_leave_time_for_connections_that_are_up_on_uring() {
    on_uring(handshakes_leave_time_for_connections_that_are_up);
}
