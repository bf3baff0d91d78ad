"""Speaks to the push gateway by clients that nobody here wrote: the official SDKs, EventSource, redis-cli and a browser.

Needs node with `centrifuge`, `ws` and `eventsource` in target/push, Python's `centrifuge-python`, chromium, curl, redis-cli,
and Go for the Go SDK. A Go that is too old for it, such as the one of Debian 12, fetches a newer one into target/push. The tests in .ci/push run with every SDK, transport and format at once. Prints one line a test and ends
with `N passed, N failed`. `--server centrifugo` runs the same tests against Centrifugo, whose path
`--command` names: a test that passes there and fails here has found a fault of ours.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PUSH = ROOT / ".ci" / "push"
MODULES = ROOT / "target" / "push"
sys.path.insert(0, str(PUSH))

import access  # noqa: E402
import admin  # noqa: E402
import application  # noqa: E402
import basics  # noqa: E402
import control  # noqa: E402
import others  # noqa: E402
import recovery  # noqa: E402
import wire  # noqa: E402
from kit import KINDS, Stage, described  # noqa: E402
from server import Server  # noqa: E402


def go():
    """The command and the environment of a Go that is new enough for the SDK."""
    wanted = re.search(r"^go ([0-9.]+)$", (PUSH / "go" / "go.mod").read_text(), re.MULTILINE)[1]
    said = subprocess.run(["go", "version"], check=True, capture_output=True, text=True).stdout
    own = tuple(int(number) for number in re.search(r"go(\d+)\.(\d+)", said).groups())
    if own >= (1, 21):
        # It fetches a newer one by itself, if it is allowed to.
        return ["go"], {"GOTOOLCHAIN": "auto"}
    machine = re.search(r"(\w+)/(\w+)$", said.strip())
    module = f"golang.org/toolchain@v0.0.1-go{wanted}.{machine[1]}-{machine[2]}"
    path = {"GOPATH": str(MODULES / "go"), "GOFLAGS": "-modcacherw"}
    fetched = ["go", "mod", "download", "-json", module]
    answer = subprocess.run(fetched, check=True, capture_output=True, text=True, env={**os.environ, **path}).stdout
    root = Path(json.loads(answer)["Dir"])
    # A module has no programs, so what it unpacks cannot be run yet.
    for program in (*root.glob("bin/*"), *root.glob("pkg/tool/*/*")):
        program.chmod(0o755)
    return [root / "bin" / "go"], {**path, "GOROOT": str(root), "GOTOOLCHAIN": "local"}


def commands():
    """The command of each SDK's program."""
    found = {
        "js": (["node", PUSH / "agent.mjs"], {"PUSH_MODULES": str(MODULES / "node_modules")}),
        "python": ([sys.executable, "-B", PUSH / "agent.py"],),
    }
    MODULES.mkdir(parents=True, exist_ok=True)
    command, environment = go()
    build = [*command, "build", "-o", MODULES / "agent-go", "."]
    subprocess.run(build, cwd=PUSH / "go", check=True, env={**os.environ, **environment})
    found["go"] = ([MODULES / "agent-go"],)
    return found


def each_test(stage):
    """Every test with a function that runs it and tells what failed."""
    for test in (*basics.TESTS, *access.TESTS, *recovery.TESTS, *control.TESTS, *application.TESTS):
        yield test, lambda test=test: stage.play(test)

    def alone(test):
        try:
            test(stage)
            return []
        except Exception as error:  # One failed test must not hide the others.
            return [described(error)]

    for test in (*wire.TESTS, *others.TESTS, *admin.TESTS):
        yield test, lambda test=test: alone(test)


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--server", choices=("gannet", "centrifugo"), default="gannet")
    arguments.add_argument("--command", help="the server's binary")
    arguments.add_argument("--only", default="", help="part of the names of the tests to run")
    arguments.add_argument("--kind", default="", help="part of the names of the clients to run, as python-websocket-json")
    given = arguments.parse_args()
    programs = commands()
    kinds = [kind for kind in KINDS if kind.sdk in programs and given.kind in str(kind)]
    # The default is io_uring where the kernel has it; the second server has the other driver.
    poll = ("--driver", "poll") if given.server == "gannet" else ()
    passed, failed = 0, 0
    with (
        application.application() as behind,
        Server(given.server, command=given.command) as server,
        Server(given.server, command=given.command, ping_s=3, pong_s=2, more=poll) as impatient,
        Server(given.server, command=given.command, more=behind.options if given.server == "gannet" else ()) as deciding,
    ):
        stage = Stage(server, programs, kinds)
        stage.impatient, stage.deciding, stage.application = impatient, deciding, behind
        try:
            for test, run in each_test(stage):
                name = test.__name__.replace("_", " ")
                if given.only.replace("_", " ") not in name:
                    continue
                if given.server != "gannet" and getattr(test, "is_ours", False):
                    continue
                failures = run()
                if failures:
                    failed += 1
                    print(f"FAILED  {name}", *failures, sep="\n        ", flush=True)
                else:
                    passed += 1
                    print(f"ok      {name}", flush=True)
        finally:
            stage.close()
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
