//! Offloaded work whose clients do not wait for it, over real sockets, on every driver that this machine has.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gannet::proto::Lines;
use gannet::{Address, CloseReason, Context, DriverChoice, Engine, Limits, Pool, Running, Service};
use gannet_testing::{PATIENCE, until};
use socket2::SockRef;

use crate::drivers;

/// What has run, in order.
type Ran = Arc<Mutex<Vec<String>>>;

/// Offloads a job for each line, and says at once whether the pool took it. Jobs for `hold` wait for the test.
struct Worker {
    pool: Pool,
    ran: Ran,
    held: Sender<Sender<()>>,
}

impl Service for Worker {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), line: &[u8], cx: &mut Context<'_, Self>) {
        let (line, ran, held) = (String::from_utf8_lossy(line).into_owned(), self.ran.clone(), self.held.clone());
        let work = move || {
            if line == "hold" {
                let (go, wait) = channel();
                held.send(go).expect("the test listens");
                let _ = wait.recv();
            }
            ran.lock().expect("nobody panics with it").push(line.clone());
            line
        };
        let done = |_: &mut Self, (): &mut (), line: String, cx: &mut Context<'_, Self>| {
            cx.send(&[b"did ", line.as_bytes()]);
        };
        let taken = cx.offload_to(self.pool, work, done);
        cx.send(&[if taken.is_ok() { b"taken" } else { b"full!" }]);
    }

    fn close(&mut self, (): (), reason: CloseReason, cx: &mut Context<'_, Self>) {
        if reason == CloseReason::Service {
            unreachable!("this service closes nothing");
        }
        if matches!(reason, CloseReason::Io(_)) && self.pool == Pool::Files {
            // Nobody waits for this, and it is done all the same.
            let ran = self.ran.clone();
            let work = move || ran.lock().expect("nobody panics with it").push("farewell".to_owned());
            cx.offload_to(self.pool, work, |_, (), (), _| unreachable!("the session is gone")).expect("there is room");
        }
    }
}

struct Client(TcpStream);

impl Client {
    fn new(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the engine accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self(stream)
    }

    fn ask(&mut self, line: &str, answer: &str) {
        self.0.write_all(format!("{line}\n").as_bytes()).expect("it is open");
        self.expect(answer);
    }

    fn expect(&mut self, answer: &str) {
        let mut got = vec![0; answer.len() + 1];
        self.0.read_exact(&mut got).expect("an answer comes");
        assert_eq!(String::from_utf8_lossy(&got).trim_end(), answer);
    }

    fn reset(self) {
        SockRef::from(&self.0).set_linger(Some(Duration::ZERO)).expect("a TCP socket");
    }
}

fn start(driver: DriverChoice, pool: Pool) -> (Running, SocketAddr, Ran, std::sync::mpsc::Receiver<Sender<()>>) {
    let mut limits = Limits::default();
    (limits.offloads, limits.offload_threads) = (8, 1);
    (limits.blocking_offloads, limits.blocking_threads) = (8, 1);
    (limits.file_offloads, limits.file_threads) = (8, 1);
    let (ran, (held, holds)) = (Ran::default(), channel());
    let service_ran = ran.clone();
    let running = Engine::new()
        .reactors(1)
        .driver(driver)
        .limits(limits)
        .listen("tcp://127.0.0.1:0", move || Worker { pool, ran: service_ran.clone(), held: held.clone() })
        .expect("an address")
        .start()
        .expect("the engine starts");
    let Some(Address::Tcp(address)) = running.addresses().next().cloned() else { panic!("it listens on TCP") };
    (running, address, ran, holds)
}

fn stats_of(running: &Running, pool: Pool) -> gannet::OffloadStats {
    running.remote().offload_stats().into_iter().find(|stats| stats.pool == pool).expect("each pool has counters")
}

/// They delayed the next request by the time that all of them took, and were the reason to refuse it.
#[test]
fn work_for_clients_that_are_gone_neither_runs_nor_takes_the_place_of_other_work() {
    for driver in drivers() {
        for pool in [Pool::Compute, Pool::Blocking] {
            let (running, address, ran, holds) = start(driver, pool);
            let mut holder = Client::new(address);
            holder.ask("hold", "taken");
            let go = holds.recv().expect("it begins");
            for gone in 1..=200 {
                let mut client = Client::new(address);
                client.ask("for nobody", "taken");
                client.reset();
                let io = CloseReason::Io(std::io::ErrorKind::ConnectionReset);
                until("the reset", || running.remote().stats()[0].services[0].closed(io) == gone);
            }
            let mut client = Client::new(address);
            client.ask("for me", "taken");
            drop(go);
            client.expect("did for me");
            holder.expect("did hold");
            assert_eq!(*ran.lock().expect("nobody panics with it"), ["hold", "for me"], "{pool:?} on {driver:?}");
            until("the end of all jobs", || running.remote().offloads() == 0);
            let stats = stats_of(&running, pool);
            assert_eq!((stats.accepted, stats.abandoned, stats.refused), (202, 200, 0));
        }
    }
}

#[test]
fn work_for_clients_that_only_ended_their_stream_comes_after_work_that_is_awaited() {
    for driver in drivers() {
        let (_running, address, ran, holds) = start(driver, Pool::Compute);
        let mut holder = Client::new(address);
        holder.ask("hold", "taken");
        let go = holds.recv().expect("it begins");
        let mut halves = Vec::new();
        for _ in 0..200 {
            let mut client = Client::new(address);
            client.ask("for who knows whom", "taken");
            client.0.shutdown(Shutdown::Write).expect("it is open");
            halves.push(client);
        }
        let mut client = Client::new(address);
        client.ask("for me", "taken");
        drop(go);
        client.expect("did for me");
        assert_eq!(ran.lock().expect("nobody panics with it")[..2], ["hold", "for me"], "on {driver:?}");
    }
}

#[test]
fn work_that_a_service_begins_when_a_connection_closes_is_done() {
    for driver in drivers() {
        let (running, address, ran, _holds) = start(driver, Pool::Files);
        let mut client = Client::new(address);
        client.ask("hello", "taken");
        client.expect("did hello");
        client.reset();
        until("the farewell", || ran.lock().expect("nobody panics with it").len() == 2);
        assert_eq!(ran.lock().expect("nobody panics with it")[1], "farewell");
        until("the end of all jobs", || running.remote().offloads() == 0);
    }
}

#[test]
fn a_pool_that_is_full_of_work_that_waits_holds_up_no_other_pool() {
    for driver in drivers() {
        let (running, address, _ran, holds) = start(driver, Pool::Blocking);
        let mut holders: Vec<Client> = (0..8).map(|_| Client::new(address)).collect();
        holders.iter_mut().for_each(|holder| holder.ask("hold", "taken"));
        let go = holds.recv().expect("one of them begins");
        Client::new(address).ask("one more", "full!");
        let (one, two) = (stats_of(&running, Pool::Compute), stats_of(&running, Pool::Files));
        assert_eq!((one.queued + one.running, two.queued + two.running), (0, 0));
        let stats = stats_of(&running, Pool::Blocking);
        assert_eq!((stats.running, stats.queued, stats.threads, stats.refused), (1, 7, 1, 1));
        drop(go);
        for _ in 1..8 {
            drop(holds.recv().expect("the next one begins"));
        }
        holders.iter_mut().for_each(|holder| holder.expect("did hold"));
    }
}
