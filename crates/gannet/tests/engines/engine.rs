//! Whole engines with several reactors, over real sockets, on every driver that this machine has.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, channel};

use gannet::proto::Lines;
use gannet::{
    Address, Balance, CloseReason, Context, DatagramContext, DatagramService, Engine, Group, Handle, Limits, Notice,
    NotifyError, Refused, Running, SendError, Service,
};
use gannet_testing::PATIENCE;

use crate::drivers;

/// What the service tells the test.
#[derive(Debug, PartialEq, Eq)]
enum Report {
    Opened(Handle, usize),
    Closed(CloseReason),
    Noticed(String, usize),
    Computed { asked_on: usize, came_back_on: usize },
}

/// Answers lines; some are orders.
struct Probe {
    room: Group,
    reports: Sender<Report>,
}

impl Probe {
    fn report(&self, report: Report) {
        self.reports.send(report).expect("the test listens");
    }
}

impl Service for Probe {
    type Codec = Lines;
    type Session = ();

    fn open(&mut self, cx: &mut Context<'_, Self>) -> Result<(), Refused> {
        cx.join(self.room).map_err(|_| Refused)?;
        self.report(Report::Opened(cx.handle(), cx.reactor()));
        Ok(())
    }

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        match line {
            b"everybody" => cx.broadcast(self.room, &[b"hello everybody"]).expect("a line can be encoded"),
            b"compute" => {
                let asked_on = cx.reactor();
                cx.offload(
                    || (1..=1_000u64).sum::<u64>(),
                    move |probe, (), sum, cx| {
                        probe.report(Report::Computed { asked_on, came_back_on: cx.reactor() });
                        cx.send(&[sum.to_string().as_bytes()]);
                    },
                )
                .expect("the pool has room");
            }
            b"bye" => cx.close_flushed(),
            _ => {
                cx.send(&[b"echo: ", line]);
            }
        }
    }

    fn close(&mut self, (): (), reason: CloseReason, _: &mut Context<'_, Self>) {
        // The test may be over.
        let _ = self.reports.send(Report::Closed(reason));
    }
}

impl Notice<String> for Probe {
    fn notice(&mut self, (): &mut (), value: String, cx: &mut Context<'_, Self>) {
        cx.send(&[b"notice: ", value.as_bytes()]);
        self.report(Report::Noticed(value, cx.reactor()));
    }
}

struct Rig {
    running: Running,
    address: SocketAddr,
    room: Group,
    reports: Receiver<Report>,
}

fn start(engine: Engine) -> Rig {
    let (sender, reports) = channel();
    let room = Group::new();
    let running = engine
        .listen("tcp://127.0.0.1:0", move || Probe { room, reports: sender.clone() })
        .expect("an address")
        .start()
        .expect("the engine starts");
    let Some(Address::Tcp(address)) = running.addresses().next().cloned() else { panic!("it listens on TCP") };
    Rig { running, address, room, reports }
}

impl Rig {
    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the engine accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    fn report(&self) -> Report {
        self.reports.recv_timeout(PATIENCE).expect("the service reports")
    }

    /// Connects so many clients; says where they live.
    fn connect_all(&self, count: usize) -> (Vec<TcpStream>, Vec<(Handle, usize)>) {
        let streams = (0..count).map(|_| self.connect()).collect();
        let places = (0..count).map(|_| match self.report() {
            Report::Opened(handle, reactor) => (handle, reactor),
            other => panic!("{other:?} came before every connection was open"),
        });
        (streams, places.collect())
    }
}

fn expect(stream: &mut TcpStream, text: &str) {
    let mut got = vec![0; text.len()];
    stream.read_exact(&mut got).expect("an answer comes");
    assert_eq!(String::from_utf8_lossy(&got), text);
}

#[test]
fn a_broadcast_reaches_members_on_every_reactor_once() {
    for driver in drivers() {
        let rig = start(Engine::new().driver(driver).reactors(4));
        let (mut streams, places) = rig.connect_all(200);
        let reactors: HashSet<usize> = places.iter().map(|(_, reactor)| *reactor).collect();
        assert_eq!(reactors.len(), 4, "the kernel spreads 200 connections over 4 reactors");
        streams[0].write_all(b"everybody\n").expect("it is open");
        streams.iter_mut().for_each(|stream| expect(stream, "hello everybody\n"));
        rig.running.remote().broadcast(rig.room, &Lines::default(), &[b"from outside"]).expect("it runs");
        streams.iter_mut().for_each(|stream| expect(stream, "from outside\n"));
        // Nothing came twice: the next thing each hears is its own answer.
        for stream in &mut streams {
            stream.write_all(b"still here\n").expect("it is open");
            expect(stream, "echo: still here\n");
        }
    }
}

#[test]
fn values_and_messages_reach_their_session_from_any_thread() {
    for driver in drivers() {
        let rig = start(Engine::new().driver(driver).reactors(3));
        let (mut streams, places) = rig.connect_all(30);
        let remote = rig.running.remote();
        std::thread::scope(|scope| {
            for (handle, _) in &places {
                let remote = remote.clone();
                scope.spawn(move || {
                    for number in 0..10 {
                        remote.notify::<Probe, _>(*handle, format!("{number}")).expect("it is open");
                    }
                    remote.send(*handle, "done").expect("it is open");
                });
            }
        });
        let homes: Vec<usize> = places.iter().map(|(_, reactor)| *reactor).collect();
        for _ in 0..300 {
            let Report::Noticed(_, reactor) = rig.report() else { panic!("only notices are under way") };
            assert!(homes.contains(&reactor));
        }
        // In the order in which one thread gave them.
        for stream in &mut streams {
            (0..10).for_each(|number| expect(stream, &format!("notice: {number}\n")));
            expect(stream, "done\n");
        }
    }
}

#[test]
fn a_handle_of_a_connection_that_is_gone_is_answered_with_an_error_on_any_thread() {
    for driver in drivers() {
        let rig = start(Engine::new().driver(driver).reactors(1));
        let (mut streams, places) = rig.connect_all(1);
        streams[0].write_all(b"bye\n").expect("it is open");
        streams[0].shutdown(Shutdown::Write).expect("it is open");
        assert_eq!(rig.report(), Report::Closed(CloseReason::Service));
        let remote = rig.running.remote();
        // Whoever comes next may get the same slot, and must not get the message.
        let (mut others, _) = rig.connect_all(1);
        assert_eq!(remote.send(places[0].0, "for somebody else"), Err(SendError::Gone));
        let NotifyError { value, reason } = remote.notify::<Probe, _>(places[0].0, "late".to_owned()).unwrap_err();
        assert_eq!((value.as_str(), reason), ("late", SendError::Gone), "who gave it gets it back");
        others[0].write_all(b"me\n").expect("it is open");
        expect(&mut others[0], "echo: me\n");
        rig.running.remote().stop();
        drop(rig.running);
        assert_eq!(remote.send(places[0].0, "after the end"), Err(SendError::Gone));
    }
}

#[test]
fn offloaded_work_comes_back_to_the_reactor_that_asked() {
    for driver in drivers() {
        let rig = start(Engine::new().driver(driver).reactors(3));
        let (mut streams, _) = rig.connect_all(12);
        for stream in &mut streams {
            stream.write_all(b"compute\n").expect("it is open");
            expect(stream, "500500\n");
            let Report::Computed { asked_on, came_back_on } = rig.report() else { panic!("only one job runs") };
            assert_eq!(asked_on, came_back_on);
        }
    }
}

#[test]
fn round_robin_gives_each_reactor_the_same_and_least_connections_fills_gaps() {
    for driver in drivers() {
        for balance in [Balance::RoundRobin, Balance::LeastConnections] {
            let rig = start(Engine::new().driver(driver).reactors(4).balance(balance));
            let mut counts = [0; 4];
            let mut streams = Vec::new();
            // One by one: least-connections looks at what is open.
            for _ in 0..40 {
                let (stream, places) = rig.connect_all(1);
                streams.extend(stream);
                counts[places[0].1] += 1;
            }
            assert_eq!(counts, [10; 4], "{balance:?} on {driver:?}");
            for stream in &mut streams {
                stream.write_all(b"hi\n").expect("it is open");
                expect(stream, "echo: hi\n");
            }
        }
    }
}

#[test]
fn source_hash_sends_one_address_to_one_reactor() {
    for driver in drivers() {
        let rig = start(Engine::new().driver(driver).reactors(4).balance(Balance::SourceHash));
        let (_streams, places) = rig.connect_all(20);
        let reactors: HashSet<usize> = places.iter().map(|(_, reactor)| *reactor).collect();
        assert_eq!(reactors.len(), 1);
    }
}

/// It was a panic on a thread of the engine's, and `a reactor's thread ended before it started`.
#[test]
fn a_mailbox_without_end_is_refused_with_what_there_may_be() {
    let mut limits = Limits::default();
    limits.mailbox = usize::MAX;
    let refused = Engine::new().reactors(1).limits(limits).start().err().expect("no memory has room for that");
    assert!(refused.to_string().contains("16777216 is the most"), "{refused}");
}

#[test]
fn there_may_be_more_reactors_than_processors() {
    for driver in drivers() {
        let rig = start(Engine::new().driver(driver).reactors(16).pin(true));
        let (mut streams, _) = rig.connect_all(100);
        for stream in &mut streams {
            stream.write_all(b"hi\n").expect("it is open");
            expect(stream, "echo: hi\n");
        }
        let stats = rig.running.remote().stats();
        assert_eq!(stats.len(), 16);
        assert_eq!(stats.iter().flat_map(|reactor| &reactor.services).map(|one| one.connections).sum::<u64>(), 100);
    }
}

#[test]
fn stopping_from_the_library_delivers_what_was_accepted_and_ends() {
    for driver in drivers() {
        let rig = start(Engine::new().driver(driver).reactors(2));
        let (mut streams, _) = rig.connect_all(20);
        for stream in &mut streams {
            stream.write_all(b"last words\n").expect("it is open");
            expect(stream, "echo: last words\n");
        }
        rig.running.remote().stop();
        for stream in &mut streams {
            assert_eq!(stream.read(&mut [0]).expect("a clean end"), 0);
        }
        drop(streams);
        rig.running.join().expect("it ends without an error");
    }
}

struct Shout;

impl DatagramService for Shout {
    fn datagram(&mut self, payload: &[u8], cx: &mut DatagramContext<'_>) {
        cx.reply(&payload.to_ascii_uppercase()).expect("loopback has room");
    }
}

#[test]
fn datagrams_are_answered_to_their_senders() {
    for driver in drivers() {
        let engine = Engine::new().driver(driver).reactors(2);
        let running = engine.listen_datagrams("udp://127.0.0.1:0", || Shout).expect("an address").start();
        let running = running.expect("the engine starts");
        let Some(Address::Udp(address)) = running.addresses().next().cloned() else { panic!("it listens on UDP") };
        let sockets: Vec<UdpSocket> = (0..8)
            .map(|_| {
                let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
                socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                socket
            })
            .collect();
        let mut buffer = vec![0; 65_536];
        let mut expect = |number: usize, length: usize| {
            let (count, from) = sockets[number].recv_from(&mut buffer).expect("an answer comes");
            assert_eq!((from, count), (address, length));
            assert!(buffer[..count].iter().all(|byte| *byte == b'A' + number as u8));
        };
        let send = |number: usize, length: usize| {
            let payload = vec![b'a' + number as u8; length];
            sockets[number].send_to(&payload, address).expect("loopback takes it");
        };
        for length in [0, 1, 1_400] {
            (0..sockets.len()).for_each(|number| send(number, length));
            (0..sockets.len()).for_each(|number| expect(number, length));
        }
        // One after the other: the kernel holds only a few large datagrams for a socket, and drops the rest.
        for number in 0..sockets.len() {
            send(number, 60_000);
            expect(number, 60_000);
        }
    }
}
