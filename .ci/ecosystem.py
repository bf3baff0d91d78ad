"""Builds `examples/ecosystem` and talks to its servers on both drivers: hyper, async-tungstenite, tokio-util, redis.

Needs curl, h2load (nghttp2-client), redis-server, and the Python package websockets. Prints one line a test and ends with
`N passed, N failed`. It also makes sure that the engine as such compiles none of those crates.
"""

import asyncio
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import traceback

import websockets.sync.client
from ports import free_port, wait_until_closed, wait_until_it_listens
from websockets.exceptions import ConnectionClosed

ROOT = pathlib.Path(__file__).resolve().parent.parent
MANIFEST = ROOT / "examples" / "ecosystem" / "Cargo.toml"
PROGRAMS = ROOT / "target" / "debug"
DEADLINE_S = 60
DRIVERS = ("uring", "poll")

# Requests of one run of h2load, which all have to succeed.
REQUESTS = 10_000
# What is sent to be sent back: more than any window of HTTP/2, and more than the sockets hold.
LARGE = bytes(at * 7 % 251 for at in range(1 << 16)) * 80
# Crates that the engine must not need.
STRANGERS = {"hyper", "tokio", "futures-io", "futures-util", "http-body"}

INSECURE = ssl.create_default_context()
INSECURE.check_hostname = False
INSECURE.verify_mode = ssl.CERT_NONE


class Server:
    """One of the programs, at ports of its own."""

    def __init__(self, name, driver, schemes, more=()):
        self.ports = [free_port() for _ in schemes]
        addresses = [f"{scheme}://127.0.0.1:{port}" for scheme, port in zip(schemes, self.ports)]
        environment = os.environ | {"GANNET_DRIVER": driver}
        self.process = subprocess.Popen([PROGRAMS / name, *addresses, *more], env=environment)

    def __enter__(self):
        for port in self.ports:
            wait_until_it_listens(port, self.process)
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def drain(self):
        self.process.send_signal(signal.SIGTERM)
        wait_until_closed(self.ports[0])

    def ended(self):
        assert self.process.wait(DEADLINE_S) == 0, f"it ended with {self.process.returncode}"


def connect(port, tls=False):
    plain = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE_S)
    return INSECURE.wrap_socket(plain) if tls else plain


def curl(*arguments, data=None):
    """What a URL answers, and with which version of HTTP."""
    command = ["curl", "--silent", "--show-error", "--max-time", str(DEADLINE_S), "--insecure", *arguments]
    command += ["--write-out", "%{stderr}%{http_version} %{http_code}"]
    done = subprocess.run(command, input=data, capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return done.stdout, done.stderr.decode()


def h2load(port, *arguments):
    command = ["h2load", "--requests", str(REQUESTS), *arguments, f"http://127.0.0.1:{port}/"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    report = re.search(r"requests: .*", done.stdout)
    assert report and f" {REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout" in report[0], done.stdout + done.stderr


def hyper_answers_curl_and_h2load(driver):
    with Server("hyper_http", driver, ["tcp", "tcp", "tls"]) as server:
        one, two, tls = server.ports
        kinds = [
            ("1.1", [f"http://127.0.0.1:{one}"]),
            ("2", ["--http2-prior-knowledge", f"http://127.0.0.1:{two}"]),
            ("1.1", [f"https://127.0.0.1:{tls}"]),
        ]
        for version, [*options, base] in kinds:
            assert curl(*options, f"{base}/") == (b"hello, world\n", f"{version} 200")
            assert curl(*options, f"{base}/late") == (b"late\n", f"{version} 200")
            assert curl(*options, f"{base}/none") == (b"not here\n", f"{version} 404")
            body, status = curl(*options, "--data-binary", "@-", f"{base}/echo", data=LARGE)
            assert status == f"{version} 200" and body == LARGE, (status, len(body))
            body, _ = curl(*options, "--data-binary", "@-", f"{base}/count", data=LARGE)
            assert body == f"{len(LARGE)} bytes\n".encode(), body
        h2load(two, "--clients", "20", "--max-concurrent-streams", "50")
        h2load(one, "--h1", "--clients", "50")


def hyper_finishes_what_was_asked_for_when_the_engine_drains(driver):
    with Server("hyper_http", driver, ["tcp", "tcp", "tls"]) as server:
        client = connect(server.ports[0])
        client.sendall(b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        reply = client.makefile("rb")
        # From here on the body is waited for.
        assert (reply.readline(), reply.readline()) == (b"HTTP/1.1 100 Continue\r\n", b"\r\n")
        client.sendall(b"ab")
        # Another one that asks for nothing does not keep the engine.
        idle = connect(server.ports[0])
        idle.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(1)
        server.drain()
        client.sendall(b"cde")
        reply = reply.read()
        assert reply.startswith(b"HTTP/1.1 200 OK\r\n") and reply.endswith(b"\r\n\r\n5 bytes\n"), reply
        server.ended()


def tungstenite_echoes_and_says_good_bye(driver):
    with Server("tungstenite_echo", driver, ["tcp", "tls"]) as server, contextlib.ExitStack() as opened:
        kinds = [("ws", server.ports[0], None), ("wss", server.ports[1], INSECURE)]
        clients = []
        for scheme, port, tls in kinds:
            client = websockets.sync.client.connect(f"{scheme}://127.0.0.1:{port}", ssl=tls, max_size=None)
            client = opened.enter_context(client)
            for message in ["hello", "", "ä" * 100_000, LARGE]:
                client.send(message)
                assert client.recv(DEADLINE_S) == message
            assert client.ping().wait(DEADLINE_S)
            clients.append(client)
        server.drain()
        for client in clients:
            try:
                raise AssertionError(f"the server sent {client.recv(DEADLINE_S)!r}")
            except ConnectionClosed as closed:
                assert closed.rcvd and closed.rcvd.code == 1001, closed
        server.ended()


def a_codec_of_tokio_util_finds_its_lines(driver):
    with Server("framed_lines", driver, ["tcp", "tls"]) as server:
        for port, tls in zip(server.ports, [False, True]):
            client = connect(port, tls)
            for part in [b"on", b"e\ntwo\n\nthr", b"ee\n"]:
                client.sendall(part)
            said = client.makefile("rb")
            assert [said.readline() for _ in range(4)] == [b"ONE\n", b"TWO\n", b"\n", b"THREE\n"]
            many = b"".join(b"line %d\n" % at for at in range(20_000))
            asyncio.run(exchange(port, tls, many, many.upper()))
        # What has no end is a line at the end, and one that is too long ends the session.
        client = connect(server.ports[0])
        client.sendall(b"the last")
        client.shutdown(socket.SHUT_WR)
        assert client.makefile("rb").read() == b"THE LAST\n"
        client = connect(server.ports[0])
        with contextlib.suppress(ConnectionError):
            client.sendall(b"x" * 100_000)
            assert client.recv(10) == b""
        client = connect(server.ports[0])
        client.sendall(b"hello\n")
        said = client.makefile("rb")
        assert said.readline() == b"HELLO\n"
        server.drain()
        assert said.read() == b"THE SERVER STOPS\n"
        server.ended()


async def exchange(port, tls, sent, expected):
    """Writes and reads at once: neither end holds all of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=INSECURE if tls else None)
    writer.write(sent)
    read = await asyncio.wait_for(reader.readexactly(len(expected)), DEADLINE_S)
    assert read == expected
    writer.close()


def a_redis_client_runs_in_a_session(driver):
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        options = ["--port", str(port), "--save", "", "--appendonly", "no", "--dir", folder, "--loglevel", "warning"]
        redis = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
        try:
            wait_until_it_listens(port, redis)
            with Server("redis_client", driver, ["tcp"], [f"tcp://127.0.0.1:{port}"]) as server:
                clients = [connect(server.ports[0]) for _ in range(50)]
                for at, client in enumerate(clients):
                    client.sendall(b"set key%d value %d\nget key%d\n" % (at, at, at))
                for at, client in enumerate(clients):
                    said = client.makefile("rb")
                    assert (said.readline(), said.readline()) == (b"OK\n", b"value %d\n" % at)
                    client.sendall(b"get nothing\nincr visits\n")
                    assert (said.readline(), said.readline()) == (b"(nothing)\n", b"%d\n" % (at + 1))
                # 1,000 lines at once are 1,000 requests on one connection.
                many = b"".join(b"get key%d\n" % (at % 50) for at in range(1_000))
                answers = b"".join(b"value %d\n" % (at % 50) for at in range(1_000))
                asyncio.run(exchange(server.ports[0], False, many, answers))
                redis.terminate()
                redis.wait()
                clients[1].sendall(b"get key1\n")
                said = clients[1].makefile("rb").read()
                assert said.startswith(b"error: "), said
        finally:
            redis.kill()
            redis.wait()


TESTS = [
    hyper_answers_curl_and_h2load,
    hyper_finishes_what_was_asked_for_when_the_engine_drains,
    tungstenite_echoes_and_says_good_bye,
    a_codec_of_tokio_util_finds_its_lines,
    a_redis_client_runs_in_a_session,
]


def the_engine_needs_none_of_them():
    command = ["cargo", "tree", "--package", "gannet", "--edges", "normal", "--prefix", "none"]
    engine = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert engine.returncode == 0, engine.stderr
    names = {line.split()[0] for line in engine.stdout.splitlines() if line}
    assert not names & STRANGERS, f"gannet needs {sorted(names & STRANGERS)}"


def main():
    for tool in ("curl", "h2load", "redis-server"):
        if not shutil.which(tool):
            sys.exit(f"{tool} is not installed")
    build = ["cargo", "build", "--locked", "--quiet", "--bins", "--manifest-path", MANIFEST]
    # With that of the engine's own workspace: what both have is built once.
    subprocess.run([*build, "--target-dir", ROOT / "target"], check=True)
    cases = [(the_engine_needs_none_of_them, ())] + [(test, (driver,)) for test in TESTS for driver in DRIVERS]
    failed = 0
    for test, arguments in cases:
        name = " ".join([test.__name__.replace("_", " "), *(f"({argument})" for argument in arguments)])
        began = time.monotonic()
        try:
            test(*arguments)
            print(f"ok      {name}, {time.monotonic() - began:.1f} s", flush=True)
        except Exception as error:
            failed += 1
            traceback.print_exc()
            print(f"FAILED  {name}: {type(error).__name__}: {error}", flush=True)
    print(f"{len(cases) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
