//! `gannet drain`: what clients of each protocol are told, at which pace they leave, and what can come in between.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use gannet_testing::{free_ports, until};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::reload::Rig;
use crate::reload_listeners::listener;
use crate::server::{Folder, Server, Stream, drivers, gannet};
use crate::upgrade::{Place, wait_for_number};

const LINES: &str = "--listen=lines=tcp://127.0.0.1:0";

/// A listener for operators, who are served until the last client has left.
const OPERATORS: &str = "--listen=http=tcp://127.0.0.1:0,operational";

/// A server with an admin socket in a folder.
fn serve(driver: &str, folder: &Folder, options: &[&str]) -> Server {
    let admin = format!("--admin={}", folder.path("admin.sock").display());
    Server::serve(driver, &[&[&*admin], options].concat())
}

/// Where a server with an admin socket is.
trait Operated {
    fn admin(&self) -> PathBuf;
}

impl Operated for Folder {
    fn admin(&self) -> PathBuf {
        self.path("admin.sock")
    }
}

impl Operated for Place {
    fn admin(&self) -> PathBuf {
        self.admin()
    }
}

fn ask(of: &impl Operated, options: &[&str]) -> Output {
    let mut command = gannet(&["drain", "--json"]);
    command.args(options).arg("--admin").arg(of.admin());
    command.output().expect("the binary starts")
}

/// Gives an order, and what is reported.
fn order(of: &impl Operated, options: &[&str]) -> Value {
    let output = ask(of, options);
    assert!(output.status.success() && output.stderr.is_empty(), "{options:?}: {output:?}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Gives an order that is refused: what is said.
fn refused(of: &impl Operated, options: &[&str]) -> String {
    let output = ask(of, options);
    assert_eq!(output.status.code(), Some(3), "{options:?}: {output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).expect("text")
}

/// The status and the rest of a page, on a connection of its own.
fn get(url: &str, path: &str) -> (String, String) {
    let mut stream = Stream::connect(url);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").expect("it is taken");
    let text = String::from_utf8(stream.rest()).expect("text");
    let status = text.split(' ').nth(1).expect("a status").to_owned();
    (status, text)
}

fn is_served(url: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(url.strip_prefix("tcp://").expect("TCP")) else { return false };
    let mut answer = [0; 9];
    stream.write_all(b"hi\n").and_then(|()| stream.read_exact(&mut answer)).is_ok() && answer == *b"echo: hi\n"
}

/// Reads up to a text.
fn read_past(stream: &mut Stream, text: &str) -> String {
    let mut all = Vec::new();
    while !all.ends_with(text.as_bytes()) {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap_or_else(|error| {
            panic!("{error} before {text:?}, after {:?}", String::from_utf8_lossy(&all));
        });
        all.push(byte[0]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// A WebSocket client at a path.
fn websocket(url: &str, path: &str) -> Stream {
    let mut stream = Stream::connect(url);
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    .expect("it is taken");
    assert!(read_past(&mut stream, "\r\n\r\n").starts_with("HTTP/1.1 101 "));
    stream
}

/// Sends a frame with a mask of zeros.
fn send_frame(stream: &mut Stream, opcode: u8, payload: &[u8]) {
    let head = [0x80 | opcode, 0x80 | u8::try_from(payload.len()).expect("a short one"), 0, 0, 0, 0];
    stream.write_all(&[&head, payload].concat()).expect("it is taken");
}

/// Receives a frame of at most 125 bytes: its opcode and what is in it.
fn receive_frame(stream: &mut Stream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).expect("a frame");
    let mut payload = vec![0; head[1].into()];
    stream.read_exact(&mut payload).expect("all of it");
    (head[0] & 0xf, payload)
}

/// Receives frames up to a close frame, and gives its code.
fn close_code(stream: &mut Stream) -> u16 {
    loop {
        let (opcode, payload) = receive_frame(stream);
        if opcode == 8 {
            return u16::from_be_bytes(payload[..2].try_into().expect("a code"));
        }
    }
}

/// Asks on one connection until the server ends it; says whether an answer announced that.
fn ask_until_closed(mut stream: Stream) -> bool {
    let request = b"GET /hello/you HTTP/1.1\r\nHost: localhost\r\n\r\n";
    loop {
        let mut head = Vec::new();
        let asked = stream.write_all(request).and_then(|()| {
            while !head.ends_with(b"\r\n\r\nhello you\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte)?;
                head.push(byte[0]);
            }
            Ok(())
        });
        match asked {
            Ok(()) => {}
            // It had a second to come; where this thread had none, it was not told.
            Err(_) => return false,
        }
        let head = String::from_utf8(head).expect("text");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        if head.to_ascii_lowercase().contains("connection: close\r\n") {
            assert_eq!(stream.rest(), b"", "it is the last one");
            return true;
        }
    }
}

#[test]
fn clients_of_each_protocol_are_told_in_its_own_words() {
    for driver in drivers() {
        let folder = Folder::new(&format!("drain-hints-{driver}"));
        let services =
            ["http", "push", "redis", "lines", "echo"].map(|name| format!("--listen={name}=tcp://127.0.0.1:0"));
        let options: Vec<&str> = services.iter().map(String::as_str).chain(["--push-anonymous", OPERATORS]).collect();
        let server = serve(driver, &folder, &options);
        let (http, operators) = (server.urls("http")[0].clone(), server.urls("http")[1].clone());

        let mut plain = [server.connect("lines"), server.connect("echo")];
        plain[0].ask(b"hi\n", b"echo: hi\n");
        plain[1].ask(b"hi\n", b"hi\n");
        let mut socket = websocket(&http, "/ws/echo");
        send_frame(&mut socket, 1, b"hi");
        assert_eq!(receive_frame(&mut socket), (1, b"hi".to_vec()));
        let mut centrifuge = websocket(&server.url("push"), "/connection/websocket");
        send_frame(&mut centrifuge, 1, b"{\"id\":1,\"connect\":{}}");
        assert_eq!(receive_frame(&mut centrifuge).0, 1, "it is connected");
        let mut events = Stream::connect(&http);
        events.write_all(b"GET /sse/clock HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is taken");
        read_past(&mut events, "data: ");
        let mut one_way = server.connect("push");
        one_way.write_all(b"GET /connection/uni_sse HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it is taken");
        read_past(&mut one_way, "}\n\n");
        let mut redis = server.connect("redis");
        redis.ask(b"SET k v\r\n", b"+OK\r\n");
        let mut warned = server.connect("redis");
        warned.write_all(b"HELLO 3\r\n").expect("it is taken");
        read_past(&mut warned, "$7\r\nmodules\r\n*0\r\n");
        warned.ask(b"CLIENT MAINT_NOTIFICATIONS ON\r\n", b"+OK\r\n");
        let asking: Vec<_> = (0..4).map(|_| Stream::connect(&http)).collect();
        let asking = asking.into_iter().map(|stream| std::thread::spawn(move || ask_until_closed(stream)));
        let asking: Vec<_> = asking.collect();

        assert_eq!(order(&folder, &[]), json!({ "draining": true, "listener": null }));
        for stream in &mut plain {
            assert_eq!(stream.rest(), b"");
        }
        assert_eq!(redis.rest(), b"");
        for (stream, code) in [(&mut socket, 1012), (&mut centrifuge, 3001)] {
            assert_eq!(close_code(stream), code);
            send_frame(stream, 8, &u16::to_be_bytes(code));
            assert_eq!(stream.rest(), b"");
        }
        for stream in [&mut events, &mut one_way] {
            let rest = String::from_utf8(stream.rest()).expect("text");
            let retry = rest.split("retry: ").last().and_then(|rest| rest.lines().next()?.parse().ok());
            assert!(retry.is_some_and(|retry: u32| (1_000..5_000).contains(&retry)), "{rest}");
            assert!(rest.ends_with("\r\n0\r\n\r\n"), "the stream ends as a whole: {rest}");
        }
        let told: Vec<bool> = asking.into_iter().map(|one| one.join().expect("no panic")).collect();
        assert!(told.contains(&true), "an ordinary answer says that it is the last one");

        // A Redis client that wants to know has ten seconds, and is served meanwhile.
        warned.expect(b">4\r\n$6\r\nMOVING\r\n");
        read_past(&mut warned, ":10\r\n_\r\n");
        warned.ask(b"GET k\r\n", b"$1\r\nv\r\n");
        // Operators see the drain, and how many are left.
        assert_eq!(get(&operators, "/readyz").0, "503");
        assert_eq!(get(&operators, "/healthz").0, "200");
        drop((plain, socket, centrifuge, events, one_way, redis));
        until("the others to be gone", || {
            let metrics = get(&operators, "/metrics").1;
            assert!(metrics.contains("\ngannet_stopping 1\n"), "{metrics}");
            let lines = metrics.lines().filter(|line| line.starts_with("gannet_connections{"));
            let left: Vec<&str> = lines.filter(|line| !line.ends_with(" 0") && !line.contains(&operators)).collect();
            left == [format!("gannet_connections{{service=\"redis\",listener=\"{}\"}} 1", server.url("redis"))]
        });
        drop(warned);
        let ended = server.ended();
        assert_eq!(ended.status.code(), Some(0), "{ended:#?}");
        assert!(ended.stderr.iter().any(|line| line.contains("draining: clients are told to leave")), "{ended:#?}");
    }
}

/// Clients of the server, and when each has seen its end.
fn leaving(mut clients: Vec<TcpStream>, began: Instant) -> Vec<Duration> {
    let mut gone = Vec::new();
    while !clients.is_empty() {
        let mut all: Vec<_> = clients.iter().map(|client| PollFd::new(client, PollFlags::IN)).collect();
        poll(&mut all, None).expect("they are ours");
        let at = began.elapsed();
        let ready: Vec<bool> = all.iter().map(|one| !one.revents().is_empty()).collect();
        let mut ready = ready.into_iter();
        clients.retain_mut(|client| {
            if ready.next() != Some(true) {
                return true;
            }
            assert_eq!(client.read(&mut [0]).expect("an end in order"), 0);
            gone.push(at);
            false
        });
    }
    gone
}

/// Attempts to keep the pace, of which one has to be within the bound: somebody else may have the processors meanwhile.
const ATTEMPTS: usize = 5;

/// Has clients leave at a pace, and gives how late they did, as a share of the spread: the median of the latest quarter.
fn lateness(driver: &str, configured: &str, asked: &[&str], spread: Duration) -> f64 {
    const CLIENTS: usize = 250;
    let folder = Folder::new(&format!("drain-pace-{driver}"));
    let server = serve(driver, &folder, &[LINES, configured]);
    let url = server.url("lines");
    let clients = (0..CLIENTS).map(|_| {
        let mut client = TcpStream::connect(url.strip_prefix("tcp://").expect("TCP")).expect("it listens");
        let mut answer = [0; 9];
        client.write_all(b"hi\n").and_then(|()| client.read_exact(&mut answer)).expect("it answers");
        client
    });
    let clients = clients.collect();
    #[allow(clippy::disallowed_methods)] // The pace is what is tested.
    let began = Instant::now();
    let watching = std::thread::spawn(move || leaving(clients, began));
    order(&folder, asked);
    let ordered = began.elapsed();
    let gone = watching.join().expect("all leave in order");
    let shares = (1..=CLIENTS).map(|count| count as f64 / CLIENTS as f64);
    // Never ahead, however slow the machine is. It began between those moments.
    for (share, at) in shares.clone().zip(&gone) {
        let allowed = at.as_secs_f64() / spread.as_secs_f64() + 0.1;
        assert!(share <= allowed, "{share} of all have left after {at:?}, with {driver}");
    }
    let late: Vec<f64> = shares
        .zip(&gone)
        .map(|(share, at)| at.saturating_sub(ordered).as_secs_f64() / spread.as_secs_f64() - share)
        .collect();
    assert_eq!(server.ended().status.code(), Some(0));
    let median = |late: &[f64]| {
        let mut late = late.to_vec();
        late.sort_by(f64::total_cmp);
        late[late.len() / 2]
    };
    late.chunks(CLIENTS.div_ceil(4)).map(median).fold(0.0, f64::max)
}

#[test]
fn clients_leave_within_a_tenth_of_the_pace_that_was_asked_for() {
    // That of the configuration, and that of the order.
    let options: [(&str, &[&str]); 2] = [("--drain-spread=2s", &[]), ("--drain-spread=1h", &["--spread", "2s"])];
    std::thread::scope(|scope| {
        for (driver, (configured, asked)) in drivers().iter().zip(options) {
            scope.spawn(move || {
                let attempt = |_| lateness(driver, configured, asked, Duration::from_secs(2));
                let late: Vec<f64> = (0..ATTEMPTS).map(attempt).take_while(|late| *late > 0.1).collect();
                assert!(late.len() < ATTEMPTS, "{late:?} of the spread late, with {driver}");
            });
        }
    });
}

/// Two listeners for clients, and one for operators' pages. The ports have numbers: one that the kernel chose for port 0 is
/// anybody's while its listener refuses.
fn two() -> String {
    let ports = free_ports(2);
    listener("one", "lines", ports[0], "")
        + &listener("other", "lines", ports[1], "")
        + "[[listener]]\nname = \"http\"\nservice = \"http\"\nurl = \"unix://FOLDER/http.sock\"\noperational = true\n"
}

#[test]
fn the_clients_of_one_listener_leave_until_that_is_cancelled_and_nobody_else_notices() {
    for driver in drivers() {
        let rig = Rig::start(driver, "drain", &two(), "");
        let [one, other] = &rig.server.urls("lines")[..] else { panic!("two") };
        let (mut leaves, mut stays) = (Stream::connect(one), Stream::connect(other));
        for stream in [&mut leaves, &mut stays] {
            stream.ask(b"hi\n", b"echo: hi\n");
        }
        let draining = json!({ "draining": true, "listener": "one" });
        assert_eq!(order(&rig.folder, &["--listener", "one"]), draining);
        assert_eq!(leaves.rest(), b"");
        until("the refusal", || !is_served(one));
        // Asked for again, and a reload: it goes on.
        assert_eq!(order(&rig.folder, &["--listener", "one", "--spread", "1s"]), draining);
        let report = rig.change("log.level = \"debug\"");
        assert_eq!((&report["listeners"]["kept"], crate::reload::keys(&report["pending"]).len()), (&json!(3), 0));
        assert!(!is_served(one));
        stays.ask(b"hi\n", b"echo: hi\n");
        assert!(is_served(other));
        assert_eq!(get(&rig.server.url("http"), "/readyz").0, "200", "the server stays");

        let cancelled = json!({ "cancelled": true, "listener": "one" });
        assert_eq!(order(&rig.folder, &["--listener", "one", "--cancel"]), cancelled);
        until("service", || is_served(one));
        for options in [&["--cancel"][..], &["--cancel", "--listener", "one"], &["--cancel", "--listener", other]] {
            let said = refused(&rig.folder, options);
            assert!(said.contains("there is no drain that can be cancelled"), "{said}");
        }
        for options in [&["--listener", "nobody"][..], &["--listener", "nobody", "--cancel"]] {
            let said = refused(&rig.folder, options);
            assert!(said.contains("no listener is named \"nobody\"; there are: one, tcp://"), "{said}");
        }
        for (options, why) in [
            (&["--listener"][..], "a value is required"),
            (&["--cancel", "--spread", "1s"], "cannot be used with"),
            (&["--spread", "soon"], "soon"),
        ] {
            let output = ask(&rig.folder, options);
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{options:?}: {output:?}");
            assert!(said.contains(why), "{options:?}: {said}");
        }

        // An address is as good as a name. A signal ends the server meanwhile, as it does always.
        assert_eq!(order(&rig.folder, &["--listener", other])["listener"], **other);
        assert_eq!(stays.rest(), b"");
        assert!(rig.server.stop().status.success());
    }
}

#[test]
fn a_drain_of_the_server_is_watched_replaced_and_cancelled_until_its_last_client_has_left() {
    for driver in drivers() {
        let rig = Rig::start(driver, "drain-whole", &two(), "drain.spread = \"1h\"");
        let [one, other] = &rig.server.urls("lines")[..] else { panic!("two") };
        let http = rig.server.url("http");
        let mut clients: Vec<Stream> =
            [one, other].into_iter().cycle().take(6).map(|url| Stream::connect(url)).collect();
        for client in &mut clients {
            client.ask(b"hi\n", b"echo: hi\n");
        }
        assert_eq!(order(&rig.folder, &[]), json!({ "draining": true, "listener": null }));
        until("the refusal", || !is_served(one) && !is_served(other));
        assert_eq!(get(&http, "/readyz").0, "503");
        // What would need the listeners waits.
        let output = rig.ask(&[]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("the server shuts down"), "{output:?}");
        let mut upgrade = gannet(&["upgrade", "--admin"]);
        let output = upgrade.arg(rig.folder.path("admin.sock")).output().expect("the binary starts");
        assert!(String::from_utf8_lossy(&output.stderr).contains("the server shuts down"), "{output:?}");

        assert_eq!(order(&rig.folder, &["--cancel"]), json!({ "cancelled": true, "listener": null }));
        until("service", || is_served(one) && is_served(other));
        assert_eq!(get(&http, "/readyz").0, "200");
        let before = clients.len();
        clients.retain_mut(|client| {
            let mut answer = [0; 9];
            client.write_all(b"hi\n").and_then(|()| client.read_exact(&mut answer)).is_ok()
        });
        assert!(clients.len() >= before - 2, "nobody else was told: {} of {before} are left", clients.len());

        // Twice: the second one counts.
        order(&rig.folder, &[]);
        order(&rig.folder, &["--spread", "off"]);
        for client in &mut clients {
            assert_eq!(client.rest(), b"");
        }
        assert_eq!(rig.server.ended().status.code(), Some(0), "with {driver}");
    }
}

#[test]
fn in_the_delay_of_a_drain_only_readiness_changes() {
    for driver in drivers() {
        let folder = Folder::new(&format!("drain-delay-{driver}"));
        let server = serve(driver, &folder, &[LINES, OPERATORS, "--drain-delay=1h"]);
        let (lines, operators) = (server.url("lines"), server.url("http"));
        for options in [&[][..], &["--cancel"]] {
            order(&folder, options);
            assert_eq!(get(&operators, "/readyz").0, if options.is_empty() { "503" } else { "200" });
            assert!(is_served(&lines));
        }
        assert!(refused(&folder, &["--cancel"]).contains("there is no drain that can be cancelled"));
    }
}

#[test]
fn a_signal_makes_a_drain_the_end_which_nothing_takes_back() {
    for driver in drivers() {
        let folder = Folder::new(&format!("drain-signal-{driver}"));
        let mut server = serve(driver, &folder, &[LINES, OPERATORS, "--drain-spread=1h"]);
        let (lines, operators) = (server.url("lines"), server.url("http"));
        let mut stays = Stream::connect(&lines);
        stays.ask(b"hi\n", b"echo: hi\n");
        order(&folder, &[]);
        server.signal(Signal::TERM);
        server.wait_for(|event| event["message"].as_str().is_some_and(|text| text.starts_with("shutting down")));
        // The log may say so a moment before.
        until("the end", || !ask(&folder, &["--cancel"]).status.success());
        assert!(refused(&folder, &["--cancel"]).contains("there is no drain that can be cancelled"));
        assert!(refused(&folder, &[]).contains("shuts down already"));
        assert_eq!(get(&operators, "/readyz").0, "503", "whoever watches is served");
        drop(stays);
        assert_eq!(server.ended().status.code(), Some(0), "with {driver}");
    }
}

#[test]
fn a_drain_that_is_asked_for_in_an_upgrade_is_refused_and_spoils_no_socket() {
    for driver in drivers() {
        let mut place = Place::new(&format!("drain-{driver}"));
        let server = place.start(&[LINES, "--driver", driver, "--reactors", "2"]);
        let url = server.url("lines");
        let (marker, go) = (place.folder.join("started"), place.folder.join("go"));
        assert!(Command::new("mkfifo").arg(&go).status().expect("it is there").success());
        place.install(&format!(
            "echo $$ > {0}.new && mv {0}.new {0}\nread -r line < {1}\nexec -a \"$0\" $GANNET \"$@\"",
            marker.display(),
            go.display()
        ));
        let upgrading = std::thread::scope(|scope| {
            let asking = scope.spawn(|| place.ask(&[]));
            wait_for_number(&marker);
            for options in [&["--listener", &*url][..], &[], &["--cancel"]] {
                let said = refused(&place, options);
                assert!(said.contains("another upgrade is under way"), "{said}");
            }
            assert!(is_served(&url));
            std::fs::write(&go, "on\n").expect("it reads");
            asking.join().expect("no panic")
        });
        let report: Value = serde_json::from_slice(&upgrading.stdout).expect("JSON");
        place.is_now(&report);
        assert!(is_served(&url), "{report}");
        drop(server);
    }
}

#[test]
fn a_listener_that_drains_is_served_by_the_new_process_of_an_upgrade() {
    for driver in drivers() {
        let mut place = Place::new(&format!("drain-then-{driver}"));
        let lines = format!("--listen=lines=tcp://{}", free_ports(1)[0]);
        let server = place.start(&[&lines, "--driver", driver, "--reactors", "2"]);
        let url = server.url("lines");
        order(&place, &["--listener", &url]);
        until("the refusal", || !is_served(&url));
        place.upgrade();
        assert!(is_served(&url), "with {driver}");
        drop(server);
    }
}
