"""The server under test: `gannet serve`, or Centrifugo with the same settings, to learn what its clients expect."""

import base64
import hashlib
import hmac
import json
import os
import signal
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from ports import free_port, wait_until_it_listens

DEADLINE_S = 60
SECRET = "a secret of the tests, long enough for HS256"
KEY = "the-key-of-the-tests"

HISTORY = ("history_size=100", "history_ttl=5m")


def allow(*what):
    return tuple(f"allow_{one}_for_{whom}" for one in what for whom in ("client", "anonymous"))


OPEN = allow("subscribe", "publish", "history", "presence")
NAMESPACES = {
    # What a listener on loopback has by itself.
    "demo": ("presence", "join_leave", *HISTORY, "force_recovery", *OPEN),
    "room": ("presence", "join_leave", "force_push_join_leave", *HISTORY, "force_recovery", *OPEN),
    "quiet": allow("subscribe", "publish"),
    "small": ("history_size=5", "history_ttl=5m", "force_recovery", *allow("subscribe", "publish", "history")),
    "cache": (*HISTORY, "force_recovery", "force_recovery_mode=cache", *allow("subscribe", "publish", "history")),
    "asked": ("presence", *HISTORY, "allow_positioning", "allow_recovery", *OPEN),
    "reader": ("presence", *HISTORY, *allow("subscribe")),
    "closed": ("presence", *HISTORY, "force_recovery"),
    "users": ("allow_user_limited_channels",),
}


def token(lives_s=None, secret=SECRET, **claims):
    """A JWT signed with HS256, by hand. It expires `lives_s` from now."""

    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")

    if lives_s is not None:
        claims["exp"] = int(time.time() + lives_s)
    text = b".".join(part(json.dumps(value).encode()) for value in ({"typ": "JWT", "alg": "HS256"}, claims))
    return (text + b"." + part(hmac.new(secret.encode(), text, hashlib.sha256).digest())).decode()


class Refused(Exception):
    """The server API answered with an error."""

    def __init__(self, error):
        super().__init__(str(error))
        self.code = error["code"]


class Server:
    """A server with the tests' settings on a port of its own. `start` after `stop` uses the same port.

    A `plain` one has no settings: what anybody gets who starts it on loopback. `tls` is its certificate.
    """

    def __init__(self, kind="gannet", *, command=None, origins=(), ping_s=25, pong_s=8, redis=False, plain=False, tls=None, more=()):
        self.kind, self.command, self.origins = kind, command, list(origins)
        self.ping_s, self.pong_s, self.plain, self.more = ping_s, pong_s, plain, list(more)
        self.port = free_port()
        self.redis_port = free_port() if redis else None
        self.tls = tls
        self.base = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self.folder = tempfile.TemporaryDirectory(prefix="gannet-ci-push-")
        self.process = None

    def arguments(self):
        if self.kind == "centrifugo":
            path = Path(self.folder.name) / "config.json"
            path.write_text(json.dumps(self._centrifugo()))
            return [self.command or "centrifugo", "--config", path]
        arguments = [self.command or os.environ.get("GANNET_BIN") or "target/release/gannet", "serve"]
        arguments += ["--listen", f"push={'tls' if self.tls else 'tcp'}://127.0.0.1:{self.port}"]
        if self.tls:
            arguments += ["--tls-cert", self.tls.file, "--tls-key", self.tls.key]
        if self.redis_port:
            arguments += ["--listen", f"redis=tcp://127.0.0.1:{self.redis_port}"]
        if self.plain:
            return arguments + self.more
        arguments += ["--push-anonymous"]
        for name, options in NAMESPACES.items():
            with_redis = (*options, "redis") if name == "demo" else options
            arguments += ["--push-namespace", f"{name}:{','.join(with_redis)}"]
        for origin in self.origins:
            arguments += ["--push-origin", origin]
        arguments += ["--push-ping", f"{self.ping_s}s", "--push-pong", f"{self.pong_s}s"]
        return arguments + self.more

    def _centrifugo(self):
        def options(words):
            pairs = (word.partition("=") for word in words)
            return {name: int(value) if value.isdigit() else value or True for name, _, value in pairs}

        return {
            "http_server": {"address": "127.0.0.1", "port": self.port},
            "usage_stats": {"disabled": True},
            "log": {"level": "error"},
            "health": {"enabled": True},
            "client": {
                "allow_anonymous_connect_without_token": True,
                "token": {"hmac_secret_key": SECRET},
                "allowed_origins": self.origins,
                "ping_interval": f"{self.ping_s}s",
                "pong_timeout": f"{self.pong_s}s",
            },
            "http_api": {"key": KEY},
            "channel": {"namespaces": [{"name": name, **options(words)} for name, words in NAMESPACES.items()]},
            "sse": {"enabled": True},
            "http_stream": {"enabled": True},
            "uni_sse": {"enabled": True},
            "uni_http_stream": {"enabled": True},
            "uni_websocket": {"enabled": True},
        }

    def start(self):
        keys = {} if self.plain else {"GANNET_PUSH_API_KEY": KEY, "GANNET_PUSH_TOKEN_SECRET": SECRET}
        environment = {**os.environ, **keys}
        log = open(Path(self.folder.name) / "log", "ab")
        self.process = subprocess.Popen(
            [str(word) for word in self.arguments()], stdout=log, stderr=log, env=environment
        )
        try:
            wait_until_it_listens(self.port, self.process)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.log()}") from None
        return self

    def log(self):
        return (Path(self.folder.name) / "log").read_text(errors="replace")[-3000:]

    def api(self, method, **given):
        """A call of the server API: its result, or `Refused`."""
        answer = self.api_raw(method, **given)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def api_raw(self, method, **given):
        """A call of the server API: its answer as it is."""
        request = urllib.request.Request(
            f"{self.base}/api/{method}",
            data=json.dumps(given).encode(),
            headers={"X-API-Key": KEY, "Content-Type": "application/json"},
        )
        trust = ssl.create_default_context(cafile=self.tls.authority) if self.tls else None
        with urllib.request.urlopen(request, timeout=DEADLINE_S, context=trust) as response:
            return json.load(response)

    def publish(self, channel, *values, **more):
        for value in values:
            result = self.api("publish", channel=channel, data=value, **more)
        return result

    def stop(self):
        """Asks the server to shut down, and waits for its end."""
        os.kill(self.process.pid, signal.SIGTERM)
        status = self.process.wait(DEADLINE_S)
        assert status == 0, (status, self.log())

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()
