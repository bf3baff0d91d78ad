"""Runs clients of the official Python SDK for the tests: what `agent.mjs` says of commands, answers and events holds here."""

import asyncio
import base64
import json
import sys

from centrifuge import (
    CentrifugeError,
    Client,
    ClientEventHandler,
    StreamPosition,
    SubscriptionEventHandler,
    UnauthorizedError,
)

clients = {}


def say(line):
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class Held:
    """A client, and how it writes and reads data: values as JSON; over Protobuf as the bytes of that JSON."""

    def __init__(self, name, binary):
        self.name, self.binary, self.sdk = name, binary, None

    def write(self, value):
        return json.dumps(value).encode() if self.binary and value is not None else value

    def read(self, data):
        if not self.binary or data is None:
            return data
        try:
            return json.loads(data) if data else None
        except ValueError:
            return {"base64": base64.b64encode(data).decode()}

    def tell(self, on, **fields):
        say({"client": self.name, "on": on, **fields})

    def person(self, info):
        if info is None:
            return None
        read = self.read
        return {"client": info.client, "user": info.user, "conn_info": read(info.conn_info), "chan_info": read(info.chan_info)}

    def publication(self, pub):
        return {"data": self.read(pub.data), "offset": pub.offset, "tags": pub.tags or {}, "info": self.person(pub.info)}

    def subscribed(self, ctx):
        position = ctx.stream_position
        return {
            "channel": ctx.channel,
            "recoverable": ctx.recoverable,
            "positioned": ctx.positioned,
            "offset": position and position.offset,
            "epoch": position and position.epoch,
            "was_recovering": ctx.was_recovering,
            "recovered": ctx.recovered,
            "data": self.read(ctx.data),
        }


def failure(error):
    return {"code": getattr(error, "code", 0), "message": str(error)}


class ClientEvents(ClientEventHandler):
    """Tells what happens to a client and to its server-side subscriptions."""

    def __init__(self, held):
        self.held = held

    async def on_connecting(self, ctx):
        self.held.tell("connecting", code=ctx.code, reason=ctx.reason)

    async def on_connected(self, ctx):
        self.held.tell("connected", id=ctx.client, data=self.held.read(ctx.data))

    async def on_disconnected(self, ctx):
        self.held.tell("disconnected", code=ctx.code, reason=ctx.reason)

    async def on_error(self, ctx):
        self.held.tell("error", type=ctx.code, **failure(ctx.error))

    async def on_subscribing(self, ctx):
        self.held.tell("server_subscribing", channel=ctx.channel)

    async def on_subscribed(self, ctx):
        self.held.tell("server_subscribed", **self.held.subscribed(ctx))

    async def on_unsubscribed(self, ctx):
        self.held.tell("server_unsubscribed", channel=ctx.channel)

    async def on_publication(self, ctx):
        self.held.tell("server_publication", channel=ctx.channel, **self.held.publication(ctx.pub))

    async def on_join(self, ctx):
        self.held.tell("server_join", channel=ctx.channel, info=self.held.person(ctx.info))

    async def on_leave(self, ctx):
        self.held.tell("server_leave", channel=ctx.channel, info=self.held.person(ctx.info))


class SubscriptionEvents(SubscriptionEventHandler):
    """Tells what happens to a subscription of a client."""

    def __init__(self, held, channel):
        self.held, self.channel = held, channel

    def tell(self, on, **fields):
        self.held.tell(on, channel=self.channel, **fields)

    async def on_subscribing(self, ctx):
        self.tell("subscribing", code=ctx.code, reason=ctx.reason)

    async def on_subscribed(self, ctx):
        self.held.tell("subscribed", **self.held.subscribed(ctx))

    async def on_unsubscribed(self, ctx):
        self.tell("unsubscribed", code=ctx.code, reason=ctx.reason)

    async def on_publication(self, ctx):
        self.tell("publication", **self.held.publication(ctx.pub))

    async def on_join(self, ctx):
        self.tell("join", info=self.held.person(ctx.info))

    async def on_leave(self, ctx):
        self.tell("leave", info=self.held.person(ctx.info))

    async def on_error(self, ctx):
        self.tell("sub_error", type=ctx.code, **failure(ctx.error))


def source(held, tokens, channel=None):
    """Hands out tokens in turn, the last one again and again; None says that the user may not."""
    if tokens is None:
        return None
    left = list(tokens)

    async def token(*_):
        held.tell("token_asked", channel=channel)
        given = left.pop(0) if len(left) > 1 else left[0]
        if given is None:
            raise UnauthorizedError("not allowed")
        return given

    return token


class Does:
    """The commands."""

    async def create(self, client, base, format="json", token="", tokens=None, data=None, name="python", **given):
        held = Held(client, format == "protobuf")
        held.sdk = Client(
            base.replace("http", "ws", 1) + "/connection/websocket" + ("?format=protobuf" if held.binary else ""),
            events=ClientEvents(held),
            token=token,
            get_token=source(held, tokens),
            use_protobuf=held.binary,
            data=held.write(data),
            name=name,
            timeout=20,
            max_server_ping_delay=given.get("max_ping_delay", 10000) / 1000,
            min_reconnect_delay=0.02,
            max_reconnect_delay=0.2,
            proxy=None,
        )
        clients[client] = held

    async def connect(self, held):
        await held.sdk.connect()

    async def disconnect(self, held):
        await held.sdk.disconnect()

    async def subscribe(self, held, channel, token="", tokens=None, since=None, data=None, **flags):
        sub = held.sdk.get_subscription(channel)
        if sub is None:

            async def state(*_):
                held.tell("state_asked", channel=channel)
                return StreamPosition(**since)

            sub = held.sdk.new_subscription(
                channel,
                events=SubscriptionEvents(held, channel),
                token=token,
                get_token=source(held, tokens, channel),
                data=held.write(data),
                min_resubscribe_delay=0.02,
                max_resubscribe_delay=0.2,
                get_state=state if since else None,
                **flags,
            )
        await sub.subscribe()

    async def unsubscribe(self, held, channel):
        await held.sdk.get_subscription(channel).unsubscribe()

    async def publish(self, held, channel, data):
        await held.sdk.publish(channel, held.write(data))

    async def history(self, held, channel, limit=0, since=None, reverse=False):
        result = await held.sdk.history(channel, limit, StreamPosition(**since) if since else None, reverse)
        publications = [held.publication(pub) for pub in result.publications]
        return {"publications": publications, "offset": result.offset, "epoch": result.epoch}

    async def presence(self, held, channel):
        return {id: held.person(info) for id, info in (await held.sdk.presence(channel)).clients.items()}

    async def presence_stats(self, held, channel):
        stats = await held.sdk.presence_stats(channel)
        return {"clients": stats.num_clients, "users": stats.num_users}

    async def rpc(self, held, method, data):
        return held.read((await held.sdk.rpc(method, held.write(data))).data)


async def handle(command):
    number, name = command.pop("n"), command.pop("do")
    if name != "create":
        command["held"] = clients[command.pop("client")]
    try:
        say({"n": number, "ok": await getattr(Does(), name)(**command) or {}})
    except (CentrifugeError, AttributeError) as error:
        say({"n": number, "error": failure(error)})


async def main():
    reader = asyncio.StreamReader(limit=1 << 24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running = set()
    while line := await reader.readline():
        task = asyncio.create_task(handle(json.loads(line)))
        running.add(task)
        task.add_done_callback(running.discard)


asyncio.run(main())
