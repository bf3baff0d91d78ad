"""EventSource, a browser, curl and redis-cli; and the SDK in pages of other origins."""

import functools
import http.server
import json
import re
import subprocess
import tempfile
import threading
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

from agents import Agent, Client
from browser import Browser
from clients_http import with_authority
from cutter import Cutter
from kit import Kind
from server import DEADLINE_S, Server, token

PAGE = '<!doctype html><meta charset="utf-8"><title>a page</title><link rel="icon" href="data:,"><script src="/SCRIPT"></script>'
SCRIPTS = {"json": "centrifuge.js", "protobuf": "centrifuge.protobuf.js"}
PAGE_KINDS = [(format, transport) for format in SCRIPTS for transport in ("websocket", "sse", "http_stream")]
PAGE_KINDS.remove(("protobuf", "sse"))


class Only:
    """A client of the JavaScript program that is no SDK: an EventSource."""

    next, waiting, begin, call = Client.next, Client.waiting, Client.begin, Client.call

    def __init__(self, agent, url):
        self.agent, self.name = agent, f"e{next(Client.names)}"
        self.call("listen", url=url)


def ours(test):
    """Marks a test of what only gannet has."""
    test.is_ours = True
    return test


@ours
def an_event_source_comes_back_by_itself_and_misses_nothing(stage):
    agent, server = stage.javascript, stage.server
    cutter = Cutter(server.port)
    channel = "demo:events"
    source = Only(agent, f"{cutter.base}/events?channel={channel}")
    source.next("open")
    server.publish(channel, {"n": 1}, {"n": 2}, "two\nlines\r and a return")
    heard = [source.next("event") for _ in range(3)]
    assert [json.loads(event["data"]) for event in heard] == [{"n": 1}, {"n": 2}, "two\nlines\r and a return"], heard
    for turn in range(3):
        cutter.cut()
        source.next("failed")
        server.publish(channel, *range(10 * turn, 10 * turn + 5))
        cutter.mend()
        source.next("open")
        server.publish(channel, *range(10 * turn + 5, 10 * turn + 10))
        heard += [source.next("event") for _ in range(10)]
    assert [json.loads(event["data"]) for event in heard[3:]] == list(range(30)), heard
    offsets = [int(event["id"].rpartition(":")[2]) for event in heard]
    assert offsets == list(range(1, 34)), offsets
    assert not source.waiting("event")
    cutter.close()


@ours
def an_event_source_with_a_wrong_id_is_told_so_before_anything_else(stage):
    for header, status in (("nonsense", 400), ("a:b", 400)):
        request = urllib.request.Request(f"{stage.server.base}/events?channel=demo:x", headers={"Last-Event-ID": header})
        try:
            urllib.request.urlopen(request, timeout=DEADLINE_S)
            raise AssertionError(f"{header} was taken")
        except urllib.error.HTTPError as error:
            assert error.code == status, error


def an_event_source_is_given_the_channels_of_its_token_one_way(stage):
    channel = "demo:one-way"
    connect = json.dumps({"token": token(600, sub="one-way", channels=[channel])})
    source = Only(stage.javascript, f"{stage.server.base}/connection/uni_sse?cf_connect={urllib.parse.quote(connect)}")
    connected = json.loads(source.next("event")["data"])["connect"]
    assert connected["client"] and channel in connected["subs"], connected
    stage.server.publish(channel, {"n": 1}, {"n": 2})
    for n in (1, 2):
        push = json.loads(source.next("event")["data"])
        assert push["channel"] == channel and push["pub"]["data"] == {"n": n} and push["pub"]["offset"] == n, push


@contextmanager
def pages():
    """Serves pages with the SDK for browsers: /json.html and /protobuf.html; their origin."""
    from clients_push import MODULES

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    with tempfile.TemporaryDirectory(prefix="gannet-ci-pages-") as folder:
        for format, name in SCRIPTS.items():
            (Path(folder) / f"{format}.html").write_text(PAGE.replace("SCRIPT", name))
            (Path(folder) / name).write_bytes((MODULES / "node_modules" / "centrifuge" / "dist" / name).read_bytes())
        handler = functools.partial(Handler, directory=folder)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as site:
            threading.Thread(target=site.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{site.server_port}"
            site.shutdown()


def centrifuge(server, transport):
    """The expression that makes a client in a page, which tells of errors."""
    path = f"{server.base}/connection/{transport}"
    endpoint = path.replace("http", "ws", 1) if transport == "websocket" else path
    return f"""Object.assign(
        new Centrifuge([{{ transport: "{transport}", endpoint: "{endpoint}" }}],
            {{ emulationEndpoint: "{server.base}/emulation", timeout: 30000 }}),
        {{ encode: (value) => PROTOBUF ? new TextEncoder().encode(JSON.stringify(value)) : value,
           decode: (data) => PROTOBUF ? JSON.parse(new TextDecoder().decode(data)) : data }}
    ).on("error", (context) => tell("error"))"""


def a_page_of_an_allowed_origin_uses_the_sdk_over_every_transport(stage):
    with (
        pages() as origin,
        Server(stage.server.kind, command=stage.server.command, origins=[origin]) as server,
        Browser() as browser,
    ):
        for format, transport in PAGE_KINDS:
            tab = browser.open(f"{origin}/{format}.html")
            channel = f"demo:page-{format}-{transport}"
            tab.value(
                f"""(() => {{
                    globalThis.PROTOBUF = {str(format == "protobuf").lower()};
                    globalThis.client = {centrifuge(server, transport)};
                    globalThis.sub = client.newSubscription("{channel}");
                    sub.on("subscribed", () => tell("subscribed"));
                    sub.on("publication", ({{ data }}) => tell(client.decode(data)));
                    sub.subscribe();
                    client.connect();
                }})()"""
            )
            assert (heard := tab.heard()) == "subscribed", (format, transport, heard)
            server.publish(channel, {"from": "the server"})
            assert (heard := tab.heard()) == {"from": "the server"}, (format, transport, heard)
            tab.value("sub.publish(client.encode({from: 'the page'})).then(() => 1)")
            assert (heard := tab.heard()) == {"from": "the page"}, (format, transport, heard)
            tab.close()


def a_page_of_another_origin_is_refused_by_every_transport(stage):
    with pages() as origin, Browser() as browser:
        for format, transport in PAGE_KINDS:
            tab = browser.open(f"{origin}/{format}.html")
            tab.value(
                f"""(() => {{
                    const client = {centrifuge(stage.server, transport)};
                    client.on("error", () => client.disconnect());
                    client.on("connected", () => tell("connected"));
                    client.connect();
                }})()"""
            )
            assert (heard := tab.heard()) == "error", (format, transport, heard)
            tab.close()


@ours
def two_tabs_talk_to_each_other_and_the_commands_on_the_page_work(stage):
    with Server(command=stage.server.command, plain=True, redis=True) as server, Browser() as browser:
        tabs = [browser.open(server.base + "/") for _ in range(2)]

        def told(tab, text):
            tab.until(f"document.querySelector('#messages').innerText.includes({json.dumps(text)})")

        for tab in tabs:
            tab.until("document.querySelector('#state').textContent === 'connected'")
        for tab in tabs:
            tab.until("document.querySelector('#present').textContent === '2'")
        for writer, reader, text in ((*tabs, "from the first tab"), (*tabs[::-1], "from the second tab")):
            writer.call("Page.bringToFront")
            writer.value("document.querySelector('#text').value = ''; document.querySelector('#text').focus()")
            writer.type(text)
            writer.press("Enter")
            told(reader, text)
            told(writer, text)
        # The commands on the page, as they are.
        listen = subprocess.Popen(
            tabs[0].value("document.querySelector('#listen').textContent"), shell=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        try:
            while listen.stdout.readline().startswith(("retry:", ":")):
                pass
            publish = tabs[0].value("document.querySelector('#publish').textContent")
            ended = subprocess.run(publish, shell=True, capture_output=True, timeout=DEADLINE_S, check=True)
            assert json.loads(ended.stdout)["result"]["offset"] == 3, ended
            for tab in tabs:
                told(tab, "hello from curl")
            while "hello from curl" not in listen.stdout.readline():
                pass
        finally:
            listen.kill()
            listen.wait()
        redis = tabs[0].value("document.querySelector('#redis').textContent")
        subprocess.run(redis, shell=True, capture_output=True, timeout=DEADLINE_S, check=True)
        for tab in tabs:
            told(tab, "hello from redis-cli")
        subscriber = ["redis-cli", "-p", str(server.redis_port), "subscribe", "demo:chat"]
        with subprocess.Popen(subscriber, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as listener:
            try:
                assert [listener.stdout.readline().strip() for _ in range(3)] == ["subscribe", "demo:chat", "1"]
                tabs[1].call("Page.bringToFront")
                tabs[1].value("document.querySelector('#text').focus()")
                tabs[1].type("to Redis")
                tabs[1].press("Enter")
                assert [listener.stdout.readline().strip() for _ in range(2)] == ["message", "demo:chat"]
                assert "to Redis" in listener.stdout.readline()
            finally:
                listener.kill()
        # What the page shows of the official SDK is what README shows: three lines.
        sdk = tabs[0].value("document.querySelector('#sdk').textContent")
        assert len(sdk.strip().splitlines()) == 3 and "new Centrifuge(" in sdk, sdk
        # A server that is gone for a while.
        server.stop()
        for tab in tabs:
            tab.until("document.querySelector('#state').textContent !== 'connected'")
        server.start()
        for tab in tabs:
            tab.until("document.querySelector('#state').textContent === 'connected'")
        tabs[0].call("Page.bringToFront")
        tabs[0].value("document.querySelector('#text').focus()")
        tabs[0].type("after the pause")
        tabs[0].press("Enter")
        told(tabs[1], "after the pause")
        tabs[1].picture("target/push.png")


@ours
def redis_cli_and_sdks_hear_each_other(stage):
    with Server(command=stage.server.command, plain=True, redis=True) as server:
        redis = ("redis-cli", "-p", str(server.redis_port))
        client = Client(stage.javascript, server.base, kind=Kind("js", "websocket", "json"))
        client.connect()
        client.subscribe("demo:chat")
        sent = subprocess.run(
            [*redis, "publish", "demo:chat", '{"from":"redis"}'], capture_output=True, text=True, timeout=DEADLINE_S, check=True
        )
        assert re.fullmatch(r"\d+", sent.stdout.strip()), sent
        assert client.data("demo:chat", 1) == [{"from": "redis"}]
        for command, start in (("subscribe", ["message", "demo:chat"]), ("psubscribe", ["pmessage", "demo:*", "demo:chat"])):
            name = "demo:chat" if command == "subscribe" else "demo:*"
            with subprocess.Popen([*redis, command, name], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as listener:
                try:
                    assert [listener.stdout.readline().strip() for _ in range(3)] == [command, name, "1"]
                    client.call("publish", channel="demo:chat", data={"to": command})
                    heard = [listener.stdout.readline().strip() for _ in range(len(start) + 1)]
                    assert heard == [*start, json.dumps({"to": command}, separators=(",", ":"))], heard
                finally:
                    listener.kill()


@ours
@with_authority
def the_sdk_speaks_tls_over_every_transport(stage, authority):
    certificate = authority.issue()
    certificate.authority = str(authority.file)
    command, environment = stage.commands["js"]
    agent = Agent(command, {**environment, "NODE_EXTRA_CA_CERTS": certificate.authority})
    try:
        with Server(command=stage.server.command, tls=certificate) as server:
            for transport in ("websocket", "sse", "http_stream"):
                client = Client(agent, server.base, kind=Kind("js", transport, "json"))
                client.connect()
                channel = f"demo:tls-{transport}"
                client.subscribe(channel)
                server.publish(channel, "x" * 60_000)
                client.call("publish", channel=channel, data=["from the client"])
                assert client.data(channel, 2) == ["x" * 60_000, ["from the client"]]
            server.stop()
    finally:
        agent.close()


TESTS = (
    an_event_source_comes_back_by_itself_and_misses_nothing,
    an_event_source_with_a_wrong_id_is_told_so_before_anything_else,
    an_event_source_is_given_the_channels_of_its_token_one_way,
    a_page_of_an_allowed_origin_uses_the_sdk_over_every_transport,
    a_page_of_another_origin_is_refused_by_every_transport,
    two_tabs_talk_to_each_other_and_the_commands_on_the_page_work,
    redis_cli_and_sdks_hear_each_other,
    the_sdk_speaks_tls_over_every_transport,
)
