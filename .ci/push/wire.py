"""The protocol's bytes, by Python's `websockets` and `http.client`: what no SDK sends, and what replies look like exactly."""

import http.client
import json

from server import DEADLINE_S, KEY, token
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

CONNECT = {"id": 1, "connect": {}}


class Wire:
    """A WebSocket that sends commands in JSON as they are, and hands out what comes, line by line."""

    def __init__(self, server, path="/connection/websocket", **options):
        self.socket = connect(server.base.replace("http", "ws", 1) + path, compression=None, proxy=None, **options)
        self.lines = []

    def send(self, *commands):
        """Sends commands in one frame; text goes as it is."""
        self.socket.send("\n".join(one if isinstance(one, str) else json.dumps(one) for one in commands))

    def line(self):
        while not self.lines:
            frame = self.socket.recv(DEADLINE_S)
            self.lines = frame.split("\n") if isinstance(frame, str) else [frame]
            if self.lines[-1] == "":
                self.lines.pop()
        return self.lines.pop(0)

    def reply(self, command):
        self.send(command)
        return json.loads(self.line())

    def connected(self):
        reply = self.reply(CONNECT)
        assert reply["id"] == 1 and reply["connect"]["client"], reply
        return self

    def end(self):
        """The code and the reason with which the server closes, after what it still sends."""
        try:
            while True:
                self.line()
        except ConnectionClosed as closed:
            assert closed.rcvd, "the connection broke without a close frame"
            return closed.rcvd.code, closed.rcvd.reason


def replies_are_written_as_the_protocol_says(stage):
    channel = "demo:wire-replies"
    wire = Wire(stage.server)
    reply = wire.reply(CONNECT)
    connected = reply.pop("connect")
    assert reply == {"id": 1}, reply
    assert connected["ping"] == stage.server.ping_s and connected["pong"] is True, connected
    assert {"client", "version"} <= set(connected) and not {"expires", "ttl", "data", "subs", "session"} & set(connected), connected
    reply = wire.reply({"id": 2, "subscribe": {"channel": channel}})
    epoch = reply["subscribe"].pop("epoch")
    assert reply == {"id": 2, "subscribe": {"recoverable": True, "positioned": True}} and epoch, reply
    wire.send({"id": 3, "publish": {"channel": channel, "data": {"n": 1}}})
    lines = sorted((wire.line(), wire.line()), key=len)
    assert lines[0] == '{"id":3,"publish":{}}', lines
    push = json.loads(lines[1])
    assert push["push"]["channel"] == channel and push["push"]["pub"]["data"] == {"n": 1}, push
    assert push["push"]["pub"]["offset"] == 1 and push["push"]["pub"]["info"].keys() == {"user", "client"}, push
    stage.server.publish(channel, {"n": 2})
    assert json.loads(wire.line()) == {"push": {"channel": channel, "pub": {"data": {"n": 2}, "offset": 2}}}
    reply = wire.reply({"id": 4, "history": {"channel": channel}})
    assert reply == {"id": 4, "history": {"publications": [], "epoch": epoch, "offset": 2}}, reply
    assert wire.reply({"id": 5, "presence_stats": {"channel": channel}}) == {
        "id": 5,
        "presence_stats": {"num_clients": 1, "num_users": 1},
    }
    assert wire.reply({"id": 6, "presence": {"channel": "demo:wire-nobody"}}) == {"id": 6, "presence": {"presence": {}}}
    reply = wire.reply({"id": 7, "subscribe": {"channel": channel}})
    assert reply["id"] == 7 and reply["error"]["code"] == 105 and not reply["error"].get("temporary"), reply
    for number in (8, 9):
        reply = wire.reply({"id": number, "unsubscribe": {"channel": channel}})
        assert reply == {"id": number, "unsubscribe": {}}, reply
    # A recovery repeats the position that was asked for.
    reply = wire.reply({"id": 11, "subscribe": {"channel": channel, "recover": True, "epoch": epoch, "offset": 1}})["subscribe"]
    assert reply["was_recovering"] and reply["recovered"] and reply["offset"] == 1 and reply["epoch"] == epoch, reply
    assert reply["publications"] == [{"data": {"n": 2}, "offset": 2}], reply


def frames_with_several_commands_and_line_breaks_are_taken(stage):
    wire = Wire(stage.server)
    wire.send(CONNECT, {"id": 2, "subscribe": {"channel": "demo:wire-frames"}}, {"id": 3, "presence_stats": {"channel": "demo:x"}}, "")
    assert [json.loads(wire.line())["id"] for _ in range(3)] == [1, 2, 3]
    commands = [{"id": n, do: {"channel": "demo:wire-again"}} for n, do in enumerate(("subscribe", "unsubscribe") * 5, 10)]
    wire.send(*commands, {"id": 20, "subscribe": {"channel": "demo:wire-again"}})
    assert [json.loads(wire.line())["id"] for _ in range(11)] == list(range(10, 21))
    stage.server.publish("demo:wire-again", "once")
    assert json.loads(wire.line())["push"]["pub"]["data"] == "once"
    # Values that are not in the schema are skipped.
    assert wire.reply({"id": 4, "later": {"x": [1]}, "presence_stats": {"channel": "demo:wire-frames", "new": 1}})["id"] == 4


def what_no_client_may_send_is_a_bad_request(stage):
    frames = {
        "a command before connect": ['{"id":1,"ping":{}}'],
        "a second connect": [json.dumps(CONNECT), '{"id":2,"connect":{}}'],
        "an empty frame": [json.dumps(CONNECT), ""],
        "no JSON": [json.dumps(CONNECT), "{"],
        "no object": [json.dumps(CONNECT), "[]"],
        "a command without an id": [json.dumps(CONNECT), '{"subscribe":{"channel":"demo:x"}}'],
        "a subscription without a channel": [json.dumps(CONNECT), '{"id":2,"subscribe":{}}'],
        "a publication without a channel": [json.dumps(CONNECT), '{"id":2,"publish":{"data":1}}'],
        "a pong that nobody asked for": [json.dumps(CONNECT), "{}"],
        "no command at all": [json.dumps(CONNECT), '{"id":2}'],
        "a field of another kind": [json.dumps(CONNECT), '{"id":2,"subscribe":{"channel":7}}'],
    }
    for what, texts in frames.items():
        wire = Wire(stage.server)
        for text in texts:
            wire.send(text)
        assert (end := wire.end())[0] == 3501, (what, end)
    if stage.server.kind == "gannet":
        # A length that no memory holds ends Centrifugo 6.9.1.
        wire = Wire(stage.server, "/connection/websocket?format=protobuf")
        wire.socket.send(b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f")
        assert (end := wire.end())[0] == 3501, end
    wire = Wire(stage.server).connected()
    wire.send({"send": {"data": 1}})
    assert (end := wire.end())[0] == 3508, end


def errors_have_their_codes(stage):
    wire = Wire(stage.server).connected()
    cases = (
        (102, {"subscribe": {"channel": "nowhere:x"}}),
        (103, {"subscribe": {"channel": "closed:x"}}),
        (103, {"subscribe": {"channel": "$demo:x"}}),
        (107, {"subscribe": {"channel": "demo:" + "x" * 251}}),
        (102, {"publish": {"channel": "nowhere:x", "data": 1}}),
        (103, {"publish": {"channel": "closed:x", "data": 1}}),
        (108, {"history": {"channel": "quiet:x"}}),
        (108, {"presence": {"channel": "quiet:x"}}),
        (103, {"history": {"channel": "reader:x"}}),
        (112, {"history": {"channel": "demo:wire-errors", "since": {"offset": 5, "epoch": "other"}, "limit": 1}}),
        (112, {"subscribe": {"channel": "demo:wire-errors", "recover": True, "epoch": "other", "offset": 1, "flag": 2}}),
    )
    for number, (code, command) in enumerate(cases, 2):
        reply = wire.reply({"id": number, **command})
        assert reply["id"] == number and reply["error"]["code"] == code and reply["error"]["message"], (command, reply)
    assert wire.reply({"id": 99, "subscribe": {"channel": "demo:" + "x" * 250}})["id"] == 99


def a_failed_connect_is_answered_and_ends_the_session(stage):
    wire = Wire(stage.server)
    reply = wire.reply({"id": 1, "connect": {"token": token(-60, sub="ann")}})
    assert reply["id"] == 1 and reply["error"]["code"] == 109, reply
    if stage.server.kind == "gannet":
        # Centrifugo 6.9.1 leaves it to the client to go.
        wire.send(CONNECT)
        assert (end := wire.end())[0] == 3501, end
    wire = Wire(stage.server)
    wire.send({"id": 1, "connect": {"token": "nonsense"}})
    assert (end := wire.end())[0] == 3500, end


def one_way_sockets_are_sent_bare_pushes(stage):
    channel = "demo:wire-one-way"
    given = {"token": token(600, sub="ann", channels=[channel])}
    wire = Wire(stage.server, "/connection/uni_websocket")
    wire.send(given)
    connected = json.loads(wire.line())["connect"]
    assert connected["client"] and channel in connected["subs"], connected
    stage.server.publish(channel, 1)
    push = json.loads(wire.line())
    assert push["channel"] == channel and push["pub"]["data"] == 1 and push["pub"]["offset"] == 1, push
    wire = Wire(stage.server, "/connection/uni_websocket")
    wire.send({"token": token(-60, sub="ann")})
    assert (end := wire.end())[0] == 3005, end
    wire = Wire(stage.server, "/connection/uni_websocket")
    wire.send("null")
    try:
        push = json.loads(wire.line())
        # Gannet takes only an object.
        assert "connect" in push or push["disconnect"]["code"] == 3501, push
    except ConnectionClosed as closed:
        assert closed.rcvd and closed.rcvd.code == 3501, closed


def ask(server, method, path, body=None, **headers):
    """The answer to a request: the response, whose body is not read yet."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=DEADLINE_S)
    text = body if body is None or isinstance(body, (bytes, str)) else json.dumps(body)
    connection.request(method, path, body=text, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    response.connection = connection
    return response


def streams_and_their_emulation_speak_as_the_protocol_says(stage):
    server = stage.server
    for transport in ("sse", "http_stream"):
        channel = f"demo:wire-{transport}"
        stream = ask(server, "POST", f"/connection/{transport}", json.dumps(CONNECT))
        assert stream.status == 200, stream.status

        def line():
            if transport == "http_stream":
                return json.loads(stream.readline())
            while (text := stream.readline()) in (b"\r\n", b"\n"):
                pass
            assert text.startswith(b"data: "), text
            return json.loads(text[6:])

        if transport == "sse":
            assert stream.getheader("content-type").startswith("text/event-stream")
            assert stream.read(2) == b"\r\n"
        connected = line()["connect"]
        assert connected["session"] and connected["node"], connected

        def emulate(*commands, **others):
            data = "\n".join(json.dumps(command) for command in commands)
            body = {"session": connected["session"], "node": connected["node"], "data": data, **others}
            return ask(server, "POST", "/emulation", body).status

        assert emulate({"id": 2, "subscribe": {"channel": channel}}, {"id": 3, "presence_stats": {"channel": channel}}) == 204
        assert (reply := line()).get("id") == 2, reply
        assert (reply := line()) == {"id": 3, "presence_stats": {"num_clients": 1, "num_users": 1}}, reply
        server.publish(channel, "a\u2028b\rc\nd")
        push = line()
        assert push["push"]["channel"] == channel and push["push"]["pub"]["data"] == "a\u2028b\rc\nd", push
        assert emulate({"id": 4, "presence_stats": {"channel": channel}}, node="another") == 404
        # A disconnect is pushed, since a response has no close code; then it ends.
        server.api("disconnect", user="", client=connected["client"])
        assert (push := line()) == {"push": {"disconnect": {"code": 3503, "reason": "force disconnect"}}}, push
        while text := stream.readline():
            assert text in (b"\r\n", b"\n"), text


def the_server_api_answers_with_the_status_that_its_callers_know(stage):
    server = stage.server

    def status(method, body, path="/api/publish", **headers):
        response = ask(server, method, path, body, **headers)
        text = response.read()
        return response.status, json.loads(text) if text[:1] == b"{" else None

    good = {"channel": "demo:wire-api", "data": {}}
    assert status("POST", good)[0] == 401
    assert status("POST", good, X_API_Key="wrong")[0] == 401
    for path, headers in (
        ("/api/publish", {"X_API_Key": KEY}),
        ("/api/publish", {"Authorization": f"apikey {KEY}"}),
        (f"/api/publish?api_key={KEY}", {}),
    ):
        answer = status("POST", good, path, **headers)
        assert answer[0] == 200 and answer[1]["result"]["offset"] and answer[1]["result"]["epoch"], answer
    key = {"X_API_Key": KEY}
    assert status("POST", "{", **key)[0] == 400
    assert status("POST", good, "/api/nothing", **key)[0] == 404
    assert status("POST", {"channel": "demo:wire-api", "data": None}, **key)[1]["result"]["offset"] == 4
    for body, code in (
        ({"channel": "nowhere:x", "data": {}}, 102),
        ({"data": {}}, 107),
        ({"channel": "demo:x"}, 107),
    ):
        answer = status("POST", body, **key)
        assert answer[0] == 200 and answer[1]["error"]["code"] == code and answer[1]["error"]["message"], (body, answer)
    transport = {**key, "X_Centrifugo_Error_Mode": "transport"}
    assert status("POST", {"channel": "nowhere:x", "data": {}}, **transport)[0] == 404
    assert status("POST", {"data": {}}, **transport)[0] == 400
    assert status("POST", {"channel": "quiet:x"}, "/api/history", **key)[1]["error"]["code"] == 108
    answer = status("POST", {"channels": ["demo:wire-api", "nowhere:x"], "data": 1}, "/api/broadcast", **key)
    assert answer[0] == 200, answer
    responses = answer[1]["result"]["responses"]
    assert "result" in responses[0] and responses[1]["error"]["code"] == 102, responses
    # What took a node of others down.
    for body in ({"commands": [None]}, {"commands": [{"publish": None}]}, {"commands": None}, "null"):
        assert status("POST", body, "/api/batch", **key)[0] in (200, 400), body
    assert status("POST", good, **key)[0] == 200


TESTS = (
    replies_are_written_as_the_protocol_says,
    frames_with_several_commands_and_line_breaks_are_taken,
    what_no_client_may_send_is_a_bad_request,
    errors_have_their_codes,
    a_failed_connect_is_answered_and_ends_the_session,
    one_way_sockets_are_sent_bare_pushes,
    streams_and_their_emulation_speak_as_the_protocol_says,
    the_server_api_answers_with_the_status_that_its_callers_know,
)
