"""Speaks to the push gateway by clients that nobody here wrote: the official SDKs, EventSource, redis-cli and a browser.

Needs node with `centrifuge`, `ws` and `eventsource` in target/push, Python's `centrifuge-python`, chromium, curl, redis-cli,
and Go for the Go SDK. The tests in .ci/push run with every SDK, transport and format at once. Prints one line a test and ends
with `N passed, N failed`. `--server centrifugo` runs the same tests against Centrifugo, whose path
`--command` names: a test that passes there and fails here has found a fault of ours.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PUSH = ROOT / ".ci" / "push"
MODULES = ROOT / "target" / "push"
sys.path.insert(0, str(PUSH))

import access  # noqa: E402
import basics  # noqa: E402
import control  # noqa: E402
import others  # noqa: E402
import recovery  # noqa: E402
import wire  # noqa: E402
from kit import KINDS, Stage, described  # noqa: E402
from server import Server  # noqa: E402


def commands():
    """The command of each SDK's program. The Go SDK is left out where there is no Go."""
    found = {
        "js": (["node", PUSH / "agent.mjs"], {"PUSH_MODULES": str(MODULES / "node_modules")}),
        "python": ([sys.executable, "-B", PUSH / "agent.py"],),
    }
    if shutil.which("go"):
        MODULES.mkdir(parents=True, exist_ok=True)
        subprocess.run(["go", "build", "-o", MODULES / "agent-go", "."], cwd=PUSH / "go", check=True)
        found["go"] = ([MODULES / "agent-go"],)
    else:
        print("SKIPPED: this machine has no Go: the Go SDK is not tried")
    return found


def each_test(stage):
    """Every test with a function that runs it and tells what failed."""
    for test in (*basics.TESTS, *access.TESTS, *recovery.TESTS, *control.TESTS):
        yield test, lambda test=test: stage.play(test)

    def alone(test):
        try:
            test(stage)
            return []
        except Exception as error:  # One failed test must not hide the others.
            return [described(error)]

    for test in (*wire.TESTS, *others.TESTS):
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
        Server(given.server, command=given.command) as server,
        Server(given.server, command=given.command, ping_s=2, pong_s=1, more=poll) as impatient,
    ):
        stage = Stage(server, programs, kinds)
        stage.impatient = impatient
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
