//! Listening sockets that go from one engine to another while clients connect: here two engines of one process, whose
//! descriptors are duplicates as those of two processes are.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use gannet::proto::Lines;
use gannet::{
    Address, Balance, Context, DatagramContext, DatagramService, DriverChoice, Engine, Error, Inherited, ListenOptions,
    Plan, Running, Service,
};
use gannet_testing::{PATIENCE, until};
use socket2::{Domain, Socket, Type};

fn drivers() -> Vec<DriverChoice> {
    match Engine::new().driver(DriverChoice::Uring).reactors(1).start() {
        Ok(_) => vec![DriverChoice::Poll, DriverChoice::Uring],
        Err(why) => {
            eprintln!("not tried on io_uring: {why}");
            vec![DriverChoice::Poll]
        }
    }
}

/// Says which engine answers.
#[derive(Clone)]
struct Named(&'static str);

impl Service for Named {
    type Codec = Lines;
    type Session = ();

    fn message(&mut self, (): &mut (), _: &[u8], cx: &mut Context<'_, Self>) {
        cx.send(&[self.0.as_bytes()]);
    }
}

impl DatagramService for Named {
    fn datagram(&mut self, _: &[u8], cx: &mut DatagramContext<'_>) {
        let _ = cx.reply(self.0.as_bytes());
    }
}

fn engine(driver: DriverChoice, reactors: usize, balance: Balance, url: &str, name: &'static str) -> Engine {
    let engine = Engine::new().driver(driver).reactors(reactors).balance(balance);
    engine.listen(url, move || Named(name)).expect("an address")
}

fn address(running: &Running) -> SocketAddr {
    match running.addresses().next().cloned() {
        Some(Address::Tcp(address) | Address::Udp(address)) => address,
        other => panic!("{other:?}"),
    }
}

/// Connects, and says who answers.
fn visit(address: SocketAddr) -> std::io::Result<String> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // No port is kept for a minute.
    socket.set_linger(Some(Duration::ZERO))?;
    socket.connect_timeout(&address.into(), PATIENCE)?;
    ask(&mut TcpStream::from(socket))
}

fn ask(stream: &mut TcpStream) -> std::io::Result<String> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"who\n")?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..3]).into_owned())
}

/// Clients that come one after the other until they are stopped.
struct Crowd {
    ends: Arc<AtomicBool>,
    visits: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Crowd {
    fn start(address: SocketAddr) -> Self {
        let (ends, visits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let threads = (0..4).map(|_| {
            let (ends, visits) = (ends.clone(), visits.clone());
            std::thread::spawn(move || {
                while !ends.load(Ordering::Relaxed) {
                    visit(address).expect("nobody is refused");
                    visits.fetch_add(1, Ordering::Relaxed);
                }
            })
        });
        let threads = threads.collect();
        Self { ends, visits, threads }
    }

    fn wait_for(&self, more: u64) {
        let until = self.visits.load(Ordering::Relaxed) + more;
        while self.visits.load(Ordering::Relaxed) < until {
            assert!(self.threads.iter().all(|thread| !thread.is_finished()), "a client was refused");
            std::thread::yield_now();
        }
    }

    fn end(self) {
        self.ends.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().expect("nobody is refused"));
    }
}

/// Has a new engine take over from an old one.
fn take_over(old: &Running, new: Engine) -> Running {
    let handover = old.handover();
    let sockets = handover.sockets().expect("the old one runs");
    let new = new.adopt(sockets).start_after(|_| handover.withdraw()).expect("the new one starts");
    handover.release();
    new
}

#[test]
fn no_client_is_refused_whatever_drivers_reactors_and_balances_follow_each_other() {
    let drivers = drivers();
    let other = drivers[drivers.len() - 1];
    let steps = [
        (drivers[0], 2, Balance::ReusePort),
        (other, 2, Balance::ReusePort),
        (drivers[0], 4, Balance::ReusePort),
        (other, 1, Balance::ReusePort),
        (other, 2, Balance::RoundRobin),
        (drivers[0], 1, Balance::ReusePort),
        (other, 3, Balance::ReusePort),
    ];
    let (driver, reactors, balance) = steps[0];
    let mut running = engine(driver, reactors, balance, "tcp://127.0.0.1:0", "old").start().expect("it starts");
    let address = address(&running);
    let mut stays = TcpStream::connect(address).expect("it accepts");
    assert_eq!(ask(&mut stays).expect("an answer"), "old");
    let crowd = Crowd::start(address);
    crowd.wait_for(50);
    let mut first = None;
    for (step, (driver, reactors, balance)) in steps.into_iter().enumerate().skip(1) {
        let new =
            engine(driver, reactors, balance, &format!("tcp://{address}"), if step % 2 == 0 { "old" } else { "new" });
        let new = take_over(&running, new);
        crowd.wait_for(50);
        let old = std::mem::replace(&mut running, new);
        if step == 1 {
            assert_eq!(ask(&mut stays).expect("an answer"), "old", "who was there stays with the old engine");
            first = Some(old);
        } else {
            old.remote().stop();
            old.join().expect("it ends");
        }
        crowd.wait_for(50);
    }
    assert_eq!(ask(&mut stays).expect("an answer"), "old");
    drop(first);
    crowd.end();
    assert_eq!(visit(address).expect("it accepts"), "old", "the newest engine is number six");
    running.remote().stop();
    running.join().expect("it ends");
    // The kernel lets go of a socket a moment after it was closed.
    until("nobody to have the sockets any more", || TcpStream::connect(address).is_err());
}

#[test]
fn an_engine_that_cannot_take_over_leaves_the_old_one_as_it_was() {
    for (old, new) in [(0, 1), (1, 0)] {
        let drivers = drivers();
        let (old, new) = (drivers[old % drivers.len()], drivers[new % drivers.len()]);
        let running = engine(old, 2, Balance::default(), "tcp://127.0.0.1:0", "old").start().expect("it starts");
        let address = address(&running);
        let crowd = Crowd::start(address);
        crowd.wait_for(20);
        let handover = running.handover();
        for _ in 0..3 {
            let sockets = handover.sockets().expect("it runs");
            assert!(!sockets.is_empty());
            let next = engine(new, 3, Balance::default(), &format!("tcp://{address}"), "new").adopt(sockets);
            let error = next.start_after(|_| {
                handover.withdraw()?;
                // The other process sets its flags, and ends.
                Err(Error::Setting("it is too late".to_owned()))
            });
            assert!(error.err().is_some_and(|error| error.to_string() == "it is too late"));
            handover.restore();
            crowd.wait_for(20);
        }
        crowd.end();
        assert_eq!(visit(address).expect("it accepts"), "old");
    }
}

#[test]
fn the_file_of_a_unix_socket_goes_with_the_last_engine_that_has_it() {
    let path = std::env::temp_dir().join(format!("gannet-handover-{}", std::process::id()));
    let url = format!("unix://{}", path.display());
    let drivers = drivers();
    let who = || {
        let mut stream = UnixStream::connect(&path).expect("somebody listens");
        stream.write_all(b"who\n").expect("it is open");
        let mut answer = [0; 3];
        stream.read_exact(&mut answer).expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    };
    for reactors in [1, 2] {
        let old = engine(drivers[0], reactors, Balance::default(), &url, "old").start().expect("it starts");
        assert_eq!(who(), "old");
        let next = engine(drivers[drivers.len() - 1], 3 - reactors, Balance::default(), &url, "new");
        let new = take_over(&old, next);
        drop(old);
        assert!(path.exists(), "the old engine has left the file");
        assert_eq!(who(), "new");
        drop(new);
        assert!(!path.exists(), "the new one takes it along");
    }
}

#[test]
fn the_file_of_a_unix_socket_stays_when_the_new_engine_cannot_take_over() {
    let path = std::env::temp_dir().join(format!("gannet-handover-fails-{}", std::process::id()));
    let url = format!("unix://{}", path.display());
    for driver in drivers() {
        let old = engine(driver, 1, Balance::default(), &url, "old").start().expect("it starts");
        let sockets = old.handover().sockets().expect("it runs");
        let new = engine(driver, 1, Balance::default(), &url, "new").adopt(sockets);
        assert!(new.start_after(|_| Err(Error::Setting("too late".to_owned()))).is_err());
        assert!(path.exists(), "the old engine still has it");
        drop(UnixStream::connect(&path).expect("the old one listens"));
        drop(old);
        assert!(!path.exists());
    }
}

/// Gives the listener `replaced` another service, removes these others, and adds one; says where that is.
fn change(running: &Running, replaced: SocketAddr, removed: &[&str], added: &str) -> SocketAddr {
    let at = |url: &str, name: &str| ListenOptions::at(url).named(name);
    let plan = removed.iter().fold(Plan::new().remove("replaced"), |plan, name| plan.remove(*name));
    let plan = plan.listen(at(&format!("tcp://{replaced}"), "replaced"), || Named("two")).expect("an address");
    let plan = plan.listen(at("tcp://127.0.0.1:0", added), || Named("add")).expect("an address");
    let applied = running.apply(plan).expect("it can");
    assert!(applied.late.is_empty());
    let Address::Tcp(added) = applied.added[1] else { panic!("{:?}", applied.added) };
    assert_eq!(visit(replaced).expect("it accepts"), "two");
    assert_eq!(visit(added).expect("it accepts"), "add");
    added
}

#[test]
fn what_plans_have_changed_is_what_another_engine_gets() {
    for (driver, reactors) in drivers().into_iter().flat_map(|driver| [(driver, 1), (driver, 2)]) {
        for balance in [Balance::default(), Balance::RoundRobin] {
            let at = |url: &str, name: &str| ListenOptions::at(url).named(name);
            let engine = Engine::new().driver(driver).reactors(reactors).balance(balance);
            let engine = engine.listen(at("tcp://127.0.0.1:0", "replaced"), || Named("one")).expect("an address");
            let engine = engine.listen(at("tcp://127.0.0.1:0", "removed"), || Named("gon")).expect("an address");
            let old = engine.start().expect("it starts");
            let replaced = address(&old);
            let added = change(&old, replaced, &["removed"], "added");
            let handover = old.handover();
            let mut names: Vec<_> =
                handover.sockets().expect("it runs").into_iter().map(|inherited| inherited.name).collect();
            names.dedup();
            assert_eq!(names, ["replaced", "added"]);
            let crowds = [replaced, added].map(Crowd::start);
            crowds.iter().for_each(|crowd| crowd.wait_for(20));
            let new = Engine::new().driver(driver).reactors(3 - reactors).balance(balance);
            let new = new.listen(at(&format!("tcp://{replaced}"), "replaced"), || Named("new")).expect("an address");
            let new = new.listen(at(&format!("tcp://{added}"), "added"), || Named("new")).expect("an address");
            let new = take_over(&old, new);
            drop(old);
            crowds.iter().for_each(|crowd| crowd.wait_for(20));
            assert_eq!(visit(added).expect("it accepts"), "new");
            // The new engine has adopted its sockets, perhaps more of them than it has reactors, and changes them as well.
            change(&new, replaced, &[], "other");
            crowds.iter().for_each(|crowd| crowd.wait_for(20));
            crowds.into_iter().for_each(Crowd::end);
            new.apply(Plan::new().remove("added")).expect("it is there");
            until("the listener to be closed", || TcpStream::connect(added).is_err());
        }
    }
}

#[test]
fn no_plan_is_applied_while_another_process_takes_over() {
    for driver in drivers() {
        let running = engine(driver, 2, Balance::default(), "tcp://127.0.0.1:0", "old").start().expect("it starts");
        let handover = running.handover();
        let add = || Plan::new().listen("tcp://127.0.0.1:0", || Named("new")).expect("an address");
        let _sockets = handover.sockets().expect("it runs");
        running.apply(add()).expect("the engine still accepts");
        handover.withdraw().expect("it runs");
        let error = running.apply(add()).expect_err("somebody may have the sockets");
        assert!(error.to_string().contains("another process takes over the listening sockets"), "{error}");
        handover.restore();
        running.apply(add()).expect("it accepts again");
        assert_eq!(visit(address(&running)).expect("it accepts"), "old");
    }
}

#[test]
fn datagrams_go_to_the_new_engine() {
    for driver in drivers() {
        let engine = |name: &'static str, url: &str| {
            let engine = Engine::new().driver(driver).reactors(2);
            engine.listen_datagrams(url, move || Named(name)).expect("an address")
        };
        let old = engine("old", "udp://127.0.0.1:0").start().expect("it starts");
        let address = address(&old);
        let client = UdpSocket::bind("127.0.0.1:0").expect("a port");
        client.connect(address).expect("an address");
        client.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let who = || {
            client.send(b"who").expect("it is bound");
            let mut answer = [0; 3];
            client.recv(&mut answer).expect("an answer");
            String::from_utf8_lossy(&answer).into_owned()
        };
        assert_eq!(who(), "old");
        let new = take_over(&old, engine("new", &format!("udp://{address}")));
        drop(old);
        assert_eq!(who(), "new");
        drop(new);
    }
}

#[test]
fn a_socket_of_the_service_manager_is_found_by_its_name() {
    for (driver, reactors) in drivers().into_iter().flat_map(|driver| [(driver, 1), (driver, 2)]) {
        let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = socket.local_addr().expect("it is bound");
        let kept = socket.try_clone().expect("a descriptor");
        // The listener's name is its URL here, and its port another one.
        let url = "tcp://127.0.0.1:1";
        let inherited = Inherited { name: url.to_owned(), url: String::new(), index: 0, fd: socket.into() };
        let running = engine(driver, reactors, Balance::default(), url, "new").adopt(vec![inherited]);
        let running = running.start().expect("it binds nothing");
        assert_eq!(self::address(&running), address);
        for _ in 0..8 {
            assert_eq!(visit(address).expect("it accepts"), "new");
        }
        running.remote().stop();
        running.join().expect("it ends");
        let late = TcpStream::connect(address);
        assert!(late.is_ok(), "the manager's socket still listens, for the next start");
        drop(kept);
    }
}
