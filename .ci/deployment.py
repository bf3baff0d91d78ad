"""Holds what deploy/ ships against the tools that read it, without a network: systemd, Kubernetes' own types, dpkg.

Skips, and says so, what this machine has no tool for. Prints one line a test and ends with `N passed, N failed, N skipped`.
`GANNET_BIN` names the binary to package.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
BINARY = Path(os.environ.get("GANNET_BIN", str(ROOT / "target" / "release" / "gannet")))
# Beside what a drain takes.
SPARE_S = 10
# systemd's own figure for what a service could do if it were taken over: from 0 to 10.
MOST_EXPOSED = 1.5


class Skipped(Exception):
    """This machine has no tool for it."""


def run(*command, given=None, cwd=None):
    done = subprocess.run([str(part) for part in command], input=given, cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def needs(tool):
    if not shutil.which(tool):
        raise Skipped(f"no {tool} here")


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


def drain_s(settings):
    return sum(seconds(settings[f"GANNET_DRAIN_{name}"]) for name in ("DELAY", "SPREAD", "TIMEOUT"))


def environment(text):
    """The variables of a file for systemd or an image."""
    return {name: value.strip('"') for name, value in re.findall(r'^(?:ENV |\s+)?(GANNET_\w+)=("[^"]*"|\S*)', text, re.M)}


def the_unit_is_one_that_systemd_takes():
    needs("systemd-analyze")
    with tempfile.TemporaryDirectory() as folder:
        # What it starts has to be there.
        text = (DEPLOY / "systemd" / "gannet.service").read_text()
        unit, sockets = Path(folder) / "gannet.service", Path(folder) / "gannet.socket"
        man = "Documentation=man:gannet-serve(1)\n"
        unit.write_text(text.replace("/usr/bin/gannet", str(BINARY)).replace(man, ""))
        sockets.write_text((DEPLOY / "systemd" / "gannet.socket").read_text().replace(man, ""))
        done = subprocess.run(["systemd-analyze", "verify", unit, sockets], capture_output=True, text=True, check=False)
        assert done.returncode == 0 and "gannet." not in done.stderr, done.stderr


def each_socket_of_systemd_is_that_of_a_listener():
    sockets = re.findall(r"^ListenStream=(\S+)", (DEPLOY / "systemd" / "gannet.socket").read_text(), re.M)
    listeners = re.findall(r"tcp://([\d.:]+)", environment((DEPLOY / "debian" / "gannet.env").read_text())["GANNET_LISTEN"])
    assert sockets and sockets == listeners, (sockets, listeners)


def the_unit_may_do_little():
    needs("systemd-analyze")
    told = run("systemd-analyze", "security", "--offline=true", DEPLOY / "systemd" / "gannet.service")
    level = float(re.search(r"exposure level for gannet.service: ([\d.]+)", told)[1])
    assert level <= MOST_EXPOSED, f"{level}: {told}"


def the_unit_waits_for_the_drain():
    settings = environment((DEPLOY / "debian" / "gannet.env").read_text())
    unit = (DEPLOY / "systemd" / "gannet.service").read_text()
    stop = seconds(re.search(r"^TimeoutStopSec=(\S+)", unit, re.M)[1])
    assert stop == drain_s(settings) + SPARE_S, (stop, settings)


def rendered():
    needs("kubectl")
    return run("kubectl", "kustomize", DEPLOY / "kubernetes")


def the_manifests_are_what_kubernetes_types_say():
    needs("go")
    names = run("go", "run", ".", given=rendered(), cwd=ROOT / ".ci" / "kubernetes").splitlines()
    kinds = {name.split()[1] for name in names}
    wanted = {"Deployment", "Service", "PodDisruptionBudget", "HorizontalPodAutoscaler", "NetworkPolicy", "ServiceMonitor"}
    assert wanted <= kinds, kinds
    # And what is wrong is found.
    wrong = rendered().replace("terminationGracePeriodSeconds", "terminationGraceSeconds")
    done = subprocess.run(["go", "run", "."], input=wrong, cwd=ROOT / ".ci" / "kubernetes", capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "unknown field" in done.stderr, done.stderr


def pods_have_the_time_of_a_drain_and_ports_of_listeners():
    config, deployment = ((DEPLOY / "kubernetes" / f"{name}.yaml").read_text() for name in ("config", "deployment"))
    settings = dict(re.findall(r'^  (GANNET_\w+): "?([^"\n]*)"?$', config, re.M))
    grace = int(re.search(r"terminationGracePeriodSeconds: (\d+)", deployment)[1])
    assert grace == drain_s(settings) + SPARE_S, (grace, settings)
    ports = set(re.findall(r"containerPort: (\d+)", deployment))
    assert ports == set(re.findall(r":(\d+)\b", settings["GANNET_LISTEN"])), (ports, settings)


def a_server_starts_with_the_settings_of_each_way_to_deploy():
    """With ports of its own in place of those given, and ends at a signal."""
    container = (DEPLOY / "container" / "Containerfile").read_text()
    manifests = dict(re.findall(r'^  (GANNET_\w+): "?([^"\n]*)"?$', (DEPLOY / "kubernetes" / "config.yaml").read_text(), re.M))
    package = environment((DEPLOY / "debian" / "gannet.env").read_text())
    image = {name: value for name, value in re.findall(r'(GANNET_\w+)=("[^"]*"|\S+)', container)}
    for where, settings in (("package", package), ("manifests", manifests), ("image", image)):
        assert settings.get("GANNET_LISTEN"), where
        settings = {name: value.strip('"') for name, value in settings.items()}
        settings["GANNET_LISTEN"] = re.sub(r"://[\d.]+:\d+", "://127.0.0.1:0", settings["GANNET_LISTEN"])
        settings |= {"GANNET_DRAIN_DELAY": "0s", "GANNET_DRAIN_SPREAD": "0s"}
        settings["GANNET_ADMIN"] = "off"
        server = subprocess.Popen([BINARY, "serve"], env=settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        lines = []
        for line in server.stdout:
            lines.append(line.strip())
            if line.startswith("ready"):
                break
        server.terminate()
        _, log = server.communicate(timeout=60)
        assert "ready" in lines and server.returncode == 0, f"{where}: {lines} {log}"


def the_package_has_everything_it_should():
    needs("dpkg-deb")
    with tempfile.TemporaryDirectory() as folder:
        package = run(DEPLOY / "debian" / "build", BINARY, folder).strip()
        paths = run("dpkg-deb", "--contents", package)
        for path in (
            "usr/bin/gannet", "usr/lib/systemd/system/gannet.service", "usr/lib/systemd/system/gannet.socket", "usr/lib/sysusers.d/gannet.conf",
            "etc/gannet/gannet.env", "usr/share/man/man1/gannet-serve.1.gz", "usr/share/man/man1/gannet-doctor.1.gz",
            "usr/share/bash-completion/completions/gannet", "usr/share/doc/gannet/copyright",
        ):  # fmt: skip
            assert f"./{path}\n" in paths, f"{path} is missing: {paths}"
        assert "gannet-man.1" not in paths
        fields = run("dpkg-deb", "--field", package)
        assert f"Version: {run(BINARY, '--version').split()[1]}" in fields, fields
        assert all(line.split()[1] == "root/root" for line in paths.splitlines()), paths


def the_image_has_the_binary_alone():
    text = (DEPLOY / "container" / "Containerfile").read_text()
    assert text.count("\nCOPY ") == 1 and "\nFROM scratch\n" in text and "\nUSER 65532" in text
    check = json.loads(re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", text, re.M)[1])
    listen = re.search(r'GANNET_LISTEN="([^"]*)"', text)[1]
    port = re.search(r":(\d+)/", check[2])[1]
    assert check[1] == "probe" and f":{port},operational" in listen, (check, listen)


TESTS = (
    the_unit_is_one_that_systemd_takes,
    each_socket_of_systemd_is_that_of_a_listener,
    the_unit_may_do_little,
    the_unit_waits_for_the_drain,
    the_manifests_are_what_kubernetes_types_say,
    pods_have_the_time_of_a_drain_and_ports_of_listeners,
    a_server_starts_with_the_settings_of_each_way_to_deploy,
    the_package_has_everything_it_should,
    the_image_has_the_binary_alone,
)


def main():
    failed = skipped = 0
    for test in TESTS:
        name = test.__name__.replace("_", " ")
        try:
            test()
            print(f"passed {name}", flush=True)
        except Skipped as why:
            skipped += 1
            print(f"SKIPPED {name}: {why}", flush=True)
        except (AssertionError, OSError, KeyError, TypeError) as error:
            failed += 1
            print(f"FAILED {name}: {error}", flush=True)
    print(f"{len(TESTS) - failed - skipped} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
