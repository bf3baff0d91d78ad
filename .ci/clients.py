"""Starts the server as the README does, speaks to it with nc, socat and Python, and stops it.

Prints one line a test and ends with `N passed, N failed`.
"""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
import traceback
import urllib.request

DEADLINE_S = 30


class Server:
    """`cargo run --release` with arguments, ready to be spoken to. `GANNET_BIN` names another binary to try."""

    def __init__(self, *arguments):
        binary = os.environ.get("GANNET_BIN")
        command = [binary] if binary else ["cargo", "run", "--release", "--quiet", "--"]
        command += arguments
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.banner = []
        for line in self.process.stdout:
            self.banner.append(line.rstrip())
            if line.startswith("ready"):
                return
        raise AssertionError(f"the server ended before it was ready: {self.banner}")

    def pid(self):
        """The server's own process: cargo replaces itself with it on Unix."""
        return self.process.pid

    def stop(self):
        os.kill(self.pid(), signal.SIGTERM)
        self.process.stdout.read()
        return self.process.wait(DEADLINE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def run(command, given=b""):
    return subprocess.run(command, input=given, capture_output=True, timeout=DEADLINE_S, check=False, shell=True).stdout


def the_defaults_answer_as_the_readme_says():
    with Server() as server:
        assert any("7001" in line for line in server.banner), server.banner
        assert run(r"printf 'hello\n' | nc -N 127.0.0.1 7001") == b"echo: hello\n"
        assert run("printf raw | nc -N 127.0.0.1 7000") == b"raw"
        assert run(r"printf '\000\000\000\005hello' | nc -N 127.0.0.1 7002") == b"\0\0\0\5hello"
        assert run(r"printf '\000\000\000\000' | nc -N 127.0.0.1 7002") == b"\0\0\0\0"
        assert run("printf datagram | nc -u -w1 127.0.0.1 7000") == b"datagram"
        with urllib.request.urlopen("http://127.0.0.1:8080/hello/you", timeout=DEADLINE_S) as response:
            assert response.read() == b"hello you\n"
        with urllib.request.urlopen("http://127.0.0.1:8080/metrics", timeout=DEADLINE_S) as response:
            assert b"# TYPE gannet_connections gauge" in response.read()
        assert any(line.startswith("push accepts anonymous clients, because its listener is on loopback") for line in server.banner)
        listen = subprocess.Popen(
            "exec curl -sN 'http://127.0.0.1:8000/events?channel=demo:chat'", shell=True, stdout=subprocess.PIPE, text=True
        )
        try:
            # The first line comes when the client is subscribed.
            line = listen.stdout.readline()
            published = run(
                """curl -s http://127.0.0.1:8000/api/publish -d '{"channel":"demo:chat","data":{"text":"hello"}}'"""
            )
            assert b'"offset":1' in published, published
            while line and line != 'data: {"text":"hello"}\n':
                line = listen.stdout.readline()
            assert line, "the publication has not come"
        finally:
            listen.kill()
            listen.wait()
        assert server.stop() == 0


def socat_relays_a_megabyte_both_ways():
    payload = os.urandom(1 << 20)
    for driver in ("poll", "uring"):
        with Server("serve", "--driver", driver, "--listen", "echo=tcp://127.0.0.1:7100") as server:
            assert run("socat -t 10 - TCP:127.0.0.1:7100", payload) == payload, driver
            assert server.stop() == 0


def socat_speaks_to_a_unix_socket():
    path = f"/tmp/gannet-ci-{os.getpid()}.sock"
    with Server("serve", "--listen", f"lines=unix://{path}") as server:
        assert run(f"socat -t 10 - UNIX-CONNECT:{path}", b"one\ntwo\n") == b"echo: one\necho: two\n"
        assert server.stop() == 0
    assert not os.path.exists(path)


def python_pipelines_frames_over_both_drivers():
    for driver in ("poll", "uring"):
        with Server("serve", "--driver", driver, "--listen", "frames=tcp://127.0.0.1:7101") as server:
            with socket.create_connection(("127.0.0.1", 7101)) as connection:
                frames = b"".join(struct.pack(">I", n % 1000) + b"x" * (n % 1000) for n in range(1, 500))
                connection.sendall(frames)
                connection.shutdown(socket.SHUT_WR)
                answer = b""
                while piece := connection.recv(65536):
                    answer += piece
            assert answer == frames, driver
            assert server.stop() == 0


def a_second_signal_ends_at_once():
    with Server("serve", "--listen", "echo=tcp://127.0.0.1:7102", "--drain-timeout", "1h") as server:
        # A peer that never reads keeps the drain going.
        with socket.create_connection(("127.0.0.1", 7102)) as connection:
            connection.setblocking(False)
            stuck = time.monotonic() + 2
            try:
                while time.monotonic() < stuck:
                    connection.send(b"x" * 65536)
            except BlockingIOError:
                pass
            os.kill(server.pid(), signal.SIGTERM)
            try:
                server.process.wait(1)
                raise AssertionError("the drain did not wait for a peer that does not read")
            except subprocess.TimeoutExpired:
                pass
            os.kill(server.pid(), signal.SIGTERM)
            assert server.process.wait(DEADLINE_S) == 1


def run_all(tests):
    """Runs tests, prints a line for each, and ends this process."""
    failed = 0
    for test in tests:
        try:
            test()
            print(f"ok      {test.__name__.replace('_', ' ')}", flush=True)
        except Exception as error:  # One failed test must not hide the others.
            failed += 1
            traceback.print_exc()
            print(f"FAILED  {test.__name__.replace('_', ' ')}: {error!r}", flush=True)
    print(f"{len(tests) - failed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    run_all(
        [
            the_defaults_answer_as_the_readme_says,
            socat_relays_a_megabyte_both_ways,
            socat_speaks_to_a_unix_socket,
            python_pipelines_frames_over_both_drivers,
            a_second_signal_ends_at_once,
        ]
    )
