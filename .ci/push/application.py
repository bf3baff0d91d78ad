"""Clients of the official SDKs, and an application behind the gateway that is asked about them."""

import json
import threading
import time
from collections import defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from server import DEADLINE_S

EVENTS = ("connect", "refresh", "subscribe", "sub_refresh", "publish", "rpc")
NAMESPACE = "app:presence,join_leave,subscribe_proxy_enabled,publish_proxy_enabled,sub_refresh_proxy_enabled"


def decided(event, asked):
    """What the application says of an event. Bytes are an answer that is no JSON; a number is a status."""
    now = int(time.time())
    if event == "connect":
        wish = asked.get("data") or {}
        if "say" in wish:
            return wish["say"]
        result = {"user": wish.get("user", "nobody"), "info": {"name": wish.get("user")}, "data": {"welcome": wish.get("user")}}
        result["meta"] = wish.get("meta", {})
        if "lives_s" in wish:
            result["expire_at"] = now + wish["lives_s"]
        if "channels" in wish:
            result["channels"] = wish["channels"]
        return {"result": result}
    if event == "refresh":
        return {"result": {"expired": True} if asked["meta"].get("ends") else {"expire_at": now + 600}}
    if event == "subscribe":
        if asked["channel"].endswith("closed"):
            return {"error": {"code": 403, "message": "closed"}}
        if asked["channel"].endswith("out"):
            return {"disconnect": {"code": 4501, "reason": "out"}}
        result = {"info": {"seat": 1}, "data": {"topic": asked["channel"]}}
        return {"result": {**result, "expire_at": now + 2} if "brief" in asked["channel"] else result}
    if event == "sub_refresh":
        return {"result": {"expire_at": now + 600} if asked["channel"].endswith("renewed") else {"expired": True}}
    if event == "publish":
        if asked["data"] == "bad":
            return {"error": {"code": 499, "message": "language"}}
        return {"result": {"data": {"said": asked["data"], "by": asked["user"]}}}
    assert event == "rpc", event
    answers = {
        "sum": lambda: {"result": {"data": {"sum": sum(asked["data"])}}},
        "who": lambda: {"result": {"data": {"user": asked["user"], "meta": asked.get("meta")}}},
        "refused": lambda: {"error": {"code": 1999, "message": "as you wish"}},
        "garbage": lambda: b"<html>",
        "broken": lambda: 500,
        "out": lambda: {"disconnect": {"code": 4000, "reason": "again"}},
    }
    return answers[asked["method"]]()


class Application:
    """An application on a port of its own, that notes what it was asked."""

    def __init__(self):
        self.asked = defaultdict(list)
        application = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                event = self.path.strip("/")
                answer = decided(event, asked)
                application.asked[event].append(asked)
                body = answer if isinstance(answer, bytes) else b"" if isinstance(answer, int) else json.dumps(answer).encode()
                self.send_response(answer if isinstance(answer, int) else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self.site = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.site.daemon_threads = True
        threading.Thread(target=self.site.serve_forever, daemon=True).start()

    @property
    def options(self):
        """What the gateway is started with."""
        base = f"http://127.0.0.1:{self.site.server_port}"
        urls = [word for event in EVENTS for word in ("--push-proxy", f"{event}={base}/{event}")]
        return [*urls, "--push-namespace", NAMESPACE, "--push-proxy-timeout", f"{DEADLINE_S}s"]

    def of(self, event, **what):
        """The questions about an event that have these values."""
        return [one for one in list(self.asked[event]) if all(one.get(key) == value for key, value in what.items())]


@contextmanager
def application():
    behind = Application()
    try:
        yield behind
    finally:
        behind.site.shutdown()


def begun(kit, **wish):
    """A client that asks to connect to the gateway with the application."""
    return kit.client(through=kit.stage.deciding, data=wish)


def connected(kit, **wish):
    client = begun(kit, user=kit.user(), **wish)
    event = client.connect()
    client.id, client.user = event["id"], event["data"]["welcome"]
    return client


def channel(kit, ending=""):
    return kit.channel("app") + ending


def an_application_says_who_a_client_is_and_greets_it(kit):
    name = channel(kit)
    user = kit.user()
    client = begun(kit, user=user, channels=[name], meta={"role": "guest"})
    assert client.connect()["data"] == {"welcome": user}
    client.next("server_subscribed", name)
    (asked,) = [one for one in kit.stage.application.of("connect") if (one.get("data") or {}).get("user") == user]
    assert asked["encoding"] == "json" and asked["protocol"] == kit.kind.format, asked
    assert client.call("rpc", method="who", data={}) == {"user": user, "meta": {"role": "guest"}}
    (person,) = kit.stage.deciding.api("presence", channel=name)["presence"].values()
    assert person["user"] == user and person["conn_info"] == {"name": user}, person


def an_application_refuses_a_client_for_good(kit):
    for say, code in (
        ({"error": {"code": 1000, "message": "unknown"}}, 1000),
        ({"disconnect": {"code": 4500, "reason": "banned"}}, 4500),
    ):
        client = begun(kit, say=say)
        client.begin("connect")
        assert client.next("disconnected")["code"] == code


def an_application_says_who_subscribes_and_what_it_is_told(kit):
    client, other = connected(kit), connected(kit)
    name = channel(kit)
    assert client.subscribe(name)["data"] == {"topic": name}
    other.subscribe(name)
    presence = kit.stage.deciding.api("presence", channel=name)["presence"]
    assert {person["user"] for person in presence.values()} == {client.user, other.user}, presence
    assert all(person["chan_info"] == {"seat": 1} for person in presence.values()), presence
    closed = channel(kit, "closed")
    client.call("subscribe", channel=closed)
    assert client.next("unsubscribed", closed)["code"] == 403
    other.call("subscribe", channel=channel(kit, "out"))
    assert other.next("disconnected")["code"] == 4501
    (asked,) = kit.stage.application.of("subscribe", channel=closed)
    assert asked["user"] == client.user and asked["client"] == client.id, asked


def an_application_changes_and_refuses_what_clients_publish(kit):
    client, reader = connected(kit), connected(kit)
    name = channel(kit)
    reader.subscribe(name)
    client.call("publish", channel=name, data={"n": 1})
    assert client.refused("publish", channel=name, data="bad") == 499
    client.call("publish", channel=name, data=2)
    expected = [{"said": said, "by": client.user} for said in ({"n": 1}, 2)]
    assert reader.data(name, 2) == expected


def an_application_answers_calls_and_its_faults_are_temporary_errors(kit):
    client = connected(kit)
    assert client.call("rpc", method="sum", data=[1, 2, 3]) == {"sum": 6}
    assert client.refused("rpc", method="refused", data={}) == 1999
    for method in ("garbage", "broken"):
        assert client.refused("rpc", method=method, data={}) == 100, method
    # Many at once are answered each with its own.
    begun = [client.begin("rpc", method="sum", data=[n, n]) for n in range(20)]
    assert [kit.agent.answer(number, "rpc") for number in begun] == [{"sum": 2 * n} for n in range(20)]
    client.begin("rpc", method="out", data={})
    assert client.next("connecting")["code"] == 4000
    client.next("connected")


def an_application_gives_connections_longer_lives_or_ends_them(kit):
    stays, ends = connected(kit, lives_s=2), connected(kit, lives_s=2, meta={"ends": True})
    assert ends.next("connecting")["code"] == 3005
    ends.next("connected")
    application = kit.stage.application
    kit.stage.wait("a question about a longer life", lambda: application.of("refresh", user=stays.user))
    assert stays.call("rpc", method="who", data={})["user"] == stays.user
    assert not stays.waiting("connecting") and len(application.of("refresh", user=stays.user)) == 1


def an_application_gives_subscriptions_longer_lives_or_ends_them(kit):
    client = connected(kit)
    renewed, over = channel(kit, "brief-renewed"), channel(kit, "brief-over")
    for name in (renewed, over):
        client.subscribe(name)
    application = kit.stage.application
    # It subscribes again by itself, and is asked about anew.
    assert client.next("subscribing", over)["code"] == 2501
    client.next("subscribed", over)
    assert len(application.of("subscribe", channel=over)) >= 2
    kit.stage.wait("a question about the other", lambda: application.of("sub_refresh", channel=renewed))
    kit.stage.deciding.publish(renewed, "still here")
    assert client.data(renewed, 1) == ["still here"]
    assert not client.waiting("subscribing", renewed)


def ours(test):
    """Centrifugo would need its proxies configured in another way."""
    test.is_ours = True
    return test


TESTS = tuple(
    ours(test)
    for test in (
        an_application_says_who_a_client_is_and_greets_it,
        an_application_refuses_a_client_for_good,
        an_application_says_who_subscribes_and_what_it_is_told,
        an_application_changes_and_refuses_what_clients_publish,
        an_application_answers_calls_and_its_faults_are_temporary_errors,
        an_application_gives_connections_longer_lives_or_ends_them,
        an_application_gives_subscriptions_longer_lives_or_ends_them,
    )
)
