//! Commands on connections, with the replies of Redis 7.

use gannet::{Balance, Engine};
use gannet_testing::{PATIENCE, drivers};

use crate::rig::Rig;

const OK: &str = "+OK\r\n";
const SYNTAX: &str = "-ERR syntax error\r\n";
const WRONG_PASSWORD: &str = "-WRONGPASS invalid username-password pair or user is disabled.\r\n";
const NO_AUTH: &str = "-NOAUTH Authentication required.\r\n";
const BAD_NAME: &str = "-ERR Client names cannot contain spaces, newlines or special characters.\r\n";

fn arity(name: &str) -> String {
    format!("-ERR wrong number of arguments for '{name}' command\r\n")
}

#[test]
fn a_connection_is_answered_from_its_first_command_to_its_last() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut client = rig.connect();
        client.ask(&[
            ("PING", "+PONG\r\n"),
            ("ping hello", "$5\r\nhello\r\n"),
            ("PING a b", &arity("ping")),
            ("ECHO hello", "$5\r\nhello\r\n"),
            ("ECHO", &arity("echo")),
            ("SELECT 15", OK),
            ("SELECT 16", "-ERR DB index is out of range\r\n"),
            ("SELECT -1", "-ERR DB index is out of range\r\n"),
            ("SELECT abc", "-ERR value is not an integer or out of range\r\n"),
            ("SELECT 99999999999999999999", "-ERR value is not an integer or out of range\r\n"),
            ("FOO", "-ERR unknown command 'FOO', with args beginning with: \r\n"),
            ("foo a 'b c'", "-ERR unknown command 'foo', with args beginning with: 'a' 'b c' \r\n"),
            ("client|id", "-ERR unknown command 'client|id', with args beginning with: \r\n"),
            ("RESET x", &arity("reset")),
            ("RESET", "+RESET\r\n"),
            ("QUIT x", OK),
        ]);
        client.expect_end();
    }
}

#[test]
fn what_is_sent_behind_quit_is_not_done() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut client = rig.connect();
        client.send("QUIT\r\nSET k v");
        client.expect(OK);
        client.expect_end();
        rig.connect().ask(&[("GET k", "$-1\r\n")]);
    }
}

#[test]
fn databases_are_apart() {
    let rig = Rig::start(drivers()[0]);
    rig.connect().ask(&[
        ("SET k 0", OK),
        ("SELECT 1", OK),
        ("GET k", "$-1\r\n"),
        ("SET k 1", OK),
        ("SELECT 0", OK),
        ("GET k", "$1\r\n0\r\n"),
    ]);
}

#[test]
fn hello_says_who_is_there_in_the_protocol_that_was_asked_for() {
    let rig = Rig::start(drivers()[0]);
    let answer = |head: &str, protocol: u8| {
        format!(
            "{head}\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.2.0\r\n$5\r\nproto\r\n:{protocol}\r\n$2\r\nid\r\n:1\r\n\
             $4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"
        )
    };
    let (resp2, resp3) = (answer("*14", 2), answer("%7", 3));
    rig.connect().ask(&[
        ("HELLO", &resp2),
        ("HELLO 4", "-NOPROTO unsupported protocol version\r\n"),
        ("HELLO abc", "-ERR Protocol version is not an integer or out of range\r\n"),
        ("HELLO 3 AUTH default anything", &resp3),
        ("HELLO", &resp3),
        ("HELLO 3 FOO", "-ERR Syntax error in HELLO option 'FOO'\r\n"),
        ("HELLO 3 AUTH default", "-ERR Syntax error in HELLO option 'AUTH'\r\n"),
        ("HELLO 3 SETNAME 'a b'", BAD_NAME),
        ("CLIENT GETNAME", "_\r\n"),
        ("HELLO 2 SETNAME bob", &resp2),
        ("CLIENT GETNAME", "$3\r\nbob\r\n"),
    ]);
}

#[test]
fn without_the_password_only_the_way_in_is_open() {
    let rig = Rig::start(drivers()[0]);
    let mut operator = rig.connect();
    operator.ask(&[
        (
            "AUTH x",
            "-ERR AUTH <password> called without any password configured for the default user. Are you sure your \
             configuration is correct?\r\n",
        ),
        ("AUTH default x", OK),
        ("AUTH bob x", WRONG_PASSWORD),
        ("AUTH a b c", SYNTAX),
        ("CONFIG SET requirepass secret", OK),
        ("CONFIG GET requirepass", "*2\r\n$11\r\nrequirepass\r\n$6\r\nsecret\r\n"),
        ("GET k", "$-1\r\n"),
    ]);
    let hello = "-NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> \
                 <pass> option can be used to authenticate the client and select the RESP protocol version at the same \
                 time\r\n";
    let mut client = rig.connect();
    client.ask(&[
        ("GET k", NO_AUTH),
        ("PING", NO_AUTH),
        ("CLIENT ID", NO_AUTH),
        ("COMMAND", NO_AUTH),
        ("FOO", "-ERR unknown command 'FOO', with args beginning with: \r\n"),
        ("GET", &arity("get")),
        ("CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n"),
        ("HELLO", hello),
        ("HELLO 3 SETNAME x", hello),
        ("HELLO 3 AUTH default x", WRONG_PASSWORD),
        ("HELLO 3 AUTH bob secret", WRONG_PASSWORD),
        ("AUTH x", WRONG_PASSWORD),
        ("AUTH bob secret", WRONG_PASSWORD),
        ("RESET", "+RESET\r\n"),
        ("AUTH secret", OK),
        ("GET k", "$-1\r\n"),
        ("RESET", "+RESET\r\n"),
        ("GET k", NO_AUTH),
        ("HELLO 3 AUTH default secret SETNAME 'a b'", BAD_NAME),
        ("GET k", "$-1\r\n"),
    ]);
    operator.ask(&[("CONFIG SET requirepass ''", OK)]);
    rig.connect().ask(&[("GET k", "$-1\r\n")]);
}

#[test]
fn a_client_is_known_by_a_number_and_the_names_it_gives() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect();
    client.ask(&[
        ("CLIENT", &arity("client")),
        ("CLIENT ID", ":1\r\n"),
        ("CLIENT ID x", &arity("client|id")),
        ("CLIENT FOO", "-ERR unknown subcommand 'FOO'. Try CLIENT HELP.\r\n"),
        ("CLIENT SETNAME 'a b'", BAD_NAME),
        ("CLIENT SETNAME joe", OK),
        ("CLIENT GETNAME", "$3\r\njoe\r\n"),
        ("CLIENT SETINFO lib-name mine", OK),
        ("CLIENT SETINFO LIB-VER 1.2", OK),
        ("CLIENT SETINFO lib-ver 'a b'", "-ERR lib-ver cannot contain spaces, newlines or special characters.\r\n"),
        ("CLIENT SETINFO FOO x", "-ERR Unrecognized option 'FOO'\r\n"),
        ("CLIENT NO-EVICT on", OK),
        ("CLIENT NO-TOUCH foo", SYNTAX),
        ("SELECT 3", OK),
    ]);
    client.send("CLIENT INFO");
    let line = client.read_past("\n\r\n");
    for part in [
        "\nid=1 addr=127.0.0.1:",
        " name=joe age=",
        " flags=e db=3 sub=0 psub=0 ssub=0 multi=-1 ",
        " cmd=client|info user=default redir=-1 resp=2 lib-name=mine lib-ver=1.2\n",
    ] {
        assert!(line.contains(part), "{part:?} is missing: {line}");
    }
    // In seconds, of which one may begin at any moment.
    for name in [" age=", " idle="] {
        let seconds = line.split(name).nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
        assert!(seconds.is_some_and(|seconds| seconds <= PATIENCE.as_secs()), "{name:?}: {line}");
    }
    client.ask(&[("CLIENT SETNAME ''", OK), ("CLIENT GETNAME", "$-1\r\n")]);
}

#[test]
fn clients_are_listed_by_kind_or_number() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect();
    // The numbers are in the order in which reactors take connections in: the second comes when the first is there.
    client.ask(&[("CLIENT ID", ":1\r\n")]);
    let mut other = rig.connect();
    other.ask(&[("CLIENT ID", ":2\r\n"), ("SUBSCRIBE c", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")]);
    for (command, ids) in
        [("CLIENT LIST", &[1, 2][..]), ("CLIENT LIST TYPE pubsub", &[2]), ("CLIENT LIST ID 7 1 -3", &[1])]
    {
        client.send(command);
        let text = client.read_past("\n\r\n");
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("id=")).collect();
        assert_eq!(lines.len(), ids.len(), "{command}: {text}");
        for (line, id) in lines.iter().zip(ids) {
            assert!(line.starts_with(&format!("id={id} ")), "{command}: {text}");
        }
    }
    client.ask(&[
        ("CLIENT LIST TYPE replica", "$0\r\n\r\n"),
        ("CLIENT LIST TYPE foo", "-ERR Unknown client type 'foo'\r\n"),
        ("CLIENT LIST ID x", "-ERR Invalid client ID\r\n"),
        ("CLIENT LIST ID", SYNTAX),
        ("CLIENT LIST foo bar", SYNTAX),
    ]);
}

#[test]
fn clients_are_ended_by_number_address_or_kind() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let mut client = rig.connect();
        client.ask(&[
            ("CLIENT KILL 1.2.3.4:5", "-ERR No such client\r\n"),
            ("CLIENT KILL ID", "-ERR No such client\r\n"),
            ("CLIENT KILL ID 99", ":0\r\n"),
            ("CLIENT KILL ID x", "-ERR client-id should be greater than 0\r\n"),
            ("CLIENT KILL ID 0", "-ERR client-id should be greater than 0\r\n"),
            ("CLIENT KILL TYPE foo", "-ERR Unknown client type 'foo'\r\n"),
            ("CLIENT KILL TYPE master", ":0\r\n"),
            ("CLIENT KILL USER foo", "-ERR No such user 'foo'\r\n"),
            ("CLIENT KILL USER default SKIPME yes", ":0\r\n"),
            ("CLIENT KILL SKIPME foo ID 3", SYNTAX),
            ("CLIENT KILL foo bar", SYNTAX),
            ("CLIENT KILL ADDR 1:2 LADDR", SYNTAX),
        ]);
        // On whichever reactor they are.
        let mut others: Vec<_> = (0..8).map(|_| rig.connect()).collect();
        for (number, other) in others.iter_mut().enumerate() {
            other.send("CLIENT ID");
            let id = other.read_past("\r\n");
            let id = id.trim_start_matches(':').trim_end();
            let address = other.stream.local_addr().expect("an address");
            match number % 2 {
                0 => client.ask(&[(&format!("CLIENT KILL ID {id} ADDR {address}"), ":1\r\n")]),
                _ => client.ask(&[(&format!("CLIENT KILL {address}"), OK)]),
            }
            other.expect_end();
        }
        client.ask(&[("CLIENT KILL TYPE normal SKIPME no", ":1\r\n")]);
        client.expect_end();
    }
}

#[test]
fn replies_come_as_the_client_wants_them() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect();
    client.ask(&[("CLIENT REPLY foo", SYNTAX)]);
    client.send("CLIENT REPLY SKIP\r\nPING skipped\r\nPING shown");
    client.expect("$5\r\nshown\r\n");
    client.send("CLIENT REPLY OFF\r\nPING a\r\nFOO\r\nCLIENT REPLY SKIP\r\nPING b\r\nCLIENT REPLY ON\r\nPING c");
    client.expect("+OK\r\n$1\r\nc\r\n");
}

#[test]
fn one_connection_sleeps_and_the_others_do_not() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let (mut sleeper, mut others) = (rig.connect(), (0..4).map(|_| rig.connect()).collect::<Vec<_>>());
        // Each time for longer, as a busy machine may let us sleep too.
        let answered_meanwhile = ["0.3", "3", "10"].iter().any(|seconds| {
            sleeper.send(&format!("DEBUG SLEEP {seconds}\r\nPING"));
            others.iter_mut().for_each(|client| client.ask(&[("PING", "+PONG\r\n")]));
            sleeper.stream.set_nonblocking(true).expect("a socket");
            let nothing_yet = sleeper.stream.peek(&mut [0]).is_err();
            sleeper.stream.set_nonblocking(false).expect("a socket");
            sleeper.expect("+OK\r\n+PONG\r\n");
            nothing_yet
        });
        assert!(answered_meanwhile, "the others waited for the one that sleeps, with {driver:?}");
        sleeper.ask(&[
            ("DEBUG SLEEP x", OK),
            ("DEBUG SLEEP -1", OK),
            ("DEBUG SLEEP", "-ERR unknown subcommand or wrong number of arguments for 'SLEEP'. Try DEBUG HELP.\r\n"),
            ("DEBUG FOO", "-ERR unknown subcommand or wrong number of arguments for 'FOO'. Try DEBUG HELP.\r\n"),
        ]);
    }
}

#[test]
fn who_comes_when_all_places_are_taken_is_told_so() {
    for driver in drivers() {
        for balance in [Balance::ReusePort, Balance::RoundRobin] {
            let mut limits = crate::rig::limits();
            limits.connections = 2;
            let rig = Rig::with(Engine::new().driver(driver).balance(balance).reactors(2).limits(limits));
            let (mut one, mut two) = (rig.connect(), rig.connect());
            one.ask(&[("PING", "+PONG\r\n")]);
            two.ask(&[("PING", "+PONG\r\n")]);
            for _ in 0..5 {
                let mut refused = rig.connect();
                refused.expect("-ERR max number of clients reached\r\n");
                refused.expect_end();
            }
            one.send("INFO stats");
            assert!(one.read_past("total_error_replies").contains("rejected_connections:5\r\n"));
        }
    }
}

#[test]
fn a_client_that_asks_for_notices_is_told_to_move_before_its_connection_ends() {
    for driver in drivers() {
        let rig = Rig::start(driver);
        let (mut plain, mut moving) = (rig.connect(), rig.connect_resp3());
        plain.ask(&[
            (
                "CLIENT MAINT_NOTIFICATIONS ON",
                "-ERR maintenance notifications are pushes: choose RESP3 first, with HELLO 3\r\n",
            ),
            ("CLIENT MAINT_NOTIFICATIONS MAYBE", SYNTAX),
            ("CLIENT MAINT_NOTIFICATIONS OFF", OK),
        ]);
        let mut quiet = rig.connect_resp3();
        quiet.ask(&[("CLIENT MAINT_NOTIFICATIONS ON", OK), ("CLIENT MAINT_NOTIFICATIONS OFF", OK)]);
        moving.ask(&[
            ("CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type", SYNTAX),
            ("CLIENT MAINT_NOTIFICATIONS ON moving-endpoint-type none", OK),
        ]);
        rig.running.remote().stop();
        moving.expect(">4\r\n$6\r\nMOVING\r\n");
        moving.read_past(":10\r\n_\r\n");
        moving.ask(&[("PING", "+PONG\r\n")]);
        plain.expect_end();
        quiet.expect_end();
    }
}
