"""What a test with an SDK is given: a kind of client, the server, names that no other test uses, and relays to cut."""

import itertools
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agents import Agent, Client
from cutter import Cutter
from server import DEADLINE_S


TEST_FILES = (
    "basics.py",
    "access.py",
    "recovery.py",
    "control.py",
    "application.py",
    "wire.py",
    "others.py",
    "admin.py",
)


@dataclass(frozen=True)
class Kind:
    """An SDK with a transport and a format."""

    sdk: str
    transport: str
    format: str

    @property
    def options(self):
        return {"transport": self.transport, "format": self.format} if self.sdk == "js" else {"format": self.format}

    @property
    def is_websocket(self):
        return self.transport == "websocket"

    def __str__(self):
        return f"{self.sdk}-{self.transport}-{self.format}"


KINDS = (
    Kind("js", "websocket", "json"),
    Kind("js", "websocket", "protobuf"),
    Kind("js", "sse", "json"),
    Kind("js", "http_stream", "json"),
    Kind("js", "http_stream", "protobuf"),
    Kind("python", "websocket", "json"),
    Kind("python", "websocket", "protobuf"),
    Kind("go", "websocket", "json"),
    Kind("go", "websocket", "protobuf"),
)


class Kit:
    """One run of a test: with one kind of client."""

    numbers = itertools.count(1)

    def __init__(self, stage, kind):
        self.stage, self.kind, self.agent, self.server = stage, kind, stage.agents[kind], stage.server
        self.number = next(self.numbers)
        self.names = itertools.count(1)
        self.clients, self.cutters = [], []

    def channel(self, namespace="demo"):
        """The name of a channel that no other run uses."""
        return f"{namespace}:t{self.number}x{next(self.names)}"

    def user(self):
        return f"u{self.number}x{next(self.names)}"

    def client(self, through=None, **options):
        """A client that is not connected yet; `through` is a relay."""
        client = Client(self.agent, (through or self.server).base, kind=self.kind, **options)
        self.clients.append(client)
        return client

    def connected(self, **options):
        client = self.client(**options)
        client.id = client.connect()["id"]
        return client

    def cutter(self, server=None):
        cutter = Cutter((server or self.server).port)
        self.cutters.append(cutter)
        return cutter

    def wait_for_clients(self, channel, count):
        """Waits until the server counts so many clients in a channel: over HTTP, commands may overtake each other."""

        def holds():
            channels = self.server.api("channels", pattern=channel)["channels"]
            return channels.get(channel, {"num_clients": 0})["num_clients"] == count

        self.stage.wait(f"{count} clients in {channel}", holds)

    def close(self):
        for client in self.clients:
            with suppress(Exception):
                client.begin("disconnect")
        for cutter in self.cutters:
            cutter.close()


def described(error):
    """An error with the line of the test where it came up."""
    places = [place for place in traceback.extract_tb(error.__traceback__) if Path(place.filename).name in TEST_FILES]
    where = f"{Path(places[-1].filename).name}:{places[-1].lineno}: " if places else ""
    return f"{where}{type(error).__name__}: {error}"[:1500]


class Stage:
    """A server, and the programs of the SDKs."""

    def __init__(self, server, commands, kinds):
        self.server, self.commands, self.kinds = server, commands, kinds
        self.agents = {kind: self.agent(kind) for kind in kinds}
        self.pool = ThreadPoolExecutor(len(kinds))

    def agent(self, kind):
        return Agent(*self.commands[kind.sdk])

    @property
    def javascript(self):
        """The program that also has an EventSource."""
        return next(agent for kind, agent in self.agents.items() if kind.sdk == "js")

    @staticmethod
    def wait(what, holds):
        until = time.monotonic() + DEADLINE_S
        while not holds():
            assert time.monotonic() < until, f"waited {DEADLINE_S} s for {what}"
            time.sleep(0.05)

    def play(self, test):
        """Runs a test with every kind of client at once; what failed, by kind."""

        def run(kind):
            kit = Kit(self, kind)
            try:
                test(kit)
                return None
            except Exception as error:  # One kind must not hide the others.
                return f"{kind}: {described(error)}"
            finally:
                kit.close()

        return [failure for failure in self.pool.map(run, self.kinds) if failure]

    def close(self):
        for agent in self.agents.values():
            agent.close()
