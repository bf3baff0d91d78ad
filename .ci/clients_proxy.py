"""Runs `examples/proxy.rs` in front of nginx and redis-server, with 1,000 connections each, on both drivers.

Every byte of every reply is checked. Needs nginx, redis-server, `cargo build --release --example proxy`, and a limit of at
least 9,000 open files. Prints one line a test and ends with `N passed, N failed`.
"""

import asyncio
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile

from ports import free_port, wait_until_it_listens

CONNECTIONS = 1_000
DEADLINE_S = 60
# Beside both ends of every connection: what nginx and the others need for themselves.
OPEN_FILES = 9_000

# What nginx serves: a name, and how many bytes.
FILES = {"empty": 0, "small": 300, "page": 16 << 10, "large": 200_000, "huge": 24 << 20}
# Clients that ask for `huge` and read nothing until all others are done.
SLOW = 8
# What the proxy may hold for all slow readers, and everything else: far less than what they asked for.
MOST_MEMORY = 96 << 20

NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log warn; worker_rlimit_nofile 4096;
events {{ worker_connections 4000; }}
http {{
  access_log off; keepalive_requests 1000000; keepalive_timeout 600s; send_timeout 600s; default_type text/plain;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen 127.0.0.1:{port} backlog=2048; root {folder}/files; }}
}}
"""


def content(name):
    return bytes((at * 7 + len(name)) % 251 for at in range(min(FILES[name], 1 << 16))) * (1 + FILES[name] // (1 << 16))


CONTENT = {name: content(name)[:size] for name, size in FILES.items()}


class Proxy:
    """The example, between a port of its own and another one."""

    def __init__(self, to, driver):
        self.port = free_port()
        addresses = [f"tcp://127.0.0.1:{self.port}", f"tcp://127.0.0.1:{to}"]
        self.process = subprocess.Popen(["target/release/examples/proxy", *addresses, "60", driver])

    def resident(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS"))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(DEADLINE_S)


async def connect(port, count):
    """So many connections, all open before any of them is used."""
    opened = []
    for _ in range(0, count, 100):
        opened += await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(min(100, count))))
    return opened


async def ask_http(reader, writer, names):
    """Asks for all files at once, and looks at the replies."""
    writer.write(b"".join(f"GET /{name} HTTP/1.1\r\nHost: proxy\r\n\r\n".encode() for name in names))
    for name in names:
        await reply_http(reader, name)


async def reply_http(reader, name):
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    assert head[0] == "HTTP/1.1 200 OK", head
    length = next(int(line.split(": ")[1]) for line in head if line.lower().startswith("content-length: "))
    assert length == FILES[name], (name, length)
    assert await reader.readexactly(length) == CONTENT[name], f"{name} is not what nginx has"


def resp(*parts):
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


async def ask_redis(reader, writer, number):
    """Commands of many sizes, in a pipeline, with replies of which every byte is known."""
    key, value = b"key:%d" % number, CONTENT["large"][number : number + (number * 37) % 40_000]
    said = b"%d says hello" % number
    bulk = b"$%d\r\n%s\r\n"
    turns = [(resp(b"SET", key, value), b"+OK\r\n"), (resp(b"GET", key), bulk % (len(value), value))]
    turns += [(resp(b"ECHO", said), bulk % (len(said), said)), (resp(b"STRLEN", key), b":%d\r\n" % len(value))]
    writer.write(b"".join(command for command, _ in turns))
    for command, reply in turns:
        assert await reader.readexactly(len(reply)) == reply, (number, command[:60])


async def all_of(work):
    async with asyncio.timeout(DEADLINE_S):
        await asyncio.gather(*work)


async def a_thousand_clients_of_nginx_get_every_file_right(nginx, _, driver):
    proxy = Proxy(nginx, driver)
    try:
        wait_until_it_listens(proxy.port, proxy.process)
        # Who asks for much and reads nothing costs the proxy little.
        slow = await connect(proxy.port, SLOW)
        for reader, writer in slow:
            writer.transport.pause_reading()
            writer.write(b"GET /huge HTTP/1.1\r\nHost: proxy\r\n\r\n")
        clients = await connect(proxy.port, CONNECTIONS)
        names = ["page", "empty", "small", "page", "large", "small"]
        await all_of(ask_http(reader, writer, names[: 2 + number % 5]) for number, (reader, writer) in enumerate(clients))
        assert proxy.resident() < MOST_MEMORY, f"{proxy.resident() >> 20} MiB are resident"
        for _, writer in slow:
            writer.transport.resume_reading()
        await all_of(reply_http(reader, "huge") for reader, _ in slow)
        for _, writer in slow + clients:
            writer.close()
    finally:
        assert proxy.stop() == 0, "the proxy failed"


async def a_thousand_clients_of_redis_get_every_reply_right(_, redis, driver):
    proxy = Proxy(redis, driver)
    try:
        wait_until_it_listens(proxy.port, proxy.process)
        clients = await connect(proxy.port, CONNECTIONS)
        for _ in range(3):
            await all_of(ask_redis(reader, writer, number) for number, (reader, writer) in enumerate(clients))
        # The end of a client's stream is handed on: redis closes, and its end comes back.
        for _, writer in clients:
            writer.write_eof()
        for ended in await asyncio.gather(*(reader.read() for reader, _ in clients)):
            assert ended == b"", ended
        for _, writer in clients:
            writer.close()
    finally:
        assert proxy.stop() == 0, "the proxy failed"


async def run(nginx, redis):
    passed = failed = 0
    for driver in ["uring", "poll"]:
        for test in [
            a_thousand_clients_of_nginx_get_every_file_right,
            a_thousand_clients_of_redis_get_every_reply_right,
        ]:
            try:
                await test(nginx, redis, driver)
                passed += 1
                print(f"ok   {test.__name__} ({driver})", flush=True)
            except (AssertionError, OSError, EOFError, TimeoutError) as error:
                failed += 1
                print(f"FAIL {test.__name__} ({driver}): {type(error).__name__}: {error}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return failed


async def main():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert hard == resource.RLIM_INFINITY or hard >= OPEN_FILES, f"a process may open {hard} files; {OPEN_FILES} are needed"
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, hard))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="gannet-proxy-"))
    servers = []
    try:
        (folder / "files").mkdir()
        # nginx gives up root, and has to read them then.
        folder.chmod(0o755)
        for name, bytes_of_it in CONTENT.items():
            (folder / "files" / name).write_bytes(bytes_of_it)
        nginx, redis = free_port(), free_port()
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=nginx))
        servers.append(subprocess.Popen(["nginx", "-c", folder / "nginx.conf"]))
        wait_until_it_listens(nginx, servers[-1])
        options = ["--port", str(redis), "--bind", "127.0.0.1", "--save", "", "--dir", folder, "--maxclients", "4000"]
        servers.append(subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL))
        wait_until_it_listens(redis, servers[-1])
        return await run(nginx, redis)
    finally:
        for server in servers:
            server.terminate()
            server.wait(DEADLINE_S)
        shutil.rmtree(folder)


if __name__ == "__main__":
    os.chdir(pathlib.Path(__file__).parent.parent)
    sys.exit(1 if asyncio.run(main()) else 0)
