//! The ring of receive buffers by itself, and that the tests of the suite do run out of them.

use std::io::{Read, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use gannet_testing::{PATIENCE, until};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::closing::MOST_INSTALLED;
use super::*;
use crate::listener::listen_tcp;

/// A ring without requests, or nothing where this process may have none.
fn ring() -> Option<IoUring> {
    setup::ring().map_err(|error| eprintln!("not tried, there is no io_uring here: {error}")).ok()
}

#[test]
fn a_shared_buffer_goes_back_when_it_is_full_and_its_last_chunk_was_given_back() {
    let Some(ring) = ring() else { return };
    let Ok(mut buffers) = Buffers::new(&ring.submitter(), &[Kind::Shared]) else { return };
    let given = buffers.given();
    let first = buffers.chunk(0, 60_000);
    let begin = first.as_ptr();
    buffers.put(first.buffer());
    let last = buffers.chunk(0, 5_536);
    assert_eq!(last.as_ptr() as usize, begin as usize + 60_000, "a report begins where the last one ended");
    assert_eq!(buffers.given(), given, "it is read from still");
    buffers.put(last.buffer());
    assert_eq!((buffers.given(), buffers.out()), (given.wrapping_add(1), 0));
    assert_eq!(buffers.chunk(0, 1).as_ptr(), begin, "it is filled from its beginning again");
    drop(ring);
}

#[test]
fn a_shared_buffer_that_the_kernel_leaves_early_goes_back_too() {
    let Some(ring) = ring() else { return };
    let Ok(mut buffers) = Buffers::new(&ring.submitter(), &[Kind::Shared]) else { return };
    let given = buffers.given();
    buffers.discard(0, 100);
    buffers.discard(1, 100);
    assert_eq!(buffers.given(), given.wrapping_add(1));
    // What names a buffer and brings nothing, as the end of a stream may, is no sign that it was left.
    buffers.discard(1, 0);
    assert_eq!(buffers.given(), given.wrapping_add(1));
    drop(ring);
}

#[test]
fn looking_ahead_shows_each_report_where_it_will_be_found() {
    let Some(ring) = ring() else { return };
    for kind in [Kind::Shared, Kind::Whole] {
        let Ok(mut buffers) = Buffers::new(&ring.submitter(), &[kind]) else { continue };
        let reports = match kind {
            Kind::Shared => [(0, 10), (0, 65_526), (1, 7)],
            Kind::Whole => [(0, 10), (1, 4_096), (2, 7)],
        };
        let mut ahead = buffers.ahead();
        let shown = reports.map(|(buffer, length)| ahead.next(buffer, length).as_ptr());
        for ((buffer, length), shown) in reports.into_iter().zip(shown) {
            assert_eq!(buffers.chunk(buffer, length).as_ptr(), shown, "{kind:?}");
            buffers.put(buffer);
        }
        ring.submitter().unregister_buf_ring(GROUP).expect("it was registered");
    }
}

/// Drivers as on kernels of all kinds, from the newest on.
const KERNELS: [fn() -> io::Result<UringDriver>; 3] =
    [|| UringDriver::new(1), UringDriver::of_kernel_that_keeps_closed_sockets, UringDriver::of_older_kernel];

/// One turn of a driver without a reactor; chunks go back after they were seen.
fn turn(driver: &mut UringDriver, mut each: impl FnMut(&UringDriver, &Event<u32>)) {
    driver.wait(Some(Duration::from_millis(100))).expect("it waits");
    while let Some(event) = driver.next(&mut ()) {
        each(driver, &event);
        if let Event::Received { chunk, .. } = event {
            driver.recycle(chunk);
        }
    }
}

/// Two ends of a connection. The first one waits long, and not for ever, for what has to come.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let client = TcpStream::connect(listener.local_addr().expect("it is bound")).expect("it listens");
    client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    (client, listener.accept().expect("somebody connects").0)
}

/// A connection of a driver without a reactor that receives, with the other end of it.
fn adopted(driver: &mut UringDriver, token: Token) -> TcpStream {
    let (client, server) = connection();
    driver.adopt(token, server.into()).expect("there is room");
    driver.receive(token, true);
    client
}

/// Turns a driver without a reactor until so many bytes came; says how many of its receives found no buffer.
fn starved_by(mut driver: UringDriver) -> u64 {
    let mut clients = Vec::new();
    for token in 0..60 {
        let mut client = adopted(&mut driver, token);
        client.write_all(&[7; 50_000]).expect("the kernel takes it");
        clients.push(client);
    }
    let mut received = 0;
    until("everything to arrive", || {
        turn(&mut driver, |_, event| {
            let Event::Received { chunk, .. } = event else { panic!("{event:?}") };
            assert!(chunk.iter().all(|byte| *byte == 7));
            received += chunk.len();
        });
        received == 60 * 50_000
    });
    assert_eq!(driver.buffers_out(), 0);
    driver.starved()
}

#[test]
fn more_than_all_buffers_hold_arrives_after_some_found_none() {
    if ring().is_none() {
        return;
    }
    for driver in [UringDriver::new(1), UringDriver::of_older_kernel()] {
        let driver = driver.expect("it was possible before");
        let kind = driver.buffers.kind();
        assert!(starved_by(driver) > 0, "buffers of kind {kind:?} were enough");
    }
}

#[test]
fn what_many_send_at_once_is_not_mixed_up_where_receives_end_at_their_limit() {
    const EACH: usize = 4 << 20;
    if ring().is_none() {
        return;
    }
    let byte = |token: Token, offset: usize| (offset % 251) as u8 ^ token as u8;
    for driver in [UringDriver::new(1), UringDriver::of_older_kernel()] {
        let mut driver = driver.expect("it was possible before");
        let mut clients = Vec::new();
        for token in 0..8 {
            let mut client = adopted(&mut driver, token);
            clients.push(std::thread::spawn(move || {
                let sent: Vec<u8> = (0..EACH).map(|offset| byte(token, offset)).collect();
                client.write_all(&sent).expect("it is received");
            }));
        }
        let mut received = [0; 8];
        let mut ended = 0;
        until("all streams to end", || {
            let mut of_turn = [0; 8];
            turn(&mut driver, |_, event| match event {
                Event::Received { token, chunk } => {
                    let so_far = &mut received[*token as usize];
                    let is_right = chunk.iter().enumerate().all(|(at, got)| *got == byte(*token, *so_far + at));
                    assert!(is_right, "{token}: other bytes than were sent, from {so_far} on");
                    *so_far += chunk.len();
                    of_turn[*token as usize] += chunk.len();
                }
                Event::Ended { .. } => ended += 1,
                other => panic!("{other:?}"),
            });
            let most = of_turn.into_iter().max().unwrap_or(0);
            // The kernel counts whole buffers.
            let longest = crate::share::SHARE_BYTES + 64 * 1024 - 1;
            assert!(!driver.can_limit || most <= longest, "{most} bytes of one in a turn");
            ended == 8
        });
        assert_eq!(received, [EACH; 8]);
        clients.into_iter().for_each(|client| client.join().expect("it wrote"));
    }
}

/// Sends a piece, and has all of it received; says whether that came in the hot buffer.
fn is_received_hot(driver: &mut UringDriver, client: &mut TcpStream, piece: &[u8]) -> bool {
    client.write_all(piece).expect("the kernel takes it");
    let (mut received, mut is_hot) = (0, true);
    until("the piece", || {
        turn(driver, |driver, event| {
            let Event::Received { chunk, .. } = event else { panic!("{event:?}") };
            assert!(**chunk == piece[received..received + chunk.len()]);
            received += chunk.len();
            is_hot &= chunk.buffer() == HOT;
            assert_eq!(driver.lends(chunk), chunk.buffer() == HOT);
        });
        received == piece.len()
    });
    is_hot
}

#[test]
fn large_pieces_come_in_the_hot_buffer_after_some_and_small_ones_after_some_do_not() {
    if ring().is_none() {
        return;
    }
    for driver in [UringDriver::new(1), UringDriver::of_older_kernel()] {
        let mut driver = driver.expect("it was possible before");
        let mut client = adopted(&mut driver, 0);
        for _ in 0..2 {
            let large: Vec<_> = (0..12).map(|_| is_received_hot(&mut driver, &mut client, &[1; 40_000])).collect();
            assert!(!large[0] && large[11], "{large:?}");
            let small: Vec<_> = (0..16).map(|_| is_received_hot(&mut driver, &mut client, &[2; 40])).collect();
            assert!(small[0] && !small[15], "{small:?}");
        }
        assert_eq!(driver.buffers_out(), 0);
    }
}

#[test]
fn what_comes_for_a_polled_connection_while_reading_is_paused_is_received_afterwards() {
    if ring().is_none() {
        return;
    }
    let mut driver = UringDriver::new(1).expect("it was possible before");
    let mut client = adopted(&mut driver, 0);
    until("a piece in the hot buffer", || is_received_hot(&mut driver, &mut client, &[1; 40_000]));
    driver.receive(0, false);
    client.write_all(&[3; 40_000]).expect("the kernel takes it");
    until("the poll to report it", || {
        turn(&mut driver, |_, event| panic!("it is paused: {event:?}"));
        driver.entries.get(0).is_some_and(|entry| entry.large.is_readable())
    });
    assert!(!driver.has_unread(0), "nobody wants it");
    driver.receive(0, true);
    assert!(driver.has_unread(0));
    let mut received = 0;
    until("what came in the pause", || {
        turn(&mut driver, |_, event| {
            let Event::Received { chunk, .. } = event else { panic!("{event:?}") };
            received += chunk.len();
        });
        received == 40_000
    });
    assert!(!driver.has_unread(0));
}

/// Major and minor number of the kernel.
fn kernel() -> (u32, u32) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").expect("a file of every Linux");
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[test]
fn a_kernel_that_bounds_receives_is_known_to_do_so() {
    if ring().is_none() {
        return;
    }
    for driver in [UringDriver::new(1), UringDriver::of_older_kernel()] {
        let driver = driver.expect("it was possible before");
        assert_eq!(driver.can_limit, kernel() >= (6, 17), "on Linux {:?}", kernel());
        assert_eq!(driver.buffers.out(), 0);
    }
}

/// Floods some connections of a driver without a reactor, and says how many turns it takes until a byte of another one
/// comes, the longest of some times.
fn turns_beside_floods(mut driver: UringDriver, floods: u32) -> usize {
    let mut clients: Vec<TcpStream> = (0..=floods).map(|token| adopted(&mut driver, token)).collect();
    let mut asking = clients.pop().expect("the last one");
    clients.iter().for_each(|client| client.set_nonblocking(true).expect("it is a socket"));
    let bytes = vec![7; 1 << 20];
    let mut longest = 0;
    for _ in 0..50 {
        asking.write_all(b"?").expect("the kernel takes it");
        let mut turns = 0;
        let mut came = false;
        until("the question", || {
            for client in &mut clients {
                while client.write(&bytes).is_ok() {}
            }
            turns += 1;
            turn(&mut driver, |_, event| {
                let Event::Received { token, .. } = event else { panic!("{event:?}") };
                came |= *token == floods;
            });
            came
        });
        longest = longest.max(turns);
    }
    longest
}

/// Attempts to ask beside floods, of which one has to be within the bound.
const ATTEMPTS: usize = 5;

#[test]
fn who_floods_gets_no_buffers_before_those_that_found_none() {
    if ring().is_none() {
        return;
    }
    let drivers: [fn() -> std::io::Result<UringDriver>; 2] = [|| UringDriver::new(1), UringDriver::of_older_kernel];
    for (floods, most) in [(1, 3), (8, 20)] {
        for can_limit in [true, false] {
            for driver in drivers {
                // On a busy machine the kernel may take some turns to bring a question to its socket, but not each time.
                let attempt = || {
                    let mut driver = driver().expect("it was possible before");
                    driver.can_limit &= can_limit;
                    turns_beside_floods(driver, floods)
                };
                let turns: Vec<_> = (0..ATTEMPTS).map(|_| attempt()).take_while(|turns| *turns > most).collect();
                let is_in_one = turns.len() < ATTEMPTS;
                assert!(is_in_one, "{turns:?} turns beside {floods} floods, limited: {can_limit}");
            }
        }
    }
}

/// Makes sure that this process may have so many descriptors beside those of other tests. Where it may not, says so.
fn has_descriptors(wanted: u64) -> bool {
    const OF_OTHER_TESTS: u64 = 1_024;
    let (limit, wanted) = (getrlimit(Resource::Nofile), wanted + OF_OTHER_TESTS);
    if limit.current.is_none_or(|current| current >= wanted) {
        return true;
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    if raised.is_err() {
        eprintln!("not tried: it needs {wanted} descriptors, and {limit:?} is the limit");
    }
    raised.is_ok()
}

#[test]
fn many_streams_that_are_ended_at_once_end_for_their_peers_who_may_still_send() {
    const MANY: Token = MOST_INSTALLED + 44;
    if ring().is_none() || !has_descriptors(u64::from(MANY + MOST_INSTALLED)) {
        return;
    }
    for driver in KERNELS {
        let mut driver = driver().expect("it was possible before");
        let mut clients: Vec<_> = (0..MANY).map(|token| adopted(&mut driver, token)).collect();
        for token in 0..MANY {
            driver.shutdown(token);
        }
        assert!(driver.installing <= MOST_INSTALLED);
        // Each client answers when its stream has ended, on a thread of its own.
        let clients = std::thread::spawn(move || {
            for client in &mut clients {
                assert_eq!(client.read(&mut [0; 1]).expect("an end"), 0);
                client.write_all(&[7]).expect("it is still received");
            }
            clients
        });
        let mut received = 0;
        until("the answers", || {
            turn(&mut driver, |_, event| {
                let Event::Received { .. } = event else { panic!("{event:?}") };
                received += 1;
            });
            received == MANY
        });
        assert_eq!(driver.installing, 0);
        drop(clients.join().expect("all of them ended"));
    }
}

#[test]
fn the_reactors_of_an_engine_share_the_descriptors_for_shutdowns() {
    assert_eq!([1, 2, 16, 10_000].map(closing::most_installed), [256, 128, 16, 8]);
    assert!((1..=32).all(|reactors| closing::most_installed(reactors) as usize * reactors <= MOST_INSTALLED as usize));
}

#[test]
fn a_kernel_that_lets_go_of_closed_sockets_is_known_to_do_so() {
    if ring().is_none() {
        return;
    }
    let driver = UringDriver::new(1).expect("it was possible before");
    assert_eq!(driver.releases_closed, kernel() >= (6, 13), "on Linux {:?}", kernel());
    let keeps_closed = probe().map(|found| found.keeps_closed).expect("it was possible before");
    assert_eq!(driver.releases_closed, !keeps_closed);
}

/// The client's end of a connection, of TCP or of a Unix socket, and the server's.
fn connection_of(is_unix: bool) -> (Box<dyn Read>, OwnedFd) {
    if is_unix {
        let (client, server) = UnixStream::pair().expect("a pair");
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        (Box::new(client), server.into())
    } else {
        let (client, server) = connection();
        (Box::new(client), server.into())
    }
}

/// Closes a connection beside an older one that receives, and says what its peer reads then, without any further turn. On a
/// driver for kernels that keep closed sockets something else holds its socket, as they do.
fn read_after_close(driver: &mut UringDriver, is_unix: bool, is_shut: bool, reset: bool) -> io::Result<usize> {
    let older = adopted(driver, 0);
    let (mut client, server) = connection_of(is_unix);
    let held = (!driver.releases_closed).then(|| server.try_clone().expect("a descriptor is free"));
    driver.adopt(1, server).expect("there is room");
    driver.receive(1, true);
    until("its receive to be in flight", || {
        turn(driver, |_, event| panic!("{event:?}"));
        driver.entries.get(1).is_some_and(|entry| entry.armed)
    });
    if is_shut {
        driver.shutdown(1);
    }
    driver.close(1, reset);
    let mut is_closed = false;
    until("the close", || {
        turn(driver, |_, event| {
            assert!(matches!(event, Event::Closed { token: 1 }), "{event:?}");
            is_closed = true;
        });
        is_closed
    });
    assert_eq!(driver.installing, 0);
    let read = client.read(&mut [0; 1]);
    drop((held, older));
    let mut is_over = false;
    until("the end of the older one", || {
        turn(driver, |_, event| is_over |= matches!(event, Event::Ended { token: 0 }));
        is_over
    });
    driver.close(0, true);
    until("its close", || {
        turn(driver, |_, event| is_over &= !matches!(event, Event::Closed { token: 0 }));
        !is_over
    });
    read
}

#[test]
fn the_peer_of_a_closed_connection_sees_its_end_though_the_kernel_keeps_the_socket() {
    if ring().is_none() {
        return;
    }
    for driver in KERNELS {
        let mut driver = driver().expect("it was possible before");
        for (is_unix, is_shut) in [(false, false), (false, true), (true, false), (true, true)] {
            let read = read_after_close(&mut driver, is_unix, is_shut, false);
            assert_eq!(read.expect("an end"), 0, "unix: {is_unix}, shut down before: {is_shut}");
            let read = read_after_close(&mut driver, is_unix, is_shut, true);
            match read.map_err(|error| error.kind()) {
                Err(io::ErrorKind::ConnectionReset) if !is_unix => {}
                // A Unix socket has no reset. Where a worker of the kernel was on its way already, the end comes first.
                Ok(0) if is_unix || (is_shut && !driver.can_install) => {}
                other => panic!("{other:?}, unix: {is_unix}, shut down before: {is_shut}"),
            }
        }
    }
}

/// A number in the process for a direct descriptor.
fn installed(driver: &mut UringDriver, slot: u32) -> OwnedFd {
    let request = opcode::FixedFdInstall::new(Fixed(slot), 0).build();
    driver.push(&request.user_data(user_data(Op::Nothing, slot, 0)));
    let mut descriptor = None;
    until("the descriptor", || {
        driver.wait(Some(Duration::from_millis(100))).expect("it waits");
        let mut found = driver.batch.iter().filter(|(name, ..)| read_user_data(*name) == (Op::Nothing, slot, 0));
        descriptor = found.next().map(|(_, result, _)| owned(*result).expect("a descriptor is free"));
        descriptor.is_some()
    });
    turn(driver, |_, event| panic!("{event:?}"));
    descriptor.expect("it was waited for")
}

#[test]
fn a_refused_client_sees_the_end_though_the_kernel_keeps_the_socket() {
    if !ring().is_some_and(|ring| closing::can_install(&ring).unwrap_or(false)) {
        eprintln!("not tried: nothing can hold a socket here that was just accepted");
        return;
    }
    for driver in KERNELS {
        let mut driver = driver().expect("it was possible before");
        let (address, mut sockets) = listen_tcp((Ipv4Addr::LOCALHOST, 0).into(), 1, None).expect("a free port");
        driver.listen(0, sockets.remove(0)).expect("it listens");
        driver.accept(0, true);
        for farewell in [&b""[..], b"full"] {
            let mut client = TcpStream::connect(address).expect("it listens");
            client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let mut incoming = None;
            until("the client", || {
                turn(&mut driver, |_, event| match event {
                    Event::Accepted { incoming: slot, .. } => incoming = Some(*slot),
                    other => panic!("{other:?}"),
                });
                incoming.is_some()
            });
            let slot = incoming.expect("it came in");
            let held = (!driver.releases_closed).then(|| installed(&mut driver, slot));
            driver.refuse(slot, farewell);
            until("the close", || {
                turn(&mut driver, |_, event| panic!("{event:?}"));
                driver.free_slots.contains(&slot)
            });
            let mut read = Vec::new();
            let ended = client.read_to_end(&mut read);
            assert_eq!((read.as_slice(), ended.is_ok()), (farewell, !farewell.is_empty()), "{ended:?}");
            drop(held);
        }
    }
}
