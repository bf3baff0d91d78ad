"""What the tests of deploy/ run programs in: a copy of this machine, a container's files, a seccomp filter, a thread that stands
still. For Linux, by its own calls. `deployment.py` uses it.
"""

import ctypes
import ctypes.util
import errno
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path

LIBC = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)

# A network with nothing but this machine, whose interface is up: `ip link set lo up` where there is no `ip`.
LOOPBACK_UP = """
import fcntl, socket, struct
with socket.socket() as any:
    fcntl.ioctl(any, 0x8914, struct.pack("16sh14x", b"lo", 1))
"""


# Namespaces of its own, in which nothing is seen of what is mounted, and which end with what runs in them.
UNSHARE = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--propagation", "private"]


def layers(folder):
    """The commands that mount this machine's files at `folder`/root, with changes in memory: they go with the namespace."""
    return f"""
mount -t tmpfs -o size=512m none {folder}
mkdir {folder}/up {folder}/work {folder}/root
mount -t overlay overlay -o lowerdir=/,upperdir={folder}/up,workdir={folder}/work {folder}/root
"""


def why_nothing_is_mounted(folder):
    """What keeps this process from namespaces and mounts of its own, as in a container without privileges; nothing is good."""
    command = [*UNSHARE, "bash", "-euc", layers(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stderr.strip()


class Copy:
    """This machine's files with changes that go away, a network of its own, and nothing that runs but what it is given."""

    def __init__(self, folder):
        self.folder = Path(folder) / "copy"

    def __enter__(self):
        self.folder.mkdir()
        return self

    def __exit__(self, *_):
        # What was mounted went with the processes that saw it.
        self.folder.rmdir()

    def run(self, command):
        script = f"""{layers(self.folder)}
mount -t proc proc {self.folder}/root/proc
mount --rbind /dev {self.folder}/root/dev
mount -t tmpfs none {self.folder}/root/run
mount --bind {self.folder.parent} {self.folder}/root/mnt
{sys.executable} -c '{LOOPBACK_UP}'
exec chroot {self.folder}/root "$@"
"""
        command = [str(part).replace(str(self.folder.parent), "/mnt") for part in command]
        return subprocess.run(
            [*UNSHARE, "bash", "-euc", script, "copy", *command], capture_output=True, text=True, timeout=120, check=False
        )


def deny_io_uring():
    """Has the three calls of io_uring fail with EPERM, for this process and what it starts."""
    load, equal, back = 0x20, 0x15, 0x06
    allow, refuse = 0x7FFF0000, 0x00050000 | 1
    # struct seccomp_data begins with the number of the call; these are the same on all architectures.
    program = [(load, 0, 0, 0)]
    program += [(equal, 3 - index, 0, number) for index, number in enumerate((425, 426, 427))]
    program += [(back, 0, 0, allow), (back, 0, 0, refuse)]
    code = b"".join(struct.pack("HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    filters = struct.pack("HxxxxxxP", len(program), ctypes.addressof(buffer))
    no_new_privileges, set_seccomp, by_filter = 38, 22, 2
    for call in ((no_new_privileges, 1, 0, 0, 0), (set_seccomp, by_filter, ctypes.create_string_buffer(filters, len(filters)))):
        if LIBC.prctl(*call) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


def thread_named(pid, name):
    for thread in Path(f"/proc/{pid}/task").iterdir():
        if (thread / "comm").read_text().strip() == name:
            return int(thread.name)
    raise AssertionError(f"no thread {name}")


class Held:
    """A thread that stands still, as one in an endless loop does for the others."""

    SEIZE, INTERRUPT, DETACH, ANY_THREAD = 0x4206, 0x4207, 17, 0x40000000

    def __init__(self, thread, skipped):
        self.thread, self.skipped = thread, skipped

    def ptrace(self, request):
        null = ctypes.c_void_p(None)
        if LIBC.ptrace(ctypes.c_long(request), ctypes.c_long(self.thread), null, null) != 0:
            raise OSError(ctypes.get_errno(), "ptrace")

    def __enter__(self):
        try:
            self.ptrace(self.SEIZE)
        except OSError as error:
            raise self.skipped(f"no thread can be held here: {error}") from error
        self.ptrace(self.INTERRUPT)
        os.waitpid(self.thread, self.ANY_THREAD)

    def __exit__(self, *_):
        self.ptrace(self.DETACH)


def try_image(root, binary, folder):
    """Builds the image of the Containerfile, mounts its files, and runs what it says. Gives what the run printed."""
    storage = ["--root", folder / "storage", "--runroot", folder / "run", "--storage-driver", "vfs"]

    def buildah(*arguments):
        command = ["buildah", *map(str, storage), *map(str, arguments)]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"buildah {arguments}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    # The gate has no static binary, which takes minutes to build. What the one that it has needs is mounted beside it.
    own = f"BINARY={Path(binary).resolve().relative_to(root)}"
    buildah("build", "--format", "docker", "-f", "deploy/container/Containerfile", "--build-arg", own, "-t", "tried", ".")
    image = json.loads(buildah("inspect", "--type", "image", "tried"))["Docker"]["config"]
    container = buildah("from", "tried")
    files = Path(buildah("mount", container))
    try:
        found = sorted(str(path.relative_to(files)) for path in files.rglob("*") if not path.is_dir())
        assert found == ["etc/gannet/gannet.toml", "gannet"], found
        given = json.dumps({"files": str(files), "image": image, "libraries": needed(binary)})
        command = [*UNSHARE, sys.executable, "-B", __file__, given]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    finally:
        buildah("umount", container)
        buildah("rm", container)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def run_image(files, image, libraries):
    """Runs an image from its own files, as a runtime would. In namespaces of its own."""

    def mount(*arguments):
        subprocess.run(["mount", *arguments], check=True)

    mount("--bind", files, files)
    for library in libraries:
        place = Path(files + library)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
        mount("--bind", library, place)
    Path(files, "proc").mkdir(exist_ok=True)
    mount("-t", "proc", "proc", f"{files}/proc")
    mount("-o", "remount,bind,ro", files)
    exec(LOOPBACK_UP)  # noqa: S102
    user, group = map(int, image["User"].split(":"))

    def enter():
        os.chroot(files)
        os.chdir("/")
        os.setgroups([])
        os.setgid(group)
        os.setuid(user)

    # The drain has no time here.
    own = {"preexec_fn": enter, "env": dict(word.split("=", 1) for word in image["Env"]) | {"GANNET_DRAIN_DELAY": "0s"}}
    assert image["Healthcheck"]["Test"][0] == "CMD", image
    command = image["Entrypoint"] + image["Cmd"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **own)
    try:
        assert any(line.strip() == "ready" for line in server.stdout), "it is not ready"
        subprocess.run(image["Healthcheck"]["Test"][1:], check=True, **own)
        # The processes of this namespace are those of the image's own /proc.
        status = Path(f"{files}/proc/{server.pid}/status").read_text()
        assert f"\nUid:\t{user}\t{user}\t{user}\t{user}\n" in status and "\nCapEff:\t0000000000000000\n" in status, status
        try:
            Path(files, "new").touch()
        except OSError as error:
            assert error.errno == errno.EROFS, error
        else:
            raise AssertionError("its root can be written to")
        server.send_signal(getattr(signal, image["StopSignal"]))
        assert server.wait(60) == 0, server.returncode
    finally:
        server.kill()
    print("the image ran")


def needed(binary):
    """The libraries of a binary, and its loader."""
    done = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False)
    return [word for line in done.stdout.splitlines() for word in line.split() if word.startswith("/")]


if __name__ == "__main__":
    run_image(**json.loads(sys.argv[1]))
