"""Speaks HTTP, WebSocket and TLS to `gannet serve`, and to the example `api`, by clients that nobody here wrote.

Needs curl, wrk, nginx, haproxy, openssl, node with `ws` in target/node, chromium, and Python's `requests` and `websockets`; prints
one line a test and ends with `N passed, N failed`.
"""

import asyncio
import base64
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import requests
import websockets
from clients import DEADLINE_S, Server, run_all
from ports import free_port, listens, wait_until

DRIVERS = ("poll", "uring")


class Site(Server):
    """The `http` service on a free port, with one driver; over TLS where a certificate is given."""

    def __init__(self, driver="uring", certificate=None, listen="http", *more, options=""):
        scheme, extra = "tcp", []
        if certificate:
            scheme, extra = "tls", ["--tls-cert", certificate.file, "--tls-key", certificate.key]
        arguments = ["serve", "--driver", driver, "--listen", f"{listen}={scheme}://127.0.0.1:0{options}", *extra, *more]
        super().__init__(*(str(argument) for argument in arguments))
        self.port = int(re.search(rf"{listen}\s+{scheme}://127.0.0.1:(\d+)", "\n".join(self.banner)).group(1))
        self.origin = f"{'https' if certificate else 'http'}://127.0.0.1:{self.port}"

    def ws(self, path="/ws/echo"):
        return self.origin.replace("http", "ws", 1) + path


def tool(*command, given=b"", status=0):
    """What a command prints, both streams; it has to end with this status."""
    ended = subprocess.run(
        [str(word) for word in command], input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=DEADLINE_S
    )
    assert status is None or ended.returncode == status, (command, ended.returncode, ended.stdout[-2000:])
    return ended.stdout.decode(errors="replace")


class Authority:
    """A certificate authority in a folder of its own."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.file = self.folder / "ca.pem"
        self.key = self.folder / "ca.key"
        self._make(self.key, self.file, "/CN=gannet test authority", "-x509", "-addext", "basicConstraints=critical,CA:TRUE")

    def issue(self, name="server", usage="serverAuth", days=7):
        """A certificate for this machine, by openssl."""
        issued = Certificate(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        self._make(issued.key, request, f"/CN={name}")
        extensions.write_text(f"subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage={usage}\n")
        tool(
            *("openssl", "x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self.key, "-CAcreateserial"),
            *("-days", days, "-extfile", extensions, "-out", issued.file),
        )
        return issued

    def _make(self, key, out, subject, *more):
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
        tool("openssl", "req", "-new", *curve, "-keyout", key, "-out", out, "-subj", subject, *more)


class Certificate:
    def __init__(self, file, key):
        self.file, self.key = file, key


def with_authority(test):
    """Gives a test an authority, and takes its folder away afterwards."""

    def run(*given):
        with tempfile.TemporaryDirectory(prefix="gannet-ci-") as folder:
            test(*given, Authority(folder))

    run.__name__ = test.__name__
    return run


class Nginx:
    """nginx as a reverse proxy in front of a server, until the end of the block."""

    def __init__(self, upstream):
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="gannet-ci-nginx-")
        (Path(self.folder.name) / "nginx.conf").write_text(self.configuration(upstream))
        self.process = subprocess.Popen(["nginx", "-p", self.folder.name, "-c", "nginx.conf", "-e", "error.log"])
        wait_until("nginx to listen", lambda: listens(self.port))

    def configuration(self, upstream):
        return f"""
            daemon off; master_process off; pid nginx.pid; error_log error.log;
            events {{ worker_connections 512; }}
            http {{
              access_log off;
              client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
              map $http_upgrade $hop {{ default upgrade; '' ''; }}
              upstream gannet {{ server 127.0.0.1:{upstream}; keepalive 8; }}
              server {{
                listen 127.0.0.1:{self.port};
                location / {{
                  proxy_pass http://gannet; proxy_http_version 1.1; proxy_buffering off;
                  proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $hop;
                }}
              }}
            }}"""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(DEADLINE_S)
        self.folder.cleanup()


class NginxStream(Nginx):
    """nginx as a balancer of connections in front of a server, with the header of the PROXY protocol (version 1)."""

    MODULES = ("/usr/lib/nginx/modules", "/usr/lib64/nginx/modules", "/usr/libexec/nginx/modules")

    @classmethod
    def module(cls):
        """Its stream module, which Debian has in a package of its own."""
        files = (Path(folder) / "ngx_stream_module.so" for folder in cls.MODULES)
        return next((file for file in files if file.exists()), None)

    def configuration(self, upstream):
        return f"""
            load_module {self.module()};
            daemon off; master_process off; pid nginx.pid; error_log error.log;
            events {{ worker_connections 512; }}
            stream {{
              server {{ listen 127.0.0.1:{self.port}; proxy_pass 127.0.0.1:{upstream}; proxy_protocol on; }}
            }}"""


class HAProxy:
    """HAProxy in front of a server, with a port for each way of sending the PROXY protocol, until the end of the block."""

    WAYS = ("send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id", "send-proxy-v2 check check-send-proxy inter 100ms")

    def __init__(self, upstream):
        self.ports = [free_port() for _ in self.WAYS]
        self.folder = tempfile.TemporaryDirectory(prefix="gannet-ci-haproxy-")
        times = "timeout connect 10s\n timeout client 30s\n timeout server 30s"
        text = f"defaults\n mode tcp\n {times}\n unique-id-format %pid-%rt\n"
        for number, (port, way) in enumerate(zip(self.ports, self.WAYS)):
            text += f"listen way{number}\n bind 127.0.0.1:{port}\n server gannet 127.0.0.1:{upstream} {way}\n"
        (Path(self.folder.name) / "haproxy.cfg").write_text(text)
        self.process = subprocess.Popen(["haproxy", "-db", "-q", "-f", Path(self.folder.name) / "haproxy.cfg"])
        wait_until("haproxy to listen", lambda: all(listens(port) for port in self.ports))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(DEADLINE_S)
        self.folder.cleanup()


# HTTP


def curl_keeps_its_connection_and_is_told_what_is_wrong():
    for driver in DRIVERS:
        with Site(driver) as site:
            hello = f"{site.origin}/hello/you"
            asked = tool("curl", "-sS", "-o", "/dev/null", "-w", "%{num_connects} %{http_code}\n", hello, "-o", "/dev/null", hello)
            assert asked == "1 200\n0 200\n", asked
            assert tool("curl", "-sS", "--http1.0", hello) == "hello you\n"
            head = tool("curl", "-sS", "--head", hello)
            assert head.startswith("HTTP/1.1 200 OK\r\n") and "hello you" not in head, head
            status = ("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code} %header{allow}")
            assert tool(*status, "-X", "POST", hello) == "405 GET, HEAD, OPTIONS"
            assert tool(*status, f"{site.origin}/nowhere") == "404 "
            assert tool(*status, "-X", "OPTIONS", hello) == "204 GET, HEAD, OPTIONS"
            # A body that waits for "100 Continue", and one in chunks.
            for how in (["-H", "Expect: 100-continue"], ["-H", "Transfer-Encoding: chunked"]):
                sent = tool(*status, *how, "--data-binary", "@-", hello, given=b"x" * 100_000)
                assert sent.startswith("405"), (how, sent)
            sent = tool(*status, "-X", "GET", "--data-binary", "@-", hello, given=b"x" * (2 << 20), status=None)
            assert "413" in sent, sent
            assert site.stop() == 0


def curl_uses_every_endpoint_of_the_api_example():
    port = free_port()
    example = subprocess.Popen(["target/release/examples/api", f"tcp://127.0.0.1:{port}"])
    try:
        wait_until("the example", lambda: listens(port))
        ann, as_json = ("-H", "Authorization: Bearer ann"), ("-H", "Content-Type: application/json")

        def ask(path, *more, given=b""):
            asked = tool("curl", "-sS", "-w", " %{http_code}", *more, f"http://127.0.0.1:{port}{path}", given=given)
            body, _, status = asked.rpartition(" ")
            return int(status), body

        emma, book = '{"title":"Emma","price":9.5}', '{"title":"Emma","price":9.5,"sold":0}'
        no_user = '{"error":"send Authorization: Bearer and your name"}'
        field = '{"error":"price: invalid type: string \\"x\\", expected f64 at line 1 column 27"}'
        number = '{"error":"path: id: invalid value: string \\"me2\\", expected u32"}'
        text = b"one\ntwo\n" * 200_000
        expected = [
            (ask("/health"), (200, "up\n")),
            (ask("/nowhere"), (404, '{"error":"no such endpoint"}')),
            (ask("/books/me"), (401, no_user)),
            (ask("/books", *as_json, "-d", emma), (401, no_user)),
            (ask("/books/me", *ann), (200, '"ann"')),
            (ask("/books", *ann, *as_json, "-d", emma), (201, "1")),
            (ask("/books", *ann, *as_json, "-d", '{"title":"Emma","price":"x"}'), (422, field)),
            (ask("/books/1"), (200, book)),
            (ask("/books/me2"), (400, number)),
            (ask("/books?limit=5"), (200, '{"1":' + book + "}")),
            (ask("/books?after=1"), (200, "{}")),
            (ask("/books/search", "-d", "title=mm"), (200, "[1]")),
            (ask("/books/1/buy", *ann, "-X", "POST"), (200, "1")),
            (ask("/books/1", *ann, *as_json, "-X", "PUT", "-d", emma), (204, "")),
            (ask("/books/1/text", *ann, "-T", "-", given=text), (200, "400000")),
            (ask("/books/1", *ann, "-X", "DELETE"), (204, "")),
            (ask("/books/1"), (404, '{"error":"there is no book 1"}')),
        ]
        for answer, right in expected:
            assert answer == right, (answer, right)
        example.send_signal(signal.SIGTERM)
        assert example.wait(DEADLINE_S) == 0
    finally:
        example.kill()
        example.wait(DEADLINE_S)


def wrk_meets_no_error_on_either_driver():
    for driver in DRIVERS:
        with Site(driver) as site:
            report = tool("wrk", "-t1", "-c50", "-d2s", f"{site.origin}/hello/you")
            assert "Requests/sec" in report and "Non-2xx" not in report and "Socket errors" not in report, report
            assert site.stop() == 0


def python_requests_reads_pages_counters_and_a_stream_of_events():
    for driver in DRIVERS:
        with Site(driver) as site, requests.Session() as session:
            assert session.get(f"{site.origin}/hello/W%C3%B6rld", timeout=DEADLINE_S).text == "hello Wörld\n"
            page = session.get(site.origin, timeout=DEADLINE_S, headers={"Accept-Encoding": "gzip"})
            assert page.headers["content-type"] == "text/html; charset=utf-8" and "gannet" in page.text
            metrics = session.get(f"{site.origin}/metrics", timeout=DEADLINE_S).text
            assert "# TYPE gannet_connections gauge" in metrics and "_bucket{" in metrics
            with session.get(f"{site.origin}/sse/clock", stream=True, timeout=DEADLINE_S) as stream:
                assert stream.headers["content-type"].startswith("text/event-stream")
                lines = stream.iter_lines(decode_unicode=True)
                ticks = [next(line for line in lines if line.startswith("data:")) for _ in range(2)]
            assert ticks[0] != ticks[1], ticks
            assert site.stop() == 0


def slow_clients_do_not_slow_down_others():
    """2,000 connections that send their requests byte by byte, and wrk beside them."""

    def latency(site):
        report = tool("wrk", "-t1", "-c10", "-d3s", "--latency", f"{site.origin}/hello/you")
        assert "Non-2xx" not in report and "Socket errors" not in report, report
        value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", report).groups()
        return float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit]

    for driver in DRIVERS:
        with Site(driver) as site:
            alone_ms = min(latency(site) for _ in range(2))
            slow = [socket.create_connection(("127.0.0.1", site.port)) for _ in range(2_000)]
            stop = threading.Event()

            def drip():
                request = f"GET /hello/slow HTTP/1.1\r\nHost: h\r\nX: {'x' * 1000}".encode()
                for byte in request:
                    for connection in slow:
                        try:
                            connection.send(bytes([byte]))
                        except OSError:
                            pass  # It was cut off, as it should be.
                    if stop.wait(0.2):
                        return

            dripping = threading.Thread(target=drip)
            dripping.start()
            try:
                beside_ms = min(latency(site) for _ in range(3))
            finally:
                stop.set()
                dripping.join()

            def gone(connection):
                connection.setblocking(False)
                try:
                    while connection.recv(4096):
                        pass
                    return True
                except BlockingIOError:
                    return False
                except OSError:
                    return True

            wait_until("slow clients to be cut off", lambda: all(gone(connection) for connection in slow))
            for connection in slow:
                connection.close()
            # The machine may have got busier in between.
            alone_ms = max(alone_ms, latency(site))
            assert beside_ms < max(5 * alone_ms, 20), f"p99 {alone_ms} ms alone, {beside_ms} ms beside slow clients"
            assert site.stop() == 0


def nginx_in_front_keeps_connections_and_passes_websockets():
    with Site() as site, Nginx(site.port) as nginx, requests.Session() as session:
        for _ in range(50):
            assert session.get(f"http://127.0.0.1:{nginx.port}/hello/you", timeout=DEADLINE_S).text == "hello you\n"
        metrics = session.get(f"http://127.0.0.1:{nginx.port}/metrics", timeout=DEADLINE_S).text
        accepted = sum(int(n) for n in re.findall(r'gannet_accepted_total\{[^}]*service="http"[^}]*\} (\d+)', metrics))
        assert 0 < accepted < 10, f"{accepted} connections for 51 requests: the proxy could not keep them"

        async def echo():
            async with websockets.connect(f"ws://127.0.0.1:{nginx.port}/ws/echo") as ws:
                await ws.send("through a proxy")
                assert await ws.recv() == "through a proxy"

        asyncio.run(echo())
        with session.get(f"http://127.0.0.1:{nginx.port}/sse/clock", stream=True, timeout=DEADLINE_S) as stream:
            assert next(line for line in stream.iter_lines(decode_unicode=True) if line.startswith("data:"))
        assert site.stop() == 0


# WebSocket


@with_authority
def haproxy_in_front_says_who_its_clients_are(authority):
    """A client of another address is denied, although every connection comes from HAProxy's own."""
    certificate = authority.issue()
    for driver in DRIVERS:
        for tls in (None, certificate):
            with Site(driver, tls, "http", "--deny", "127.0.0.2", options=",proxy=127.0.0.1/32") as site, HAProxy(site.port) as haproxy:
                curl = ("curl", "-sS", "--max-time", DEADLINE_S, "--cacert", authority.file)
                scheme = site.origin.split(":", 1)[0]
                for port in haproxy.ports:
                    hello = f"{scheme}://127.0.0.1:{port}/hello/you"
                    assert tool(*curl, hello) == "hello you\n"
                    denied = tool(*curl, "--interface", "127.0.0.2", hello, status=None)
                    assert denied.startswith("curl: ("), denied
                direct = f"{site.origin}/hello/you"
                assert tool(*curl, "--haproxy-protocol", direct) == "hello you\n"
                assert tool(*curl, direct, status=None).startswith("curl: (")
                counters = tool(*curl, "--haproxy-protocol", f"{site.origin}/metrics")
                def count(metric, reason):
                    return int(re.search(rf'gannet_{metric}_total{{[^}}]*reason="{reason}"}} (\d+)', counters).group(1))

                # HAProxy connects again by itself where it is reset before it has sent anything.
                assert count("refused", "denied") >= len(haproxy.ports), counters
                assert count("closed", "proxy_header") == 1, counters
                assert site.stop() == 0


@with_authority
def nginx_in_front_sends_the_proxy_protocol(authority):
    """A client of another address is denied, although every connection comes from nginx's own."""
    if NginxStream.module() is None:
        print("  nginx has no stream module here (apt-get install libnginx-mod-stream): its PROXY protocol is not tried")
        return
    certificate = authority.issue()
    for driver in DRIVERS:
        for tls in (None, certificate):
            with Site(driver, tls, "http", "--deny", "127.0.0.2", options=",proxy=127.0.0.1/32") as site, NginxStream(site.port) as nginx:
                curl = ("curl", "-sS", "--max-time", DEADLINE_S, "--cacert", authority.file)
                hello = f"{site.origin.split(':', 1)[0]}://127.0.0.1:{nginx.port}/hello/you"
                assert tool(*curl, hello, hello, hello) == "hello you\n" * 3
                denied = tool(*curl, "--interface", "127.0.0.2", hello, status=None)
                assert denied.startswith("curl: ("), denied
                assert site.stop() == 0


def python_websockets_has_every_kind_of_message_echoed():
    async def talk(url):
        async with websockets.connect(url, max_size=None) as ws:
            for message in ["", "text", "ümläut \U0001f600", b"", b"\0\xff", "x" * 125, "x" * 126, b"y" * 65_536, "z" * 1_000_000]:
                await ws.send(message)
                assert await ws.recv() == message
            await ws.send(["in ", "three ", "pieces"])
            assert await ws.recv() == "in three pieces"
            await asyncio.wait_for(await ws.ping(b"still there?"), DEADLINE_S)
            await ws.close(4000, "enough")
        assert ws.close_code == 4000, ws.close_code
        async with websockets.connect(url, max_size=None) as ws:
            await ws.send(b"x" * (2 << 20))
            try:
                await ws.recv()
                raise AssertionError("a message over the limit was taken")
            except websockets.ConnectionClosed as closed:
                assert closed.rcvd.code == 1009, closed.rcvd

    for driver in DRIVERS:
        with Site(driver) as site:
            asyncio.run(talk(site.ws()))
            assert site.stop() == 0


def python_websockets_compresses_where_asked_for():
    texts = ["", "t", "ümläut \U0001f600", "x" * 1_000_000, "".join(f"{n} of a list, " for n in range(60_000))]

    async def talk(url, compression):
        async with websockets.connect(url, compression=compression, max_size=None) as ws:
            for text in [*texts, *(text.encode() for text in texts)]:
                await ws.send(text)
                assert await ws.recv() == text
            return ws.response.headers.get("Sec-WebSocket-Extensions", "")

    for driver in DRIVERS:
        with Site(driver, None, "http", "--websocket-deflate") as site:
            assert asyncio.run(talk(site.ws(), "deflate")).startswith("permessage-deflate")
            assert asyncio.run(talk(site.ws(), None)) == ""
            assert site.stop() == 0
        with Site(driver) as site:
            assert asyncio.run(talk(site.ws(), "deflate")) == "", "it is off where nobody asked for it"
            assert site.stop() == 0


def a_server_that_stops_says_that_it_restarts():
    async def talk(site):
        async with websockets.connect(site.ws()) as ws:
            await ws.send("hello")
            await ws.recv()
            os.kill(site.pid(), signal.SIGTERM)
            try:
                await asyncio.wait_for(ws.recv(), DEADLINE_S)
            except websockets.ConnectionClosed as closed:
                return closed.rcvd.code

    for driver in DRIVERS:
        with Site(driver) as site:
            assert asyncio.run(talk(site)) == 1012
            assert site.process.wait(DEADLINE_S) == 0


NODE = """
const WebSocket = require('ws');
const ws = new WebSocket(process.argv[1], { ca: process.argv[2] ? require('fs').readFileSync(process.argv[2]) : undefined });
const sent = ['text', Buffer.from([0, 255]), 'x'.repeat(70000)];
let got = 0;
ws.on('open', () => sent.forEach((message) => ws.send(message)));
ws.on('message', (data, binary) => {
  const expected = sent[got++];
  const same = binary ? Buffer.compare(data, expected) === 0 : data.toString() === expected;
  if (!same || binary !== Buffer.isBuffer(expected)) { console.log('another message came back', got); process.exit(1); }
  if (got === sent.length) ws.ping('beat');
});
ws.on('pong', () => ws.close(1000, 'done'));
ws.on('close', (code) => { console.log('closed', code, 'after', got); process.exit(code === 1000 && got === 3 ? 0 : 1); });
ws.on('error', (error) => { console.log(String(error)); process.exit(1); });
"""


def node(url, *more):
    environment = dict(os.environ, NODE_PATH=str(Path("target/node/node_modules").resolve()))
    command = ["node", "-e", NODE, url, *(str(word) for word in more)]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE_S)
    assert ended.returncode == 0 and ended.stdout == "closed 1000 after 3\n", (ended.stdout, ended.stderr)


def node_ws_has_its_messages_echoed():
    for driver in DRIVERS:
        with Site(driver) as site:
            node(site.ws())
            assert site.stop() == 0


# TLS


@with_authority
def curl_requests_websockets_and_node_speak_tls(authority):
    certificate = authority.issue()
    for driver in DRIVERS:
        with Site(driver, certificate) as site:
            trusting = ("curl", "-sS", "--cacert", authority.file)
            for version in ("--tls-max=1.2", "--tlsv1.3"):
                assert tool(*trusting, *version.split("="), f"{site.origin}/hello/you") == "hello you\n"
            shown = tool(*trusting, "-v", "--http1.1", f"{site.origin}/hello/you")
            assert "ALPN: server accepted http/1.1" in shown or "ALPN, server accepted to use http/1.1" in shown, shown
            refused = tool("curl", "-sS", f"{site.origin}/hello/you", status=60)
            assert "certificate" in refused, refused
            with requests.Session() as session:
                session.verify, session.trust_env = str(authority.file), False
                for _ in range(3):
                    assert session.get(f"{site.origin}/hello/you", timeout=DEADLINE_S).text == "hello you\n"
            async def echo():
                trust = ssl.create_default_context(cafile=authority.file)
                async with websockets.connect(site.ws(), ssl=trust, max_size=None) as ws:
                    for message in ("over TLS", b"x" * 300_000):
                        await ws.send(message)
                        assert await ws.recv() == message

            asyncio.run(echo())
            node(site.ws(), authority.file)
            assert "Requests/sec" in tool("wrk", "-t1", "-c20", "-d1s", f"{site.origin}/hello/you")
            assert site.stop() == 0


@with_authority
def openssl_resumes_its_session_and_needs_a_certificate_where_one_is_asked_for(authority):
    certificate, client = authority.issue(), authority.issue("client", "clientAuth")
    for driver in DRIVERS:
        with Site(driver, certificate, "echo") as site:
            connect = ("openssl", "s_client", "-connect", f"127.0.0.1:{site.port}", "-CAfile", authority.file)
            for version in ("-tls1_2", "-tls1_3"):
                session = authority.folder / f"session{version}"
                talk = (*connect, version, "-verify_return_error", "-ign_eof")
                first = s_client([*talk, "-sess_out", session], b"the first message\n")
                assert "New, TLSv1" in first and "Verify return code: 0 (ok)" in first and "the first message" in first, first
                again = s_client([*talk, "-sess_in", session], b"the second message\n")
                assert "Reused, TLSv1" in again and "the second message" in again, again
            assert site.stop() == 0
        with Site(driver, certificate, "echo", "--tls-client-ca", authority.file, "--tls-min-version", "1.3") as site:
            connect = ("openssl", "s_client", "-connect", f"127.0.0.1:{site.port}", "-CAfile", authority.file, "-ign_eof")
            shown = s_client([*connect, "-cert", client.file, "-key", client.key], b"somebody known\n")
            assert "somebody known" in shown, shown
            # In TLS 1.3 the client learns of it when it reads: its handshake is done before its certificate is seen.
            assert "alert certificate required" in tool(*connect, given=b"unknown\n", status=None)
            assert "alert protocol version" in tool(*connect, "-tls1_2", given=b"old\n", status=None)
            assert site.stop() == 0


def s_client(command, line):
    """What openssl prints until a line came back; then it is told to end."""
    client = subprocess.Popen(
        [str(word) for word in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    watch = threading.Timer(DEADLINE_S, client.kill)
    watch.start()
    try:
        client.stdin.write(line)
        client.stdin.flush()
        shown = b""
        while line not in shown:
            piece = client.stdout.read1(65_536)
            if not piece:
                break
            shown += piece
        return shown.decode(errors="replace")
    finally:
        watch.cancel()
        client.terminate()
        client.wait(DEADLINE_S)


@with_authority
def a_certificate_is_renewed_while_clients_talk(authority):
    for driver in DRIVERS:
        certificate = authority.issue("renewed")

        def serial(port):
            shown = tool("openssl", "s_client", "-connect", f"127.0.0.1:{port}", given=b"", status=None)
            return subprocess.run(
                ["openssl", "x509", "-noout", "-serial"], input=shown.encode(), capture_output=True, timeout=DEADLINE_S
            ).stdout

        with Site(driver, certificate) as site, requests.Session() as session:
            session.verify, session.trust_env = str(authority.file), False
            failures, stop = [], threading.Event()

            def keep_asking():
                while not stop.is_set():
                    try:
                        session.get(f"{site.origin}/hello/you", timeout=DEADLINE_S)
                        with requests.Session() as new:
                            new.verify, new.trust_env = session.verify, False
                            new.get(f"{site.origin}/hello/you", timeout=DEADLINE_S)
                    except requests.RequestException as error:
                        failures.append(error)

            asking = threading.Thread(target=keep_asking)
            asking.start()
            try:
                before = serial(site.port)
                authority.issue("renewed")
                wait_until("the new certificate", lambda: serial(site.port) not in (before, b""))
                now = serial(site.port)
                certificate.file.write_text("-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n")
                os.kill(site.pid(), signal.SIGHUP)
                time.sleep(1)  # There is nothing to wait for: nothing must happen.
                assert serial(site.port) == now, "a broken file replaced a good one"
            finally:
                stop.set()
                asking.join()
            assert not failures, failures[:3]
            assert site.stop() == 0


# A browser


class Chromium:
    """A headless browser that is told what to do over its debugging protocol."""

    def __init__(self, spki):
        self.profile = tempfile.mkdtemp(prefix="gannet-ci-chromium-")
        command = ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        command += ["--remote-debugging-port=0", f"--user-data-dir={self.profile}", "--window-size=900,900"]
        command += [f"--ignore-certificate-errors-spki-list={spki}", "about:blank"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        self.port_file = Path(self.profile) / "DevToolsActivePort"
        wait_until("the browser", lambda: self.port_file.exists() and self.port_file.read_text().count("\n") >= 1)

    def tab(self):
        port = self.port_file.read_text().splitlines()[0]
        tabs = requests.get(f"http://127.0.0.1:{port}/json", timeout=DEADLINE_S).json()
        return next(tab["webSocketDebuggerUrl"] for tab in tabs if tab["type"] == "page")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(DEADLINE_S)
        shutil.rmtree(self.profile, ignore_errors=True)


@with_authority
def a_browser_opens_the_page_a_websocket_and_an_event_source_over_tls(authority):
    certificate = authority.issue()
    public = subprocess.run(["openssl", "x509", "-in", certificate.file, "-pubkey", "-noout"], capture_output=True, check=True).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "der"], input=public, capture_output=True, check=True).stdout
    spki = base64.b64encode(hashlib.sha256(der).digest()).decode()

    async def look(url, site):
        number = 0
        async with websockets.connect(url, max_size=None) as browser:

            async def tell(method, **params):
                nonlocal number
                number += 1
                await browser.send(json.dumps({"id": number, "method": method, "params": params}))
                while True:
                    answer = json.loads(await asyncio.wait_for(browser.recv(), DEADLINE_S))
                    if answer.get("id") == number:
                        assert "error" not in answer, answer
                        return answer["result"]

            async def value(expression):
                return (await tell("Runtime.evaluate", expression=expression))["result"].get("value")

            async def until(what, expression):
                for _ in range(DEADLINE_S * 20):
                    if await value(expression):
                        return
                    await asyncio.sleep(0.05)
                raise AssertionError(f"waited for {what}; the page says {await value('document.body.innerText')!r}")

            await tell("Page.enable")
            await tell("Page.navigate", url=site.origin)
            await until("the page", "document.title.includes('gannet') && document.readyState === 'complete'")
            await until("a tick of the clock", "/\\d\\d:\\d\\d:\\d\\d/.test(document.querySelector('#sse-clock').textContent)")
            await until("an echo", "document.querySelector('#ws-echo').textContent.length > 0")
            # The page's own policy must allow what it does, and nobody else may do it.
            policy = requests.get(site.origin, verify=str(authority.file), timeout=DEADLINE_S).headers
            assert "default-src 'none'" in policy["content-security-policy"], policy
            picture = await tell("Page.captureScreenshot", format="png")
            Path("target/page.png").write_bytes(base64.b64decode(picture["data"]))

    for driver in DRIVERS:
        with Site(driver, certificate) as site, Chromium(spki) as chromium:
            asyncio.run(look(chromium.tab(), site))
            assert site.stop() == 0


if __name__ == "__main__":
    run_all(
        [
            curl_keeps_its_connection_and_is_told_what_is_wrong,
            curl_uses_every_endpoint_of_the_api_example,
            wrk_meets_no_error_on_either_driver,
            python_requests_reads_pages_counters_and_a_stream_of_events,
            slow_clients_do_not_slow_down_others,
            nginx_in_front_keeps_connections_and_passes_websockets,
            haproxy_in_front_says_who_its_clients_are,
            nginx_in_front_sends_the_proxy_protocol,
            python_websockets_has_every_kind_of_message_echoed,
            python_websockets_compresses_where_asked_for,
            a_server_that_stops_says_that_it_restarts,
            node_ws_has_its_messages_echoed,
            curl_requests_websockets_and_node_speak_tls,
            openssl_resumes_its_session_and_needs_a_certificate_where_one_is_asked_for,
            a_certificate_is_renewed_while_clients_talk,
            a_browser_opens_the_page_a_websocket_and_an_event_source_over_tls,
        ]
    )
