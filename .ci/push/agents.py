"""Runs the programs that hold clients of the official SDKs, and gives each client a face that the tests speak to."""

import itertools
import json
import os
import subprocess
import threading
from collections import defaultdict, deque

from server import DEADLINE_S


class Failed(Exception):
    """The SDK answered a call with an error."""

    def __init__(self, error):
        super().__init__(str(error))
        self.code = error["code"]


class Agent:
    """A process with clients of one SDK."""

    def __init__(self, command, environment=None):
        self.process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        # Numbers calls, and events in the order in which they came.
        self.numbers = itertools.count(1)
        self.changed = threading.Condition()
        self.answers = {}
        # Of each client, what happened and was not asked for yet.
        self.events = defaultdict(deque)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for text in self.process.stdout:
            line = json.loads(text)
            with self.changed:
                if "n" in line:
                    self.answers[line["n"]] = line
                else:
                    line["at"] = next(self.numbers)
                    self.events[line["client"]].append(line)
                self.changed.notify_all()

    def wait(self, what, look):
        """What `look` finds that is not None, as soon as it finds something."""
        with self.changed:
            found = [None]

            def holds():
                found[0] = look()
                return found[0] is not None or self.process.poll() is not None

            in_time = self.changed.wait_for(holds, DEADLINE_S)
            assert found[0] is not None, f"{what} {'never came' if not in_time else 'cannot come: the client program ended'}"
            return found[0]

    def send(self, **command):
        with self.changed:
            number = next(self.numbers)
            self.process.stdin.write(json.dumps({"n": number, **command}) + "\n")
            self.process.stdin.flush()
        return number

    def answer(self, number, what):
        line = self.wait(f"an answer to {what}", lambda: self.answers.pop(number, None))
        if "error" in line:
            raise Failed(line["error"])
        return line["ok"]

    def close(self):
        self.process.kill()
        self.process.wait()


class Client:
    """A client of an SDK. Its calls return when the SDK has answered; what happens to it is waited for with `next`."""

    names = itertools.count(1)

    def __init__(self, agent, base, *, kind, **options):
        self.agent, self.kind = agent, kind
        self.name = f"c{next(self.names)}"
        self.call("create", base=base, **kind.options, **options)

    def call(self, do, **given):
        return self.agent.answer(self.begin(do, **given), do)

    def begin(self, do, **given):
        """Starts a call whose answer is fetched with `self.agent.answer`."""
        return self.agent.send(do=do, client=self.name, **given)

    def next(self, on, channel=None):
        """The next event of this kind, in order; those of other kinds stay."""

        def look():
            events = self.agent.events[self.name]
            for event in events:
                if event["on"] == on and channel in (None, event.get("channel")):
                    events.remove(event)
                    return event
            return None

        try:
            return self.agent.wait(f"'{on}' {channel or ''}", look)
        except AssertionError as error:
            raise AssertionError(f"{error}; what came instead: {list(self.agent.events[self.name])[-8:]}") from None

    def waiting(self, on, channel=None):
        """Events of this kind that came and were not asked for."""
        with self.agent.changed:
            return [
                event
                for event in self.agent.events[self.name]
                if event["on"] == on and channel in (None, event.get("channel"))
            ]

    def connect(self):
        """Connects; the event of it."""
        # An SDK may say that the first attempt failed, and succeed at the second: the event tells.
        self.begin("connect")
        self.next("connecting")
        return self.next("connected")

    def subscribe(self, channel, **options):
        """Subscribes; the event of it."""
        self.call("subscribe", channel=channel, **options)
        self.next("subscribing", channel)
        return self.next("subscribed", channel)

    def data(self, channel, count, on="publication"):
        """The data of the next publications."""
        return [self.next(on, channel)["data"] for _ in range(count)]

    def refused(self, do, **given):
        """The code with which a call is refused."""
        try:
            answer = self.call(do, **given)
        except Failed as error:
            return error.code
        raise AssertionError(f"{do} {given} was answered with {answer}")
