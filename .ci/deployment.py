"""Holds what deploy/ ships against the tools that read it, without a network: systemd, Kubernetes' own types, dpkg, buildah,
and the kernel's seccomp and ptrace.

Skips, and says so, what this machine has no tool for. Prints one line a test and ends with `N passed, N failed, N skipped`.
`GANNET_BIN` names the binary to package, and arguments are names of tests.
"""

import atexit
import functools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import tomllib
import traceback
from pathlib import Path

import confine

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


def needs_mounts(folder):
    if os.geteuid() != 0:
        raise Skipped("only root can do that")
    if why := confine.why_nothing_is_mounted(folder):
        raise Skipped(f"nothing can be mounted here: {why}")


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


def settings(name):
    """The settings that a way to deploy ships."""
    return tomllib.loads((DEPLOY / name / "gannet.toml").read_text())


def drain_s(name):
    return sum(seconds(settings(name)["drain"][key]) for key in ("delay", "spread", "timeout"))


def addresses(name):
    return [listener["url"].removeprefix("tcp://") for listener in settings(name)["listener"]]


# The ways to deploy that have settings of their own.
WAYS = ("debian", "container", "kubernetes")


def the_settings_of_each_way_to_deploy_are_fine():
    for name in WAYS:
        run(BINARY, "check", "--config", DEPLOY / name / "gannet.toml")
    # The lines that are commented out are settings as well: their secrets come from the environment here.
    text = re.sub(r"^#(?=[a-z\[])", "", (DEPLOY / "debian" / "gannet.toml").read_text(), flags=re.M)
    text = re.sub(r'\{ file = "[^"]*" \}', '{ env = "SECRET_OF_A_TEST" }', text)
    assert "[tls.default]" in text and text.count("SECRET_OF_A_TEST") == 3, text
    text = re.sub(r"^(\[tls.default\]|certificates|private_keys).*$", "", text, flags=re.M)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "gannet.toml"
        file.write_text(text)
        env = os.environ | {"SECRET_OF_A_TEST": "0123456789abcdef0123456789abcdef"}
        done = subprocess.run([BINARY, "check", "--config", file], env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


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
    assert sockets and sockets == addresses("debian"), (sockets, addresses("debian"))


def the_unit_may_do_little():
    needs("systemd-analyze")
    told = run("systemd-analyze", "security", "--offline=true", DEPLOY / "systemd" / "gannet.service")
    level = float(re.search(r"exposure level for gannet.service: ([\d.]+)", told)[1])
    assert level <= MOST_EXPOSED, f"{level}: {told}"


def the_unit_waits_for_the_drain():
    unit = (DEPLOY / "systemd" / "gannet.service").read_text()
    stop = seconds(re.search(r"^TimeoutStopSec=(\S+)", unit, re.M)[1])
    assert stop == drain_s("debian") + SPARE_S, (stop, settings("debian"))


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
    deployment = (DEPLOY / "kubernetes" / "deployment.yaml").read_text()
    grace = int(re.search(r"terminationGracePeriodSeconds: (\d+)", deployment)[1])
    assert grace == drain_s("kubernetes") + SPARE_S, (grace, settings("kubernetes"))
    ports = re.findall(r"containerPort: (\d+)", deployment)
    assert ports == [address.split(":")[1] for address in addresses("kubernetes")], ports


def a_server_starts_with_the_settings_of_each_way_to_deploy():
    """With ports of its own in place of those given, and ends at a signal."""
    for name in WAYS:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "gannet.toml"
            text = (DEPLOY / name / "gannet.toml").read_text()
            file.write_text(re.sub(r"://[\d.]+:\d+", "://127.0.0.1:0", text))
            own = {"GANNET_DRAIN_DELAY": "0s", "GANNET_DRAIN_SPREAD": "0s", "GANNET_ADMIN": "off"}
            server = subprocess.Popen(
                [BINARY, "serve", "--config", file], env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            lines = until_ready(server)
            server.terminate()
            _, log = server.communicate(timeout=60)
            assert "ready" in lines and server.returncode == 0, f"{name}: {lines} {log}"


def until_ready(server):
    lines = []
    for line in server.stdout:
        lines.append(line.strip())
        if lines[-1] == "ready":
            break
    return lines


@functools.cache
def package():
    """Builds it once: to compress it takes seconds."""
    needs("dpkg-deb")
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return Path(run(DEPLOY / "debian" / "build", BINARY, folder.name).strip())


def the_package_has_everything_it_should():
    paths = run("dpkg-deb", "--contents", package())
    for path in (
        "usr/bin/gannet", "usr/lib/systemd/system/gannet.service", "usr/lib/systemd/system/gannet.socket", "usr/lib/sysusers.d/gannet.conf",
        "etc/gannet/gannet.toml", "usr/share/man/man1/gannet-serve.1.gz", "usr/share/man/man1/gannet-doctor.1.gz",
        "usr/share/bash-completion/completions/gannet", "usr/share/doc/gannet/copyright",
    ):  # fmt: skip
        assert f"./{path}\n" in paths, f"{path} is missing: {paths}"
    assert "gannet-man.1" not in paths
    fields = run("dpkg-deb", "--field", package())
    assert f"Version: {run(BINARY, '--version').split()[1]}" in fields, fields
    assert all(line.split()[1] == "root/root" for line in paths.splitlines()), paths


def the_package_is_installed_used_and_removed():
    """In a copy of this machine's files that is thrown away, with a network of its own."""
    needs("dpkg")
    needs("setpriv")
    # The package depends on it.
    needs("systemd-sysusers")
    needs_mounts(package().parent)
    with confine.Copy(package().parent) as copy:
        script = (ROOT / ".ci" / "deployment.sh").read_text()
        done = copy.run(["bash", "-euo", "pipefail", "-c", script, "installed", package()])
        assert done.returncode == 0 and done.stdout.endswith("installed, used and removed\n"), done.stdout + done.stderr


def the_image_has_the_binary_and_its_settings_alone():
    text = (DEPLOY / "container" / "Containerfile").read_text()
    assert re.findall(r"^COPY .* (\S+)$", text, re.M) == ["/gannet", "/etc/gannet/gannet.toml"], text
    assert "\nFROM scratch\n" in text and "\nUSER 65532" in text
    check = json.loads(re.search(r"^HEALTHCHECK .*CMD (\[.*\])$", text, re.M)[1])
    port = re.search(r":(\d+)/", check[2])[1]
    operational = [listener for listener in settings("container")["listener"] if listener.get("operational")]
    assert check[1] == "probe" and [listener["url"] for listener in operational] == [f"tcp://0.0.0.0:{port}"], check


def the_image_is_built_and_runs():
    """Built by buildah and run from its own files: as its user, read-only, with the image's own command and health check."""
    needs("buildah")
    with tempfile.TemporaryDirectory() as folder:
        needs_mounts(folder)
        assert confine.try_image(ROOT, BINARY, Path(folder)).endswith("the image ran\n")


def io_uring_that_seccomp_denies_is_told_by_server_and_doctor():
    """With a filter as those of container runtimes: the calls of io_uring fail with EPERM."""
    listen = ("--listen", "echo=tcp://127.0.0.1:0")
    own = os.environ | {"GANNET_ADMIN": "off"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": own, "preexec_fn": confine.deny_io_uring}
    server = subprocess.Popen([BINARY, "serve", *listen], **pipes)
    lines = until_ready(server)
    server.terminate()
    server.communicate(timeout=60)
    why = "io_uring cannot be used: it is denied to this process, as the seccomp profiles of containers do"
    assert any(line.startswith("driver: poll") and why in line for line in lines), lines
    done = subprocess.run([BINARY, "serve", "--driver", "uring", *listen], **pipes | {"stdout": subprocess.DEVNULL}, check=False)
    assert done.returncode == 1 and "denied to this process" in done.stderr, done.stderr
    doctor = subprocess.run([BINARY, "doctor", "--json"], **pipes, check=False)
    checks = {check["name"]: check for check in json.loads(doctor.stdout)["checks"]}
    assert checks["seccomp"]["have"] == "filter" and checks["io_uring"]["verdict"] == "bad", checks
    assert "seccomp" in checks["io_uring"]["why"], checks["io_uring"]


def a_server_whose_reactor_hangs_is_not_reported_alive():
    """One thread of it stands still, held by ptrace; the service manager is a socket of this test."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{folder}/notify")
        manager.settimeout(60)
        own = os.environ | {"GANNET_ADMIN": "off", "NOTIFY_SOCKET": f"{folder}/notify", "WATCHDOG_USEC": "400000"}
        command = [BINARY, "serve", "--reactors", "2", "--log", "json", "--listen", "echo=tcp://127.0.0.1:0"]
        server = subprocess.Popen(command, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        # What does not come ends with it.
        patience = threading.Timer(60, server.kill)
        patience.start()
        try:
            until_ready(server)
            states = iter(lambda: manager.recv(4096).decode(), None)
            assert next(states) == "READY=1" and next(states) == "WATCHDOG=1"
            thread = confine.thread_named(server.pid, "gannet-1")
            with confine.Held(thread, Skipped):
                line = next(line for line in server.stderr if "do not turn" in line)
                assert json.loads(line)["reactors"] == "[1]" and json.loads(line)["level"] == "ERROR", line
                # What was said before that line has come.
                manager.setblocking(False)
                try:
                    while manager.recv(4096):
                        pass
                except BlockingIOError:
                    pass
                manager.settimeout(2)
                try:
                    raise AssertionError(f"{manager.recv(4096)} was said while a reactor stands still")
                except TimeoutError:
                    pass
            manager.settimeout(60)
            assert next(states) == "WATCHDOG=1"
            next(line for line in server.stderr if "all reactors turn again" in line)
        finally:
            patience.cancel()
            server.kill()
            server.communicate()


TESTS = (
    the_settings_of_each_way_to_deploy_are_fine,
    the_unit_is_one_that_systemd_takes,
    each_socket_of_systemd_is_that_of_a_listener,
    the_unit_may_do_little,
    the_unit_waits_for_the_drain,
    the_manifests_are_what_kubernetes_types_say,
    pods_have_the_time_of_a_drain_and_ports_of_listeners,
    a_server_starts_with_the_settings_of_each_way_to_deploy,
    the_package_has_everything_it_should,
    the_package_is_installed_used_and_removed,
    the_image_has_the_binary_and_its_settings_alone,
    the_image_is_built_and_runs,
    io_uring_that_seccomp_denies_is_told_by_server_and_doctor,
    a_server_whose_reactor_hangs_is_not_reported_alive,
)


def main():
    passed = failed = skipped = 0
    wanted = sys.argv[1:]
    for test in [test for test in TESTS if not wanted or test.__name__ in wanted]:
        name = test.__name__.replace("_", " ")
        try:
            test()
            passed += 1
            print(f"passed {name}", flush=True)
        except Skipped as why:
            skipped += 1
            print(f"SKIPPED {name}: {why}", flush=True)
        except (AssertionError, OSError, KeyError, TypeError, StopIteration, subprocess.SubprocessError) as error:
            failed += 1
            traceback.print_exc()
            print(f"FAILED {name}: {error}", flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
