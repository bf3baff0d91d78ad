//! The examples of sessions, beside their callback versions: both say the same.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use gannet::{Address, Engine, Running};
use gannet_testing::PATIENCE;

use crate::drivers;

#[allow(dead_code, reason = "its `main` is not called here")]
#[path = "../../../../examples/chat_history.rs"]
mod chat_history;
#[allow(dead_code, reason = "its `main` is not called here")]
#[path = "../../../../examples/dialogue.rs"]
mod dialogue;
#[allow(dead_code, reason = "its `main` is not called here")]
#[path = "../../../../examples/login.rs"]
mod login;
#[allow(dead_code, reason = "its `main` is not called here")]
#[path = "../../../../examples/requests.rs"]
mod requests;

const ANYWHERE: &str = "tcp://127.0.0.1:0";

/// An engine of two listeners on each driver, with their addresses.
fn on_every_driver(build: impl Fn(Engine) -> gannet::Result<Engine>, test: impl Fn(&[SocketAddr])) {
    for driver in drivers() {
        let engine = build(Engine::new().driver(driver).reactors(1)).expect("it can be built");
        let running: Running = engine.start().expect("it starts");
        let addresses: Vec<SocketAddr> = running
            .addresses()
            .filter_map(|address| if let Address::Tcp(address) = address { Some(*address) } else { None })
            .collect();
        test(&addresses);
        running.remote().stop();
        running.join().expect("it ends");
    }
}

struct Client {
    reads: BufReader<TcpStream>,
    writes: TcpStream,
}

impl Client {
    fn connect(to: SocketAddr) -> Self {
        let writes = TcpStream::connect(to).expect("it listens");
        writes.set_read_timeout(Some(PATIENCE)).expect("a time");
        Self { reads: BufReader::new(writes.try_clone().expect("another one")), writes }
    }

    fn says(&mut self, lines: &str) {
        self.writes.write_all(lines.as_bytes()).expect("it reads");
    }

    #[track_caller]
    fn hears(&mut self, line: &str) {
        let mut heard = String::new();
        self.reads.read_line(&mut heard).expect("a line");
        assert_eq!(heard.trim_end_matches('\n'), line);
    }

    #[track_caller]
    fn hears_the_end(&mut self) {
        let mut rest = String::new();
        self.reads.read_to_string(&mut rest).expect("an end of the stream");
        assert_eq!(rest, "");
    }
}

#[test]
fn the_smallest_dialogue_asks_for_a_name_and_answers_with_it() {
    on_every_driver(
        |engine| engine.sessions(ANYWHERE, gannet::proto::Lines::default, dialogue::dialogue),
        |addresses| {
            let mut client = Client::connect(addresses[0]);
            client.hears("your name?");
            client.says("Ada\nhello\n");
            client.hears("Ada says hello");
        },
    );
}

#[test]
fn a_login_has_three_attempts_as_a_session_and_as_callbacks() {
    on_every_driver(
        |engine| login::engine(engine, ANYWHERE, ANYWHERE),
        |addresses| {
            assert_eq!(addresses.len(), 2);
            for address in addresses {
                let mut client = Client::connect(*address);
                client.hears("password?");
                client.says("guess\n");
                client.hears("wrong, 2 left");
                client.hears("password?");
                client.says("secret\n");
                client.hears("welcome");
                client.hears_the_end();

                let mut other = Client::connect(*address);
                other.says("a\nb\nc\n");
                for left in [2, 1, 0] {
                    other.hears("password?");
                    other.hears(&format!("wrong, {left} left"));
                }
                other.hears_the_end();
            }
        },
    );
}

#[test]
fn a_chat_shows_a_new_guest_what_was_said_as_a_session_and_as_callbacks() {
    on_every_driver(
        |engine| chat_history::engine(engine, ANYWHERE, ANYWHERE),
        |addresses| {
            let (mut one, mut two) = (Client::connect(addresses[0]), Client::connect(addresses[1]));
            for (guest, name) in [(&mut one, "Ada"), (&mut two, "Bob")] {
                guest.hears("your name?");
                guest.says(&format!("{name}\n"));
                guest.hears(&format!("{name} is here"));
            }
            one.hears("Bob is here");
            one.says("hello\n");
            two.hears("Ada: hello");
            one.hears("Ada: hello");
            two.says("hi\n");
            one.hears("Bob: hi");
            two.hears("Bob: hi");
            for (address, name) in addresses.iter().zip(["Cid", "Dan"]) {
                let mut late = Client::connect(*address);
                late.hears("your name?");
                late.says(&format!("{name}\n"));
                for line in ["Ada: hello", "Bob: hi"] {
                    late.hears(line);
                }
                late.hears(&format!("{name} is here"));
                drop(late);
                for guest in [&mut one, &mut two] {
                    guest.hears(&format!("{name} is here"));
                    guest.hears(&format!("{name} has left"));
                }
            }
        },
    );
}

#[test]
#[cfg(unix)]
fn a_fast_request_overtakes_a_slow_one_on_the_same_connection() {
    let path = std::env::temp_dir().join(format!("gannet-requests-{}", std::process::id()));
    let url = format!("unix://{}", path.display());
    on_every_driver(
        |engine| requests::engine(engine, &url, ANYWHERE),
        |addresses| {
            let mut client = Client::connect(addresses[0]);
            client.says("200 slow\n0 fast\nx y\n");
            client.hears("fast: FAST");
            client.hears("y: the request failed: x is no number of milliseconds");
            client.hears("slow: SLOW");
        },
    );
}
