//! The admin socket as operators meet it: who may ask, what is answered, and what the commands show.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output};

use gannet_testing::{PATIENCE, until};
use serde_json::{Value, json};

use crate::server::{Folder, Server, drivers, gannet};

/// A server with an admin socket in a folder.
pub(crate) fn serve(driver: &str, folder: &Folder, options: &[&str]) -> Server {
    let admin = format!("--admin={}", folder.path("admin.sock").display());
    Server::serve(driver, &[&[&*admin], options].concat())
}

/// A command for the server of a folder.
pub(crate) fn ask(folder: &Folder, arguments: &[&str]) -> Output {
    let mut command = gannet(arguments);
    command.arg("--admin").arg(folder.path("admin.sock"));
    command.output().expect("the binary starts")
}

pub(crate) fn printed(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout.clone()).expect("text")
}

pub(crate) fn json_of(output: &Output) -> Value {
    serde_json::from_str(&printed(output)).expect("JSON")
}

/// What the server answers to bytes: the status, and the body as JSON.
pub(crate) fn raw(path: &Path, request: &[u8]) -> (String, Value) {
    let mut stream = UnixStream::connect(path).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream.write_all(request).expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers and closes");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    (head.lines().next().expect("a status").to_owned(), serde_json::from_str(body).unwrap_or_default())
}

/// Sends a command to a store, and reads as many bytes as are expected.
fn redis(server: &Server, commands: &[u8], expected: &[u8]) -> crate::server::Stream {
    let mut client = server.connect("redis");
    client.ask(commands, expected);
    client
}

#[test]
fn an_operator_sees_who_is_connected_closes_some_and_sees_why_they_closed() {
    for driver in drivers() {
        let folder = Folder::new(&format!("admin-{driver}"));
        let listeners = ["--listen=redis=tcp://127.0.0.1:0", "--listen=lines=tcp://127.0.0.1:0"];
        let server = serve(driver, &folder, &listeners);
        let naming = b"CLIENT SETNAME worker\r\nSUBSCRIBE news\r\n";
        let mut worker = redis(&server, naming, b"+OK\r\n*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n");
        let mut lines = server.connect("lines");
        lines.ask(b"hello\n", b"echo: hello\n");

        let all = json_of(&ask(&folder, &["connections", "--json", "--sort", "age"]));
        let services: Vec<&str> =
            all["connections"].as_array().expect("a list").iter().filter_map(|one| one["service"].as_str()).collect();
        assert_eq!((all["selected"].as_u64(), services.len()), (Some(3), 3), "the command's own is one: {all}");
        let found = json_of(&ask(&folder, &["connections", "--json", "--service", "redis"]));
        let one = &found["connections"][0];
        assert_eq!(
            (&one["client"], &one["protocol"], &one["state"]),
            (&json!("worker"), &json!("resp2"), &json!("open"))
        );
        assert_eq!((&one["channels"], &one["listener"]), (&json!(["news"]), &json!(server.url("redis"))));
        let table = printed(&ask(&folder, &["connections", "--cidr", "127.0.0.0/8", "--channel", "news"]));
        assert!(table.starts_with("HANDLE") && table.contains(" redis ") && table.ends_with("1 of 1\n"), "{table}");

        let kicked = printed(&ask(&folder, &["kick", "--channel", "news"]));
        assert_eq!(kicked, "1 connection closed\n");
        assert_eq!(worker.rest(), b"");
        lines.ask(b"unharmed\n", b"echo: unharmed\n");
        drop(worker);
        let handle = one["handle"].as_str().expect("a handle");
        // It is gone when its reactor has heard that the client has ended its side, too.
        let mut closed = Value::Null;
        until("the end of the connection", || {
            let answer = json_of(&ask(&folder, &["connections", "--closed", "--service", "redis", "--json"]));
            closed = answer["closed"][0].clone();
            !closed.is_null()
        });
        assert_eq!((&closed["handle"], &closed["reason"]), (&json!(handle), &json!("kicked")));
        let table = printed(&ask(&folder, &["connections", "--closed", "--service", "redis"]));
        assert!(table.starts_with("AGO") && table.trim_end().ends_with("kicked"), "{table}");
        assert_eq!(printed(&ask(&folder, &["kick", handle])), "0 connections closed\n", "it has gone");
        let event = server.stop().event("an operator has closed connections");
        assert!(event.to_string().contains("uid "), "{event}");
    }
}

/// Connects to the gateway as a user, and waits until that is done.
fn user(server: &Server, secret: &str, name: &str) -> crate::server::Stream {
    let issue = gannet_gateway::token::Issue { sub: name.to_owned(), ..Default::default() };
    let token = issue.sign(&gannet_gateway::Secret::new(secret)).expect("a secret that is long enough");
    let body = json!({ "token": token }).to_string();
    let mut stream = server.connect("push");
    let head =
        format!("POST /connection/uni_http_stream HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}", body.len());
    stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).expect("it reads");
    let mut came = Vec::new();
    while !came.windows(8).any(|part| part == b"\"client\"") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a first message");
        came.push(byte[0]);
    }
    stream
}

#[test]
fn connections_are_found_by_their_user_and_sorted_and_read_page_by_page() {
    let secret = "a secret of the tests for tokens";
    let driver = drivers()[0];
    let folder = Folder::new(&format!("admin-sorted-{driver}"));
    let options = ["--listen=push=tcp://127.0.0.1:0", "--listen=redis=tcp://127.0.0.1:0"];
    let secret_option = format!("--push-token-secret={secret}");
    let server = serve(driver, &folder, &[options[0], options[1], &secret_option]);
    let list = |options: &[&str]| -> Vec<Value> {
        let found = json_of(&ask(&folder, &[&["connections", "--json"], options].concat()));
        found["connections"].as_array().expect("a list").clone()
    };
    let of_store = |options: &[&str]| list(&[&["--service", "redis"], options].concat());
    let names =
        |all: &[Value]| all.iter().filter_map(|one| one["client"].as_str().map(str::to_owned)).collect::<Vec<_>>();

    let _users = ["ann", "bob"].map(|name| user(&server, secret, name));
    let found = list(&["--user", "ann"]);
    let [one] = &found[..] else { panic!("{found:?}") };
    assert_eq!((&one["user"], &one["service"]), (&json!("ann"), &json!("push")));
    assert_eq!(one["listener"], json!(server.url("push")));
    assert!(list(&["--user", "carl"]).is_empty());
    // A gateway has a service of its own in the engine, and still each connection has the name of its listener.
    let all = list(&["--sort", "age"]);
    let of = |service: &str| all.iter().filter(|one| one["service"] == service).count();
    assert!(of("push") == 2 && of("admin") > 0 && of("admin") + 2 == all.len(), "{all:#?}");

    let named = |name: &str| redis(&server, format!("CLIENT SETNAME {name}\r\n").as_bytes(), b"+OK\r\n");
    let (quiet, mut busy) = (named("quiet"), named("busy"));
    until("a longer silence", || {
        busy.ask(b"PING\r\n", b"+PONG\r\n");
        names(&of_store(&["--sort", "idle"])) == ["quiet", "busy"]
    });
    until("a second to pass", || {
        of_store(&[]).iter().all(|one| one["age_ms"].as_u64().is_some_and(|age| age >= 1_000))
    });
    let mut young = named("young");
    assert_eq!(names(&of_store(&["--sort", "age"])).last().map(String::as_str), Some("young"));
    // It asks for more than the kernel has room for, and reads nothing.
    let value = vec![b'a'; 1 << 20];
    let head = format!("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n", value.len());
    young.ask(&[head.as_bytes(), &value, b"\r\n"].concat(), b"+OK\r\n");
    young.write_all(&b"GET k\r\n".repeat(32)).expect("it reads");
    until("bytes to wait", || {
        let first = &of_store(&["--sort", "pending"])[0];
        first["client"] == "young" && first["pending_bytes"].as_u64().is_some_and(|bytes| bytes > 0)
    });

    let (mut paged, mut after) = (Vec::new(), None::<String>);
    loop {
        let own = ["connections", "--json", "--service", "redis", "--sort", "age", "--limit", "1"];
        let more: Vec<&str> = after.iter().flat_map(|after| ["--after", after.as_str()]).collect();
        let page = json_of(&ask(&folder, &[&own[..], &more].concat()));
        paged.extend(page["connections"].as_array().expect("a list").iter().map(|one| one["handle"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        after = Some(next.to_owned());
    }
    let mut handles: Vec<_> = of_store(&[]).iter().map(|one| one["handle"].clone()).collect();
    assert!(paged.len() == 3 && paged[2] == handles[0], "{paged:?}: the young one is last, and has the most bytes");
    paged.sort_by_key(Value::to_string);
    handles.sort_by_key(Value::to_string);
    assert_eq!(paged, handles);
    drop((quiet, busy));
}

#[test]
fn a_kick_closes_whom_each_of_its_options_names_and_nobody_else() {
    let secret = "a secret of the tests for tokens";
    let driver = drivers()[0];
    let folder = Folder::new(&format!("admin-kick-{driver}"));
    let secret_option = format!("--push-token-secret={secret}");
    let listeners = ["push", "redis", "lines"].map(|service| format!("--listen={service}=tcp://127.0.0.1:0"));
    let server = serve(driver, &folder, &[&*listeners[0], &listeners[1], &listeners[2], &secret_option]);
    let [mut ann, mut bob] = ["ann", "bob"].map(|name| user(&server, secret, name));
    let mut store = redis(&server, b"PING\r\n", b"+PONG\r\n");
    let mut lines = server.connect("lines");
    lines.ask(b"hello\n", b"echo: hello\n");
    let kicked = |option: &str, value: &str| printed(&ask(&folder, &["kick", option, value]));
    assert_eq!(kicked("--user", "ann"), "1 connection closed\n");
    ann.rest();
    assert_eq!(kicked("--service", "lines"), "1 connection closed\n");
    assert_eq!(lines.rest(), b"");
    store.ask(b"PING\r\n", b"+PONG\r\n");
    assert_eq!(kicked("--cidr", "192.0.2.0/24"), "0 connections closed\n");
    assert_eq!(kicked("--cidr", "127.0.0.0/8"), "2 connections closed\n", "the one that asks has no address");
    bob.rest();
    assert_eq!(store.rest(), b"");
}

#[test]
fn a_trace_shows_what_passes_on_one_connection_until_it_closes() {
    for driver in drivers() {
        let folder = Folder::new(&format!("trace-{driver}"));
        let mut server = serve(driver, &folder, &["--listen=lines=tcp://127.0.0.1:0"]);
        let mut lines = server.connect("lines");
        lines.ask(b"before\n", b"echo: before\n");
        let found = json_of(&ask(&folder, &["connections", "--json", "--service", "lines"]));
        let handle = found["connections"][0]["handle"].as_str().expect("a handle").to_owned();
        let mut command = gannet(&["trace", &handle, "--json", "--bytes", "4"]);
        let tracing = Server::spawn(command.arg("--admin").arg(folder.path("admin.sock")));
        server.wait_for(|event| event["message"] == "an operator traces a connection" && event["handle"] == *handle);
        let parsed = |line: &String| serde_json::from_str::<Value>(line).expect("JSON");
        // The order reaches the reactor of the connection after that line: what comes meanwhile may be missing.
        let mut events = Vec::new();
        until("both directions in the trace", || {
            lines.ask(b"secret\n", b"echo: secret\n");
            events.extend(tracing.printed().iter().map(parsed));
            ["received", "sent"].iter().all(|direction| events.iter().any(|event| event["event"] == *direction))
        });
        let second = ask(&folder, &["trace", &handle]);
        assert_eq!(second.status.code(), Some(3), "{second:?}");
        assert!(
            String::from_utf8_lossy(&second.stderr).contains("somebody traces this connection already"),
            "{second:?}"
        );
        drop(lines);
        let ended = tracing.ended();
        assert!(ended.status.success(), "{ended:#?}");
        events.extend(ended.stdout.iter().map(parsed));
        let (last, pieces) = events.split_last().expect("events");
        assert_eq!(last, &json!({ "event": "closed", "reason": "peer" }));
        let of = |direction: &str| pieces.iter().filter(|event| event["event"] == *direction).collect::<Vec<_>>();
        let (received, sent) = (of("received"), of("sent"));
        assert!(received.iter().all(|event| event["bytes"] == "secr" && event["length_bytes"] == 7), "{events:?}");
        assert!(sent.iter().all(|event| event["bytes"] == "echo" && event["length_bytes"] == 13), "{events:?}");

        let gone = ask(&folder, &["trace", &handle]);
        assert_eq!(gone.status.code(), Some(3), "{gone:?}");
        assert!(String::from_utf8_lossy(&gone.stderr).contains("there is no such connection"), "{gone:?}");
    }
}

#[test]
fn the_socket_is_for_its_own_user_only() {
    let folder = Folder::new("admin-mode");
    let _server = serve("poll", &folder, &["--listen=echo=tcp://127.0.0.1:0"]);
    let path = folder.path("admin.sock");
    let mode = std::fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    if !rustix::process::geteuid().is_root() {
        eprintln!("only root can try it as another user");
        return;
    }
    let mut other = Command::new("setpriv");
    other.args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_gannet"), "connections"]);
    let refused = other.arg("--admin").arg(&path).output().expect("setpriv starts");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(said.contains("Permission denied") && said.contains("only its own user and root may ask"), "{said}");
}

#[test]
fn requests_that_cannot_be_carried_out_are_answered_in_json() {
    let folder = Folder::new("admin-wrong");
    let _server = serve("poll", &folder, &["--listen=echo=tcp://127.0.0.1:0"]);
    let path = folder.path("admin.sock");
    let post = |to: &str, body: &str| {
        let head = "Host: x\r\nConnection: close\r\nContent-Type: application/json";
        let length = body.len();
        raw(&path, format!("POST {to} HTTP/1.1\r\n{head}\r\nContent-Length: {length}\r\n\r\n{body}").as_bytes())
    };
    let get = |to: &str| raw(&path, format!("GET {to} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
    for ((status, body), expected, code, why) in [
        (get("/nothing"), 404, "not_found", "not found"),
        (get("/kick"), 405, "method_not_allowed", ""),
        (get("/connections?sort=size"), 400, "malformed", "sort"),
        (get("/connections?colour=red"), 400, "malformed", "colour"),
        (get("/connections?service=mail"), 422, "unknown", "no service or listener is called 'mail'"),
        (get("/connections?cidr=10.0.0.0/99"), 422, "invalid", "10.0.0.0/99 is no range"),
        (get("/connections?after=x"), 422, "invalid", "not a cursor"),
        (get("/connections?closed=true&user=a"), 422, "invalid", "leave out the rest"),
        (get("/trace"), 400, "malformed", "handle"),
        (get("/trace?handle=1"), 422, "invalid", "no handle"),
        (get("/trace?handle=0-99-1"), 404, "gone", "no such connection"),
        (post("/kick", ""), 422, "invalid", "say which connections"),
        (post("/kick", "{\"user\":"), 400, "malformed", "JSON"),
        (post("/kick", "{\"users\":\"a\"}"), 422, "malformed", "users"),
        (post("/kick", "\"a\""), 422, "malformed", "expected an object"),
        (post("/kick", &"x".repeat(100_000)), 413, "", ""),
    ] {
        assert!(status.starts_with(&format!("HTTP/1.1 {expected} ")), "{status}: {body}, and not {expected} {why}");
        // A body that is too large is answered before there is a route.
        if !code.is_empty() {
            assert_eq!(body["error"]["code"], code, "{body}");
            assert!(body["error"]["message"].as_str().is_some_and(|said| said.contains(why)), "{body}, and not {why}");
        }
    }
    assert!(raw(&path, b"\x16\x03\x01 no HTTP\r\n\r\n").0.contains(" 400 "));
    // The server lets a connection go a moment after its client has read the end: then the one that asks is alone.
    until("the ends of the connections of requests that failed", || {
        let (status, body) = get("/connections");
        assert_eq!(status, "HTTP/1.1 200 OK", "it goes on");
        body["selected"] == 1
    });
}

#[test]
fn a_client_that_does_not_end_its_request_is_closed() {
    let folder = Folder::new("admin-slow");
    let _server = serve("poll", &folder, &["--listen=echo=tcp://127.0.0.1:0"]);
    let (status, _) = raw(&folder.path("admin.sock"), b"GET /connections HTTP/1.1\r\nHost:");
    assert!(status.contains(" 408 "), "{status}");
}

#[test]
fn over_tcp_the_token_is_asked_for() {
    let token = "0123456789abcdef";
    let ended = Server::run(gannet(&["serve", "--admin", "tcp://127.0.0.1:0"])).err().expect("it has no token");
    assert_eq!(ended.status.code(), Some(2));
    assert!(ended.stderr[0].contains("needs a token"), "{ended:#?}");

    let mut command = gannet(&["serve", "--driver", "poll", "--log", "json", "--listen", "echo=tcp://127.0.0.1:0"]);
    command.args(["--admin", "tcp://127.0.0.1:0"]).env("GANNET_ADMIN_TOKEN", token);
    let mut server = Server::run(command).unwrap_or_else(|ended| panic!("{ended:#?}"));
    let event = server.wait_for(|event| event["message"] == "operators reach the server by the admin socket");
    let at = event["address"].as_str().expect("an address").to_owned();
    let ask = |token: Option<&str>| {
        let mut command = gannet(&["connections", "--json", "--admin", &at]);
        command.envs(token.map(|token| ("GANNET_ADMIN_TOKEN", token)));
        command.output().expect("the binary starts")
    };
    assert_eq!(json_of(&ask(Some(token)))["selected"], 1);
    for wrong in [None, Some("0123456789abcdeg")] {
        let refused = ask(wrong);
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(said.contains("refuses this token") && !said.contains(token), "{said}");
    }
    let address = at.strip_prefix("tcp://").expect("TCP");
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time");
    stream.write_all(b"POST /kick HTTP/1.0\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("\"unauthorized\""), "{answer}");
}

#[test]
fn where_no_server_answers_a_command_says_what_to_do() {
    let folder = Folder::new("admin-none");
    let output = ask(&folder, &["connections"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("cannot be reached") && said.contains("--admin"), "{said}");
    let output = ask(&folder, &["kick"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
