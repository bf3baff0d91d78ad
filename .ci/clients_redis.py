"""Speaks to `gannet serve` by Redis's own clients and Python's, which nobody here wrote.

Needs redis-cli and redis-benchmark, and Python's `redis`; prints one line a test and ends with `N passed, N failed`.
"""

import re
import subprocess
import threading
import time

import redis
from clients import DEADLINE_S, Server, run_all


class Store(Server):
    """A store on a free port, with one driver."""

    def __init__(self, driver="uring"):
        super().__init__("serve", "--driver", driver, "--listen", "redis=tcp://127.0.0.1:0")
        self.port = int(re.search(r"redis-cli -h 127.0.0.1 -p (\d+)", "\n".join(self.banner)).group(1))

    def cli(self, *words, given=b""):
        """What redis-cli says, as one would see it in a terminal."""
        command = ["redis-cli", "-p", str(self.port), *words]
        ended = subprocess.run(command, input=given, capture_output=True, timeout=DEADLINE_S, check=True)
        assert not ended.stderr, ended.stderr
        return ended.stdout.decode()

    def python(self, protocol, **options):
        return redis.Redis(port=self.port, protocol=protocol, decode_responses=True, socket_timeout=DEADLINE_S, **options)


def redis_cli_shows_every_kind_of_reply():
    with Store() as store:
        for words, shown in [
            ("PING", "PONG"),
            ("SET k value", "OK"),
            ("GET k", '"value"'),
            ("GET nokey", "(nil)"),
            ("STRLEN k", "(integer) 5"),
            ("INCR k", "(error) ERR value is not an integer or out of range"),
            ("HSET h f1 v1 f2 v2", "(integer) 2"),
            ("HGET h f2", '"v2"'),
            ("HGETALL h", '1) "f1"\n2) "v1"\n3) "f2"\n4) "v2"'),
            ("SETBIT b 7 1", "(integer) 0"),
            ("NOSUCH x", "(error) ERR unknown command 'NOSUCH', with args beginning with: 'x' "),
            ("-3 HGETALL h", '1# "f1" => "v1"\n2# "f2" => "v2"'),
            ("-3 GET nokey", "(nil)"),
            ("-n 3 DBSIZE", "(integer) 0"),
        ]:
            answer = store.cli("--no-raw", *words.split()).rstrip("\n")
            assert answer == shown.rstrip("\n"), (words, answer)
        commands = "MULTI\nSET k 1\nINCR k\nEXEC\n"
        assert store.cli(given=commands.encode()) == "OK\nQUEUED\nQUEUED\nOK\n2\n"
        assert "redis_version:" in store.cli("INFO", "server")


def redis_cli_pipes_and_scans_ten_thousand_keys():
    with Store() as store:
        pieces = []
        for number in range(10_000):
            key, value = f"key:{number}", "x" * (number % 100)
            pieces.append(f"*3\r\n$3\r\nSET\r\n${len(key)}\r\n{key}\r\n${len(value)}\r\n{value}\r\n")
        assert "errors: 0, replies: 10000" in store.cli("--pipe", given="".join(pieces).encode())
        assert len(set(store.cli("--scan").split())) == 10_000
        assert len(set(store.cli("--scan", "--pattern", "key:99*").split())) == 111
        assert store.cli("DBSIZE") == "10000\n"


def redis_cli_subscribes():
    with Store() as store:
        command = ["redis-cli", "-p", str(store.port), "--csv", "PSUBSCRIBE", "new*"]
        subscriber = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            next(line for line in subscriber.stdout if '"psubscribe","new*",1' in line)
            assert store.cli("PUBLISH", "news", "hello") == "1\n"
            assert '"pmessage","new*","news","hello"' in subscriber.stdout.readline()
        finally:
            subscriber.kill()
            subscriber.wait()


def redis_benchmark_ends_without_an_error():
    for driver in ("uring", "poll"):
        with Store(driver) as store:
            for pipeline, requests in [("1", "2000"), ("16", "20000"), ("64", "20000")]:
                command = ["redis-benchmark", "-p", str(store.port), "-t", "ping,set,get,incr,mset,hset", "-r", "1000"]
                command += ["-n", requests, "-P", pipeline, "-q"]
                ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
                said = ended.stdout + ended.stderr
                # That it cannot see the server's configuration would be said as a warning.
                assert ended.returncode == 0 and not re.search("err|warn", said, re.IGNORECASE), (pipeline, said)
                assert said.count("requests per second") == 7, said


def with_both_protocols(test):
    def both():
        with Store() as store:
            for protocol in (2, 3):
                with store.python(protocol) as client:
                    client.flushall()
                    test(store, client)

    both.__name__ = test.__name__
    return both


@with_both_protocols
def python_keeps_strings_and_hashes(_, client):
    assert client.set("k", "v") and client.get("k") == "v" and client.get("nokey") is None
    assert client.set("k", "w", nx=True) is None and client.set("k", "w", get=True) == "v"
    assert client.incr("n", 5) == 5 and client.incrbyfloat("f", 0.1) == 0.1
    assert client.mset({"a": "1", "b": "2"}) and client.mget("a", "b", "c") == ["1", "2", None]
    assert client.append("a", "xyz") == 4 and client.getrange("a", 1, -1) == "xyz" and client.strlen("a") == 4
    assert client.hset("h", mapping={"one": 1, "two": 2}) == 2
    assert client.hgetall("h") == {"one": "1", "two": "2"} and client.hmget("h", "one", "x") == ["1", None]
    assert client.hincrby("h", "one", 9) == 10 and client.hdel("h", "two") == 1 and client.hkeys("h") == ["one"]
    assert client.hrandfield("h") == "one" and dict(client.hscan_iter("h")) == {"one": "10"}
    assert client.setbit("bits", 7, 1) == 0 and client.bitcount("bits") == 1
    assert client.bitfield("bits").incrby("u8", 0, 9).get("u8", 0).execute() == [10, 10]
    try:
        client.incr("h")
        raise AssertionError("a hash was counted up")
    except redis.ResponseError as error:
        assert "WRONGTYPE" in str(error)


@with_both_protocols
def python_pipelines_a_thousand_commands(_, client):
    with client.pipeline(transaction=False) as pipe:
        for number in range(1000):
            pipe.set(f"key:{number}", number)
        assert all(pipe.execute())
    with client.pipeline(transaction=True) as pipe:
        for number in range(1000):
            pipe.get(f"key:{number}")
        assert pipe.execute() == [str(number) for number in range(1000)]
    assert set(client.scan_iter(match="key:*", count=100)) == {f"key:{number}" for number in range(1000)}


@with_both_protocols
def python_retries_transactions_until_nobody_was_faster(store, client):
    def add(pipe):
        value = int(pipe.get("counter") or 0)
        pipe.multi()
        pipe.set("counter", value + 1)

    def work():
        with store.python(3) as own:
            for _ in range(50):
                own.transaction(add, "counter")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.get("counter") == "200"


@with_both_protocols
def python_hears_messages_in_a_thread(_, client):
    heard, done = [], threading.Event()

    def hear(message):
        heard.append((message["type"], message["channel"], message["data"]))
        if message["data"] == "last":
            done.set()

    subscriber = client.pubsub(ignore_subscribe_messages=True)
    subscriber.subscribe(**{"news": hear})
    subscriber.psubscribe(**{"ne*": hear})
    thread = subscriber.run_in_thread(sleep_time=0.01)
    while client.pubsub_numsub("news") != [("news", 1)] or client.pubsub_numpat() != 1:
        time.sleep(0.01)
    for text in ("first", "last"):
        assert client.publish("news", text) == 2
    assert done.wait(DEADLINE_S)
    thread.stop()
    thread.join()
    # The next one is not to be taken for this one.
    while client.pubsub_numsub("news") != [("news", 0)] or client.pubsub_numpat() != 0:
        time.sleep(0.01)
    assert {entry for entry in heard if entry[2] == "first"} == {
        ("message", "news", "first"),
        ("pmessage", "news", "first"),
    }


@with_both_protocols
def python_sees_keys_expire(_, client):
    assert client.set("k", "v", px=50) and client.set("stays", "v", ex=1000)
    assert 990 < client.ttl("stays") <= 1000 and client.pexpire("stays", 500_000) and client.persist("stays")
    end = time.monotonic() + DEADLINE_S
    while client.exists("k"):
        assert time.monotonic() < end, "it never expires"
        time.sleep(0.01)
    assert client.ttl("k") == -2 and client.ttl("stays") == -1


@with_both_protocols
def python_asks_about_the_server(_, client):
    assert client.ping() and client.echo("hello") == "hello"
    assert client.client_setname("me") and client.client_getname() == "me"
    own = [entry for entry in client.client_list() if int(entry["id"]) == client.client_id()]
    assert own[0]["name"] == "me", own
    client.set("k", "v")
    info = client.info()
    assert info["redis_version"] and info["connected_clients"] >= 1 and info["db0"]["keys"] == 1, info
    assert client.config_get("maxmemory") == {"maxmemory": "0"}
    assert client.command_count() > 100 and client.time()[0] > 1_600_000_000
    assert client.dbsize() == 1 and client.object("encoding", "k") == "embstr"


run_all(
    [
        redis_cli_shows_every_kind_of_reply,
        redis_cli_pipes_and_scans_ten_thousand_keys,
        redis_cli_subscribes,
        redis_benchmark_ends_without_an_error,
        python_keeps_strings_and_hashes,
        python_pipelines_a_thousand_commands,
        python_retries_transactions_until_nobody_was_faster,
        python_hears_messages_in_a_thread,
        python_sees_keys_expire,
        python_asks_about_the_server,
    ]
)
