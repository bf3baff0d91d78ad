//! An upgrade whose old process is killed, at each step of what the two say to each other: the new one serves, or ends and
//! says why. The test is the old process.

use std::io::{BufRead as _, BufReader, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use gannet_testing::PATIENCE;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::{Value, json};

use crate::server::{Folder, Server, Stream, drivers, gannet};

/// Clients that wait in the queue of each socket, which has room for 128.
const CLIENTS: usize = 100;

/// What the old process does before it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    Spawned,
    HalfALine,
    NamedSockets,
    PassedOne,
    PassedAll,
    HeardReady,
    Withdrew,
    HeardServing,
}

const STEPS: [Step; 8] = [
    Step::Spawned,
    Step::HalfALine,
    Step::NamedSockets,
    Step::PassedOne,
    Step::PassedAll,
    Step::HeardReady,
    Step::Withdrew,
    Step::HeardServing,
];

/// The old process, as far as the new one sees it.
struct Old {
    channel: BufReader<UnixStream>,
    /// What it listens on, by URL.
    listeners: Vec<(String, OwnedFd)>,
}

impl Old {
    fn say(&mut self, line: &str) {
        // The new one may have ended already.
        let _ = self.channel.get_mut().write_all(line.as_bytes());
    }

    fn pass(&mut self, count: usize) {
        let descriptors: Vec<BorrowedFd<'_>> =
            self.listeners[..count].iter().map(|(_, socket)| socket.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
        sendmsg(self.channel.get_ref(), &[IoSlice::new(b" ")], &mut control, SendFlags::empty()).expect("it waits");
    }

    fn hear(&mut self) -> Value {
        let mut line = String::new();
        self.channel.read_line(&mut line).expect("a line");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    /// Does everything up to a step, and is gone.
    fn run_until(mut self, last: Step) {
        let name = |(url, _): &(String, OwnedFd)| json!({ "name": url, "url": url, "index": 0 });
        let sockets: Vec<Value> = self.listeners.iter().map(name).collect();
        let sockets = json!({
            "say": "sockets", "protocol": 1, "version": "0", "generation": 6, "driver": "poll", "sockets": sockets,
        });
        let line = format!("{sockets}\n");
        for step in STEPS.into_iter().filter(|step| *step <= last) {
            match step {
                Step::Spawned => {}
                Step::HalfALine if last == step => self.say(&line[..line.len() / 2]),
                Step::HalfALine => {}
                Step::NamedSockets => self.say(&line),
                Step::PassedOne if last == step => self.pass(1),
                Step::PassedOne => {}
                Step::PassedAll => self.pass(self.listeners.len()),
                Step::HeardReady => assert_eq!(self.hear()["say"], "ready"),
                Step::Withdrew => self.say("{\"say\":\"withdrawn\"}\n"),
                Step::HeardServing => assert_eq!(self.hear()["say"], "serving"),
            }
        }
    }
}

/// A client that is in the queue of a listener before anybody accepts.
fn wait_in_line(url: &str) -> Stream {
    let mut stream = Stream::connect(url);
    stream.write_all(b"hi\n").expect("it is taken");
    stream
}

#[test]
fn where_the_old_process_is_killed_at_any_step_the_new_one_serves_or_ends_and_says_why() {
    let folder = Folder::new("upgrade-steps");
    for driver in drivers() {
        for step in STEPS {
            let (ours, theirs) = UnixStream::pair().expect("a pair");
            ours.set_read_timeout(Some(PATIENCE)).expect("a timeout");
            let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
            let file = format!("{driver}-{step:?}");
            let unix = UnixListener::bind(folder.path(&file)).expect("a socket");
            let at = [format!("tcp://{}", tcp.local_addr().expect("it listens")), folder.url(&file)];
            let listeners = at.iter().cloned().zip([tcp.into(), unix.into()]).collect();
            let clients: Vec<Stream> = at.iter().flat_map(|url| (0..CLIENTS).map(|_| wait_in_line(url))).collect();
            let mut command = gannet(&["serve", "--driver", driver, "--reactors", "1"]);
            for url in &at {
                command.arg(format!("--listen=echo={url}"));
            }
            command.env("UPGRADE_OF_GANNET", "1");
            let old = Old { channel: BufReader::new(ours), listeners };
            let script = std::thread::spawn(move || old.run_until(step));
            // The helper gives a process no standard input; this one has its old process there.
            let new = Server::run_with_input(command, Stdio::from(OwnedFd::from(theirs)));
            script.join().unwrap_or_else(|_| panic!("{step:?}: the old process was not told what it waits for"));
            match new {
                Ok(new) => {
                    assert!(step >= Step::PassedAll, "{step:?}: it cannot have what it serves");
                    for mut client in clients {
                        // Who waited is served.
                        client.expect(b"hi\n");
                    }
                    at.iter().for_each(|url| wait_in_line(url).expect(b"hi\n"));
                    assert!(new.stop().status.success());
                }
                Err(ended) => {
                    assert!(step < Step::PassedAll, "{step:?}: {ended:#?}");
                    assert_eq!(ended.status.code(), Some(1), "{step:?}: {ended:#?}");
                    let [line] = &ended.stderr[..] else { panic!("{step:?}: more or less than a line: {ended:#?}") };
                    let why = "gannet: the process to take over from does not say what it listens on: ";
                    assert!(line.starts_with(why), "{step:?}: {line}");
                }
            }
        }
    }
}
