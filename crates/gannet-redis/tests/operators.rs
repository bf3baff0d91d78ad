//! Commands on the server, with the replies of Redis 7 where it has what they are about.

mod rig;

use gannet_redis::{Options, Policy};
use gannet_testing::drivers;
use rig::{Client, Rig};

const OK: &str = "+OK\r\n";
const SYNTAX: &str = "-ERR syntax error\r\n";
const MEMORY_ONLY: &str = "-ERR this store is memory only: nothing is saved\r\n";

/// What INFO says, as text.
fn info(client: &mut Client, sections: &str) -> String {
    bulk(client, &format!("INFO {sections}"))
}

/// What is answered by one string, as text.
fn bulk(client: &mut Client, command: &str) -> String {
    client.send(command);
    let head = client.read_past("\r\n");
    let length: usize = head.trim_start_matches('$').trim_end().parse().expect("a length");
    let text = client.read(length + 2);
    text.trim_end().to_owned()
}

/// A field of INFO.
fn field(text: &str, name: &str) -> String {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

#[test]
fn a_program_replaces_the_options_of_a_store_that_serves_clients() {
    let rig = Rig::start(drivers()[0]);
    let mut early = rig.connect();
    early.ask(&[("SET key 12345678", OK)]);
    let mut options = Options::default();
    (options.password, options.max_bulk) = (Some("swordfish".to_owned()), 10);
    (options.max_memory, options.policy, options.max_clients) = (1 << 30, Policy::AllKeysLru, 77);
    rig.server.reconfigure(&options);
    rig.connect().ask(&[
        ("GET key", "-NOAUTH Authentication required.\r\n"),
        ("AUTH swordfish", OK),
        ("GET key", "$8\r\n12345678\r\n"),
        ("CONFIG GET maxmemory", "*2\r\n$9\r\nmaxmemory\r\n$10\r\n1073741824\r\n"),
        ("CONFIG GET maxmemory-policy", "*2\r\n$16\r\nmaxmemory-policy\r\n$11\r\nallkeys-lru\r\n"),
        ("APPEND key 90", ":10\r\n"),
    ]);
    let mut client = rig.connect();
    client.ask(&[("AUTH swordfish", OK)]);
    client.send("APPEND key 1");
    assert!(client.read_past("\r\n").starts_with("-ERR string exceeds maximum allowed size"));
    assert_eq!(field(&info(&mut client, "clients"), "maxclients"), "77");
    rig.server.reconfigure(&Options::default());
    assert!(!rig.server.has_password());
    rig.connect().ask(&[("APPEND key 1", ":11\r\n"), ("CONFIG GET maxmemory", "*2\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n")]);
    early.ask(&[("GET key", "$11\r\n12345678901\r\n")]);
}

#[test]
fn parameters_are_shown_and_set_all_or_none() {
    let rig = Rig::start(drivers()[0]);
    let failed =
        |name: &str, why: &str| format!("-ERR CONFIG SET failed (possibly related to argument '{name}') - {why}\r\n");
    let memory = "*4\r\n$9\r\nmaxmemory\r\n$1\r\n0\r\n$16\r\nmaxmemory-policy\r\n$10\r\nnoeviction\r\n";
    rig.connect().ask(&[
        ("CONFIG", "-ERR wrong number of arguments for 'config' command\r\n"),
        ("CONFIG GET", "-ERR wrong number of arguments for 'config|get' command\r\n"),
        ("CONFIG GET MAXmemory*", memory),
        ("CONFIG GET maxmemory maxmemory-p* maxm?mory", memory),
        ("CONFIG GET nothere", "*0\r\n"),
        ("CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
        ("CONFIG SET maxmemory 100mb maxmemory-policy allkeys-lru", OK),
        ("CONFIG GET maxmemory", "*2\r\n$9\r\nmaxmemory\r\n$9\r\n104857600\r\n"),
        (
            "CONFIG SET maxmemory 1 nothere 2",
            "-ERR Unknown option or number of arguments for CONFIG SET - 'nothere'\r\n",
        ),
        ("CONFIG SET maxmemory 1 maxmemory 2", &failed("maxmemory", "duplicate parameter")),
        ("CONFIG SET maxmemory 1 databases 3", &failed("databases", "can't set immutable config")),
        ("CONFIG SET maxmemory 1 appendonly yes", &failed("appendonly", "this store is memory only: nothing is saved")),
        ("CONFIG SET maxmemory abc", &failed("maxmemory", "argument must be a memory value")),
        ("CONFIG SET maxmemory", "-ERR wrong number of arguments for 'config|set' command\r\n"),
        ("CONFIG SET maxmemory 1 save", "-ERR syntax error\r\n"),
        ("CONFIG GET maxmemory", "*2\r\n$9\r\nmaxmemory\r\n$9\r\n104857600\r\n"),
        ("CONFIG SET save '' appendonly no timeout 0", OK),
        ("CONFIG REWRITE", "-ERR The server is running without a config file\r\n"),
        ("CONFIG FOO", "-ERR unknown subcommand 'FOO'. Try CONFIG HELP.\r\n"),
    ]);
}

#[test]
fn info_counts_what_is_done() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect();
    client.ask(&[("SET k v", OK), ("GET k", "$1\r\nv\r\n"), ("GET other", "$-1\r\n"), ("FOO", &unknown("FOO"))]);
    client.ask(&[("SELECT 9", OK), ("SET e v", OK), ("EXPIRE e 100", ":1\r\n"), ("SET f v", OK)]);
    let text = info(&mut client, "");
    for (name, value) in [
        ("redis_version", "7.2.0"),
        ("redis_mode", "standalone"),
        ("connected_clients", "1"),
        ("loading", "0"),
        ("role", "master"),
        ("connected_slaves", "0"),
        ("cluster_enabled", "0"),
        ("maxmemory_policy", "noeviction"),
        ("total_connections_received", "1"),
        ("total_commands_processed", "7"),
        ("keyspace_hits", "1"),
        ("keyspace_misses", "1"),
        ("total_error_replies", "1"),
        ("db0", "keys=1,expires=0,avg_ttl=0"),
        ("db9", "keys=2,expires=1,avg_ttl=0"),
    ] {
        assert_eq!(field(&text, name), value, "{name}");
    }
    assert!(field(&text, "used_memory").parse::<u64>().expect("a number") > 0, "{text}");
    assert_eq!(field(&text, "run_id").len(), 40);
    client.ask(&[("CONFIG RESETSTAT", OK)]);
    let text = info(&mut client, "stats");
    assert_eq!((field(&text, "keyspace_hits"), field(&text, "total_commands_processed")), ("0".into(), "1".into()));
}

#[test]
fn what_transactions_have_queued_counts_toward_the_limit_and_is_shown() {
    const MIB: usize = 1 << 20;
    let bytes = |text: &str| text.parse::<usize>().expect("a number");
    for driver in drivers() {
        let rig = Rig::start(driver);
        let (mut queues, mut other) = (rig.connect(), rig.connect());
        rig.server.memory().set_limit(3 * MIB);
        queues.ask(&[("MULTI", OK)]);
        for _ in 0..3 {
            queues.send_words(&["SET", "k", &"x".repeat(MIB)]);
            queues.expect("+QUEUED\r\n");
        }
        let no_memory = "-OOM command not allowed when used memory > 'maxmemory'.\r\n";
        other.ask(&[("SET a 1", no_memory), ("GET a", "$-1\r\n")]);
        let text = info(&mut other, "memory stats");
        assert!(bytes(&field(&text, "mem_clients_normal")) > 3 * MIB, "{text}");
        assert!(bytes(&field(&text, "used_memory")) > 3 * MIB, "{text}");
        assert!(bytes(&field(&text, "used_memory_dataset")) < MIB, "{text}");
        assert_eq!((field(&text, "eviction_waits"), field(&text, "reply_waits")), ("0".into(), "0".into()));
        let list = bulk(&mut other, "CLIENT LIST");
        let shown = list.split(" multi=3 ").nth(1).and_then(|line| line.split(" multi-mem=").nth(1));
        let shown = shown.and_then(|rest| rest.split(' ').next()).expect("the transaction");
        assert!(bytes(shown) > 3 * MIB, "{list}");
        queues.ask(&[("DISCARD", OK)]);
        other.ask(&[("SET a 1", OK)]);
        assert_eq!(rig.server.memory().queued(), 0);
    }
}

/// Lines of statistics without the times in them.
fn without_times(text: &str) -> Vec<String> {
    let fields = |line: &str| line.split(',').filter(|field| !field.starts_with("usec")).collect::<Vec<_>>().join(",");
    let mut lines: Vec<String> = text.lines().filter(|line| !line.starts_with('#')).map(fields).collect();
    lines.sort();
    lines
}

#[test]
fn commands_are_counted_and_so_are_those_that_fail_or_are_refused() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect();
    client.ask(&[
        ("SET k v", OK),
        ("GET k", "$1\r\nv\r\n"),
        ("GET", "-ERR wrong number of arguments for 'get' command\r\n"),
    ]);
    client.ask(&[
        ("HGET k f", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("FOO", &unknown("FOO")),
        ("CONFIG FOO", "-ERR unknown subcommand 'FOO'. Try CONFIG HELP.\r\n"),
        ("MULTI", OK),
        ("GET k", "+QUEUED\r\n"),
        ("HGET k f", "+QUEUED\r\n"),
        ("EXEC", "*2\r\n$1\r\nv\r\n-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"),
        ("CLIENT ID", ":1\r\n"),
    ]);
    let expected = [
        "cmdstat_client|id:calls=1,rejected_calls=0,failed_calls=0",
        "cmdstat_exec:calls=1,rejected_calls=0,failed_calls=0",
        "cmdstat_get:calls=2,rejected_calls=1,failed_calls=0",
        "cmdstat_hget:calls=2,rejected_calls=0,failed_calls=2",
        "cmdstat_multi:calls=1,rejected_calls=0,failed_calls=0",
        "cmdstat_set:calls=1,rejected_calls=0,failed_calls=0",
    ];
    assert_eq!(without_times(&info(&mut client, "commandstats")), expected);
    assert_eq!(
        without_times(&info(&mut client, "errorstats")),
        ["errorstat_ERR:count=3", "errorstat_WRONGTYPE:count=2"]
    );
    let times = info(&mut client, "latencystats");
    for name in ["set", "get", "exec", "client|id"] {
        let line = field(&times, &format!("latency_percentiles_usec_{name}"));
        let percentiles: Vec<f64> = line
            .split(',')
            .zip(["p50=", "p99=", "p99.9="])
            .map(|(part, name)| part.strip_prefix(name).expect("its name").parse().expect("microseconds"))
            .collect();
        assert!(percentiles.len() == 3 && percentiles.is_sorted() && percentiles[0] > 0.0, "{line}");
    }
    client.ask(&[("CONFIG RESETSTAT", OK)]);
    let expected = ["cmdstat_config|resetstat:calls=1,rejected_calls=0,failed_calls=0"];
    assert_eq!(without_times(&info(&mut client, "commandstats")), expected);
    assert_eq!(without_times(&info(&mut client, "errorstats")), Vec::<String>::new());
    // The first call after that is timed, as the very first was.
    client.ask(&[("SET k v", OK)]);
    assert!(!field(&info(&mut client, "latencystats"), "latency_percentiles_usec_set").is_empty());
}

fn unknown(name: &str) -> String {
    format!("-ERR unknown command '{name}', with args beginning with: \r\n")
}

#[test]
fn info_has_the_sections_that_are_asked_for() {
    let rig = Rig::start(drivers()[0]);
    let mut client = rig.connect();
    let heads = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| line.strip_prefix("# ")).map(str::to_owned).collect()
    };
    assert_eq!(heads(&info(&mut client, "keyspace CLIENTS")), ["Clients", "Keyspace"]);
    assert_eq!(heads(&info(&mut client, "nothing")), Vec::<String>::new());
    let default = heads(&info(&mut client, "default"));
    assert_eq!(default, heads(&info(&mut client, "")));
    assert!(heads(&info(&mut client, "everything")).len() > default.len());
    let mut client = rig.connect_resp3();
    client.send("INFO replication");
    let text = client.read_past("txt:# Replication\r\nrole:master\r\n");
    assert!(text.starts_with('='), "{text}");
}

#[test]
fn commands_say_what_they_are() {
    let rig = Rig::start(drivers()[0]);
    let get = "*1\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n*3\r\n+@read\r\n+@string\r\n+@fast\r\n\
               *0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n\
               $12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n\
               $9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n\
               *6\r\n$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n";
    rig.connect().ask(&[
        ("COMMAND INFO GET", get),
        ("COMMAND INFO nope", "*1\r\n$-1\r\n"),
        ("COMMAND LIST FILTERBY PATTERN ech*", "*1\r\n$4\r\necho\r\n"),
        ("COMMAND LIST FILTERBY MODULE x", "*0\r\n"),
        ("COMMAND LIST FILTERBY foo x", SYNTAX),
        ("COMMAND LIST foo", SYNTAX),
        ("COMMAND DOCS nope", "*0\r\n"),
        ("COMMAND GETKEYS", "-ERR wrong number of arguments for 'command|getkeys' command\r\n"),
        ("COMMAND GETKEYS get a", "*1\r\n$1\r\na\r\n"),
        ("COMMAND GETKEYS get a b", "-ERR Invalid number of arguments specified for command\r\n"),
        ("COMMAND GETKEYS del a b", "*2\r\n$1\r\na\r\n$1\r\nb\r\n"),
        ("COMMAND GETKEYS ping x", "-ERR The command has no key arguments\r\n"),
        ("COMMAND GETKEYS nope a", "-ERR Invalid command specified\r\n"),
        ("COMMAND FOO", "-ERR unknown subcommand 'FOO'. Try COMMAND HELP.\r\n"),
    ]);
    // With its tips, in RESP3.
    let ping = "*1\r\n*10\r\n$4\r\nping\r\n:-1\r\n~1\r\n+fast\r\n:0\r\n:0\r\n:0\r\n~2\r\n+@fast\r\n+@connection\r\n\
                ~2\r\n$25\r\nrequest_policy:all_shards\r\n$29\r\nresponse_policy:all_succeeded\r\n~0\r\n~0\r\n";
    let mut client = rig.connect();
    client.send("COMMAND COUNT");
    let count = client.read_past("\r\n").replace(':', "*");
    for line in ["COMMAND", "COMMAND INFO"] {
        let mut client = rig.connect();
        client.send(line);
        assert_eq!(client.read_past("\r\n"), count, "{line}");
    }
    rig.connect_resp3().ask(&[("COMMAND INFO PING", ping), ("COMMAND DOCS nope", "%0\r\n")]);
}

#[test]
fn what_there_is_not_is_refused_with_the_truth() {
    let rig = Rig::start(drivers()[0]);
    rig.connect().ask(&[
        ("SAVE", MEMORY_ONLY),
        ("SAVE x", "-ERR wrong number of arguments for 'save' command\r\n"),
        ("BGSAVE", MEMORY_ONLY),
        ("BGREWRITEAOF", MEMORY_ONLY),
        ("LASTSAVE", MEMORY_ONLY),
        ("REPLICAOF NO ONE", OK),
        ("REPLICAOF host 1", "-ERR this store does not replicate: it is always a master without replicas\r\n"),
        ("ROLE", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"),
        ("ACL WHOAMI", "$7\r\ndefault\r\n"),
        ("ACL LIST", "-ERR unknown subcommand 'LIST'. Try ACL HELP.\r\n"),
        ("FUNCTION FLUSH", OK),
        ("FUNCTION FLUSH ASYNC", OK),
        ("FUNCTION FLUSH x", "-ERR FUNCTION FLUSH only supports SYNC|ASYNC option\r\n"),
    ]);
    let mut client = rig.connect();
    client.send("SHUTDOWN");
    assert!(client.read_past("\r\n").contains("SIGTERM"));
    client.send("TIME");
    assert!(client.read_past("\r\n").starts_with("*2"));
}
