//! The examples of a proxy, with callbacks and as sessions, between real sockets.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use gannet::{Address, Engine, Running, Timeouts};
use gannet_testing::{PATIENCE, free_ports, is_refused, until};

#[allow(dead_code, reason = "its `main` is not called here")]
#[path = "../../../examples/proxy.rs"]
mod proxy;
#[allow(dead_code, reason = "its `main` is not called here")]
#[path = "../../../examples/proxy_session.rs"]
mod proxy_session;

/// Makes the engine of an example from its arguments.
type Make = fn(&[&str]) -> Result<Engine, String>;

/// Both proxies on each driver.
fn proxies() -> Vec<(Make, &'static str)> {
    let drivers: &[&str] = if cfg!(target_os = "linux") { &["poll", "auto"] } else { &["poll"] };
    let both = [proxy::engine as Make, proxy_session::engine as Make];
    both.into_iter().flat_map(|make| drivers.iter().map(move |driver| (make, *driver))).collect()
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("tcp://{}", listener.local_addr().expect("it is bound"));
    (listener, url)
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().expect("the proxy connects");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream
}

fn connect(running: &Running) -> TcpStream {
    let Some(Address::Tcp(address)) = running.addresses().next() else { panic!("it listens on TCP") };
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream
}

fn stop(running: Running) {
    running.remote().stop();
    running.join().expect("it ends");
}

fn pattern(count: usize, seed: usize) -> Vec<u8> {
    (0..count).map(|at| (at.wrapping_mul(31) % 251 + seed) as u8).collect()
}

fn read_to_end(mut stream: &TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an end of the stream");
    bytes
}

#[test]
fn megabytes_go_both_ways_at_once_and_each_end_of_a_stream_is_handed_on() {
    for (make, driver) in proxies() {
        let (upstream, to) = listener();
        let running = make(&["tcp://127.0.0.1:0", &to, "60", driver]).expect("it can be").start().expect("starts");
        let client = connect(&running);
        let server = accept(&upstream);
        let (asked, replied) = (pattern(4 << 20, 1), pattern(3 << 20, 2));
        thread::scope(|threads| {
            for (mut stream, bytes) in [(&client, &asked), (&server, &replied)] {
                threads.spawn(move || {
                    stream.write_all(bytes).expect("the other side reads");
                    stream.shutdown(Shutdown::Write).expect("it is open");
                });
            }
            threads.spawn(|| assert!(read_to_end(&server) == asked, "what the client sent is not what came"));
            assert!(read_to_end(&client) == replied, "what the server sent is not what came");
        });
        stop(running);
    }
}

#[test]
fn a_pair_on_which_nothing_moves_is_closed_on_both_sides() {
    for (make, driver) in proxies() {
        let (upstream, to) = listener();
        let engine = make(&["tcp://127.0.0.1:0", &to, "60", driver]).expect("it can be");
        let mut short = Timeouts::default();
        // Longer than a busy machine takes to hand three bytes on.
        short.idle = Some(Duration::from_secs(1));
        let running = engine.timeouts(short).start().expect("it starts");
        let mut client = connect(&running);
        let mut server = accept(&upstream);
        client.write_all(b"ask").expect("it reads");
        let mut asked = [0; 3];
        server.read_exact(&mut asked).expect("it is handed on");
        assert_eq!((read_to_end(&client), read_to_end(&server)), (Vec::new(), Vec::new()));
        stop(running);
    }
}

#[test]
fn a_client_whose_server_cannot_be_reached_is_closed() {
    for (make, driver) in proxies() {
        let to = format!("tcp://{}", free_ports(1)[0]);
        let running = make(&["tcp://127.0.0.1:0", &to, "60", driver]).expect("it can be").start().expect("starts");
        let Some(Address::Tcp(address)) = running.addresses().next() else { panic!("it listens on TCP") };
        assert!(is_refused(*address));
        until("both connections to be gone", || {
            let stats = running.remote().stats();
            stats[0].services.iter().map(|service| service.connections).sum::<u64>() == 0
        });
        stop(running);
    }
}

#[test]
fn wrong_arguments_are_named() {
    let cases: [(&[&str], &str); 5] = [
        (&["tcp://127.0.0.1:0"], "usage: proxy LISTEN TO"),
        (&["tcp://127.0.0.1:0", "127.0.0.1:1"], "TO: "),
        (&["tcp://nowhere", "tcp://127.0.0.1:1"], "LISTEN: "),
        (&["tcp://127.0.0.1:0", "tcp://127.0.0.1:1", "soon"], "IDLE_SECONDS is soon"),
        (&["tcp://127.0.0.1:0", "tcp://127.0.0.1:1", "9", "kqueue"], "DRIVER is kqueue"),
    ];
    for (arguments, wanted) in cases {
        for make in [proxy::engine as Make, proxy_session::engine as Make] {
            let Err(error) = make(arguments) else { panic!("{arguments:?} was taken") };
            assert!(error.replace("proxy_session ", "proxy ").starts_with(wanted), "{error}");
        }
    }
}
