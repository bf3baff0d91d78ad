"""Holds the alert rules and the dashboard against a real Prometheus that scrapes a server under load.

Needs Debian's `prometheus` (with `promtool`) and openssl. Checks and tests the rules with promtool; then starts a server with
listeners of several kinds, `gannet load` with and without TLS, clients that are slow to answer or do something wrong, and
Prometheus, all on loopback; and runs every query of the dashboard and every part of the rules: one without data fails.
Prints one line a test and ends with `N passed, N failed`. `GANNET_BIN` names the binary to try.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from ports import free_port, wait_until

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
BINARY = os.environ.get("GANNET_BIN", str(ROOT / "target" / "release" / "gannet"))
DEADLINE_S = 60
# What stands for the variables of the dashboard.
VARIABLES = {"$job": ".+", "$instance": ".+", "$__rate_interval": "20s"}


class Setting:
    """A server, its clients and a Prometheus, in a folder of their own."""

    def __init__(self, folder):
        self.folder, self.processes, self.ended = folder, [], threading.Event()
        self.ports = {name: free_port() for name in ("http", "lines", "frames", "tls", "push", "stream", "prometheus")}

    def start(self, *command, **options):
        process = subprocess.Popen([str(part) for part in command], text=True, **options)
        self.processes.append(process)
        return process

    def server(self):
        key, certificate = self.folder / "key.pem", self.folder / "cert.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "90",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", certificate],
            check=True, capture_output=True)  # fmt: skip
        at = {name: f"127.0.0.1:{port}" for name, port in self.ports.items()}
        listeners = (
            f"http=tcp://{at['http']},operational", f"lines=tcp://{at['lines']}", f"frames=tcp://{at['frames']}",
            f"frames=tls://{at['tls']}", f"push=tcp://{at['push']}", f"push-stream=tcp://{at['stream']}",
        )  # fmt: skip
        options = [option for listener in listeners for option in ("--listen", listener)]
        options += ["--tls-cert", certificate, "--tls-key", key, "--heartbeat", "1s", "--max-connections", "10000"]
        options += ["--push-ping", "2s", "--push-pong", "1s"]
        server = self.start(BINARY, "serve", *options, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        if not any(line.startswith("ready") for line in server.stdout):
            raise AssertionError("the server ended before it was ready")
        return server

    def load(self):
        """Clients of `gannet load` until the end, and some that nobody would want."""
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        loads = (
            ("lines", f"tcp://127.0.0.1:{self.ports['lines']}", "--connections", 200, "--rate", "2000/s"),
            ("connect", f"tls://127.0.0.1:{self.ports['tls']}", "--connections", 4, "--tls-ca", self.folder / "cert.pem"),
            ("push", f"ws://127.0.0.1:{self.ports['push']}", "--connections", 50, "--channels", "demo:{n%5}", "--rate", "20/s"),
        )
        for scenario, url, *options in loads:
            self.start(BINARY, "load", scenario, url, *options, "--duration", "120s", "--quiet", **quiet)
        for body in (self.answer_late, self.be_wrong):
            threading.Thread(target=body, daemon=True).start()

    def answer_late(self):
        """A client of `frames` that answers each heartbeat after a while, and one that answers none."""
        while not self.ended.is_set():
            with socket.create_connection(("127.0.0.1", self.ports["frames"])) as slow:
                with socket.create_connection(("127.0.0.1", self.ports["frames"])):
                    try:
                        for _ in range(4):
                            if len(slow.recv(4)) < 4:
                                break
                            self.ended.wait(0.2)
                            slow.sendall(bytes(4))
                    except OSError:
                        pass  # On a busy machine it may answer too late, and be closed.

    def be_wrong(self):
        """A client that sends what is no command of the push protocol, again and again, and one that asks for pages."""
        while not self.ended.wait(0.5):
            with socket.create_connection(("127.0.0.1", self.ports["stream"])) as wrong:
                wrong.settimeout(5)
                try:
                    wrong.sendall(b"\x05\xff\xff\xff\xff\xff")
                    wrong.recv(1_000)
                except OSError:
                    pass  # It may be reset.
            for _ in range(32):
                get(f"http://127.0.0.1:{self.ports['http']}/hello/you")

    def prometheus(self):
        rules = DEPLOY / "prometheus" / "gannet.rules.yml"
        config = self.folder / "prometheus.yml"
        target = f"127.0.0.1:{self.ports['http']}"
        config.write_text(
            "global: {scrape_interval: 1s, evaluation_interval: 1s}\n"
            f"rule_files: [{json.dumps(str(rules))}]\n"
            f"scrape_configs: [{{job_name: gannet, static_configs: [{{targets: ['{target}']}}]}}]\n"
        )
        self.start(
            "prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.ports['prometheus']}", "--log.level=warn",
        )  # fmt: skip
        wait_until("Prometheus is ready", lambda: get(f"http://127.0.0.1:{self.ports['prometheus']}/-/ready") is not None)

    def ask(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        url = f"http://127.0.0.1:{self.ports['prometheus']}/api/v1/{path}?{query}"
        try:
            with urllib.request.urlopen(url, timeout=DEADLINE_S) as response:
                return json.load(response)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{error.code}: {error.read().decode()[:300]}") from error

    def values(self, query):
        """The numbers that a query gives now: those that are none are left out."""
        values = [float(sample["value"][1]) for sample in self.ask("query", query=query)["result"]]
        return [value for value in values if value == value]

    def has_data(self, query):
        wait_until(f"data of {query}", lambda: self.values(query))

    def stop(self):
        self.ended.set()
        for process in reversed(self.processes):
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def get(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return response.read()
    except OSError:
        return None


def dashboard():
    return json.loads((DEPLOY / "grafana" / "gannet.json").read_text())


def queries():
    """Every query of the dashboard with its place, the variables filled in."""
    board = dashboard()
    found = [("annotation", entry["expr"]) for entry in board["annotations"]["list"]]
    found += [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel.get("targets", ())]
    for place, query in found:
        for name, value in VARIABLES.items():
            query = query.replace(name, value)
        yield place, query


def promtool(*arguments):
    done = subprocess.run(["promtool", *arguments], cwd=DEPLOY / "prometheus", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def the_rules_are_well_formed():
    promtool("check", "rules", "gannet.rules.yml")


def each_alert_fires_when_it_should_and_not_otherwise():
    promtool("test", "rules", "tests.yml")
    rules, tests = ((DEPLOY / "prometheus" / name).read_text() for name in ("gannet.rules.yml", "tests.yml"))
    for alert in re.findall(r"- alert: (\w+)", rules):
        parts = re.findall(rf"alertname: {alert}(?:,\s*|\s+)exp_alerts: *(\[\])?", tests)
        assert {part == "[]" for part in parts} == {True, False}, f"{alert} is not tested both ways"


def every_panel_has_a_place_of_its_own():
    panels = dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = set()
    for panel in panels:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & own, panel["title"]
        cells |= own


def against_prometheus(setting):
    """Every test that needs one."""
    prefix = re.compile(r"\b(?:gannet|process)_\w+")

    def every_metric_of_the_rules_is_there():
        text = (DEPLOY / "prometheus" / "gannet.rules.yml").read_text()
        names = {name for line in text.splitlines() if "description" not in line and not line.lstrip().startswith("#")
                 for name in prefix.findall(line)}  # fmt: skip
        assert len(names) > 12, names
        for name in names:
            setting.has_data(name)

    def every_rule_is_evaluated():
        def all_are_well():
            groups = setting.ask("rules")["groups"]
            return groups and all(rule["health"] == "ok" for group in groups for rule in group["rules"])

        wait_until("the rules are evaluated", all_are_well)

    def a_server_that_works_has_no_critical_alert():
        alerts = setting.ask("alerts")["alerts"]
        wrong = [alert["labels"] for alert in alerts if alert["labels"]["severity"] == "critical"]
        assert not wrong, wrong

    yield every_metric_of_the_rules_is_there
    yield every_rule_is_evaluated
    yield a_server_that_works_has_no_critical_alert
    for place, query in queries():

        def has_data(query=query):
            setting.has_data(query)

        has_data.__name__ = f"{place}: {query}"
        yield has_data


def attempt(test):
    try:
        test()
    except (AssertionError, OSError, KeyError, ValueError) as error:
        traceback.print_exc()
        print(f"FAILED {test.__name__.replace('_', ' ')}: {error}", flush=True)
        return False
    print(f"passed {test.__name__.replace('_', ' ') if ':' not in test.__name__ else test.__name__}", flush=True)
    return True


def main():
    for needed in ("prometheus", "promtool", "openssl", BINARY):
        if not shutil.which(needed):
            sys.exit(f"{needed} is not there: apt-get install prometheus openssl; cargo build --release")
    began = time.monotonic()
    offline = (the_rules_are_well_formed, each_alert_fires_when_it_should_and_not_otherwise, every_panel_has_a_place_of_its_own)
    results = [attempt(test) for test in offline]
    with tempfile.TemporaryDirectory(prefix="gannet-monitoring-") as folder:
        setting = Setting(Path(folder))
        try:
            server = setting.server()
            setting.load()
            setting.prometheus()
            wait_until("a scrape", lambda: setting.values("gannet_info"))
            # A reload, so that there is one to show; a second later, since the time of it is in seconds.
            time.sleep(2)
            server.send_signal(signal.SIGHUP)
            results += [attempt(test) for test in against_prometheus(setting)]
        finally:
            setting.stop()
    print(f"took {time.monotonic() - began:.0f} s")
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    sys.exit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
